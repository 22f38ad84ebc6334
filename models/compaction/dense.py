"""The dense network with its batch norm folded: what a compact model is fairly compared with."""

from __future__ import annotations

import copy

import torch
from torch import nn

from models.compaction.anatomy import dissect
from models.compaction.fold import fold
from models.compaction.heads import fold_norms
from models.multi_task import MultiTaskModel


@torch.no_grad()
def fold_batch_norm(model: MultiTaskModel) -> MultiTaskModel:
    """A copy for inference whose convolutions do their batch norm's work as well; ``model`` itself is left alone.

    Its outputs are those of ``model`` in eval mode, to rounding. It is in eval mode, without gradients; where a batch norm
    was, there is an ``nn.Identity``.

    Raises:
        TypeError: the backbone is none of the project's.
    """
    folded = copy.deepcopy(model).eval()
    for unit in dissect(folded.backbone).units():
        weight, bias = fold(unit.conv, unit.norm)
        dtype = unit.conv.weight.dtype
        unit.conv.weight = nn.Parameter(weight.to(dtype))
        unit.conv.bias = nn.Parameter(bias.to(dtype))
        folded.backbone.set_submodule(unit.norm_name, nn.Identity())
    for head in folded.heads.values():
        fold_norms(head)
    folded.requires_grad_(False)
    return folded
