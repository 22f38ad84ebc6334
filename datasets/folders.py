"""Your own data: a folder of images, folders or columns of targets as the configuration's ``tasks`` say, splits of any kind.

A frame is called after its image, without the file's type, with the sub-folders that it lies in: ``field1/0003``. It counts for
the tasks that it has targets of: a frame without a file, a row or a value of a task has no valid target of that task.
"""

from __future__ import annotations

import csv
import logging
import os
import random
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from datasets.base import MultiTaskDataset
from datasets.file_index import FileNames, Place, files_by_frame, named_after_frame
from datasets.problems import Problem, missing_folder, refuse
from datasets.splits import ROLES, cut_and_say, split_problems
from datasets.targets import LARGEST_VALUE
from settings.config import ExperimentConfig
from settings.own_tasks import Images, OwnTask, SplitFiles, SplitFolders, SplitFractions
from tasks.kinds import KINDS
from tasks.table import Task
from utils.console import listed, say_once
from utils.csv_tables import read_csv
from utils.errors import DataError, reason
from utils.files import numbered_lines

_PILLOW_TYPES = sorted(kind for kind, name in Image.registered_extensions().items() if name in Image.OPEN)
log = logging.getLogger(__name__)

IMAGE_TYPES = tuple(dict.fromkeys((".jpg", ".jpeg", ".png", ".npy", *_PILLOW_TYPES)))
"""Types of images: arrays, and all that Pillow reads."""
MORE_TYPES = (".png", ".tif", ".tiff")
"""Types of the files of targets, beside those that the kind has in the NYUD_MT layout."""
YES_OR_NO = {"1": 1.0, "true": 1.0, "yes": 1.0, "0": 0.0, "false": 0.0, "no": 0.0}
"""Cells of an attribute, in small letters."""


class FoldersDataset(MultiTaskDataset):
    """One split of your own data.

    Args:
        config: the experiment.
        split: ``train``, ``val`` or ``test``.
        training: apply the augmentation.

    Raises:
        DataError: a folder, a list or an image is missing, or no training frame has a target of some task.
    """

    partial = True

    def __init__(self, config: ExperimentConfig, split: str, training: bool = False) -> None:
        check_root(config)
        super().__init__(config, own_splits(config)[split], training, own_places(config))
        self.values = {
            name: read_column(config.data_dir / str(spec.file), self.tasks[name], self.names, config.images)
            for name, spec in own_tasks(config).items()
            if spec.column is not None
        }
        if split == "train":
            _warn_of_strangers(config)
        for name in own_tasks(config) if split == "train" else ():
            if not (self._files[name] if self.has_files(name) else self.values[name]):
                raise no_training_target(config, name, self.names)

    def in_memory(self, task: str, name: str) -> tuple[Tensor, Tensor]:
        """Return target and mask, both (), of a task whose targets are a column; 0 where the frame has none."""
        kind = torch.int64 if self.tasks[task].classes else torch.float32
        value = self.values[task].get(name)
        return torch.tensor(0 if value is None else value, dtype=kind), torch.tensor(value is not None)


def _warn_of_strangers(config: ExperimentConfig) -> None:
    """Say once which rows of the tables are of no image: their labels are not used."""
    frames = files_by_frame(own_places(config)[None])
    for file in dict.fromkeys(spec.file for spec in own_tasks(config).values() if spec.file is not None):
        rows = read_frame_table(config.data_dir / file).iloc[:, 0].str.strip()
        strangers = [row for row in rows if row and frame_name(row, frames, config.images) not in frames]
        if strangers:
            said = f"{len(strangers)} of {len(rows)} rows name no image, and are not used: {listed(strangers, 4)}"
            say_once(log, logging.WARNING, f"{config.data_dir / file}: {said}")


def check_root(config: ExperimentConfig) -> None:
    """Do nothing if the folder of the data set is there.

    Raises:
        DataError: it is not.
    """
    if not config.data_dir.is_dir():
        raise missing_folder(config, f"{config.data_dir} is no folder; expected images and targets")


def no_training_target(config: ExperimentConfig, name: str, frames: Sequence[str]) -> DataError:
    """Return the error about a task that none of the training frames has a target of."""
    spec = own_tasks(config)[name]
    where = f"a file in {config.data_dir / str(spec.folder)}" if spec.folder else f"a {spec.column} in {spec.file}"
    none = f"none of the {len(frames)} training frames (such as {frames[0]})"
    return DataError(f"tasks.{name}: {none} has {where}, so that nothing can be learned about it")


def own_tasks(config: ExperimentConfig) -> dict[str, OwnTask]:
    """Return the entries of ``tasks`` that are trained, in the order of ``task_list``."""
    assert config.tasks_ is not None, "load_config refuses this"
    return {name: config.tasks_[name] for name in config.task_list}


def own_places(config: ExperimentConfig) -> dict[str | None, Place]:
    """Return where the images (None) and the targets in files lie."""
    root, images = config.data_dir, config.images
    places: dict[str | None, Place] = {None: Place(root / images.folder, own_names(images.ending, IMAGE_TYPES), recursive=True)}
    for name, spec in own_tasks(config).items():
        if spec.folder is not None:
            types = tuple(dict.fromkeys((*KINDS[spec.kind].file_types, *MORE_TYPES)))
            places[name] = Place(root / spec.folder, own_names(spec.ending, types), recursive=True)
    return places


def own_names(ending: str | None, types: Sequence[str]) -> FileNames:
    """Files that are called like their frame, with an ending, or of one of some types."""
    if ending is None:
        return named_after_frame(types)
    return FileNames(
        lambda file: file.removesuffix(ending) if file.endswith(ending) and file != ending else None,
        lambda frame: f"{frame}{ending}",
    )


def own_splits(config: ExperimentConfig) -> dict[str, list[str]]:
    """Return the names of the frames per role (train, val, test), as the configuration says it in one of three ways."""
    if config.split_files is not None:
        names, places = _listed_frames(config.split_files, config)
    else:
        folder, usual = (images := own_places(config)[None]).folder, images.names.usual("<frame>")
        frames, places = sorted(files_by_frame(images)), dict.fromkeys(ROLES, folder)
        if not frames:
            raise DataError(f"{folder}: there is no image; expected {usual}, or images.folder")
        if config.split_folders is not None:
            names = frames_of_folders(frames, config.split_folders, folder)
        else:
            assert config.split_fractions is not None, "load_config refuses this"
            names = draw_splits(frames, config.split_fractions)
    refuse(split_problems(names, places))
    if "val" not in names:
        cut_and_say(names, config.val_fraction, places["train"])
    return names


def _listed_frames(files: SplitFiles, config: ExperimentConfig) -> tuple[dict[str, list[str]], dict[str, Path]]:
    """Return the frames per role that the lists name, and the paths of the lists."""
    paths = {role: config.data_dir / file for role, file in dict(files).items() if file is not None}
    names, problems = {}, []
    for role, path in paths.items():
        try:
            names[role], wrong = read_frame_list(path, config)
        except FileNotFoundError:
            raise DataError(f"split_files.{role}: there is no file {path}") from None
        problems += wrong
    refuse(problems)
    return names, paths


def frames_of_folders(frames: Sequence[str], folders: SplitFolders, images: Path) -> dict[str, list[str]]:
    """Return the frames of each split: of those folders that are the innermost ones around them.

    Args:
        frames: all that have images.
        folders: of the splits; without validation, the result has none.
        images: the folder that they lie in, for messages.

    Raises:
        DataError: a folder has no frame.
    """
    roles = dict(folders.pairs())
    names: dict[str, list[str]] = {role: [] for role in ROLES if role in roles.values()}
    empty = set(roles)
    for frame in frames:
        around = [folder for folder in roles if frame.startswith(f"{folder}/")]
        empty.difference_update(around)
        if around:
            names[roles[max(around, key=len)]].append(frame)
    if empty:
        first = min(empty)
        raise DataError(f"split_folders.{roles[first]}: there is no image in {images / first}")
    return names


def read_frame_list(path: Path, config: ExperimentConfig) -> tuple[list[str], list[Problem]]:
    """Read the frames of a list, one per line (``field1/0003``, also with the image's folder or type), and what is wrong with
    other lines.

    Raises:
        FileNotFoundError, TextError: see :func:`utils.files.read_text`.
    """
    names, problems = [], []
    frames = files_by_frame(own_places(config)[None])
    for number, line in numbered_lines(path):
        if not line.isprintable() or line.startswith("/") or ".." in line.split("/"):
            problems.append(Problem(f"{path}:{number}", f"is {line!r}", "the name of one frame per line"))
        else:
            names.append(frame_name(line, frames, config.images))
    return names, problems


def frame_name(text: str, frames: Collection[str], images: Images | None = None) -> str:
    """Return the frame that a text means: its name, or the name of its image, perhaps with the folder of all images.

    Args:
        text: as it is in a list or a table.
        frames: that there are; a text that is none of them may be none of their names.
        images: where they are.
    """
    images = images or Images()
    text = text.removeprefix("./")
    if text in frames:
        return text
    text = text.removeprefix(f"{images.folder}/")
    stem, suffix = os.path.splitext(text)
    if images.ending is not None:
        return text.removesuffix(images.ending)
    return stem if text not in frames and suffix.lower() in IMAGE_TYPES else text


def draw_splits(frames: Sequence[str], fractions: SplitFractions) -> dict[str, list[str]]:
    """Draw the frames of each split at random; the same frames and fractions always give the same splits.

    Args:
        frames: in the order of their names.
        fractions: with ``by_folder``, the frames of a folder stay together, so that the shares are met as far as it lets them.
    """
    groups: dict[str, list[str]] = {}
    for frame in frames:
        groups.setdefault(frame.rpartition("/")[0] if fractions.by_folder else frame, []).append(frame)
    order = sorted(groups)
    random.Random(fractions.seed).shuffle(order)
    names: dict[str, list[str]] = {role: [] for role in ROLES}
    before = 0
    for group in order:
        middle = (before + len(groups[group]) / 2) / len(frames)
        role = "train" if middle < fractions.train else "val" if middle < fractions.train + fractions.val else "test"
        names[role] += groups[group]
        before += len(groups[group])
    return {role: sorted(members) for role, members in names.items()}


def read_column(path: Path, task: Task, frames: Sequence[str], images: Images | None = None) -> dict[str, float]:
    """Return the targets of some frames in the column of a table, as :func:`column_values` has them.

    Raises:
        DataError: there is no such file or column, a frame has two rows, or a cell is no value of the task.
    """
    values, problems = column_values(path, task, frames, images)
    refuse(problems)
    return values


def column_values(
    path: Path, task: Task, frames: Sequence[str], images: Images | None = None
) -> tuple[dict[str, float], list[Problem]]:
    """Read the targets of some frames from the column of a table whose first column has the frames' names.

    Args:
        path: a CSV file.
        task: its place is the column.
        frames: those that are wanted; a frame may have no row, or an empty cell.

    Returns:
        Per frame with a target the number, 0 or 1, or the number of its class; and what is wrong with other rows.

    Raises:
        DataError: there is no such file or column.
    """
    try:
        table = read_frame_table(path)
    except FileNotFoundError:
        raise DataError(f"tasks.{task.name}.file: there is no file {path}") from None
    if task.place not in table.columns[1:]:
        raise DataError(
            f"{path}: has no column {task.place!r} behind the first, which names the frames; it has "
            f"{listed([repr(str(name)) for name in table.columns])}"
        )
    values: dict[str, float] = {}
    first: dict[str, int] = {}
    problems = []
    for line, name, cell in cells_of_frames(table, task.place, frames, images):
        if name in first:
            problems.append(Problem(f"{path}:{line}", f"is of {name}, as line {first[name]} is", "one line per frame"))
        first.setdefault(name, line)
        try:
            value = _value(cell, task) if cell else None
        except ValueError as error:
            problems.append(Problem(f"{path}:{line}", f"has {cell!r} in the column {task.place}", str(error)))
            continue
        if value is not None:
            values[name] = value
    return values, problems


def read_frame_table(path: Path) -> pd.DataFrame:
    """Read a CSV file as text; row k is its line k + 2.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it cannot be read as a table.
    """
    try:
        table = read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a table ({reason(error)})") from None
    with path.open(encoding="utf-8-sig", newline="") as file:
        heads = next(csv.reader(file), [])
    if len(heads) == 1 and (mark := next((mark for mark in ";\t" if mark in heads[0]), "")):
        raise DataError(f"{path}: its cells are separated by {mark!r}; expected commas")
    if len(set(heads)) < len(heads):
        raise DataError(f"{path}: has two columns of one name: {', '.join(heads)}")
    if not isinstance(table.index, pd.RangeIndex):
        raise DataError(f"{path}: has rows of more cells than its first line has names")
    return table


def cells_of_frames(
    table: pd.DataFrame, column: str, frames: Collection[str], images: Images | None = None
) -> Iterator[tuple[int, str, str]]:
    """Yield line, frame and text of the cells of a column that are of these frames."""
    wanted = set(frames)
    for line, (frame, cell) in enumerate(zip(table.iloc[:, 0].str.strip(), table[column], strict=True), start=2):
        name = frame_name(frame, wanted, images)
        if name in wanted:
            yield line, name, cell.strip()


def _value(text: str, task: Task) -> float | None:
    """Return the number that a cell means; None for an unknown value.

    Raises:
        ValueError: it means none; the message says what was expected.
    """
    if task.classes:
        if text not in task.classes:
            raise ValueError(f"one of {', '.join(task.classes)} (or nothing)")
        return task.classes.index(text)
    if task.kind == "attribute":
        if text.lower() not in YES_OR_NO:
            raise ValueError("0 or 1, yes or no, true or false (or nothing)")
        return YES_OR_NO[text.lower()]
    try:
        number = float(text if text.isascii() and "_" not in text else "")
    except ValueError:
        raise ValueError("a number (or nothing)") from None
    if number in task.invalid or (np.isnan(number) and any(map(np.isnan, task.invalid))):
        return None
    if not np.isfinite(number):
        raise ValueError("a finite number (or nothing); invalid: [nan] or [inf] says that it is an unknown value")
    value = number * task.scale + task.offset
    if abs(value) > LARGEST_VALUE:
        raise ValueError(f"at most {LARGEST_VALUE:.3g} (or nothing)")
    return value
