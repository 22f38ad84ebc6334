"""A tiny official CelebAMask-HQ: images of 1024 pixels, one mask file of 512 pixels per part, the two text files."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.data_sets import CELEBA_ATTRIBUTES

ORIGINALS = {0: 12, 1: 162_770, 2: 162_771, 3: 182_637, 2001: 182_638, 4000: 202_000}
"""Number in the original CelebA per face: two of each split, and faces of the mask folders 0, 1 and 2."""

SPLITS = {"train": ["0", "1"], "val": ["2", "3"], "test": ["2001", "4000"]}

PARTS = ("skin", "hair", "l_eye", "hat")

Masks = Mapping[str, np.ndarray]


def random_masks(seed: int, parts: Iterable[str]) -> dict[str, np.ndarray]:
    """Per part a random rectangle, bool (512, 512); they overlap."""
    rng = np.random.default_rng(seed)
    masks = {}
    for part in parts:
        mask = np.zeros((512, 512), bool)
        top, left = rng.integers(0, 300, 2)
        mask[top : top + rng.integers(60, 200), left : left + rng.integers(60, 200)] = True
        masks[part] = mask
    return masks


def write_mask(path: Path, mask: np.ndarray, mode: str = "RGB") -> None:
    """White where the part is, as the official files have it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).convert(mode).save(path)


def attribute(number: int, column: int) -> int:
    """1 or -1."""
    return 1 if (number + 3 * column) % 5 < 2 else -1


def write_face_files(root: Path, number: int, masks: Masks, image: np.ndarray | None = None) -> None:
    """The official image (without one, a smooth one) and masks of a face."""
    if image is None:
        rows, columns = np.mgrid[0:1024, 0:1024]
        image = np.stack([rows // 4, columns // 4, np.full_like(rows, number % 256)], axis=-1).astype(np.uint8)
    (root / "CelebA-HQ-img").mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(root / "CelebA-HQ-img" / f"{number}.jpg", quality=95)
    for part, mask in masks.items():
        write_mask(root / "CelebAMask-HQ-mask-anno" / str(number // 2000) / f"{number:05d}_{part}.png", mask)


def write_texts(root: Path, numbers: Iterable[int] = tuple(ORIGINALS), first_line: bool = True) -> None:
    """The attribute file and the mapping file."""
    root.mkdir(parents=True, exist_ok=True)
    numbers = list(numbers)
    lines = [str(len(numbers))] if first_line else []
    lines.append(" ".join(CELEBA_ATTRIBUTES))
    lines += [f"{k}.jpg  " + " ".join(str(attribute(k, column)) for column in range(40)) for k in numbers]
    (root / "CelebAMask-HQ-attribute-anno.txt").write_text("\n".join(lines) + "\n")
    mapping = [f"{k}        {ORIGINALS[k]}      {ORIGINALS[k] + 1:06d}.jpg" for k in numbers]
    (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(["idx     orig_idx    orig_file", *mapping]) + "\n")


def write_official(root: Path) -> None:
    """Six faces with all their files; the masks are :func:`random_masks` of the face's number."""
    for number in ORIGINALS:
        write_face_files(root, number, random_masks(number, PARTS))
    write_texts(root)
