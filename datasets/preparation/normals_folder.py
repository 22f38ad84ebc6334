"""Surface normals that come as a folder of files, one per frame, found by its number."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets.file_index import Place, index_files, numbered_files
from datasets.images import read_array
from datasets.preparation.official_nyu import CROP, HEIGHT, WIDTH
from datasets.targets import unit_vectors
from utils.console import track
from utils.errors import DataError

NORMAL_FILES = numbered_files(r"\.(?:png|jpg|jpeg|npy)", "{:04d}.png")
SIZES = ((HEIGHT, WIDTH), (CROP[0].stop - CROP[0].start, CROP[1].stop - CROP[1].start))


def read_normals(path: Path) -> np.ndarray:
    """The normals in a file at 425 x 560: (H, W, 3) float32 unit vectors, zero where the file has none.

    They are read by the loaders' own reader (``datasets/targets.py``): 8-bit values x stand for 2 x / 255 - 1.

    Raises:
        DataError: the file is broken, has another size or holds no normals.
    """
    array = read_array(path)
    if array.ndim != 3 or array.shape[2] != 3 or array.shape[:2] not in SIZES:
        sizes = " or ".join(f"({height}, {width}, 3)" for height, width in SIZES)
        raise DataError(f"{path} has the shape {array.shape}; expected {sizes}")
    if array.shape[0] == HEIGHT:
        array = array[CROP]
    normals, known = unit_vectors(array, path)
    if not known.any():
        raise DataError(f"{path} has no normal: all vectors are zero, or as long as no normal is")
    return normals.transpose(1, 2, 0)


class NormalsFolder:
    """The files of a folder for some frames, all read and checked once.

    Args:
        folder: files whose names are the frames' numbers, from 1, with any number of leading zeros.
        numbers: the frames that are needed.

    Raises:
        DataError: the folder or a frame's file is missing or wrong, or a frame has two.
    """

    def __init__(self, folder: Path, numbers: Sequence[int]) -> None:
        names = [str(number) for number in numbers]
        files = index_files(Place(folder, NORMAL_FILES), names, "--normals (frames count from 1)")
        self._files = {int(name): path for name, path in files.items()}
        digest, towards, all_known = hashlib.sha256(), 0, 0
        for number in track(numbers, "reading the normals"):
            path = self._files[number]
            normals = read_normals(path)
            digest.update(f"{path.name} ".encode() + hashlib.sha256(path.read_bytes()).digest())
            towards += int((normals[..., 2] < 0).sum())
            all_known += int(normals.any(axis=-1).sum())
        self.share_towards_camera = towards / all_known
        """Share of the known normals with z < 0; almost all visible surfaces have it."""
        self.source: dict[str, Any] = {"folder": folder.name, "files": len(numbers), "sha256": digest.hexdigest()}

    def read(self, number: int) -> np.ndarray:
        """The normals of a frame, as :func:`read_normals` gives them."""
        return read_normals(self._files[number])
