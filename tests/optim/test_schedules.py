"""The penalty's strength over the epochs."""

import pytest
import torch
from torch import nn

from optim import GroupLasso, GroupMCP, LambdaSchedule, ProxAdam


def test_strength_is_zero_before_its_first_epoch_and_full_from_it_on() -> None:
    schedule = LambdaSchedule(1e-3, start=2)
    assert [schedule.at(epoch) for epoch in range(4)] == [0, 0, 1e-3, 1e-3]
    assert [schedule.is_full(epoch) for epoch in range(4)] == [False, False, True, True]


def test_without_a_start_it_is_full_at_once() -> None:
    assert LambdaSchedule(1e-3).at(0) == 1e-3
    assert LambdaSchedule(1e-3).is_full(0)


def test_a_dense_run_is_always_full() -> None:
    schedule = LambdaSchedule(0.0, start=5)
    assert schedule.is_full(0)
    assert schedule.at(9) == 0


@pytest.mark.parametrize("penalty", [GroupLasso(0.5), GroupMCP(0.5, gamma=7.0)])
def test_penalties_of_an_optimizer_get_the_strength_and_keep_the_rest(penalty: GroupLasso | GroupMCP) -> None:
    conv, linear = nn.Conv2d(2, 2, 1, bias=False), nn.Linear(2, 2)
    groups = [{"params": [conv.weight], "penalty": penalty}, {"params": list(linear.parameters())}]
    optimizer = ProxAdam(groups, lr=0.1)
    schedule = LambdaSchedule(0.25, start=1)
    schedule.apply(optimizer, 0)
    assert optimizer.param_groups[0]["penalty"] == penalty.with_strength(0.0)
    schedule.apply(optimizer, 1)
    assert optimizer.param_groups[0]["penalty"] == penalty.with_strength(0.25)
    assert optimizer.param_groups[1]["penalty"] is None


def test_weights_become_zero_only_once_the_penalty_acts() -> None:
    weight = nn.Parameter(torch.full((2, 3, 1, 1), 1e-3))
    optimizer = ProxAdam([weight], lr=1e-2, penalty=GroupLasso(0.0))
    schedule = LambdaSchedule(1e3, start=2)
    dead = []
    for epoch in range(3):
        schedule.apply(optimizer, epoch)
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        dead.append(bool((weight == 0).all()))
    assert dead == [False, False, True]
