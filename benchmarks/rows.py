"""Files of rows: a CSV file with one row per run, which several processes may add to at once."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from study.statistics import delta_mtl, estimate
from tasks.table import Task
from utils.errors import ConfigError
from utils.files import read_text, unwritable, write_text

Row = dict[str, Any]
"""A run by the names of the columns: texts as they stand in the file, or values that are to be written."""

KNOWN_BY = ("setting", "seed", "digest")
TEXTS = ("setting", "digest", "commit", "date", "precision")
"""Columns that are no numbers."""


def read_rows(path: Path, must_exist: bool = False) -> list[Row]:
    """Read the rows of a file; none where there is no file and there need not be one.

    Raises:
        ConfigError: a line is damaged, two are of one run, or there is no such file.
        TextError: the file is no text.
    """
    try:
        text = read_text(path)
    except FileNotFoundError:
        if must_exist:
            raise ConfigError(f"{path}: there is no such file; expected one with a row per run") from None
        return []
    if text and not text.endswith("\n"):
        raise ConfigError(f"{path}: its last line is not finished; restore the file, or delete this line")
    rows: list[Row] = []
    seen: dict[tuple[str, int], int] = {}
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        lacking = [name for name in KNOWN_BY if name not in (reader.fieldnames or ())]
        if lacking and text:
            raise ConfigError(f"{path}: line 1: expected the names of the columns; {', '.join(lacking)} is not among them")
        for row in reader:
            place = f"{path}: line {reader.line_num}"
            if None in row or None in row.values():
                raise ConfigError(f"{place}: has not a cell for each column of line 1; restore the file, or delete this line")
            _check_cells(place, row)
            if (first := seen.setdefault(key_of(row), reader.line_num)) != reader.line_num:
                raise ConfigError(f"{place}: is the same run as line {first} (digest and seed); delete one of them")
            rows.append(row)
    except csv.Error as error:
        raise ConfigError(f"{path}: after line {reader.line_num}: {error}; restore the file, or delete this line") from None
    return rows


def _check_cells(place: str, row: Row) -> None:
    if not row["digest"] or not row["seed"].isdecimal():
        raise ConfigError(
            f"{place}: expected a digest, and a whole number as the seed, got {row['digest']!r} and {row['seed']!r}"
        )
    for name, text in row.items():
        if name not in TEXTS and text:
            try:
                value = float(text)
            except ValueError:
                value = math.inf
            if math.isinf(value):
                raise ConfigError(f"{place}: {name}: expected a number, or nothing where there is none, got {text!r}")


def check_rows(path: Path) -> None:
    """Refuse, before work is begun for it, a file that no row could be added to."""
    read_rows(path)
    if (place := unwritable(path.absolute().parent)) is not None:
        raise ConfigError(f"{path}: {place} cannot be written into; choose another file")


def add_row(path: Path, row: Row) -> None:
    """Append a row, or put it in the place of that of the same run; columns that the file lacks are added to it."""
    path = path.resolve()
    short = {name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in row.items()}
    _check_cells(str(path), short)
    with FileLock(path.with_name(f"{path.name}.lock")):
        by_key = {key_of(each): each for each in read_rows(path)} | {key_of(short): short}
        rows, text = list(by_key.values()), io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(name for each in rows for name in each)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, text.getvalue())


def short_commit(state: Mapping[str, Any]) -> str:
    """Write what :func:`engine.trial_record.code_state` says: seven digits, and a + where files differed; empty if unknown."""
    return (state["commit"] or "")[:7] + "+" * bool(state["dirty"])


def key_of(row: Row) -> tuple[str, int]:
    """Return what tells a run from others: its digest and its seed."""
    return row["digest"], int(row["seed"])


def by_seed(rows: Iterable[Row], digest: str) -> dict[int, Row]:
    """Return the rows of one digest by their seed."""
    return {int(row["seed"]): row for row in rows if row["digest"] == digest}


def mean(rows: Iterable[Row], name: str) -> float:
    """Return the mean of a column over some rows; NaN where one of them has no value."""
    values = [float(row.get(name) or math.nan) for row in rows]
    return statistics.mean(values) if values else math.nan


def main_metrics(tasks: Mapping[str, Task]) -> list[str]:
    """Return the columns of the tasks' main metrics on the test split."""
    return [f"{name}_{task.main_metric}" for name, task in tasks.items()]


def changes(rows: Mapping[int, Row], baseline: Mapping[int, Row], tasks: Mapping[str, Task], split: str) -> dict[int, float]:
    """Return delta_MTL, in percent, of rows against those of the same seed; NaN where a metric has no value.

    Args:
        rows: by seed.
        baseline: likewise.
        tasks: by name.
        split: ``val_``, or empty for the test split.

    Raises:
        ConfigError: a row lacks the main metric of a task.
    """

    def values(row: Row) -> dict[str, dict[str, float]]:
        for name in (f"{split}{metric}" for metric in main_metrics(tasks)):
            if not row.get(name):
                raise ConfigError(f"{name}: is missing in the row of {row['setting']}, seed {row['seed']}; add the trial again")
        return {name: {task.main_metric: float(row[f"{split}{name}_{task.main_metric}"])} for name, task in tasks.items()}

    return {seed: delta_mtl(values(row), values(baseline[seed]), tasks) for seed, row in rows.items() if seed in baseline}


def told(numbers: Sequence[float]) -> str:
    """Write the mean of some differences with its 95 % interval (Student's t); none where one of them has no value."""
    if not numbers:
        return ""
    if without := sum(not math.isfinite(number) for number in numbers):
        return f"{without} of {len(numbers)} without a value"
    known = estimate(numbers)
    return f"{known.mean:+.1f} [{known.low:+.1f}, {known.high:+.1f}]" if known.n > 1 else f"{known.mean:+.1f} (one pair)"


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *lines))
