"""A trial's compact model evaluated beside the trained one: equal metrics, and what it costs."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from datasets import Loaders, worker_deaths
from deploy.equality import full_float32
from deploy.latency import time_networks
from deploy.trial_compaction import Networks, file_sizes, make_compact
from engine.evaluation import Evaluation, RunningEvaluation, losses_of, to_device, warn_of_unlabelled
from engine.saved_trial import SavedTrial, result_row
from tasks.table import Task
from utils.console import track

log = logging.getLogger(__name__)

METRIC_TOLERANCE, PIXEL_TOLERANCE = 1e-4, 1e-5
"""Largest difference of a metric (relative, for those above 1), and share of the pixels labelled differently."""


@dataclass
class _Outputs:
    """Pixels of the segmentations among some tasks, and those whose class is another one; the tasks of which the trained
    network says NaN."""

    tasks: Mapping[str, Task]
    pixels: int = 0
    different: int = 0
    not_finite: set[str] = field(default_factory=set)

    def update(self, dense: Mapping[str, Tensor], compact: Mapping[str, Tensor]) -> None:
        """Take in the logits of a batch."""
        for task in dense:
            if not dense[task].isfinite().all():
                self.not_finite.add(task)
            if self.tasks[task].kind == "segmentation":
                dense_labels, compact_labels = dense[task].argmax(1), compact[task].argmax(1)
                self.pixels += dense_labels.numel()
                self.different += int((dense_labels != compact_labels).sum())


def compact_row(trial: SavedTrial, loaders: Loaders, split: str, device: torch.device) -> dict[str, Any]:
    """Return the compact model's row of the result table, with the costs of the dense one beside its own (docs/compact.md).

    Args:
        trial: its model is on ``device``.
        loaders: of the trial's configuration, perhaps with another data folder; its precision is fp32.
        split: train (without augmentation), val or test.
        device: where to compute.
    """
    made = make_compact(trial, device)
    dense, compact, outputs = _evaluate_both(made, loaders, split, device)
    difference = math.nan if outputs.not_finite else largest_difference(dense, compact)
    row = {**result_row(trial, compact), "largest_metric_difference": difference}
    if outputs.pixels:
        row["share_of_pixels_labelled_differently"] = outputs.different / outputs.pixels
    if math.isnan(difference):
        log.error(
            "trial %d: nothing proves that the compact model is equal to the trained one, %s",
            *(trial.number, _obstacle(outputs, split)),
        )
    elif not compact_is_equal(row):
        share = row.get("share_of_pixels_labelled_differently")
        log.error(
            "trial %d: the compact model is NOT equal to the trained one: a metric differs by %.1e, and %s of the pixels are "
            "labelled differently; please report this",
            *(trial.number, row["largest_metric_difference"], "none" if share is None else f"{share:.1e}"),
        )
    return row | costs(made, device)


def _obstacle(outputs: _Outputs, split: str) -> str:
    """Say why there is no difference that could be small."""
    if outputs.not_finite:
        return f"whose outputs are not finite (NaN or infinity): {', '.join(sorted(outputs.not_finite))}"
    return f"as no metric of the split {split} has a value"


def compact_is_equal(row: Mapping[str, Any]) -> bool:
    """Return whether a row says that the compact model is equal to the trained one; so does a row that compares none.

    A difference that is not a number proves nothing.
    """
    metrics_are = row.get("largest_metric_difference", 0.0) <= METRIC_TOLERANCE
    labels_are = row.get("share_of_pixels_labelled_differently", 0.0) <= PIXEL_TOLERANCE
    return bool(metrics_are and labels_are)


@torch.inference_mode()
def _evaluate_both(
    made: Networks, loaders: Loaders, split: str, device: torch.device
) -> tuple[Evaluation, Evaluation, _Outputs]:
    """Evaluate the trained and the compact network in one pass over the split."""
    config, loader = loaders.config, loaders.evaluation(split)
    losses, outputs = losses_of(config), _Outputs(config.tasks)
    dense, compact = RunningEvaluation(losses, config), RunningEvaluation(losses, config)
    dataset: Any = loader.dataset
    with full_float32(), worker_deaths(dataset):
        for batch in track(loader, f"{split} of trial {made.trial.number}, trained and compact"):
            moved = to_device(batch, device, config)
            trained_logits, compact_logits = made.trial.model(moved["image"]), made.compact(moved["image"])
            dense.update(moved, trained_logits)
            compact.update(moved, compact_logits)
            outputs.update(trained_logits, compact_logits)
    skipped = {**made.trial.skipped, split: dataset.skipped}
    trained = dense.compute()
    warn_of_unlabelled(trained, config, split)
    return trained, replace(compact.compute(), skipped=skipped), outputs


def largest_difference(first: Evaluation, second: Evaluation) -> float:
    """Return the largest difference of any metric of two networks: absolute, or relative for metrics above 1 (degrees, metres).

    A metric that is not a number in one of them alone is infinitely different; where none is a number in either, neither is the
    difference.
    """
    largest = math.nan
    second_metrics = second.flat()
    for name, value in first.flat().items():
        if math.isnan(value) and math.isnan(second_metrics[name]):
            continue
        difference = abs(value - second_metrics[name]) / max(1.0, abs(value))
        difference = math.inf if math.isnan(difference) else difference
        largest = difference if math.isnan(largest) else max(largest, difference)
    return largest


def costs(made: Networks, device: torch.device) -> dict[str, float]:
    """Measure MACs, parameters, size and speed of the whole model in its forms: names of columns, with their units."""
    sizes, config = file_sizes(made)["model"], made.trial.config
    images = torch.rand(1, config.input_img_channels, *config.size, generator=torch.Generator().manual_seed(0)).to(device)
    times = time_networks(made.parts()["model"], images, f"latency of trial {made.trial.number}").milliseconds
    return {
        **made.report.sizes("model"),
        "dense_file_MB": sizes["dense"],
        "compact_file_MB": sizes["compact"],
        "dense_latency_ms": times["dense"],
        "folded_latency_ms": times["folded"],
        "compact_latency_ms": times["compact"],
    }
