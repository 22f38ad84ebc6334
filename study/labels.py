"""What a reader calls the settings, tasks and metrics of a study, and its numbers as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from optim.penalties import PENALTIES
from study.tables import StudyTables
from tasks.table import get_task
from utils.numbers import fixed, short_number

NOTHING = "—"
"""What a cell says that does not apply."""

ARROWS = {"up": "↑", "down": "↓"}

_METRICS = {
    "abs_err": "absolute error",
    "rel_err": "relative error",
    "rmse": "RMSE",
    "delta_1.25": "share within a factor of 1.25",
    "IoU_micro_imagewise": "IoU per image",
    "within_11.25": "share within 11.25°",
    "within_22.5": "share within 22.5°",
    "within_30": "share within 30°",
    "f1": "F1",
    "f1_weighted": "F1, weighted",
    "auroc": "AUROC",
}
"""Names of metrics of tasks, where they are more than their words."""

_NETWORK = {
    "delta_MTL": "Δ_MTL (%)",
    "delta_MTL_all_metrics": "Δ_MTL, all metrics (%)",
    "group_sparsity": "group sparsity (%)",
    "parameter_sparsity": "parameter sparsity (%)",
    "groups": "groups",
    "zero_groups": "groups that are zero",
    "compact_GMACs": "GMACs",
    "dense_GMACs": "GMACs, dense",
    "backbone_compact_GMACs": "GMACs, backbone",
    "backbone_dense_GMACs": "GMACs, backbone, dense",
    "compact_Mparameters": "parameters (M)",
    "dense_Mparameters": "parameters (M), dense",
    "backbone_compact_Mparameters": "parameters (M), backbone",
    "backbone_dense_Mparameters": "parameters (M), backbone, dense",
    "compact_latency_ms": "latency (ms)",
    "folded_latency_ms": "latency (ms), dense, batch norm folded",
    "training_minutes": "training time (min)",
}
"""Names of quantities of a whole run."""

_DECIMALS = {"%": 2, "degrees": 2, "G": 3, "M": 3, "ms": 1, "min": 1}
"""Digits behind the point, by unit; a metric of a task without a unit (0..1) has four."""

_SIGNED = ("delta_MTL", "delta_MTL_all_metrics")


# Names


def tasks_label(tasks: str) -> str:
    """``Semantic segmentation + depth`` of ``segmentsemantic+depth_euclidean``."""
    titles = [task_title(name) for name in tasks.split("+") if name]
    return " + ".join(title if index == 0 else title[:1].lower() + title[1:] for index, title in enumerate(titles))


def task_title(name: str) -> str:
    """What the table of tasks calls a task; its own name with spaces if that has none such."""
    try:
        return get_task(name).title
    except KeyError:
        return words(name)


def kind_label(row: Mapping[str, Any]) -> str:
    """What is done to the tasks of a setting: ``dense``, or ``group lasso, target 70 %``; with the variant if it has one."""
    penalty, variant = value_text(row["penalty"]), " ".join(value_text(row["variant"]).split())
    title = PENALTIES[penalty].title if penalty in PENALTIES else words(penalty) or "sparse"
    parts = [title if is_sparse(row) else "dense"]
    if is_sparse(row):
        parts += filter(None, [strength_label(row["lambda"], row["target_sparsity"])])
    return ", ".join([*parts, f"variant {variant}"] if variant else parts)


def strength_label(strength: Any, target: Any) -> str:
    """``target 70 %``, or ``λ = 1e-4``; empty where there is neither.

    Args:
        strength: lambda.
        target: wanted share of zero groups, 0..1.
    """
    if not is_missing(target):
        return f"target {100 * float(target):.6g} %"
    return "" if is_missing(strength) else f"λ = {short_number(float(strength))}"


def setting_label(row: Mapping[str, Any]) -> str:
    """What a reader calls the setting of a row of the summary or of the runs: its tasks, and what is done to them."""
    return f"{tasks_label(value_text(row['tasks']))}, {kind_label(row)}"


def metric_label(name: str, tasks: Iterable[str]) -> tuple[str, str]:
    """The task that a metric is of (empty for one of the whole run) and what the metric is called there.

    Args:
        name: such as ``depth_euclidean_abs_err`` or ``group_sparsity``.
        tasks: names of the study's tasks.
    """
    # the longest name: class_Male_x is not a metric of a task that is called class
    for task in sorted(tasks, key=len, reverse=True):
        if name.startswith(f"{task}_"):
            metric = name.removeprefix(f"{task}_")
            return task_title(task), _METRICS.get(metric, words(metric))
    return "", _NETWORK.get(name, words(name))


def words(name: str) -> str:
    """A name with spaces, in one line."""
    return " ".join(name.replace("_", " ").split())


def is_sparse(row: Mapping[str, Any]) -> bool:
    """Whether a row's setting has a penalty."""
    return str(row["sparse"]) == "True"


def value_text(value: Any) -> str:
    """A value of a table as it stands there; empty where there is none."""
    return "" if is_missing(value) else str(value)


def is_missing(value: Any) -> bool:
    """Whether a table has no value there."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


# Numbers


@dataclass(frozen=True)
class Metric:
    """A quantity that the study has."""

    name: str
    """In the columns of the summary, such as ``depth_euclidean_abs_err``."""
    task: str
    """The title of its task; empty for a quantity of the whole run."""
    title: str
    """What a reader calls it, with its unit."""
    better: str
    """``up`` or ``down``; empty where neither is."""
    main: bool
    """Whether it is the main metric of its task."""
    decimals: int

    @property
    def arrow(self) -> str:
        """Which way is better, where that is a matter of doing well; what a network costs is seen without."""
        return "" if self.better not in ARROWS or not (self.task or self.name in _SIGNED) else f" {ARROWS[self.better]}"

    def number(self, value: float) -> str:
        """A value of it; with its sign, if it is a difference."""
        return fixed(value, self.decimals, signed=self.name in _SIGNED)

    def mean(self, row: Mapping[str, Any]) -> str:
        """``mean ± std`` of a row of the summary; the mean alone where there is no deviation. ``(n = 2)`` follows where only so
        many of the setting's trials have a value."""
        mean, std = row[f"{self.name}_mean"], row.get(f"{self.name}_std")
        if is_missing(mean):
            return NOTHING
        # what is the same in every trial (MACs of a dense network) needs no ± 0
        spread = "" if is_missing(std) else fixed(float(std or 0), self.decimals)
        text = f"{self.number(mean)} ± {spread}" if spread and (self.task or float(spread)) else self.number(mean)
        number = row.get(f"{self.name}_n")
        return text if is_missing(number) or number == row["num_trials"] else f"{text} (n = {int(number or 0)})"


def interval(low: Any, high: Any, decimals: int = 2) -> str:
    """``[−0.30, +1.20]``; nothing where there is none."""
    if is_missing(low) or is_missing(high):
        return NOTHING
    return f"[{fixed(low, decimals, signed=True)}, {fixed(high, decimals, signed=True)}]"


def study_metrics(tables: StudyTables) -> list[Metric]:
    """Every quantity of the summary that at least one setting has, in its order."""
    summary, tasks = tables.summary, study_tasks(tables)
    known = tables.runs.drop_duplicates("metric").set_index("metric")
    mains = set(tables.runs.loc[tables.runs["main"].astype(str) == "True", "metric"])
    names = [name.removesuffix("_mean") for name in summary if name.endswith("_mean") and name != "difference_mean"]
    result = []
    for name in names:
        means = summary[f"{name}_mean"]
        if means.isna().all():
            continue
        unit, better = (value_text(known.at[name, column]) if name in known.index else "" for column in ("unit", "better"))
        task, title = metric_label(name, tasks)
        stds = summary[f"{name}_std"] if f"{name}_std" in summary else pd.Series(dtype=float)
        decimals = _DECIMALS[unit] if unit in _DECIMALS else 4 if task else _decimals([*means, *stds])
        if unit and "(" not in title and unit not in ("G", "M"):
            title = f"{title} ({unit})"
        result.append(Metric(name, task, title, better, name in mains, decimals))
    return result


def _decimals(values: Iterable[float]) -> int:
    """None for counts that are whole on average too, else one."""
    return int(any(float(value) != int(value) for value in values if math.isfinite(value)))


def study_tasks(tables: StudyTables) -> list[str]:
    """Names of all tasks that some setting of the study has."""
    return list(dict.fromkeys(task for tasks in tables.summary["tasks"] for task in value_text(tasks).split("+") if task))


def main_metrics(tables: StudyTables) -> list[tuple[str, str]]:
    """Per task of the study its title and its main metric, with an arrow that says which way is better."""
    return [(metric.task, f"{metric.title} {metric.arrow.strip()}".strip()) for metric in study_metrics(tables) if metric.main]
