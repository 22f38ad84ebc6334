"""Channels that are still needed, and where: the rules of removal, without touching a weight.

A zero group ``W[:, c]`` ignores whatever flows through channel c. So a channel may go if and only if every *later* reader
ignores it. The pass runs from the features back to the image, so that each convolution is judged by what remains of it: an
input channel that only feeds filters which nobody reads is ignored as well.

    reader                      ignores channel c if
    convolution                 W[rows, c] is zero for every filter (row) that is kept
    identity shortcut           the stream after the block does not need c
    a branch without any input  c is whatever it likes: the branch is a constant
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.compaction.anatomy import Anatomy, Block, Unit
from optim.groups import live_groups


@dataclass(frozen=True)
class Kept:
    """Remains of one convolution: numbers of its output channels (filters) and input channels, in their new order."""

    rows: Tensor
    columns: Tensor


@dataclass(frozen=True)
class Plan:
    """Remains of a backbone.

    Attributes:
        convs: by the convolution's name.
        points: the channels of the residual stream before each block, and of the features after the last: numbers in their
            new order. Within a stage those that are needed longest come first, so that the stream only ever loses its tail.
    """

    convs: Mapping[str, Kept]
    points: tuple[Tensor, ...]


@dataclass(frozen=True)
class Channels:
    """Channels of a backbone that are needed, as masks: the remains of :class:`Plan` before they are numbered.

    Attributes:
        points: (channels,) bool, of the residual stream before each block, and of the features after the last.
        rows: (filters,) bool, by the convolution's name.
        columns: (input channels,) bool, by the convolution's name.
    """

    points: tuple[Tensor, ...]
    rows: Mapping[str, Tensor]
    columns: Mapping[str, Tensor]


def plan_channels(anatomy: Anatomy, features: Tensor) -> Plan:
    """Apply the rules to a backbone.

    Args:
        anatomy: its convolutions with their weights.
        features: (F,) bool, True for each channel of the features that a head reads.
    """
    needed = needed_channels(anatomy, features, lambda unit, rows: live_groups(unit.conv.weight.detach()[rows]))
    return _ordered(anatomy, needed)


def needed_channels(anatomy: Anatomy, features: Tensor, read: Callable[[Unit, Tensor], Tensor]) -> Channels:
    """Apply the rules to a backbone whose live groups are known in another way than by its weights.

    Args:
        anatomy: says which convolution feeds which.
        features: (F,) bool, True for each channel of the features that a head reads.
        read: of a convolution and (filters,) bool, the ones that are kept: (input channels,) bool, what those do not ignore.
    """
    rows: dict[str, Tensor] = {}
    columns: dict[str, Tensor] = {}

    def keep(unit: Unit, needed: Tensor) -> Tensor:
        rows[unit.name] = needed
        columns[unit.name] = read(unit, needed)
        return columns[unit.name]

    points = [features]
    for block in reversed(anatomy.blocks):
        after = needed = points[0]
        for unit in reversed(block.branch):
            needed = keep(unit, needed)
        points.insert(0, needed | (after if block.shortcut is None else keep(block.shortcut, after)))
    needed = points[0]
    for unit in reversed(anatomy.stem):
        needed = keep(unit, needed)
    return Channels(tuple(points), rows, columns)


def feature_order(anatomy: Anatomy, points: Sequence[Tensor]) -> Tensor:
    """Return the numbers of the features that are left, in their new order."""
    return _numbers(points[-1], _stream_order(anatomy.blocks, points)[-1])


def _ordered(anatomy: Anatomy, needed: Channels) -> Plan:
    """Masks to numbers, with the channels of each segment of the stream sorted by their last reader."""
    points, rows, columns = needed.points, needed.rows, needed.columns
    order = _stream_order(anatomy.blocks, points)
    numbers = tuple(_numbers(mask, first) for mask, first in zip(points, order, strict=True))
    kept: dict[str, Kept] = {}
    for unit in anatomy.stem[:-1]:
        kept[unit.name] = Kept(_numbers(rows[unit.name]), _numbers(columns[unit.name]))
    last = anatomy.stem[-1]
    kept[last.name] = Kept(numbers[0], _numbers(columns[last.name]))
    for index, block in enumerate(anatomy.blocks):
        for unit in block.units:
            out = numbers[index + 1] if unit in (block.branch[-1], block.shortcut) else _numbers(rows[unit.name])
            read = order[index] if unit in (block.branch[0], block.shortcut) else None
            kept[unit.name] = Kept(out, _numbers(columns[unit.name], read))
    return Plan(kept, numbers)


def _stream_order(blocks: tuple[Block, ...], points: Sequence[Tensor]) -> list[Tensor]:
    """Per point, all channel numbers of its segment: those that are needed longest first, equals in their old order."""
    order: list[Tensor] = [torch.empty(0)] * len(points)
    end = len(blocks)
    while end >= 0:
        start = end
        while start > 0 and blocks[start - 1].shortcut is None:
            start -= 1
        uses = torch.stack(tuple(points[start : end + 1])).sum(0)
        order[start : end + 1] = [torch.argsort(uses, descending=True, stable=True)] * (end + 1 - start)
        end = start - 1
    return order


def _numbers(mask: Tensor, order: Tensor | None = None) -> Tensor:
    """Numbers of the True entries, in their old order or in ``order`` (all numbers, new order)."""
    return mask.nonzero().flatten() if order is None else order[mask[order]]
