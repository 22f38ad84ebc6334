"""Every parameter is trained as the configuration says."""

import math
from typing import Any

import pytest
from torch import nn

from engine.optimizer import build_control, build_optimizer, build_penalty, build_scheduler
from engine.weighting import build_weighting
from models import MultiTaskModel, build_model
from models.heads import feature_convs
from optim import (
    PENALTIES,
    GroupL0,
    GroupLasso,
    GroupMCP,
    LambdaSchedule,
    ProxAdam,
    SparseGroupLasso,
    SparsityController,
    TwoControls,
)
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


@pytest.mark.parametrize(("backbone", "dataset"), [("resnet18", "NYU"), ("resnetd18", "celebA")])
def test_every_parameter_is_in_exactly_one_group(backbone: str, dataset: str) -> None:
    model, weighting, optimizer = build(backbone=backbone, dataset_name=dataset, normalize="imagenet")
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
    actual = {
        id(p): (group["lr"], tuple(group["betas"]), group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert actual == expected


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
        ({"penalty": "sparse_group_lasso", "lambda": 0.5}, SparseGroupLasso(0.5, l1_ratio=0.05)),
        ({"penalty": "sparse_group_lasso", "lambda": 0.5, "l1_ratio": 1, "gamma": 2.0}, SparseGroupLasso(0.5, l1_ratio=1.0)),
        ({"penalty": None, "lambda": 0.5}, GroupLasso(0.5)),
        ({"penalty": "group_mcp", "lambda": {"value": 0.5, "warmup": 1}}, GroupMCP(0.5)),
        ({"penalty": "l1_l2", "lambda": [[0, 1.0], [1, 0.5]]}, GroupLasso(0.5)),
    ],
)
def test_penalty_is_the_one_of_the_configuration(params: dict[str, Any], penalty: object) -> None:
    assert build_penalty(make_config(bb_optimizer_params=params, group_sparsity=True)) == penalty


@pytest.mark.parametrize("name", PENALTIES)
def test_every_penalty_can_be_configured_and_starts_a_steered_run_without_strength(name: str) -> None:
    values = {"bb_optimizer_params": {"penalty": name, "lambda": 0.5}, "group_sparsity": True, "target_sparsity": 0.5}
    penalty = build_penalty(make_config(**values))
    assert type(penalty) is PENALTIES[name]
    assert penalty.lambda_ == 0
    _, _, optimizer = build(**values)
    assert [group["penalty"] for group in optimizer.param_groups] == [penalty, None, None, None]


def schedule(lambda_: Any, **values: Any) -> LambdaSchedule:
    """Return what a sparse configuration of 20 epochs with this ``lambda`` makes of it."""
    control = build_control(
        make_config(**{"group_sparsity": True, "epochs": 20, "bb_optimizer_params": {"lambda": lambda_}, **values})
    )
    assert type(control) is LambdaSchedule
    return control


def test_a_number_is_constant_from_the_threshold_on() -> None:
    control = schedule(0.5, sparsity_threshold=3)
    assert [control.at(epoch) for epoch in (0, 2.99, 3, 19)] == [0, 0, 0.5, 0.5]
    assert [control.is_full(epoch) for epoch in (2, 3)] == [False, True]
    assert control.debias_from is None


def test_debias_from_ends_the_penalty_at_an_epoch_or_at_a_share_of_them() -> None:
    for debias_from in (15, 0.75):
        control = schedule(0.5, debias_from=debias_from)
        assert control.debias_from == 15
        assert [control.at(epoch) for epoch in (14.9, 15)] == [0.5, 0]
        assert [control.is_full(epoch) for epoch in (14, 15)] == [False, True]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"target_sparsity": 0.5},
        {"debias_from": 5},
        {"bb_optimizer_params": {"lambda": {"value": 0.5, "warmup": 5}}},
        {"bb_optimizer_params": {"lambda": [[0, 0.5], [5, 1.0]]}},
    ],
    ids=str,
)
def test_a_dense_run_is_controlled_by_nothing(values: dict[str, Any]) -> None:
    given = {"bb_optimizer_params": {"lambda": 0.5}, "epochs": 20, "sparsity_threshold": 3, "group_sparsity": False, **values}
    config = make_config(**given)
    control = build_control(config)
    assert type(control) is LambdaSchedule
    assert control.is_full(0)
    assert [control.at(epoch) for epoch in (0, 4, 19)] == [0, 0, 0]
    assert control.debias_from is None
    assert build_penalty(config).lambda_ == 0


def test_a_target_is_steered_to_between_two_epochs() -> None:
    values = {"group_sparsity": True, "epochs": 20, "sparsity_threshold": 2, "target_sparsity": 0.7}
    for until, epoch in ((0.6, 12), (9, 9), (0.95, 19)):
        control = build_control(make_config(**values, sparsity_until=until))
        assert type(control) is SparsityController
        assert (control.target, control.start, control.until) == (0.7, 2, epoch)
    default = build_control(make_config(**values, bb_optimizer_params={"lambda": 0.5}))
    assert isinstance(default, SparsityController)
    assert default.until == 6


def test_dense_and_sparse_runs_differ_in_lambda_only() -> None:
    _, _, sparse = build()
    _, _, dense = build(group_sparsity=False)
    for left, right in zip(sparse.param_groups, dense.param_groups, strict=True):
        settings = [{k: v for k, v in group.items() if k not in ("params", "penalty")} for group in (left, right)]
        assert settings[0] == settings[1]
    assert [group["penalty"] for group in dense.param_groups] == [GroupLasso(0.0), None, None, None]
    assert [group["penalty"] for group in sparse.param_groups] == [GroupLasso(1e-3), None, None, None]


HEADS_TOO: dict[str, Any] = {
    "sparsify": "backbone_and_heads",
    "optimizer_params": {**SETTINGS["optimizer_params"], "penalty": "group_mcp", "lambda": 7.0, "gamma": 4.0},
}


@pytest.mark.parametrize("dataset", ["NYU", "celebA"])
def test_sparsified_heads_have_their_penalty_on_what_reads_the_features_and_nowhere_else(dataset: str) -> None:
    model, weighting, optimizer = build(**HEADS_TOO, dataset_name=dataset)
    assert [group["name"] for group in optimizer.param_groups] == [
        *("backbone_convs", "backbone_other", "heads_convs", "heads", "loss_weights")
    ]
    penalties = [group["penalty"] for group in optimizer.param_groups]
    assert penalties == [GroupLasso(1e-3), None, GroupMCP(7.0, gamma=4.0), None, None]
    readers = {id(conv.weight) for head in model.heads.values() for _, conv in feature_convs(head)}
    assert {id(p) for p in optimizer.param_groups[2]["params"]} == readers
    grouped = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(p) for module in (model, weighting) for p in module.parameters())
    convs, rest = ({k: optimizer.param_groups[i][k] for k in ("lr", "betas", "eps", "weight_decay")} for i in (2, 3))
    assert convs == rest == {"lr": 0.004, "betas": (0.85, 0.95), "eps": 1e-8, "weight_decay": 0.2}


@pytest.mark.parametrize("dataset", ["NYU", "celebA"])
def test_under_a_target_that_selects_features_are_groups_of_all_heads_with_the_backbones_penalty(dataset: str) -> None:
    selecting = {"learning_rate": 0.002, "penalty": "group_l0", "saliency": "taylor"}
    values = {"sparsify": "backbone_and_heads", "target_sparsity": 0.5, "bb_optimizer_params": selecting, "keep_layers": 0.1}
    model, _, optimizer = build(**values, dataset_name=dataset)
    backbone, readers = (
        next(g for g in optimizer.param_groups if g["name"] == f"{part}_convs") for part in ("backbone", "heads")
    )
    assert backbone["penalty"] == readers["penalty"] == GroupL0(0.0, "taylor")
    assert [(group["steered"], group["joint"]) for group in (backbone, readers)] == [(True, False), (True, True)]
    assert readers["floors"] == [math.ceil(0.1 * conv.weight.shape[1]) for _, conv in model.feature_readers()]
    assert (readers["lr"], backbone["lr"]) == (0.004, 0.002)
    assert {id(p) for p in readers["params"]} == {id(conv.weight) for _, conv in model.feature_readers()}
    assert type(build_control(make_config(**{**SETTINGS, **values}, epochs=20))) is SparsityController


@pytest.mark.parametrize(
    "values",
    [
        {"bb_optimizer_params": {"penalty": "group_l0", "lambda": 1.0}},
        {"bb_optimizer_params": {"penalty": "l1_l2"}, "target_sparsity": 0.5},
    ],
    ids=["no target", "no selection"],
)
def test_else_each_convolution_of_a_head_has_groups_of_its_own(values: dict[str, Any]) -> None:
    _, _, optimizer = build(**{**HEADS_TOO, **values})
    (readers,) = (group for group in optimizer.param_groups if group["name"] == "heads_convs")
    assert (readers["joint"], readers["steered"], readers["penalty"]) == (False, False, GroupMCP(7.0, gamma=4.0))


def test_a_dense_run_trains_its_heads_as_one_whatever_is_to_be_sparsified() -> None:
    _, _, optimizer = build(**HEADS_TOO, group_sparsity=False)
    assert [group["name"] for group in optimizer.param_groups] == ["backbone_convs", "backbone_other", "heads", "loss_weights"]
    assert [group["penalty"] for group in optimizer.param_groups] == [GroupLasso(0.0), None, None, None]
    assert type(build_control(make_config(**{**SETTINGS, **HEADS_TOO, "group_sparsity": False}))) is LambdaSchedule


def head_schedule(lambda_: Any, **values: Any) -> LambdaSchedule:
    """The schedule of the heads' penalty in 20 epochs; the backbone's control is the one that it would be without it."""
    given = {"group_sparsity": True, "epochs": 20, "bb_optimizer_params": {"lambda": 0.1, "penalty": "l1_l2"}, **values}
    control = build_control(make_config(**given, sparsify="backbone_and_heads", optimizer_params={"lambda": lambda_}))
    assert isinstance(control, TwoControls)
    assert vars(control.steered) == vars(build_control(make_config(**given)))
    return control.others


def test_the_heads_lambda_has_the_forms_of_the_backbones_and_begins_and_ends_with_it() -> None:
    assert [head_schedule(0.5, sparsity_threshold=3).at(epoch) for epoch in (2.9, 3, 19)] == [0, 0.5, 0.5]
    warmup = head_schedule({"value": 0.5, "warmup": 4}, sparsity_threshold=2)
    assert [warmup.at(epoch) for epoch in (2, 3, 6)] == pytest.approx([0, 0.125, 0.5])
    points = head_schedule([[2, 0.1], [4, 0.3]], debias_from=0.5)
    assert [points.at(epoch) for epoch in (0, 3, 9.9, 10)] == pytest.approx([0.1, 0.2, 0.3, 0])
    steered = head_schedule(0.5, target_sparsity=0.7, sparsity_until=9)
    assert [steered.at(epoch) for epoch in (0, 8.9, 9)] == [0, 0.5, 0]


def test_plateau_multiplies_every_learning_rate_and_stops_at_the_smallest() -> None:
    values = {"lr_schedule": {"name": "plateau", "factor": 0.5, "patience": 1, "min_lr": 0.0008}}
    optimizer = build(**values)[2]
    scheduler = build_scheduler(optimizer, make_config(**SETTINGS, **values))
    rates = []
    for loss in (1.0, 0.999999, 1.0, 1.0, 1.0, 1.0):
        optimizer.step()
        scheduler.step(loss)  # type: ignore[arg-type]
        rates.append([group["lr"] for group in optimizer.param_groups])
    start, half, lowest = [0.002, 0.002, 0.004, 0.001], [0.001, 0.001, 0.002, 0.0008], [0.0008, 0.0008, 0.001, 0.0008]
    # The tiny decrease counts; then two epochs without improvement are one more than the patience.
    assert rates == [pytest.approx(row) for row in (start, start, start, half, half, lowest)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (
            {"name": "cosine", "min_lr": 1e-5},
            [1e-5 + (0.002 - 1e-5) * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(5)],
        ),
        ({"name": "step", "step_size": 2, "factor": 0.5, "min_lr": 6e-4}, [0.002, 0.002, 0.001, 0.001, 6e-4]),
        ({"name": "step", "step_size": 2, "factor": 0.5, "min_lr": 0.1}, [0.002] * 5),
    ],
)
def test_other_schedules_follow_their_curve_over_the_epochs(schedule: dict[str, Any], expected: list[float]) -> None:
    config = make_config(**SETTINGS, epochs=4, lr_schedule=schedule)
    optimizer = build_optimizer(build_model(config), build_weighting(config), config)
    scheduler = build_scheduler(optimizer, config)
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(4):
        optimizer.step()
        scheduler.step()  # type: ignore[call-arg]
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx(expected)
