"""The compact network that goes on training: batch norm stays, and whatever still learns stays.

It is equal to the dense network in which everything that is gone is held at zero: filters and batch-norm entries that nobody
reads, and the zero groups. A layer without live groups is not computed, but its batch norm lives: its shift still learns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.compaction.anatomy import Anatomy, Unit
from models.compaction.layers import CompactBackbone, CompactConv2d, CompactUnit, positions
from models.compaction.liveness import Plan


def build_trainable(anatomy: Anatomy, plan: Plan) -> CompactBackbone:
    """The backbone that does in train and in eval mode what the dense one does, on copies of what is left of its weights."""
    units: dict[str, CompactUnit] = {}
    source: Tensor = torch.arange(anatomy.stem[0].conv.in_channels)
    for unit in anatomy.stem:
        units[unit.name] = _unit(unit, plan, source)
        source = plan.convs[unit.name].rows
    for number, block in enumerate(anatomy.blocks):
        source = plan.points[number]
        for unit in block.branch:
            units[unit.name] = _unit(unit, plan, source)
            source = plan.convs[unit.name].rows
        if block.shortcut is not None:
            units[block.shortcut.name] = _unit(block.shortcut, plan, plan.points[number])
    return CompactBackbone(anatomy, units, tuple(len(point) for point in plan.points))


def _unit(unit: Unit, plan: Plan, source: Tensor) -> CompactUnit:
    kept, conv = plan.convs[unit.name], unit.conv
    weight = conv.weight.detach()[kept.rows][:, kept.columns].clone()
    bias = None if conv.bias is None else conv.bias.detach()[kept.rows].clone()
    module = CompactConv2d(weight, bias, len(source), positions(kept.columns, source), conv, conv.weight)
    norm = _narrowed(unit.norm, kept.rows) if len(kept.rows) else None
    return CompactUnit(module, norm, unit.relu)


def _narrowed(norm: nn.BatchNorm2d, rows: Tensor) -> nn.BatchNorm2d:
    """The batch norm of some channels: its parameters and running statistics."""
    narrow = nn.BatchNorm2d(
        *(len(rows), norm.eps, norm.momentum, norm.affine, norm.track_running_stats),
        device=rows.device,
        dtype=None if norm.weight is None else norm.weight.dtype,
    )
    for name, value in norm.state_dict().items():
        part = value[rows] if value.ndim else value
        narrow.get_buffer(name).copy_(part) if name in dict(norm.named_buffers()) else narrow.get_parameter(name).data.copy_(
            part
        )
    return narrow.train(norm.training)
