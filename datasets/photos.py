"""Photos of any size and kind, without targets: which there are, and how a network sees them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch
from PIL import Image

from datasets.images import channels
from datasets.sample import Sample, finish
from datasets.transforms import resize
from utils.config import ExperimentConfig
from utils.errors import DataError

PHOTO_TYPES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def find_photos(place: Path) -> dict[str, Path]:
    """The photos of a folder, or the one photo that ``place`` is, in the order of their names.

    Sub-folders, hidden files and files of other types are left out.

    Returns:
        path per name for what is made of the photo: the file's name without its type, or with it where two would be called
        the same.

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
    stems = Counter(path.stem for path in photos)
    full = {path.name for path in photos}
    return {path.name if stems[path.stem] > 1 or path.stem in full else path.stem: path for path in photos}


def network_input(photo: Image.Image, config: ExperimentConfig) -> Sample:
    """An RGB photo as the loaders give a frame (``image`` float32 (C, H, W) in [0, 1] at the input size), without targets."""
    image = torch.from_numpy(channels(photo, config.input_img_channels == 1))
    raw = Sample(image=image, targets={}, masks={}, name="")
    return finish(resize(raw, config.size), config.depth_target)
