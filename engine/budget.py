"""A budget of a trial: the share of the network's cost that would be left if it were made compact now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn

from engine.optimizer import layer_floors
from engine.shrunk_network import ShrunkNetwork
from models import MultiTaskModel
from models.compaction.share import CostKind, LeftShare, live_mask_of
from optim.groups import Convolution, grouped_weights
from optim.selection import Count
from settings.config import ExperimentConfig
from utils.errors import ConfigError


class Counted(Protocol):
    """Parts of a trial that a count is about."""

    config: ExperimentConfig
    model: MultiTaskModel
    shrunk: ShrunkNetwork | None

    @property
    def network(self) -> MultiTaskModel:
        """The network that trains."""


class TrialBudget:
    """Counter of the multiply-adds, or parameters, that the compact network of a trial would have.

    Args:
        trial: its network may be the dense one, or what is left of it.
        kind: of cost.
    """

    def __init__(self, trial: Counted, kind: CostKind) -> None:
        self.trial, self.kind = trial, kind

    @cached_property
    def share(self) -> LeftShare:
        """The count for the dense network."""
        return build_share(self.trial.model, self.trial.config, self.kind)

    def left(self) -> float:
        """Share of the dense network's cost that ``compact()`` would leave now."""
        return self.counter([]).left([])

    @torch.no_grad()
    def counter(self, weights: Sequence[Tensor]) -> Count:
        """Return the share that is left if groups of ``weights`` die, which are of the network that trains, and their prices.

        A price is in percent of the dense network's cost.
        """
        network, shrunk = self.trial.network, self.trial.shrunk
        columns = {} if shrunk is None else {name: part.columns for name, part in shrunk.maps.items()}
        places = {id(weight): number for number, weight in enumerate(weights)}
        now: dict[str, Tensor] = {}
        asked: dict[str, tuple[int, Callable[[Tensor], Tensor]]] = {}
        if self.trial.config.joins_heads:  # one weight stands for all that read the features
            readers = [id(conv.weight) for _, conv in network.feature_readers()]
            for place in [places[reader] for reader in readers if reader in places]:
                places |= dict.fromkeys(readers, place)
        for name, groups in self.share.groups.items():
            conv = network.get_submodule(name)
            assert isinstance(conv, nn.Conv2d | Convolution)
            spread = _spread(columns.get(f"{name}.weight"), groups)
            now[name] = spread(live_mask_of(conv.weight))
            if id(conv.weight) in places:
                asked[name] = places[id(conv.weight)], spread

        def left(dead: Sequence[Tensor]) -> float:
            live = {name: spread(~dead[place]) for name, (place, spread) in asked.items()}
            return self.share.of({**now, **live})

        costs, prices = self.share.column_costs(now), [0.0] * len(weights)
        for name, (place, _) in asked.items():
            prices[place] += 100 * costs[name] / self.share.dense
        return Count(left, prices)


def _spread(columns: Tensor | None, groups: int) -> Callable[[Tensor], Tensor]:
    """Return the function from a mask of the groups that are left to one of all groups of the dense convolution."""
    if columns is None:
        return lambda live: live
    places = columns.cpu()
    return lambda live: torch.zeros(groups, dtype=torch.bool).index_put_((places,), live)


def build_share(model: MultiTaskModel, config: ExperimentConfig, kind: CostKind) -> LeftShare:
    """Return the count of what is left of a dense model, on images of the experiment."""
    return LeftShare(model, kind, config.input_img_channels, config.size)


def check_budget(model: MultiTaskModel, config: ExperimentConfig) -> None:
    """Refuse a budget that cannot be kept, as dense heads cost something and each layer keeps some of its groups.

    Raises:
        ConfigError: the sentence names the least value.
    """
    target = config.target
    if target is None or not target.kind.cost:
        return
    share = build_share(model, config, target.kind.cost)
    weights: dict[str, Tensor] = {f"backbone.{name}": weight for name, weight in grouped_weights(model.backbone)}
    if config.joins_heads:
        weights |= {f"heads.{name}": conv.weight for name, conv in model.feature_readers()}
    least = share.least(dict(zip(weights, layer_floors([*weights.values()], config), strict=True)))
    if target.share < least:
        heads = "heads that read the same features" if config.joins_heads else "the heads as they are"
        raise ConfigError(
            f"{target.key}: {target.share:g} cannot be reached: with {heads} and keep_layers: {config.keep_layers:g}, at least "
            f"{least:.4f} is left; give more than that"
        )
