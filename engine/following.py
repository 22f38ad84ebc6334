"""Training in several processes: rank 0 does what one process does, and the others take part in its trials.

What the others do here is, exchange by exchange, what ``engine.experiment.run_trial`` does in rank 0.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from contextlib import suppress

import torch

from datasets import Loaders
from engine.device import resolve
from engine.distributed import INTERRUPTED, SILENT_SECONDS, JoinedRanks, Ranks, join, tensors_of
from engine.evaluation import RunningEvaluation, evaluate
from engine.tracking import Tracker
from engine.trainer import TrainingDivergedError, fit
from engine.trial import Trial
from engine.weighting import LossWeighting
from models import build_model
from settings.config import ExperimentConfig
from settings.registries import WEIGHTINGS
from utils.console import console
from utils.errors import ConfigError, UserError
from utils.places import load


def run_in_ranks(lead: Callable[[], int], guard: Callable[[Callable[[], object]], int]) -> int:
    """Join the processes that torchrun started, and train; return the exit code.

    Args:
        lead: is done by rank 0, and returns its exit code.
        guard: calls what a follower does, says what is wrong, and returns its exit code.
    """
    ranks = join(torch.cuda.is_available())
    code = 1
    try:
        if ranks.leads:
            code = lead()
            if code == 0:
                ranks.broadcast(None)
        else:
            code = guard(lambda: follow(ranks))
        if code == 0:
            ranks.end()
        return code
    except UserError:
        code = 2
        raise
    except KeyboardInterrupt:
        if ranks.leads and ranks.terminated:  # perhaps because another rank is gone, which torchrun noticed first
            ranks.explain(2 * SILENT_SECONDS)
        code = INTERRUPTED
        if ranks.leads:
            raise
        raise SystemExit(code) from None  # rank 0 says it
    except SystemExit as error:
        code = int(error.code or 0)
        raise
    finally:
        if code:
            ranks.leave(code)


def follow(ranks: JoinedRanks) -> None:
    """Take part in the trials that rank 0 trains, until there are no more; say nothing but what goes wrong."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    console.quiet = True
    loaders: Loaders | None = None
    while (given := ranks.broadcast(None)) is not None:
        config, number = given
        config, device = resolve(config)
        # As in rank 0, all trials share them.
        loaders = loaders or Loaders(config, device.type == "cuda", ranks.part)
        with suppress(TrainingDivergedError), ranks.patience():  # rank 0 goes on with the next trial
            follow_trial(config, number, device, loaders, ranks)


def follow_trial(config: ExperimentConfig, number: int, device: torch.device, loaders: Loaders, ranks: JoinedRanks) -> None:
    """Take part in one trial, and in its test."""
    trial = Trial(config, number, device, config.trial_folder(number))
    state = ranks.broadcast(None)
    if state is not None:
        trial.load_state_dict(state)
    ranks.spread(tensors_of(trial.model))
    fit(trial, Tracker(), loaders)
    tested = build_model(config.model_copy(update={"init_weights": None, "start_from": None})).to(device)
    ranks.spread(tensors_of(tested))
    evaluate(tested, loaders.evaluation("test"), trial.losses, config, device)


def check_ranks(config: ExperimentConfig, ranks: Ranks) -> None:
    """Refuse what several processes cannot do together.

    Raises:
        ConfigError: the sentence names the key.
    """
    if ranks.size == 1:
        return
    least = ranks.size * (1 if config.batch_norm == "sync" else 2)
    if config.train_batch_size < least:
        sync = "" if config.batch_norm == "sync" else ", or batch_norm: sync, which needs one"
        why = "one frame" if config.batch_norm == "sync" else "the two frames that batch norm needs"
        raise ConfigError(
            f"train_batch_size: {config.train_batch_size} is for all {ranks.size} processes, and each has to have {why}: give "
            f"at least {least}{sync}"
        )
    if load(WEIGHTINGS[config.comb_loss]).backward is not LossWeighting.backward:
        raise ConfigError(f"comb_loss: {config.comb_loss!r} has a backward of its own, which knows one process alone")
    for task, metrics in RunningEvaluation({}, config).metrics.metrics.items():
        if not hasattr(metrics, "merge"):
            raise ConfigError(f"task_list: the metrics of {task} have no method merge, which several processes need")
