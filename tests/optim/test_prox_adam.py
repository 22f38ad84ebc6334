"""ProxAdam on single weights: dead groups, layouts, states of others, and what it refuses."""

import copy
import math

import pytest
import torch
from torch import nn

from optim import GroupLasso, GroupMCP, Penalty, ProxAdam


@pytest.mark.parametrize("lr", [1e-4, 1e-1])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_dead_group_stays_dead_up_to_its_lambda_whatever_the_learning_rate(lr: float, weight_decay: float) -> None:
    """It revives as soon as the averaged gradient is longer than lambda_g = lambda sqrt(group size)."""
    weight = nn.Parameter(torch.zeros(4, 2, 3, 3, dtype=torch.float64))
    lambda_g = 0.5 * math.sqrt(36)
    direction = torch.randn(weight.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    direction /= torch.linalg.vector_norm(direction, dim=(0, 2, 3), keepdim=True)
    lengths = torch.tensor([0.999, 1.001], dtype=torch.float64)[:, None, None] * lambda_g
    optimizer = ProxAdam([weight], lr=lr, weight_decay=weight_decay, penalty=GroupLasso(0.5))
    for _ in range(5):
        weight.grad = lengths * direction
        optimizer.step()
        assert (weight[:, 0] == 0).all()
        assert (weight[:, 1] != 0).all()


def test_a_learning_rate_of_zero_changes_nothing() -> None:
    weight = nn.Parameter(torch.ones(2, 2, 1, 1))
    optimizer = ProxAdam([weight], lr=0.0, penalty=GroupLasso(1e3))
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert (weight == 1).all()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("penalty", [GroupLasso(1e-2), GroupMCP(1e-2)])
def test_memory_layout_is_kept_and_does_not_change_the_result(layout: torch.memory_format, penalty: Penalty) -> None:
    torch.manual_seed(0)
    values, gradient = torch.randn(6, 4, 3, 3), torch.randn(6, 4, 3, 3)
    weight = nn.Parameter(values.clone(memory_format=layout))
    address = weight.data_ptr()
    optimizer = ProxAdam([weight], lr=1e-2, penalty=penalty)
    weight.grad = gradient.clone(memory_format=layout)
    optimizer.step()
    assert weight.is_contiguous(memory_format=layout)
    assert weight.data_ptr() == address
    expected = nn.Parameter(values.clone())
    plain = ProxAdam([expected], lr=1e-2, penalty=penalty)
    expected.grad = gradient
    plain.step()
    torch.testing.assert_close(weight.detach().contiguous(), expected.detach())


def test_a_penalty_on_a_parameter_without_groups_is_refused() -> None:
    linear = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"convolution weights \(4-D\) only, got a parameter of shape \(2,\)"):
        ProxAdam([nn.Parameter(torch.ones(1, 1, 1, 1)), linear.bias], penalty=GroupLasso(0.1))
    optimizer = ProxAdam([linear.bias])
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        optimizer.add_param_group({"params": [linear.weight], "penalty": GroupLasso(0.0)})
    assert len(optimizer.param_groups) == 1  # the refused group is not half there


def test_something_else_than_a_penalty_is_refused() -> None:
    with pytest.raises(TypeError, match=r"optim\.Penalty or None, got float"):
        ProxAdam([nn.Parameter(torch.ones(1, 1, 1, 1))], penalty=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["lr", "eps", "weight_decay"])
@pytest.mark.parametrize("value", [-1e-3, float("nan"), float("inf")])
def test_impossible_settings_are_refused_with_name_and_value(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a finite number >= 0, got {value}"):
        ProxAdam([nn.Parameter(torch.ones(1))], **{name: value})


def test_impossible_betas_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1\.0"):
        ProxAdam([nn.Parameter(torch.ones(1))], betas=(0.9, 1.0))


def test_the_state_of_plain_adamw_can_be_loaded_and_the_penalty_stays() -> None:
    weight = torch.nn.Parameter(torch.randn(3, 2, 1, 1))
    plain = torch.optim.AdamW([weight], lr=0.1)
    weight.grad = torch.ones_like(weight)
    plain.step()
    ours = ProxAdam([{"params": [weight], "penalty": GroupLasso(0.5)}], lr=0.2)
    ours.load_state_dict(plain.state_dict())
    assert ours.param_groups[0]["penalty"] == GroupLasso(0.5)
    assert ours.param_groups[0]["lr"] == 0.1
    assert torch.equal(ours.state[weight]["exp_avg_sq"], plain.state[weight]["exp_avg_sq"])


def test_a_copied_optimizer_takes_new_groups() -> None:
    ours = copy.deepcopy(ProxAdam([torch.nn.Parameter(torch.randn(3, 2, 1, 1))], penalty=GroupLasso(0.5)))
    ours.add_param_group({"params": [torch.nn.Parameter(torch.randn(2, 2, 1, 1))]})
    assert ours.param_groups[1]["penalty"] == GroupLasso(0.5)


@pytest.mark.parametrize("penalty", [GroupLasso(0.5), GroupMCP(0.5, 3.0)])
def test_prox_takes_a_parameter_and_shows_a_nan(penalty: Penalty) -> None:
    weight = torch.nn.Parameter(torch.randn(3, 2, 1, 1))
    assert not penalty.prox(weight, torch.ones(3, 2, 1, 1), 0.1).requires_grad
    with torch.no_grad():
        weight[1, 0] = torch.nan
    result = penalty.prox(weight, torch.ones(3, 2, 1, 1), 0.1)
    assert result[:, 0].isnan().any()
    assert result[:, 1].isfinite().all()
