"""Proximal operators by their definition: nothing beats the point that they return.

Everything is judged in float64, by the objective and by a search that shares no equation with the code.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from optim.proximal import prox_group_lasso, prox_group_mcp

Value = Callable[[np.ndarray], np.ndarray]
"""The penalty as a function of the norm."""

SPANS = (0.0, 1.0, 4.0, 8.0)
"""Decades that the metric of a group spans: Adam's is about 1e-8 for a weight without gradient."""


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


def _lasso(threshold: float) -> Value:
    return lambda norm: threshold * norm


def _mcp(step: float, strength: float, gamma: float) -> Value:
    flat_from = gamma * strength
    return lambda norm: step * np.where(norm <= flat_from, strength * norm - norm**2 / (2 * gamma), gamma * strength**2 / 2)


def _objective(z: np.ndarray, x: np.ndarray, d: np.ndarray, value: Value) -> np.ndarray:
    """1/2 (z - x)' diag(d) (z - x) + value(||z||) of many z (n, many); x and d are (n,)."""
    return 0.5 * (d[:, None] * (z - x[:, None]) ** 2).sum(0) + value(np.linalg.norm(z, axis=0))


def _candidates(z: np.ndarray, x: np.ndarray, d: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, many) points among which the minimiser must not be beaten.

    Of all z with one norm, the quadratic is least at (D + mu)^-1 D x for some mu > -min d: whatever the penalty of the
    norm is, the minimiser lies on that curve. Its points, multiples of x and z, and points around z are tried.
    """
    shifts = np.concatenate([np.logspace(-14, 14, 2001), [0.0]])
    curve = [(d * x)[:, None] / (d[:, None] + mu[None]) for mu in (shifts, -d.min() * (1 - np.logspace(-8, 0, 400)))]
    factors = np.concatenate([np.linspace(0, 1.5, 301), 1 + np.logspace(-8, -1, 30), 1 - np.logspace(-8, -1, 30)])
    around = rng.normal(size=(len(z), 600)) * (np.abs(x) + 1e-30)[:, None] * np.logspace(-7, 0, 600)
    one_by_one = np.diag(np.abs(x) + 1e-30)
    steps = [size * one_by_one for size in (1e-5, -1e-5, 1e-2, -1e-2)]
    return np.concatenate(
        [
            *curve,
            factors * x[:, None],
            factors * z[:, None],
            z[:, None] + around,
            *(z[:, None] + step for step in steps),
        ],
        axis=1,
    )


def _assert_minimises(z: Tensor, x: Tensor, d: Tensor, values: list[Value], rounding: float) -> None:
    """Per column, no candidate has a smaller objective than ``z``, up to ``rounding`` times the objective at 0."""
    rng = np.random.default_rng(0)
    for column, value in enumerate(values):
        point, center, metric = (tensor[:, column].double().numpy() for tensor in (z, x, d))
        assert np.isfinite(point).all()
        reached = _objective(point[:, None], center, metric, value)[0]
        best = _objective(_candidates(point, center, metric, rng), center, metric, value).min()
        scale = _objective(np.zeros((len(point), 1)), center, metric, value)[0]
        assert reached <= best + rounding * scale, f"column {column}: {reached} is more than {best}"


# Group lasso


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
@pytest.mark.parametrize("span", SPANS)
def test_nothing_beats_the_group_lasso_point(span: float, dtype: torch.dtype, rounding: float) -> None:
    size = {0.0: 1, 1.0: 2, 4.0: 30, 8.0: 3}[span]
    x, d = (tensor.to(dtype) for tensor in _problem(size, size, 8, span))
    shares = torch.tensor([1e-8, 1e-3, 0.1, 0.5, 0.9, 0.9999, 1.1, 1e6], dtype=torch.float64)
    threshold = (shares * _gradient_norms(x, d)).to(dtype)
    z = prox_group_lasso(x, d, threshold)
    _assert_minimises(z, x, d, [_lasso(t) for t in threshold.tolist()], rounding)


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
def test_threshold_zero_returns_x_itself_also_beside_other_thresholds(dtype: torch.dtype) -> None:
    x, d = (tensor.to(dtype) for tensor in _problem(2, 9, 3, 8.0))
    assert torch.equal(prox_group_lasso(x, d, 0.0), x)
    z = prox_group_lasso(x, d, torch.tensor([0.0, 0.01, 1e9], dtype=dtype))
    assert torch.equal(z[:, 0], x[:, 0])
    assert not torch.equal(z[:, 1], x[:, 1])
    assert (z[:, 2] == 0).all()


def _extremes(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Columns that invite 0/0, underflow and overflow: zero, tiny, huge, one live weight among dead ones."""
    smallest, largest = (1e-30, 1e15) if dtype == torch.float32 else (1e-150, 1e100)
    rows = torch.tensor([[0, smallest, largest, 1.0, 1.0], [0, -smallest, 1.0, 0.0, 1e-20]], dtype=dtype)
    metric = torch.tensor([[1e-8, 1e-8, 1, 1e-8, 1], [1.0, 1e-8, 1e-8, 1, 1e-8]], dtype=dtype)
    return rows, metric, (metric * rows).norm(dim=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("threshold", [0.0, 1e-38, 1e-9, 1.0, 1e30])
def test_extreme_numbers_give_no_nan_and_never_grow(threshold: float, dtype: torch.dtype) -> None:
    x, d, _ = _extremes(dtype)
    for z in (prox_group_lasso(x, d, threshold), prox_group_mcp(x, d, 1e-3, threshold, 3.0)):
        assert z.isfinite().all()
        assert (z.abs() <= x.abs()).all()
        assert (z * x >= 0).all()
        assert (z[:, 0] == 0).all()


def test_each_group_is_solved_for_itself() -> None:
    x, d = _problem(5, 12, 7, 5.0)
    threshold = torch.tensor([0.5, 1e-6, 0.0, 2.0, 0.9, 1e3, 0.1], dtype=torch.float64) * _gradient_norms(x, d)
    together = prox_group_lasso(x, d, threshold)
    for column in range(7):
        alone = prox_group_lasso(x[:, [column]], d[:, [column]], threshold[[column]])
        torch.testing.assert_close(together[:, [column]], alone, rtol=1e-13, atol=0)


# Group MCP

CONVEX, MIXED = (1e-4, 50.0), (0.5, 3.0)
"""(step, gamma): step / gamma below every d of two decades, and in the middle of them."""


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
@pytest.mark.parametrize(("step", "gamma"), [CONVEX, MIXED, (10.0, 1.5)])
def test_nothing_beats_the_group_mcp_point(step: float, gamma: float, dtype: torch.dtype, rounding: float) -> None:
    """Also where the problem is not convex: with d <= step / gamma there are several local minima."""
    kinds = set()
    for seed, (size, span) in enumerate([(1, 0.0), (3, 1.0), (3, 8.0), (20, 4.0)]):
        x, d = (tensor.to(dtype) for tensor in _problem(seed, size, 8, span))
        # The norm at which the penalty becomes flat lies below, around and above the norm of x.
        shares = torch.tensor([0.01, 0.3, 0.7, 0.95, 1.05, 1.5, 4.0, 1e3], dtype=torch.float64)
        strength = (shares * x.double().norm(dim=0) / gamma).to(dtype)
        z = prox_group_mcp(x, d, step, strength, gamma)
        _assert_minimises(z, x, d, [_mcp(step, s, gamma) for s in strength.tolist()], rounding)
        for z_column, x_column in zip(z.T, x.T, strict=True):
            kinds.add("zero" if not z_column.any() else "x" if torch.equal(z_column, x_column) else "inside")
    assert kinds == {"zero", "x", "inside"} or (step, gamma) != MIXED


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_strength_zero_returns_x_itself(dtype: torch.dtype) -> None:
    x, d = (tensor.to(dtype) for tensor in _problem(8, 9, 2, 8.0))
    assert torch.equal(prox_group_mcp(x, d, 0.1, 0.0, 3.0), x)
    z = prox_group_mcp(x, d, 0.1, torch.tensor([0.0, 1e6], dtype=dtype), 3.0)
    assert torch.equal(z[:, 0], x[:, 0])
    assert (z[:, 1] == 0).all()
