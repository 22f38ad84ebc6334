"""Input of a batched kernel: one weight's part of a proximal step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..penalties import KernelForm


@dataclass(frozen=True)
class WeightStep:
    """One weight's part of a proximal step, in the metric d = sqrt(exp_avg_sq / correction) + eps."""

    weight: Tensor
    """After Adam's step; overwritten with the prox, unless the strength is 0."""
    exp_avg_sq: Tensor
    """Adam's running mean of the squared gradient, shaped like ``weight``."""
    axis: int
    """Dimension that counts the groups."""
    correction: Tensor | float
    """1 - beta2^t; a tensor on the weight's device where t lives there."""
    eps: float
    lr: Tensor | float
    """Positive."""
    form: KernelForm
    critical: Tensor
    """(groups,) float32, overwritten with the smallest strength that sets each group to zero (`Penalty.critical`)."""
