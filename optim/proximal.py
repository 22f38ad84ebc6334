"""Proximal operators in a diagonal metric, as functions on arrays. One column is one group.

Both solve, for every column x of ``x`` with metric d of ``d`` (Deleu and Bengio, arXiv 2102.03869),

    argmin_z  1/2 (z - x)' diag(d) (z - x) + step * penalty(||z||_2).

Apart from 0 (and, for MCP, x itself), a minimiser is a stationary point. With r = ||z|| it has the form
z = x * d r / (q r + p), and r solves the one-dimensional equation

    S(r) = sum (d x)^2 / (q r + p)^2 = 1,

where q = d, p = step * lambda for the group lasso, and q = d - step / gamma, p = step * lambda for group MCP. Newton runs on
phi(r) = 1 / sqrt(S(r)) - 1, the secular equation of trust-region methods: phi is concave (and linear for a constant
metric), so that Newton from the left of the wanted root rises to it monotonically.
"""

from __future__ import annotations

import torch
from torch import Tensor

MAX_SWEEPS = 100
"""Newton needs two or three sweeps on typical Adam metrics and about ten in adversarial ones."""


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
    tolerance = 4 * torch.finfo(r.dtype).eps
    for _ in range(MAX_SWEEPS):
        denominator = q * r + p
        ratio = dx / denominator
        square = ratio * ratio
        s = square.sum(0)
        # phi / phi' = (1/sqrt(S) - 1) * S^(3/2) / Q with Q = sum (dx)^2 q / denominator^3
        slope = (square * (q / denominator)).sum(0)
        rising = rising & (slope > 0)
        step = torch.where(rising, s * (s.sqrt() - 1) / slope, 0.0)
        # Rounding may push an already converged r back and forth by an ulp: only a rise counts.
        step = step.clamp_min(0.0)
        r = r + step
        if not bool((step > tolerance * r).any()):
            break
    return r, rising


def _scaled(dx: Tensor) -> Tensor:
    """(groups,) the largest |d x| of each group, at least the smallest normal number: squares then stay in range."""
    return dx.abs().amax(0).clamp_min(torch.finfo(dx.dtype).tiny)


def prox_group_lasso(x: Tensor, d: Tensor, threshold: Tensor | float) -> Tensor:
    """Group soft-thresholding in the metric d: argmin_z 1/2 (z-x)' diag(d) (z-x) + threshold ||z||.

    Args:
        x: (n, groups) float.
        d: (n, groups) float, positive.
        threshold: (groups,) or a number, step * lambda_g >= 0.

    Returns:
        (n, groups). A column is exactly zero iff ||d * x|| <= threshold, and x itself where the threshold is 0.
    """
    threshold = torch.as_tensor(threshold, dtype=x.dtype, device=x.device).expand(x.shape[1])
    dx = d * x
    scale = _scaled(dx)
    dx_norm = (dx / scale).norm(dim=0)
    t = threshold / scale
    live = (dx_norm > t) & (threshold > 0)
    z = torch.where(threshold > 0, 0.0, x)
    if not bool(live.any()):
        return z
    columns = live.nonzero().squeeze(1)
    whole = columns.numel() == x.shape[1]
    if not whole:
        x, d, dx, scale, dx_norm, t = (v.index_select(-1, columns) for v in (x, d, dx, scale, dx_norm, t))
    q = d / scale
    start = ((dx_norm - t) / q.amax(0)).clamp_min(0.0)
    r, _ = _secular_root(dx / scale, q, t, start)
    # In float32 this order matters: x * d * r alone loses digits.
    qr = q * r
    solution = x * (qr / (qr + t))
    return solution if whole else z.index_copy(1, columns, solution)


def prox_group_mcp(x: Tensor, d: Tensor, step: float, strength: Tensor | float, gamma: float) -> Tensor:
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
    strength = torch.as_tensor(strength, dtype=x.dtype, device=x.device).expand(x.shape[1])
    dx = d * x
    scale = _scaled(dx)
    a = step / scale
    p = a * strength
    dx_scaled, d_scaled = dx / scale, d / scale
    dx_norm, x_norm = dx_scaled.norm(dim=0), x.norm(dim=0)
    flat_from = gamma * strength
    flat_value = a * gamma * strength**2 / 2

    # 0 is stationary always; the interior root exists only where 0 is not a local minimum.
    objective = 0.5 * (dx_scaled * x).sum(0)
    best = torch.zeros_like(x)

    q = d_scaled - a / gamma
    steepest = q.amax(0)
    start = torch.where(steepest > 0, (dx_norm - p) / steepest, 0.0).clamp_min(0.0)
    r, rising = _secular_root(dx_scaled, q, p, start)
    inside = (dx_norm > p) & rising & (r > 0) & (r < flat_from)
    safe_r = torch.where(inside, r, torch.zeros_like(r))
    interior = x * (d_scaled * safe_r / torch.where(inside, q * safe_r + p, 1.0))
    norm = interior.norm(dim=0)
    penalty = a * (strength * norm - norm**2 / (2 * gamma))
    value = 0.5 * (d_scaled * (interior - x) ** 2).sum(0) + penalty
    better = inside & (value <= objective)
    best, objective = torch.where(better, interior, best), torch.where(better, value, objective)

    keeps_x = (x_norm >= flat_from) & (flat_value <= objective)
    return torch.where(keeps_x | (strength == 0), x, best)
