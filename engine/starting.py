"""Networks that were trained before: a training starts from one (``start_from``), or learns from one (``distill``)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from engine import checkpoint as files
from models import MultiTaskModel, build_model
from settings.config import ExperimentConfig, validate_config
from settings.sections import TRIAL
from tasks.table import Task
from utils.console import say_once
from utils.errors import ConfigError, TrialError, UserError
from utils.paths import expanded
from utils.tensor_files import misfits

log = logging.getLogger(__name__)


def checkpoint_of(text: str, key: str, trial: int) -> Path:
    """Return the checkpoint that a ``key`` of the configuration names for a trial, by its number: of a folder its best network.

    Raises:
        UserError: it is the folder of a trial that is not finished, whose best network may change.
    """
    path = expanded(text.replace(TRIAL, str(trial)), key)
    if not path.is_dir():
        return path
    if (path / files.BEST).is_file() and not (path / files.TEST).is_file():
        raise UserError(f"{key}: {path}: this trial is not finished; resume it first, or name its {files.BEST} as it is now")
    return path / files.BEST


def load_teacher(config: ExperimentConfig, trial: int, device: torch.device) -> MultiTaskModel | None:
    """Load the network that a trial learns from, in eval mode on ``device``; None: it learns from the data alone.

    Raises:
        UserError: there is no such checkpoint, or its network predicts something else.
    """
    if config.distill.from_ is None:
        return None
    path = checkpoint_of(config.distill.from_, "distill.from", trial)
    try:
        state = files.load_tensors(path)
        taught = validate_config(dict(state["config"]), str(path))
        model = build_model(taught.model_copy(update={"init_weights": None, "start_from": None}))
        model.load_state_dict(state["model"])
    except (TrialError, ConfigError) as error:
        raise UserError(f"distill.from: {' '.join(str(error).split())}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"distill.from: {path}: does not hold a network of this project ({reason:.200})") from None
    missing = [task for task in config.task_list if task not in taught.task_list]
    if missing:
        raise UserError(
            f"distill.from: {path}: does not predict {', '.join(missing)}; expected a trial of all tasks of task_list"
        )
    for name, task in config.tasks.items():
        if difference := _difference(taught.tasks[name], task):
            raise UserError(f"distill.from: {path}: {name} means something else there ({difference})")
    for key in ("depth_target", "input_img_channels"):
        if getattr(taught, key) != getattr(config, key):
            raise UserError(
                f"distill.from: {path}: has {key} {getattr(taught, key)!r}, and this trial has {getattr(config, key)!r}"
            )
    return model.to(device).eval().requires_grad_(False)


def _difference(saved: Task, task: Task) -> str:
    """Return the first thing in which the meaning of two tasks' logits differs, in words; empty if they mean the same."""
    before, now = _meaning(saved), _meaning(task)
    return next((f"{what}: {before[what]}, and here {now[what]}" for what in now if before[what] != now[what]), "")


def _meaning(task: Task) -> dict[str, object]:
    """Return what a task's logits mean."""
    return {
        **{"kind": task.kind, "head": task.head, "classes": task.classes, "channels": task.channels},
        **{"mean": task.mean, "std": task.std, "unit": task.unit, "range": task.depth_range},
    }


def start_from(model: MultiTaskModel, config: ExperimentConfig, trial: int) -> str:
    """Give ``model`` all weights, and batch norm's statistics, of the network that ``config.start_from`` names.

    Returns:
        One line that says what was loaded.

    Raises:
        UserError: there is no such checkpoint, or it is of another network.
    """
    assert config.start_from is not None
    path = checkpoint_of(config.start_from, "start_from", trial)
    try:
        state = files.load_tensors(path)
    except TrialError as error:
        raise UserError(f"start_from: {error}") from None
    problems = misfits(model.state_dict(), state["model"], "the network of this configuration")
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(f"start_from: {path} does not fit: it {'; '.join(problems[:3])}{more}")
    model.load_state_dict(state["model"])
    _warn_of_other_meanings(state, config, path)
    return f"{path}: the network after {state.get('epochs', '?')} epochs of training"


def _warn_of_other_meanings(state: Mapping[str, Any], config: ExperimentConfig, path: Path) -> None:
    """Say once where a head that fits predicted something else, such as the same classes in another order."""
    try:
        tasks = validate_config(dict(state["config"]), str(path)).tasks
    except (ConfigError, KeyError, TypeError, ValueError):
        return  # the weights are all that a start needs
    for name, task in config.tasks.items():
        if name in tasks and (difference := _difference(tasks[name], task)):
            say_once(log, logging.WARNING, f"start_from: {path}: the head of {name} meant something else ({difference})")


def _named(config: ExperimentConfig) -> list[tuple[str, int, Path]]:
    """Return the checkpoints that the trials start, or learn, from: the key, the number of the trial, and the path."""
    numbers = range(config.num_trials)
    return [(key, trial, checkpoint_of(text, key, trial)) for key, text in config.networks.items() for trial in numbers]


def check_kept(config: ExperimentConfig, folders: Iterable[Path]) -> None:
    """Refuse to delete folders with a network that a trial starts, or learns, from.

    Raises:
        UserError: there is such a folder.
    """
    for key, _, path in _named(config):
        for folder in folders:
            if folder.resolve() in path.resolve().parents:
                raise UserError(f"{key}: {path} would be deleted by --overwrite; give this experiment another Experiment_name")


def check_start(config: ExperimentConfig) -> None:
    """Refuse networks that a trial could not start, or learn, from.

    Raises:
        UserError: see :func:`start_from` and :func:`load_teacher`.
    """
    model = build_model(config) if config.start_from is not None else None
    for key, trial in {(key, path): (key, trial) for key, trial, path in _named(config)}.values():
        if key == "start_from":
            assert model is not None
            start_from(model, config, trial)
        else:
            load_teacher(config, trial, torch.device("cpu"))
