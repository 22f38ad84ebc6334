"""Surface normals that come as a folder of files, one per frame, found by its number."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datasets.preparation.official_nyu import CROP, HEIGHT, WIDTH
from utils.console import track
from utils.errors import DataError, reason

TYPES = (".png", ".jpg", ".jpeg", ".npy")
SIZES = ((HEIGHT, WIDTH), (CROP[0].stop - CROP[0].start, CROP[1].stop - CROP[1].start))
MIN_LENGTH = 0.1
"""Below this length a vector is no normal, as for the loader (``datasets.transforms.MIN_NORMAL_LENGTH``, which needs torch)."""
MAX_LENGTH = 2.0
"""A vector of 8 bits per axis is at most 1.74 long; anything longer holds no normals."""


def read_normals(path: Path) -> np.ndarray:
    """The normals in a file at 425 x 560: (H, W, 3) float32 unit vectors, zero where the file has none.

    8-bit values x stand for 2 x / 255 - 1, which makes 127 and 128 in all three channels the zero vector.

    Raises:
        DataError: the file is broken, has another size or holds no normals.
    """
    try:
        if path.suffix.lower() == ".npy":
            array = np.load(path, allow_pickle=False)
        else:
            with Image.open(path) as image:
                array = np.array(image)
    except Exception as error:  # PIL and numpy raise half a dozen types for a broken file
        raise DataError(f"{path} cannot be read ({reason(error)})") from error
    if array.ndim != 3 or array.shape[2] != 3 or array.shape[:2] not in SIZES:
        sizes = " or ".join(f"({height}, {width}, 3)" for height, width in SIZES)
        raise DataError(f"{path} has the shape {array.shape}; expected {sizes}")
    if array.dtype == np.uint8:
        array = 2 * array.astype(np.float32) / 255 - 1
    elif array.dtype.kind != "f":
        raise DataError(f"{path} holds {array.dtype}; expected 8-bit values or floating-point numbers in [-1, 1]")
    if array.shape[0] == HEIGHT:
        array = array[CROP]
    array = np.nan_to_num(array.astype(np.float32), nan=0.0, posinf=np.inf, neginf=-np.inf)
    length = np.linalg.norm(array, axis=-1, keepdims=True)
    if length.max() > MAX_LENGTH:
        raise DataError(f"{path} has a vector of length {length.max():g}; expected unit vectors, or zero where there is none")
    known = length > MIN_LENGTH
    if not known.any():
        raise DataError(f"{path} has no normal: all vectors are zero or shorter than {MIN_LENGTH}")
    return np.divide(array, length, out=np.zeros_like(array), where=known)


class NormalsFolder:
    """The files of a folder for some frames, all read and checked once.

    Args:
        folder: files whose names are the frames' numbers, from 1, with any number of leading zeros.
        numbers: the frames that are needed.

    Raises:
        DataError: the folder or a frame's file is missing or wrong, or a frame has two.
    """

    def __init__(self, folder: Path, numbers: Sequence[int]) -> None:
        if not folder.is_dir():
            raise DataError(f"--normals {folder}: is no folder; expected one image or .npy file per frame")
        self._files: dict[int, Path] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in TYPES and path.stem.isascii() and path.stem.isdigit():
                other = self._files.setdefault(int(path.stem), path)
                if other != path:
                    raise DataError(f"--normals {folder}: {other.name} and {path.name} are both of frame {int(path.stem)}")
        missing = [number for number in numbers if number not in self._files]
        if missing:
            raise DataError(
                f"--normals {folder}: there is no file for frame {missing[0]} (such as {missing[0]:04d}.png; frames count from "
                f"1); {len(missing)} of {len(numbers)} frames have none"
            )
        digest, towards, all_known = hashlib.sha256(), 0, 0
        for number in track(numbers, "reading the normals"):
            path = self._files[number]
            normals = read_normals(path)
            digest.update(f"{path.name} ".encode() + hashlib.sha256(path.read_bytes()).digest())
            towards += int((normals[..., 2] < 0).sum())
            all_known += int(normals.any(axis=-1).sum())
        self.share_towards_camera = towards / all_known
        """Of all normals, those with z < 0, as almost all that can be seen have."""
        self.source: dict[str, Any] = {"folder": folder.name, "files": len(numbers), "sha256": digest.hexdigest()}

    def read(self, number: int) -> np.ndarray:
        """The normals of a frame, as :func:`read_normals` gives them."""
        return read_normals(self._files[number])
