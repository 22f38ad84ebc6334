"""What people would use in place of group_l0: each as something that is called between the epochs of the same trainer."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.monitor import Patience
from engine.optimizer import build_optimizer
from engine.trial import Trial
from models import MultiTaskModel, build_compact, build_model, mask_dense, plan_removal
from models.compaction.removal import Removal
from models.compaction.report import count_macs
from optim.groups import as_columns, grouped_weights
from settings.config import ExperimentConfig
from utils.errors import ConfigError

TOLERANCE = 0.02
"""Part of the multiply-adds by which a peer may miss those that are asked for."""
STEPS = 5
"""Epochs at whose ends a peer prunes."""
MOST_PRUNED = 0.98
"""Share of a layer's channels that Torch-Pruning may take: what ``keep_layers`` leaves by default."""
PRUNER_STEPS = 500
"""Parts of all channels, one of which Torch-Pruning takes at a time until the multiply-adds are right."""


@dataclass
class Peer:
    """A trial under a method."""

    trial: Trial
    goal: float
    """Multiply-adds of the whole model, for one image."""
    removal: Removal | None
    """What is gone from the trial that the method copies."""
    steps: int
    """Of an epoch."""
    has_zeros: bool = False
    """True if channels are zero, and not gone, from the trial's own model."""

    @property
    def macs(self) -> float:
        """Multiply-adds of the network now."""
        trial = self.trial
        return float(trial.train_macs) if trial.shrunk is not None else macs_of(trial.model, trial.config)

    def take(self, network: MultiTaskModel) -> None:
        """Let ``network`` train on, with new moments at the learning rates of now."""
        trial = self.trial
        trial.model = network.to(trial.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        rates = [{key: group[key] for key in group if key in ("lr", "initial_lr")} for group in trial.optimizer.param_groups]
        trial.optimizer = trial.scheduler.optimizer = build_optimizer(trial.model, trial.weighting, trial.config)
        for group, rate in zip(trial.optimizer.param_groups, rates, strict=True):
            group.update(rate)
        # The best network is one that is pruned.
        trial.total_patience = Patience(trial.config.earlystop_patience)


Between = Callable[[Peer], None]
"""Called before each epoch."""


def macs_of(model: nn.Module, config: ExperimentConfig) -> float:
    """Return the multiply-adds of a model for one image of a configuration's size."""
    return float(count_macs(model, config.input_img_channels, config.size)[""])


def check_macs(macs: float, goal: float, method: str) -> None:
    """Refuse a network that has not the multiply-adds that are asked for."""
    if abs(macs - goal) > TOLERANCE * goal:
        asked = f"{goal / 1e9:.4g} are asked for, to {TOLERANCE:.0%}"
        raise ConfigError(f"--macs: {method} makes a network of {macs / 1e9:.4g} GMACs; {asked}")


def package(module: str, name: str) -> Any:
    """Import a module of an optional package.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ConfigError(f"--method: needs the package {name}: pip install -r requirements-benchmarks.txt") from None


def from_scratch(peer: Peer, removal: Removal) -> None:
    """Let what a removal leaves train, from new random weights."""
    network = build_compact(peer.trial.model, removal, for_training=True)
    for _, weight in grouped_weights(network.backbone):
        if weight.numel():
            nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
    for head in network.heads.values():
        for module in head.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()
    peer.take(network)


def own_architecture(peer: Peer) -> Between:
    """Train the channels that are left of another trial."""
    if peer.removal is None:
        raise ConfigError("--method own_architecture: needs the folder of a sparse trial; give --like FOLDER")
    from_scratch(peer, Removal.from_state(peer.removal.state_dict(), peer.trial.model))
    return lambda _: None


def thin(peer: Peer) -> Between:
    """Train a network whose layers are all narrower by the factor that makes the multiply-adds right."""
    config = peer.trial.config

    def narrow(share: float) -> Removal:
        model = build_model(config)
        convs = [*(conv for _, conv in grouped_weights(model.backbone)), *(conv.weight for _, conv in model.feature_readers())]
        with torch.no_grad():
            for weight in convs:
                if weight.shape[1] > config.input_img_channels:
                    weight[:, round(share * weight.shape[1]) :] = 0
        return plan_removal(model)

    low, high = 0.0, 1.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        model = build_compact(peer.trial.model, narrow(middle), for_training=True)
        low, high = (low, middle) if macs_of(model, config) > peer.goal else (middle, high)
    smallest = build_compact(peer.trial.model, narrow(low), for_training=True)
    check_macs(macs_of(smallest, config), peer.goal, "thin")
    from_scratch(peer, narrow(low))
    return lambda _: None


@dataclass
class Schedule:
    """Epochs at whose ends a peer prunes, and the multiply-adds that it leaves then."""

    dense: float
    goal: float
    epochs: list[int]
    """Numbers of epochs that are done."""
    power: int
    """1: equal steps; 3: as the ramp of group_l0."""

    @classmethod
    def late(cls, peer: Peer) -> Schedule:
        """The last steps of the first third of the epochs."""
        last = round(peer.trial.config.epochs / 3)
        return cls(peer.macs, peer.goal, list(range(last - STEPS + 1, last + 1)), power=1)

    @classmethod
    def early(cls, peer: Peer) -> Schedule:
        """The epochs in which group_l0 selects by default."""
        epochs = peer.trial.config.epochs
        return cls(peer.macs, peer.goal, list(range(round(epochs / 14) + 1, round(0.3 * epochs) + 1)), power=3)

    def wanted(self, epoch: int) -> float:
        """Return the multiply-adds that are to be left after an epoch."""
        done = (self.epochs.index(epoch) + 1) / len(self.epochs)
        return self.dense + (self.goal - self.dense) * (1 - (1 - done) ** self.power)


def layer_safe_magnitude(peer: Peer) -> Between:
    """Zero the input channels of smallest norm, relative to the mean of their layer's, for good; one of each layer stays."""
    trial, schedule = peer.trial, Schedule.early(peer)
    peer.has_zeros = True

    def remove(order: Tensor, sizes: list[int], count: int) -> Removal:
        dead = torch.zeros(sum(sizes), dtype=torch.bool).index_fill_(0, order[:count], True)
        for (_, weight), part in zip(grouped_weights(trial.model.backbone), dead.split(sizes), strict=True):
            weight.masked_fill_(part[None, :, None, None], 0.0)
        return plan_removal(trial.model)

    @torch.no_grad()
    def between(peer: Peer) -> None:
        if trial.epoch not in schedule.epochs:
            return
        trial.gather()
        weights = [weight for _, weight in grouped_weights(trial.model.backbone)]
        norms = [as_columns(weight).norm(dim=0) for weight in weights]
        scores = [norm / norm[norm > 0].mean() for norm in norms]
        for score in scores:
            score[score.argmax()] = torch.inf
        order, sizes = torch.cat(scores).argsort(), [len(score) for score in scores]
        kept = [weight.clone() for weight in weights]
        low, high = 0, len(order) - len(sizes)
        while low < high:
            middle = (low + high) // 2
            enough = trial.costs.of(remove(order, sizes, middle)) <= schedule.wanted(trial.epoch)
            for weight, before in zip(weights, kept, strict=True):
                weight.copy_(before)
            low, high = (low, middle) if enough else (middle + 1, high)
        removal = remove(order, sizes, low)
        trial.widen()
        mask_dense(trial.model, removal.maps(trial.model), trial.optimizer)
        trial.shrink(removal)
        trial.total_patience = Patience(trial.config.earlystop_patience)

    return between


def torch_pruning(peer: Peer, schedule: Schedule, regularised: bool = False) -> Between:
    """Prune by the magnitude of groups over all layers, and train on.

    Args:
        peer: its network is pruned in place.
        schedule: of the pruning.
        regularised: push the norms of groups down before.
    """
    pruning = package("torch_pruning", "torch-pruning")
    trial, config = peer.trial, peer.trial.config
    kind = pruning.pruner.GroupNormPruner if regularised else pruning.pruner.MagnitudePruner
    pruner = kind(
        trial.model,
        torch.zeros(1, config.input_img_channels, *config.size, device=trial.device),
        importance=pruning.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=1.0,
        max_pruning_ratio=MOST_PRUNED,
        iterative_steps=PRUNER_STEPS,
        ignored_layers=list(trial.model.heads.values()),
    )
    if regularised:

        def push(*_: object) -> None:
            if trial.epoch < schedule.epochs[0]:
                pruner.regularize(trial.model)

        trial.optimizer.register_step_pre_hook(push)

    def between(peer: Peer) -> None:
        if trial.epoch not in schedule.epochs:
            return
        trial.model.eval()
        while peer.macs > schedule.wanted(trial.epoch):
            if pruner.current_step == PRUNER_STEPS:
                raise ConfigError(f"--macs: Torch-Pruning leaves {peer.macs / 1e9:.4f} GMACs at least")
            pruner.step()
        if trial.epoch == schedule.epochs[-1]:
            check_macs(peer.macs, peer.goal, "Torch-Pruning")
        peer.take(trial.model)

    return between


def torchao_pat(peer: Peer) -> Between:
    """Train with torchao's pruning-aware training: an equal share of each layer's input channels, but for the colours."""
    groupers, optimizers = (package(f"torchao.prototype.pat.{part}", "torchao") for part in ("group", "optim"))

    class InputChannels(groupers.Dim0Grouper):  # type: ignore[misc,name-defined]  # no class without the package
        """Groups of input channels: its own for dimension 1 are single columns of a kernel."""

        def __enter__(self) -> InputChannels:
            self.p = self._param.movedim(1, 0).flatten(1)
            return self

        def __exit__(self, *_: object) -> None:
            channels, outputs, *kernel = self._param.movedim(1, 0).shape
            self._param.copy_(self.p.view(channels, outputs, *kernel).movedim(0, 1))
            self.p = self._param

    groupers.InputChannels = InputChannels  # where the optimizer looks its groupers up

    trial, ramp = peer.trial, Schedule.early(peer)
    first, last = ramp.epochs[0] - 1, ramp.epochs[-1]
    convs, others = (
        next(g for g in trial.optimizer.param_groups if g["name"] == name) for name in ("backbone_convs", "backbone_other")
    )
    others["params"].append(convs["params"].pop(0))
    convs |= {"prox_type": "MinSparsityConstraint", "group_type": "InputChannels", "min_sparsity_schedule": True}
    convs["min_sparsity"] = equal_share(peer)
    trial.optimizer = trial.scheduler.optimizer = optimizers.PruneOptimizer(
        trial.optimizer, first * peer.steps, last * peer.steps
    )
    peer.has_zeros = True

    def between(peer: Peer) -> None:
        if trial.epoch == last:
            trial.total_patience = Patience(trial.config.earlystop_patience)

    return between


def equal_share(peer: Peer) -> float:
    """Return the share of the input channels of each layer but the first whose removal leaves the multiply-adds of the goal."""
    config = peer.trial.config

    @torch.no_grad()
    def left(share: float) -> float:
        model, random = build_model(config), torch.Generator().manual_seed(0)
        for _, weight in list(grouped_weights(model.backbone))[1:]:
            weight[:, torch.randperm(weight.shape[1], generator=random)[: math.ceil(share * weight.shape[1])]] = 0
        return float(peer.trial.costs.of(plan_removal(model)))

    low, high = 0.0, 0.99
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if left(middle) <= peer.goal else (middle, high)
    return high


METHODS: dict[str, Callable[[Peer], Between]] = {
    "thin": thin,
    "own_architecture": own_architecture,
    "layer_safe_magnitude": layer_safe_magnitude,
    "torch_pruning": lambda peer: torch_pruning(peer, Schedule.late(peer)),
    "torch_pruning_early": lambda peer: torch_pruning(peer, Schedule.early(peer)),
    "torchao_pat": torchao_pat,
    "torch_pruning_group_norm": lambda peer: torch_pruning(peer, Schedule.late(peer), regularised=True),
}
