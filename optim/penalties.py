"""Penalties on groups of weights: small frozen objects with ``value`` and ``prox`` side by side.

All use one group weight, ``lambda_g = lambda_ * sqrt(group size)`` (``optim/groups.py``). A penalty is one class and its place
in ``PENALTIES``, where configurations, studies and the documentation read its name, its title and its parameters: torch is
not imported before a penalty is made, so that a wrong configuration is refused at once.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import Field, asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from .axes import INPUT_CHANNELS
from .later import Later

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from . import groups, proximal
else:
    torch, groups, proximal = Later("torch"), Later(".groups"), Later(".proximal")

Saliency = Literal["adam", "fisher", "taylor"]
"""Metrics of :class:`GroupL0`."""


_LIMITS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "gt": (">", operator.gt),
    "ge": (">=", operator.ge),
    "le": ("<=", operator.le),
}


def _check(parameter: Field[Any], value: Any) -> None:
    """Raise a ValueError if ``value`` is none that a penalty's parameter may have, by its metadata: choices, or limits."""
    choices = parameter.metadata.get("choices", (value,))
    if value not in choices:
        raise ValueError(f"{parameter.name} must be one of {', '.join(choices)}, got {value!r}")
    limits = [(*_LIMITS[key], limit) for key, limit in parameter.metadata.items() if key in _LIMITS]
    if limits and not (math.isfinite(value) and all(holds(value, limit) for _, holds, limit in limits)):
        allowed = " and ".join(f"{sign} {limit}" for sign, _, limit in limits)
        raise ValueError(f"{parameter.name} must be a finite number {allowed}, got {value}")


@dataclass(frozen=True)
class KernelForm:
    """Form of a penalty on one weight for the batched kernels: ``strength ||z|| - inverse_gamma ||z||^2 / 2``, until flat; or,
    with ``hard``, ``strength [z != 0]``."""

    strength: Tensor | float
    """lambda_g, which includes sqrt(group size); a scalar tensor where it was found on a GPU."""
    inverse_gamma: float = 0.0
    """0 for the group lasso."""
    hard: int = 0
    """The power of Adam's metric d in the hard threshold 1/2 sum d^hard x^2 <= lr strength; 0: the penalty is a norm's."""


@dataclass(frozen=True)
class Penalty:
    """A penalty on the groups of a weight; the strength is ``lambda_``.

    Other parameters are dataclass fields with a default. Their metadata may hold ``meaning`` (a sentence in Markdown), and what
    is allowed: ``gt``, ``ge``, ``le`` (greater than, greater or equal, less or equal) for a number, ``choices`` for a word.
    ``alters_speed`` is True for a parameter that changes how long a step takes, and not its result alone.
    Methods take the weight, and the dimension ``axis`` that counts its groups (``optim/groups.py``).
    """

    lambda_: Tensor | float = field(metadata={"ge": 0})
    name: ClassVar[str]
    """Name in a configuration and in tables."""
    title: ClassVar[str]
    """Name on pages and in figures."""
    also_called: ClassVar[tuple[str, ...]] = ()
    """Names, in small letters, that somebody may type in place of ``name``."""
    selects: ClassVar[bool] = False
    """True: a group is zero or is left as it is. Under a target (``ProxAdam.zero_share``) its zeros are then final, and groups
    may be joint: :meth:`critical` times sqrt(group size) has to be a sum over the weights in a group, or over its products."""

    @property
    def takes_products(self) -> bool:
        """True: ``metric`` is a running mean of (gradient . weight)^2 per group, (groups,), which the optimizer keeps."""
        return False

    def __post_init__(self) -> None:
        for parameter in fields(self):
            if not isinstance(value := getattr(self, parameter.name), torch.Tensor):
                _check(parameter, value)

    @classmethod
    def parameters(cls) -> dict[str, Field[Any]]:
        """Return the parameters beside the strength, by name."""
        return {parameter.name: parameter for parameter in fields(cls) if parameter.name != "lambda_"}

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

    def critical(self, weight: Tensor, metric: Tensor, lr: Tensor | float, axis: int = INPUT_CHANNELS) -> Tensor:
        """The smallest lambda with which :meth:`prox` sets each group to zero, whatever ``lambda_`` is: (groups,).

        ``target_sparsity`` needs it (``ProxAdam.zero_share``); arguments as for :meth:`prox`.
        """
        raise TypeError(f"{type(self).__name__} has no method 'critical', which target_sparsity needs")

    def kernel_form(self, weight: Tensor, axis: int = INPUT_CHANNELS) -> KernelForm | None:
        """The penalty as the batched kernels take it; None: they cannot, and :meth:`prox` is used."""
        return None

    def with_strength(self, lambda_: Tensor | float) -> Penalty:
        """The same penalty with another strength."""
        return replace(self, lambda_=lambda_)

    def state(self) -> dict[str, Any]:
        """Plain numbers and text from which :func:`penalty_from_state` makes an equal penalty."""
        return {"name": self.name, **asdict(self)}


@dataclass(frozen=True)
class GroupLasso(Penalty):
    """``l1_l2``: sum over groups of lambda_g ||w_g||_2 (Yuan and Lin, 2006)."""

    name: ClassVar[str] = "l1_l2"
    title: ClassVar[str] = "group lasso"
    also_called: ClassVar[tuple[str, ...]] = ("group_lasso", "grouplasso", "l21", "l2_l1", "l1l2", "lasso")

    def value(self, weight: Tensor, axis: int = INPUT_CHANNELS) -> Tensor:
        return self.lambda_ * groups.group_weight(weight, axis) * groups.group_norms(weight, axis).sum()

    def prox(self, weight: Tensor, metric: Tensor, lr: Tensor | float, axis: int = INPUT_CHANNELS) -> Tensor:
        threshold = lr * self.lambda_ * groups.group_weight(weight, axis)
        z = proximal.prox_group_lasso(groups.as_columns(weight, axis), groups.as_columns(metric, axis), threshold)
        return groups.from_columns(z, like=weight, axis=axis)

    def critical(self, weight: Tensor, metric: Tensor, lr: Tensor | float, axis: int = INPUT_CHANNELS) -> Tensor:
        """See :meth:`Penalty.critical`: a group is zero iff ||d x|| <= lr lambda_g."""
        # The same sum in the same order as in the prox: they have to agree to the last digits.
        return proximal.column_norms(groups.as_columns(metric * weight, axis)) / (lr * groups.group_weight(weight, axis))

    def kernel_form(self, weight: Tensor, axis: int = INPUT_CHANNELS) -> KernelForm:
        return KernelForm(self.lambda_ * groups.group_weight(weight, axis))


@dataclass(frozen=True)
class GroupMCP(Penalty):
    """``group_mcp``: lambda_g ||w_g|| - ||w_g||^2 / (2 gamma) up to ||w_g|| = gamma lambda_g, constant after (Zhang, 2010)."""

    gamma: float = field(
        default=3.0,
        metadata={
            "gt": 0,
            "meaning": "Where `group_mcp` becomes flat: at a group norm of `gamma * lambda * sqrt(group size)`.",
        },
    )
    name: ClassVar[str] = "group_mcp"
    title: ClassVar[str] = "group MCP"
    also_called: ClassVar[tuple[str, ...]] = ("mcp", "groupmcp")

    def value(self, weight: Tensor, axis: int = INPUT_CHANNELS) -> Tensor:
        strength = self.lambda_ * groups.group_weight(weight, axis)
        norms = groups.group_norms(weight, axis)
        rising = strength * norms - norms**2 / (2 * self.gamma)
        return torch.where(norms <= self.gamma * strength, rising, self.gamma * strength**2 / 2).sum()

    def prox(self, weight: Tensor, metric: Tensor, lr: Tensor | float, axis: int = INPUT_CHANNELS) -> Tensor:
        strength = self.lambda_ * groups.group_weight(weight, axis)
        z = proximal.prox_group_mcp(groups.as_columns(weight, axis), groups.as_columns(metric, axis), lr, strength, self.gamma)
        return groups.from_columns(z, like=weight, axis=axis)

    def critical(self, weight: Tensor, metric: Tensor, lr: Tensor | float, axis: int = INPUT_CHANNELS) -> Tensor:
        """See :meth:`Penalty.critical`: 0 is the minimiser iff it is a local one, and x itself is not better.

        x itself is a candidate from ||x|| = gamma lambda_g on, at the price lr gamma lambda_g^2 / 2 against x' D x / 2 for 0.
        (That it is one is no further condition: by Cauchy and Schwarz the second term exceeds the first only if it is.)
        """
        x, d = groups.as_columns(weight, axis), groups.as_columns(metric, axis)
        local, better = proximal.column_norms(d * x) / lr, (d * x * x).sum(0).sqrt() / (lr * self.gamma) ** 0.5
        return torch.maximum(local, better) / groups.group_weight(weight, axis)

    def kernel_form(self, weight: Tensor, axis: int = INPUT_CHANNELS) -> KernelForm:
        return KernelForm(self.lambda_ * groups.group_weight(weight, axis), 1 / self.gamma)


@dataclass(frozen=True)
class SparseGroupLasso(Penalty):
    """``sparse_group_lasso``: (1 - a) lambda_g ||w_g||_2 + a lambda ||w_g||_1, with a = ``l1_ratio`` (Simon et al., 2013).

    It zeroes whole groups, and single weights in the groups that live.
    """

    l1_ratio: float = field(
        default=0.05,
        metadata={"ge": 0, "le": 1, "meaning": "Share of `sparse_group_lasso` that acts on single weights; 0 is `l1_l2`."},
    )
    name: ClassVar[str] = "sparse_group_lasso"
    title: ClassVar[str] = "sparse group lasso"

    def value(self, weight: Tensor, axis: int = INPUT_CHANNELS) -> Tensor:
        norms = groups.group_weight(weight, axis) * groups.group_norms(weight, axis).sum()
        return self.lambda_ * ((1 - self.l1_ratio) * norms + self.l1_ratio * weight.abs().sum())

    def prox(self, weight: Tensor, metric: Tensor, lr: Tensor | float, axis: int = INPUT_CHANNELS) -> Tensor:
        """See :meth:`Penalty.prox`: soft-thresholding of the weights, then of the groups, in one metric (docs/math.md)."""
        d = groups.as_columns(metric, axis)
        inside = proximal.soft_threshold(groups.as_columns(weight, axis), lr * self.lambda_ * self.l1_ratio / d)
        threshold = lr * self.lambda_ * (1 - self.l1_ratio) * groups.group_weight(weight, axis)
        return groups.from_columns(proximal.prox_group_lasso(inside, d, threshold), like=weight, axis=axis)

    def critical(self, weight: Tensor, metric: Tensor, lr: Tensor | float, axis: int = INPUT_CHANNELS) -> Tensor:
        """See :meth:`Penalty.critical`: the root of ||(|d x| - lr a lambda)+|| = lr (1 - a) lambda_g, by bisection."""
        pull = (groups.as_columns(metric, axis) * groups.as_columns(weight, axis)).abs() / lr
        size, a = groups.group_weight(weight, axis), self.l1_ratio
        # At the upper end either term alone is enough.
        low, high = torch.zeros_like(pull[0]), torch.zeros_like(pull[0])
        for share, needed in ((a, pull.amax(0)), ((1 - a) * size, proximal.column_norms(pull))):
            if share > 0:
                bound = needed / share
                high = torch.where(high > 0, torch.minimum(high, bound), bound)
        for _ in range(torch.finfo(pull.dtype).bits):
            middle = 0.5 * (low + high)
            left = proximal.column_norms((pull - a * middle).clamp_min(0.0))
            zero = left <= (1 - a) * size * middle
            low, high = torch.where(zero, low, middle), torch.where(zero, middle, high)
        return high


@dataclass(frozen=True)
class GroupL0(Penalty):
    """``group_l0``: sum over groups of lambda_g [w_g != 0]. Its prox is a hard threshold; what lives is left as it is.

    In any metric M, argmin_z 1/2 (z - x)' M (z - x) + lr lambda_g [z != 0] is 0 where 1/2 x' M x <= lr lambda_g, and else x
    itself. ``saliency`` names M, with d = sqrt(v_hat) + eps the diagonal of Adam's metric:

    - ``adam``: diag(d), the metric in which Adam itself steps;
    - ``fisher``: diag(d^2), the diagonal of the empirical Fisher information (optimal brain damage, LeCun et al. 1989);
    - ``taylor``: E[g g'] within the group, whose x' M x is a running mean of (g . x)^2, the square of what removing the group
      changes in the loss, to first order (Molchanov et al. 2019). ``metric`` is then this mean, (groups,).

    Rescaling a layer before batch norm scales its gradients inversely: it changes ``adam``, and neither of the others.
    """

    saliency: Saliency = field(
        default="taylor",
        metadata={
            "choices": get_args(Saliency),
            "alters_speed": True,
            "meaning": "What `group_l0` goes by: the squared norm of a group in Adam's metric (`adam`), in the diagonal of the "
            "Fisher information (`fisher`), or a running mean of (gradient . weight)^2 (`taylor`); docs/math.md.",
        },
    )
    name: ClassVar[str] = "group_l0"
    title: ClassVar[str] = "group L0"
    selects: ClassVar[bool] = True

    @property
    def takes_products(self) -> bool:
        return self.saliency == "taylor"

    def value(self, weight: Tensor, axis: int = INPUT_CHANNELS) -> Tensor:
        return self.lambda_ * groups.group_weight(weight, axis) * groups.live_groups(weight, axis).sum().to(weight.dtype)

    def energy(self, weight: Tensor, metric: Tensor, axis: int = INPUT_CHANNELS) -> Tensor:
        """x' M x of every group: (groups,)."""
        if self.takes_products:
            return torch.where(groups.live_groups(weight, axis), metric, 0.0)
        terms = (metric * weight).square() if self.saliency == "fisher" else metric * weight.square()
        return groups.as_columns(terms, axis).sum(0)

    def prox(self, weight: Tensor, metric: Tensor, lr: Tensor | float, axis: int = INPUT_CHANNELS) -> Tensor:
        """See :meth:`Penalty.prox`; with the metric M that ``saliency`` makes of ``metric``."""
        dead = self.critical(weight, metric, lr, axis) <= self.lambda_
        return torch.where(groups.along_groups(dead, weight, axis), 0.0, weight)

    def critical(self, weight: Tensor, metric: Tensor, lr: Tensor | float, axis: int = INPUT_CHANNELS) -> Tensor:
        """See :meth:`Penalty.critical`."""
        return self.critical_of(self.energy(weight, metric, axis), weight, lr, axis)

    def critical_of(self, energy: Tensor, weight: Tensor, lr: Tensor | float, axis: int = INPUT_CHANNELS) -> Tensor:
        """Return :meth:`critical` of groups with these energies x' M x, (groups,): x' M x / (2 lr sqrt(group size))."""
        return energy / (2 * lr * groups.group_weight(weight, axis))

    def kernel_form(self, weight: Tensor, axis: int = INPUT_CHANNELS) -> KernelForm | None:
        """See :meth:`Penalty.kernel_form`; ``taylor`` has nothing left to measure."""
        power = {"adam": 1, "fisher": 2}.get(self.saliency)
        return None if power is None else KernelForm(self.lambda_ * groups.group_weight(weight, axis), hard=power)


PENALTIES: dict[str, type[Penalty]] = {penalty.name: penalty for penalty in (GroupLasso, GroupMCP, SparseGroupLasso, GroupL0)}
"""Every penalty by the name that the configuration uses."""


def penalty_from_state(state: dict[str, Any]) -> Penalty:
    """The penalty whose :meth:`Penalty.state` was saved."""
    return PENALTIES[state["name"]](**{key: value for key, value in state.items() if key != "name"})
