"""The numbers that a study is judged by: delta_MTL, and means with their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from engine.results import mean_and_std
from tasks.metric_info import metric_info
from tasks.table import Task

CONFIDENCE = 0.95

Claim = Literal["holds", "fails", "undecided"]
Metrics = Mapping[str, Mapping[str, float]]
"""Per task, per metric, the value on a split."""


@dataclass(frozen=True)
class Estimate:
    """Estimate of the mean of some numbers.

    Attributes:
        n: how many.
        mean: NaN where there is none.
        std: sample standard deviation (n - 1); NaN below two.
        low: lower end of the interval that holds the mean with a confidence of 95 %, from Student's t distribution with
            n - 1 degrees of freedom; NaN below two.
        high: its upper end.
    """

    n: int
    mean: float
    std: float
    low: float
    high: float


def estimate(values: Sequence[float]) -> Estimate:
    """Compute mean, spread and interval of independent numbers, such as a metric's of several seeds.

    A number that is not finite makes all of them NaN (:func:`engine.results.mean_and_std`).
    """
    n = len(values)
    mean, std = mean_and_std(values)
    if math.isnan(std):
        return Estimate(n, mean, std, math.nan, math.nan)
    half = _half_width(std, n)
    return Estimate(n, mean, std, mean - half, mean + half)


def judge(difference: Estimate, margin: float) -> Claim | None:
    """Judge whether a model is no worse than another one, up to ``margin`` (percentage points, not negative).

    ``holds`` if the whole interval of the paired difference (new - old) lies above -``margin``, ``fails`` if all of it lies
    below, else ``undecided``; None where there is no interval.
    """
    if math.isnan(difference.low):
        return None
    if difference.low > -margin:
        return "holds"
    return "fails" if difference.high < -margin else "undecided"


def relative_change(task: Task, metric: str, value: float, baseline: float) -> float:
    """Compute by how many percent of ``baseline`` a value is better; negative where it is worse.

    NaN for a baseline that is not above 0: a share of nothing says nothing.
    """
    if not baseline > 0:
        return math.nan
    change = 100.0 * (value - baseline) / baseline
    return change if metric_info(task, metric).better == "up" else -change


def delta_mtl(metrics: Metrics, baseline: Metrics, tasks: Mapping[str, Task]) -> float:
    """Compute the mean relative change against single-task models, in percent, of one metric per task.

    ``1/T sum_i (-1)^l_i (M_i - B_i) / B_i`` with ``l_i`` = 1 where lower is better (Maninis, Radosavovic, Kokkinos: Attentive
    Single-Tasking of Multiple Tasks, CVPR 2019), ``M_i`` the main metric of task i (``tasks/table.py``).

    Args:
        metrics: of the model.
        baseline: of the single-task models of the same tasks.
        tasks: by name.

    Raises:
        ValueError: a task has no baseline, or there is no task.
    """
    return _mean_change(metrics, baseline, tasks, {task: [tasks[task].main_metric] for task in metrics})


def delta_mtl_all_metrics(metrics: Metrics, baseline: Metrics, tasks: Mapping[str, Task]) -> float:
    """Compute delta_MTL over all metrics: the mean of their relative changes per task, and then the mean over the tasks."""
    return _mean_change(metrics, baseline, tasks, {task: list(values) for task, values in metrics.items()})


def _mean_change(metrics: Metrics, baseline: Metrics, tasks: Mapping[str, Task], names: Mapping[str, Sequence[str]]) -> float:
    missing = [task for task in metrics if task not in baseline]
    if missing or not metrics:
        raise ValueError(f"no single-task baseline of {', '.join(missing)}" if missing else "no task")
    per_task = [
        np.mean([relative_change(tasks[task], name, metrics[task][name], baseline[task][name]) for name in names[task]])
        for task in metrics
    ]
    return float(np.mean(per_task))


def trials_to_decide(mean: float, std: float, margin: float, most: int) -> int | None:
    """Return the fewest trials, at most ``most``, whose interval has -``margin`` outside, if ``mean`` and ``std`` stay.

    None where there is no such number.
    """
    for n in range(2, most + 1):
        if _half_width(std, n) < abs(mean + margin):
            return n
    return None


def _half_width(std: float, n: int) -> float:
    """Return half of the length of the interval of a mean of ``n`` numbers with this sample standard deviation."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * std / math.sqrt(n)
