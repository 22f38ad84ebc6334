"""The NYUD_MT layout, NYU-v2's: one folder per kind of target, ``gt_sets/*.txt`` with the frames of each split, one per line.

Reads the paper's files (.npy depth and normals) and the other releases of the same set, which differ in file type only:
ASTMT (segmentation and depth as .mat, normals as .jpg, edges as .png) and ATRC / InvPT (.png images and normals).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from datasets.base import MultiTaskDataset
from datasets.file_index import Place, double_files, files_by_frame, named_after_frame
from datasets.problems import Problem, missing_folder, refuse
from datasets.splits import cut_and_say, split_problems
from settings.config import ExperimentConfig
from tasks.kinds import KINDS
from tasks.table import Task
from utils.console import say_once
from utils.errors import DataError
from utils.files import numbered_lines

log = logging.getLogger(__name__)

IMAGE_TYPES = (".jpg", ".png", ".jpeg")
IMAGES, LISTS, LIST_FILES = "images", "gt_sets", named_after_frame((".txt",))


class NYUDataset(MultiTaskDataset):
    """One split of NYU-v2, or of another set in the NYUD_MT layout.

    Args:
        config: the experiment.
        split: ``train``, ``val`` or ``test``, by the roles in ``config.splits``.
        training: apply the augmentation.

    Raises:
        DataError: the folder, a split file or a frame's file is missing or empty.
    """

    def __init__(self, config: ExperimentConfig, split: str, training: bool = False) -> None:
        root = config.data_dir
        if not root.is_dir():
            expected = f"{config.data_set.title} in NYUD_MT layout (images/, gt_sets/, ...)"
            raise missing_folder(config, f"{root} is no folder; expected {expected}")
        places = nyu_places(root, config.tasks.values())
        super().__init__(config, nyu_splits(config)[split], training, places)


def nyu_places(root: Path, tasks: Iterable[Task]) -> dict[str | None, Place]:
    """Return where the images (None) and the targets of ``tasks`` lie."""
    places: dict[str | None, Place] = {None: Place(root / IMAGES, named_after_frame(IMAGE_TYPES))}
    for task in tasks:
        places[task.name] = Place(root / task.place, named_after_frame(KINDS[task.kind].file_types))
    return places


def nyu_splits(config: ExperimentConfig) -> dict[str, list[str]]:
    """Return the names of the frames per role (train, val, test).

    The published set has two files, ``train`` and ``val``, and its ``val`` is the official test set: then, and wherever
    no validation file of its own is named, validation is cut from the training frames, and the log says so.
    """
    folder, roles = config.data_dir / LISTS, config.splits
    test = roles.test
    if roles.val is not None and not _list_files(folder, test) and _list_files(folder, roles.val):
        said = f"there is no {folder / test}.txt: {roles.val}.txt is the test split (the published two-file form)"
        say_once(log, logging.WARNING, said)
        test = roles.val
    lists = {"train": roles.train, "test": test}
    if roles.val is not None and roles.val not in lists.values():
        lists["val"] = roles.val
    names: dict[str, list[str]] = {}
    places: dict[str, Path] = {}
    problems: list[Problem] = []
    for role, name in lists.items():
        files = _list_files(folder, name)
        if not files:
            lists_here = ", ".join(sorted(files_by_frame(Place(folder, LIST_FILES)))) or "none"
            raise DataError(f"splits.{role}: {name!r}: there is no file {folder / name}.txt; split files there: {lists_here}")
        places[role] = files[0]
        names[role], wrong = read_list(files[0])
        problems += [*double_files(files), *wrong]
    refuse(problems or split_problems(names, places))
    if "val" not in lists:
        cut_and_say(names, config.val_fraction, places["train"], f"; the test split is {test}.txt")
    return names


def _list_files(folder: Path, name: str) -> list[Path]:
    """Return the files of the list ``name``: several if it exists in small and in capital letters."""
    place = folder / f"{name}.txt"
    return files_by_frame(Place(place.parent, LIST_FILES)).get(place.stem, [])


def read_list(path: Path) -> tuple[list[str], list[Problem]]:
    """Read the frames of a list, one name per line (``0001``, or ``0001.jpg``), and what is wrong with other lines.

    Raises:
        FileNotFoundError, TextError: see :func:`utils.files.read_text`.
    """
    types = {*IMAGE_TYPES, *(ending for kind in KINDS.values() for ending in kind.file_types)}
    names, problems = [], []
    for number, line in numbered_lines(path):
        stem, suffix = os.path.splitext(line)
        if len(line.split()) > 1 or "/" in line or not line.isprintable():
            problems.append(Problem(f"{path}:{number}", f"is {line!r}", "the name of one frame per line"))
        else:
            names.append(stem if suffix.lower() in types else line)
    return names, problems
