"""Entries of the configuration's ``tasks``: what the numbers of a source may mean, guessed and explained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.file_index import double_files
from datasets.folders import MORE_TYPES, YES_OR_NO, column_values
from datasets.preparation.description.measures import Measure
from datasets.preparation.description.sources import Source
from datasets.problems import refuse
from datasets.targets import read_target
from settings.own_tasks import OwnTask, kinds_with
from tasks.kinds import KINDS
from tasks.table import IGNORE_INDEX
from utils.console import listed
from utils.errors import DataError

MOST_CLASSES = 64
"""Different numbers, or words, that are taken for classes."""
LEAST_ROWS = 2
"""Rows per word, on average, that make words a column of classes, and not of names."""
VOID = (IGNORE_INDEX, -1)
"""Numbers that stand for unlabelled pixels."""
COMMON, FAR = 0.01, 0.1
"""Share of the numbers from which one may be a mark of unknown pixels; and the least distance of (almost) all others from it,
in medians of that distance."""
NO_DATA = -999.0
"""Numbers from here downwards may be marks as well, as -9999 is in maps."""
UNEVEN = 20
"""Times that a class has more pixels than another, from which weights are worth a hint."""
MILLIMETRE = 0.001
"""Metres."""
DIGITS = 4
"""Digits of means and standard deviations."""
_FILES_READ_BACK = 3
"""Files that are read with the entry that was made, as the loaders read them."""


@dataclass(frozen=True)
class Entry:
    """One task: its keys in the configuration, and what they were guessed from."""

    name: str
    keys: Mapping[str, Any]
    frames: int
    """Frames that have a target."""
    facts: Sequence[str]
    """Sentences about it; the first one is for the terminal too."""


def folder_entry(source: Source, files: Measure, kind: str | None) -> Entry:
    """Return the entry of a task whose targets lie in files.

    Args:
        source: the folder.
        files: what they hold together.
        kind: of the task; None: a guess.

    Raises:
        DataError: they are no targets of that kind, or of any.
    """
    if kind is not None and kind not in (possible := kinds_with("folder")):
        raise DataError(f"{source.folder} has files; expected {', '.join(possible)} in place of {kind}")
    guessed = kind or _kind_of(files)
    types = tuple(dict.fromkeys((*KINDS[guessed].file_types, *MORE_TYPES)))
    paths = [path for of_frame in source.files.values() for path in of_frame]
    ending = source.ending
    if ending is None and any(path.suffix.lower() not in types for path in paths):
        if len(suffixes := {path.suffix for path in paths}) > 1:
            raise DataError(f"files of the types {', '.join(sorted(suffixes))}; expected some of {', '.join(types)}")
        (ending,) = suffixes
    refuse([problem for of_frame in source.files.values() for problem in double_files(of_frame)])
    place = {"folder": source.folder, **({"ending": ending} if ending else {})}
    keys, facts = _DENSE_KEYS[guessed](files)
    keys = {"kind": guessed, **place, **keys}
    if kind is None:
        facts = [*facts, f"{listed(sorted(files.types))} is taken for {guessed}; --task {source.name}=<kind> says another kind"]
    task = OwnTask.model_validate(keys).task(source.name)
    for path in paths[:_FILES_READ_BACK]:
        read_target(task, path)
    return Entry(source.name, keys, source.frames, facts)


def column_entry(source: Source, root: Path, kind: str | None) -> Entry:
    """Return the entry of a task whose targets are a column; see :func:`folder_entry`."""
    if kind is not None and kind not in (possible := kinds_with("column")):
        raise DataError(f"{source.file} has it as a column; expected {', '.join(possible)} in place of {kind}")
    cells = list(source.cells.values())
    words = sorted(set(cells))
    if len({word.lower() for word in words}) < 2:
        raise DataError(f"is {words[0]!r} in every row")
    guessed = kind or _kind_of_cells(cells)
    keys: dict[str, Any] = {"kind": guessed, "file": source.file, "column": source.column}
    if guessed == "attribute":
        facts = [f"yes in {_percent(sum(YES_OR_NO.get(cell.lower(), 0) for cell in cells), len(cells))} %"]
    elif guessed == "classification":
        keys["classes"] = words
        facts = [f"% of the labelled frames: {_shares({word: cells.count(word) for word in words})}"]
    else:
        numbers = [float(cell) for cell in cells if _is_number(cell)]
        marks = sorted({str(number) for number in numbers if not math.isfinite(number)})
        keys |= {"invalid": marks} if marks else {}
        more, facts = _spread(np.array([number for number in numbers if math.isfinite(number)]))
        keys |= more
    task = OwnTask.model_validate(keys).task(source.name)
    refuse(column_values(root / source.file, task, list(source.cells))[1])
    return Entry(source.name, keys, source.frames, facts)


def _kind_of(files: Measure) -> str:
    """Return the kind that the numbers in files look like."""
    if len(files.channels) > 1:
        raise DataError(f"files of {listed([str(count) for count in sorted(files.channels)])} numbers per pixel")
    if files.unit:
        return "normals"
    if files.grey or (files.lossy and files.channels == {1}):
        return "edges"
    if files.channels != {1}:
        if files.types <= {"uint8", "bool"}:
            raise DataError("pictures in colour that are no normals; expected labels as numbers, one per pixel")
        return "regression"
    few = files.counts is not None and len(files.counts) <= MOST_CLASSES
    return (
        "segmentation"
        if few and not any(name.startswith(("float", "int16", "uint16")) for name in files.types)
        else "regression"
    )


def _kind_of_cells(cells: Sequence[str]) -> str:
    """Return the kind that the texts of a column look like."""
    if all(cell.lower() in YES_OR_NO for cell in cells):
        return "attribute"
    if all(map(_is_number, cells)):
        return "regression"
    different = len(set(cells))
    if different <= MOST_CLASSES and LEAST_ROWS * different <= len(cells):
        return "classification"
    odd = [cell for cell in cells if not _is_number(cell)]
    if 2 * len(odd) < len(cells):
        raise DataError(f"has numbers, and {odd[0]!r}; leave the cell of an unknown number empty")
    raise DataError(f"has {different} different texts in {len(cells)} rows, which are no classes")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _segmentation(files: Measure) -> tuple[dict[str, Any], list[str]]:
    """Return the keys of a segmentation, and facts about it."""
    if files.counts is None:
        raise DataError(f"numbers that are not whole, or more than {IGNORE_INDEX} different ones")
    void = [number for number in files.counts if number in VOID]
    numbers = sorted(files.counts.keys() - void)
    if len(numbers) < 2:  # a mask of 0 and 255
        void, numbers = [], sorted(files.counts)
    if len(numbers) < 2:
        raise DataError(f"the number {numbers[0]} everywhere")
    classes = {number: f"class_{number}" for number in numbers}
    in_a_row = numbers == list(range(len(numbers)))
    keys: dict[str, Any] = {"classes": list(classes.values()) if in_a_row else classes}
    if void or IGNORE_INDEX in numbers:
        keys["ignore"] = sorted(void)
    pixels = {name: files.counts[number] for number, name in classes.items()}
    facts = [f"{len(numbers)} classes, % of the labelled pixels: {_shares(pixels)}"]
    if void:
        unlabelled = _percent(sum(files.counts[number] for number in void), files.counts.total())
        facts.append(f"{listed([str(number) for number in sorted(void)])} is taken as unlabelled: {unlabelled} % of all pixels")
    most, least = max(pixels, key=pixels.__getitem__), min(pixels, key=pixels.__getitem__)
    if pixels[most] > UNEVEN * pixels[least]:
        times = pixels[most] // pixels[least]
        facts.append(f"{most} has {times} times the pixels of {least}: try class_weights: balanced beside tasks")
    return keys, facts


def _regression(files: Measure) -> tuple[dict[str, Any], list[str]]:
    """Return the keys of a regression, and facts about it."""
    (channels,) = files.channels
    invalid: list[float | str] = list(sorted(files.marks))
    said = [f"{listed(sorted(files.marks))} occurs, and is taken as unknown"] if files.marks else []
    numbers = files.numbers
    classes = files.counts is not None and len(files.counts) <= MOST_CLASSES
    mark = _mark(numbers) if channels == 1 and not classes else None
    if mark is not None:
        share, numbers = _percent((numbers == mark).sum(), numbers.size), numbers[numbers != mark]
        invalid.insert(0, int(mark) if mark == int(mark) else mark)
        said.append(f"{mark:g} is taken as unknown: {share} % of the numbers, and far from the others")
    elif files.lowest == 0 and channels == 1:
        said.append("0 is taken as a number like others; invalid: [0] makes it an unknown value")
    spread, facts = _spread(numbers)
    several = {"channels": channels} if channels > 1 else {}
    if classes:
        said.append("all numbers are whole, and few: with kind segmentation they are classes")
    return {**several, **({"invalid": invalid} if invalid else {}), **spread}, [*facts, *said]


def _mark(numbers: np.ndarray) -> float | None:
    """Return the smallest number if it seems to mark unknown pixels: 0, or below -999, common, and far from the others."""
    lowest = numbers.min(initial=math.inf)
    if lowest != 0 and lowest > NO_DATA:
        return None
    distances = numbers[numbers != lowest] - lowest
    if not distances.size or (numbers == lowest).mean() < COMMON:
        return None
    return float(lowest) if np.quantile(distances, COMMON) > FAR * np.median(distances) else None


def _spread(numbers: np.ndarray) -> tuple[dict[str, Any], list[str]]:
    """Return mean and standard deviation as keys, and the range as a fact."""
    if not numbers.size or numbers.std() == 0:
        raise DataError("the same number everywhere" if numbers.size else "no finite number")
    mean, std = (float(f"{value:.{DIGITS}g}") for value in (numbers.mean(), numbers.std()))
    return {"mean": mean, "std": std}, [f"numbers from {numbers.min():g} to {numbers.max():g}"]


def _depth(files: Measure) -> tuple[dict[str, Any], list[str]]:
    """Return the keys of depths: whole numbers are taken for millimetres."""
    whole = not any(name.startswith("float") for name in files.types)
    scale = MILLIMETRE if whole else 1.0
    largest = files.largest * scale
    keys: dict[str, Any] = {"scale": scale, "invalid": [0]} if whole else {}
    said = ["taken for millimetres, 0 as unknown"] if whole else ["taken for metres, 0 as unknown"]
    return {**keys, "range": math.ceil(10 * largest) / 10 or 1.0}, [f"up to {largest:.{DIGITS}g} m", *said]


def _no_more_keys(fact: str) -> Callable[[Measure], tuple[dict[str, Any], list[str]]]:
    return lambda files: ({}, [fact])


_DENSE_KEYS: dict[str, Callable[[Measure], tuple[dict[str, Any], list[str]]]] = {
    "segmentation": _segmentation,
    "regression": _regression,
    "depth": _depth,
    "normals": _no_more_keys("unit vectors"),
    "edges": _no_more_keys("strengths"),
}
"""What finds the keys of each kind that has files."""


def _shares(counts: Mapping[str, int]) -> str:
    """Return ``a 70, b 30``: percentages."""
    total = sum(counts.values())
    return listed([f"{name} {_percent(count, total)}" for name, count in counts.items()], MOST_CLASSES)


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.3g}"
