"""Numbers in the files of targets, before anybody has said what they mean."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from datasets.images import read_array
from datasets.targets import unit_vectors
from tasks.table import IGNORE_INDEX
from utils.errors import DataError

PIXELS = 4096
"""Pixels of a file from which mean, spread and the like are taken."""
ORIENTATION, ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)
"""Key of EXIF data, and those of its values that swap height and width."""


class Measure(NamedTuple):
    """Contents of one file, or of all files of a source."""

    problem: str = ""
    """Reason why it cannot be read."""
    sizes: frozenset[tuple[int, int]] = frozenset()
    """Heights and widths."""
    types: frozenset[str] = frozenset()
    """Types of its numbers, as numpy has them."""
    channels: frozenset[int] = frozenset()
    """Numbers per pixel."""
    counts: Counter[int] | None = None
    """Pixels per number, where all are whole and at most 255 different; None: they are not."""
    numbers: np.ndarray = np.empty(0)
    """Finite numbers of some pixels, evenly spread."""
    lowest: float = math.inf
    """Smallest finite number."""
    largest: float = -math.inf
    """Largest finite number."""
    marks: frozenset[str] = frozenset()
    """``nan``, ``inf`` and ``-inf``, where they occur."""
    unit: bool = False
    """True if the pixels are unit vectors."""
    grey: bool = False
    """True if the three numbers of every pixel are the same."""
    lossy: bool = False
    """True for JPEG files, whose numbers are not exact."""


def picture_size(path: Path) -> tuple[int, int] | None:
    """Return height and width of an image by the head of its file; None if it cannot be read."""
    try:
        if path.suffix.lower() == ".npy":
            height, width = np.load(path, mmap_mode="r", allow_pickle=False).shape[:2]
            return height, width
        with Image.open(path) as image:
            on_its_side = image.getexif().get(ORIENTATION, 1) in ON_ITS_SIDE
            return (image.width, image.height) if on_its_side else (image.height, image.width)
    except Exception:  # PIL and numpy raise half a dozen types for a broken file
        return None


def measure(path: Path) -> Measure:
    """Measure the numbers in a file of targets."""
    try:
        array = read_array(path, exact=True)
    except DataError as error:
        try:
            array = read_array(path)  # as other kinds than labels are read
        except DataError:
            return Measure(problem=str(error))
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array.squeeze(0 if array.shape[0] == 1 else 2)
    if array.ndim not in (2, 3) or not array.size:
        return Measure(problem=f"{path} has the shape {array.shape}; expected (height, width) or (height, width, numbers)")
    channels = array.shape[2] if array.ndim == 3 else 1
    floats = array.dtype.kind == "f"
    marks = [("nan", np.isnan(array)), ("inf", array == np.inf), ("-inf", array == -np.inf)] if floats else []
    finite = array[np.isfinite(array)]
    numbers = array.reshape(-1, channels)[:: max(1, array.size // channels // PIXELS)].astype(np.float64).ravel()
    return Measure(
        sizes=frozenset([(int(array.shape[0]), int(array.shape[1]))]),
        types=frozenset([array.dtype.name]),
        channels=frozenset([channels]),
        counts=_counts(array) if channels == 1 else None,
        numbers=numbers[np.isfinite(numbers)],
        lowest=float(finite.min()) if finite.size else math.inf,
        largest=float(finite.max()) if finite.size else -math.inf,
        marks=frozenset(name for name, places in marks if places.any()),
        unit=channels == 3 and _is_unit(array, path),
        grey=channels == 3 and bool((array == array[..., :1]).all()),
        lossy=path.suffix.lower() in (".jpg", ".jpeg"),
    )


def crashed(path: Path) -> Measure:
    """Return the measure of a file whose reading ended the process."""
    return Measure(problem=f"{path} crashes the program that reads it")


def _counts(array: np.ndarray) -> Counter[int] | None:
    """Return the pixels per number of whole numbers; None if others are among them, or too many different ones."""
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.rint(array)).all()):
        return None
    labels, pixels = np.unique(array, return_counts=True)
    if len(labels) > IGNORE_INDEX:
        return None
    return Counter(dict(zip(labels.astype(np.int64).tolist(), pixels.tolist(), strict=True)))


def _is_unit(array: np.ndarray, path: Path) -> bool:
    """Return True if the pixels are unit vectors, of which some component is negative, and of floats almost all are valid."""
    with suppress(DataError):
        values, known = unit_vectors(array, path)
        return bool(known.any()) and bool(values.min() < 0)
    return False


def merged(measures: Sequence[Measure]) -> Measure:
    """Return what several files hold together; those that cannot be read are left out."""
    whole = [measure for measure in measures if not measure.problem]
    if not whole:
        return measures[0]
    counts: Counter[int] | None = Counter()
    for measure in whole:
        counts = None if counts is None or measure.counts is None else counts + measure.counts
    return Measure(
        sizes=frozenset().union(*(measure.sizes for measure in whole)),
        types=frozenset().union(*(measure.types for measure in whole)),
        channels=frozenset().union(*(measure.channels for measure in whole)),
        counts=counts if counts is None or len(counts) <= IGNORE_INDEX else None,
        numbers=np.concatenate([measure.numbers for measure in whole]),
        lowest=min(measure.lowest for measure in whole),
        largest=max(measure.largest for measure in whole),
        marks=frozenset().union(*(measure.marks for measure in whole)),
        unit=all(measure.unit for measure in whole),
        grey=all(measure.grey for measure in whole),
        lossy=any(measure.lossy for measure in whole),
    )
