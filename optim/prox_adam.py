"""Proximal Adam: ``torch.optim.AdamW`` followed by the exact proximal step in Adam's own metric."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optim.groups import is_grouped
from optim.penalties import Penalty, penalty_from_state


class ProxAdam(torch.optim.AdamW):
    r"""AdamW whose parameter groups may carry a ``penalty`` that sets whole groups of weights exactly to zero.

    One step is torch's own AdamW step, which gives x, and then for each group of weights g of a penalised tensor

    .. math::
        w_g \leftarrow \arg\min_z \tfrac12 (z - x_g)^\top \mathrm{diag}(d) (z - x_g) + \mathrm{lr}\, p_g(\lVert z \rVert),
        \qquad d = \sqrt{\hat v} + \epsilon,

    with the bias-corrected second moment (Deleu and Bengio, arXiv 2102.03869). Without a penalty, or with lambda 0, it is
    AdamW and nothing else.

    Args:
        params: parameters, or parameter groups as for any torch optimizer. A group may hold ``penalty``, a
            :class:`optim.Penalty` or None; all of its parameters must then be convolution weights (4-D).
        lr: learning rate, >= 0.
        betas: decay rates of the running means, in [0, 1).
        eps: added to the root of the second moment, >= 0.
        weight_decay: decoupled weight decay, >= 0.
        penalty: of the groups that do not say.
        fused: torch's fused AdamW step (one kernel for all tensors, CPU and CUDA); None leaves the choice to torch.

    ``state_dict`` holds plain numbers, text and tensors only, so that ``torch.load(weights_only=True)`` reads it.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        penalty: Penalty | None = None,
        fused: bool | None = None,
    ) -> None:
        # AdamW's own checks have no upper end for numbers that are not finite.
        for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
            if not 0 <= float(value) < float("inf"):
                raise ValueError(f"{name} must be a finite number >= 0, got {value}")
        self._penalty_of_new_groups = penalty
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused)
        self.defaults["penalty"] = penalty

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As for any torch optimizer; checks the group's ``penalty``."""
        # While AdamW is being constructed, its defaults are not ours yet.
        default = self.defaults.get("penalty", getattr(self, "_penalty_of_new_groups", None))
        penalty = param_group.setdefault("penalty", default)
        if penalty is not None and not isinstance(penalty, Penalty):
            raise TypeError(f"penalty must be an optim.Penalty or None, got {type(penalty).__name__}")
        super().add_param_group(param_group)
        if penalty is not None:
            shapes = [tuple(weight.shape) for weight in self.param_groups[-1]["params"] if not is_grouped(weight)]
            if shapes:
                self.param_groups.pop()
                raise ValueError(
                    f"a penalised parameter group holds convolution weights (4-D) only, got a parameter of shape {shapes[0]}"
                )

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        """One AdamW step, then the proximal step of every penalised group."""
        loss = super().step(closure)
        for group in self.param_groups:
            penalty: Penalty | None = group["penalty"]
            if penalty is None or penalty.lambda_ == 0 or group["lr"] == 0:
                continue
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.copy_(penalty.prox(weight, self.metric(weight, group), float(group["lr"])))
        return loss

    def metric(self, weight: Tensor, group: dict[str, Any]) -> Tensor:
        """The diagonal d = sqrt(v_hat) + eps of Adam's metric, shaped like ``weight``."""
        state = self.state[weight]
        correction = 1 - group["betas"][1] ** float(state["step"])
        return (state["exp_avg_sq"] / correction).sqrt_().add_(group["eps"])

    def state_dict(self) -> dict[str, Any]:
        """As for any torch optimizer, the penalties as plain values."""
        state = super().state_dict()
        for group in state["param_groups"]:
            if group["penalty"] is not None:
                group["penalty"] = group["penalty"].state()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As for any torch optimizer; a group whose saved state has no penalty (AdamW's) keeps the one that it has."""
        own = [group["penalty"] for group in self.param_groups]
        super().load_state_dict(state_dict)
        for group, penalty in zip(self.param_groups, own, strict=True):
            saved = group.setdefault("penalty", penalty)
            if isinstance(saved, dict):
                group["penalty"] = penalty_from_state(saved)
