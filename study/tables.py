"""The four CSV files of a study, from which all of its figures, tables and pages are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from utils.csv_tables import read_csv, write_csv
from utils.errors import UserError

PARTS = {"runs": "", "summary": "_summary", "curves": "_curves", "layers": "_layers"}
"""What follows the study's name in the names of its files."""

COLUMNS = {
    "runs": "study setting variant setup tasks sparse penalty lambda target_sparsity trial seed metric value unit better main",
    "summary": "study setting variant setup tasks sparse penalty lambda target_sparsity num_trials",
    "curves": "setting trial epoch metric value",
    "layers": "setting trial layer stage groups live_groups",
}
"""Columns that each file has; the summary has more: those of the study's metrics."""

_TEXT = (
    *("study", "setting", "variant", "setup", "tasks", "penalty", "metric", "unit", "better", "layer", "stage"),
    *("baseline", "baseline_settings", "twin", "twin_differs_in", "claim", "no_claim"),
)
_NUMBERS = (
    *("lambda", "target_sparsity", "trial", "seed", "value", "num_trials", "epoch", "groups", "live_groups", "margin"),
    *("difference_n", "difference_planned", "difference_low", "difference_high"),
)


@dataclass(frozen=True)
class StudyTables:
    """What a study measured.

    A *setting* is what is trained (tasks, penalty and its strength, variant), a *run* is a setting with a seed.
    """

    name: str
    runs: pd.DataFrame
    """Long: a row per run and metric."""
    summary: pd.DataFrame
    """Wide: a row per setting, in the study's order."""
    curves: pd.DataFrame = field(default_factory=lambda: empty("curves"))
    """A row per run, epoch (from 1) and quantity."""
    layers: pd.DataFrame = field(default_factory=lambda: empty("layers"))
    """A row per run and shared convolution, in network order."""

    @classmethod
    def read(cls, folder: Path, name: str) -> StudyTables:
        """What :meth:`write` wrote; cells of text that are empty are empty text.

        Raises:
            UserError: a file is missing, or is not such a table.
        """
        return cls(name, *(_read(path, part) for part, path in paths(folder, name).items()))

    def write(self, folder: Path) -> list[Path]:
        """Write the four files into ``folder``; their paths.

        Raises:
            OSError: the system refused, such as for want of room; the message is a sentence that names the file.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for part, path in paths(folder, self.name).items():
            write_csv(path, getattr(self, part))
        return list(paths(folder, self.name).values())

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Those of the summary."""
        return [{str(name): value for name, value in row.items()} for row in self.summary.to_dict("records")]

    @property
    def settings(self) -> Sequence[str]:
        """Names of the settings with at least one finished run, in the study's order."""
        return list(self.summary["setting"])


def paths(folder: Path, name: str) -> dict[str, Path]:
    """Where the tables of a study are: one path per part."""
    return {part: folder / f"{name}{end}.csv" for part, end in PARTS.items()}


def empty(part: str) -> pd.DataFrame:
    """A table without rows."""
    return pd.DataFrame(columns=COLUMNS[part].split())


def _read(path: Path, part: str) -> pd.DataFrame:
    try:
        # An empty cell holds nothing; "NA" is a word, such as a variant's.
        table = read_csv(path, dtype={name: str for name in _TEXT}, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; make_report.py writes it") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a table ({' '.join(str(error).split()):.200})") from None
    missing = [name for name in COLUMNS[part].split() if name not in table.columns]
    if missing:
        raise UserError(f"{path}: is no table of a study; it lacks the column {missing[0]!r}")
    for name in (column for column in table.columns if column in _NUMBERS or column.endswith(("_mean", "_std", "_n"))):
        strange = table[name][pd.to_numeric(table[name], errors="coerce").isna() & table[name].notna()]
        if len(strange):
            raise UserError(f"{path}: column {name!r} has {strange.iloc[0]!r}; expected a number")
    present = [name for name in _TEXT if name in table.columns]
    return table.assign(**{name: table[name].fillna("") for name in present})
