"""Heads after the removal: they read the features that are left, and for inference their batch norm is folded."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping

from torch import Tensor, nn

from models.compaction.fold import fold_into
from models.compaction.layers import CompactConv2d, keep_width, positions
from models.heads import feature_convs
from optim.groups import live_groups


def read_columns(head: nn.Module, features: Tensor) -> dict[str, Tensor]:
    """Return, per convolution of ``head`` that reads features, which of the ``features`` (numbers) it does not ignore."""
    return {name: features[live_groups(conv.weight.detach())[features]] for name, conv in feature_convs(head)}


def compact_head(head: nn.Module, features: Tensor, columns: Mapping[str, Tensor], *, for_training: bool) -> nn.Module:
    """A copy of ``head`` that reads ``columns`` (as of :func:`read_columns`) of the ``features`` (numbers) that are left."""
    copied = copy.deepcopy(head)
    if not for_training:
        fold_norms(copied)
    for name, dense in feature_convs(head):
        conv = copied.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        bias = None if conv.bias is None else conv.bias.detach().clone()
        weight = conv.weight.detach()[:, columns[name]].clone()
        module = CompactConv2d(weight, bias, len(features), positions(columns[name], features), conv, dense.weight)
        if not for_training:
            module = keep_width(module, conv, dense.weight)
        parent, _, last = name.rpartition(".")
        copied.get_submodule(parent).add_module(last, module)
    if not for_training:
        copied.requires_grad_(False)
    return copied


def fold_norms(head: nn.Module) -> None:
    """Folds every batch norm that directly follows a convolution, and takes it out."""
    for sequence in [module for module in head.modules() if isinstance(module, nn.Sequential)]:
        names = list(sequence._modules)
        for name, following in itertools.pairwise(names):
            conv, norm = sequence.get_submodule(name), sequence.get_submodule(following)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                fold_into(conv, norm)
                sequence._modules[following] = nn.Identity()
