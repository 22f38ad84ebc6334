"""The prox is the exact minimiser: judged by bisection in 50-digit arithmetic, which shares no code with the package.

Every implementation is judged by its objective, which is evaluated exactly: it must be as small as that of the oracle's point
rounded to the same floating type, up to a relative 1e-6 in float32 and 1e-12 in float64.
"""

import contextlib
import copy
import decimal
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from optim.kernels import native, solve
from optim.kernels.weight_step import WeightStep
from optim.penalties import KernelForm, SparseGroupLasso
from optim.proximal import prox_group_lasso, prox_group_mcp
from tests.optim.elsewhere import Elsewhere

EPS = 1e-8
ALLOWED = {torch.float32: Decimal("1e-6"), torch.float64: Decimal("1e-12")}
Numbers = list[Decimal]


@pytest.fixture(autouse=True)
def fifty_digits() -> Iterator[None]:
    with decimal.localcontext(decimal.Context(prec=50, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)):
        yield


# The oracle


def _bisect(falling: Callable[[Decimal], Decimal], low: Decimal, high: Decimal) -> Decimal:
    """The root of a function that falls from ``low`` to ``high``, both positive, to 30 digits."""
    while high - low > Decimal("1e-30") * high:
        middle = (low + high) / 2 if high < 4 * low else (low * high).sqrt()
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def _norm(v: Numbers) -> Decimal:
    return sum((a * a for a in v), Decimal(0)).sqrt()


def lasso_point(x: Numbers, d: Numbers, t: Decimal) -> Numbers:
    """argmin 1/2 sum d (z - x)^2 + t ||z||."""
    dx = [a * b for a, b in zip(d, x, strict=True)]
    if _norm(dx) <= t:
        return [Decimal(0)] * len(x)
    if t == 0:
        return x
    squares = [a * a for a in dx]

    def equation(r: Decimal) -> Decimal:
        return sum(s / (m * r + t) ** 2 for s, m in zip(squares, d, strict=True)) - 1

    # at r, all denominators lie between (min d) r + t and (max d) r + t
    room = _norm(dx) - t
    r = _bisect(equation, room / max(d) * Decimal("0.999999"), room / min(d) * Decimal("1.000001"))
    return [a * r / (m * r + t) for a, m in zip(dx, d, strict=True)]


@dataclass(frozen=True)
class MCP:
    """step * (strength ||z|| - ||z||^2 / (2 gamma)), constant from ||z|| = gamma strength on."""

    step: float
    strength: float
    gamma: float

    def value(self, norm: Decimal) -> Decimal:
        step, strength, gamma = Decimal(self.step), Decimal(self.strength), Decimal(self.gamma)
        norm = min(norm, gamma * strength)
        return step * (strength * norm - norm * norm / (2 * gamma))


def mcp_candidates(x: Numbers, d: Numbers, mcp: MCP) -> list[Numbers]:
    """Among these points is the minimiser of 1/2 sum d (z - x)^2 + mcp(||z||)."""
    step, strength, gamma = Decimal(mcp.step), Decimal(mcp.strength), Decimal(mcp.gamma)
    candidates = [[Decimal(0)] * len(x), x]  # x is none if it is short: then its objective is only larger
    if strength == 0:
        return candidates

    def point(r: Decimal) -> Numbers:
        """Solve d (z - x) + step (strength / r - 1 / gamma) z = 0 for z."""
        pull = step * (strength / r - 1 / gamma)
        return [m * a / (m + pull) for m, a in zip(d, x, strict=True)]

    flat_from = gamma * strength
    grid = float(flat_from) * np.concatenate([np.logspace(-25, -2, 60), np.linspace(0.01, 1 - 1e-9, 200)])
    metric, center = (np.array([float(a) for a in v])[:, None] for v in (d, x))
    with np.errstate(over="ignore"):
        pull = mcp.step * (mcp.strength / grid - 1 / mcp.gamma)
    excess = (((metric * center) / (grid * (metric + pull))) ** 2).sum(0) - 1
    for i in np.flatnonzero(np.sign(excess[1:]) != np.sign(excess[:-1])):
        sign = 1 if excess[i] > 0 else -1

        def falling(r: Decimal, sign: int = sign) -> Decimal:
            return sign * (_norm(point(r)) - r)

        candidates.append(point(_bisect(falling, Decimal(float(grid[i])), Decimal(float(grid[i + 1])))))
    return candidates


# Problems


@dataclass(frozen=True)
class Problem:
    """Columns x and d, and the running mean of squared gradients from which d = sqrt(v) + eps comes."""

    x: Tensor
    v: Tensor
    d: Tensor

    def norms(self) -> Tensor:
        """||d x|| of every column, float64."""
        return (self.d.double() * self.x.double()).norm(dim=0)


def _exponents(low: float, high: float, shape: tuple[int, int]) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, shape, elements=st.floats(low, high), fill=st.nothing())


@st.composite
def problems(draw: st.DrawFn, dtype: torch.dtype) -> Problem:
    """Metrics over up to 12 decades from eps on, weights over six and zeros among them, in units from tiny to huge."""
    shape = draw(st.tuples(st.integers(1, 8), st.integers(1, 4)))
    low, high = draw(st.sampled_from([(-12.0, -7.0), (-12.0, 4.0), (-8.0, 0.0), (-2.0, 0.0), (-2.0, -2.0), (-12.0, -12.0)]))
    v = torch.from_numpy(10.0 ** draw(_exponents(low, high, shape))).to(dtype).square()
    signs = draw(arrays(np.float64, shape, elements=st.sampled_from([-1.0, 0.0, 1.0, 1.0]), fill=st.nothing()))
    unit = 10.0 ** draw(st.sampled_from([-20, -3, 0, 3, 12]))
    x = signs * unit * 10.0 ** draw(_exponents(draw(st.sampled_from([-6.0, -1.0])), 0.0, shape))
    return Problem(torch.from_numpy(x).to(dtype), v, v.sqrt() + EPS)


SHARES = st.one_of(
    st.floats(0.05, 1.0),
    st.floats(-30, 30).map(lambda e: 10.0**e),
    st.floats(-8, 0).map(lambda e: 10.0**e),
    st.floats(-16, -1).map(lambda e: 1 - 10.0**e),
    st.floats(-16, -1).map(lambda e: 1 + 10.0**e),
)
"""Thresholds in units of ||d x||, from which on the group is zero."""


RANGE = {torch.float32: (1e-37, 1e37), torch.float64: (1e-200, 1e200)}


def _in_type(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Positive numbers of the type."""
    return values.clamp(*RANGE[dtype]).to(dtype)


# Implementations


Solve = Callable[[Problem, float, Tensor, float | None], Tensor]
"""The prox of step * (strength ||z|| - ||z||^2 / (2 gamma)) until that is flat; gamma None: of step * strength ||z||."""


def _torch(problem: Problem, step: float, strength: Tensor, gamma: float | None) -> Tensor:
    if gamma is None:
        return prox_group_lasso(problem.x, problem.d, step * strength)
    return prox_group_mcp(problem.x, problem.d, step, strength, gamma)


def _elsewhere(problem: Problem, step: float, strength: Tensor, gamma: float | None) -> Tensor:
    with Elsewhere():
        return _torch(problem, step, strength, gamma)


def _on_gpu(problem: Problem, step: float, strength: Tensor, gamma: float | None) -> Tensor:
    moved = Problem(problem.x.cuda(), problem.v.cuda(), problem.d.cuda())
    return _torch(moved, step, strength.cuda(), gamma).cpu()


def _kernel(problem: Problem, step: float, strength: Tensor, gamma: float | None, device: str = "cpu") -> Tensor:
    """A batched kernel, which has one strength per weight: each column is solved among copies of all the others."""
    inverse_gamma = 0.0 if gamma is None else 1 / gamma
    x, v = (tensor[:, :, None, None].to(device) for tensor in (problem.x, problem.v))
    parts = [
        WeightStep(x.clone(), v, 1, 1.0, EPS, step, KernelForm(s, inverse_gamma), torch.empty(x.shape[1], device=device))
        for s in strength.tolist()
    ]
    if solve(parts):
        pytest.skip("there is no kernel for this device")
    return torch.cat([part.weight[:, [i], 0, 0].cpu() for i, part in enumerate(parts)], 1)


IMPLEMENTATIONS: dict[str, tuple[Solve, torch.dtype]] = {
    "torch-float32": (_torch, torch.float32),
    "torch-float64": (_torch, torch.float64),
    "elsewhere-float32": (_elsewhere, torch.float32),
    "elsewhere-float64": (_elsewhere, torch.float64),
}
if native.kernel() is not None:
    IMPLEMENTATIONS["kernel-float32"] = (_kernel, torch.float32)
if torch.cuda.is_available():
    IMPLEMENTATIONS |= {"gpu-float32": (_on_gpu, torch.float32), "gpu-float64": (_on_gpu, torch.float64)}
    IMPLEMENTATIONS["gpu-kernel-float32"] = (functools.partial(_kernel, device="cuda"), torch.float32)


def each_implementation() -> pytest.MarkDecorator:
    """Parametrises ``name``."""
    return pytest.mark.parametrize("name", IMPLEMENTATIONS)


# Judging


def _numbers(column: Tensor) -> Numbers:
    return [Decimal(a) for a in column.double().tolist()]


def _rounded(v: Numbers, dtype: torch.dtype) -> Numbers:
    return _numbers(torch.tensor([float(a) for a in v], dtype=torch.float64).to(dtype))


def _objective(z: Numbers, x: Numbers, d: Numbers, value: Callable[[Decimal], Decimal]) -> Decimal:
    return sum((m * (a - b) ** 2 for m, a, b in zip(d, z, x, strict=True)), Decimal(0)) / 2 + value(_norm(z))


class Case:
    """Problems, and what is best: the numbers are exactly those that the implementations are given."""

    def __init__(self, problem: Problem, step: float, strength: Tensor, gamma: float | None) -> None:
        assert gamma is not None or step == 1, "step * strength must be the same number for all"
        self.problem, self.step, self.strength, self.gamma = problem, step, strength, gamma
        self.columns = [(_numbers(problem.x[:, i]), _numbers(problem.d[:, i])) for i in range(problem.x.shape[1])]
        self.values: list[Callable[[Decimal], Decimal]] = []
        self.best: list[Decimal] = []
        for (x, d), s in zip(self.columns, strength.tolist(), strict=True):
            if gamma is None:
                value, candidates = (lambda norm, t=Decimal(s): t * norm), [lasso_point(x, d, Decimal(s))]
            else:
                mcp = MCP(step, s, gamma)
                value, candidates = mcp.value, mcp_candidates(x, d, mcp)
            self.values.append(value)
            self.best.append(min(_objective(_rounded(z, problem.x.dtype), x, d, value) for z in candidates))

    def judge(self, name: str) -> None:
        """Every check of an implementation."""
        implementation, dtype = IMPLEMENTATIONS[name]
        before = copy.deepcopy(self.problem)
        z = implementation(self.problem, self.step, self.strength, self.gamma)
        assert all(torch.equal(getattr(before, part), getattr(self.problem, part)) for part in ("x", "v", "d"))
        assert z.dtype == dtype == before.x.dtype
        assert z.isfinite().all()
        growth = 1 + (0 if self.gamma is None else 16 * torch.finfo(dtype).eps)
        assert (z.double().abs() <= before.x.double().abs() * growth).all()
        assert (z * before.x.sign() >= 0).all()
        for i, (x, d) in enumerate(self.columns):
            excess = _objective(_numbers(z[:, i]), x, d, self.values[i]) - self.best[i]
            assert excess <= ALLOWED[dtype] * self.best[i], f"{name}, column {i}: {excess / self.best[i]:.2e} above the minimum"


def judge_all(case: Case) -> None:
    """Every implementation for the case's type of numbers."""
    for name, (_, dtype) in IMPLEMENTATIONS.items():
        if dtype == case.problem.x.dtype:
            case.judge(name)


# The tests


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(data=st.data())
def test_the_group_lasso_point_is_the_minimiser(dtype: torch.dtype, data: st.DataObject) -> None:
    problem = data.draw(problems(dtype))
    count = problem.x.shape[1]
    shares = torch.tensor(data.draw(st.lists(SHARES, min_size=count, max_size=count)), dtype=torch.float64)
    judge_all(Case(problem, 1.0, _in_type(shares * problem.norms(), dtype), None))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(data=st.data())
def test_the_group_mcp_point_is_the_global_minimiser(dtype: torch.dtype, data: st.DataObject) -> None:
    """Strengths around those where a group dies, and around those where the penalty becomes flat at the norm of x."""
    problem = data.draw(problems(dtype))
    count = problem.x.shape[1]
    step = 10.0 ** data.draw(st.floats(-6, 1))
    gamma = 10.0 ** data.draw(st.floats(-2, 6))
    if data.draw(st.booleans()):  # step / gamma among the metric's entries: neither convex nor concave
        entry = float(problem.d.flatten()[data.draw(st.integers(0, problem.d.numel() - 1))])
        gamma = max(1e-6, step / entry * 10.0 ** data.draw(st.floats(-1, 1)))
    shares = torch.tensor(data.draw(st.lists(SHARES, min_size=count, max_size=count)), dtype=torch.float64)
    flat = torch.tensor(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    flat_at_x = problem.x.double().norm(dim=0) / gamma
    strength = shares * torch.where(flat, flat_at_x, problem.norms() / step)
    strength += 1e-4 * strength * ((strength / flat_at_x - 1).abs() < 1e-4)  # that is the next test
    judge_all(Case(problem, step, _in_type(strength, dtype), gamma))


def _random_problem(size: int, groups: int, decades: float, dtype: torch.dtype) -> Problem:
    rng = np.random.default_rng(0)
    v = torch.from_numpy(10.0 ** rng.uniform(-decades, 0, size=(size, groups))).to(dtype).square()
    return Problem(torch.from_numpy(rng.normal(size=(size, groups))).to(dtype), v, v.sqrt() + EPS)


@functools.cache
def _flat_at_x(dtype: torch.dtype) -> list[Case]:
    """Rounding may find x too short to be kept, and the stationary point just too long to lie inside."""
    cases = []
    for step, gamma in ((1e-4, 30.0), (1.0, 10.0), (0.5, 3.0)):
        for size in (1, 2, 8):
            problem = _random_problem(size, 60, 1.0, dtype)
            offsets = torch.from_numpy(np.random.default_rng(0).integers(-4, 5, size=60)) * torch.finfo(dtype).eps
            strength = problem.x.double().norm(dim=0) * (1 + offsets) / gamma
            cases.append(Case(problem, step, strength.to(dtype), gamma))
    return cases


@functools.cache
def _below_rounding(dtype: torch.dtype) -> list[Case]:
    """A bias of one bit per step would be a weight decay of its own."""
    problem = _random_problem(5, 50, 4.0, dtype)
    shares = (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-20, 1e-30)
    return [Case(problem, 1.0, _in_type(share * problem.norms(), dtype), None) for share in shares]


@functools.cache
def _resonances(dtype: torch.dtype) -> list[Case]:
    """Newton's worst case: S(r) is nearly 1 over many decades of r, if the part of d x with small d is as long as t."""
    offsets = np.concatenate([[0.0], *([10.0**e, -(10.0**e)] for e in np.linspace(-12, -1, 12))])
    large, small = (array.ravel() for array in np.meshgrid([0.05, 0.2, 0.5, 0.7, 0.9], offsets))
    t = np.sqrt(1 - large**2)  # (d x)^2 sums to about 1
    dx = torch.from_numpy(np.stack([large, t * (1 + small)]))
    cases = []
    for decades in (4.0, 8.0, 12.0):
        v = (10.0 ** torch.tensor([4.0, 4.0 - decades])[:, None].expand_as(dx)).to(dtype).square()
        d = v.sqrt() + EPS
        cases.append(Case(Problem((dx / d.double()).to(dtype), v, d), 1.0, _in_type(torch.from_numpy(t), dtype), None))
    return cases


@functools.cache
def _nearly_flat(dtype: torch.dtype) -> list[Case]:
    """The same for group MCP, whose curvature step / gamma may in addition equal entries of the metric."""
    offsets = np.array([0.0, *(sign * 10.0**e for e in (-12, -9, -7, -5, -4, -3, -2) for sign in (1, -1))])
    large, small, slopes = (array.ravel() for array in np.meshgrid([0.02, 0.7], offsets, offsets))
    p = np.sqrt(1 - large**2)
    dx = torch.from_numpy(np.stack([large, p * (1 + small)]))
    cases = []
    for decades in (2, 4, 8):
        d = torch.from_numpy(np.stack([10.0**decades + 0 * slopes, 1 + slopes]))  # step / gamma is 1
        v = d.to(dtype).square()
        d = v.sqrt() + EPS
        x = dx / d.double()
        away = (x.norm(dim=0) / torch.from_numpy(p) - 1).abs() > 1e-6  # the penalty becomes flat at p, see above
        x, v, d = (tensor[:, away].to(dtype) for tensor in (x, v, d))
        cases.append(Case(Problem(x, v, d), 1.0, torch.from_numpy(p)[away].to(dtype), 1.0))
    return cases


HARD: dict[str, Callable[[torch.dtype], list[Case]]] = {
    "the penalty becomes flat just at the group's norm": _flat_at_x,
    "a threshold below the rounding of x": _below_rounding,
    "a threshold that one part of a group just reaches": _resonances,
    "a metric that one part of a group just cancels": _nearly_flat,
}


@pytest.mark.parametrize("hard", HARD)
@each_implementation()
def test_hard_problems_are_no_obstacle(name: str, hard: str) -> None:
    for case in HARD[hard](IMPLEMENTATIONS[name][1]):
        case.judge(name)


@dataclass(frozen=True)
class Extreme:
    """One weight whose square, or the square of its threshold, is out of float32's range."""

    x: float
    d: float
    step: float
    strength: float
    gamma: float | None


EXTREMES = {
    "threshold 0 and a tiny d x": Extreme(1e-21, 1e-6, 1.0, 0.0, None),
    "huge weight, common d x": Extreme(1e20, 1e-6, 1.0, 1.0, None),
    "huge weight, group MCP": Extreme(1e25, 1e-8, 1.0, 1e3, 3.0),
    "huge strength": Extreme(4e11, 2000.0, 1e-6, 1e20, 5e-10),
    "tiny strength": Extreme(1e-25, 0.4, 0.01, 1e-44, 1e4),
}


@pytest.mark.parametrize("extreme", EXTREMES)
@each_implementation()
def test_squares_out_of_range_do_no_harm(name: str, extreme: str) -> None:
    dtype, extreme_case = IMPLEMENTATIONS[name][1], EXTREMES[extreme]
    v = torch.tensor([[extreme_case.d - EPS]], dtype=dtype).square()
    problem = Problem(torch.tensor([[extreme_case.x]], dtype=dtype), v, v.sqrt() + EPS)
    Case(problem, extreme_case.step, torch.tensor([extreme_case.strength], dtype=dtype), extreme_case.gamma).judge(name)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
@pytest.mark.parametrize("gamma", [None, 3.0])
@pytest.mark.parametrize("name", [name for name in IMPLEMENTATIONS if "kernel" not in name])
def test_no_groups_and_groups_of_nothing_are_fine(name: str, gamma: float | None, shape: tuple[int, int]) -> None:
    implementation, dtype = IMPLEMENTATIONS[name]
    nothing = torch.ones(shape, dtype=dtype)
    assert implementation(Problem(nothing, nothing, nothing), 1.0, torch.ones(shape[1], dtype=dtype), gamma).shape == shape


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=60)
@given(data=st.data())
def test_the_sparse_group_lasso_point_is_the_minimiser(dtype: torch.dtype, away: bool, data: st.DataObject) -> None:
    """It solves d (x - z) = l1 sign(z) + t z / ||z||; a weight is zero iff |d x| <= l1, or with its whole group."""
    problem = data.draw(problems(dtype))
    ratio = data.draw(st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.01, 0.99)))
    strength = float(_in_type(data.draw(SHARES) * problem.norms()[:1], dtype))
    weight, metric = (tensor[:, :, None, None] for tensor in (problem.x, problem.d))
    penalty = SparseGroupLasso(strength, ratio)
    with Elsewhere() if away else contextlib.nullcontext():
        z = penalty.prox(weight, metric, 1.0)[:, :, 0, 0]
    assert z.isfinite().all()
    assert (z.abs() <= problem.x.abs()).all()
    l1, t = (Decimal(strength) * share for share in (Decimal(ratio), Decimal(1 - ratio) * Decimal(len(z)).sqrt()))
    for i in range(z.shape[1]):
        x, d = _numbers(problem.x[:, i]), _numbers(problem.d[:, i])
        inside = [max(abs(a) - l1 / m, Decimal(0)).copy_sign(a) for a, m in zip(x, d, strict=True)]

        def objective(z: Numbers, x: Numbers = x, d: Numbers = d) -> Decimal:
            return _objective(z, x, d, lambda norm: t * norm) + l1 * sum((abs(a) for a in z), Decimal(0))

        best = objective(_rounded(lasso_point(inside, d, t), dtype))
        assert objective(_numbers(z[:, i])) - best <= ALLOWED[dtype] * best
