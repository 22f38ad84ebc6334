"""A training with a budget ends with the asked share of the dense network's cost, as ``compact()`` counts it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from engine import checkpoint as files
from engine.budget import check_budget
from engine.trainer import step_point
from engine.trial import Trial
from models import build_model, compact
from optim.schedules import BudgetController
from settings.config import ExperimentConfig
from tests.engine.test_shrinking import Batches, batches, config_for, differences, largest_difference, narrow, train, trained
from utils.errors import ConfigError

__all__ = ["batches", "narrow"]


@pytest.fixture(autouse=True)
def narrow_resnetd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``resnetd50`` narrow and short."""
    monkeypatch.setattr("models.resnetd.STAGE_WIDTHS", (16, 12, 20, 24))
    monkeypatch.setattr("models.resnetd.STAGE_BLOCKS", {"resnetd50": (2, 2, 1, 2)})


def budget_config(rooms: Path, **values: Any) -> ExperimentConfig:
    """Five epochs with a ramp in the second and the third, and a budget in place of the share of zeros."""
    return config_for(rooms, **{"target_sparsity": None, "head_width": 16, **values})


def left(trial: Trial, kind: str) -> float:
    """The share that ``compact()`` leaves of the trained network."""
    trial.gather()
    total = compact(trial.model, image_size=trial.config.size)[1].totals["model"]
    return total[f"{kind}_left"] / total[kind]


@pytest.mark.parametrize("backbone", ["resnet18", "resnetd50"])
@pytest.mark.parametrize(("kind", "share"), [("macs", 0.4), ("macs", 0.25), ("parameters", 0.5), ("parameters", 0.3)])
@pytest.mark.parametrize("keep_layers", [0.02, 0.0])
def test_the_compact_network_has_the_asked_share(
    batches: Batches, rooms: Path, tmp_path: Path, backbone: str, kind: str, share: float, keep_layers: float
) -> None:
    config = budget_config(rooms, backbone=backbone, keep_layers=keep_layers, **{f"target_{kind}": share})
    trial = trained(config, batches, tmp_path, epochs=4)
    reached = left(trial, kind)
    assert trial.budget is not None
    assert trial.budget.left() == reached
    assert 0.99 * share <= reached <= share
    assert trial.shrunk is not None
