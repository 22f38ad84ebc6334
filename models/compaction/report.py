"""Report of a compaction, per layer and in total: plain numbers, before and after."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

COUNTED_ON = "meta"
"""The device of the network whose multiply-adds are counted: one on which nothing is computed, as wide as it may be."""


@dataclass(frozen=True)
class ParameterMap:
    """Part of a dense parameter that is left: numbers of its rows (dimension 0) and columns (dimension 1), in their new order.

    None: all of them, as they were.
    """

    rows: Tensor | None = None
    columns: Tensor | None = None

    def take(self, dense: Tensor) -> Tensor:
        """Return what is left of ``dense``: a parameter, or anything of its shape, such as its moments in an optimizer."""
        part = dense if self.rows is None else dense.index_select(0, self.rows.to(dense.device))
        return part if self.columns is None else part.index_select(1, self.columns.to(dense.device))

    def put(self, part: Tensor | None, dense: Tensor, gone: float = 0.0) -> None:
        """Write what is left of ``dense`` into it, the inverse of :meth:`take`; everything else becomes ``gone``.

        Args:
            part: as :meth:`take` gave it; None where nothing is left.
            dense: changed in place.
            gone: value of what is not in ``part``.
        """
        if part is not None and self.rows is None and self.columns is None:
            dense.copy_(part)
            return
        dense.fill_(gone)
        if part is None:
            return
        places = [slice(None) if kept is None else kept.to(dense.device) for kept in (self.rows, self.columns)]
        if self.rows is not None and self.columns is not None:
            places[0] = places[0][:, None]  # type: ignore[index]
        dense[tuple(places[: dense.ndim])] = part.to(dense)

    def mask(self, dense: Tensor) -> Tensor:
        """Shaped like ``dense``: 1 where it is left, else 0."""
        mask = torch.ones_like(dense)
        for dim, kept in enumerate((self.rows, self.columns)):
            if kept is not None:
                gone = torch.ones(dense.shape[dim], dtype=torch.bool, device=dense.device)
                gone[kept.to(dense.device)] = False
                mask.index_fill_(dim, gone.nonzero().flatten(), 0)
        return mask


@dataclass(frozen=True)
class LayerReport:
    """One convolution before and after. MACs are those of one image."""

    layer: str
    part: str
    """The stage, or ``heads.<task>``."""
    groups: int
    """Input channels of the dense convolution."""
    zero_groups: int
    channels_there: int
    """Channels of its input that are left, because it or others read them."""
    channels_read: int
    filters: int
    filters_removed: int
    reads: str
    """``all``, ``slice`` (the first ones), ``select`` (by index) or ``nothing`` (a constant)."""
    parameters: int
    parameters_left: int
    macs: int
    macs_left: int
    note: str
    """Why something stayed, or what became of it."""


@dataclass(frozen=True)
class CompactReport:
    """All convolutions that have groups, in network order, and totals."""

    layers: tuple[LayerReport, ...]
    image_size: tuple[int, int]
    totals: Mapping[str, Mapping[str, int]]
    """Per ``backbone`` and ``model``: groups, zero_groups, parameters, parameters_left, macs, macs_left. A bias and the
    numbers of a batch norm are parameters too."""
    maps: Mapping[str, ParameterMap] = field(repr=False)
    """By name, for every parameter of the dense model: which part of it is left. After folding (inference) it tells which
    filters and channels the folded weights are made of."""

    @property
    def filters_removed(self) -> int:
        """Filters that are gone, over all convolutions."""
        return sum(layer.filters_removed for layer in self.layers)

    def sizes(self, part: str) -> dict[str, float]:
        """Columns of tables: billions of multiply-adds per image and millions of parameters, as trained and compact.

        Args:
            part: ``backbone`` or ``model``.
        """
        total = self.totals[part]
        return {
            "dense_GMACs": total["macs"] / 1e9,
            "compact_GMACs": total["macs_left"] / 1e9,
            "dense_Mparameters": total["parameters"] / 1e6,
            "compact_Mparameters": total["parameters_left"] / 1e6,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One plain row per layer."""
        return [asdict(layer) for layer in self.layers]

    def summary(self) -> dict[str, Any]:
        """Plain numbers: the totals."""
        return {
            "image_size": list(self.image_size),
            "filters": sum(layer.filters for layer in self.layers),
            "filters_removed": self.filters_removed,
            "layers_that_select": sum(layer.reads == "select" for layer in self.layers),
            **{part: dict(numbers) for part, numbers in self.totals.items()},
        }


def count_macs(model: nn.Module, channels: int, image_size: tuple[int, int]) -> dict[str, int]:
    """Multiply-adds of one image, per module name; "" is the whole model. Counted by torch, without computing anything."""
    copied = copy.deepcopy(model).to(COUNTED_ON).eval()
    dtype = next(parameter.dtype for parameter in copied.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        copied(torch.zeros(1, channels, *image_size, device=COUNTED_ON, dtype=dtype))
    macs = {"": counter.get_total_flops() // 2}
    for name, operations in counter.get_flop_counts().items():
        if "." in name:
            macs[name.split(".", 1)[1]] = sum(operations.values()) // 2
    return macs


def count_parameters(module: nn.Module) -> int:
    """Numbers that are trained, or were before batch norm was folded; indices and running statistics are none."""
    return sum(parameter.numel() for parameter in module.parameters())
