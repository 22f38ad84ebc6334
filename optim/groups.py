"""What a group is. The optimizer, the sparsity report, the figure and the compaction all ask here.

A **group** is one input channel of one convolution of the shared backbone: ``W[:, c, :, :]`` for a weight of shape
(out, in, kh, kw). If it is zero, whatever flows through that channel is ignored by this layer. The three colour channels
of the first layer count too.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn


def is_grouped(weight: Tensor) -> bool:
    """True if ``weight`` is a convolution's, so that it has groups."""
    return weight.ndim == 4


def group_count(weight: Tensor) -> int:
    """Number of groups (input channels) of a convolution's weight (out, in, kh, kw)."""
    return weight.shape[1]


def group_size(weight: Tensor) -> int:
    """Number of weights in one group: out * kh * kw."""
    return weight.shape[0] * weight.shape[2] * weight.shape[3]


def group_weight(weight: Tensor) -> float:
    """The factor of a group in the penalty, sqrt(group size), which makes layers of different width comparable."""
    return float(group_size(weight)) ** 0.5


def as_columns(weight: Tensor) -> Tensor:
    """(out, in, kh, kw) -> (out * kh * kw, in): column c is group c. A view in channels-last layout, else a copy."""
    return weight.permute(0, 2, 3, 1).reshape(-1, weight.shape[1])


def from_columns(columns: Tensor, like: Tensor) -> Tensor:
    """The inverse of :func:`as_columns`: (out * kh * kw, in) -> the shape of ``like``."""
    out, _, kh, kw = like.shape
    return columns.reshape(out, kh, kw, -1).permute(0, 3, 1, 2)


def group_norms(weight: Tensor) -> Tensor:
    """Euclidean norm of every group, (in,)."""
    return torch.linalg.vector_norm(weight, dim=(0, 2, 3))


def live_groups(weight: Tensor) -> Tensor:
    """(in,) bool: True where at least one weight of the group is not exactly zero."""
    return (weight != 0).any(dim=3).any(dim=2).any(dim=0)


def grouped_weights(backbone: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Name and weight of every convolution of the shared backbone, in network order."""
    for name, module in backbone.named_modules():
        if isinstance(module, nn.Conv2d):
            assert isinstance(module.weight, nn.Parameter), "a convolution's weight is trained"
            yield name, module.weight
