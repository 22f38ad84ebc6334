"""A part of the cache: the image or one task's target of all frames of a split, as one memory-mapped array."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.files import unfinished, write_text

CODES, FACTS = "codes.raw", "part.json"
DAMAGED = (OSError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Errors that a part may raise when it is opened or checked while its files are not whole."""


class Part:
    """A finished part.

    Args:
        folder: as :class:`PartWriter` left it.

    Attributes:
        bad: the frames that could not be read, and why.

    Raises:
        DAMAGED: its files are not whole.
    """

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        names: list[str] = facts["names"]
        self.folder = folder
        self.bad: dict[str, str] = dict(facts["bad"].items())
        self.rows = {name: row for row, name in enumerate(names)}
        self.scales = np.array(facts["scales"], np.float64)
        shape, kind = (len(names), *facts["shape"]), np.dtype(facts["type"])
        expected, size = int(np.prod(shape)) * kind.itemsize, (folder / CODES).stat().st_size
        if kind.kind not in "buif":  # codes of the type object would be taken for addresses
            raise ValueError(f"{FACTS} says the type {kind}; expected numbers")
        if size != expected or len(self.scales) != len(names):
            raise ValueError(f"{CODES} has {size} bytes, expected {expected}")
        self.codes = np.memmap(folder / CODES, kind, "r", shape=shape) if names else np.empty(shape, kind)

    def __reduce__(self) -> tuple[Any, ...]:
        """A process that is not a fork opens the files itself: pickling a memory map would copy it."""
        return Part, (self.folder,)

    def check(self, names: Sequence[str], shape: tuple[int, ...], dtype: np.dtype) -> None:
        """See whether all of these frames are in the part, or in its list of bad ones, as codes of this shape and type.

        Raises:
            ValueError: they are not.
        """
        lost = [name for name in names if name not in self.rows and not isinstance(self.bad.get(name), str)]
        if lost:
            raise ValueError(f"{FACTS} does not know the frame {lost[0]}")
        if self.codes.shape[1:] != tuple(shape) or self.codes.dtype != dtype:
            raise ValueError(f"frames are {self.codes.dtype} {self.codes.shape[1:]}, expected {dtype} {tuple(shape)}")

    def take(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Copies of the codes (B, K, H, W) and of the scales (B,) of some frames."""
        rows = [self.rows[name] for name in names]
        codes = np.empty((len(rows), *self.codes.shape[1:]), self.codes.dtype)
        for place, row in enumerate(rows):
            codes[place] = self.codes[row]
        return codes, self.scales[rows]


class PartWriter:
    """Fills a part frame by frame, in a temporary folder beside its place.

    Args:
        path: the part's folder.
        shape: of one frame's codes, (K, H, W).
        dtype: of the codes.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._path, self._shape, self._dtype = path, shape, dtype
        self._temporary = unfinished(path)
        self._temporary.mkdir()
        self._file = (self._temporary / CODES).open("wb")
        self._names: list[str] = []
        self._scales: list[float] = []
        self._bad: dict[str, str] = {}

    def add(self, name: str, codes: np.ndarray, scale: float) -> None:
        """The next frame."""
        assert codes.shape == self._shape and codes.dtype == self._dtype, (name, codes.shape, codes.dtype)
        self._file.write(np.ascontiguousarray(codes).data)
        self._names.append(name)
        self._scales.append(scale)

    def add_bad(self, name: str, reason: str) -> None:
        """A frame that cannot be read has no row."""
        self._bad[name] = reason

    def finish(self) -> None:
        """Flush everything, and give the folder its name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        facts = {
            "shape": self._shape,
            "type": self._dtype.str,
            "names": self._names,
            "scales": self._scales,
            "bad": self._bad,
        }
        write_text(self._temporary / FACTS, json.dumps(facts))
        os.replace(self._temporary, self._path)

    def discard(self) -> None:
        """Leave nothing behind, unless it is finished."""
        with contextlib.suppress(OSError):  # on a full disk, what is buffered cannot be written now either
            self._file.close()
        shutil.rmtree(self._temporary, ignore_errors=True)
