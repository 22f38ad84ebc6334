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
from tasks.table import Task
from utils.console import say_once
from utils.errors import ConfigError, TrialError, UserError
from utils.tensor_files import misfits

log = logging.getLogger(__name__)


def checkpoint_of(config: ExperimentConfig, key: str, trial: int) -> Path:
    """Return the checkpoint that a key of a configuration names for a trial, by its number: of a folder its best network.

    Raises:
        UserError: it is the folder of a trial that is not finished, whose best network may change.
    """
    path = config.network_path(key, trial)
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
    path = checkpoint_of(config, "distill.from", trial)
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
    check_teacher(config, taught, path)
    return model.to(device).eval().requires_grad_(False)


def check_teacher(config: ExperimentConfig, taught: ExperimentConfig, path: Path) -> None:
    """Refuse a network to learn from that predicts something else.

    Args:
        config: of what learns.
        taught: of the network.
        path: of the network, for the message.

    Raises:
        UserError: it does.
    """
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


def check_networks(config: ExperimentConfig, sources: Mapping[str, ExperimentConfig]) -> None:
    """Refuse what a trial could not start, or learn, from, before it is trained.

    Args:
        config: of the trial.
        sources: configurations of the networks, by the keys that name them.

    Raises:
        UserError: see :func:`start_from` and :func:`load_teacher`.
    """
    for key, source in sources.items():
        path = config.network_path(key, 0)
        if key == "distill.from":
            check_teacher(config, source, path)
        else:
            own, given = (
                build_model(each.model_copy(update={"init_weights": None, "start_from": None})) for each in (config, source)
            )
            _check_fit(own.state_dict(), given.state_dict(), path)


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
    path = checkpoint_of(config, "start_from", trial)
    try:
        state = files.load_tensors(path)
    except TrialError as error:
        raise UserError(f"start_from: {error}") from None
    _check_fit(model.state_dict(), state["model"], path)
    model.load_state_dict(state["model"])
    _warn_of_other_meanings(state, config, path)
    return f"{path}: the network after {state.get('epochs', '?')} epochs of training"


def _check_fit(own: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor], path: Path) -> None:
    problems = misfits(own, given, "the network of this configuration")
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(f"start_from: {path} does not fit: it {'; '.join(problems[:3])}{more}")


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
    return [(key, trial, checkpoint_of(config, key, trial)) for key in config.networks for trial in numbers]


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
