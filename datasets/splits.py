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
    runs = max(1, count // RUN_LENGTH)
    held_out: set[int] = set()
    for run in range(runs):
        length = count * (run + 1) // runs - count * run // runs
        block_start, block_end = len(names) * run // runs, len(names) * (run + 1) // runs
        start = block_start + (block_end - block_start - length) // 2
        held_out.update(range(start, start + length))
    train = [name for index, name in enumerate(names) if index not in held_out]
    return train, [names[index] for index in sorted(held_out)]
