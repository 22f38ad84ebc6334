"""The compact network for inference: batch norm folded, channels removed, constants folded."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.compaction.anatomy import Anatomy, Block, Unit
from models.compaction.constants import takes_constants
from models.compaction.fold import fold
from models.compaction.layers import CompactBackbone, CompactConv2d, CompactUnit, keep_width, positions
from models.compaction.liveness import Plan
from models.compaction.runner import Runner


class InferenceBackbone(CompactBackbone):
    """On a CPU, in float32 and without gradients, it runs in the compiled kernel (``runner.py``), where reading some channels
    costs nothing extra; else in torch operations."""

    def __init__(self, anatomy: Anatomy, units: Mapping[str, CompactUnit], widths: tuple[int, ...]) -> None:
        super().__init__(anatomy, units, widths)
        self.runner = Runner()

    def _features(self, images: Tensor) -> Tensor:
        if self.runner.can_run(self, images):
            return self.runner.run(self, images)
        return super()._features(images)


class _Folded:
    """Remains of a convolution with its batch norm, in float64, and how it reads its input."""

    def __init__(self, unit: Unit, plan: Plan, width: int, source: Tensor | None) -> None:
        kept = plan.convs[unit.name]
        weight, bias = fold(unit.conv, unit.norm)
        self.unit = unit
        self.weight = weight[kept.rows][:, kept.columns]
        self.bias = bias[kept.rows]
        self.width = width
        # where the kept columns lie in what the producer still has: all of the image, or its kept channels
        self.columns = kept.columns if source is None else positions(kept.columns, source)

    def absorb(self, constant: Tensor | None) -> None:
        """Read a constant map: a 1x1 convolution of it is a constant as well, and joins the bias."""
        if constant is not None and takes_constants(self.unit):
            self.bias = self.bias + self.weight[:, :, 0, 0] @ constant[self.columns]
            self.weight, self.columns = self.weight[:, :0], self.columns[:0]

    def constant(self, relu: bool) -> Tensor | None:
        """(rows,) its value where it reads nothing, else None."""
        if self.weight.shape[1]:
            return None
        return self.bias.clamp(min=0) if relu else self.bias

    def module(self, relu: bool, free_selects: bool) -> CompactUnit:
        """Return it as a module, in the dense network's precision."""
        dense = self.unit.conv
        weight, bias = self.weight.to(dense.weight.dtype), self.bias.to(dense.weight.dtype)
        conv = CompactConv2d(weight, bias, self.width, self.columns, dense, dense.weight)
        if not free_selects:
            conv = keep_width(conv, dense, dense.weight)
        return CompactUnit(conv.requires_grad_(False), None, relu)


def build_backbone(anatomy: Anatomy, plan: Plan, *, free_selects: bool) -> InferenceBackbone:
    """The backbone that does in eval mode what the dense one does."""
    units: dict[str, CompactUnit] = {}
    width: int = anatomy.stem[0].conv.in_channels
    source: Tensor | None = None
    constant: Tensor | None = None
    for unit in anatomy.stem:
        folded = _Folded(unit, plan, width, source)
        units[unit.name] = folded.module(unit.relu, free_selects)
        constant, source = folded.constant(unit.relu), plan.convs[unit.name].rows
        width = len(source)
    for number, block in enumerate(anatomy.blocks):
        constant = _build_block(block, plan, number, constant, units, free_selects)
    return InferenceBackbone(anatomy, units, tuple(len(point) for point in plan.points))


def _build_block(
    block: Block, plan: Plan, number: int, stream: Tensor | None, units: dict[str, CompactUnit], free_selects: bool
) -> Tensor | None:
    """Add the units of block ``number``; return the stream's value after it where that is constant.

    A constant branch joins the shortcut's bias and a constant shortcut the branch's, so that neither is computed.
    """
    branch: list[_Folded] = []
    before, after = plan.points[number], plan.points[number + 1]
    source, constant = before, stream
    for unit in block.branch:
        folded = _Folded(unit, plan, len(source), source)
        folded.absorb(constant)
        constant = folded.constant(unit.relu)
        branch.append(folded)
        source = plan.convs[unit.name].rows
    last = branch[-1]
    if constant is not None:
        branch = [last]  # nobody asks for the convolutions before it
    if block.shortcut is None:
        kept = None if stream is None else stream[: len(after)]
        if constant is not None and not constant.any():
            branch = []  # relu(x + 0) is x: what comes out of a ReLU
    else:
        shortcut = _Folded(block.shortcut, plan, len(before), before)
        shortcut.absorb(stream)
        kept = shortcut.constant(relu=False)
        if constant is not None:
            shortcut.bias = shortcut.bias + constant
            branch = []
        elif kept is not None:
            last.bias = last.bias + kept
            shortcut.bias = torch.zeros_like(shortcut.bias)
        units[block.shortcut.name] = shortcut.module(False, free_selects)
    for folded in branch:
        units[folded.unit.name] = folded.module(folded.unit.relu, free_selects)
    return None if constant is None or kept is None else (constant + kept).clamp(min=0)
