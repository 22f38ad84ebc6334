"""A training that starts from a network that was trained before (``start_from``)."""

from __future__ import annotations

from pathlib import Path

from engine import checkpoint as files
from models import MultiTaskModel, build_model
from settings.config import ExperimentConfig
from utils.errors import TrialError, UserError
from utils.paths import expanded
from utils.tensor_files import misfits

TRIAL = "{trial}"
"""In ``start_from``, stands for the number of the trial that starts."""


def start_file(config: ExperimentConfig, trial: int) -> Path:
    """The checkpoint that trial number ``trial`` starts from: of a trial's folder its best network."""
    assert config.start_from is not None
    path = expanded(config.start_from.replace(TRIAL, str(trial)), "start_from")
    return path / files.BEST if path.is_dir() else path


def start_from(model: MultiTaskModel, config: ExperimentConfig, trial: int) -> str:
    """Give ``model`` all weights, and batch norm's statistics, of the network that ``config.start_from`` names.

    Returns:
        One line that says what was loaded.

    Raises:
        UserError: there is no such checkpoint, or it is of another network.
    """
    path = start_file(config, trial)
    try:
        state = files.load_tensors(path)
    except TrialError as error:
        raise UserError(f"start_from: {error}") from None
    problems = misfits(model.state_dict(), state["model"], "the network of this configuration")
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(f"start_from: {path} does not fit: it {'; '.join(problems[:3])}{more}")
    model.load_state_dict(state["model"])
    return f"{path}: the network after {state.get('epochs', '?')} epochs of training"


def check_start(config: ExperimentConfig) -> None:
    """Refuse a ``start_from`` that a trial could not start from.

    Raises:
        UserError: see :func:`start_from`.
    """
    if config.start_from is None:
        return
    model = build_model(config)
    for trial in {start_file(config, trial): trial for trial in range(config.num_trials)}.values():
        start_from(model, config, trial)
