"""NYU-v2 as MTAN published it and LibMTL uses it: one folder per split and kind, one array per frame.

::

    train/image/0.npy    (H, W, 3)  float in [0, 1], or uint8
    train/label/0.npy    (H, W)     class 0..12 of Couprie et al. (2013), -1 = void; of any type
    train/depth/0.npy    (H, W, 1)  metres, 0 = not measured
    train/normal/0.npy   (H, W, 3)  vectors, zero = unknown; which way the axes point is the file's business
    val/...                         the same; the official test set

The published arrays are 288 x 384; any size is read. Frames are called after their split and number (``train/0``) and come
in the order of the numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from datasets.base import MultiTaskDataset
from datasets.file_index import FileNames, Place, double_files, files_by_frame
from datasets.problems import Problem, missing_folder, refuse
from datasets.splits import LEAST_TRAIN, cut_and_say, number_of
from settings.config import ExperimentConfig
from tasks.table import Task
from utils.errors import DataError

IMAGES = "image"


def _number_of(file: str) -> str | None:
    """The frame that an array is of: its number without leading zeros, or else the name that the array has."""
    stem, suffix = os.path.splitext(file)
    if suffix.lower() != ".npy":
        return None
    return stem.lstrip("0") or "0" if _is_number(stem) else stem


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


ARRAYS = FileNames(_number_of, "{}.npy".format)


class MTANDataset(MultiTaskDataset):
    """One split of a set in MTAN's layout.

    Args:
        config: the experiment.
        split: ``train``, ``val`` or ``test``, see :func:`mtan_splits`.
        training: apply the augmentation.

    Raises:
        DataError: a folder or a frame's file is missing, or its content is not what it should be.
    """

    def __init__(self, config: ExperimentConfig, split: str, training: bool = False) -> None:
        names = mtan_splits(config)[split]
        super().__init__(
            config,
            names,
            training,
            mtan_places(config.data_dir / names[0].split("/")[0], config.tasks.values()),
        )


def mtan_places(folder: Path, tasks: Iterable[Task]) -> dict[str | None, Place]:
    """Return where the images (None) and the targets of ``tasks`` of a split lie."""
    places: dict[str | None, Place] = {None: Place(folder / IMAGES, ARRAYS)}
    places.update((task.name, Place(folder / task.place, ARRAYS)) for task in tasks)
    return places


def mtan_splits(config: ExperimentConfig) -> dict[str, list[str]]:
    """Return the names of the frames per role (train, val, test).

    The published set has two folders, ``train`` and ``val``, and its ``val`` is the official test set: then validation is cut
    from the training frames, and the log says so. Where there is a folder ``test``, each folder is what it is called.
    """
    root = config.data_dir
    if not root.is_dir():
        raise missing_folder(config, f"{root} is no folder; expected MTAN's layout (train/image/0.npy, ...)")
    own_test, own_val = (root / "test").is_dir(), (root / "val").is_dir()
    names = {"train": _frames(config, "train"), "test": _frames(config, "test" if own_test else "val")}
    if own_test and own_val:
        return {**names, "val": _frames(config, "val")}
    test = "test" if own_test else "val (MTAN's val is the official test set)"
    cut_and_say(names, config.val_fraction, root / "train", f"; the test split is {test}")
    return names


def _frames(config: ExperimentConfig, folder: str) -> list[str]:
    images = config.data_dir / folder / IMAGES
    if not images.is_dir():
        raise DataError(f"{config.data_dir_key}: there is no folder {images}; expected MTAN's layout")
    numbers, problems = list_frames(images)
    refuse(problems)
    return [f"{folder}/{number}" for number in numbers]


def list_frames(images: Path) -> tuple[list[str], list[Problem]]:
    """Return the numbers of the frames of a split, rising, by the arrays in its folder of images, and what is wrong there."""
    files = files_by_frame(Place(images, ARRAYS))
    numbers = sorted((name for name in files if _is_number(name)), key=int)
    problems = [
        Problem(str(path), "is not called after a number", "0.npy, 1.npy, ...")
        for name, paths in files.items()
        for path in paths
        if not _is_number(name)
    ]
    problems += [problem for number in numbers for problem in double_files(files[number])]
    least = LEAST_TRAIN if images.parent.name == "train" else 1
    if len(numbers) < least:
        problems.append(Problem(str(images), f"holds {number_of(numbers)}", f"at least {least}: 0.npy, 1.npy, ..."))
    return numbers, problems
