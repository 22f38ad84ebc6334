"""One optimizer for a whole trial: which parameter is trained how."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from torch import nn
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler, ReduceLROnPlateau

from models import MultiTaskModel
from optim import PENALTIES, LambdaSchedule, Penalty, PenaltyControl, ProxAdam, SparsityController
from optim.groups import grouped_weights
from utils.config import ExperimentConfig
from utils.config_sections import OptimizerParams, Warmup


def build_penalty(config: ExperimentConfig) -> Penalty:
    """The backbone's penalty at its full strength (0 for a dense run)."""
    params = config.bb_optimizer_params
    penalty = PENALTIES[params.penalty or "l1_l2"]
    extra = {field.name: getattr(params, field.name) for field in fields(penalty) if field.name != "lambda_"}
    return penalty(lambda_=config.penalty_lambda, **extra)


def build_control(config: ExperimentConfig) -> PenaltyControl:
    """What decides on the penalty's strength: a controller for ``target_sparsity``, else a schedule (0 for a dense run)."""
    start = config.sparsity_threshold if config.group_sparsity else 0
    if config.group_sparsity and config.target_sparsity is not None:
        return SparsityController(config.target_sparsity, start, config.epoch_at(config.sparsity_until))
    debias = config.epoch_at(config.debias_from) if config.group_sparsity and config.debias_from is not None else None
    strength = config.bb_optimizer_params.lambda_ if config.group_sparsity else 0.0
    if isinstance(strength, Warmup):
        return LambdaSchedule(strength.value, start, strength.warmup, debias_from=debias)
    return LambdaSchedule(strength or 0.0, start, debias_from=debias)


def build_optimizer(model: MultiTaskModel, weighting: nn.Module, config: ExperimentConfig) -> ProxAdam:
    """ProxAdam over every trainable parameter, each in exactly one group.

    ``backbone_convs`` (with the penalty) and ``backbone_other`` follow ``bb_optimizer_params``, ``heads`` follows
    ``optimizer_params``; learned loss weights have a learning rate of their own and no weight decay.
    """
    convs = [weight for _, weight in grouped_weights(model.backbone)]
    conv_ids = {id(weight) for weight in convs}
    other = [parameter for parameter in model.backbone.parameters() if id(parameter) not in conv_ids]
    backbone, heads = _settings(config.bb_optimizer_params), _settings(config.optimizer_params)
    groups: list[dict[str, Any]] = [
        {"name": "backbone_convs", "params": convs, "penalty": build_penalty(config), **backbone},
        {"name": "backbone_other", "params": other, **backbone},
        {"name": "heads", "params": list(model.heads.parameters()), **heads},
        {
            "name": "loss_weights",
            "params": list(weighting.parameters()),
            **{**heads, "lr": config.loss_weight_lr, "weight_decay": 0.0},
        },
    ]
    groups = [group for group in groups if group["params"]]
    trained = sum(len(group["params"]) for group in groups)
    owned = [*model.parameters(), *weighting.parameters()]
    assert trained == len({id(parameter) for parameter in owned}), "a parameter is in no group, or in two"
    device = convs[0].device.type
    return ProxAdam(groups, fused=True if device in ("cpu", "cuda") else None)


def _settings(params: OptimizerParams) -> dict[str, Any]:
    return {
        "lr": params.learning_rate,
        "betas": params.betas,
        "eps": params.eps,
        "weight_decay": params.weight_decay,
    }


def build_scheduler(optimizer: ProxAdam, config: ExperimentConfig) -> LRScheduler | ReduceLROnPlateau:
    """The learning rates' schedule, stepped once an epoch."""
    schedule = config.lr_schedule
    if schedule.name == "plateau":
        # Any decrease counts as improvement, as it does for the best checkpoint.
        return ReduceLROnPlateau(
            optimizer, factor=schedule.factor, patience=schedule.patience, min_lr=schedule.min_lr, threshold=0.0
        )
    if schedule.name == "cosine":
        return CosineAnnealingLR(optimizer, T_max=config.epochs, eta_min=schedule.min_lr)
    return ConstantLR(optimizer, factor=1.0)
