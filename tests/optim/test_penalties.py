"""Penalties: their value is the sum over ``W[:, c]``, and their prox is the column-wise one."""

import math

import pytest
import torch
from torch import Tensor

from optim import PENALTIES, GroupLasso, GroupMCP, Penalty
from optim.penalties import penalty_from_state
from optim.proximal import prox_group_lasso, prox_group_mcp

BOTH = [GroupLasso(0.03), GroupMCP(0.03, gamma=4.0)]


@pytest.fixture
def weight() -> Tensor:
    """(6, 5, 3, 2): group norms from 0 to beyond the flat part of the MCP of these tests (4 * 0.03 * 6 = 0.72)."""
    scales = torch.tensor([0.0, 0.01, 0.05, 0.1, 1.0])
    return torch.randn(6, 5, 3, 2, generator=torch.Generator().manual_seed(0)) * scales[:, None, None]


def _value_of_group(penalty: Penalty, norm: float, size: int) -> float:
    strength = penalty.lambda_ * math.sqrt(size)
    if isinstance(penalty, GroupMCP):
        if norm > penalty.gamma * strength:
            return penalty.gamma * strength**2 / 2
        return strength * norm - norm**2 / (2 * penalty.gamma)
    return strength * norm


@pytest.mark.parametrize("penalty", BOTH)
def test_value_is_the_sum_over_the_input_channels(penalty: Penalty, weight: Tensor) -> None:
    expected = 0.0
    for c in range(weight.shape[1]):
        group = weight[:, c].double()
        expected += _value_of_group(penalty, float(group.norm()), group.numel())
    assert float(penalty.value(weight)) == pytest.approx(expected, rel=1e-6)


def test_mcp_is_met_on_both_of_its_parts(weight: Tensor) -> None:
    norms = weight.double().pow(2).sum(dim=(0, 2, 3)).sqrt()
    assert 0 < int((norms > 4.0 * 0.03 * 6).sum()) < len(norms) - 1


@pytest.mark.parametrize("penalty", BOTH)
def test_prox_of_a_weight_is_that_of_each_input_channel(penalty: Penalty, weight: Tensor) -> None:
    metric = 10.0 ** torch.empty_like(weight).uniform_(-3, 0, generator=torch.Generator().manual_seed(1))
    lr, strength = 0.2, 0.03 * 6
    got = penalty.prox(weight, metric, lr)
    assert got.shape == weight.shape
    for c in range(weight.shape[1]):
        x, d = weight[:, c].reshape(-1, 1), metric[:, c].reshape(-1, 1)
        if isinstance(penalty, GroupMCP):
            expected = prox_group_mcp(x, d, lr, strength, penalty.gamma)
        else:
            expected = prox_group_lasso(x, d, lr * strength)
        torch.testing.assert_close(got[:, c].reshape(-1, 1), expected, rtol=1e-5, atol=0)
    live = got.abs().sum(dim=(0, 2, 3)) > 0
    assert live.any()
    assert not live[1:].all()


@pytest.mark.parametrize("penalty", BOTH)
def test_memory_layout_changes_nothing(penalty: Penalty, weight: Tensor) -> None:
    metric = torch.rand(weight.shape, generator=torch.Generator().manual_seed(2)) + 0.01
    last_weight, last_metric = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (weight, metric))
    expected = penalty.prox(weight, metric, 0.01)
    for one, other in ((last_weight, last_metric), (last_weight, metric), (weight, last_metric)):
        torch.testing.assert_close(penalty.prox(one, other, 0.01), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(penalty.value(last_weight), penalty.value(weight))


@pytest.mark.parametrize("penalty", BOTH)
def test_prox_lowers_what_it_should_minimise(penalty: Penalty, weight: Tensor) -> None:
    """Ties ``prox`` to ``value``: the same lambda_g in both."""
    weight = weight.double()
    metric = torch.rand(weight.shape, generator=torch.Generator().manual_seed(3)).double() + 0.1
    lr = 0.3

    def objective(z: Tensor) -> float:
        return float(0.5 * (metric * (z - weight) ** 2).sum() + lr * penalty.value(z))

    z = penalty.prox(weight, metric, lr)
    # Scaling the groups one by one tests the strength of each.
    for c in range(weight.shape[1]):
        for factor in (0.0, 0.9, 0.999, 1.001, 1.1):
            other = z.clone()
            other[:, c] *= factor
            assert objective(z) <= objective(other) + 1e-12
        other = z.clone()
        other[:, c] = weight[:, c]
        assert objective(z) <= objective(other) + 1e-12


@pytest.mark.parametrize("lambda_", [-1e-9, float("nan"), float("inf")])
@pytest.mark.parametrize("penalty", [GroupLasso, GroupMCP])
def test_an_impossible_lambda_is_refused_with_its_value(penalty: type[Penalty], lambda_: float) -> None:
    with pytest.raises(ValueError, match=f"lambda_ must be a finite number >= 0, got {lambda_}"):
        penalty(lambda_)


@pytest.mark.parametrize("gamma", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_gamma_is_refused_with_its_value(gamma: float) -> None:
    with pytest.raises(ValueError, match=f"gamma must be a finite number > 0, got {gamma}"):
        GroupMCP(0.1, gamma)


def test_strength_can_be_changed_but_not_in_place() -> None:
    penalty = GroupMCP(0.1, gamma=5.0)
    assert penalty.with_strength(0.2) == GroupMCP(0.2, gamma=5.0)
    assert penalty.lambda_ == 0.1
    with pytest.raises(ValueError, match="-1"):
        penalty.with_strength(-1.0)


@pytest.mark.parametrize("penalty", BOTH)
def test_state_is_plain_and_gives_the_penalty_back(penalty: Penalty) -> None:
    state = penalty.state()
    assert all(type(value) in (str, float) for value in state.values())
    assert penalty_from_state(state) == penalty


def test_penalties_are_known_by_the_names_of_the_configuration() -> None:
    assert (PENALTIES["l1_l2"], PENALTIES["group_mcp"]) == (GroupLasso, GroupMCP)
