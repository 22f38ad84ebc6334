"""Proximal operators in a diagonal metric, as functions on arrays. One column is one group.

Both solve, for every column x of ``x`` with metric d of ``d`` (Deleu and Bengio, arXiv 2102.03869),

    argmin_z  1/2 (z - x)' diag(d) (z - x) + step * penalty(||z||_2).

Apart from 0 (and, for MCP, x itself), a minimiser is a stationary point. With r = ||z|| it has the form
z = x * d r / (q r + p), and r solves the one-dimensional equation

    S(r) = sum (d x)^2 / (q r + p)^2 = 1,

where q = d, p = step * lambda for the group lasso, and q = d - step / gamma, p = step * lambda for group MCP. Newton runs on
phi(r) = 1 / sqrt(S(r)) - 1, the secular equation of trust-region methods: phi is concave (and linear for a constant
metric), so that Newton from the left of the wanted root rises to it monotonically. docs/math.md derives all of this.

On a CPU these functions look at their numbers to do less: only groups that live are solved, until they have converged. On
any other device they never wait for it: a fixed number of sweeps over all groups.
"""

from __future__ import annotations

import torch
from torch import Tensor

MAX_SWEEPS = 100
"""Newton needs two or three sweeps on typical Adam metrics, and some 25 in the worst case that a search found."""

SWEEPS_UNSEEN = {torch.float32: 22, torch.float64: 40}
"""Sweeps where nobody looks whether they are needed: enough for the worst cases of tests/optim/test_prox_oracle.py."""

SAFE = (1e-15, 1e15)
"""Thresholds, and norms of d x, whose squares float32 can hold with room to spare. Others are scaled first."""


def _secular_root(dx: Tensor, q: Tensor, p: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest root r > 0 of S(r) = 1, by Newton on phi from ``start``, which lies left of it.

    Args:
        dx: (n, groups), the products d x.
        q: (n, groups), the slopes of the denominators.
        p: (groups,), their values at r = 0, positive.
        start: (groups,), non-negative; S(start) >= 1.

    Returns:
        r (groups,), and (groups,) bool: True where Newton met no falling phi, that is, where there is a root.
    """
    r = start
    rising = torch.ones_like(r, dtype=torch.bool)
    # Newton squares the relative error: after a step this small the next one would be lost in rounding.
    tolerance = 0.1 * torch.finfo(r.dtype).eps ** 0.5
    seen = r.device.type == "cpu"
    for _ in range(MAX_SWEEPS if seen else SWEEPS_UNSEEN.get(r.dtype, MAX_SWEEPS)):
        inverse = torch.addcmul(p, q, r).reciprocal_()
        square = torch.mul(dx, inverse).square_()
        s = square.sum(0)
        # phi / phi' = (1 / sqrt(S) - 1) * S^(3/2) / Q with Q = sum (dx)^2 q / denominator^3
        slope = square.mul_(inverse.mul_(q)).sum(0)
        rising = rising & (slope > 0)
        # Rounding may push a converged r back by an ulp: only a rise counts.
        step = torch.where(rising, s * (s.sqrt() - 1) / slope, 0.0).clamp_min_(0.0)
        r = r + step
        if seen and not bool((step > tolerance * r).any()):
            break
    return r, rising


def _in_range(threshold: Tensor, *norms: Tensor) -> bool:
    """True where (on a CPU) no square leaves the range of its type; elsewhere nobody looks, and all is scaled."""
    if threshold.device.type != "cpu":
        return False
    low, high = SAFE if threshold.dtype == torch.float32 else (1e-140, 1e140)
    largest = torch.stack([v.amax() for v in (threshold, *norms)])
    return bool((largest < high).all()) and not bool(((threshold > 0) & (threshold < low)).any())


def column_norms(x: Tensor) -> Tensor:
    """Norm of every column; many times faster than torch.linalg.vector_norm along the rows of a CPU tensor."""
    return x.square().sum(0).sqrt_()


def _unit(x: Tensor) -> Tensor:
    """Per column a power of two that brings the largest entry near 1: (groups,).

    The problems are homogeneous, prox(c x, d, c threshold) = c prox(x, d, threshold), and a power of two costs no digit.
    """
    largest = x.abs().amax(0)
    exponent = torch.frexp(largest).exponent.clamp_(-120, 120)
    unit = torch.ones_like(largest)
    return torch.where((largest > 0) & largest.isfinite(), torch.ldexp(unit, -exponent), unit)


@torch.no_grad()
def soft_threshold(x: Tensor, threshold: Tensor) -> Tensor:
    """Every entry of x moved towards 0 by its threshold, at most to 0: the prox of a weighted l1 norm."""
    return torch.where(threshold > 0, x.sign() * (x.abs() - threshold).clamp_min_(0.0), x)


@torch.no_grad()
def prox_group_lasso(x: Tensor, d: Tensor, threshold: Tensor | float) -> Tensor:
    """Group soft-thresholding in the metric d: argmin_z 1/2 (z-x)' diag(d) (z-x) + threshold ||z||.

    Args:
        x: (n, groups) float.
        d: (n, groups) float, positive.
        threshold: (groups,) or a number, step * lambda_g >= 0.

    Returns:
        (n, groups). A column is exactly zero iff ||d * x|| <= threshold, and x itself where the threshold is 0.
    """
    if x.numel() == 0:
        return x.clone()
    threshold = torch.as_tensor(threshold, dtype=x.dtype, device=x.device).expand(x.shape[1])
    dx = d * x
    norm = column_norms(dx)
    if not _in_range(threshold, norm):
        unit = _unit(x)
        x, threshold = x * unit, threshold * unit
        dx = d * x
        return _group_lasso(x, d, dx, column_norms(dx), threshold) / unit
    return _group_lasso(x, d, dx, norm, threshold)


def _group_lasso(x: Tensor, d: Tensor, dx: Tensor, norm: Tensor, threshold: Tensor) -> Tensor:
    """:func:`prox_group_lasso` for numbers in range; dx = d * x, of the columns' ``norm``, is overwritten."""
    # A group with a NaN counts as live: it must stay visible, and not turn into zeros.
    live = ~(norm <= threshold)
    result: Tensor | None = None
    columns: Tensor | None = None
    if x.device.type == "cpu":
        columns = live.nonzero().squeeze(1)
        if columns.numel() == 0:
            return torch.where(threshold > 0, 0.0, x)
        if 2 * columns.numel() < x.shape[1]:
            result = torch.where(threshold > 0, 0.0, x)
            x, d, dx, norm, threshold, live = (v.index_select(-1, columns) for v in (x, d, dx, norm, threshold, live))
    # r >= (||d x|| - threshold) / max d. On a CPU a maximum per column costs more than the sweep that it may save.
    start = ((norm - threshold) / (d.amax() if columns is not None else d.amax(0))).clamp_min(0.0)
    r, _ = _secular_root(dx, d, threshold, start)
    # In float32 this order matters: x * d * r alone loses digits.
    dr = torch.mul(d, torch.where(live, r, 0.0), out=dx)
    z = dr.div_(dr + torch.where(live, threshold, 1.0)).mul_(x)
    if columns is None or not bool((threshold > 0).all()):
        z = torch.where(threshold > 0, z, x)
    return z if result is None or columns is None else result.index_copy_(1, columns, z)


@torch.no_grad()
def prox_group_mcp(x: Tensor, d: Tensor, step: Tensor | float, strength: Tensor | float, gamma: float) -> Tensor:
    """The same for the minimax concave penalty on group norms (a.k.a. group MCP).

    The penalty is ``strength ||z|| - ||z||^2 / (2 gamma)`` up to ``||z|| = gamma * strength`` and constant from there on. The
    problem is not convex where some d <= step / gamma, so the objective decides between the candidates: 0, the local
    minimum inside, and x itself if it lies where the penalty is flat.

    Args:
        x: (n, groups) float.
        d: (n, groups) float, positive.
        step: the learning rate, which scales the penalty.
        strength: (groups,) or a number, lambda_g >= 0.
        gamma: positive; larger is closer to the group lasso.

    Returns:
        (n, groups).
    """
    if x.numel() == 0:
        return x.clone()
    strength = torch.as_tensor(strength, dtype=x.dtype, device=x.device).expand(x.shape[1])
    norms = column_norms(d * x), column_norms(x)
    if not (_in_range(step * strength, *norms) and _in_range(strength)):
        unit = _unit(x)
        return _group_mcp(x * unit, d, step, strength * unit, gamma) / unit
    return _group_mcp(x, d, step, strength, gamma)


def _group_mcp(x: Tensor, d: Tensor, step: Tensor | float, strength: Tensor, gamma: float) -> Tensor:
    """:func:`prox_group_mcp` for numbers in range."""
    p = step * strength
    dx = d * x
    dx_norm, x_norm = column_norms(dx), column_norms(x)
    flat_from = gamma * strength

    def penalty(norm: Tensor) -> Tensor:
        norm = torch.minimum(norm, flat_from)
        return step * (strength * norm - norm**2 / (2 * gamma))

    # 0 is a candidate always; the interior root counts only where 0 is not a local minimum.
    objective = 0.5 * (dx * x).sum(0)
    best = torch.zeros_like(x)

    q = d - step / gamma
    steepest = q.amax(0)
    start = torch.where(steepest > 0, (dx_norm - p) / steepest, 0.0).clamp_min(0.0)
    r, rising = _secular_root(dx, q, p, start)
    inside = (dx_norm > p) & rising & (r > 0) & (p > step * r / gamma)
    # q r + p = d r + (p - step r / gamma), in a form that cannot exceed x by rounding
    dr = d * torch.where(inside, r, 0.0)
    interior = x * (dr / (dr + torch.where(inside, p - step * r / gamma, 1.0)))
    value = 0.5 * (d * (interior - x) ** 2).sum(0) + penalty(column_norms(interior))
    # Where it exists, 0 is no minimum, and the objective falls from 0 to it: nothing to compare, which rounding could spoil.
    best, objective = torch.where(inside, interior, best), torch.where(inside, value, objective)

    # Where the penalty becomes flat just at ||x||, rounding must not lose both x and the point inside.
    margin = 1 - 16 * torch.finfo(x.dtype).eps
    keeps_x = (x_norm >= flat_from * margin) & (penalty(x_norm) <= objective)
    return torch.where(keeps_x | (p == 0), x, torch.where(dx_norm.isnan(), dx_norm, best))
