"""Groups, penalties, proximal operators, the optimizer, and the sparsity report."""

from optim.penalties import PENALTIES, GroupLasso, GroupMCP, Penalty
from optim.prox_adam import ProxAdam
from optim.schedules import LambdaSchedule
from optim.sparsity import LayerSparsity, SparsityReport, sparsity_report

__all__ = [
    "PENALTIES",
    "GroupLasso",
    "GroupMCP",
    "LambdaSchedule",
    "LayerSparsity",
    "Penalty",
    "ProxAdam",
    "SparsityReport",
    "sparsity_report",
]
