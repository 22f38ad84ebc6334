"""Labels of the settings and tasks of a study, and its numbers as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from optim.penalties import PENALTIES
from settings.targets import TARGETS
from study.columns import Column, column_of, run_columns, words
from study.tables import StudyTables
from utils.numbers import fixed, short_number

NOTHING = "—"
"""Text of a cell without a value."""


def tasks_label(tables: StudyTables, tasks: Iterable[str]) -> str:
    """Join the titles of tasks: ``Semantic segmentation + depth``."""
    titles = [task_title(tables, name) for name in tasks]
    small = [title[:1].lower() + title[1:] if title[1:2].islower() else title for title in titles]  # NDVI stays
    return " + ".join([*titles[:1], *small[1:]])


def task_title(tables: StudyTables, name: str) -> str:
    """Return the title of a task; the words of its name if nobody knows the task."""
    return tables.tasks[name].title if name in tables.tasks else words(name)


def short_name(tables: StudyTables, name: str) -> str:
    """Return the short name of a task; its name if nobody knows the task."""
    return tables.tasks[name].short if name in tables.tasks else name


def kind_label(row: Mapping[str, Any]) -> str:
    """Name the penalty, strength and variant of a setting: ``dense``, or ``group lasso, target 70 %``."""
    penalty, variant = value_text(row["penalty"]), " ".join(value_text(row["variant"]).split())
    title = PENALTIES[penalty].title if penalty in PENALTIES else words(penalty) or "sparse"
    parts = [title if row["sparse"] else "dense"]
    if row["sparse"]:
        parts += filter(None, [strength_label(row)])
    return ", ".join([*parts, f"variant {variant}"] if variant else parts)


def strength_label(row: Mapping[str, Any]) -> str:
    """Write the strength of a setting as ``target 70 %``, ``MACs 25 %`` or ``λ = 1e-4``; empty where there is none."""
    for key, kind in TARGETS.items():
        if not is_missing(row.get(key)):
            return f"{kind.label} {100 * float(row[key]):.6g} %"
    return "" if is_missing(row["lambda"]) else f"λ = {short_number(float(row['lambda']))}"


def setting_label(tables: StudyTables, row: Mapping[str, Any]) -> str:
    """Name the setting of a row of the summary or of the runs: its tasks, penalty, strength and variant."""
    return f"{tasks_label(tables, row['tasks'])}, {kind_label(row)}"


def value_text(value: Any) -> str:
    """Return the value of a cell as text; empty where there is none."""
    return "" if is_missing(value) else str(value)


def is_missing(value: Any) -> bool:
    """Return whether a cell holds no value."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def mean_text(column: Column, row: Mapping[str, Any]) -> str:
    """Write the mean of a column in a row of the summary: ``mean ± std``, or the mean alone where there is no deviation.

    ``(n = 2)`` follows where only two of the setting's trials, of which there are more, have a value.
    """
    mean, std = row[f"{column.name}_mean"], row.get(f"{column.name}_std")
    if is_missing(mean):
        return NOTHING
    # what is the same in every trial (MACs of a dense network) needs no ± 0
    spread = "" if is_missing(std) else fixed(float(std or 0), column.decimals or 0)
    text = f"{column.number(mean)} ± {spread}" if spread and (column.task or float(spread)) else column.number(mean)
    number = row.get(f"{column.name}_n")
    return text if is_missing(number) or number == row["num_trials"] else f"{text} (n = {int(number or 0)})"


def interval(low: Any, high: Any, decimals: int = 2) -> str:
    """Write an interval as ``[−0.30, +1.20]``; ``NOTHING`` where there is none."""
    if is_missing(low) or is_missing(high):
        return NOTHING
    return f"[{fixed(low, decimals, signed=True)}, {fixed(high, decimals, signed=True)}]"


def study_columns(tables: StudyTables) -> list[Column]:
    """Return the column of every number that at least one setting of the summary has, in the summary's order."""
    summary, known = tables.summary, run_columns(tables.tasks[name] for name in study_tasks(tables) if name in tables.tasks)
    names = [name.removesuffix("_mean") for name in summary if name.endswith("_mean") and name != "difference_mean"]
    columns = []
    for name in names:
        means = summary[f"{name}_mean"]
        if means.isna().all():
            continue
        column = as_recorded(tables, column_of(name, known))
        if column.decimals is None:
            stds = summary[f"{name}_std"] if f"{name}_std" in summary else pd.Series(dtype=float)
            column = replace(column, decimals=_decimals([*means, *stds]))
        columns.append(column)
    return columns


def as_recorded(tables: StudyTables, column: Column) -> Column:
    """Return a column with the unit and direction of the table of the runs, such as metres; unchanged if it is not there."""
    rows = tables.runs[tables.runs["metric"] == column.name]
    return replace(column, unit=rows["unit"].iloc[0], better=rows["better"].iloc[0]) if len(rows) else column


def _decimals(values: Iterable[float]) -> int:
    """Return 0 for numbers that are all whole, else 1."""
    return int(any(float(value) != int(value) for value in values if math.isfinite(value)))


def study_tasks(tables: StudyTables) -> list[str]:
    """Return the names of all tasks that some setting of the study has."""
    return list(dict.fromkeys(task for tasks in tables.summary["tasks"] for task in tasks))


def main_metrics(tables: StudyTables) -> list[tuple[str, str]]:
    """Return the title of each task of the study with the heading of its main metric."""
    return [(column.group, column.heading) for column in study_columns(tables) if column.main]
