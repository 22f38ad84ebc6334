"""NYU-v2 in the NYUD_MT layout: one folder per kind of target, ``gt_sets/*.txt`` with the frames of each split, one per line.

Reads the paper's files (.npy depth and normals) and the other releases of the same set, which differ in file type only:
ASTMT (segmentation and depth as .mat, normals as .jpg, edges as .png) and ATRC / InvPT (.png images and normals).
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import torch

from datasets.base import MultiTaskDataset
from datasets.file_index import double_files, files_by_frame, index_files, named_after_frame
from datasets.images import channels, read_photo
from datasets.problems import Problem, refuse
from datasets.sample import Sample
from datasets.splits import cut_validation, split_problems
from datasets.targets import read_target
from utils.config import ExperimentConfig
from utils.console import say_once
from utils.errors import DataError
from utils.files import numbered_lines
from utils.tasks import Kind, get_task

log = logging.getLogger(__name__)

IMAGE_TYPES = (".jpg", ".png", ".jpeg")
FILE_TYPES: dict[Kind, tuple[str, ...]] = {
    "segmentation": (".png", ".mat", ".npy"),
    "depth": (".npy", ".mat"),
    "normals": (".npy", ".png", ".jpg"),
    "edges": (".npy", ".png", ".jpg"),
}
TYPES = frozenset(IMAGE_TYPES).union(*FILE_TYPES.values())
LISTS, LIST_FILES = "gt_sets", named_after_frame((".txt",))


class NYUDataset(MultiTaskDataset):
    """One split of NYU-v2.

    Args:
        config: the experiment; ``data_dir_NYU`` is read.
        split: ``train``, ``val`` or ``test``, by the roles in ``config.splits``.
        training: apply the augmentation.

    Raises:
        DataError: the folder, a split file or a frame's file is missing or empty.
    """

    def __init__(self, config: ExperimentConfig, split: str, training: bool = False) -> None:
        self.root = config.data_dir
        if not self.root.is_dir():
            raise DataError(
                f"data_dir_NYU: {self.root} is no folder; expected NYU-v2 in NYUD_MT layout (images/, gt_sets/, ...)"
            )
        super().__init__(config, nyu_splits(config)[split], training)
        self._images = index_files(self.root / "images", named_after_frame(IMAGE_TYPES), self.names, "the images")
        self._files = {}
        for task in map(get_task, self.task_list):
            files = named_after_frame(FILE_TYPES[task.kind])
            self._files[task.name] = index_files(self.root / task.source["NYU"], files, self.names, f"task {task.name}")

    def files(self, name: str, task: str | None) -> list[Path]:
        """The image's file, or that of a task's target."""
        return [self._images[name] if task is None else self._files[task][name]]

    def read(self, name: str) -> Sample:
        """The raw sample of frame ``name`` at its own size."""
        image = torch.from_numpy(channels(read_photo(self._images[name]), self.grey))
        targets, masks = {}, {}
        for task_name in self.task_list:
            task, path = get_task(task_name), self._files[task_name][name]
            targets[task_name], masks[task_name] = map(torch.from_numpy, read_target(task, path, "NYU"))
            if targets[task_name].shape[-2:] != image.shape[-2:]:
                raise DataError(
                    f"{path} is {tuple(targets[task_name].shape[-2:])} (height, width), but "
                    f"{self._images[name]} is {tuple(image.shape[-2:])}; they must be the same"
                )
        return Sample(image=image, targets=targets, masks=masks, name=name)


def nyu_splits(config: ExperimentConfig) -> dict[str, list[str]]:
    """Names of the frames per role (train, val, test).

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
            there = ", ".join(sorted(files_by_frame(folder, LIST_FILES) if folder.is_dir() else ())) or "none"
            raise DataError(f"splits.{role}: {name!r}: there is no file {folder / name}.txt; split files there: {there}")
        places[role] = files[0]
        names[role], wrong = read_list(files[0])
        problems += [*double_files(files), *wrong]
    refuse(problems or split_problems(names, places))
    if "val" not in lists:
        names["train"], names["val"] = cut_validation(names["train"], config.val_fraction)
        say_once(
            log,
            logging.WARNING,
            f"validation is cut from {folder / roles.train}.txt: {len(names['train'])} frames for training, "
            f"{len(names['val'])} for validation; the test split is {test}.txt",
        )
    return names


def _list_files(folder: Path, name: str) -> list[Path]:
    """The list called ``name``; several files where it is there in small and in capital letters, none where it is not."""
    place = folder / f"{name}.txt"
    return files_by_frame(place.parent, LIST_FILES).get(place.stem, []) if place.parent.is_dir() else []


def read_list(path: Path) -> tuple[list[str], list[Problem]]:
    """The frames of a list, one name per line (``0001``, or with the type of a file, ``0001.jpg``), and lines that are none.

    Raises:
        FileNotFoundError, TextError: see :func:`utils.files.read_text`.
    """
    names, problems = [], []
    for number, line in numbered_lines(path):
        stem, suffix = os.path.splitext(line)
        if len(line.split()) > 1 or "/" in line or not line.isprintable():
            problems.append(Problem(f"{path}:{number}", f"is {line!r}", "the name of one frame per line"))
        else:
            names.append(stem if suffix.lower() in TYPES else line)
    return names, problems
