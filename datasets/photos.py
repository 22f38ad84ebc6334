"""Photos of any size and kind, without targets: which there are, and how a network sees them."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from datasets.images import channels
from datasets.sample import Sample, finish
from datasets.transforms import resize
from settings.config import ExperimentConfig
from utils.console import listed
from utils.errors import DataError

LONGEST_NAME = 200
"""Bytes: with a type, or as that of a temporary file, a longer one may be more than a file system takes."""
PHOTO_TYPES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
OTHER_TYPES = (".heic", ".heif", ".avif", ".jxl", ".dng", ".gif")
"""Photos, or pictures, of types that are not read: they are named where they are left out."""

log = logging.getLogger(__name__)


def find_photos(place: Path) -> dict[str, Path]:
    """The photos of a folder, or the one photo that ``place`` is, in the order of their names.

    Sub-folders, hidden files and files of other types are left out; the log names the photos among them.

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
    files = [path for path in files if path.is_file() and (path == place or not path.name.startswith("."))]
    photos = [path for path in files if path.suffix.lower() in PHOTO_TYPES]
    others = listed([path.name for path in files if path.suffix.lower() in OTHER_TYPES])
    if not photos:
        what = "is no photo" if place.is_file() else "there is no photo in it"
        below = [] if place.is_file() else sorted(path.name for path in place.iterdir() if path.is_dir())
        what += f", and sub-folders are not read; give one of {listed(below, 3)}" if below else ""
        raise DataError(f"--images {place}: {what}; {readable}{f'; save as JPEG first: {others}' if others else ''}")
    if others:
        log.warning("left out: %s; save as JPEG first, as %s", others, readable)
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
    """Return a text that is equal for two names that some file system takes for the same."""
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


def network_input(photo: Image.Image, config: ExperimentConfig) -> Sample:
    """An RGB photo as the loaders give a frame (``image`` float32 (C, H, W) in [0, 1] at the input size), without targets."""
    image = torch.from_numpy(channels(photo, config.input_img_channels == 1))
    raw = Sample(image=image, targets={}, masks={}, name="")
    return finish(resize(raw, {}, config.size), {}, config.depth_target)
