"""Objectives: what a task learns and how it is judged. One class per objective, which kinds and tasks name by its place.

A task has the objective of its kind (``tasks/kinds.py``), unless it names another (``Task.objective``): its kind then says how
its targets are read, stored and drawn, and the objective what is made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from tasks.activations import THRESHOLD, activate
from tasks.kinds import KINDS
from tasks.losses import (
    REGRESSION_LOSSES,
    Loss,
    MeanLoss,
    binary_cross_entropy,
    class_cross_entropy,
    huber,
    one_minus_cosine,
    squared,
)
from tasks.metrics import (
    AttributeMetrics,
    ClassificationMetrics,
    DepthMetrics,
    EdgeMetrics,
    MetricInfo,
    NormalsMetrics,
    RegressionMetrics,
    SegmentationMetrics,
    TaskMetrics,
)
from tasks.table import SEGMENTATION_LOSSES, Task
from utils.places import load

Weights = Sequence[float]


class Objective:
    """The loss, the metrics and the prediction of a task, by default of values that a pointwise distance compares.

    Methods take the task, and where it matters ``depth_target``: ``relative`` or ``metric``.
    """

    metrics: ClassVar[type[TaskMetrics]]
    unit: ClassVar[str] = ""
    """Meaning of a predicted number."""
    last_step: ClassVar[str] = ""
    """Way from the activated logits of an exported network to the prediction."""

    @staticmethod
    def distance(prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss of every element, from values in the target's units."""
        raise NotImplementedError

    def loss(self, task: Task, seg_loss: str, depth_target: str, weights: Weights = ()) -> Loss:
        """Return the loss.

        Args:
            task: whose loss it is.
            seg_loss: of segmentations, a key of ``tasks.table.SEGMENTATION_LOSSES``.
            depth_target: ``relative`` or ``metric``.
            weights: of the classes, if the task has any; empty: they count alike.
        """
        return MeanLoss(lambda logits, target: self.distance(activate(task, logits, depth_target), target))

    def measure(self, task: Task) -> TaskMetrics:
        """Return fresh metrics."""
        return self.metrics()

    def predict(self, task: Task, logits: Tensor, depth_target: str) -> Tensor:
        """Return the prediction that metrics and figures use."""
        return activate(task, logits, depth_target)

    def columns(self, task: Task, logits: Tensor, depth_target: str) -> dict[str, str]:
        """Return the prediction for one image, of a task that is about whole images, as columns of a table."""
        return {task.name: f"{float(self.predict(task, logits[None], depth_target)):.6g}"}

    def imitation(self, task: Task, logits: Tensor, others: Tensor, depth_target: str) -> Tensor:
        """Return the distance of every element of a prediction from another network's, both from their logits."""
        return self.distance(activate(task, logits, depth_target), self.predict(task, others, depth_target))

    def unit_of(self, task: Task, depth_target: str) -> str:
        """Return the meaning of a predicted number."""
        return self.unit


class Segmentation(Objective):
    """Classes: int64 (B, H, W)."""

    metrics: ClassVar[type[TaskMetrics]] = SegmentationMetrics

    def loss(self, task: Task, seg_loss: str, depth_target: str, weights: Weights = ()) -> Loss:
        loss: Loss = load(SEGMENTATION_LOSSES[task.loss or seg_loss])
        return replace(loss, weights=tuple(weights)) if weights and isinstance(loss, MeanLoss) else loss

    def measure(self, task: Task) -> TaskMetrics:
        return SegmentationMetrics(task.outputs)

    def predict(self, task: Task, logits: Tensor, depth_target: str) -> Tensor:
        return logits.argmax(dim=1)

    def imitation(self, task: Task, logits: Tensor, others: Tensor, depth_target: str) -> Tensor:
        """Return the Kullback-Leibler divergence of the classes, of each pixel or image, from the other network's."""
        own, given = (values.log_softmax(dim=1) for values in (logits, others))
        return F.kl_div(own, given, reduction="none", log_target=True).sum(dim=1)


class Classification(Segmentation):
    """Classes: int64 (B,)."""

    metrics: ClassVar[type[TaskMetrics]] = ClassificationMetrics

    def loss(self, task: Task, seg_loss: str, depth_target: str, weights: Weights = ()) -> Loss:
        return MeanLoss(class_cross_entropy, tuple(weights))

    def measure(self, task: Task) -> TaskMetrics:
        return ClassificationMetrics(task.outputs)

    def columns(self, task: Task, logits: Tensor, depth_target: str) -> dict[str, str]:
        """Return the likeliest class and its probability."""
        probability, place = logits.softmax(dim=0).max(dim=0)
        return {f"{task.name}_probability": f"{float(probability):.6f}", task.name: task.classes[int(place)]}


class Regression(Objective):
    """Numbers: (B, K, H, W), or (B,) of whole images."""

    metrics = RegressionMetrics

    def loss(self, task: Task, seg_loss: str, depth_target: str, weights: Weights = ()) -> Loss:
        distance = REGRESSION_LOSSES[task.loss or KINDS[task.kind].losses[0]]
        return MeanLoss(lambda logits, target: distance(logits, (target - task.mean) / task.std))

    def imitation(self, task: Task, logits: Tensor, others: Tensor, depth_target: str) -> Tensor:
        """Return the loss where the target is the other network's prediction."""
        return REGRESSION_LOSSES[task.loss or KINDS[task.kind].losses[0]](logits, others)

    def unit_of(self, task: Task, depth_target: str) -> str:
        return task.unit or "number, in the unit of the training data"


class Depth(Objective):
    """Distances: (B, 1, H, W), in metres, or in parts of a frame's largest."""

    metrics = DepthMetrics
    distance = staticmethod(squared)

    def unit_of(self, task: Task, depth_target: str) -> str:
        return "metres" if depth_target == "metric" else "parts of the photo's largest depth"


class Normals(Objective):
    """Unit vectors: (B, 3, H, W)."""

    metrics = NormalsMetrics
    distance = staticmethod(one_minus_cosine)
    last_step = ", divided by its length over axis 1"

    def unit_of(self, task: Task, depth_target: str) -> str:
        return f"unit vector ({task.normal_axes or 'axes as in the training data'})"

    def predict(self, task: Task, logits: Tensor, depth_target: str) -> Tensor:
        return F.normalize(activate(task, logits, depth_target), dim=1)


class Edges(Objective):
    """Strengths from 0 to 1: (B, 1, H, W)."""

    metrics = EdgeMetrics
    unit = "probability of an edge"
    distance = staticmethod(huber)


class Attribute(Objective):
    """Probabilities: (B,)."""

    metrics = AttributeMetrics
    last_step = f"; yes above {THRESHOLD:g}"

    def unit_of(self, task: Task, depth_target: str) -> str:
        return f"probability of {task.title}"

    def loss(self, task: Task, seg_loss: str, depth_target: str, weights: Weights = ()) -> Loss:
        return MeanLoss(binary_cross_entropy, tuple(weights))

    def columns(self, task: Task, logits: Tensor, depth_target: str) -> dict[str, str]:
        """Return the probability, and yes or no at the metrics' threshold."""
        probability = float(logits.sigmoid())
        return {f"{task.name}_probability": f"{probability:.6f}", task.name: "yes" if probability > THRESHOLD else "no"}

    def imitation(self, task: Task, logits: Tensor, others: Tensor, depth_target: str) -> Tensor:
        """Return the Kullback-Leibler divergence of the two answers from the other network's."""
        given = others.sigmoid()
        return binary_cross_entropy(logits, given) - binary_cross_entropy(others, given)


def objective_of(task: Task) -> Objective:
    """Return the objective of ``task``."""
    objective: Objective = load(task.objective or KINDS[task.kind].objective)()
    return objective


def predict(task: Task, logits: Tensor, depth_target: str) -> Tensor:
    """Return the prediction that metrics and figures use: its form is in the docstring of the task's objective."""
    return objective_of(task).predict(task, logits, depth_target)


def imitation(task: Task, logits: Tensor, others: Tensor, depth_target: str) -> Tensor:
    """Return the mean distance of a prediction from another network's, a scalar; from the logits of both, in float32."""
    return objective_of(task).imitation(task, logits.float(), others.float(), depth_target).mean()


def build_losses(
    tasks: Iterable[Task], seg_loss: str, depth_target: str, weights: Mapping[str, Weights] | None = None
) -> dict[str, Loss]:
    """Build the loss of every task, by its name.

    Args:
        tasks: of an experiment.
        seg_loss: of segmentations, a key of ``tasks.table.SEGMENTATION_LOSSES``.
        depth_target: ``relative`` or ``metric``.
        weights: of the classes, per task; of a task that it lacks, they count alike.
    """
    weights = weights or {}
    return {task.name: objective_of(task).loss(task, seg_loss, depth_target, weights.get(task.name, ())) for task in tasks}


def build_metrics(task: Task) -> TaskMetrics:
    """Build fresh metrics of a task."""
    return objective_of(task).measure(task)


def metrics_of(task: Task) -> Mapping[str, MetricInfo]:
    """Return the metrics of a task, by name."""
    return objective_of(task).metrics.INFO


class SplitMetrics:
    """The metrics of some tasks over one split, with the depth of ``depth_target``."""

    def __init__(self, tasks: Iterable[Task], depth_target: str) -> None:
        self.depth_target = depth_target
        self.tasks = {task.name: task for task in tasks}
        self.metrics = {task.name: build_metrics(task) for task in self.tasks.values()}

    def update(self, task: str, logits: Tensor, target: Tensor, mask: Tensor) -> None:
        """Take one task's batch in, logits as the model gives them."""
        self.metrics[task].update(predict(self.tasks[task], logits.float(), self.depth_target), target, mask)

    def compute(self) -> dict[str, dict[str, float]]:
        """Return name -> value per task."""
        return {name: metrics.compute() for name, metrics in self.metrics.items()}
