"""Raw samples with every dense task, and the same frames as files in NYUD_MT and CelebAMask-HQ layout."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.io import savemat

from datasets.sample import Sample
from tasks.data_sets import CELEBA_ATTRIBUTES
from tasks.table import IGNORE_INDEX

DENSE = ("segmentsemantic", "depth_euclidean", "surface_normal", "edge_texture")

NYUD_MT = {"images": "jpg", "segmentation": "png", "depth": "npy", "normals": "npy", "edge": "npy"}
"""File type per folder, as the paper's copy has it."""


def random_normals(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W, 3) unit vectors; a patch of zero vectors at the top left."""
    normals = rng.normal(size=(height, width, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    normals[: height // 4, : width // 4] = 0
    return normals.astype(np.float32)


def raw_sample(seed: int = 0, height: int = 12, width: int = 16) -> Sample:
    """A raw sample with all dense tasks and an attribute; every mask is False somewhere."""
    rng = np.random.default_rng(seed)
    normals = torch.from_numpy(random_normals(rng, height, width).transpose(2, 0, 1).copy())
    labels = torch.from_numpy(rng.integers(0, 40, (1, height, width)).astype(np.uint8))
    depth = torch.from_numpy(rng.uniform(1, 9, (1, height, width)).astype(np.float32))
    edges = torch.from_numpy(rng.uniform(0, 1, (1, height, width)).astype(np.float32))
    known = {task: torch.from_numpy(rng.uniform(size=(1, height, width)) < 0.8) for task in DENSE}
    known["surface_normal"] = normals.norm(dim=0, keepdim=True) > 0.5
    labels[~known["segmentsemantic"]] = IGNORE_INDEX
    return Sample(
        image=torch.from_numpy(rng.integers(0, 256, (3, height, width)).astype(np.uint8)),
        targets={
            **dict(zip(DENSE, (labels, depth, normals, edges), strict=True)),
            "class_male": torch.tensor(1.0),
        },
        masks={**known, "class_male": torch.tensor(True)},
        name=str(seed),
    )


def nyu_frame(seed: int, height: int = 12, width: int = 16) -> dict[str, np.ndarray]:
    """One frame by NYUD_MT folder: labels 0..40, depth 0 = invalid, image and normals smooth: JPEG keeps them."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack([rows * 255 // height, columns * 255 // width, np.full_like(rows, 10 * seed % 256)], axis=-1)
    depth = rng.uniform(0.5, 9.0, (height, width)).astype(np.float32)
    depth[0, :3] = 0
    angle = 0.3 * seed + columns / width
    normals = np.stack([np.sin(angle), 0.6 * np.cos(angle), -0.8 * np.cos(angle)], axis=-1).astype(np.float32)
    return {
        "images": image.astype(np.uint8),
        "segmentation": rng.integers(0, 41, (height, width)).astype(np.uint8),
        "depth": depth,
        "normals": normals,
        "edge": rng.uniform(0, 1, (height, width)).astype(np.float32),
    }


def write_array(path: Path, array: np.ndarray) -> None:
    """Write one array as the type that the path's suffix says; floats of an image file as 8 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".mat":
        savemat(path, {path.parent.name: array})
    else:
        if array.dtype != np.uint8:
            array = np.round((array + 1) * 127.5 if array.ndim == 3 else array * 255).astype(np.uint8)
        Image.fromarray(array).save(path, **({"quality": 100, "subsampling": 0} if path.suffix == ".jpg" else {}))


def write_nyu(
    root: Path,
    splits: Mapping[str, Sequence[str]] | None = None,
    types: Mapping[str, str] | None = None,
    size: tuple[int, int] = (12, 16),
) -> dict[str, dict[str, np.ndarray]]:
    """Write a tiny NYU-v2 in NYUD_MT layout and return its frames by name.

    Args:
        root: folder of the data set.
        splits: names of the frames per file of ``gt_sets``; default seven for train, three for val, two for test.
        types: file type per folder where it is not that of :data:`NYUD_MT`.
        size: height and width.
    """
    if splits is None:
        splits = {"train": _names("a", 7), "val": _names("b", 3), "test": _names("c", 2)}
    frames: dict[str, dict[str, np.ndarray]] = {}
    for split, names in splits.items():
        path = root / "gt_sets" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}\n" for name in names))
        for name in names:
            frames[name] = nyu_frame(len(frames), *size)
            for folder, kind in {**NYUD_MT, **(types or {})}.items():
                write_array(root / folder / f"{name}.{kind}", frames[name][folder])
    return frames


def _names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{index}" for index in range(count)]


MAPPING = {0: 5, 1: 162_770, 2: 162_771, 3: 182_637, 4: 182_638, 5: 202_598, 6: 100}
"""Image number -> number in the original CelebA: on both sides of both borders of its official split."""


def celeba_attributes(number: int) -> dict[str, int]:
    """All forty attributes of image ``number``, 1 or -1, no two columns alike over the images."""
    rng = np.random.default_rng(1000 + number)
    return dict(zip(CELEBA_ATTRIBUTES, rng.choice([-1, 1], len(CELEBA_ATTRIBUTES)).tolist(), strict=True))


def celeba_mask(number: int) -> np.ndarray:
    """(16, 16) uint8, 0..2, with a corner of 255."""
    mask = np.random.default_rng(number).integers(0, 3, (16, 16)).astype(np.uint8)
    mask[:2, :2] = 255
    return mask


def write_celeba(
    root: Path, numbers: Iterable[int] = tuple(MAPPING), first_line: bool = True, mapping_header: bool = True
) -> None:
    """Write a tiny CelebAMask-HQ: images (32 x 32), the paper's masks (16 x 16), attribute and mapping files."""
    numbers = list(numbers)
    for number in numbers:
        image = np.full((32, 32, 3), 20 * number, np.uint8)
        write_array(root / "CelebA-HQ-img" / f"{number}.jpg", image)
        write_array(root / "CelebA-HQ-segmask" / f"{number:05d}_mask.npy", celeba_mask(number))
    lines = [str(len(numbers))] if first_line else []
    lines.append(" ".join(CELEBA_ATTRIBUTES))
    for number in numbers:
        lines.append(f"{number}.jpg  " + " ".join(str(value) for value in celeba_attributes(number).values()))
    (root / "CelebAMask-HQ-attribute-anno.txt").write_text("\n".join(lines) + "\n")
    mapping = ["idx     orig_idx    orig_file"] if mapping_header else []
    mapping += [f"{number} {MAPPING[number]} {MAPPING[number] + 1:06d}.jpg" for number in numbers]
    (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(mapping) + "\n")
