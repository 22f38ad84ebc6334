"""Convolutions whose results do not depend on the scale of their weights."""

from __future__ import annotations

from torch import nn

from models.compaction.anatomy import dissect
from models.compaction.layers import CompactBackbone


def normalised_convolutions(backbone: nn.Module) -> set[str]:
    """Names of the backbone's convolutions that batch norm follows: rescaling such a weight changes nothing behind it.

    Raises:
        TypeError: a network about whose data flow nothing is known.
    """
    if not isinstance(backbone, CompactBackbone):
        return {unit.name for unit in dissect(backbone).units()}
    names = {module: name for name, module in backbone.named_modules()}
    branches = [(*branch, *(() if shortcut is None else (shortcut,))) for branch, shortcut in backbone.block_units]
    units = [*backbone.stem_units, *(unit for branch in branches for unit in branch)]
    return {names[unit.conv] for unit in units if unit.norm is not None}
