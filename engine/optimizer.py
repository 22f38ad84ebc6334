"""One optimizer for a whole trial: which parameter is trained how."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LambdaLR, LRScheduler, ReduceLROnPlateau

from models import MultiTaskModel, normalised_convolutions
from optim import BudgetController, LambdaSchedule, Penalty, PenaltyControl, ProxAdam, SparsityController, TwoControls
from optim.groups import group_count, grouped_weights, least_groups
from optim.selection import Counter
from settings.config import ExperimentConfig
from settings.registries import BACKBONES
from settings.sections import LRSchedule, OptimizerParams, Strength
from utils.errors import ConfigError
from utils.places import load


def build_penalty(config: ExperimentConfig) -> Penalty:
    """The backbone's penalty at its full strength (0 for a dense run)."""
    return _penalty(config.penalty, config.bb_optimizer_params, config.penalty_lambda)


def build_head_penalty(config: ExperimentConfig) -> Penalty:
    """The penalty of the heads' convolutions that read the shared features, at its full strength."""
    if config.joins_heads:
        return build_penalty(config)
    return _penalty(config.head_penalty, config.optimizer_params, config.head_penalty_lambda)


def _penalty(penalty: type[Penalty], params: OptimizerParams, lambda_: float) -> Penalty:
    return penalty(lambda_=lambda_, **{name: getattr(params, name) for name in penalty.parameters()})


def build_control(config: ExperimentConfig, counter: Counter | None = None) -> PenaltyControl:
    """Build what decides on the penalties' strength (0 for a dense run); a heads' lambda has a schedule beside it.

    Args:
        config: of the experiment.
        counter: counts the cost that is left, for a target that is a budget (``optim.selection.Budget``).
    """
    control = _backbone_control(config, counter)
    if not config.sparsifies_heads or config.joins_heads:
        return control
    return TwoControls(control, _schedule(config.optimizer_params.lambda_, config))


def _backbone_control(config: ExperimentConfig, counter: Counter | None) -> LambdaSchedule | SparsityController:
    """A controller for a target, else a schedule."""
    target = config.target
    if target is None:
        return _schedule(config.bb_optimizer_params.lambda_ if config.group_sparsity else None, config)
    start, until = config.sparsity_epoch, config.epoch_at(config.sparsity_until)
    if target.is_budget:
        assert counter is not None, "a budget is counted"
        return BudgetController(target.share, start, until, counter, config.sparsity_ramp)
    # Groups that are selected are zero for good: there is nothing to wait for after the ramp.
    held = 0.0 if config.penalty.selects else SparsityController.HELD
    return SparsityController(target.share, start, until, config.sparsity_ramp, held)


def _schedule(strength: Strength | None, config: ExperimentConfig) -> LambdaSchedule:
    """Return the strength of one penalty over the epochs."""
    start, debias = config.sparsity_epoch if config.group_sparsity else 0, config.debias_epoch
    return LambdaSchedule(0.0 if strength is None else strength.points(start), start, debias_from=debias)


def build_optimizer(model: MultiTaskModel, weighting: nn.Module, config: ExperimentConfig) -> ProxAdam:
    """ProxAdam over every trainable parameter, each in exactly one group.

    ``backbone_convs`` (with the penalty) and ``backbone_other`` follow ``bb_optimizer_params``, ``heads`` follows
    ``optimizer_params``; learned loss weights have a learning rate of their own and no weight decay. With
    ``sparsify: backbone_and_heads``, ``heads_convs`` are the heads' convolutions that read the shared features: with joint
    groups and the backbone's penalty (``config.joins_heads``), or with their own, which a target does not steer.
    """
    convs = [weight for _, weight in grouped_weights(model.backbone)]
    conv_ids = {id(weight) for weight in convs}
    other = [parameter for parameter in model.backbone.parameters() if id(parameter) not in conv_ids]
    readers = [conv.weight for _, conv in model.feature_readers()] if config.sparsifies_heads else []
    reader_ids = {id(weight) for weight in readers}
    rest = [parameter for parameter in model.heads.parameters() if id(parameter) not in reader_ids]
    backbone, heads = _settings(config.bb_optimizer_params), _settings(config.optimizer_params)
    groups: list[dict[str, Any]] = [
        {"name": "backbone_convs", "params": convs, "penalty": build_penalty(config), **backbone, **_limits(model, config)},
        {"name": "backbone_other", "params": other, **backbone},
        {"name": "heads_convs", "params": readers, **_reader_options(readers, config), **heads},
        {"name": "heads", "params": rest, **heads},
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
    device = owned[0].device.type
    return ProxAdam(groups, fused=True if device in ("cpu", "cuda") else None)


def _settings(params: OptimizerParams) -> dict[str, Any]:
    return {
        "lr": params.learning_rate,
        "betas": params.betas,
        "eps": params.eps,
        "weight_decay": params.weight_decay,
    }


def _reader_options(readers: Sequence[Tensor], config: ExperimentConfig) -> dict[str, Any]:
    """Return the options of the parameter group of the convolutions that read the shared features."""
    joint, penalty = config.joins_heads, build_head_penalty(config)
    floors = layer_floors(readers, config) if joint else None
    return {"penalty": penalty, "steered": joint, "joint": joint, "floors": floors}


def _limits(model: MultiTaskModel, config: ExperimentConfig) -> dict[str, Any]:
    """Return limits of the penalty on the backbone: it must neither empty a layer nor shrink weights before batch norm."""
    if not config.group_sparsity:
        return {}
    convs = list(grouped_weights(model.backbone))
    check_anatomy(config)
    normalised = normalised_convolutions(model.backbone) if config.preserves_norm else set()
    return {
        "floors": layer_floors([weight for _, weight in convs], config) if config.target is not None else None,
        "normalised": [name in normalised for name, _ in convs] if normalised else None,
    }


def layer_floors(weights: Sequence[Tensor], config: ExperimentConfig) -> list[int]:
    """Return how many groups each of these weights keeps under a target."""
    return [least_groups(group_count(weight), config.keep_layers) for weight in weights]


def check_anatomy(config: ExperimentConfig) -> None:
    """Refuse to keep norms or a budget in, or to shrink, a backbone that does not say which convolution feeds which.

    Raises:
        ConfigError: its class has no method ``anatomy``.
    """
    if not config.group_sparsity or hasattr(load(BACKBONES[config.backbone].place), "anatomy"):
        return
    if config.target is not None and config.target.is_budget:
        raise ConfigError(
            f"{config.target.key}: needs a backbone with a method anatomy(), and {config.backbone!r} has none: give "
            "target_sparsity, or add the method"
        )
    if config.preserves_norm:
        because = f" (which {config.target.key} turns on)" if config.target and config.preserve_norm is None else ""
        raise ConfigError(
            f"preserve_norm: true{because} needs a backbone with a method anatomy(), and {config.backbone!r} has none: set "
            "preserve_norm to false, or add the method"
        )
    if config.shrink:
        raise ConfigError(
            f"shrink: true needs a backbone with a method anatomy(), and {config.backbone!r} has none: leave shrink out, or "
            "add the method"
        )


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
    if schedule.name == "step":
        rates = [group["lr"] for group in optimizer.param_groups]
        return LambdaLR(optimizer, [partial(_step_factor, schedule, schedule.min_lr / rate) for rate in rates])
    return ConstantLR(optimizer, factor=1.0)


def _step_factor(schedule: LRSchedule, least: float, epoch: int) -> float:
    """Return the factor of a learning rate after ``epoch`` epochs of ``step``; at least ``least``, or 1 where that is more."""
    return max(schedule.factor ** (epoch // schedule.step_size), min(1.0, least))


def stretch_schedule(scheduler: LRScheduler | ReduceLROnPlateau, optimizer: ProxAdam, epochs: int) -> None:
    """Let a resumed schedule that depends on the number of epochs follow its curve over another number from here on."""
    if isinstance(scheduler, CosineAnnealingLR):
        scheduler.T_max = epochs
        share = (1 + math.cos(math.pi * scheduler.last_epoch / epochs)) / 2
        for group, base in zip(optimizer.param_groups, scheduler.base_lrs, strict=True):
            group["lr"] = scheduler.eta_min + (base - scheduler.eta_min) * share
