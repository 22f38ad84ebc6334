"""One pass over a split: exact losses and metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from datasets.sample import Sample
from engine.distributed import ranks
from models import MultiTaskModel
from settings.config import ExperimentConfig
from tasks.losses import Loss, has_value
from tasks.objectives import SplitMetrics, build_losses

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """Losses per task (None where the split has no valid target of it), and per task name -> metric (NaN there)."""

    losses: dict[str, float | None]
    metrics: dict[str, dict[str, float]]
    skipped: dict[str, dict[str, str]] = field(default_factory=dict)
    """Per split the frames that are not in it, as they could not be read, and why (``on_bad_sample: skip``)."""

    @property
    def monitored(self) -> float | None:
        """The unweighted sum of the losses there are: what picks the best network; None where no task has one."""
        values = [value for value in self.losses.values() if value is not None]
        return sum(values) if values else None

    @property
    def unlabelled(self) -> list[str]:
        """Tasks without any valid target in the split."""
        return [task for task, value in self.losses.items() if value is None]

    def flat(self) -> dict[str, float]:
        """Metrics under ``<task>_<metric>``, the column names of every table."""
        return {f"{task}_{name}": value for task, values in self.metrics.items() for name, value in values.items()}


_told: set[tuple[str, ...]] = set()


def warn_once(config: ExperimentConfig, split: str, task: str, what: str) -> None:
    """Say what a split lacks of a task's targets: once per experiment and data folder, whatever epochs and trials see it."""
    key = (config.checkpoint_folder, config.Experiment_name, str(config.data_dir), split, task)
    if key not in _told:
        _told.add(key)
        log.warning("task %s: %s", task, what)


def warn_of_unlabelled(evaluation: Evaluation, config: ExperimentConfig, split: str) -> None:
    """Name the tasks that count for nothing in an evaluation of ``split``."""
    for task in evaluation.unlabelled:
        warn_once(
            config, split, task, f"no valid target in the {split} split; there it has no loss, no metric and no part in the sum"
        )


def to_device(batch: Sample, device: torch.device, config: ExperimentConfig) -> Sample:
    """A batch on ``device``, its images in the model's memory layout."""
    layout = torch.channels_last if config.channels_last else torch.contiguous_format

    def move(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}

    image = batch["image"].to(device, non_blocking=True, memory_format=layout)
    return Sample(image=image, targets=move(batch["targets"]), masks=move(batch["masks"]), name=batch["name"])


def autocast(device: torch.device, config: ExperimentConfig) -> torch.autocast:
    """The context of a forward pass in the configuration's (resolved) precision."""
    assert config.precision != "auto", "resolve the precision first (engine.device)"
    dtype = torch.float16 if config.precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=config.precision != "fp32")


def losses_of(config: ExperimentConfig) -> dict[str, Loss]:
    """Build the losses of an experiment, whose weights of classes are numbers (:mod:`engine.class_weights`)."""
    assert config.class_weights != "balanced", "resolve the weights first (engine.class_weights)"
    weights = config.class_weights if isinstance(config.class_weights, dict) else {}
    return build_losses(config.tasks.values(), config.seg_loss_fn, config.depth_target, weights)


class RunningEvaluation:
    """Takes in a split batch by batch; the size of the batches makes no difference."""

    def __init__(self, losses: Mapping[str, Loss], config: ExperimentConfig) -> None:
        self.losses = losses
        self.metrics = SplitMetrics(config.tasks.values(), config.depth_target)
        self.statistics: dict[str, Tensor] = {}

    def update(self, batch: Sample, logits: Mapping[str, Tensor]) -> None:
        """Take in a batch and what a network says about it."""
        for task, loss in self.losses.items():
            target, mask = batch["targets"][task], batch["masks"][task]
            sums = loss.statistics(logits[task], target, mask).double()
            self.statistics[task] = self.statistics[task] + sums if task in self.statistics else sums
            self.metrics.update(task, logits[task], target, mask)

    def merge(self) -> bool:
        """Take in what all ranks have taken in; True in the one that has it."""
        parts = ranks().gather((self.statistics, self.metrics.metrics))
        if parts is None:
            return False
        (self.statistics, self.metrics.metrics), *others = parts
        for statistics, metrics in others:
            for task, sums in statistics.items():
                self.statistics[task] = self.statistics[task] + sums if task in self.statistics else sums
            for task, of_task in metrics.items():
                self.metrics.metrics[task].merge(of_task)
        return True

    def compute(self) -> Evaluation:
        """Over everything taken in so far."""
        values: dict[str, float | None] = dict.fromkeys(self.losses)
        for task, sums in self.statistics.items():
            if has_value(sums):
                values[task] = float(self.losses[task].value(sums))
        return Evaluation(losses=values, metrics=self.metrics.compute())


@torch.inference_mode()
def evaluate(
    model: MultiTaskModel, batches: Iterable[Sample], losses: Mapping[str, Loss], config: ExperimentConfig, device: torch.device
) -> Evaluation:
    """Losses and metrics of ``model`` (put in eval mode) over all ``batches``; the batch size makes no difference.

    Where there are several ranks, each has its own batches, and gets the losses and metrics over those of all.
    """
    model.eval()
    running = RunningEvaluation(losses, config)
    for batch in batches:
        if ranks().stopping:
            break
        batch = to_device(batch, device, config)
        with autocast(device, config):
            logits = model(batch["image"])
        running.update(batch, logits)
    ranks().check_stop()
    return ranks().broadcast(running.compute() if running.merge() else None)
