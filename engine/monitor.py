"""When a number stops getting better."""

from __future__ import annotations

import math
from typing import Any


class Patience:
    """Remembers the lowest value and how many updates ago it was seen."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best = math.inf
        self.waited = 0

    def update(self, value: float | None) -> bool:
        """Take a value; True if it is the lowest so far. None is no value: nothing was seen, and nothing is waited for."""
        if value is None:
            return False
        improved = value < self.best
        if improved:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return improved

    @property
    def exhausted(self) -> bool:
        """True once ``patience`` updates in a row brought no improvement."""
        return self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self.best, self.waited = float(state["best"]), int(state["waited"])
