"""The official ``nyu_depth_v2_labeled.mat`` (MATLAB v7.3, which is HDF5), a few frames in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import h5py
import numpy as np

from datasets.synthetic.rooms import Intrinsics
from utils.errors import DataError

HEIGHT, WIDTH = 480, 640
CROP = (slice(45, 470), slice(40, 600))
"""Rows and columns of a frame that have colour and depth: 425 x 560 of its 480 x 640 pixels."""

CAMERA = Intrinsics(518.858, 519.470, 325.582 - CROP[1].start, 253.736 - CROP[0].start)
"""The colour camera of the data set's toolbox, to which depth is registered, for the cropped frame."""

DATASETS: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
    "images": ((3, WIDTH, HEIGHT), np.uint8),
    "labels": ((WIDTH, HEIGHT), np.uint16),
    "depths": ((WIDTH, HEIGHT), np.float32),
    "rawDepths": ((WIDTH, HEIGHT), np.float32),
}
"""Shape of one frame and type of each dataset. MATLAB's arrays begin with their last axis in HDF5."""

BLOCK_BYTES = 64 * 2**20
"""Most of one dataset that is in memory at a time, unless a single chunk of the file is larger."""


class Frame(NamedTuple):
    """Contents of the file about one frame, cropped: H = 425, W = 560."""

    number: int
    """From 1."""
    image: np.ndarray
    """(H, W, 3) uint8."""
    labels: np.ndarray
    """(H, W) uint16: 0 unlabelled, else 1..894."""
    depth: np.ndarray
    """(H, W) float32: metres, 0 = invalid."""
    measured: np.ndarray
    """(H, W) bool: the depth is valid and, where the file says so, measured by the sensor rather than filled in."""


class _Blocks:
    """The frames of one dataset, read in blocks of whole chunks, so that no chunk is decompressed once per frame."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        most = max(1, BLOCK_BYTES // (math.prod(dataset.shape[1:]) * dataset.dtype.itemsize))
        self._length = min(dataset.chunks[0] if dataset.chunks else 1, most)
        self._first = 0
        self._block: np.ndarray | None = None

    def __getitem__(self, index: int) -> np.ndarray:
        first = index - index % self._length
        if self._block is None or first != self._first:
            self._block = None  # the old block goes before the new one comes
            try:
                self._block = self._dataset[first : first + self._length]
            except OSError as error:
                name = self._dataset.name.lstrip("/")
                raise DataError(
                    f"{self._dataset.file.filename}: frame {index + 1} of {name} cannot be read ({error}); "
                    "the file is damaged, download it again"
                ) from error
            self._first = first
        return self._block[index - first]


class OfficialNYU:
    """The frames of an open file; see :func:`open_official`.

    Args:
        file: the file.
        depth: ``filled`` for the in-painted depth, ``raw`` for what the sensor measured (0 where it measured nothing).

    Raises:
        DataError: a dataset is missing, or has another shape or type.
    """

    def __init__(self, file: h5py.File, depth: Literal["filled", "raw"] = "filled") -> None:
        self._file = file
        self.path = Path(file.filename)
        self.has_raw = "rawDepths" in file
        needed = ["images", "labels", "depths" if depth == "filled" else "rawDepths"]
        if depth == "filled" and self.has_raw:
            needed.append("rawDepths")
        self._depth = needed[2]
        datasets = {name: self._dataset(name) for name in needed}
        self.count: int = datasets["images"].shape[0]
        for name, dataset in datasets.items():
            if dataset.shape[0] != self.count:
                raise DataError(f"{self.path}: {name} has {dataset.shape[0]} frames, but images has {self.count}")
        self._blocks = {name: _Blocks(dataset) for name, dataset in datasets.items()}

    def _dataset(self, name: str) -> h5py.Dataset:
        shape, dtype = DATASETS[name]
        expected = f"expected ({', '.join(['frames', *map(str, shape)])}) of {np.dtype(dtype)}"
        dataset = self._file.get(name)
        if not isinstance(dataset, h5py.Dataset):
            raise DataError(f"{self.path}: there is no dataset {name!r}, {expected}; is it nyu_depth_v2_labeled.mat?")
        if len(dataset.shape) != 1 + len(shape) or dataset.shape[1:] != shape or dataset.dtype != dtype:
            raise DataError(f"{self.path}: dataset {name!r} is {dataset.shape} of {dataset.dtype}; {expected}")
        return dataset

    def frame(self, number: int) -> Frame:
        """Frame ``number``, from 1; cheapest in rising order."""
        parts = {name: blocks[number - 1].T[CROP].copy() for name, blocks in self._blocks.items()}
        depth = parts[self._depth]
        depth[~(np.isfinite(depth) & (depth > 0))] = 0
        measured = depth > 0
        if "rawDepths" in parts:
            measured &= parts["rawDepths"] > 0
        return Frame(number, parts["images"], parts["labels"], depth, measured)

    def scenes(self) -> list[str] | None:
        """The name of each frame's scene; None if the file does not say.

        Raises:
            DataError: what it says cannot be understood.
        """
        if "scenes" not in self._file:
            return None
        try:
            references = self._file["scenes"][()].ravel()
            names = ["".join(map(chr, self._file[reference][()].ravel())) for reference in references]
        except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self.path}: dataset 'scenes' cannot be read ({error}); expected references to texts") from error
        if len(names) != self.count:
            raise DataError(f"{self.path}: dataset 'scenes' names {len(names)} scenes; expected one per frame, {self.count}")
        return names


@contextmanager
def open_official(path: Path, depth: Literal["filled", "raw"] = "filled") -> Iterator[OfficialNYU]:
    """Open the official file, check it, and close it at the end.

    Raises:
        DataError: it is no HDF5 file, only a part of one, or holds something else.
    """
    try:
        file = h5py.File(path, "r")
    except PermissionError:
        raise
    except OSError as error:
        raise DataError(
            f"--mat {path}: is no MATLAB v7.3 (HDF5) file, or only a part of one ({path.stat().st_size} bytes: {error}); "
            "download nyu_depth_v2_labeled.mat (about 2.8 GB) again"
        ) from error
    with file:
        yield OfficialNYU(file, depth)
