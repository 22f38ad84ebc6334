"""One face of CelebAMask-HQ: the official masks, one file per part, become one array; image and mask become small."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops

from datasets.images import open_image, read_photo
from utils.errors import DataError
from utils.files import replacing

PARTS = (
    *("skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip", "l_lip"),
    *("hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
)
"""Names of the parts in the official files, in the order in which they are painted: later ones cover earlier ones."""

IDS = {3: {"skin": 2, "hair": 1}, 19: {part: number for number, part in enumerate(PARTS, 1)}}
"""Per number of classes the label of each part that is a class; all else is 0, background."""

IMAGES, ANNOTATIONS, MASKS = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno", "CelebA-HQ-segmask"
IMAGE_SIDE, MASK_SIDE = 1024, 512
"""Pixels of the official files."""
FACES_PER_FOLDER = 2000
"""The masks of face k lie in folder ``k // 2000``."""
JPEG_QUALITY = 95


def image_name(number: int) -> str:
    """File of a face's prepared image."""
    return f"{IMAGES}/{number}.jpg"


def mask_name(number: int) -> str:
    """File of a face's prepared mask."""
    return f"{MASKS}/{number:05d}_mask.npy"


def part_name(number: int, part: str) -> str:
    """Official file of one part of a face."""
    return f"{ANNOTATIONS}/{number // FACES_PER_FOLDER}/{number:05d}_{part}.png"


def write_face(root: Path, out: Path, size: int, classes: int, face: tuple[int, Path, Collection[str]]) -> None:
    """Write a face's image and mask, ``size`` x ``size``, unless both are there.

    Args:
        root: the official folder.
        out: the prepared folder, with its sub-folders.
        size: side in pixels.
        classes: 3 or 19.
        face: its number, its official image, and the parts that it has files of.

    Raises:
        DataError: a file is not what it should be.
        OSError: a file cannot be written.
    """
    number, source, parts = face
    image_path, mask_path = out / image_name(number), out / mask_name(number)
    if image_path.is_file() and mask_path.is_file():
        return
    image = _open(source, IMAGE_SIDE, read_photo, ("RGB",))
    # The antialiased bilinear filter is the loaders' own, and for labels the nearest pixel, its centre at i + 1/2.
    small = image.resize((size, size), Image.Resampling.BILINEAR)
    labels = Image.fromarray(merge_parts(root, number, parts, classes)).resize((size, size), Image.Resampling.NEAREST)
    with replacing(image_path) as temporary:
        small.save(temporary, format="JPEG", quality=JPEG_QUALITY)
    with replacing(mask_path) as temporary, temporary.open("wb") as file:
        np.save(file, np.asarray(labels))


def merge_parts(root: Path, number: int, parts: Collection[str], classes: int) -> np.ndarray:
    """The labels of a face at the masks' own size: uint8 (512, 512), 0 ... ``classes`` - 1."""
    labels = np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
    for part in PARTS:
        if part in parts and part in IDS[classes]:
            labels[_read_part(root / part_name(number, part))] = IDS[classes][part]
    return labels


def _read_part(path: Path) -> np.ndarray:
    """Read the place of a part: bool (512, 512), True where the file is not black."""
    image = _open(path, MASK_SIDE, open_image, ("1", "L", "P", "RGB"))
    if image.mode == "P":
        image = image.convert("RGB")
    if image.mode == "RGB":
        red, green, blue = image.split()
        image = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return np.asarray(image) != 0


def _open(path: Path, side: int, read: Callable[[Path], Image.Image], modes: tuple[str, ...]) -> Image.Image:
    """Return what ``read`` makes of an image file of the expected size and mode."""
    try:
        image = read(path)
    except DataError as error:
        raise DataError(f"{error}; unpack the official archive again") from error
    if image.size != (side, side) or image.mode not in modes:
        size = f"{image.width} x {image.height}"
        raise DataError(f"{path} is {size} in mode {image.mode}; expected {side} x {side} in mode {' or '.join(modes)}")
    return image
