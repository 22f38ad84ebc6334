"""ProxAdam is AdamW and then the exact prox in Adam's metric: nothing less, nothing more."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import brentq
from torch import Tensor, nn

from optim import GroupLasso, GroupMCP, Penalty, ProxAdam

SETTINGS: dict[str, Any] = {"lr": 3e-3, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}


def _network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


def _groups(network: nn.Module, penalty: Penalty | None) -> list[dict[str, Any]]:
    """Convolutions with the penalty, all else without; two learning rates."""
    convs = [parameter for parameter in network.parameters() if parameter.ndim == 4]
    others = [parameter for parameter in network.parameters() if parameter.ndim != 4]
    return [{"params": convs, "penalty": penalty}, {"params": others, "lr": 1e-2}]


def _train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        images = torch.randn(4, 3, 8, 8, generator=generator)
        labels = torch.randint(4, (4,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()


def _assert_equal(first: nn.Module, second: nn.Module) -> None:
    for (name, left), right in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(left, right), name


class _Reference:
    """The algorithm in float64, one group at a time, with a bracketing root search in place of Newton."""

    def __init__(self, weight: Tensor, penalty: Penalty, lr: float, weight_decay: float) -> None:
        self.w = weight.detach().double().numpy().copy()
        self.m, self.v, self.t = np.zeros_like(self.w), np.zeros_like(self.w), 0
        self.penalty, self.lr, self.weight_decay = penalty, lr, weight_decay

    def step(self, gradient: Tensor) -> None:
        g = gradient.double().numpy()
        beta1, beta2 = SETTINGS["betas"]
        self.t += 1
        self.m = beta1 * self.m + (1 - beta1) * g
        self.v = beta2 * self.v + (1 - beta2) * g * g
        d = np.sqrt(self.v / (1 - beta2**self.t)) + SETTINGS["eps"]
        x = self.w * (1 - self.lr * self.weight_decay) - self.lr * self.m / (1 - beta1**self.t) / d
        strength = self.penalty.lambda_ * math.sqrt(self.w[:, 0].size)
        for c in range(self.w.shape[1]):
            self.w[:, c] = self._prox(x[:, c], d[:, c], strength)

    def _prox(self, x: np.ndarray, d: np.ndarray, strength: float) -> np.ndarray:
        """The penalty's gradient at norm r is (strength / r - bend) z: solve (d + mu) z = d x with ||z|| = r."""
        bend = 1 / self.penalty.gamma if isinstance(self.penalty, GroupMCP) else 0.0
        flat_from = strength / bend if bend else math.inf
        if np.linalg.norm(d * x) <= self.lr * strength:
            return np.zeros_like(x)
        if np.linalg.norm(x) >= flat_from:
            return x

        def point(r: float) -> np.ndarray:
            return d * x / (d + self.lr * (strength / r - bend))

        r = brentq(lambda r: np.linalg.norm(point(r)) - r, 1e-14, np.linalg.norm(x), xtol=1e-16, rtol=1e-14)
        return point(r)


@pytest.mark.parametrize("penalty", [GroupLasso(0.2), GroupMCP(0.2, gamma=100.0)])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-9), (torch.float32, 2e-4)])
@pytest.mark.parametrize("fused", [None, True])
def test_steps_equal_a_straightforward_float64_implementation(
    penalty: Penalty, dtype: torch.dtype, rtol: float, fused: bool | None
) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(0.05 * torch.randn(6, 5, 3, 3, dtype=dtype))
    scales = torch.tensor([1e-2, 0.1, 1.0, 3.0, 10.0], dtype=dtype)[:, None, None]
    lr, weight_decay = 1e-2, 0.1
    optimizer = ProxAdam(
        [weight], lr, SETTINGS["betas"], SETTINGS["eps"], weight_decay=weight_decay, penalty=penalty, fused=fused
    )
    reference = _Reference(weight, penalty, lr, weight_decay)
    for _ in range(4):
        weight.grad = scales * torch.randn(weight.shape, dtype=dtype)
        optimizer.step()
        reference.step(weight.grad)
        np.testing.assert_allclose(weight.detach().numpy(), reference.w, rtol=rtol, atol=rtol * 1e-3)
    dead = [bool((weight[:, c] == 0).all()) for c in range(5)]
    assert any(dead)
    assert not all(dead)


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


@pytest.mark.parametrize("penalty", [None, GroupLasso(3e-3), GroupMCP(3e-3, gamma=30.0)])
def test_training_goes_on_from_a_saved_state_as_if_nothing_had_happened(penalty: Penalty | None, tmp_path: Path) -> None:
    network = _network()
    optimizer = ProxAdam(_groups(network, penalty), **SETTINGS)
    _train(network, optimizer, range(5))
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    assert optimizer.param_groups[0]["penalty"] == penalty  # saving changes nothing
    _train(network, optimizer, range(5, 10))

    state = torch.load(tmp_path / "state.pt", weights_only=True)
    again = _network(seed=1)
    # Whatever the new optimizer was made with, the saved settings win.
    resumed = ProxAdam(_groups(again, GroupLasso(77.0)), lr=1.0)
    again.load_state_dict(state["network"])
    resumed.load_state_dict(state["optimizer"])
    assert resumed.param_groups[0]["penalty"] == penalty
    _train(again, resumed, range(5, 10))
    _assert_equal(again, network)


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
