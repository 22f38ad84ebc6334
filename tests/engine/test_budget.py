"""A training with a budget ends with the asked share of the dense network's cost, as ``compact()`` counts it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.budget import check_budget
from engine.trainer import step_point
from engine.trial import Trial
from models import build_model, compact
from optim.schedules import BudgetController
from settings.config import ExperimentConfig
from tests.engine.test_shrinking import Batches, batches, config_for, interrupted, largest_difference, train, trained
from tests.equality import equal
from utils.errors import ConfigError

__all__ = ["batches"]


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


CASES: list[dict[str, Any]] = [
    {"backbone": "resnet18", "target_macs": 0.25},
    {"backbone": "resnet18", "target_parameters": 0.3, "keep_layers": 0},
    {"backbone": "resnetd50", "target_macs": 0.4, "keep_layers": 0},
    {"backbone": "resnetd50", "target_parameters": 0.5},
    {"backbone": "resnet18", "target_macs": 0.1, "sparsify": "backbone_and_heads"},
    {"backbone": "resnetd50", "target_parameters": 0.2, "sparsify": "backbone_and_heads", "keep_layers": 0},
]


@pytest.mark.parametrize("values", CASES)
def test_the_compact_network_has_the_asked_share(batches: Batches, rooms: Path, tmp_path: Path, values: dict[str, Any]) -> None:
    config = budget_config(rooms, **values)
    assert config.target is not None
    kind, share = config.target.kind.cost, config.target.share
    trial = trained(config, batches, tmp_path, epochs=4)
    reached = left(trial, kind)
    assert trial.budget is not None
    assert trial.budget.left() == reached
    assert 0.99 * share <= reached <= share
    assert trial.shrunk is not None


def test_a_feature_costs_what_all_heads_multiply_with_it(rooms: Path, tmp_path: Path) -> None:
    """One weight stands for all that read it. Its price is in percent of the dense network's cost."""
    config = budget_config(rooms, target_macs=0.3, sparsify="backbone_and_heads")
    trial = Trial(config, 0, torch.device("cpu"), tmp_path)
    readers = [conv for _, conv in trial.network.feature_readers()]
    assert trial.budget is not None
    (price,) = trial.budget.counter([readers[0].weight]).prices
    layers = {layer.layer: layer.macs for layer in compact(trial.model, image_size=config.size)[1].layers}
    macs = sum(layers[f"heads.{name}"] / conv.weight.shape[1] for name, conv in trial.network.feature_readers())
    assert price == pytest.approx(100 * macs / trial.budget.share.dense)


def test_in_the_ramp_what_is_left_falls_as_the_zeros_rise(batches: Batches, rooms: Path, tmp_path: Path) -> None:
    config = budget_config(rooms, target_macs=0.3, sparsity_ramp="smooth")
    trial = trained(config, batches, tmp_path, epochs=1)
    assert isinstance(trial.control, BudgetController)
    assert trial.control.wanted(1) == 1
    assert trial.control.wanted(2) == pytest.approx(0.65)
    assert trial.control.wanted(3) == pytest.approx(0.3)
    train(trial, batches, 2)
    assert left(trial, "macs") <= trial.control.wanted(2)
    point = step_point(trial, 2.0)
    assert point["wanted_cost"] == pytest.approx(65.0)
    assert point["macs_left"] == pytest.approx(100 * left(trial, "macs"))
    assert point["wanted_sparsity"] is None


def test_shrinking_changes_nothing_but_rounding(batches: Batches, rooms: Path, tmp_path: Path) -> None:
    values = {"target_macs": 0.2, "sparsify": "backbone_and_heads"}
    trials = [trained(budget_config(rooms, **values, shrink=shrink), batches, tmp_path, epochs=4) for shrink in (False, True)]
    assert [trial.shrunk is None for trial in trials] == [True, False]
    assert largest_difference(*trials) < 1e-9


def test_a_training_resumed_in_the_ramp_is_the_same_to_the_bit(batches: Batches, rooms: Path, tmp_path: Path) -> None:
    config = budget_config(rooms, target_macs=0.4)
    straight, resumed = interrupted(config, batches, tmp_path, epochs=2)
    assert equal(resumed.state_dict(None), straight.state_dict(None))


@pytest.mark.parametrize(("kind", "sparsify"), [("macs", "backbone"), ("parameters", "backbone_and_heads")])
def test_less_than_the_heads_and_the_floors_leave_is_refused_with_the_least(rooms: Path, kind: str, sparsify: str) -> None:
    config = budget_config(rooms, head_width=64, keep_layers=0.1, sparsify=sparsify, **{f"target_{kind}": 0.02})
    with pytest.raises(ConfigError, match=rf"target_{kind}: 0.02 .* keep_layers: 0.1, at least (0\.\d+) is left") as said:
        check_budget(build_model(config), config)
    least = float(str(said.value).split("at least ")[1].split()[0])
    check_budget(build_model(config), config.with_values(**{f"target_{kind}": least + 1e-4}))
    with pytest.raises(ConfigError):
        check_budget(build_model(config), config.with_values(**{f"target_{kind}": least - 1e-4}))
