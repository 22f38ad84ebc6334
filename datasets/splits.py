"""Validation frames for data sets that come without any."""

from __future__ import annotations

from collections.abc import Sequence

RUN_LENGTH = 10


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
