"""Rules for the splits of every data set, and validation frames for sets that come without any."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from datasets.problems import Problem
from utils.console import listed, say_once

log = logging.getLogger(__name__)

ROLES = ("train", "val", "test")
LEAST_TRAIN = 2
"""Frames of a training split."""
RUN_LENGTH = 10


def split_problems(
    splits: Mapping[str, Sequence[str]], places: Mapping[str, Path | str], least_train: int = LEAST_TRAIN
) -> list[Problem]:
    """Return the faults of lists of frames: too few, a frame twice in one list, or in two of train, val and test.

    Args:
        splits: names of the frames per list; those of other names than ``ROLES`` may share frames with any.
        places: the file that each list is in.
        least_train: how many frames ``train`` must have; every other list needs one.
    """
    problems = []
    for split, names in splits.items():
        least = least_train if split == "train" else 1
        if len(names) < least:
            problems.append(Problem(str(places[split]), f"names {number_of(names)} for {split}", f"at least {least}"))
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            problems.append(
                Problem(str(places[split]), f"names {listed(twice)} more than once for {split}", "every frame once")
            )
    for first, second in combinations([role for role in ROLES if role in splits], 2):
        members = set(splits[first])
        shared = [name for name in dict.fromkeys(splits[second]) if name in members]
        if shared:
            said = f"names {listed(shared)} for {second}, which {first} has too"
            problems.append(Problem(str(places[second]), said, "every frame in one split"))
    return problems


def number_of(frames: Sequence[str]) -> str:
    """``1 frame``, or ``2 frames``."""
    return f"{len(frames)} frame{'s' * (len(frames) != 1)}"


def cut_validation(names: Sequence[str], fraction: float) -> tuple[list[str], list[str]]:
    """Split training names into (train, validation).

    Neighbouring frames of NYU-v2 often show the same room, so validation is cut as a few runs of up to ten neighbours,
    evenly spread, and not frame by frame. The same names and fraction always give the same cut.
    """
    count = min(max(1, round(fraction * len(names))), len(names) - 1)
    runs = -(-count // RUN_LENGTH)
    held_out: list[int] = []
    for run in range(runs):
        first, last = count * run // runs, count * (run + 1) // runs
        # Half a gap of training frames before the first run and after the last, a whole one between two.
        start = first + (len(names) - count) * (2 * run + 1) // (2 * runs)
        held_out += range(start, start + last - first)
    members = set(held_out)
    train = [name for index, name in enumerate(names) if index not in members]
    return train, [names[index] for index in held_out]


def cut_and_say(names: dict[str, list[str]], fraction: float, place: Path, more: str = "") -> None:
    """Cut the validation split of ``names`` from its training split, which ``place`` lists; the log says so once."""
    names["train"], names["val"] = cut_validation(names["train"], fraction)
    said = f"{len(names['train'])} frames for training, {len(names['val'])} for validation{more}"
    say_once(log, logging.WARNING, f"validation is cut from {place}: {said}")
