"""NYU-v2 in the NYUD_MT layout: one folder per kind of target, ``gt_sets/*.txt`` with the frames of each split.

Reads the paper's files (.npy depth and normals) and the other releases of the same set, which differ in file type only:
ASTMT (segmentation and depth as .mat, normals as .jpg, edges as .png) and ATRC / InvPT (.png images and normals).
"""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

import torch

from datasets.base import MultiTaskDataset
from datasets.images import channels, read_photo
from datasets.sample import Sample
from datasets.splits import cut_validation
from datasets.targets import read_target
from utils.config import ExperimentConfig
from utils.errors import DataError
from utils.tasks import Kind, get_task

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


@cache
def _warn_once(message: str) -> None:
    """Every loader asks for the splits: say it the first time only."""
    log.warning("%s", message)


def nyu_splits(config: ExperimentConfig) -> dict[str, list[str]]:
    """Names of the frames per role (train, val, test).

    The published set has two files, ``train`` and ``val``, and its ``val`` is the official test set: then, and wherever
    no validation file of its own is named, validation is cut from the training frames, and the log says so.
    """
    folder, splits = config.data_dir / "gt_sets", config.splits
    test = splits.test
    if not (folder / f"{test}.txt").is_file() and splits.val is not None and (folder / f"{splits.val}.txt").is_file():
        _warn_once(f"there is no {folder / test}.txt: {splits.val}.txt is the test split (the published two-file form)")
        test = splits.val
    names = {"train": _read_split(folder, splits.train, "train"), "test": _read_split(folder, test, "test")}
    if splits.val is None or splits.val in (test, splits.train):
        names["train"], names["val"] = cut_validation(names["train"], config.val_fraction)
        _warn_once(
            f"validation is cut from {folder / splits.train}.txt: {len(names['train'])} frames for training, "
            f"{len(names['val'])} for validation; the test split is {test}.txt"
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
