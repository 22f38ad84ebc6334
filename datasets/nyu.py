"""NYU-v2 in the NYUD_MT layout: one folder per kind of target, ``gt_sets/*.txt`` with the frames of each split.

Reads the paper's files (.npy depth and normals) and the other releases of the same set, which differ in file type only:
ASTMT (segmentation and depth as .mat, normals as .jpg, edges as .png) and ATRC / InvPT (.png images and normals).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.io import loadmat
from torch import Tensor

from datasets.base import MultiTaskDataset
from datasets.sample import Sample
from datasets.splits import cut_validation
from datasets.transforms import MIN_NORMAL_LENGTH, unit_normals, vector_length
from utils.config import ExperimentConfig
from utils.console import say_once
from utils.errors import DataError, reason
from utils.tasks import FIRST_LABEL, IGNORE_INDEX, Kind, Task, get_task

log = logging.getLogger(__name__)

IMAGE_TYPES = (".jpg", ".png", ".jpeg")
FILE_TYPES: dict[Kind, tuple[str, ...]] = {
    "segmentation": (".png", ".mat", ".npy"),
    "depth": (".npy", ".mat"),
    "normals": (".npy", ".png", ".jpg"),
    "edges": (".npy", ".png", ".jpg"),
}


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
        self._images = index_files(self.root / "images", IMAGE_TYPES, self.names, "the images")
        self._files = {
            name: index_files(
                self.root / get_task(name).source["NYU"], FILE_TYPES[get_task(name).kind], self.names, f"task {name}"
            )
            for name in self.task_list
        }

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


def nyu_splits(config: ExperimentConfig) -> dict[str, list[str]]:
    """Names of the frames per role (train, val, test).

    The published set has two files, ``train`` and ``val``, and its ``val`` is the official test set: then, and wherever
    no validation file of its own is named, validation is cut from the training frames, and the log says so.
    """
    folder, splits = config.data_dir / "gt_sets", config.splits
    test = splits.test
    if not (folder / f"{test}.txt").is_file() and splits.val is not None and (folder / f"{splits.val}.txt").is_file():
        said = f"there is no {folder / test}.txt: {splits.val}.txt is the test split (the published two-file form)"
        say_once(log, logging.WARNING, said)
        test = splits.val
    names = {"train": _read_split(folder, splits.train, "train"), "test": _read_split(folder, test, "test")}
    if splits.val is None or splits.val in (test, splits.train):
        names["train"], names["val"] = cut_validation(names["train"], config.val_fraction)
        say_once(
            log,
            logging.WARNING,
            f"validation is cut from {folder / splits.train}.txt: {len(names['train'])} frames for training, "
            f"{len(names['val'])} for validation; the test split is {test}.txt",
        )
    else:
        names["val"] = _read_split(folder, splits.val, "val")
    for one, other in (("train", "test"), ("val", "test"), ("train", "val")):
        shared = set(names[one]) & set(names[other])
        if shared:
            raise DataError(
                f"splits: {len(shared)} frames (such as {min(shared)}) of the {other} split are in the {one} split too, "
                f"so that no {other} number could be trusted; use different files"
            )
    return names


def _read_split(folder: Path, file: str, role: str) -> list[str]:
    path = folder / f"{file}.txt"
    try:
        names = path.read_text().split()
    except OSError:
        there = ", ".join(sorted(other.stem for other in folder.glob("*.txt"))) or "none"
        raise DataError(f"splits.{role}: {file!r}: there is no file {path}; split files there: {there}") from None
    least = 2 if role == "train" else 1
    if len(names) < least:
        raise DataError(f"splits.{role}: {path} names {len(names)} frames; expected at least {least}, one name per line")
    return names


def index_files(folder: Path, types: tuple[str, ...], names: list[str], what: str) -> dict[str, Path]:
    """Path per frame; where a frame has several files, the first type wins."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder, needed for {what}")
    found: dict[str, Path] = {}
    for path in folder.iterdir():
        suffix = path.suffix.lower()
        if suffix in types:
            other = found.get(path.stem)
            if other is None or types.index(suffix) < types.index(other.suffix.lower()):
                found[path.stem] = path
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"{folder / missing[0]} ({' or '.join(types)}) is missing, needed for {what}; {len(missing)} of "
            f"{len(names)} frames of the split have no such file"
        )
    return found


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
