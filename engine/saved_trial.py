"""A trained network, from its folder alone."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from datasets import Loaders, worker_deaths
from engine import checkpoint as files
from engine.evaluation import Evaluation, evaluate, losses_of, warn_of_unlabelled
from engine.frames_record import warn_of_changed_frames
from engine.sparsity_numbers import sparsity_numbers
from models import MultiTaskModel, build_model
from optim import SparsityReport, sparsity_report
from settings.config import ExperimentConfig, load_config
from utils.console import track
from utils.errors import TrialError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SavedTrial:
    """Content of a trial's folder."""

    folder: Path
    config: ExperimentConfig
    model: MultiTaskModel
    number: int
    seed: int
    best_epoch: int
    """Epochs behind the network."""

    @property
    def sparsity(self) -> SparsityReport:
        """Sparsity of the shared backbone."""
        return sparsity_report(self.model)

    @property
    def epochs(self) -> int:
        """Epochs that the trial trained in all."""
        lines = files.read_lines(self.folder / files.METRICS)
        return int(lines[-1]["epoch"]) + 1 if lines else self.best_epoch

    @property
    def skipped(self) -> dict[str, dict[str, str]]:
        """The frames that its training left out, per split, and why."""
        path = self.folder / files.SKIPPED
        return files.load_json(path) if path.is_file() else {}


def load_trial(folder: Path, device: torch.device | None = None, network: str = files.BEST) -> SavedTrial:
    """The best network of a trial, in eval mode on ``device`` (default: the CPU).

    With ``network=files.LAST`` it is the one after the last epoch.

    Raises:
        TrialError: the folder holds no trial, or what it holds does not fit together.
    """
    if not (folder / files.CONFIG).is_file():
        raise TrialError(f"{folder}: holds no {files.CONFIG}, so it is not the folder of a trial")
    config = load_config(folder / files.CONFIG)
    state = files.load_tensors(folder / network)
    # The checkpoint has every weight: a file that the training started from need not be there any more.
    model = build_model(config.model_copy(update={"init_weights": None, "start_from": None}))
    try:
        model.load_state_dict(state["model"])
        numbers = [int(state[name]) for name in ("trial", "seed", "epochs")]
    except (RuntimeError, KeyError, TypeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise TrialError(f"{folder / network}: does not fit the network of {files.CONFIG} ({reason:.200})") from None
    return SavedTrial(folder, config, model.to(device or torch.device("cpu")).eval(), *numbers)


def evaluate_trial(trial: SavedTrial, loaders: Loaders, split: str, device: torch.device) -> Evaluation:
    """Compute the losses and metrics of a trained network on ``split``.

    Args:
        trial: its model is on ``device``, and its configuration has the precision to compute in.
        loaders: of the data.
        split: train (without augmentation), val or test.
        device: where to compute.
    """
    config, loader = trial.config, loaders.evaluation(split)
    dataset: Any = loader.dataset
    warn_of_changed_frames(trial.folder, dataset, split)
    with worker_deaths(dataset):
        batches = track(loader, f"{split} of trial {trial.number}")
        evaluation = evaluate(trial.model, batches, losses_of(config), config, device)
    warn_of_unlabelled(evaluation, config, split)
    return replace(evaluation, skipped={**trial.skipped, split: dataset.skipped})


def result_row(trial: SavedTrial, evaluation: Evaluation) -> dict[str, Any]:
    """The trial's row of the result table: the numbers of one saved network."""
    return {
        "trial": trial.number,
        "seed": trial.seed,
        "epochs": trial.epochs,
        **evaluation.flat(),
        **sparsity_numbers(trial.model, trial.config),
        **skipped_frames(trial.config, evaluation),
    }


def skipped_frames(config: ExperimentConfig, evaluation: Evaluation) -> dict[str, int]:
    """Return, with ``on_bad_sample: skip``, the number of frames left out of training, validation and the evaluated split."""
    if config.on_bad_sample == "error":
        return {}
    return {"skipped_frames": sum(len(frames) for frames in evaluation.skipped.values())}
