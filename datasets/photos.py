"""Photos of any size and kind, without targets: which there are, and how a network sees them."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from datasets.nyu import image_tensor
from datasets.sample import Sample, finish
from datasets.transforms import resize
from utils.config import ExperimentConfig
from utils.errors import DataError

LONGEST_NAME = 200
"""Bytes: with a type, or as that of a temporary file, a longer one may be more than a file system takes."""
PHOTO_TYPES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def find_photos(place: Path) -> dict[str, Path]:
    """The photos of a folder, or the one photo that ``place`` is, in the order of their names.

    Sub-folders, hidden files and files of other types are left out.

    Returns:
        path per name for what is made of the photo: the file's name without its type, or with it where two would be called
        the same; ``<part of it>~<16 digits>`` where that is no name for every system (too long, no text) or two still differ
        in capitals or in the form of accents alone.

    Raises:
        DataError: there is no photo.
    """
    readable = f"photos are files of the types {', '.join(PHOTO_TYPES)}"
    if not place.exists():
        raise DataError(f"--images {place}: there is no such folder or file")
    files = [place] if place.is_file() else sorted(place.iterdir())
    photos = [path for path in files if path.suffix.lower() in PHOTO_TYPES and path.is_file()]
    photos = [path for path in photos if path == place or not path.name.startswith(".")]
    if not photos:
        raise DataError(f"--images {place}: {'is no photo' if place.is_file() else 'there is no photo in it'}; {readable}")
    return dict(zip(_output_names([path.name for path in photos]), photos, strict=True))


def _output_names(files: Sequence[str]) -> list[str]:
    """A name per file, which another file has in no file system."""
    stems = [Path(file).stem for file in files]
    count, full = Counter(map(_folded, stems)), set(map(_folded, files))
    names = [
        file if count[_folded(stem)] > 1 or _folded(stem) in full else stem for file, stem in zip(files, stems, strict=True)
    ]
    count = Counter(map(_folded, names))
    return [
        name if count[_folded(name)] == 1 and _is_safe(name) else _numbered(name, file)
        for file, name in zip(files, names, strict=True)
    ]


def _folded(name: str) -> str:
    """What is equal for two names that some file system takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _is_safe(name: str) -> bool:
    """True for text without control characters, not too long, and of another form than what :func:`_numbered` gives."""
    too_long = len(os.fsencode(name)) > LONGEST_NAME
    return not (too_long or _cleaned(name) != name or re.search("~[0-9a-f]{16}$", name))


def _cleaned(name: str) -> str:
    """``name`` with _ in place of control characters, of bytes that are no text, and of dots that would be a folder."""
    text = "".join("_" if unicodedata.category(char) in ("Cc", "Cs") else char for char in name)
    return text if text.strip(".") else "_" * len(text)


def _numbered(name: str, file: str) -> str:
    start = _cleaned(name).encode()[: LONGEST_NAME // 2].decode(errors="ignore")
    return f"{start}~{hashlib.sha256(os.fsencode(file)).hexdigest()[:16]}"


def read_photo(path: Path) -> Image.Image:
    """A photo as an RGB picture, upright as its EXIF data says.

    Grey values of 16 bits and of floats are scaled to 8 bits, transparent pixels lie on white.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with Image.open(path) as image:
            return _as_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # PIL raises half a dozen types for a broken file
        raise DataError(f"{path} cannot be read as a photo ({error})") from error


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        # PIL's own conversion cuts everything above 255 off.
        return Image.fromarray(_eight_bits(np.array(image))).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _eight_bits(grey: np.ndarray) -> np.ndarray:
    """(H, W) integers of 16 or 32 bits, or floats, as uint8. White is 65535, or where the type does not say it, the first of
    1 (floats), 255 and 65535 that no value exceeds."""
    values = np.nan_to_num(grey.astype(np.float64), posinf=0, neginf=0)
    largest = values.max()
    if grey.dtype.itemsize == 2:
        white = 65535.0
    else:
        ranges = (1.0, 255.0, 65535.0) if grey.dtype.kind == "f" else (255.0, 65535.0)
        white = next((white for white in ranges if largest <= white), largest)
    return np.clip(np.rint(values * (255 / white)), 0, 255).astype(np.uint8)


def network_input(photo: Image.Image, config: ExperimentConfig) -> Sample:
    """An RGB photo as the loaders give a frame (``image`` float32 (C, H, W) in [0, 1] at the input size), without targets."""
    image = image_tensor(photo, config.input_img_channels == 1)
    raw = Sample(image=image, targets={}, masks={}, name="")
    return finish(resize(raw, config.size), config.depth_target)
