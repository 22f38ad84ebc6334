"""Choice of the groups of weights that a step sets to zero, where a share of zeros or of costs is wanted (docs/math.md)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

ZERO_FOR_GOOD = -math.inf
"""Stands for the critical lambda of a group that is zero whatever lambda is."""

BUDGET_TOLERANCE = 0.01
"""Part of a budget that may be left unused before a group whose death saves too much is spared."""
MOST_SPARED = 32
"""Groups that are spared in one step at most."""

CostShare = Callable[[Sequence[Tensor]], float]
"""Share of the whole network's cost that is left if the marked groups die too: one (groups,) bool per weight, on the CPU."""


class Count(NamedTuple):
    """Costs of the groups of some weights."""

    left: CostShare
    prices: Sequence[float]
    """Per weight the cost of one of its groups alone: of its column in the filters that are left now; above 0, in any unit."""


Counter = Callable[[Sequence[Tensor]], Count]
"""Takes the weights whose groups may die."""


class Budget(NamedTuple):
    """Share of the cost of a network that may be left after a step."""

    share: float
    """At most this, in [0, 1]."""
    counter: Counter


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


def select(aims: Sequence[Aim], removed: int, share: float, cost: CostShare | None = None) -> Tensor:
    """Find the lambda that sets ``share`` of all groups to zero now: a scalar tensor. Which groups those are, ``dead`` says.

    Args:
        aims: at least one.
        removed: groups that are gone from the network; they count as zero.
        share: in [0, 1].
        cost: None, or what counts the cost that is left: then the fewest groups die with which that is ``share`` at most.
    """
    # What is gone is zero already, whatever lambda is; what is on the floor stays.
    values = torch.cat([*(aim.critical for aim in aims), aims[0].critical.new_full((removed,), ZERO_FOR_GOOD)])
    spared = sum(aim.largest.numel() for aim in aims)
    sizes = [aim.critical.numel() for aim in aims]
    order = values.argsort(stable=True)
    most = values.numel() - spared
    if cost is None:
        chosen = order[: min(round(share * values.numel()), most)]
    else:
        settled_count = min(int((values == ZERO_FOR_GOOD).sum()), most)
        chosen = _fewest(order[:most].cpu(), settled_count, sizes, share, cost).to(order.device)
    dead = torch.zeros_like(values, dtype=torch.bool).index_fill_(0, chosen, True)
    lambda_ = values.new_zeros(())
    if len(chosen):
        last = values[chosen[-1]].clamp_min(0.0)
        # The prox rounds another way than what is critical: a hair more, but not as far as the next group.
        room = 1e-4 * last
        if len(chosen) < values.numel():
            room = torch.minimum(room, 0.5 * (values[order[len(chosen)]].clamp_min(0.0) - last)).clamp_min(0.0)
        lambda_ = last + room
    for aim, part in zip(aims, dead[: sum(sizes)].split(sizes), strict=True):
        aim.dead = part
    return lambda_


def _fewest(order: Tensor, least: int, sizes: Sequence[int], share: float, cost: CostShare) -> Tensor:
    """Return the shortest beginning of ``order`` that leaves a cost of ``share`` at most; all of it if none does.

    A group whose death alone saves more than ``BUDGET_TOLERANCE`` of the share too much is left out, if others can do.

    Args:
        order: numbers of the groups that may die, in the order in which they die.
        least: how many are zero in any case.
        sizes: groups per weight.
        share: in [0, 1].
        cost: counts what is left.
    """

    def left(count: int) -> float:
        dead = torch.zeros(max(int(order.max()) + 1, sum(sizes)), dtype=torch.bool)
        return cost(dead.index_fill_(0, order[:count], True)[: sum(sizes)].split(list(sizes)))

    first = None
    for _ in range(MOST_SPARED):
        low, high = least, len(order)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if left(middle) <= share else (middle + 1, high)
        chosen, reached = order[:high], left(high)
        first = chosen if first is None else first
        if reached > share:
            break
        if high == least or reached >= (1 - BUDGET_TOLERANCE) * share:
            return chosen
        least, order = high - 1, torch.cat([order[: high - 1], order[high:]])
    return order[:0] if first is None else first
