"""Faults of a data set's files: the loaders refuse them, ``prepare_data.py verify`` lists them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from utils.errors import DataError


class Problem(NamedTuple):
    """One thing that is wrong."""

    path: str
    """The file, with ``:<number>`` for a line of it."""
    problem: str
    expected: str


def refuse(problems: Sequence[Problem]) -> None:
    """Do nothing if there is no problem.

    Raises:
        DataError: the first problem as a sentence.
    """
    if problems:
        path, problem, expected = problems[0]
        count = f" (1 of {len(problems)} problems)" if len(problems) > 1 else ""
        raise DataError(f"{path} {problem}; expected {expected}{count}")
