"""Strength of the penalty while a network trains: fixed beforehand, or steered towards a sparsity.

All kinds are used alike: ``apply`` before every step of the optimizer, with the time in epochs (3.5 is the middle of the
fourth epoch). All may end in a **debias phase**: zero groups stay zero, and the penalty is off. A schedule and a controller are
about the optimizer's steered parameter groups (by default all); :class:`TwoControls` adds a schedule for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from .prox_adam import ProxAdam
from .selection import Budget, Counter


class LambdaSchedule:
    """A strength that is known beforehand: 0 before epoch ``start``, then constant, rising at first, or through given points.

    Args:
        strength: lambda; or pairs (epoch, lambda) with epochs that do not fall: linear between them, constant before the first
            and after the last; two points of one epoch are a jump.
        start: epoch before which the penalty is off.
        warmup: epochs from ``start`` on in which a single lambda rises from 0.
        debias_from: epoch from which zero groups stay zero and the penalty is off; None: never.
    """

    def __init__(
        self,
        strength: float | Sequence[tuple[float, float]],
        start: float = 0,
        warmup: float = 0,
        debias_from: float | None = None,
    ) -> None:
        if isinstance(strength, int | float):
            strength = [(start, 0.0), (start + warmup, strength)] if warmup > 0 else [(start, strength)]
        epochs = [epoch for epoch, _ in strength]
        if not epochs or epochs != sorted(epochs) or min(value for _, value in strength) < 0:
            raise ValueError(f"expected pairs (epoch, lambda >= 0) with epochs that do not fall, got {list(strength)}")
        self.points = tuple((float(epoch), float(value)) for epoch, value in strength)
        self.start, self.debias_from = start, debias_from
        self.debiasing = False

    def is_full(self, epoch: float) -> bool:
        """True once the strength changes no more, so that networks may be compared (a dense run: always)."""
        if all(value == 0 for _, value in self.points):
            return True
        return epoch >= (max(self.start, self.points[-1][0]) if self.debias_from is None else self.debias_from)

    def at(self, epoch: float) -> float:
        """Lambda at a time."""
        if epoch < self.start or (self.debias_from is not None and epoch >= self.debias_from):
            return 0.0
        before = [point for point in self.points if point[0] <= epoch]
        after = [point for point in self.points if point[0] > epoch]
        if not before or not after:
            return before[-1][1] if before else after[0][1]
        (left, low), (right, high) = before[-1], after[0]
        return low + (high - low) * (epoch - left) / (right - left)

    def apply(self, optimizer: ProxAdam, epoch: float, length: float = 0.0) -> None:
        """Give the steered penalties their strength for a step at ``epoch``; what length it has does not matter."""
        if self.debias_from is not None and epoch >= self.debias_from and not self.debiasing:
            self.debiasing = True
            optimizer.keep_zeros()
        set_strength(optimizer, self.at(epoch))

    def wanted(self, epoch: float) -> None:
        """No share of zero groups is aimed at."""

    def strength(self, optimizer: ProxAdam) -> float:
        """Lambda in the last step of ``optimizer``."""
        return strength_of(optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"debiasing": self.debiasing, "debias_from": self.debias_from}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`; a debias phase that has begun began when it did, whatever the settings say now."""
        self.debiasing = bool(state["debiasing"])
        if self.debiasing:
            self.debias_from = state.get("debias_from", self.debias_from)


class SparsityController:
    """Steers lambda so that a given share of all groups is zero at a given time.

    After AdamW's part of a step it is known, for every group, which lambda would just set it to zero. So the lambda that
    sets a wanted share of the groups to zero is a quantile of these numbers (``ProxAdam.zero_share``): there is no gain to
    tune, no starting value to guess, and nothing that could oscillate. The wanted share rises from 0 at ``start`` to
    ``target`` shortly before ``until``; there the zero groups are fixed, and the penalty is off (docs/math.md).

    Args:
        target: share of zero groups among all penalised and steered groups, in (0, 1).
        start: epoch before which the penalty is off.
        until: epoch at which the zero groups are fixed.
        ramp: how the wanted share rises: ``smooth``, with slope 0 at both ends, or ``cubic``, 1 - (1 - t)^3, which is steepest
            at the start (Zhu and Gupta, 2017).
        held: share of the time between start and until, at its end, in which the target is held: groups near the limit still
            change places in it, unless the penalty makes zeros that are final.
    """

    HELD = 0.15

    def __init__(
        self, target: float, start: float, until: float, ramp: Literal["smooth", "cubic"] = "smooth", held: float = HELD
    ) -> None:
        if ramp not in ("smooth", "cubic"):
            raise ValueError(f"ramp must be 'smooth' or 'cubic', got {ramp!r}")
        if not 0 <= held < 1:
            raise ValueError(f"held must be a share from 0 to below 1, got {held}")
        if not 0 < target < 1:
            raise ValueError(f"target must be a share between 0 and 1, got {target}")
        if not start < until:
            raise ValueError(f"until must come after start, got start {start} and until {until}")
        self.target, self.start, self.until, self.ramp, self.held = target, start, until, ramp, held
        self.debiasing = False

    def is_full(self, epoch: float) -> bool:
        """True once networks may be compared: from ``until`` on."""
        return epoch >= self.until

    def wanted(self, epoch: float) -> float:
        """The share of zero groups at a time: rises from 0 to the target."""
        return self.target * self._risen(epoch)

    def _risen(self, epoch: float) -> float:
        """Return the part of the way to the target that is done at a time, from 0 to 1."""
        t = min(1.0, max(0.0, (epoch - self.start) / ((1 - self.held) * (self.until - self.start))))
        return t * t * (3 - 2 * t) if self.ramp == "smooth" else 1 - (1 - t) ** 3

    def apply(self, optimizer: ProxAdam, epoch: float, length: float = 0.0) -> None:
        """Tell ``optimizer`` what to aim at in a step that begins at ``epoch`` and takes ``length`` epochs.

        The aim is what is wanted at the step's end: so the last one before ``until`` aims at the target, however few there are.
        """
        set_strength(optimizer, 0.0)
        self._aim(optimizer, epoch, length)
        if epoch >= self.until and not self.debiasing:
            self.debiasing = True
            optimizer.keep_zeros()

    def _aim(self, optimizer: ProxAdam, epoch: float, length: float) -> None:
        """Give ``optimizer`` its aim, or none outside of the ramp; arguments as for :meth:`apply`."""
        optimizer.zero_share = self.wanted(epoch + length) if self.start <= epoch < self.until else None

    def strength(self, optimizer: ProxAdam) -> float:
        """Lambda in the last step of ``optimizer``."""
        aiming = optimizer.zero_share is not None and optimizer.found_lambda is not None
        return float(optimizer.found_lambda) if aiming else 0.0  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"debiasing": self.debiasing, "start": self.start, "until": self.until}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`; groups that are fixed were fixed when they were, whatever the settings say now."""
        self.debiasing = bool(state["debiasing"])
        if self.debiasing:
            self.start, self.until = state.get("start", self.start), state.get("until", self.until)


class BudgetController(SparsityController):
    """Selects groups so that a given share of the network's cost is left at a given time.

    The groups die in the order of their critical lambda, as with :class:`SparsityController`, and as many as the budget wants
    (``ProxAdam.budget``). Their zeros have to be final. What is left falls from 1 along the curve of the ramp. As counting
    takes time, groups die in every n-th step of an epoch and in the last one before ``until``: n is a hundredth of the ramp's
    steps, from 1 to 10.

    Args:
        target: share of the cost that is left at ``until``, in (0, 1).
        start: epoch before which no group dies.
        until: epoch at which the zero groups are fixed.
        counter: as of :class:`optim.selection.Budget`.
        ramp: as of :class:`SparsityController`.
    """

    COUNTS = 100
    """Counts in a ramp, if it is not so long that ``MOST_STEPS`` make more of them."""
    MOST_STEPS = 10
    """Steps from one count to the next."""

    def __init__(
        self,
        target: float,
        start: float,
        until: float,
        counter: Counter,
        ramp: Literal["smooth", "cubic"] = "smooth",
    ) -> None:
        super().__init__(target, start, until, ramp, held=0.0)
        self.counter = counter

    def wanted(self, epoch: float) -> float:
        """The share of the cost that may be left at a time: falls from 1 to the target."""
        return 1 - (1 - self.target) * self._risen(epoch)

    def _aim(self, optimizer: ProxAdam, epoch: float, length: float) -> None:
        # It depends on the time alone, so a resumed training counts in the same steps.
        steps = (self.until - self.start) / length if length else 0.0
        every = min(self.MOST_STEPS, max(1, round(steps / self.COUNTS)))
        step = round(epoch % 1 / length) if length else 0
        is_last = epoch + 1.5 * length > self.until
        due = self.start <= epoch < self.until and (step % every == 0 or is_last)
        optimizer.budget = Budget(self.wanted(epoch + length), self.counter) if due else None

    def strength(self, optimizer: ProxAdam) -> float:
        """Lambda of the last group that died; 0 once the zeros are fixed."""
        return 0.0 if self.debiasing or optimizer.found_lambda is None else float(optimizer.found_lambda)


class TwoControls:
    """The steered parameter groups follow one control, the others a schedule that ends where the control's penalty ends.

    Args:
        steered: of the optimizer's steered parameter groups; its debias phase fixes the zeros of all.
        others: of the penalties that are not steered, with the same ``debias_from``.
    """

    def __init__(self, steered: LambdaSchedule | SparsityController, others: LambdaSchedule) -> None:
        self.steered, self.others = steered, others

    @property
    def debiasing(self) -> bool:
        """True once zero groups stay zero."""
        return self.steered.debiasing

    def is_full(self, epoch: float) -> bool:
        """True once neither strength changes any more."""
        return self.steered.is_full(epoch) and self.others.is_full(epoch)

    def wanted(self, epoch: float) -> float | None:
        """The share that the steered ones aim at."""
        return self.steered.wanted(epoch)

    def apply(self, optimizer: ProxAdam, epoch: float, length: float = 0.0) -> None:
        """Give every penalty its strength, or its aim, for a step that begins at ``epoch`` and takes ``length`` epochs."""
        self.steered.apply(optimizer, epoch, length)
        set_strength(optimizer, self.others.at(epoch), steered=False)

    def strength(self, optimizer: ProxAdam) -> float:
        """Lambda of the steered penalties in the last step of ``optimizer``."""
        return self.steered.strength(optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"steered": self.steered.state_dict(), "others": self.others.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self.steered.load_state_dict(state["steered"])
        # The others' schedule fixes nothing itself: its penalty ends where the steered ones' does.
        self.others.load_state_dict({**state["others"], "debiasing": self.steered.debiasing})


PenaltyControl = LambdaSchedule | SparsityController | TwoControls
"""Any object that decides on the penalty's strength in a training."""


def set_strength(optimizer: ProxAdam, strength: float, steered: bool = True) -> None:
    """Give the penalties of the steered parameter groups, or those of the others, this strength."""
    for group in optimizer.penalised():
        if group["steered"] == steered and group["penalty"].lambda_ != strength:
            group["penalty"] = group["penalty"].with_strength(strength)


def strength_of(optimizer: ProxAdam, steered: bool = True) -> float:
    """The largest strength that :func:`set_strength` gave them."""
    return max((float(group["penalty"].lambda_) for group in optimizer.penalised() if group["steered"] == steered), default=0.0)
