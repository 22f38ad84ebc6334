"""Frames for training, validation and test: the official split, with validation cut from its training frames."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.io import loadmat

from datasets.problems import refuse
from datasets.splits import LEAST_TRAIN, cut_validation, split_problems
from utils.errors import DataError


class Splits(NamedTuple):
    """Frame numbers, from 1 and rising, of ``train``, ``val`` and ``test``, and how validation was cut."""

    frames: dict[str, list[int]]
    how: dict[str, Any]
    """For the manifest, plain values."""
    shared_scenes: list[str]
    """Scenes that have frames for training or validation and for test; the official split has none."""


def read_splits(path: Path, count: int) -> tuple[list[int], list[int]]:
    """The official training and test frames, rising, of ``splits.mat``: numbers from 1 to ``count``.

    Raises:
        DataError: the file is no MATLAB 5 file, or its numbers cannot be a split of ``count`` frames.
    """
    try:
        arrays = loadmat(path)
    except Exception as error:  # scipy raises a dozen types for a broken file
        raise DataError(
            f"--splits {path}: cannot be read as a MATLAB 5 file ({error}); expected the official splits.mat"
        ) from error
    parts = []
    for name in ("trainNdxs", "testNdxs"):
        if name not in arrays:
            keys = ", ".join(key for key in arrays if not key.startswith("__")) or "nothing"
            raise DataError(f"--splits {path}: holds {keys}; expected trainNdxs and testNdxs, as in the official splits.mat")
        values = np.asarray(arrays[name]).ravel()
        if values.dtype.kind not in "uif" or (values != np.floor(values)).any():
            raise DataError(f"--splits {path}: {name} must be whole numbers, found {values.dtype}")
        wrong = values[(values < 1) | (values > count)]
        if wrong.size:
            raise DataError(f"--splits {path}: {name} has the frame {wrong[0]:g}; expected 1 to {count}, the frames of --mat")
        parts.append(sorted(int(value) for value in values))
    train, test = parts
    splits = {"train": [str(number) for number in train], "test": [str(number) for number in test]}
    # One training frame more than the loaders ask for: validation is cut from them.
    refuse(split_problems(splits, dict.fromkeys(splits, f"--splits {path}"), LEAST_TRAIN + 1))
    return train, test


def make_splits(train: Sequence[int], test: Sequence[int], scenes: Sequence[str] | None, fraction: float) -> Splits:
    """Cut validation from the training frames: whole scenes where they are known, else runs of neighbours.

    Args:
        train: the official training frames, rising; at least three.
        test: the official test frames, rising; they stay the test set.
        scenes: the scene of every frame of the file, or None.
        fraction: of the training frames, for validation.
    """
    how: dict[str, Any] = {"val_fraction": fraction}
    shared: list[str] = []
    val: list[int] = []
    if scenes is None:
        how["cut"] = "runs of neighbouring frames, evenly spread: the file does not name scenes"
    else:
        members: dict[str, list[int]] = defaultdict(list)
        for number in train:
            members[scenes[number - 1]].append(number)
        shared = sorted(members.keys() & {scenes[number - 1] for number in test})
        held_out = choose_scenes({scene: len(numbers) for scene, numbers in members.items()}, fraction)
        val = sorted(number for scene in held_out for number in members[scene])
        how["cut"] = "whole scenes: no scene has frames for training and for validation"
        how["scenes"] = {"train": len(members) - len(held_out), "val": len(held_out)}
        how["scenes_in_train_and_test"] = shared
        if not held_out:
            how["cut"] = "runs of neighbouring frames, evenly spread: the scenes are too few and too large to be kept whole"
            del how["scenes"]
    if not val:
        most = (len(train) - LEAST_TRAIN) / len(train)
        val = [int(name) for name in cut_validation([str(number) for number in train], min(fraction, most))[1]]
    return Splits({"train": sorted(set(train) - set(val)), "val": val, "test": list(test)}, how, shared)


def choose_scenes(sizes: Mapping[str, int], fraction: float) -> list[str]:
    """Scenes with together as near to ``fraction`` of all frames as any choice of scenes comes; none if there is no choice.

    The scenes are gone through in the order of a hash of their names, which mixes the kinds of rooms and is the same
    everywhere, and each number of frames is made of the first scenes that can make it (subset sum).

    Args:
        sizes: number of frames per scene.
        fraction: wanted share. At least one frame is chosen and two are left.
    """
    total = sum(sizes.values())
    order = sorted(sizes, key=lambda scene: (hashlib.sha256(scene.encode()).digest(), scene))
    last = {0: ""}  # number of frames -> the last scene of the choice that makes it
    for scene in order:
        for frames in list(last):
            last.setdefault(frames + sizes[scene], scene)
    possible = [frames for frames in last if 1 <= frames <= total - LEAST_TRAIN]
    chosen: list[str] = []
    left = min(possible, key=lambda frames: (abs(frames - fraction * total), frames), default=0)
    while left:
        chosen.append(last[left])
        left -= sizes[chosen[-1]]
    return sorted(chosen)
