"""Faults of a data set's files: the loaders refuse them, ``prepare_data.py verify`` lists them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from settings.config import ExperimentConfig
from utils.errors import DataError


class Problem(NamedTuple):
    """One thing that is wrong."""

    path: str
    """The file, with ``:<number>`` for a line of it."""
    problem: str
    expected: str


def missing_folder(config: ExperimentConfig, fact: str) -> DataError:
    """Return the error about a data set that is not there: what is missing, and how it is made."""
    drawn = config.data_set.drawn_as
    command = f"python prepare_data.py synthetic --dataset {drawn} --out {shlex.quote(str(config.data_dir))}"
    synthetic = f", and `{command}` draws a synthetic one" if drawn else ""
    page = (
        "your_data.md says how such a folder looks"
        if config.tasks_ is not None
        else "data.md says how the real set is prepared"
    )
    return DataError(f"{config.data_dir_key}: {fact}; docs/{page}{synthetic}")


def refuse(problems: Sequence[Problem]) -> None:
    """Do nothing if there is no problem.

    Raises:
        DataError: the first problem as a sentence.
    """
    if problems:
        path, problem, expected = problems[0]
        count = f" (1 of {len(problems)} problems)" if len(problems) > 1 else ""
        raise DataError(f"{path} {problem}; expected {expected}{count}")
