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

import logging
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.base import MultiTaskDataset
from datasets.file_index import FileNames, double_files, files_by_frame, index_files
from datasets.images import channels
from datasets.problems import Problem, refuse
from datasets.sample import Sample
from datasets.splits import LEAST_TRAIN, cut_validation, number_of
from datasets.targets import read_target
from utils.config import ExperimentConfig
from utils.console import say_once
from utils.errors import DataError, reason
from utils.tasks import Task, get_task

log = logging.getLogger(__name__)

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
FORMS = {
    "image": "(height, width, 3), floats in [0, 1] or uint8",
    "segmentation": "(height, width), whole numbers from -1 (unlabelled) to 12",
    "depth": "(height, width, 1), metres",
    "normals": "(height, width, 3), vectors",
}
"""What the array of a kind should be, in words."""
TOLERANCE = 1e-3
"""How far resizing with overshoot may have taken an image out of [0, 1]."""


class MTANDataset(MultiTaskDataset):
    """One split of NYU-v2 in MTAN's layout.

    Args:
        config: the experiment; ``data_dir_NYU_MTAN`` (or ``data_dir_NYU``) and ``val_fraction`` are read.
        split: ``train``, ``val`` or ``test``, see :func:`mtan_splits`.
        training: apply the augmentation.

    Raises:
        DataError: a folder or a frame's file is missing, or its content is not what it should be.
    """

    def __init__(self, config: ExperimentConfig, split: str, training: bool = False) -> None:
        self.root = config.data_dir
        super().__init__(config, mtan_splits(config)[split], training)
        self._files: dict[str | None, dict[str, Path]] = {None: self._index(IMAGES, "the images")}
        for task in self.task_list:
            self._files[task] = self._index(get_task(task).source["NYU_MTAN"], f"task {task}")

    def read(self, name: str) -> Sample:
        """The raw sample of frame ``name`` (such as ``train/0``) at its own size."""
        (path,) = self.files(name, None)
        image = _read_image(path, self.grey)
        targets, masks = {}, {}
        for task_name in self.task_list:
            (file,) = self.files(name, task_name)
            targets[task_name], masks[task_name] = _read_target(get_task(task_name), file)
            if targets[task_name].shape[-2:] != image.shape[-2:]:
                raise DataError(
                    f"{file} is {tuple(targets[task_name].shape[-2:])} (height, width), but {path} is "
                    f"{tuple(image.shape[-2:])}; they must be the same"
                )
        return Sample(image=image, targets=targets, masks=masks, name=name)

    def files(self, name: str, task: str | None) -> list[Path]:
        """The image's file, or that of a task's target."""
        return [self._files[task][name]]

    def _index(self, kind: str, what: str) -> dict[str, Path]:
        """The file of each frame, all of which are in one folder."""
        folder = self.names[0].split("/")[0]
        found = index_files(self.root / folder / kind, ARRAYS, [name.split("/")[1] for name in self.names], what)
        return {f"{folder}/{number}": path for number, path in found.items()}


def mtan_splits(config: ExperimentConfig) -> dict[str, list[str]]:
    """Names of the frames per role (train, val, test).

    The published set has two folders, ``train`` and ``val``, and its ``val`` is the official test set: then validation is cut
    from the training frames, and the log says so. Where there is a folder ``test``, each folder is what it is called.
    """
    root = config.data_dir
    if not root.is_dir():
        raise DataError(
            f"{config.data_dir_key}: {root} is no folder; expected NYU-v2 in MTAN's layout (train/image/0.npy, ...)"
        )
    own_test, own_val = (root / "test").is_dir(), (root / "val").is_dir()
    names = {"train": _frames(config, "train"), "test": _frames(config, "test" if own_test else "val")}
    if own_test and own_val:
        return {**names, "val": _frames(config, "val")}
    names["train"], names["val"] = cut_validation(names["train"], config.val_fraction)
    test = "test" if own_test else "val (MTAN's val is the official test set)"
    say_once(
        log,
        logging.WARNING,
        f"validation is cut from {root / 'train'}: {len(names['train'])} frames for training, {len(names['val'])} for "
        f"validation; the test split is {test}",
    )
    return names


def _frames(config: ExperimentConfig, folder: str) -> list[str]:
    images = config.data_dir / folder / IMAGES
    if not images.is_dir():
        raise DataError(f"{config.data_dir_key}: there is no folder {images}; expected NYU-v2 in MTAN's layout")
    numbers, problems = list_frames(images)
    refuse(problems)
    return [f"{folder}/{number}" for number in numbers]


def list_frames(images: Path) -> tuple[list[str], list[Problem]]:
    """The numbers of the frames of a split, rising, by the arrays in its folder of images, and what is wrong with them."""
    files = files_by_frame(images, ARRAYS)
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


def check_form(path: Path, kind: str) -> None:
    """Look at an array's type and shape without reading it.

    Raises:
        DataError: they are not those of ``FORMS``.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        shape, dtype = array.shape, array.dtype
    except (OSError, ValueError, EOFError, AttributeError) as error:  # AttributeError: an archive, which has no shape
        raise DataError(f"{path} cannot be read as an array of numbers ({reason(error)}); expected {FORMS[kind]}") from error
    colours = shape[2:] == (3,) if kind in ("image", "normals") else shape[2:] in ((), (1,))
    if dtype.kind not in "buif" or len(shape) < 2 or 0 in shape or not colours:
        raise DataError(f"{path} has the shape {shape} and the type {dtype}; expected {FORMS[kind]}")


def _read_image(path: Path, grey: bool) -> Tensor:
    """An image as uint8 (3, H, W), or (1, H, W) if ``grey``."""
    check_form(path, "image")
    array = np.load(path, allow_pickle=False)
    if array.dtype != np.uint8:
        lowest, highest = array.min(), array.max()
        if array.dtype.kind != "f" or not (lowest >= -TOLERANCE and highest <= 1 + TOLERANCE):
            raise DataError(f"{path} has values from {lowest:g} to {highest:g} ({array.dtype}); expected {FORMS['image']}")
        array = np.rint(255 * np.clip(array, 0, 1)).astype(np.uint8)
    return torch.from_numpy(channels(Image.fromarray(array), grey))


def _read_target(task: Task, path: Path) -> tuple[Tensor, Tensor]:
    """A raw dense target (K, H, W) and its validity (1, H, W)."""
    check_form(path, task.kind)
    values, known = read_target(task, path, "NYU_MTAN")
    return torch.from_numpy(values), torch.from_numpy(known)
