"""Groups, penalties, proximal operators, the optimizer, and the sparsity report.

``pip install .`` installs this package alone, as ``lessismore`` (docs/python.md): it imports nothing of the project. The names
below are imported when they are first used: a configuration reads the penalties' parameters without waiting for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .groups import grouped_weights, least_groups
    from .penalties import PENALTIES, GroupL0, GroupLasso, GroupMCP, Penalty, SparseGroupLasso
    from .prox_adam import ProxAdam
    from .schedules import BudgetController, LambdaSchedule, PenaltyControl, SparsityController, TwoControls, strength_of
    from .sparsity import LayerSparsity, SparsityReport, count_groups, group_squares, live_mask, live_rms, sparsity_report

__all__ = [
    "PENALTIES",
    "BudgetController",
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
    "grouped_weights",
    "least_groups",
    "live_mask",
    "live_rms",
    "sparsity_report",
    "strength_of",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import groups, penalties, prox_adam, schedules, sparsity

    modules = (groups, penalties, prox_adam, schedules, sparsity)
    return next(getattr(module, name) for module in modules if hasattr(module, name))
