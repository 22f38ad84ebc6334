"""Weights of rare and common classes, from their frequencies in the training frames (``class_weights: balanced``)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from datasets import Loaders
from datasets.base import MultiTaskDataset
from settings.config import ExperimentConfig
from utils.console import track

log = logging.getLogger(__name__)


def with_class_weights(configs: Sequence[ExperimentConfig], loaders: Loaders) -> list[ExperimentConfig]:
    """Return experiments on the same data with numbers in place of ``balanced``."""
    if configs[0].class_weights != "balanced":
        return list(configs)
    training = loaders.training(configs[0].seed).dataset
    assert isinstance(training, MultiTaskDataset)
    weights = balanced_weights(training)
    for name, numbers in weights.items():
        log.info("class weights of %s: %s", name, ", ".join(f"{number:.3g}" for number in numbers))
    return [config.model_copy(update={"class_weights": weights}) for config in configs]


def balanced_weights(frames: MultiTaskDataset) -> dict[str, tuple[float, ...]]:
    """Return per task with classes, or attribute, the weights N / (C n) of its C classes, of which n of N labels are.

    The labels are counted at the input size, without augmentation; a class without any label has the weight 1.
    """
    counts = {
        name: torch.zeros(len(task.classes) or 2, dtype=torch.int64)
        for name, task in frames.tasks.items()
        if task.classes or task.kind == "attribute"
    }
    labelled = frames.only(list(counts))
    labelled.kept = frames.kept
    for index in track(range(len(frames)), "counting the classes of the training frames"):
        sample = labelled.load(index)
        for name, count in counts.items():
            labels = sample["targets"][name][sample["masks"][name]]
            count += torch.bincount(labels.flatten().long(), minlength=len(count))
    return {name: _weights(count) for name, count in counts.items()}


def _weights(count: torch.Tensor) -> tuple[float, ...]:
    total = float(count.sum())
    return tuple(total / (len(count) * number) if number else 1.0 for number in count.tolist())
