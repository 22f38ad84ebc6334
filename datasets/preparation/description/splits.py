"""Splits of a folder of images: lists that lie there, sub-folders that are called like splits, or shares that are drawn."""

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
"""Names of the lists of each split, without ``.txt``, or of its sub-folder of the images."""


def find_splits(config: ExperimentConfig, frames: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the key of the configuration that says the splits, and sentences about them.

    Args:
        config: a draft, which knows where the images are.
        frames: all that have images, in order.
    """
    for key, found in (("split_files", _lists(config, set(frames))), ("split_folders", _folders(frames))):
        if {"train", "test"} <= found.keys():
            return {key: found}, []
        if {"train", "val"} <= found.keys():
            said = (
                f"there are no test frames of their own: {found['val']} is taken, and validation is cut from {found['train']}"
            )
            return {key: {"train": found["train"], "test": found["val"]}}, [said]
    folders = len({frame.rpartition("/")[0] for frame in frames})
    by_folder = folders > 1 and _is_enough(frames, SplitFractions(by_folder=True))
    said = "there are no lists of frames (train.txt, test.txt): frames are drawn"
    if by_folder:
        said += f", and those of each of the {folders} sub-folders stay together (by_folder)"
    elif folders > 1:
        said += f"; the {folders} sub-folders are too few to keep the frames of each together (by_folder)"
    return {"split_fractions": SplitFractions(by_folder=by_folder).model_dump()}, [said]


def _folders(frames: Sequence[str]) -> dict[str, str]:
    """Return the sub-folder of the images that is called like each split."""
    outermost = sorted({frame.partition("/")[0] for frame in frames if "/" in frame})
    called = {role: [folder for folder in outermost if folder.lower() in usual] for role, usual in ROLE_NAMES.items()}
    return {role: folders[0] for role, folders in called.items() if folders}


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
