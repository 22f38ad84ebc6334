"""Encodings of targets that one file cannot show, judged over the files of a set.

A set whose labels are counted from another number, whose edges are stored as 0 and 1 in 8 bits, or whose normals were never
decoded has files that are all right one by one. The loaders judge by a few files of a split, ``prepare_data.py verify`` by all.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from datasets.images import read_array
from datasets.targets import decode, whole_labels
from tasks.data_sets import LabelSet
from tasks.kinds import KINDS
from tasks.table import IGNORE_INDEX, Task
from utils.errors import DataError
from utils.files import evenly_spread

if TYPE_CHECKING:
    from datasets.base import MultiTaskDataset

log = logging.getLogger(__name__)

LOOKED_AT = 24
"""Files of a split and task that a loader looks at before it begins: a fraction of a second."""
HANDFUL = 6
"""Files of which one has the last class, where it is common: two of three frames of NYU-v2 have it."""
FEW = 0.1
"""Share of the frames that may be strange."""
SPECKS = 1e-3
"""Share of a frame's pixels that compression may leave with the faintest strength."""
FAINTEST = 1.01 / 255
"""A set whose strongest edge is not above it holds 0 and 1 in 8 bits, or 8-bit values in 16 bits."""
NEAREST = 1.0
"""Metres; a set without any depth above it does not hold the depths of rooms."""


class Facts(NamedTuple):
    """Evidence of one file: the labels that occur in it, or the range of its values (0 where they are invalid)."""

    labels: frozenset[int] = frozenset()
    lowest: float = 0.0
    largest: float = 0.0
    binary: bool = False
    """Edges of 8 bits that are 0 and 1, perhaps with 255 as a mark of void."""


class Finding(NamedTuple):
    """Fault of a set: a file for an example, what it shows, what was expected."""

    path: Path
    problem: str
    expected: str
    refused: bool = True
    """The targets would be wrong; else they may be."""


def facts_of(task: Task, array: np.ndarray, path: Path, values: np.ndarray | None = None) -> Facts:
    """Return the facts of the array in the file ``path``; ``values``: its target, where it is decoded already.

    Raises:
        DataError: the file cannot be a target.
    """
    if task.kind == "segmentation":
        labels = whole_labels(array, path)
        # Of bytes, counting is ten times as fast as sorting.
        present = np.flatnonzero(np.bincount(array.ravel())) if array.dtype == np.uint8 else np.unique(labels)
        return Facts(frozenset(present.tolist()))
    if values is None:
        values, _ = decode(task, array, path)
    binary = task.kind == "edges" and array.dtype == np.uint8 and bool(np.isin(array, (0, 1, 255)).all())
    return Facts(lowest=float(values.min()), largest=float(values.max()), binary=binary and float((array == 1).mean()) > SPECKS)


def judge(task: Task, facts: Mapping[Path, Facts]) -> Finding | None:
    """Return what the files of a set show together; None if they are what they should be."""
    if not facts:
        return None
    files = f"{len(facts)} file{'s' * (len(facts) > 1)}"
    if task.kind == "segmentation":
        return _judge_labels(task, facts, files)
    lowest, largest = min(fact.lowest for fact in facts.values()), max(fact.largest for fact in facts.values())
    path = max(facts, key=lambda path: facts[path].largest)
    if largest <= 0 <= lowest:
        return None  # there is no value
    binary = [path for path, fact in facts.items() if fact.binary]
    if len(binary) > max(1, FEW * len(facts)):
        problem = f"has edges of 0 and 1 in 8 bits, as {len(binary)} of {files} have"
        return Finding(binary[0], problem, "full edges of 255 (8 bits), 65535 (16 bits), or 1 (floats, 1 bit)")
    if task.kind == "edges" and largest <= FAINTEST:
        problem = f"has no edge above {largest:.2g} of the largest value of its type, nor has any of {files}"
        return Finding(path, problem, "full edges of 255 (8 bits), 65535 (16 bits), or 1 (floats, 1 bit)")
    if task.kind == "normals" and lowest >= 0:
        return Finding(path, f"has no negative component, nor has any of {files}", "vectors n, not colours (n + 1) / 2")
    if task.kind == "depth" and largest <= NEAREST:
        return Finding(path, f"has no depth above {largest:.3g}, nor has any of {files}", "metres", refused=False)
    return None


def _judge_labels(task: Task, facts: Mapping[Path, Facts], files: str) -> Finding | None:
    assert task.labels is not None, "a segmentation has classes"
    present = frozenset().union(*(fact.labels for fact in facts.values()))
    if not task.label_sets:  # of classes that the user has named, nobody knows another numbering
        occur = [name for number, name in zip(task.labels.numbers, task.classes, strict=True) if number in present]
        ignored = sorted(present & set(task.labels.unlabelled))
        if len(occur) > 1 or len(facts) < HANDFUL:
            return None
        problem = f"has no class but {occur[0]}" if occur else "has no pixel of any class"
        also = f", and the unlabelled {ignored[0]}" if ignored else ""
        return Finding(next(iter(facts)), f"{problem}{also}, nor has any of {files}", "the numbers of classes", refused=False)
    numbering, classes = task.labels, task.outputs
    first, unlabelled = numbering.first, numbering.unlabelled[0]
    last = first + classes - 1
    path = max(facts, key=lambda path: max(facts[path].labels))
    if numbering.last_is_common and first - 1 in present and last not in present:
        void = next((label for label in (IGNORE_INDEX, -1) if label in present), None)
        if void is not None:
            path = next(path for path, fact in facts.items() if void in fact.labels)
            start = first - 1
            problem = (
                f"has the label {void}, and of {files} some have {start} and none {last}: classes are counted from {start}"
            )
            expected = f"classes from {first} to {last}, and {unlabelled} where unlabelled"
            # That a class occurs in none of a handful of files is no proof.
            return Finding(path, problem, expected, refused=len(facts) >= HANDFUL)
    few = labels_by_look(task, (fact.labels for fact in facts.values())).classes
    if len(few) < classes:
        problem = f"has no part beyond {' and '.join(few[1:])}, nor have most of {files}: a set of {len(few)} classes"
        return Finding(path, problem, f"labels up to {last} ({task.classes_key}: {classes})")
    if numbering.unlabelled == (first - 1,) and last + 1 in present and unlabelled not in present:
        problem = f"has the label {last + 1}, and none of {files} has {unlabelled}: classes are counted from {first + 1}"
        return Finding(path, problem, f"classes from {first} to {last}, and {unlabelled} where void")
    return None


def labels_by_look(task: Task, masks: Iterable[Collection[int]]) -> LabelSet:
    """Return the label set that masks have, by the labels of each: the smallest of the task's that most masks keep within."""
    assert task.labels is not None, "a segmentation has classes"
    ends = {labels.first + len(labels.classes): labels for labels in task.label_sets or (task.labels,)}
    present, last = list(masks), max(ends)
    beyond = {end: sum(any(end <= label < last for label in labels) for labels in present) for end in ends}
    return ends[min(end for end in ends if 2 * beyond[end] <= len(present))]


def check_encodings(dataset: MultiTaskDataset) -> None:
    """Judge the targets of a split by a few of its files, evenly spread, and log what may be wrong.

    Files that cannot be read are left to the frame's own turn.

    Raises:
        DataError: the targets would be wrong.
    """
    names = evenly_spread(dataset.names, LOOKED_AT)
    for name_of_task, task in dataset.tasks.items():
        files = [path for name in names for path in dataset.files(name, name_of_task) if path.is_file()]
        identities = [(path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        _check(task, tuple(files), tuple(identities))


@lru_cache(maxsize=64)
def _check(task: Task, files: Sequence[Path], identities: Sequence[tuple[int, int]]) -> None:
    """Judge files that are told apart by size and time: only once, though every loader of a process asks for them."""
    facts: dict[Path, Facts] = {}
    for path in files:
        with suppress(DataError):
            facts[path] = facts_of(task, read_array(path, exact=KINDS[task.kind].exact), path)
    finding = judge(task, facts)
    if finding is None:
        return
    said = f"{finding.path} {finding.problem}; expected {finding.expected}"
    if finding.refused:
        raise DataError(said)
    log.warning("%s", said)
