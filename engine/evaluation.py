"""One pass over a split: exact losses and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from datasets.sample import Sample
from engine.losses import Loss
from engine.metrics import SplitMetrics
from models import MultiTaskModel
from utils.config import ExperimentConfig


@dataclass(frozen=True)
class Evaluation:
    """Losses per task, and per task name -> metric."""

    losses: dict[str, float]
    metrics: dict[str, dict[str, float]]
    skipped: dict[str, dict[str, str]] = field(default_factory=dict)
    """Per split the frames that are not in it, as they could not be read, and why (``on_bad_sample: skip``)."""

    @property
    def monitored(self) -> float:
        """The unweighted sum of all tasks' losses: what picks the best network."""
        return sum(self.losses.values())

    def flat(self) -> dict[str, float]:
        """Metrics under ``<task>_<metric>``, the column names of every table."""
        return {f"{task}_{name}": value for task, values in self.metrics.items() for name, value in values.items()}


def to_device(batch: Sample, device: torch.device, config: ExperimentConfig) -> Sample:
    """A batch on ``device``, its images in the model's memory layout."""
    layout = torch.channels_last if config.channels_last else torch.contiguous_format

    def move(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}

    image = batch["image"].to(device, non_blocking=True, memory_format=layout)
    return Sample(image=image, targets=move(batch["targets"]), masks=move(batch["masks"]), name=batch["name"])


def autocast(device: torch.device, config: ExperimentConfig) -> torch.autocast:
    """The context of a forward pass in the configuration's (resolved) precision."""
    assert config.precision != "auto", "resolve the precision first (utils.device)"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.precision == "bf16")


class RunningEvaluation:
    """Takes in a split batch by batch; the size of the batches makes no difference."""

    def __init__(self, losses: Mapping[str, Loss], config: ExperimentConfig) -> None:
        self.losses = losses
        self.metrics = SplitMetrics(config)
        self.statistics: dict[str, Tensor] = {}

    def update(self, batch: Sample, logits: Mapping[str, Tensor]) -> None:
        """Take in a batch and what a network says about it."""
        for task, loss in self.losses.items():
            target, mask = batch["targets"][task], batch["masks"][task]
            sums = loss.statistics(logits[task], target, mask).double()
            self.statistics[task] = self.statistics[task] + sums if task in self.statistics else sums
            self.metrics.update(task, logits[task], target, mask)

    def compute(self) -> Evaluation:
        """Over everything taken in so far."""
        values = {task: float(self.losses[task].value(sums)) for task, sums in self.statistics.items()}
        return Evaluation(losses=values, metrics=self.metrics.compute())


@torch.inference_mode()
def evaluate(
    model: MultiTaskModel,
    batches: Iterable[Sample],
    losses: Mapping[str, Loss],
    config: ExperimentConfig,
    device: torch.device,
) -> Evaluation:
    """Losses and metrics of ``model`` (put in eval mode) over all ``batches``; the batch size makes no difference."""
    model.eval()
    running = RunningEvaluation(losses, config)
    for batch in batches:
        batch = to_device(batch, device, config)
        with autocast(device, config):
            logits = model(batch["image"])
        running.update(batch, logits)
    return running.compute()
