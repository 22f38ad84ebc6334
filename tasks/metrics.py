"""Metrics, exact over a split: sums and counts are accumulated and divided once.

Where torchmetrics has a metric it is used, with its sums in float64, so that the order and the size of the batches do not
show. A metric of a split without any valid element is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryAUROC,
    BinaryF1Score,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
)

from tasks.table import IGNORE_INDEX


@dataclass(frozen=True)
class MetricInfo:
    """Direction, unit (empty for shares and numbers without one) and title (empty: the words of its name) of a metric."""

    better: Literal["up", "down"]
    unit: str = ""
    title: str = ""


UP = MetricInfo("up")

ALONE: dict[str, Any] = {"sync_on_compute": False}
"""Of a metric of torchmetrics: it waits for no other process when it is computed; :meth:`TaskMetrics.merge` brings them in."""


class TaskMetrics(Protocol):
    """Metrics of one task."""

    INFO: ClassVar[Mapping[str, MetricInfo]]
    """Every metric by its name."""

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor) -> None:
        """Take a batch in: predictions of ``tasks.objectives.predict``, targets and masks of the loader."""

    def merge(self, other: Self) -> None:
        """Take in what other metrics of the same task have taken in: those of another process, about other frames."""

    def compute(self) -> dict[str, float]:
        """Name -> value over everything taken in so far."""


class _Mean:
    """sum / count in float64, NaN if there was nothing."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, values: Tensor) -> None:
        self.total += float(values.double().sum())
        self.count += values.numel()

    def merge(self, other: _Mean) -> None:
        self.total, self.count = self.total + other.total, self.count + other.count

    def compute(self) -> float:
        return self.total / self.count if self.count else math.nan


class SegmentationMetrics:
    """``mIoU`` (mean over the classes that occur in the split's ground truth), ``pixel_accuracy``, and the paper's
    ``IoU_micro_imagewise`` (per image, over the pixels of all classes together; mean over images)."""

    INFO: ClassVar[Mapping[str, MetricInfo]] = {
        **dict.fromkeys(("mIoU", "pixel_accuracy"), UP),
        "IoU_micro_imagewise": MetricInfo("up", title="IoU per image"),
    }

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64)
        self.imagewise = _Mean()

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor) -> None:
        """(B, H, W) classes, targets and validity."""
        metric = MulticlassConfusionMatrix(self.classes, ignore_index=IGNORE_INDEX, validate_args=False)
        self.confusion += metric.to(prediction.device)(prediction, target).cpu()
        correct = ((prediction == target) & mask).flatten(1).sum(1).double()
        valid = mask.flatten(1).sum(1).double()
        # Summed over classes, every wrong pixel is one false positive and one false negative.
        iou = correct / (2 * valid - correct)
        self.imagewise.add(iou[valid > 0])

    def merge(self, other: Self) -> None:
        self.confusion += other.confusion
        self.imagewise.merge(other.imagewise)

    def compute(self) -> dict[str, float]:
        matrix = self.confusion.double()
        true, target, predicted = matrix.diag(), matrix.sum(1), matrix.sum(0)
        present = target > 0
        iou = true[present] / (target + predicted - true)[present]
        return {
            "mIoU": float(iou.mean()) if bool(present.any()) else math.nan,
            "pixel_accuracy": float(true.sum() / matrix.sum()) if bool(present.any()) else math.nan,
            "IoU_micro_imagewise": self.imagewise.compute(),
        }


class DepthMetrics:
    """``abs_err``, ``rel_err`` (|error| / depth), ``rmse`` and ``delta_1.25`` (share of pixels with max(p/t, t/p) < 1.25, the
    first of the thresholds of Ladicky et al. 2014 and Eigen et al. 2014, arXiv 1406.2283).

    In metres for ``depth_target: metric``, else in parts of the frame's largest depth.
    """

    INFO: ClassVar[Mapping[str, MetricInfo]] = {
        "abs_err": MetricInfo("down", title="absolute error"),
        "rel_err": MetricInfo("down", title="relative error"),
        "rmse": MetricInfo("down", title="RMSE"),
        "delta_1.25": MetricInfo("up", title="share within a factor of 1.25"),
    }

    def __init__(self) -> None:
        self.absolute = _float64(MeanAbsoluteError(**ALONE))
        self.squared = _float64(MeanSquaredError(squared=False, **ALONE))
        self.relative, self.close = _Mean(), _Mean()

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor) -> None:
        """(B, 1, H, W) each."""
        p, t = prediction[mask].double(), target[mask].double()
        if t.numel():
            self.absolute.to(p.device).update(p, t)
            self.squared.to(p.device).update(p, t)
        self.relative.add((p - t).abs() / t)
        self.close.add((torch.maximum(p / t, t / p) < 1.25).double())

    def merge(self, other: Self) -> None:
        self.absolute, self.squared = _merged(self.absolute, other.absolute), _merged(self.squared, other.squared)
        self.relative.merge(other.relative)
        self.close.merge(other.close)

    def compute(self) -> dict[str, float]:
        return {
            "abs_err": _value(self.absolute),
            "rel_err": self.relative.compute(),
            "rmse": _value(self.squared),
            "delta_1.25": self.close.compute(),
        }


class NormalsMetrics:
    """``mean_cosine``, ``mean_angle`` and ``median_angle`` in degrees, and ``within_11.25`` / ``within_22.5`` / ``within_30``
    (shares of pixels). The median is exact: every angle is kept (4 bytes a pixel, in main memory)."""

    LIMITS = (11.25, 22.5, 30.0)
    INFO: ClassVar[Mapping[str, MetricInfo]] = {
        "mean_cosine": UP,
        **dict.fromkeys(("mean_angle", "median_angle"), MetricInfo("down", "degrees")),
        **{f"within_{limit:g}": MetricInfo("up", title=f"share within {limit:g}°") for limit in LIMITS},
    }

    def __init__(self) -> None:
        self.cosine, self.angle = _Mean(), _Mean()
        self.within = {limit: _Mean() for limit in self.LIMITS}
        self.angles: list[np.ndarray] = []

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor) -> None:
        """(B, 3, H, W) unit vectors, and (B, 1, H, W)."""
        valid = mask[:, 0]
        p, t = prediction.movedim(1, -1)[valid].double(), target.movedim(1, -1)[valid].double()
        dot, cross, lengths = (p * t).sum(-1), torch.linalg.cross(p, t).norm(dim=-1), p.norm(dim=-1) * t.norm(dim=-1)
        # A zero vector points nowhere: cosine 0, as in the loss, and its angle.
        cosine = torch.where(lengths == 0, 0.0, dot / lengths)
        # atan2 keeps its digits for small angles, where acos loses them
        angle = torch.where(lengths == 0, 90.0, torch.rad2deg(torch.atan2(cross, dot)))
        self.cosine.add(cosine)
        self.angle.add(angle)
        for limit, share in self.within.items():
            share.add((angle < limit).double())
        self.angles.append(angle.float().cpu().numpy())

    def merge(self, other: Self) -> None:
        self.cosine.merge(other.cosine)
        self.angle.merge(other.angle)
        for limit, share in self.within.items():
            share.merge(other.within[limit])
        self.angles += other.angles

    def compute(self) -> dict[str, float]:
        angles = np.concatenate(self.angles) if self.angles else np.empty(0, np.float32)
        return {
            "mean_cosine": self.cosine.compute(),
            "mean_angle": self.angle.compute(),
            "median_angle": float(np.median(angles)) if angles.size else math.nan,
            **{f"within_{limit:g}": share.compute() for limit, share in self.within.items()},
        }


class EdgeMetrics:
    """``abs_err`` of the edge strength."""

    INFO: ClassVar[Mapping[str, MetricInfo]] = {"abs_err": MetricInfo("down", title="absolute error")}

    def __init__(self) -> None:
        self.absolute = _float64(MeanAbsoluteError(**ALONE))

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor) -> None:
        """(B, 1, H, W) each."""
        if bool(mask.any()):
            p, t = prediction[mask].double(), target[mask].double()
            self.absolute.to(p.device).update(p, t)

    def merge(self, other: Self) -> None:
        self.absolute = _merged(self.absolute, other.absolute)

    def compute(self) -> dict[str, float]:
        return {"abs_err": _value(self.absolute)}


class RegressionMetrics:
    """``abs_err`` and ``rmse`` of all channels, in the task's unit."""

    INFO: ClassVar[Mapping[str, MetricInfo]] = {
        "abs_err": MetricInfo("down", title="absolute error"),
        "rmse": MetricInfo("down", title="RMSE"),
    }

    def __init__(self) -> None:
        self.absolute, self.squared = _Mean(), _Mean()

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor) -> None:
        """(B, K, H, W) each, the mask (B, 1, H, W); or (B,) each."""
        error = prediction.double() - target.double()
        error = error.movedim(1, -1)[mask[:, 0]] if error.ndim == 4 else error[mask]
        self.absolute.add(error.abs())
        self.squared.add(error.square())

    def merge(self, other: Self) -> None:
        self.absolute.merge(other.absolute)
        self.squared.merge(other.squared)

    def compute(self) -> dict[str, float]:
        return {"abs_err": self.absolute.compute(), "rmse": math.sqrt(self.squared.compute())}


class ClassificationMetrics:
    """``accuracy``, and ``macro_f1``: the mean of the F1 scores of the classes that occur, in truth or in prediction."""

    INFO: ClassVar[Mapping[str, MetricInfo]] = {"accuracy": UP, "macro_f1": MetricInfo("up", title="F1, mean over classes")}

    def __init__(self, classes: int) -> None:
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64)

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor) -> None:
        """(B,) classes, targets and validity."""
        metric = MulticlassConfusionMatrix(len(self.confusion), validate_args=False)
        if bool(mask.any()):
            self.confusion += metric.to(prediction.device)(prediction[mask], target[mask]).cpu()

    def merge(self, other: Self) -> None:
        self.confusion += other.confusion

    def compute(self) -> dict[str, float]:
        matrix = self.confusion.double()
        true, total = matrix.diag(), matrix.sum(0) + matrix.sum(1)
        if not bool(matrix.any()):
            return dict.fromkeys(self.INFO, math.nan)
        return {
            "accuracy": float(true.sum() / matrix.sum()),
            "macro_f1": float((2 * true / total)[total > 0].mean()),
        }


class AttributeMetrics:
    """``accuracy``, ``f1`` (of the positives, NaN where there are none, neither true nor predicted), ``f1_weighted`` (by class
    frequency), all at threshold 0.5, and ``auroc`` (NaN where only one class occurs)."""

    INFO: ClassVar[Mapping[str, MetricInfo]] = {
        "accuracy": UP,
        "f1": MetricInfo("up", title="F1"),
        "f1_weighted": MetricInfo("up", title="F1, weighted"),
        "auroc": MetricInfo("up", title="AUROC"),
    }

    def __init__(self) -> None:
        self.metrics: dict[str, Metric] = {
            "accuracy": BinaryAccuracy(**ALONE),
            "f1": BinaryF1Score(**ALONE),
            "f1_weighted": MulticlassF1Score(num_classes=2, average="weighted", **ALONE),
            "auroc": BinaryAUROC(**ALONE),
        }
        self.positives, self.predicted, self.count = 0, 0, 0

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor) -> None:
        """(B,) probabilities, 0 or 1, and validity."""
        p, t = prediction[mask].double().cpu(), target[mask].long().cpu()
        if not t.numel():
            return
        self.positives += int(t.sum())
        self.predicted += int((p > 0.5).sum())
        self.count += t.numel()
        for name, metric in self.metrics.items():
            metric.update((p > 0.5).long() if name == "f1_weighted" else p, t)

    def merge(self, other: Self) -> None:
        self.positives, self.predicted = self.positives + other.positives, self.predicted + other.predicted
        self.count += other.count
        self.metrics = {name: _merged(metric, other.metrics[name]) for name, metric in self.metrics.items()}

    def compute(self) -> dict[str, float]:
        if not self.count:
            return dict.fromkeys(self.metrics, math.nan)
        # torchmetrics makes 0 of 0 / 0.
        undefined = {"auroc": self.positives in (0, self.count), "f1": self.positives == self.predicted == 0}
        return {name: math.nan if undefined.get(name) else float(metric.compute()) for name, metric in self.metrics.items()}


M = TypeVar("M", bound=Metric)


def _merged(metric: M, other: M) -> M:
    """Return a metric that has taken in what both have."""
    if metric.update_called and other.update_called:
        metric.merge_state(other)
    return metric if metric.update_called else other


def _float64(metric: Metric) -> Metric:
    return metric.set_dtype(torch.float64)


def _value(metric: Metric) -> float:
    return float(metric.compute()) if metric.update_called else math.nan
