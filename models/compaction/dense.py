"""The dense network with its batch norm folded: what a compact model is fairly compared with."""

from __future__ import annotations

import copy

import torch
from torch import nn

from models.compaction.anatomy import dissect
from models.compaction.fold import fold
from models.compaction.heads import fold_norms
from models.compaction.layers import CompactBackbone
from models.multi_task import MultiTaskModel


def require_dense(model: object, purpose: str) -> None:
    """Refuse what is no multi-task model of this project, or has been compacted already.

    Args:
        model: what was given.
        purpose: who asks, for the message.

    Raises:
        TypeError: it is something else; the message says what to give.
    """
    kind = type(model).__name__
    wrapped = next((name for name in ("_orig_mod", "module") if isinstance(getattr(model, name, None), MultiTaskModel)), None)
    if wrapped is not None:
        raise TypeError(f"{purpose} expects a MultiTaskModel, got {kind} around one; give it the model inside (.{wrapped})")
    if not isinstance(model, MultiTaskModel):
        raise TypeError(f"{purpose} expects a MultiTaskModel, such as models.build_model(config) gives, got {kind}")
    if isinstance(model.backbone, CompactBackbone):
        raise TypeError(f"{purpose} expects a dense MultiTaskModel; this {kind} is a compact one already")


@torch.no_grad()
def fold_batch_norm(model: MultiTaskModel) -> MultiTaskModel:
    """A copy for inference whose convolutions do their batch norm's work as well; ``model`` itself is left alone.

    Its outputs are those of ``model`` in eval mode, to rounding. It is in eval mode, without gradients; where a batch norm
    was, there is an ``nn.Identity``.

    Raises:
        TypeError: it is no dense model of the project's, or its backbone is none.
    """
    require_dense(model, "fold_batch_norm()")
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
