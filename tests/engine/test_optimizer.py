"""Which parameter is trained how."""

from typing import Any

import pytest
import torch
from torch import nn

from engine.optimizer import build_optimizer, build_penalty, build_scheduler
from engine.weighting import build_weighting
from models import MultiTaskModel, build_model
from optim import GroupLasso, GroupMCP, ProxAdam
from tests.configs import make_config

SETTINGS: dict[str, Any] = {
    "bb_optimizer_params": {
        "learning_rate": 0.002,
        "betas": [0.8, 0.9],
        "weight_decay": 0.3,
        "penalty": "l1_l2",
        "lambda": 1e-3,
    },
    "optimizer_params": {"learning_rate": 0.004, "betas": [0.85, 0.95], "weight_decay": 0.2},
    "group_sparsity": True,
    "comb_loss": "uncertainity",
}


def build(**values: Any) -> tuple[MultiTaskModel, nn.Module, ProxAdam]:
    """Model, loss weights and optimizer of a small experiment."""
    config = make_config(**{**SETTINGS, **values})
    model, weighting = build_model(config), build_weighting(config)
    return model, weighting, build_optimizer(model, weighting, config)


@pytest.mark.parametrize("backbone", ["resnet18", "resnetd18"])
@pytest.mark.parametrize("dataset", ["NYU", "celebA"])
@pytest.mark.parametrize("normalize", ["none", "imagenet"])
def test_every_parameter_is_in_exactly_one_group(backbone: str, dataset: str, normalize: str) -> None:
    model, weighting, optimizer = build(backbone=backbone, dataset_name=dataset, normalize=normalize)
    grouped = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    owned = [id(parameter) for module in (model, weighting) for parameter in module.parameters()]
    assert sorted(grouped) == sorted(owned)


def test_backbone_heads_and_loss_weights_have_their_own_settings() -> None:
    model, weighting, optimizer = build()
    expected = {
        **{id(p): (0.002, (0.8, 0.9), 0.3) for p in model.backbone.parameters()},
        **{id(p): (0.004, (0.85, 0.95), 0.2) for p in model.heads.parameters()},
        **{id(p): (1e-3, (0.85, 0.95), 0.0) for p in weighting.parameters()},
    }
    found = {
        id(p): (group["lr"], tuple(group["betas"]), group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert found == expected


def test_the_penalty_is_on_the_backbones_convolutions_and_nowhere_else() -> None:
    model, _, optimizer = build()
    penalised = {id(p) for group in optimizer.param_groups if group["penalty"] is not None for p in group["params"]}
    assert penalised == {id(p) for p in model.backbone.parameters() if p.ndim == 4}
    assert any(p.ndim == 4 for p in model.heads.parameters()), "the heads have convolutions too, without penalty"


@pytest.mark.parametrize(
    ("params", "penalty"),
    [
        ({"penalty": "l1_l2", "lambda": 0.5}, GroupLasso(0.5)),
        ({"penalty": "group_mcp", "lambda": 0.5, "gamma": 4.0}, GroupMCP(0.5, gamma=4.0)),
    ],
)
def test_penalty_is_the_one_of_the_configuration(params: dict[str, Any], penalty: object) -> None:
    assert build_penalty(make_config(bb_optimizer_params=params, group_sparsity=True)) == penalty


def test_dense_and_sparse_runs_differ_in_lambda_only() -> None:
    _, _, sparse = build()
    _, _, dense = build(group_sparsity=False)
    for one, other in zip(sparse.param_groups, dense.param_groups, strict=True):
        settings = [{k: v for k, v in group.items() if k not in ("params", "penalty")} for group in (one, other)]
        assert settings[0] == settings[1]
    assert [group["penalty"] for group in dense.param_groups] == [GroupLasso(0.0), None, None, None]
    assert [group["penalty"] for group in sparse.param_groups] == [GroupLasso(1e-3), None, None, None]


def test_the_heads_penalty_is_unused() -> None:
    heads = {**SETTINGS["optimizer_params"], "penalty": "group_mcp", "lambda": 7.0}
    _, _, optimizer = build(optimizer_params=heads)
    assert [group["penalty"] for group in optimizer.param_groups] == [GroupLasso(1e-3), None, None, None]


def step(optimizer: ProxAdam) -> None:
    """One optimizer step without gradients, as schedulers want to see one before them."""
    optimizer.step()


def test_plateau_multiplies_every_learning_rate_and_stops_at_the_smallest() -> None:
    config = make_config(**SETTINGS, lr_schedule={"name": "plateau", "factor": 0.5, "patience": 1, "min_lr": 0.0008})
    optimizer = build_optimizer(build_model(config), build_weighting(config), config)
    scheduler = build_scheduler(optimizer, config)
    rates = []
    for loss in (1.0, 0.999999, 1.0, 1.0, 1.0, 1.0):
        step(optimizer)
        scheduler.step(loss)  # type: ignore[arg-type]
        rates.append([group["lr"] for group in optimizer.param_groups])
    start, half, lowest = [0.002, 0.002, 0.004, 0.001], [0.001, 0.001, 0.002, 0.0008], [0.0008, 0.0008, 0.001, 0.0008]
    # The tiny decrease counts; then two epochs without improvement are one more than the patience.
    assert rates == [pytest.approx(row) for row in (start, start, start, half, half, lowest)]


def test_cosine_falls_to_the_smallest_rate_over_the_epochs() -> None:
    config = make_config(**SETTINGS, epochs=4, lr_schedule={"name": "cosine", "min_lr": 1e-5})
    optimizer = build_optimizer(build_model(config), build_weighting(config), config)
    scheduler = build_scheduler(optimizer, config)
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(4):
        step(optimizer)
        scheduler.step()  # type: ignore[call-arg]
        rates.append(optimizer.param_groups[0]["lr"])
    angle = torch.pi * torch.arange(5, dtype=torch.float64) / 4
    expected = 1e-5 + (0.002 - 1e-5) * (1 + torch.cos(angle)) / 2
    assert rates == pytest.approx(expected.tolist())


def test_constant_stays() -> None:
    config = make_config(**SETTINGS, lr_schedule={"name": "constant"})
    optimizer = build_optimizer(build_model(config), build_weighting(config), config)
    scheduler = build_scheduler(optimizer, config)
    before = [group["lr"] for group in optimizer.param_groups]
    for _ in range(8):
        step(optimizer)
        scheduler.step()  # type: ignore[call-arg]
    assert [group["lr"] for group in optimizer.param_groups] == before
