"""Result tables: one row per trial, and one row per experiment."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from utils.csv_tables import write_csv
from utils.errors import UserError
from utils.files import unwritable

ID_COLUMNS = ("trial", "seed", "epochs")
"""Columns of the trials' table that are not averaged."""


def trials_table(rows: Sequence[dict[str, float]]) -> pd.DataFrame:
    """One numeric row per trial: trial, seed, epochs, every metric, both sparsities (in percent)."""
    return pd.DataFrame(list(rows)).sort_values("trial", ignore_index=True)


def mean_and_std(values: Iterable[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n - 1) of a number over the trials.

    Where one of them is not finite, neither has a value (NaN): the mean of the others would be that of the trials that went
    well. One number has no deviation, and none has no mean.
    """
    numbers = np.asarray(list(values), dtype=float)
    if not len(numbers) or not np.isfinite(numbers).all():
        return math.nan, math.nan
    return float(numbers.mean()), float(numbers.std(ddof=1)) if len(numbers) > 1 else math.nan


def summary_table(experiment: str, trials: pd.DataFrame) -> pd.DataFrame:
    """One row: per metric its mean, its sample standard deviation (n - 1) and ``mean ± std`` as text.

    With one trial there is no standard deviation: the cell stays empty and the text says ``± n/a``. Where a trial has no value,
    neither has the mean, and the text says ``n/a``.
    """
    row: dict[str, str | float] = {"Experiment_name": experiment, "num_trials": len(trials)}
    for name in (column for column in trials.columns if column not in ID_COLUMNS):
        mean, std = mean_and_std(pd.to_numeric(trials[name]))
        row[f"{name}_mean"], row[f"{name}_std"] = mean, std
        spread = "n/a" if math.isnan(std) else f"{std:.4f}"
        row[name] = "n/a" if math.isnan(mean) else f"{mean:.4f} ± {spread}"
    return pd.DataFrame([row])


def result_paths(folder: Path, name: str) -> tuple[Path, Path]:
    """Paths of the summary and of the trials' table of an evaluation called ``name``."""
    return folder / f"{name}.csv", folder / f"{name}_trials.csv"


def check_writable(folder: Path) -> None:
    """Ask before a long training whether tables can be written into ``folder`` at its end; makes nothing.

    Raises:
        UserError: they cannot.
    """
    place = unwritable(folder)
    if place is not None:
        raise UserError(f"{folder}: the results cannot be written ({place} is no folder that this user may write into)")


def write_results(folder: Path, name: str, experiment: str, rows: Sequence[dict[str, float]]) -> pd.DataFrame:
    """Write ``<name>.csv`` and ``<name>_trials.csv`` and return the trials' table.

    Raises:
        OSError: the system refused, such as for want of room; the message is a sentence that names the file.
    """
    trials = trials_table(rows)
    summary_path, trials_path = result_paths(folder, name)
    folder.mkdir(parents=True, exist_ok=True)
    for path, table in ((summary_path, summary_table(experiment, trials)), (trials_path, trials)):
        write_csv(path, table)
    return trials
