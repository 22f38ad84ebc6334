"""What each metric is measured in, and which way is better: plain data, beside the formulas of ``tasks/metrics.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.table import Kind, get_task


@dataclass(frozen=True)
class MetricInfo:
    """Unit (empty for shares and numbers without one) and direction of a metric."""

    better: Literal["up", "down"]
    unit: str = ""


_UP, _DOWN = MetricInfo("up"), MetricInfo("down")

METRICS: dict[Kind, dict[str, MetricInfo]] = {
    "segmentation": dict.fromkeys(("mIoU", "pixel_accuracy", "IoU_micro_imagewise"), _UP),
    "depth": {**dict.fromkeys(("abs_err", "rel_err", "rmse"), _DOWN), "delta_1.25": _UP},
    "normals": {
        "mean_cosine": _UP,
        **dict.fromkeys(("mean_angle", "median_angle"), MetricInfo("down", "degrees")),
        **dict.fromkeys(("within_11.25", "within_22.5", "within_30"), _UP),
    },
    "edges": {"abs_err": _DOWN},
    "attribute": dict.fromkeys(("accuracy", "f1", "f1_weighted", "auroc"), _UP),
}
"""Per kind of task its metrics."""


def metric_info(task: str, metric: str, *, metres: bool = False) -> MetricInfo:
    """Of a metric of ``task``.

    Args:
        task: such as ``depth_euclidean``.
        metric: such as ``rmse``.
        metres: the depth is metric (``depth_target: metric``), and not relative to the frame's largest.
    """
    kind = get_task(task).kind
    info = METRICS[kind][metric]
    return MetricInfo(info.better, "m") if metres and kind == "depth" and metric in ("abs_err", "rmse") else info
