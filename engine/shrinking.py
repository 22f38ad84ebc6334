"""Training on what is left of a network: as groups die, the network that trains becomes a compact one.

``Trial.model`` stays the dense network, in which everything that is gone is zero: checkpoints, counts and figures are about it.
Only ``Trial.network``, which the batches run through, gets smaller. With shrinking or without it, filters that nobody reads any
more are set to zero with their moments, at the same moments; so both are one training, to rounding (docs/compact.md).
"""

from __future__ import annotations

import logging

from engine.trial import Trial
from models import mask_dense, plan_removal
from models.compaction.removal import Removal

log = logging.getLogger(__name__)

REBUILDING = 2.0
"""Batches that could train the dense network in the time that it takes to build a compact one."""


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
    if trial.control.debiasing:
        # A group with weights in nothing but filters that are gone, as l1 on single weights leaves it, is zero only now.
        trial.optimizer.keep_zeros()
    if shrinks:
        trial.shrink(removal)
        log.info(
            "%s: from epoch %d on, the network that trains has %.1f %% of the dense one's multiply-adds",
            *(trial.name, trial.epoch + 1, 100 * trial.train_macs / trial.costs.dense),
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
