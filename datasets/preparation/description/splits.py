"""Splits of a folder of images: lists that lie there, or shares that are drawn."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from datasets.folders import draw_splits, read_frame_list
from datasets.splits import LEAST_TRAIN
from settings.config import ExperimentConfig
from settings.own_tasks import SplitFractions
from utils.errors import DataError

ROLE_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Names of the lists of each split, without ``.txt``."""


def find_splits(config: ExperimentConfig, frames: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the key of the configuration that says the splits, and sentences about them.

    Args:
        config: a draft, which knows where the images are.
        frames: all that have images, in order.
    """
    lists = _lists(config, set(frames))
    if {"train", "test"} <= lists.keys():
        return {"split_files": lists}, []
    if {"train", "val"} <= lists.keys():
        said = f"there is no list of test frames: {lists['val']} is it, and validation is cut from {lists['train']}"
        return {"split_files": {"train": lists["train"], "test": lists["val"]}}, [said]
    folders = len({frame.rpartition("/")[0] for frame in frames})
    by_folder = folders > 1 and _is_enough(frames, SplitFractions(by_folder=True))
    said = "there are no lists of frames (train.txt, test.txt): frames are drawn"
    if by_folder:
        said += f", and those of each of the {folders} sub-folders stay together (by_folder)"
    elif folders > 1:
        said += f"; the {folders} sub-folders are too few to keep the frames of each together (by_folder)"
    return {"split_fractions": SplitFractions(by_folder=by_folder).model_dump()}, [said]


def _is_enough(frames: Sequence[str], fractions: SplitFractions) -> bool:
    """Return True if every split gets frames."""
    names = draw_splits(frames, fractions)
    return all(len(members) >= (LEAST_TRAIN if role == "train" else 1) for role, members in names.items())


def _lists(config: ExperimentConfig, frames: Collection[str]) -> dict[str, str]:
    """Return the text file of each split that there is, at least half of whose lines are frames."""
    root = config.data_dir
    files = sorted(path for pattern in ("*.txt", "*/*.txt") for path in root.glob(pattern) if path.is_file())
    lists: dict[str, str] = {}
    for role, usual in ROLE_NAMES.items():
        for path in sorted((path for path in files if path.stem.lower() in usual), key=lambda path: len(path.parts)):
            try:
                names, _ = read_frame_list(path, config)
            except DataError:
                continue
            if names and 2 * sum(name in frames for name in names) >= len(names):
                lists.setdefault(role, path.relative_to(root).as_posix())
    return lists
