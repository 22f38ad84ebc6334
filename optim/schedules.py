"""When the penalty acts."""

from __future__ import annotations

from dataclasses import dataclass

from torch.optim import Optimizer


@dataclass(frozen=True)
class LambdaSchedule:
    """The penalty's strength per epoch: 0 before epoch ``start``, ``strength`` from it on (epochs count from 0)."""

    strength: float
    start: int = 0

    def at(self, epoch: int) -> float:
        """Lambda in ``epoch``."""
        return self.strength if epoch >= self.start else 0.0

    def is_full(self, epoch: int) -> bool:
        """True once the penalty has its full strength, so that networks may be compared (a dense run: always)."""
        return self.strength == 0 or epoch >= self.start

    def apply(self, optimizer: Optimizer, epoch: int) -> None:
        """Give every penalty of ``optimizer`` its strength in ``epoch``."""
        for group in optimizer.param_groups:
            if group.get("penalty") is not None:
                group["penalty"] = group["penalty"].with_strength(self.at(epoch))
