"""Choice of the groups of weights that a step sets to zero, where a share of zeros is wanted (docs/math.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ZERO_FOR_GOOD = -math.inf
"""Stands for the critical lambda of a group that is zero whatever lambda is."""


@dataclass
class Aim:
    """Decision about one weight in a step that aims at a share of zero groups."""

    place: int
    """Number of the weight in its parameter group."""
    critical: Tensor
    """(groups,): the lambda that just sets each group to zero; minus or plus infinity where that is settled already."""
    largest: Tensor
    """Groups on the floor: the indices of those that stay, whatever lambda is."""
    dead: Tensor
    """(groups,) bool: what is to be zero."""


def settled(place: int, critical: Tensor, keep: Tensor | None, floor: int) -> Aim:
    """The aim at a weight in which what is settled already is marked: zeros that are final, and the floor.

    Args:
        place: of the weight in its parameter group.
        critical: (groups,), the lambda that just sets each group to zero.
        keep: (groups,), 0 for each group that is zero for good; None: there is none.
        floor: how many groups live on at least.
    """
    if keep is not None:
        critical = torch.where(keep > 0, critical, ZERO_FOR_GOOD)
    largest = critical.topk(min(floor, critical.numel())).indices
    return Aim(place, critical.index_fill(0, largest, math.inf), largest, torch.empty(0))


def select(aims: Sequence[Aim], removed: int, share: float) -> Tensor:
    """Find the lambda that sets ``share`` of all groups to zero now: a scalar tensor. Which groups those are, ``dead`` says.

    Args:
        aims: at least one.
        removed: groups that are gone from the network; they count as zero.
        share: in [0, 1].
    """
    # What is gone is zero already, whatever lambda is; what is on the floor stays.
    values = torch.cat([*(aim.critical for aim in aims), aims[0].critical.new_full((removed,), ZERO_FOR_GOOD)])
    spared = sum(aim.largest.numel() for aim in aims)
    count = min(round(share * values.numel()), values.numel() - spared)
    order = values.argsort(stable=True)
    dead = torch.zeros_like(values, dtype=torch.bool).index_fill_(0, order[:count], True)
    lambda_ = values.new_zeros(())
    if count:
        last = values[order[count - 1]].clamp_min(0.0)
        # The prox rounds another way than what is critical: a hair more, but not as far as the next group.
        room = 1e-4 * last
        if count < values.numel():
            room = torch.minimum(room, 0.5 * (values[order[count]].clamp_min(0.0) - last))
        lambda_ = last + room
    sizes = [aim.critical.numel() for aim in aims]
    for aim, part in zip(aims, dead[: sum(sizes)].split(sizes), strict=True):
        aim.dead = part
    return lambda_
