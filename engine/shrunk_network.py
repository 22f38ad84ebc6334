"""A compact network that trains in place of a dense one: its numbers and its optimizer, and their way back."""

from __future__ import annotations

from typing import Any

import torch

from models import MultiTaskModel, build_compact, narrowed_optimizer, put_back, return_optimizer_state
from models.compaction.removal import Removal
from optim import ProxAdam


class ShrunkNetwork:
    """A compact network that trains in place of a dense one, with its optimizer.

    Args:
        model: the dense network; it is kept, and follows when :meth:`gather` is called.
        optimizer: of ``model``; it is kept without its state.
        removal: what goes from ``model``: everything in it that is gone has to be zero.
        channels_last: whether weights lie in channels-last layout.
    """

    def __init__(self, model: MultiTaskModel, optimizer: ProxAdam, removal: Removal, channels_last: bool) -> None:
        self.model, self.removal, self.maps = model, removal, removal.maps(model)
        self.network: MultiTaskModel = build_compact(model, removal, for_training=True)
        if channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = narrowed_optimizer(optimizer, model, self.network, self.maps)
        self._dense_optimizer = optimizer
        optimizer.state.clear()

    def gather(self) -> None:
        """Write the compact network's numbers into the dense one."""
        put_back(self.network, self.model, self.maps)

    def widened_optimizer(self) -> ProxAdam:
        """Return the dense network's optimizer with the state of the compact one's."""
        return_optimizer_state(self.optimizer, self.network, self._dense_optimizer, self.model, self.maps)
        return self._dense_optimizer

    def optimizer_state(self) -> dict[str, Any]:
        """Return the state of :meth:`widened_optimizer`, which is not kept."""
        state = self.widened_optimizer().state_dict()
        self._dense_optimizer.state.clear()
        return state
