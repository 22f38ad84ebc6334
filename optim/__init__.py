"""Groups, penalties, proximal operators, the optimizer, and the sparsity report."""

from optim.penalties import PENALTIES, GroupL0, GroupLasso, GroupMCP, Penalty, SparseGroupLasso
from optim.prox_adam import ProxAdam
from optim.schedules import LambdaSchedule, PenaltyControl, SparsityController, TwoControls, strength_of
from optim.sparsity import (
    LayerSparsity,
    SparsityReport,
    count_groups,
    group_squares,
    live_mask,
    live_rms,
    sparsity_report,
)

__all__ = [
    "PENALTIES",
    "GroupL0",
    "GroupLasso",
    "GroupMCP",
    "LambdaSchedule",
    "LayerSparsity",
    "Penalty",
    "PenaltyControl",
    "ProxAdam",
    "SparseGroupLasso",
    "SparsityController",
    "SparsityReport",
    "TwoControls",
    "count_groups",
    "group_squares",
    "live_mask",
    "live_rms",
    "sparsity_report",
    "strength_of",
]
