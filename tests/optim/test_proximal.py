"""Proximal operators: optimality conditions, thresholds and closed forms. ``test_prox_oracle.py`` compares whole solutions."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from optim.proximal import prox_group_lasso, prox_group_mcp


def _problem(seed: int, size: int, groups: int, span: float, x_scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """x and d, both (size, groups) float64; d lies in [10**-span, 1] and reaches 1 in each group of several."""
    rng = np.random.default_rng(seed)
    x = x_scale * rng.normal(size=(size, groups))
    d = 10.0 ** rng.uniform(-span, 0, size=(size, groups))
    if size > 1:
        d[rng.integers(size, size=groups), range(groups)] = 1.0
    return torch.from_numpy(x), torch.from_numpy(d)


def _gradient_norms(x: Tensor, d: Tensor) -> Tensor:
    """||d x|| of every column: the threshold from which the prox is zero."""
    return (d * x).double().norm(dim=0)


# Group lasso


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 40),
    span=st.floats(0, 10),
    share=st.floats(1e-12, 0.999999),
    x_scale=st.sampled_from([1e-12, 1e-3, 1.0, 1e6]),
)
def test_the_subgradient_vanishes_where_a_group_is_live(
    seed: int, size: int, span: float, share: float, x_scale: float
) -> None:
    """d (x - z) = threshold z / ||z||, each component to 1e-11 of d x, although d spans up to ten decades."""
    x, d = _problem(seed, size, 3, span, x_scale)
    threshold = share * _gradient_norms(x, d)
    z = prox_group_lasso(x, d, threshold)
    norms = z.norm(dim=0)
    assert (norms > 0).all()
    residual = d * (x - z) - threshold * z / norms
    assert (residual.abs() <= 1e-11 * (d * x).abs() + 1e-300).all()


@settings(max_examples=80)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 40), span=st.floats(0, 8), single=st.booleans())
def test_a_group_is_zero_exactly_from_the_norm_of_d_x_on(seed: int, size: int, span: float, single: bool) -> None:
    dtype, slack = (torch.float32, 1e-5) if single else (torch.float64, 1e-13)
    x, d = (tensor.to(dtype) for tensor in _problem(seed, size, 2, span))
    norms = _gradient_norms(x, d).to(dtype)
    assert (prox_group_lasso(x, d, norms * (1 + slack)) == 0).all()
    assert (prox_group_lasso(x, d, norms * (1 - slack)).norm(dim=0) > 0).all()


def test_constant_metric_has_the_closed_form() -> None:
    x, _ = _problem(0, 7, 5, 0.0)
    d, threshold = torch.full_like(x, 0.3), 0.2
    expected = x * (1 - threshold / 0.3 / x.norm(dim=0)).clamp_min(0)
    torch.testing.assert_close(prox_group_lasso(x, d, threshold), expected, rtol=1e-13, atol=0)


def test_a_group_of_one_weight_is_soft_thresholded() -> None:
    x, d = _problem(1, 1, 200, 3.0)
    threshold = 0.05
    expected = x.sign() * (x.abs() - threshold / d).clamp_min(0)
    torch.testing.assert_close(prox_group_lasso(x, d, threshold), expected, rtol=1e-12, atol=1e-15)
    assert 20 < (expected == 0).sum() < 180  # both sides of the threshold occur


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("prox", [prox_group_lasso, lambda x, d, strength: prox_group_mcp(x, d, 1.0, strength, 1e4)])
def test_strength_zero_returns_x_itself_also_beside_other_strengths(prox: Callable[..., Tensor], dtype: torch.dtype) -> None:
    x, d = (tensor.to(dtype) for tensor in _problem(2, 9, 3, 8.0))
    assert torch.equal(prox(x, d, 0.0), x)
    z = prox(x, d, torch.tensor([0.0, 0.01, 1e9], dtype=dtype))
    assert torch.equal(z[:, 0], x[:, 0])
    assert not torch.equal(z[:, 1], x[:, 1])
    assert (z[:, 2] == 0).all()


def test_each_group_is_solved_for_itself() -> None:
    x, d = _problem(5, 12, 7, 5.0)
    threshold = torch.tensor([0.5, 1e-6, 0.0, 2.0, 0.9, 1e3, 0.1], dtype=torch.float64) * _gradient_norms(x, d)
    together = prox_group_lasso(x, d, threshold)
    for column in range(7):
        alone = prox_group_lasso(x[:, [column]], d[:, [column]], threshold[[column]])
        torch.testing.assert_close(together[:, [column]], alone, rtol=1e-13, atol=0)


# Group MCP


def test_a_group_of_one_weight_is_firmly_thresholded() -> None:
    """The scalar prox of MCP where it is convex (d > step / gamma): zero, then a line of slope > 1, then x."""
    x, _ = _problem(6, 1, 300, 0.0)
    d, step, strength, gamma = 0.8, 0.5, 0.6, 2.0
    z = prox_group_mcp(x, torch.full_like(x, d), step, strength, gamma)
    line = x.sign() * (d * x.abs() - step * strength).clamp_min(0) / (d - step / gamma)
    expected = torch.where(x.abs() >= gamma * strength, x, line)
    torch.testing.assert_close(z, expected, rtol=1e-12, atol=1e-14)
    assert all(part.any() for part in (z == 0, z == x, (z != 0) & (z != x)))


def test_a_group_of_one_weight_is_hard_thresholded_where_the_problem_is_concave() -> None:
    """With d < step / gamma only 0 and x remain; x wins above sqrt(step gamma / d) strength."""
    x = torch.linspace(0.01, 6, 400, dtype=torch.float64)[None]
    d, step, strength, gamma = 0.1, 0.5, 0.6, 2.0
    z = prox_group_mcp(x, torch.full_like(x, d), step, strength, gamma)
    expected = torch.where(x > strength * (step * gamma / d) ** 0.5, x, 0.0)
    assert torch.equal(z, expected)
    assert (z == 0).any()
    assert (z == x).any()


def test_an_infinite_gamma_is_the_group_lasso() -> None:
    x, d = _problem(7, 15, 10, 4.0)
    shares = torch.linspace(0.01, 1.2, 10, dtype=torch.float64)
    step = 0.01
    strength = shares * _gradient_norms(x, d) / step
    z = prox_group_mcp(x, d, step, strength, 1e14)
    torch.testing.assert_close(z, prox_group_lasso(x, d, step * strength), rtol=1e-9, atol=1e-12)
