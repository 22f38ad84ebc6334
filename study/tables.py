"""The four CSV files of a study, from which all of its figures, tables and pages are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from settings.targets import TARGETS
from tasks.table import Task, get_task, is_task
from utils.csv_tables import read_csv, write_csv
from utils.errors import UserError

PARTS = {"runs": "", "summary": "_summary", "curves": "_curves", "layers": "_layers"}
"""Ends of the names of the files, which follow the study's name."""

_IDENTITY = ("setting", "variant", "setup", "tasks", "sparse", "penalty", "lambda", "target_sparsity")

HEADS = {
    "runs": ["study", *_IDENTITY, "trial", "seed", "metric", "value", "unit", "better", "main"],
    "summary": ["study", *_IDENTITY, "num_trials"],
    "curves": ["setting", "trial", "epoch", "metric", "value"],
    "layers": ["setting", "trial", "layer", "stage", "groups", "live_groups"],
}
"""Columns that each file begins with; the summary has more, such as those of ``study.columns.COLUMNS``."""

_TEXT = (
    *("study", "setting", "variant", "setup", "penalty", "metric", "unit", "better", "layer", "stage"),
    *("baseline", "twin", "claim", "no_claim"),
)
_FLAGS = ("sparse", "main")
_TUPLES = {"tasks": "+", "baseline_settings": "+", "twin_differs_in": ", "}
"""Columns whose cells are tuples of names, and what stands between the names in a file."""
_NUMBERS = (
    *("lambda", *TARGETS, "trial", "seed", "value", "num_trials", "epoch", "groups", "live_groups", "margin"),
    *("difference_n", "difference_planned", "difference_low", "difference_high"),
)


@dataclass(frozen=True)
class StudyTables:
    """The measurements of a study.

    A *setting* is what is trained (tasks, penalty and its strength, variant), a *run* is a setting with a seed.
    """

    name: str
    runs: pd.DataFrame
    """Long: a row per run and metric. A study with budgets has their columns (``target_macs``) as well, like the summary."""
    summary: pd.DataFrame
    """Wide: a row per setting, in the study's order."""
    curves: pd.DataFrame = field(default_factory=lambda: empty("curves"))
    """A row per run, epoch (from 1) and quantity."""
    layers: pd.DataFrame = field(default_factory=lambda: empty("layers"))
    """A row per run and shared convolution, in network order."""
    tasks: Mapping[str, Task] = field(default_factory=dict)
    """The settings' tasks by name, of which the tables have the names; those that ship need not be given."""

    def __post_init__(self) -> None:
        shipped = {name: get_task(name) for tasks in self.summary.get("tasks", ()) for name in tasks if is_task(name)}
        object.__setattr__(self, "tasks", {**shipped, **self.tasks})

    @classmethod
    def read(cls, folder: Path, name: str, tasks: Mapping[str, Task] | None = None) -> StudyTables:
        """Read what :meth:`write` wrote: text is text also where it is empty, and flags and tuples are such again.

        Args:
            folder: of the files.
            name: of the study.
            tasks: of the settings, by name; those that ship need not be given.

        Raises:
            UserError: a file is missing, or is not such a table.
        """
        parts = {part: _read(path, part) for part, path in paths(folder, name).items()}
        return cls(name, **parts, tasks=tasks or {})

    def write(self, folder: Path) -> list[Path]:
        """Write the four files into ``folder``; their paths.

        Raises:
            OSError: the system refused, such as for want of room; the message is a sentence that names the file.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for part, path in paths(folder, self.name).items():
            table = getattr(self, part)
            tuples = {name: table[name].map(end.join) for name, end in _TUPLES.items() if name in table}
            write_csv(path, table.assign(**tuples))
        return list(paths(folder, self.name).values())

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of the summary."""
        return [{str(name): value for name, value in row.items()} for row in self.summary.to_dict("records")]

    @property
    def settings(self) -> Sequence[str]:
        """Names of the settings with at least one finished run, in the study's order."""
        return list(self.summary["setting"])


def paths(folder: Path, name: str) -> dict[str, Path]:
    """Return the path of each part of a study's tables."""
    return {part: folder / f"{name}{end}.csv" for part, end in PARTS.items()}


def empty(part: str) -> pd.DataFrame:
    """Make a table without rows."""
    return pd.DataFrame(columns=HEADS[part])


def _read(path: Path, part: str) -> pd.DataFrame:
    try:
        # An empty cell holds nothing; "NA" is a word, such as a variant's.
        texts = dict.fromkeys((*_TEXT, *_FLAGS, *_TUPLES), str)
        table = read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; make_report.py writes it") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a table ({' '.join(str(error).split()):.200})") from None
    missing = [name for name in HEADS[part] if name not in table.columns]
    if missing:
        raise UserError(f"{path}: is no table of a study; it lacks the column {missing[0]!r}")
    for name in (column for column in table.columns if column in _NUMBERS or column.endswith(("_mean", "_std", "_n"))):
        _refuse(path, table[name][pd.to_numeric(table[name], errors="coerce").isna() & table[name].notna()], "a number")
    table = table.assign(**{name: table[name].fillna("") for name in texts if name in table})
    for name in (flag for flag in _FLAGS if flag in table):
        _refuse(path, table[name][~table[name].isin(["True", "False"])], "True or False")
        table[name] = table[name] == "True"
    for name, end in ((name, end) for name, end in _TUPLES.items() if name in table):
        table[name] = [tuple(filter(None, text.split(end))) for text in table[name]]
    return table


def _refuse(path: Path, strange: pd.Series, expected: str) -> None:
    """Raise an error about the first of some cells, if there is one."""
    if len(strange):
        raise UserError(f"{path}: column {strange.name!r} has {strange.iloc[0]!r}; expected {expected}")
