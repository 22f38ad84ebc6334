"""Room on the disk that the files of runs take, before they are there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch

from models import build_model
from settings.config import ExperimentConfig


class RunSize(NamedTuple):
    """Bytes of a run's large files."""

    kept: int
    """When it is finished."""
    training: int
    """More than that while it trains."""


def run_size(config: ExperimentConfig) -> RunSize:
    """Count the bytes of ``checkpoint.pt`` and of ``last.pt``, which is replaced by a whole one after each epoch."""
    with torch.device("meta"):
        model = build_model(config.model_copy(update={"init_weights": None, "start_from": None}))
    weights = sum(value.nbytes for value in model.state_dict().values())
    state = weights + 2 * sum(parameter.nbytes for parameter in model.parameters())
    return RunSize(weights + state, state) if config.keep_state else RunSize(weights, 2 * state)


def bytes_text(size: int) -> str:
    """Write a number of bytes with two digits."""
    value, unit = (size / 1e9, "GB") if size >= 1e9 else (size / 1e6, "MB")
    return f"{float(f'{value:.2g}'):g} {unit}"


def told(sizes: Iterable[tuple[RunSize, int]]) -> str:
    """Say how much room a study takes, of the sizes of its kinds of runs and the number of each."""
    sizes = list(sizes)
    kept, training = sum(size.kept * trials for size, trials in sizes), max(size.training for size, _ in sizes)
    return f"All runs take about {bytes_text(kept)} of the disk, and each that trains up to {bytes_text(training)} more"
