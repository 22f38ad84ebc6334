"""Training on what is left of a network: as groups die, the network that trains becomes a compact one.

``Trial.model`` stays the dense network, in which everything that is gone is zero: checkpoints, counts and figures are about it.
Only ``Trial.network``, which the batches run through, gets smaller. With shrinking or without it, filters that nobody reads any
more are set to zero with their moments, at the same moments; so both are one training, to rounding (docs/compact.md).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

from models import MultiTaskModel, build_compact, mask_dense, narrowed_optimizer, plan_removal, put_back, return_optimizer_state
from models.compaction.removal import Removal
from optim import ProxAdam

if TYPE_CHECKING:
    from engine.trial import Trial

log = logging.getLogger(__name__)

REBUILDING = 2.0
"""Batches that could train the dense network in the time that it takes to build a compact one."""


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


def remove_dead(trial: Trial, batches: int) -> None:
    """Set to zero what nobody reads any more, and let a smaller network train on where that saves time.

    To be called before an epoch. It depends on nothing but the state of the trial, so a resumed trial does the same.

    Args:
        trial: changed in place.
        batches: of an epoch.
    """
    if trial.removal_is_final or not _zeros_are_final(trial):
        return
    trial.gather()
    removal = plan_removal(trial.model, whole_features=trial.config.joins_heads)
    trial.removal_is_final = trial.control.debiasing
    if trial.shrunk is not None and trial.shrunk.removal.equals(removal):
        return
    shrinks = trial.can_shrink and (trial.shrunk is not None or _saved_time(trial, removal, batches) > REBUILDING)
    trial.widen()
    mask_dense(trial.model, removal.maps(trial.model), trial.optimizer)
    if shrinks:
        trial.shrink(removal)
        log.info(
            "trial %d: from epoch %d on, the network that trains has %.1f %% of the dense one's multiply-adds",
            *(trial.number, trial.epoch + 1, 100 * trial.train_macs / trial.costs.dense),
        )


def _saved_time(trial: Trial, removal: Removal, batches: int) -> float:
    """Return the time that the rest of the training would save, in batches of the dense network, by its multiply-adds."""
    share = (trial.train_macs - trial.costs.of(removal)) / trial.costs.dense
    return share * batches * (trial.config.epochs - trial.epoch)


def _zeros_are_final(trial: Trial) -> bool:
    """Return whether groups that are zero now stay zero, and the backbone says what feeds what."""
    if not (trial.config.group_sparsity and hasattr(trial.model.backbone, "anatomy")):
        return False
    if trial.control.debiasing:
        return True
    penalised = list(trial.optimizer.penalised())
    steered = all(group["steered"] and group["penalty"].selects for group in penalised)
    return steered and trial.config.target is not None and trial.epoch > trial.config.sparsity_epoch
