"""Sparsity of a backbone: counted in one place, per layer and in total."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from .groups import group_count, group_norms, group_size, grouped_weights, least_groups, live_groups


@dataclass(frozen=True)
class LayerSparsity:
    """Counts of one convolution."""

    layer: str
    stage: str
    groups: int
    zero_groups: int
    group_size: int

    @property
    def live_groups(self) -> int:
        """Groups with at least one weight that is not zero."""
        return self.groups - self.zero_groups

    @property
    def parameters(self) -> int:
        """Weights of the layer."""
        return self.groups * self.group_size

    @property
    def zero_parameters(self) -> int:
        """Weights in zero groups."""
        return self.zero_groups * self.group_size


@dataclass(frozen=True)
class SparsityReport:
    """Counts of some convolutions (by default all shared ones), in network order, and their totals."""

    layers: tuple[LayerSparsity, ...]

    @property
    def groups(self) -> int:
        """All groups."""
        return sum(layer.groups for layer in self.layers)

    @property
    def zero_groups(self) -> int:
        """Groups whose weights are all exactly zero."""
        return sum(layer.zero_groups for layer in self.layers)

    @property
    def parameters(self) -> int:
        """All weights of these convolutions."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def zero_parameters(self) -> int:
        """Weights in zero groups."""
        return sum(layer.zero_parameters for layer in self.layers)

    @property
    def group_sparsity(self) -> float:
        """Zero groups in percent of all groups; NaN where there are none."""
        return 100.0 * self.zero_groups / self.groups if self.groups else math.nan

    @property
    def parameter_sparsity(self) -> float:
        """Weights in zero groups in percent of all weights; NaN where there are none."""
        return 100.0 * self.zero_parameters / self.parameters if self.parameters else math.nan

    def stages(self) -> dict[str, SparsityReport]:
        """The report of every stage alone, in network order."""
        names = dict.fromkeys(layer.stage for layer in self.layers)
        return {name: SparsityReport(tuple(layer for layer in self.layers if layer.stage == name)) for name in names}

    def at_floor(self, share: float) -> list[LayerSparsity]:
        """Layers that have no more live groups than the floor of ``share`` keeps (``optim.groups.least_groups``)."""
        return [layer for layer in self.layers if 0 < layer.live_groups <= least_groups(layer.groups, share)]

    def dead_layers(self) -> list[str]:
        """Layers without any live group: their output does not depend on their input any more."""
        return [layer.layer for layer in self.layers if layer.live_groups == 0]

    def rows(self) -> list[dict[str, str | int | float]]:
        """One plain row per layer: the columns of ``sparsity.csv``."""
        return [
            {
                **{key: asdict(layer)[key] for key in ("layer", "stage", "groups")},
                "live_groups": layer.live_groups,
                "parameters": layer.parameters,
                "live_parameters": layer.parameters - layer.zero_parameters,
                "group_sparsity": SparsityReport((layer,)).group_sparsity,
            }
            for layer in self.layers
        ]


def stage_of(layer: str, stage_names: Mapping[str, str]) -> str:
    """Return the stage that a layer belongs to: the top-level module that it is in, or what ``stage_names`` calls that."""
    first = layer.split(".")[0]
    return stage_names.get(first, first)


def _backbone_of(model: nn.Module) -> tuple[nn.Module, Mapping[str, str]]:
    """Return the backbone of ``model``, or ``model`` itself if it has none; and the names that it has for its stages."""
    backbone = getattr(model, "backbone", model)
    return backbone, getattr(backbone, "stage_names", {})


def group_squares(model: nn.Module) -> dict[str, Tensor]:
    """Per shared convolution the squared norms of its groups, (groups,), float64."""
    backbone, _ = _backbone_of(model)
    return {name: group_norms(weight.detach()).double().square() for name, weight in grouped_weights(backbone)}


def live_rms(model: nn.Module, before: Mapping[str, Tensor]) -> dict[str, float]:
    """Size of the groups that live, relative to what the same groups had before: 1 where they are as large as they were.

    Args:
        model: whose shared convolutions are looked at.
        before: what :func:`group_squares` gave then.

    Returns:
        The root mean square of the weights in live groups, divided by that of the same groups before: per stage, and of all
        layers under the empty name; NaN where no group lives. Weights that are zero now, as those of filters that nobody reads
        any more, do not count in the mean.
    """
    backbone, stage_names = _backbone_of(model)
    sums: dict[str, Tensor] = {}
    for name, parameter in grouped_weights(backbone):
        weight, then = parameter.detach(), before[name].to(parameter.device)
        live, now = live_groups(weight), group_norms(weight).double().square()
        left = weight.count_nonzero() / max(1, int(live.sum()) * group_size(weight))
        pair = torch.stack([now[live].sum(), then[live].sum() * left])
        for key in ("", stage_of(name, stage_names)):
            sums[key] = sums[key] + pair if key in sums else pair
    return {key: float((now / then).sqrt()) for key, (now, then) in sums.items()}


def live_mask(model: nn.Module) -> Tensor:
    """(groups,) bool of all shared convolutions, in network order: which groups live."""
    backbone, _ = _backbone_of(model)
    return torch.cat([live_groups(weight.detach()) for _, weight in grouped_weights(backbone)])


def sparsity_report(model: nn.Module) -> SparsityReport:
    """Count the zero groups of ``model.backbone`` (of ``model`` itself if it has none).

    A backbone's ``stage_names``, if it has such a mapping, says what the stage of a top-level module is called.

    Raises:
        ValueError: there is no convolution in it.
    """
    backbone, stage_names = _backbone_of(model)
    report = count_groups(grouped_weights(backbone), stage_names)
    if not report.layers:
        raise ValueError(f"{type(backbone).__name__} holds no convolution")
    return report


def count_groups(weights: Iterable[tuple[str, Tensor]], stage_names: Mapping[str, str] | None = None) -> SparsityReport:
    """Count the zero groups ``W[:, c]`` of weights (out, in, kh, kw), given with their layers' names."""
    layers = []
    for name, weight in weights:
        live = int(live_groups(weight.detach()).sum())
        layers.append(
            LayerSparsity(
                layer=name,
                stage=stage_of(name, stage_names or {}),
                groups=group_count(weight),
                zero_groups=group_count(weight) - live,
                group_size=group_size(weight),
            )
        )
    return SparsityReport(tuple(layers))
