"""Estimates of the time that runs will take, made before they start."""

from __future__ import annotations

import json
import logging
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from datasets import Loader, eval_loader, train_loader
from datasets.sample import Sample
from datasets.workers import worker_count
from engine import checkpoint as files
from engine.device import resolve
from engine.evaluation import evaluate
from engine.trainer import training_step
from engine.trial import Trial
from models import build_model
from settings.config import ExperimentConfig
from study.plan import Run
from study.progress import Progress
from utils.console import track
from utils.errors import DataError
from utils.numbers import counted

log = logging.getLogger(__name__)

WARM_UP, STEPS, BATCHES = 2, 4, 2
"""Training steps before the clock starts and under it, and batches of validation, of one measurement."""

PATIENCE = 20.0
"""Seconds of training steps that are enough, also where they are fewer."""


@dataclass(frozen=True)
class Speed:
    """Seconds that a configuration takes on this machine."""

    epoch: float
    """Training, validation, and saving."""
    test: float
    """Test, and building the network, which a run does for its training and for its test."""


class Clock:
    """Knows how long runs take: from the epochs that runs like them have behind them, or from a few timed steps."""

    def __init__(self, progress: Sequence[Progress]) -> None:
        self._speeds: dict[str, Speed] = {}
        trained: dict[str, list[float]] = {}
        for run_progress in progress:
            trained.setdefault(_kind(run_progress.run.config), []).extend(
                epoch_seconds(files.read_lines(run_progress.run.folder / files.METRICS))
            )
        left = {_kind(run_progress.run.config): run_progress.run for run_progress in progress if not run_progress.finished}
        missing = {kind: run for kind, run in left.items() if not trained[kind]}
        if missing:
            log.info(
                "timing a few steps of %s of runs; seconds each, up to a minute for a large network",
                counted(len(missing), "kind"),
            )
        for kind, run in track(missing.items(), "timing a few steps of each kind of run"):
            self._speeds[kind] = _speed(run)
        for kind, seconds in trained.items():
            if seconds:
                self._speeds[kind] = Speed(statistics.median(seconds), 0.0)

    def seconds(self, progress: Progress) -> float:
        """Return the seconds that are left of a run at most (it may stop early)."""
        if progress.finished:
            return 0.0
        speed = self._speeds[_kind(progress.run.config)]
        return (progress.run.config.epochs - progress.epochs) * speed.epoch + speed.test


def _speed(run: Run) -> Speed:
    teacher = run.needs.get("distill.from")
    try:
        return time_steps(run.own_config, **({} if teacher is None else {"teacher": teacher.own_config}))
    except torch.OutOfMemoryError:
        log.warning("%s does not fit into the device's memory; its time counts as none", run.setting.name)
        return Speed(0.0, 0.0)


def _kind(config: ExperimentConfig) -> str:
    """Return a text that is equal for runs whose epochs take equally long."""
    sparse = config.group_sparsity
    return json.dumps(config.select(lambda nature: "speed" in nature.alters and (sparse or not nature.penalty)))


def epoch_seconds(lines: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the seconds of each epoch of ``metrics.jsonl``."""
    return [line["train_seconds"] + line.get("validation_seconds", 0.0) for line in lines if "train_seconds" in line]


def time_steps(config: ExperimentConfig, teacher: ExperimentConfig | None = None) -> Speed:
    """Time some training steps and validation batches of a configuration, on its own data and device; nothing is kept.

    Frames that a cache will hold count as read in no time.

    Args:
        config: the configuration.
        teacher: of a network that it will learn from, and that is not trained yet.

    Raises:
        UserError: the data cannot be read, or the device is not there.
    """
    config, device = resolve(config)
    # Frames are read here and now, so that reading and computing are timed apart; no cache is filled, and no frame is checked.
    alone = config.model_copy(update={"num_workers": 0, "cache": False, "on_bad_sample": "error"})
    training, validation, test = train_loader(alone, config.seed), eval_loader(alone, "val"), eval_loader(alone, "test")
    start = time.perf_counter()
    trial = Trial(config, 0, device, config.trial_folder(0))  # which is not made, as nothing is saved there
    if teacher is not None:
        trial.teacher = build_model(teacher.model_copy(update={"init_weights": None})).to(device).eval().requires_grad_(False)
    building = time.perf_counter() - start
    train_batches, train_reading = _read(training, WARM_UP + STEPS, config)
    val_batches, val_reading = _read(validation, BATCHES, config)
    step = _together(train_reading, _step_seconds(trial, train_batches), config)
    evaluating = _seconds(lambda: evaluate(trial.model, val_batches, trial.losses, config, device))
    batch = _together(val_reading, evaluating / max(1, len(val_batches)), config)
    with open(os.devnull, "wb") as sink:
        saving = _seconds(lambda: torch.save(trial.state_dict(None), sink))
    # An epoch ends with the state and, if it is the best so far, the network; test batches may be of another size.
    epoch = step * len(training) + batch * len(validation) + 2 * saving
    return Speed(epoch, batch * len(test) * config.test_batch_size / config.val_batch_size + 2 * building)


def _read(loader: Loader, most: int, config: ExperimentConfig) -> tuple[list[Sample], float]:
    """Read the first batches, with ``on_bad_sample: skip`` those that can be read; return also the median of their seconds."""
    samples: list[Sample] = []
    seconds, batches = [], iter(loader)
    while len(samples) < most:
        start = time.perf_counter()
        try:
            batch = next(batches, None)
        except DataError:
            if config.on_bad_sample == "error":
                raise
            continue
        if batch is None:
            break
        samples.append(batch)
        seconds.append(time.perf_counter() - start)
    return samples, statistics.median(seconds) if seconds else 0.0


def _together(reading: float, computing: float, config: ExperimentConfig) -> float:
    """Compute the seconds of a batch: with loading processes, it is read while the one before it is computed."""
    if config.cache:
        return computing
    workers = worker_count(config)
    return max(computing, reading / workers) if workers else computing + reading


def _step_seconds(trial: Trial, batches: Sequence[Sample]) -> float:
    """Measure the median of some training steps, per batch."""
    trial.model.train()
    times: list[float] = []
    count = trial.config.accumulate
    together = [batches[index % len(batches)] for index in range((WARM_UP + STEPS) * count)] if batches else []
    while len(times) * count < len(together) and sum(times) < PATIENCE:
        some = together[len(times) * count :][:count]
        times.append(_seconds(lambda some=some: training_step(trial, some, 0.0, 1.0)))  # type: ignore[misc]
    return statistics.median(times[WARM_UP:] or times or [0.0]) / count


def _seconds(do: Callable[[], object]) -> float:
    """Measure the seconds until everything that ``do`` starts on a GPU is done."""
    start = time.perf_counter()
    do()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
