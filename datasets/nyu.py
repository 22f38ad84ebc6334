"""NYU-v2 in the NYUD_MT layout: one folder per kind of target, ``gt_sets/*.txt`` with the frames of each split, one per line.

Reads the paper's files (.npy depth and normals) and the other releases of the same set, which differ in file type only:
ASTMT (segmentation and depth as .mat, normals as .jpg, edges as .png) and ATRC / InvPT (.png images and normals).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.io import loadmat
from torch import Tensor

from datasets.base import MultiTaskDataset
from datasets.file_index import double_files, files_by_frame, index_files, named_after_frame
from datasets.problems import Problem, refuse
from datasets.sample import Sample
from datasets.splits import cut_validation, split_problems
from datasets.transforms import MIN_NORMAL_LENGTH, unit_normals, vector_length
from utils.config import ExperimentConfig
from utils.errors import DataError, reason
from utils.files import numbered_lines
from utils.tasks import FIRST_LABEL, IGNORE_INDEX, Kind, Task, get_task

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
        image = read_image(self._images[name], self.grey)
        targets, masks = {}, {}
        for task_name in self.task_list:
            task, path = get_task(task_name), self._files[task_name][name]
            targets[task_name], masks[task_name] = read_target(task, path)
            if targets[task_name].shape[-2:] != image.shape[-2:]:
                raise DataError(
                    f"{path} is {tuple(targets[task_name].shape[-2:])} (height, width), but "
                    f"{self._images[name]} is {tuple(image.shape[-2:])}; they must be the same"
                )
        return Sample(image=image, targets=targets, masks=masks, name=name)


@cache
def _warn_once(message: str) -> None:
    """Every loader asks for the splits: say it the first time only."""
    log.warning("%s", message)


def nyu_splits(config: ExperimentConfig) -> dict[str, list[str]]:
    """Names of the frames per role (train, val, test).

    The published set has two files, ``train`` and ``val``, and its ``val`` is the official test set: then, and wherever
    no validation file of its own is named, validation is cut from the training frames, and the log says so.
    """
    folder, roles = config.data_dir / LISTS, config.splits
    test = roles.test
    if roles.val is not None and not _list_files(folder, test) and _list_files(folder, roles.val):
        _warn_once(f"there is no {folder / test}.txt: {roles.val}.txt is the test split (the published two-file form)")
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
        _warn_once(
            f"validation is cut from {folder / roles.train}.txt: {len(names['train'])} frames for training, "
            f"{len(names['val'])} for validation; the test split is {test}.txt"
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


def read_image(path: Path, grey: bool) -> Tensor:
    """An image file as uint8 (3, H, W), or (1, H, W) if ``grey``."""
    try:
        with Image.open(path) as image:
            return image_tensor(image, grey)
    except Exception as error:  # PIL raises half a dozen types for a broken file
        raise DataError(f"{path} cannot be read as an image ({error})") from error


def image_tensor(image: Image.Image, grey: bool) -> Tensor:
    """The pixels of an image as uint8 (3, H, W), or (1, H, W) if ``grey``."""
    pixels = np.array(image.convert("L" if grey else "RGB"))
    return torch.from_numpy(pixels[None] if grey else np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def read_array(path: Path) -> np.ndarray:
    """The array in an image, .npy or .mat file (of a .mat file: its one array, or the one called like the folder)."""
    try:
        if path.suffix.lower() == ".npy":
            array = np.load(path, allow_pickle=False)
        elif path.suffix.lower() == ".mat":
            arrays = {key: value for key, value in loadmat(path).items() if not key.startswith("__")}
            array = arrays.get(path.parent.name, next(iter(arrays.values()), None))
        else:
            with Image.open(path) as image:
                array = np.array(image)
    except Exception as error:  # scipy, numpy and PIL raise a dozen types for a broken file
        raise DataError(f"{path} cannot be read ({reason(error)})") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":  # np.load takes any archive for several arrays
        raise DataError(f"{path} holds no array of numbers")
    return array


def _validity(task: Task, values: Tensor) -> Tensor:
    """(K, H, W) stored values -> (1, H, W) bool: where they carry information, by the rule of the table of tasks."""
    known = values.isfinite().all(dim=0, keepdim=True)
    if task.invalid == "not_positive":
        return known & (values > 0).all(dim=0, keepdim=True)
    if task.invalid == "zero_vector":
        return known & (vector_length(values) > MIN_NORMAL_LENGTH)
    if task.invalid == "ignore_index":
        return known & (values != IGNORE_INDEX).all(dim=0, keepdim=True)
    return known


def whole_labels(array: np.ndarray, path: Path) -> Tensor:
    """The labels in the array of a file, (H, W) or with a dimension of one more, as int64 (1, H, W).

    Raises:
        DataError: it has another shape, or a value that is no whole number.
    """
    plane = np.ascontiguousarray(_plane(array, path))
    with np.errstate(invalid="ignore"):
        labels = plane.astype(np.int64)
    if not plane.size:
        raise DataError(f"{path} has the shape {array.shape}; expected (height, width) of at least one pixel")
    broken = plane[labels != plane]
    if broken.size:
        raise DataError(f"{path} has the label {broken[0]:g}; expected whole numbers")
    return torch.from_numpy(labels)[None]


def _read_segmentation(array: np.ndarray, path: Path, task: Task) -> Tensor:
    labels = whole_labels(array, path)
    classes = task.outputs("NYU")
    unlabelled = (labels == 0) | (labels == IGNORE_INDEX)
    wrong = ~unlabelled & ((labels < 0) | (labels > classes))
    if bool(wrong.any()):
        raise DataError(f"{path} has the label {int(labels[wrong][0])}; expected 0 (unlabelled) or 1..{classes}")
    return torch.where(unlabelled, IGNORE_INDEX, labels - FIRST_LABEL["NYU"]).to(torch.uint8)


def _read_depth(array: np.ndarray, path: Path, task: Task) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(_plane(array, path)).astype(np.float32))[None]


def read_normals(array: np.ndarray, path: Path, task: Task) -> Tensor:
    """The normals in the array of a file, (H, W, 3), as float32 (3, H, W); 8-bit ones are n = 2x / 255 - 1."""
    if array.ndim != 3 or array.shape[2] != 3:
        raise DataError(f"{path} has the shape {array.shape}; expected (height, width, 3)")
    values = array.astype(np.float32)
    if array.dtype == np.uint8:
        values = 2 * values / np.float32(255) - 1
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


def _read_edges(array: np.ndarray, path: Path, task: Task) -> Tensor:
    """Strengths in [0, 1]: 8-bit files are scaled by 255, others by their largest value if it is above 1."""
    array = _plane(array, path)
    edges = torch.from_numpy(np.ascontiguousarray(array).astype(np.float32))[None]
    known = edges[edges.isfinite()]
    if known.numel() and float(known.min()) < 0:
        raise DataError(f"{path} has the edge strength {float(known.min()):g}; expected 0 or more")
    largest = float(known.max()) if known.numel() else 0.0
    return edges / (255 if array.dtype == np.uint8 else largest) if largest > 1 else edges


def _plane(array: np.ndarray, path: Path) -> np.ndarray:
    """(H, W), (H, W, 1) or (1, H, W) as (H, W)."""
    plane = array.squeeze() if array.ndim == 3 else array
    if plane.ndim != 2:
        raise DataError(f"{path} has the shape {array.shape}; expected (height, width)")
    return plane


_READERS: dict[str, Callable[[np.ndarray, Path, Task], Tensor]] = {
    "segmentation": _read_segmentation,
    "depth": _read_depth,
    "normals": read_normals,
    "edges": _read_edges,
}


def read_target(task: Task, path: Path) -> tuple[Tensor, Tensor]:
    """A raw dense target (K, H, W) and its validity (1, H, W)."""
    values = _READERS[task.kind](read_array(path), path, task)
    mask = _validity(task, values)
    if task.kind == "normals":
        return unit_normals(torch.where(mask, values, 0.0), mask)
    return values, mask
