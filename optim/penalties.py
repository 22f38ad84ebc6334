"""Penalties on groups of weights: small frozen objects with ``value`` and ``prox`` side by side.

Both use one group weight, ``lambda_g = lambda_ * sqrt(group size)`` (``optim/groups.py``).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from optim.groups import INPUT_CHANNELS, as_columns, from_columns, group_norms, group_weight
from optim.proximal import prox_group_lasso, prox_group_mcp


@dataclass(frozen=True)
class KernelForm:
    """What the batched kernels know of a penalty on one weight: ``strength ||z|| - inverse_gamma ||z||^2 / 2``, until flat."""

    strength: float
    """lambda_g, which includes sqrt(group size)."""
    inverse_gamma: float = 0.0
    """0 for the group lasso."""


@dataclass(frozen=True)
class Penalty:
    """A penalty on the groups of a weight; the strength is ``lambda_``.

    Methods take the weight, and the dimension ``axis`` that counts its groups (``optim/groups.py``).
    """

    lambda_: float
    name: ClassVar[str]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lambda_) and self.lambda_ >= 0):
            raise ValueError(f"lambda_ must be a finite number >= 0, got {self.lambda_}")

    def value(self, weight: Tensor, axis: int = INPUT_CHANNELS) -> Tensor:
        """The penalty of a weight, such as (out, in, kh, kw): a scalar tensor."""
        raise TypeError(f"{type(self).__name__} is abstract")

    def prox(self, weight: Tensor, metric: Tensor, lr: Tensor | float, axis: int = INPUT_CHANNELS) -> Tensor:
        """argmin_z 1/2 (z - weight)' diag(metric) (z - weight) + lr * value(z).

        Args:
            weight: of any floating type, such as (out, in, kh, kw).
            metric: same shape, positive: the diagonal of Adam's metric, sqrt(v_hat) + eps.
            lr: the learning rate, a number or a scalar tensor.
            axis: the dimension that counts the groups.
        """
        raise TypeError(f"{type(self).__name__} is abstract")

    def kernel_form(self, weight: Tensor, axis: int = INPUT_CHANNELS) -> KernelForm | None:
        """The penalty as the batched kernels take it; None: they cannot, and :meth:`prox` is used."""
        return None

    def with_strength(self, lambda_: float) -> Penalty:
        """The same penalty with another strength."""
        return replace(self, lambda_=lambda_)

    def state(self) -> dict[str, Any]:
        """Plain numbers and text from which :func:`penalty_from_state` makes an equal penalty."""
        return {"name": self.name, **asdict(self)}


@dataclass(frozen=True)
class GroupLasso(Penalty):
    """``l1_l2``: sum over groups of lambda_g ||w_g||_2 (Yuan and Lin, 2006)."""

    name: ClassVar[str] = "l1_l2"

    def value(self, weight: Tensor, axis: int = INPUT_CHANNELS) -> Tensor:
        """See :meth:`Penalty.value`."""
        return self.lambda_ * group_weight(weight, axis) * group_norms(weight, axis).sum()

    def prox(self, weight: Tensor, metric: Tensor, lr: Tensor | float, axis: int = INPUT_CHANNELS) -> Tensor:
        """See :meth:`Penalty.prox`."""
        threshold = lr * self.lambda_ * group_weight(weight, axis)
        z = prox_group_lasso(as_columns(weight, axis), as_columns(metric, axis), threshold)
        return from_columns(z, like=weight, axis=axis)

    def kernel_form(self, weight: Tensor, axis: int = INPUT_CHANNELS) -> KernelForm:
        """See :meth:`Penalty.kernel_form`."""
        return KernelForm(self.lambda_ * group_weight(weight, axis))


@dataclass(frozen=True)
class GroupMCP(Penalty):
    """``group_mcp``: lambda_g ||w_g|| - ||w_g||^2 / (2 gamma) up to ||w_g|| = gamma lambda_g, constant after (Zhang, 2010)."""

    gamma: float = 3.0
    name: ClassVar[str] = "group_mcp"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.gamma) and self.gamma > 0):
            raise ValueError(f"gamma must be a finite number > 0, got {self.gamma}")

    def value(self, weight: Tensor, axis: int = INPUT_CHANNELS) -> Tensor:
        """See :meth:`Penalty.value`."""
        strength = self.lambda_ * group_weight(weight, axis)
        norms = group_norms(weight, axis)
        rising = strength * norms - norms**2 / (2 * self.gamma)
        return torch.where(norms <= self.gamma * strength, rising, self.gamma * strength**2 / 2).sum()

    def prox(self, weight: Tensor, metric: Tensor, lr: Tensor | float, axis: int = INPUT_CHANNELS) -> Tensor:
        """See :meth:`Penalty.prox`."""
        strength = self.lambda_ * group_weight(weight, axis)
        z = prox_group_mcp(as_columns(weight, axis), as_columns(metric, axis), lr, strength, self.gamma)
        return from_columns(z, like=weight, axis=axis)

    def kernel_form(self, weight: Tensor, axis: int = INPUT_CHANNELS) -> KernelForm:
        """See :meth:`Penalty.kernel_form`."""
        return KernelForm(self.lambda_ * group_weight(weight, axis), 1 / self.gamma)


PENALTIES: dict[str, type[Penalty]] = {penalty.name: penalty for penalty in (GroupLasso, GroupMCP)}
"""Every penalty by the name that the configuration uses."""


def penalty_from_state(state: dict[str, Any]) -> Penalty:
    """The penalty whose :meth:`Penalty.state` was saved."""
    return PENALTIES[state["name"]](**{key: value for key, value in state.items() if key != "name"})
