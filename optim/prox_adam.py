"""Proximal Adam: ``torch.optim.AdamW`` followed by the exact proximal step in Adam's own metric."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .groups import (
    INPUT_CHANNELS,
    OUTPUT_CHANNELS,
    along_groups,
    as_columns,
    group_count,
    group_weight,
    is_grouped,
    keep_group_size,
    live_groups,
    penalised_group_size,
)
from .kernels import solve
from .kernels.native import group_dots
from .kernels.weight_step import WeightStep
from .penalties import Penalty, penalty_from_state
from .proximal import column_norms
from .selection import Aim, Budget, select, settled

CHUNK = {"cpu": 2**19}
"""Weights that torch operations treat at once: on a CPU, few enough to stay in its cache; it bounds the extra memory."""
DEFAULT_CHUNK = 2**20
PER_WEIGHT = ("floors", "normalised")
OWN_OPTIONS = {"penalty": None, "axis": INPUT_CHANNELS, "joint": False, "keep": None, "steered": True, "removed_groups": 0}
OWN_OPTIONS |= dict.fromkeys(PER_WEIGHT)
"""Options of a parameter group beside AdamW's, with their defaults; ``PER_WEIGHT``: a list with one entry per parameter."""
PRODUCTS, DECAY = "products", 0.99
"""State of a weight: the running mean, with this decay, of (gradient . weight)^2 per group. It starts from 0, as Adam's do."""
CORRECTION = "products_correction"
"""State beside the products of joint groups: 1 - decay^t after t steps, of which each of their weights may have taken fewer."""


class ProxAdam(torch.optim.AdamW):
    r"""AdamW whose parameter groups may carry a ``penalty`` that sets whole groups of weights exactly to zero.

    One step is torch's own AdamW step, which gives x, and then for each group of weights g of a penalised tensor

    .. math::
        w_g \leftarrow \arg\min_z \tfrac12 (z - x_g)^\top \mathrm{diag}(d) (z - x_g) + \mathrm{lr}\, p_g(\lVert z \rVert),
        \qquad d = \sqrt{\hat v} + \epsilon,

    with the bias-corrected second moment (Deleu and Bengio, arXiv 2102.03869; docs/math.md). Without a penalty, or with
    lambda 0, it is AdamW and nothing else.

    Args:
        params: parameters, or parameter groups as for any torch optimizer. A group may hold ``penalty``, a
            :class:`optim.Penalty` or None, and ``axis``; all of its parameters must then have groups along ``axis``. With
            ``joint`` True (default: False) its weights share their groups: group c is column c of all of them together; the
            penalty has to be one that selects. With ``steered`` False (default: True) its penalty keeps its own lambda
            whatever ``zero_share`` is. ``floors`` (a number per parameter) says how many groups live on at least where lambda
            is found for ``zero_share``; ``normalised`` (True or False per parameter), which weights batch norm makes
            indifferent to their scale: what the prox of a norm leaves of them keeps the norm that it had.
        lr: learning rate, >= 0; a number or a scalar tensor.
        betas: decay rates of the running means, in [0, 1).
        eps: added to the root of the second moment, >= 0.
        weight_decay: decoupled weight decay, >= 0.
        penalty: of the groups that do not say.
        axis: what a group of weights is, for parameter groups that do not say: ``optim.groups.INPUT_CHANNELS`` of
            convolutions, or ``OUTPUT_CHANNELS``, which are filters of convolutions and rows of linear layers.
        foreach, fused: which of torch's AdamW steps; None leaves the choice to torch.
        kernel: ``auto`` takes a batched kernel for the proximal step where there is one (``optim/kernels``), ``torch`` never
            does. Both give the same to rounding.

    Attributes:
        zero_share: None, or a share in [0, 1]: each step then finds the lambda that sets exactly this share of all penalised
            and steered groups of weights to zero, in place of the penalties' own (docs/math.md). Groups that were removed
            from the network (``removed_groups`` of a parameter group) count among them, as zero. The zeros of a penalty that
            selects (:class:`optim.GroupL0`) are then final. It is not part of ``state_dict``.
        budget: None, or what may be left of the network's cost, in place of ``zero_share`` (:class:`optim.selection.Budget`): a
            step then sets the fewest groups to zero with which it is. Zeros must be final. It is not part of ``state_dict``.
        found_lambda: that lambda, of the last step, as a scalar tensor.

    ``state_dict`` holds plain numbers, text and tensors only, so that ``torch.load(weights_only=True)`` reads it.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        penalty: Penalty | None = None,
        axis: int = INPUT_CHANNELS,
        *,
        foreach: bool | None = None,
        fused: bool | None = None,
        kernel: Literal["auto", "torch"] = "auto",
    ) -> None:
        # AdamW's own checks have no upper end for numbers that are not finite.
        for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
            if not 0 <= float(value) < float("inf"):
                raise ValueError(f"{name} must be a finite number >= 0, got {value}")
        if kernel not in ("auto", "torch"):
            raise ValueError(f"kernel must be 'auto' or 'torch', got {kernel!r}")
        self.kernel = kernel
        self.zero_share: float | None = None
        self.budget: Budget | None = None
        self.found_lambda: Tensor | None = None
        self._first_defaults = {"penalty": penalty, "axis": axis}
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, foreach=foreach, fused=fused)
        self.defaults.update(self._first_defaults)

    def __getstate__(self) -> dict[str, Any]:
        """For a copy or another process: torch carries over defaults, state and groups only."""
        return {**super().__getstate__(), "kernel": self.kernel, "zero_share": self.zero_share}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The other end of it; torch calls this for ``load_state_dict`` too, without our attributes."""
        for name in ("zero_share", "budget", "found_lambda"):
            self.__dict__.setdefault(name, None)
        for name, default in (("kernel", "auto"), ("_first_defaults", {})):
            self.__dict__.setdefault(name, default)
        super().__setstate__(state)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As for any torch optimizer; checks the group's ``penalty``, and that its parameters have groups."""
        # While AdamW is being constructed, its defaults are not ours yet.
        defaults = {**OWN_OPTIONS, **self._first_defaults, **self.defaults}
        for name in OWN_OPTIONS:
            param_group.setdefault(name, defaults[name])
        penalty, axis = param_group["penalty"], param_group["axis"]
        if penalty is not None and not isinstance(penalty, Penalty):
            raise TypeError(f"penalty must be an optim.Penalty or None, got {type(penalty).__name__}")
        if axis not in (INPUT_CHANNELS, OUTPUT_CHANNELS):
            raise ValueError(
                f"axis must be {INPUT_CHANNELS} (input channels) or {OUTPUT_CHANNELS} (output channels), got {axis!r}"
            )
        super().add_param_group(param_group)
        shapes = [tuple(weight.shape) for weight in self.param_groups[-1]["params"] if not is_grouped(weight, axis)]
        if penalty is not None and shapes:
            self.param_groups.pop()
            what = "convolution weights (4-D)" if axis == INPUT_CHANNELS else "weights of convolutions and linear layers"
            raise ValueError(f"a penalised parameter group holds {what} only, got a parameter of shape {shapes[0]}")
        if penalty is not None and param_group["joint"]:
            counts = sorted({group_count(weight, axis) for weight in self.param_groups[-1]["params"]})
            if not penalty.selects or len(counts) > 1:
                self.param_groups.pop()
                got = f"weights with {counts} groups" if penalty.selects else penalty.name
                raise ValueError(f"joint groups need weights with one number of groups and a penalty that selects, got {got}")

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        """One AdamW step, then the proximal step of every penalised group."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._mask(gradients=True)
        products = [part for group in self.penalised() if group["penalty"].takes_products for part in self._products(group)]
        super().step()
        self._mask(gradients=False)
        found_inf = getattr(self, "found_inf", None)  # set by GradScaler, whose bad steps torch skips inside its kernel
        if found_inf is not None and found_inf.device.type == "cpu":
            if found_inf.item():
                return loss
            found_inf = None
        taken = None if found_inf is None else found_inf == 0
        for weight, name, value in products:
            self._update_mean(weight, name, value, taken)
        groups = [group for group in self.penalised() if not (_is_number(group["lr"]) and float(group["lr"]) == 0)]
        aims_at_nothing = self.zero_share is None and self.budget is None
        aims = {} if aims_at_nothing else self._aim([group for group in groups if group["steered"]])
        for group in groups:
            lr = group["lr"] if taken is None else group["lr"] * taken
            if id(group) not in aims and group["joint"]:
                self._threshold(group, taken)
            elif id(group) not in aims:
                self._prox(group, group["penalty"], lr)
            elif group["penalty"].selects:
                self._select(group, aims[id(group)], taken)
            else:
                self._prox(group, group["penalty"].with_strength(self._found_strength()), lr, aims[id(group)])
        return loss

    def _aim(self, groups: list[dict[str, Any]]) -> dict[int, list[Aim]]:
        """Find the lambda that sets ``zero_share`` of the groups of weights of these parameter groups to zero now, or so many
        that ``budget`` is kept.

        Returns:
            By the id of a parameter group, what that means for each of its weights that has a gradient.
        """
        aims: dict[int, list[Aim]] = {}
        for group in groups:
            keep, floors = group["keep"], group["floors"]
            if group["joint"]:
                measured = self._measure_joint(group)
            else:
                places = [i for i, weight in enumerate(group["params"]) if weight.grad is not None]
                measured = [(i, critical, 0) for i, critical in zip(places, self._measure(group), strict=True)]
            aims[id(group)] = [
                settled(i, critical, None if keep is None else keep[i], max(spared, 0 if floors is None else floors[i]))
                for i, critical, spared in measured
            ]
        flat = [aim for group in groups for aim in aims[id(group)]]
        if not flat:
            return {}
        removed = sum(group["removed_groups"] for group in groups)
        if self.budget is None:
            self.found_lambda = select(flat, removed, self.zero_share or 0.0)
            return aims
        if not all(group["penalty"].selects for group in groups):
            raise ValueError("a budget needs penalties whose zeros are final, such as GroupL0")
        count = self.budget.counter([group["params"][aim.place] for group in groups for aim in aims[id(group)]])
        sizes = [_group_size(group, aim.place) for group in groups for aim in aims[id(group)]]
        for aim, size, price in zip(flat, sizes, count.prices, strict=True):
            # The lambda of a group is weighted with what it costs, and not with the square root of its size.
            aim.critical = aim.critical * (size**0.5 / price)
        self.found_lambda = select(flat, removed, self.budget.share, count.left)
        return aims

    def _found_strength(self) -> Tensor | float:
        assert self.found_lambda is not None
        return float(self.found_lambda) if _is_number(self.found_lambda) else self.found_lambda

    def _select(self, group: dict[str, Any], aims: list[Aim], taken: Tensor | None) -> None:
        """Set the groups that are aimed at to zero, for good: weights and moments now, and gradients from now on."""
        if group["keep"] is None:
            group["keep"] = [weight.new_ones(weight.shape[group["axis"]]) for weight in group["params"]]
        for aim in aims:
            dead = aim.dead & (group["keep"][aim.place] > 0)
            dead = dead if taken is None else dead & taken
            if dead.device.type == "cpu" and not bool(dead.any()):
                continue
            for place in range(len(group["params"])) if group["joint"] else (aim.place,):
                weight = group["params"][place]
                weight.masked_fill_(along_groups(dead, weight, group["axis"]), 0.0)
                group["keep"][place].masked_fill_(dead, 0.0)
                self._forget(weight, dead, group["axis"])

    def _forget(self, weight: Tensor, dead: Tensor, axis: int) -> None:
        """Set the state of groups that are zero for good to zero."""
        for name, value in self.state.get(weight, {}).items():
            if name == PRODUCTS:
                value.masked_fill_(dead, 0.0)
            elif isinstance(value, Tensor) and value.shape == weight.shape:
                value.masked_fill_(along_groups(dead, weight, axis), 0.0)

    def _mask(self, gradients: bool) -> None:
        """Hold groups at zero that are zero for good. A penalty that selects has set their moments to zero as well, so that
        without a gradient AdamW's step is exactly 0 (0 / 0 if eps is 0); else the weights are set to zero after the step."""
        for group in self.penalised():
            selects = group["penalty"].selects
            for weight, keep in zip(group["params"], group["keep"] or (), strict=False):
                if weight.grad is None:
                    continue
                if gradients == selects:
                    (weight.grad if gradients else weight).mul_(along_groups(keep, weight, group["axis"]))
                elif selects and group["eps"] == 0:
                    weight.masked_fill_(along_groups(keep == 0, weight, group["axis"]), 0.0)

    def _products(self, group: dict[str, Any]) -> list[tuple[Tensor, str, Tensor]]:
        """Return what running means take in: weight, name in its state, and (gradient . weight)^2 of each group, (groups,).

        The products of joint groups are those of all weights that have a gradient together; one weight has them in its state.
        """
        weights = [weight for weight in group["params"] if weight.grad is not None]
        scale = getattr(self, "grad_scale", None)  # of gradients that GradScaler leaves to the fused step
        pairs = [(weight, weight.grad) for weight in weights]
        sums = group_dots(pairs, group["axis"]) if self.kernel == "auto" else [None] * len(pairs)
        products = [
            as_columns(gradient * weight, group["axis"]).sum(0) if known is None else known
            for (weight, gradient), known in zip(pairs, sums, strict=True)
        ]
        holders = weights
        if group["joint"] and weights:
            holders = [self._holder(group)]
            products = [torch.stack(products).sum(0)]
        squares = [(product if scale is None else product / scale.to(product.device)).square() for product in products]
        means = [(weight, PRODUCTS, square) for weight, square in zip(holders, squares, strict=True)]
        return means + [(weight, CORRECTION, square.new_ones(())) for weight, _, square in means if group["joint"]]

    def _holder(self, group: dict[str, Any]) -> Tensor:
        """The weight whose state has the products of joint groups: of those that have a gradient, if there are none yet."""
        weights: list[Tensor] = group["params"]
        held = (weight for weight in weights if PRODUCTS in self.state.get(weight, ()))
        return next(held, next(weight for weight in weights if weight.grad is not None))

    def _update_mean(self, weight: Tensor, name: str, value: Tensor, taken: Tensor | None) -> None:
        """Take the value of a step into its running mean."""
        mean = self.state[weight].get(name)
        if mean is None:  # Where AdamW's state was loaded, many steps are counted already: it begins as if all had been alike.
            mean, moved = torch.zeros_like(value), value * self._corrections([weight], DECAY)[0]
        else:
            moved = mean.lerp(value, 1 - DECAY)
        self.state[weight][name] = moved if taken is None else torch.where(taken, moved, mean)

    def _prox(self, group: dict[str, Any], penalty: Penalty, lr: Tensor | float, aims: Sequence[Aim] = ()) -> None:
        """The proximal step of one parameter group. What would be zero and is on the floor is left as it is, and where batch
        norm follows a weight, what a norm's prox leaves of it keeps its norm."""
        if not isinstance(penalty.lambda_, Tensor) and penalty.lambda_ == 0:
            return
        axis, weights = group["axis"], group["params"]
        spared = [(weights[aim.place], aim.largest) for aim in aims]
        columns = [weight.index_select(axis, largest) for weight, largest in spared]
        flags = () if penalty.selects else group["normalised"] or ()
        scaled = [weight for weight, flag in zip(weights, flags, strict=False) if flag and weight.grad is not None]
        squares = [column_norms(as_columns(weight, axis)).square() for weight in scaled]
        self._apply(group, penalty, lr)
        for (weight, largest), before in zip(spared, columns, strict=True):
            after = weight.index_select(axis, largest)
            live = along_groups(live_groups(after, axis), after, axis)
            weight.index_copy_(axis, largest, torch.where(live, after, before))
        for weight, before in zip(scaled, squares, strict=True):
            after = column_norms(as_columns(weight, axis)).square()
            left, wanted = after.sum(), torch.where(after > 0, before, 0.0).sum()
            weight.mul_(torch.where(left > 0, (wanted / left).sqrt(), 1.0))

    def _threshold(self, group: dict[str, Any], taken: Tensor | None) -> None:
        """The proximal step of joint groups with the penalty's own lambda, which is a hard threshold."""
        if group["penalty"].lambda_ == 0:
            return
        for _, critical, _ in self._measure_joint(group):
            dead = critical <= group["penalty"].lambda_
            for weight in group["params"]:
                weight.masked_fill_(along_groups(dead if taken is None else dead & taken, weight, group["axis"]), 0.0)

    def _measure_joint(self, group: dict[str, Any]) -> list[tuple[int, Tensor, int]]:
        """Measure joint groups as one weight whose columns are the columns of all; empty if no weight has a gradient.

        Returns:
            The place of the first weight; the lambda that just sets each group to zero, (groups,); and how many groups cannot
            be zero now, whose lambda is infinite: a weight that is not trained, or never had a gradient, reads them.
        """
        axis, weights, penalty = group["axis"], group["params"], group["penalty"]
        if all(weight.grad is None for weight in weights):
            return []
        learning = self._stepped(group)
        size = sum(penalised_group_size(weight, axis) for weight in weights)
        if penalty.takes_products:
            holder = self._holder(group)
            live = torch.stack([live_groups(weight, axis) for weight in weights]).any(0)
            # The products are all that is measured; of the weights only who lives, and the size, count.
            union = along_groups(live.to(holder.dtype), holder, axis)
            keep_group_size(union, size)
            products = self.state[holder][PRODUCTS] / self.state[holder][CORRECTION]
            critical = penalty.critical(union, products, group["lr"], axis)
        else:
            parts = zip(learning, self._measure(group), strict=True)
            critical = torch.stack([part * group_weight(weight, axis) for weight, part in parts]).sum(0) / size**0.5
        held = [live_groups(weight, axis) for weight in weights if not any(weight is other for other in learning)]
        if not held:
            return [(0, critical, 0)]
        stays = torch.stack(held).any(0)
        return [(0, critical.masked_fill(stays, math.inf), int(stays.sum()))]

    def _stepped(self, group: dict[str, Any]) -> list[Tensor]:
        """The weights that have a gradient; of joint groups all that learn and have ever had one."""
        if group["joint"]:
            return [weight for weight in group["params"] if weight.requires_grad and self.state.get(weight)]
        return [weight for weight in group["params"] if weight.grad is not None]

    def _measure(self, group: dict[str, Any]) -> list[Tensor]:
        """Per weight of :meth:`_stepped` the lambda that just sets each of its groups to zero: (groups,)."""
        axis, lr, penalty = group["axis"], group["lr"], group["penalty"].with_strength(0.0)
        weights, solved = self._solve(group, penalty, lr)
        squares: list[Tensor | None] = [None] * len(weights)
        if penalty.takes_products and self.kernel == "auto":
            squares = group_dots([(weight, weight) for weight in weights], axis)
        critical = []
        for weight, square in zip(weights, squares, strict=True):
            if square is not None:
                mean = self.state[weight][PRODUCTS] / self._corrections([weight], DECAY)[0]
                critical.append(penalty.critical_of(torch.where(square > 0, mean, 0.0), weight, lr, axis))
            elif id(weight) in solved:
                critical.append(solved[id(weight)].critical / group_weight(weight, axis))
            else:
                parts = [penalty.critical(x, metric, lr, axis) for _, x, metric in self._chunks(weight, group, penalty)]
                critical.append(torch.cat([weight.new_empty(0), *parts]))
        return critical

    def _apply(self, group: dict[str, Any], penalty: Penalty, lr: Tensor | float) -> None:
        """Set every weight of :meth:`_stepped` to the prox of ``penalty`` at it."""
        if penalty.takes_products and self.kernel == "auto":  # a group goes or stays by one number: no need to write the others
            weights = [weight for weight in group["params"] if weight.grad is not None]
            for weight, critical in zip(weights, self._measure(group), strict=True):
                weight.masked_fill_(along_groups(critical <= penalty.lambda_, weight, group["axis"]), 0.0)
            return
        weights, solved = self._solve(group, penalty, lr)
        for weight in weights:
            if id(weight) not in solved:
                for part, x, metric in self._chunks(weight, group, penalty):
                    part.copy_(penalty.prox(x, metric, lr, group["axis"]))

    def _solve(self, group: dict[str, Any], penalty: Penalty, lr: Tensor | float) -> tuple[list[Tensor], dict[int, WeightStep]]:
        """Let a batched kernel take the proximal step of the weights that it can, which with strength 0 only measures.

        Returns:
            The weights of :meth:`_stepped`; and by the id of each that a kernel took what it was given.
        """
        axis, parts = group["axis"], []
        weights = self._stepped(group)
        for weight, correction in zip(weights, self._corrections(weights, group["betas"][1]), strict=True):
            form = penalty.kernel_form(weight, axis) if self.kernel == "auto" else None
            if form is not None:
                v = self.state[weight]["exp_avg_sq"]
                critical = torch.empty(weight.shape[axis], dtype=torch.float32, device=weight.device)
                parts.append(WeightStep(weight, v, axis, correction, group["eps"], lr, form, critical))
        left = {id(part) for part in solve(parts)}
        return weights, {id(part.weight): part for part in parts if id(part) not in left}

    def _chunks(self, weight: Tensor, group: dict[str, Any], penalty: Penalty) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Some groups of a weight at a time, for torch operations: a view of it, its values, and Adam's metric of them."""
        axis = group["axis"]
        v, decay = self.state[weight]["exp_avg_sq"], DECAY if penalty.takes_products else group["betas"][1]
        correction = self._corrections([weight], decay)[0]
        width = max(1, CHUNK.get(weight.device.type, DEFAULT_CHUNK) * weight.shape[axis] // max(1, weight.numel()))
        for start in range(0, weight.shape[axis], width):
            count = min(width, weight.shape[axis] - start)
            part, v_part = weight.narrow(axis, start, count), v.narrow(axis, start, count)
            # Halves have too few digits for the equation.
            x = part.float() if part.dtype in (torch.float16, torch.bfloat16) else part
            keep_group_size(x, penalised_group_size(weight, axis))
            if penalty.takes_products:
                metric = self.state[weight][PRODUCTS].narrow(0, start, count).to(x.dtype) / correction
            else:
                metric = (v_part.to(x.dtype) / correction).sqrt_().add_(group["eps"])
            yield part, x, metric

    def _corrections(self, weights: list[Tensor], decay: float) -> list[Tensor | float]:
        """1 - decay^t of each weight; on a GPU, where t may live, as tensors there: nobody waits for them."""
        steps = [self.state[weight]["step"] for weight in weights]
        if all(_is_number(step) for step in steps):
            return [1 - decay ** float(step) for step in steps]
        return list((1 - decay ** torch.stack(steps).double()).unbind())

    @torch.no_grad()
    def keep_zeros(self) -> None:
        """Keep groups of weights that are zero now at zero from now on; the penalties go on acting on the others.

        With lambda 0 this is how a sparse network is trained on without the penalty's pull.
        """
        for group in self.param_groups:
            if group["penalty"] is not None:
                live = [live_groups(weight, group["axis"]) for weight in group["params"]]
                live = [torch.stack(live).any(0)] * len(live) if group["joint"] and live else live
                group["keep"] = [mask.to(weight.dtype) for mask, weight in zip(live, group["params"], strict=True)]
                for weight, keep in zip(group["params"], group["keep"] if group["penalty"].selects else (), strict=False):
                    self._forget(weight, keep == 0, group["axis"])

    def state_dict(self) -> dict[str, Any]:
        """As for any torch optimizer, the penalties as plain values."""
        state = super().state_dict()
        for group in state["param_groups"]:
            if group["penalty"] is not None:
                group["penalty"] = group["penalty"].state()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As for any torch optimizer; what a saved group lacks (AdamW's has no penalty) stays as it is."""
        own = [{name: group.get(name) for name in OWN_OPTIONS} for group in self.param_groups]
        super().load_state_dict(state_dict)
        for group, kept in zip(self.param_groups, own, strict=True):
            for name, value in kept.items():
                group.setdefault(name, value)
            if isinstance(group["penalty"], dict):
                group["penalty"] = penalty_from_state(group["penalty"])
            if group["keep"] is not None:
                group["keep"] = [keep.to(weight) for keep, weight in zip(group["keep"], group["params"], strict=True)]

    def penalised(self) -> Iterator[dict[str, Any]]:
        """The parameter groups that carry a penalty."""
        return (group for group in self.param_groups if group["penalty"] is not None)


def _group_size(group: dict[str, Any], place: int) -> int:
    """Return the weights in a group of channels of the weight at ``place``; of joint groups, those in all weights together."""
    weights = group["params"] if group["joint"] else [group["params"][place]]
    return sum(penalised_group_size(weight, group["axis"]) for weight in weights)


def _is_number(value: Tensor | float) -> bool:
    """True where reading the value waits for no device."""
    return not isinstance(value, Tensor) or value.device.type == "cpu"
