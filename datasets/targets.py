"""Dense targets: what the numbers in their files mean, and which numbers cannot be meant.

- **segmentation**: whole numbers of any type. Unlabelled pixels are invalid; a label out of range is refused.
- **depth**: floats in metres. 0, negative and not finite are invalid. Whole-number types, more than the sensor reaches
  (millimetres), and files with many different negative values are refused.
- **normals**: floats in [-1, 1], or uint8 as n = 2x / 255 - 1. Zero vectors, not finite ones, those longer than 1.25 (black and
  white of 8 bits) and, of 8 bits, those shorter than 0.5 (grey) are invalid; the others get unit length. Other types, a length
  above 2, and files that are mostly of other lengths than 1 are refused.
- **edges**: uint8 / 255, uint16 / 65535, else 0 to 1. Not finite is invalid; out of range is refused.

What one file cannot show is judged over several (``datasets/plausibility.py``). All that is wrong is a ``DataError``.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np

from datasets.images import read_array
from tasks.data_sets import LabelSet
from tasks.kinds import KINDS
from tasks.table import IGNORE_INDEX, MIN_NORMAL_LENGTH, Task
from utils.console import listed
from utils.errors import DataError
from utils.places import load

DEPTH_TOLERANCE = 1.01
"""Factor by which rounding and resizing may take a depth beyond the sensor's range."""
MOST_NEGATIVE = 0.01
"""Share of a file's depths that may be negative and differ, as overshoot at borders does."""
MOST_MARKS = 8
"""Different negative depths that mark invalid pixels."""
LENGTH_TOLERANCE = 0.1
"""Largest distance from 1 of a stored normal's length. In JPEG files of quality 95 to 50, 0.1 to 3 % of them are farther."""
LONGEST_NORMAL = 1.25
"""Beyond it a vector is no normal, but a colour that means "unknown" (black decodes to a length of 1.73), or the border of
one. In JPEG files of real normals 1 in 100,000 is longer than 1.15, none longer than 1.25."""
MAX_LENGTH = 2.0
"""A vector of 8 bits per axis is at most 1.74 long; anything longer holds no normals."""
SHORTEST_COLOUR = 0.5
"""Below it a vector of 8 bits per axis is grey, which means "unknown" as well."""
EXTREME = 0.75
"""Decoded 8-bit values that are all beyond it are white, or below its negative black, also after JPEG."""
STRENGTH_TOLERANCE = 1e-3
"""Distance to which resizing with overshoot may have taken an edge out of [0, 1]."""

LARGEST_VALUE = float(np.finfo(np.float32).max)
"""Largest number that a target can be."""

METRES = "floats in metres, 0 where invalid"
VECTORS = "float unit vectors (or 8 bits, n = 2x / 255 - 1), zero vectors where invalid"

_EIGHT_BIT_NORMALS = 2 * np.arange(256, dtype=np.float32) / np.float32(255) - 1
Decoded = tuple[np.ndarray, np.ndarray]
"""Values (K, H, W), 0 where they are invalid (labels: 255), and validity (1, H, W)."""


def read_target(task: Task, path: Path) -> Decoded:
    """Read a dense target."""
    return decode(task, read_array(path, exact=KINDS[task.kind].exact), path)


def decode(task: Task, array: np.ndarray, path: Path) -> Decoded:
    """Return the target that the array in the file ``path`` holds."""
    decoded: Decoded = load(KINDS[task.kind].reader)(array, path, task)
    return decoded


def whole_labels(array: np.ndarray, path: Path) -> np.ndarray:
    """Return the labels in the array of a file, (H, W) or with a dimension of one more, as int64 (1, H, W).

    Raises:
        DataError: it has another shape, or a value that is no whole number.
    """
    plane = _plane(array, path)
    with np.errstate(invalid="ignore"):
        labels = plane.astype(np.int64)
    broken = plane[labels != plane]
    if broken.size:
        raise DataError(f"{path} has the label {broken[0]:g}; expected whole numbers")
    return labels[None]


def read_labels(array: np.ndarray, path: Path, task: Task) -> Decoded:
    """Return the classes, from 0, in the array of a file; 255 where there is none."""
    assert task.labels is not None, "a segmentation has classes"
    labels = whole_labels(array, path)
    before, classes = _class_table(task.labels)
    classes = classes[np.clip(labels, before, before + len(classes) - 1) - before]
    wrong = classes < 0
    if wrong.any():
        raise DataError(f"{path} has the label {labels[wrong][0]}; expected {_labels_in_words(task)}")
    return classes.astype(np.uint8), classes != IGNORE_INDEX


@cache
def _class_table(labels: LabelSet) -> tuple[int, np.ndarray]:
    """Return a number below all labels, and for it and those that follow, up to one above all labels, their classes: 255 for an
    unlabelled pixel, -1 for what is no label."""
    meant = (*labels.numbers, *labels.unlabelled)
    before = min(meant) - 1
    classes = np.full(max(meant) + 2 - before, IGNORE_INDEX if labels.others_unlabelled else -1, np.int16)
    classes[np.array(labels.unlabelled, int) - before] = IGNORE_INDEX
    classes[np.array(labels.numbers) - before] = np.arange(len(labels.classes))
    return before, classes


def _labels_in_words(task: Task) -> str:
    """Write the labels that a file of a segmentation may have."""
    assert task.labels is not None, "a segmentation has classes"
    numbers = task.labels.numbers
    in_a_row = numbers == tuple(range(numbers[0], numbers[0] + len(numbers)))
    span = f"{numbers[0]}..{numbers[-1]}" if in_a_row else listed(list(map(str, numbers)))
    which = f" ({task.classes_key}: {task.outputs})" if task.classes_key else ""
    return " or ".join([*(f"{label} (unlabelled)" for label in task.labels.unlabelled[:1]), f"{span}{which}"])


def no_target(task: Task, size: tuple[int, int]) -> Decoded:
    """Return the dense target of a frame of this size, (height, width), of which nothing is known."""
    if task.labels is not None:
        return np.full((1, *size), IGNORE_INDEX, np.uint8), np.zeros((1, *size), bool)
    return np.zeros((task.channels, *size), np.float32), np.zeros((1, *size), bool)


def read_numbers(array: np.ndarray, path: Path, task: Task) -> Decoded:
    """Return the numbers of a regression, (H, W) or (H, W, channels) in the array of a file, in the task's unit."""
    stored = _plane(array, path)[..., None] if task.channels == 1 else array
    if stored.ndim != 3 or stored.shape[-1] != task.channels or not stored.size:
        raise DataError(f"{path} has the shape {array.shape}; expected (height, width, {task.channels})")
    values, unknown = _in_unit(stored, path, task)
    known = ~np.asarray(unknown.any(axis=-1))
    return np.ascontiguousarray(np.where(known, values.transpose(2, 0, 1), 0), np.float32), known[None]


def _in_unit(stored: np.ndarray, path: Path, task: Task) -> Decoded:
    """Return stored numbers in the task's unit, in 64 bits, and where they are unknown."""
    # A number that a file of floats cannot have exactly is there as the nearest one that it can.
    marks = np.array(task.invalid, stored.dtype if stored.dtype.kind == "f" else np.float64)
    unknown: np.ndarray = np.isin(stored, marks)
    if any(map(math.isnan, task.invalid)):
        unknown |= np.isnan(stored)
    broken: np.ndarray = ~(unknown | np.isfinite(stored))
    if broken.any():
        kind = "nan" if np.isnan(stored[broken][0]) else "inf"
        raise DataError(
            f"{path} has {int(broken.sum())} values that are not finite ({kind}); expected numbers, or invalid: [{kind}] if "
            "they mark unknown pixels"
        )
    values = np.where(unknown, 0, stored).astype(np.float64) * task.scale + task.offset
    if np.abs(values).max(initial=0) > LARGEST_VALUE:
        largest = values.flat[np.abs(values).argmax()]
        raise DataError(f"{path} has the value {largest:g}; expected at most {LARGEST_VALUE:.3g}, and others among invalid")
    return values, unknown


def read_depth(array: np.ndarray, path: Path, task: Task) -> Decoded:
    """Return the depth in metres in the array of a file."""
    plane, limit = _plane(array, path), task.depth_range
    if (task.scale, task.offset, task.invalid) != (1.0, 0.0, ()):
        values, unknown = _in_unit(plane, path, task)
        plane = np.where(unknown, 0, values)
    _expect_floats(plane, path, METRES)
    finite = np.isfinite(plane)
    largest = float(plane.max(initial=0, where=finite))
    if largest > DEPTH_TOLERANCE * limit:
        raise DataError(f"{path} has the depth {largest:g}; expected metres, at most {limit:g} (0 where invalid)")
    negative = finite & (plane < 0)
    values = np.where(finite & (plane > 0), plane, 0).astype(np.float32)[None]
    known = values > 0
    marks = np.unique(plane[negative])  # a few values are marks of invalid pixels
    many = negative.sum() > MOST_NEGATIVE * finite.sum() and len(marks) > MOST_MARKS
    if many or (len(marks) > 1 and negative.sum() > known.sum()):
        raise DataError(f"{path} has depths from {marks[0]:g} to {marks[-1]:g}; expected {METRES}")
    return values, known


def read_normals(array: np.ndarray, path: Path, task: Task) -> Decoded:
    """Return the normals in the array of a file."""
    return unit_vectors(array, path)


def unit_vectors(array: np.ndarray, path: Path) -> Decoded:
    """Return the normals in the array of a file, (H, W, 3), as float32 unit vectors (3, H, W) and their validity (1, H, W).

    Raises:
        DataError: they are no normals, or mostly in another encoding.
    """
    vectors, length = _vectors(array, path)
    if (length > MAX_LENGTH).any():
        finite = np.isfinite(array).all(axis=-1)  # a number that overflows is wrong; infinity in the file is no number
        wrong = np.argwhere((length > MAX_LENGTH) & finite)
        if len(wrong):
            longest = math.hypot(*map(float, array[tuple(wrong[0])]))
            raise DataError(f"{path} has a vector of length {longest:g}; expected {VECTORS}")
    stored, off = _off_length(length, array.dtype)
    if 2 * off.sum() > stored.sum():
        unknown = (vectors < -EXTREME).all(axis=0) | (vectors > EXTREME).all(axis=0)
        stored, off = stored & ~unknown, off & ~unknown
        if 2 * off.sum() > stored.sum():
            raise DataError(f"{path} has {_lengths(off, length)}; expected {VECTORS}")
    known = stored & (length <= LONGEST_NORMAL)
    normals = vectors / np.where(known, length, 1)
    if not known.all():
        normals[:, ~known] = 0
    return normals, known[None]


def _vectors(array: np.ndarray, path: Path) -> Decoded:
    """The vectors of a file as float32 (3, H, W), and their lengths (H, W): not finite where a component is not."""
    if array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise DataError(f"{path} has the shape {array.shape}; expected (height, width, 3)")
    if array.dtype == np.uint8:
        array = _EIGHT_BIT_NORMALS[array]
    _expect_floats(array, path, VECTORS)
    with np.errstate(over="ignore", invalid="ignore"):
        vectors = np.ascontiguousarray(array.transpose(2, 0, 1), np.float32)
        return vectors, np.sqrt(np.einsum("khw,khw->hw", vectors, vectors))


def _off_length(length: np.ndarray, stored_as: np.dtype) -> Decoded:
    """Return masks of the vectors of a file, and of those whose length is not about 1."""
    shortest = SHORTEST_COLOUR if stored_as == np.uint8 else MIN_NORMAL_LENGTH
    stored = (length > shortest) & (length < np.inf)
    return stored, stored & (np.abs(length - 1) > LENGTH_TOLERANCE)


def _lengths(off: np.ndarray, length: np.ndarray) -> str:
    return f"{off.sum()} normals of another length than 1, such as {length[off][0]:.3g}"


def read_edges(array: np.ndarray, path: Path, task: Task) -> Decoded:
    """Return the strengths of edges, from 0 to 1, in the array of a file."""
    if array.ndim == 3 and array.shape[2] == 3 and (array == array[..., :1]).all():
        array = array[..., 0]  # greys that are stored as colours
    plane = _plane(array, path)
    if plane.dtype.kind == "u" and plane.dtype.itemsize <= 2:
        return (plane / np.float32(np.iinfo(plane.dtype).max)).astype(np.float32)[None], np.ones((1, *plane.shape), bool)
    known = np.isfinite(plane)
    low, high = float(plane.min(initial=0, where=known)), float(plane.max(initial=0, where=known))
    slack = STRENGTH_TOLERANCE if plane.dtype.kind == "f" else 0
    if low < -slack or high > 1 + slack:
        raise DataError(
            f"{path} has the edge strength {low if low < -slack else high:g} ({plane.dtype}); expected 0 to 1, or uint8 or "
            "uint16, whose largest value is 1"
        )
    return np.where(known, plane, 0).clip(0, 1).astype(np.float32)[None], known[None]


def _plane(array: np.ndarray, path: Path) -> np.ndarray:
    """(H, W), (H, W, 1) or (1, H, W) as (H, W)."""
    plane = array.squeeze() if array.ndim == 3 else array
    if plane.ndim != 2:
        raise DataError(f"{path} has the shape {array.shape}; expected (height, width)")
    if not plane.size:
        raise DataError(f"{path} has the shape {array.shape}; expected (height, width) of at least one pixel")
    return plane


def _expect_floats(array: np.ndarray, path: Path, expected: str) -> None:
    if array.dtype.kind != "f":
        raise DataError(f"{path} holds numbers of type {array.dtype}; expected {expected}")


def blemish(task: Task, array: np.ndarray, path: Path) -> DataError | None:
    """Return what is wrong with values that :func:`decode` takes: it counts them as invalid, or brings them to unit length.

    Normals that were resized, or compressed as images, need not all have unit length.
    """
    if task.kind not in ("depth", "normals"):
        return None
    broken = int((~np.isfinite(array)).sum())
    if broken:
        return DataError(
            f"{path} has {broken} values that are not finite; expected {METRES if task.kind == 'depth' else VECTORS}"
        )
    if task.kind == "normals" and array.dtype.kind == "f" and task.has_unit_normals:
        length = _vectors(array, path)[1]
        off = _off_length(length, array.dtype)[1]
        if off.any():
            return DataError(f"{path} has {_lengths(off, length)}; expected {VECTORS}")
    return None
