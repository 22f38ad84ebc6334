"""Unit, direction and title of each metric of a task."""

from __future__ import annotations

from dataclasses import replace

from tasks.metrics import MetricInfo
from tasks.objectives import metrics_of
from tasks.table import Task

__all__ = ["ARROWS", "MetricInfo", "metric_info", "metrics_of"]

ARROWS = {"up": "↑", "down": "↓"}
"""Signs of the better direction."""


def metric_info(task: Task, metric: str, *, metres: bool = False) -> MetricInfo:
    """Return unit, direction and title of a metric of ``task``.

    Args:
        task: that it is a metric of.
        metric: such as ``rmse``.
        metres: the depth is metric (``depth_target: metric``), and not relative to the frame's largest.
    """
    info = metrics_of(task)[metric]
    unit = {"depth": "m" if metres else "", "regression": task.unit}.get(task.kind, "")
    return replace(info, unit=unit) if unit and metric in ("abs_err", "rmse") else info
