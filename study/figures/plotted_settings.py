"""A study's settings, sorted for figures: by tasks, by penalty, by strength."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from settings.targets import TARGETS
from study import columns
from study.columns import Column
from study.labels import as_recorded, kind_label, short_name, strength_label, tasks_label, value_text
from study.statistics import Estimate, estimate
from study.tables import StudyTables


@dataclass(frozen=True)
class Series:
    """Settings that differ in tasks and strength only, drawn in one colour; dense ones without a penalty."""

    penalty: str
    variant: str

    @property
    def label(self) -> str:
        """Such as ``group lasso`` or ``dense, variant augmented``."""
        row = {"sparse": bool(self.penalty), "penalty": self.penalty, "variant": self.variant}
        return kind_label({**row, "lambda": math.nan})

    @property
    def penalty_label(self) -> str:
        """``group lasso``; ``dense`` without a penalty."""
        return Series(self.penalty, "").label


@dataclass(frozen=True)
class PlottedSetting:
    """A row of the summary."""

    name: str
    tasks: tuple[str, ...]
    series: Series
    strength: float
    """Lambda, or NaN."""
    target: float
    """Wanted share of zero groups, in percent, or NaN."""
    budget: float
    """Share of a cost that is left, in percent, or NaN."""
    brief_label: str
    """``dense``, ``λ = 1e-4``, ``target 70 %`` or ``MACs 25 %``."""

    @property
    def sparse(self) -> bool:
        """True for a setting with a penalty."""
        return bool(self.series.penalty)

    @property
    def strength_label(self) -> str:
        """Strength and variant."""
        return ", ".join(filter(None, [self.brief_label, self.series.variant]))

    @property
    def order(self) -> tuple[float, float, float, str]:
        """Sorts settings: dense ones, then by lambda, by target, by budget (the largest first), and by variant."""
        return (
            self.strength if math.isfinite(self.strength) else -1.0,
            self.target if math.isfinite(self.target) else -1.0,
            -self.budget if math.isfinite(self.budget) else -101.0,
            self.series.variant,
        )


@dataclass(frozen=True)
class TaskSet:
    """All settings of the same tasks."""

    tasks: tuple[str, ...]
    settings: tuple[PlottedSetting, ...]
    """Sorted by strength, dense ones first."""
    key: str
    """Part of the names of its files: ``seg_depth_sn``."""
    title: str
    """``Semantic segmentation + depth``."""

    @property
    def dense(self) -> list[PlottedSetting]:
        """Settings without a penalty, the one without a variant first."""
        return sorted((setting for setting in self.settings if not setting.sparse), key=lambda setting: setting.series.variant)

    @property
    def sparse(self) -> dict[Series, list[PlottedSetting]]:
        """Per penalty and variant its settings by strength."""
        by_series: dict[Series, list[PlottedSetting]] = {}
        for setting in self.settings:
            if setting.sparse:
                by_series.setdefault(setting.series, []).append(setting)
        return by_series


def plotted_settings(tables: StudyTables) -> list[PlottedSetting]:
    """Return every setting of the summary, in its order."""
    return [_setting(row) for row in tables.rows]


def task_sets(tables: StudyTables) -> list[TaskSet]:
    """Return the sets of tasks in the study's order."""
    by_tasks: dict[tuple[str, ...], list[PlottedSetting]] = {}
    for setting in plotted_settings(tables):
        by_tasks.setdefault(setting.tasks, []).append(setting)
    return [
        TaskSet(
            tasks,
            tuple(sorted(settings, key=lambda setting: setting.order)),
            "_".join(short_name(tables, task) for task in tasks),
            tasks_label(tables, tasks),
        )
        for tasks, settings in by_tasks.items()
    ]


def drawn_sets(tables: StudyTables) -> list[TaskSet]:
    """Return the sets that get figures of their own: not a single task's that is only a baseline."""
    every = task_sets(tables)
    chosen = [task_set for task_set in every if len(task_set.tasks) > 1 or task_set.sparse]
    return chosen or every


def all_series(tables: StudyTables) -> list[Series]:
    """Return all penalties and variants of sparse settings in their order, so that each looks the same in all figures."""
    return list(dict.fromkeys(setting.series for setting in plotted_settings(tables) if setting.sparse))


def estimates(tables: StudyTables, metric: str) -> dict[str, Estimate]:
    """Return per setting the mean of a metric over its trials with the interval, without settings that have a value that is not
    finite, as in the summary."""
    rows = tables.runs[tables.runs["metric"] == metric]
    values = pd.to_numeric(rows["value"], errors="coerce")
    grouped = values.groupby(rows["setting"], sort=False)
    return {
        str(setting): estimate(group.to_numpy(dtype=float)) for setting, group in grouped if np.isfinite(group.to_numpy()).all()
    }


def main_columns(tables: StudyTables, tasks: Iterable[str]) -> dict[str, Column]:
    """Return the column of the main metric of each task that has a value of it."""
    recorded = set(tables.runs["metric"])
    mains = {task: columns.main_column(tables.tasks[task]) for task in tasks if task in tables.tasks}
    return {task: as_recorded(tables, column) for task, column in mains.items() if column.name in recorded}


def baselines(tables: StudyTables, task_set: TaskSet, task: str) -> list[PlottedSetting]:
    """Return the finished dense models of ``task`` alone that the study planned as a baseline of the settings of a set."""
    names = {name for planned in _cells(tables, task_set.settings, "baseline_settings") for name in planned}
    return [setting for setting in plotted_settings(tables) if setting.name in names and setting.tasks == (task,)]


def twins(tables: StudyTables, settings: Iterable[PlottedSetting]) -> list[PlottedSetting]:
    """Return the finished dense settings that the study planned as partners of sparse ones."""
    names = _cells(tables, settings, "twin")
    return [setting for setting in plotted_settings(tables) if setting.name in names]


def yardsticks(tables: StudyTables, settings: Iterable[PlottedSetting]) -> set[tuple[str, ...]]:
    """Return the sets of settings that delta_MTL of some settings is against."""
    return _cells(tables, settings, "baseline_settings")


def _cells(tables: StudyTables, settings: Iterable[PlottedSetting], column: str) -> set[Any]:
    """Return the different values that a column of the summary has for some settings."""
    rows = tables.summary[tables.summary["setting"].isin([setting.name for setting in settings])]
    return set(rows.get(column, []))


def _setting(row: Mapping[str, Any]) -> PlottedSetting:
    return PlottedSetting(
        name=str(row["setting"]),
        tasks=row["tasks"],
        series=Series(value_text(row["penalty"]), value_text(row["variant"])),
        strength=_number(row["lambda"]),
        target=100.0 * _number(row["target_sparsity"]),
        budget=100.0 * next((_number(row[key]) for key in TARGETS if TARGETS[key].cost and value_text(row.get(key))), math.nan),
        brief_label=strength_label(row) if value_text(row["penalty"]) else "dense",
    )


def _number(value: Any) -> float:
    return float(value) if value_text(value) else math.nan
