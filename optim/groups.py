"""Definition of a group of weights. The optimizer, the sparsity report, the figure and the compaction all ask here.

A **group** is, by default, one input channel of one convolution of the shared backbone: ``W[:, c, :, :]`` for a weight of
shape (out, in, kh, kw). If it is zero, whatever flows through that channel is ignored by this layer. The three colour
channels of the first layer count too.

``axis`` names the dimension of the weight that counts the groups: ``INPUT_CHANNELS`` (1), or ``OUTPUT_CHANNELS`` (0): filters
of a convolution and rows of a linear layer's weight (out, in).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .axes import INPUT_CHANNELS, OUTPUT_CHANNELS


class Convolution(nn.Module):
    """Base of convolutions that are no ``nn.Conv2d`` but have groups as one.

    ``weight`` is (out, in, kh, kw): a parameter, or a buffer where it holds no number at all and there is nothing to train.
    """

    weight: Tensor


def is_grouped(weight: Tensor, axis: int = INPUT_CHANNELS) -> bool:
    """True if ``weight`` has groups along ``axis``: a convolution's (4-D), or for rows also a linear layer's (2-D)."""
    return weight.ndim == 4 or (weight.ndim == 2 and axis == OUTPUT_CHANNELS)


def group_count(weight: Tensor, axis: int = INPUT_CHANNELS) -> int:
    """Number of groups of a weight."""
    return weight.shape[axis]


def group_size(weight: Tensor, axis: int = INPUT_CHANNELS) -> int:
    """Number of weights in one group: out * kh * kw for an input channel."""
    return weight.shape[1 - axis] * weight.shape[2:].numel()


def least_groups(groups: int, share: float) -> int:
    """Return how many of ``groups`` a floor keeps: ``share`` of them, rounded up, but at least one; 0 for a share of 0."""
    return max(1, math.ceil(share * groups - 1e-9)) if share else 0


def keep_group_size(weight: Tensor, size: int) -> None:
    """Let a group of ``weight`` count in the penalty as a group of ``size`` weights from now on.

    For a weight some of whose filters were removed: with the size that is left, training would go on under another penalty.
    It is noted on this tensor object; copies and views do not have it.
    """
    weight.penalised_group_size = size  # type: ignore[attr-defined]


def penalised_group_size(weight: Tensor, axis: int = INPUT_CHANNELS) -> int:
    """The group size that counts in the penalty: what was kept by :func:`keep_group_size`, else the size itself."""
    size: int = getattr(weight, "penalised_group_size", group_size(weight, axis))
    return size


def group_weight(weight: Tensor, axis: int = INPUT_CHANNELS) -> float:
    """The factor of a group in the penalty, sqrt(group size), which makes layers of different width comparable."""
    return float(penalised_group_size(weight, axis)) ** 0.5


def as_columns(weight: Tensor, axis: int = INPUT_CHANNELS) -> Tensor:
    """(out, in, kh, kw) -> (group size, groups): column c is group c. A view in channels-last layout, else a copy."""
    return weight.movedim(axis, -1).reshape(-1, weight.shape[axis])


def from_columns(columns: Tensor, like: Tensor, axis: int = INPUT_CHANNELS) -> Tensor:
    """The inverse of :func:`as_columns`: (group size, groups) -> the shape of ``like``."""
    shape = [size for i, size in enumerate(like.shape) if i != axis]
    return columns.reshape(*shape, like.shape[axis]).movedim(-1, axis)


def along_groups(values: Tensor, like: Tensor, axis: int = INPUT_CHANNELS) -> Tensor:
    """One value per group (groups,) in a shape that broadcasts against the weight ``like``."""
    return values.view([-1 if i == axis else 1 for i in range(like.ndim)])


def group_norms(weight: Tensor, axis: int = INPUT_CHANNELS) -> Tensor:
    """Euclidean norm of every group, (groups,)."""
    return torch.linalg.vector_norm(weight, dim=[i for i in range(weight.ndim) if i != axis])


def live_groups(weight: Tensor, axis: int = INPUT_CHANNELS) -> Tensor:
    """(groups,) bool: True where at least one weight of the group is not exactly zero."""
    return (weight != 0).movedim(axis, 0).flatten(1).any(1)


def grouped_weights(backbone: nn.Module, axis: int = INPUT_CHANNELS) -> Iterator[tuple[str, nn.Parameter]]:
    """Name and weight of every layer with groups, in network order: convolutions, and for rows also linear layers.

    A :class:`Convolution` whose weight is empty has no groups any more and is left out.

    Raises:
        ValueError: a grouped (or depthwise) convolution, in which an input channel reaches a part of the filters only, so
            that ``W[:, c]`` belongs to several channels.
    """
    for name, module in backbone.named_modules():
        if isinstance(module, nn.Conv2d):
            if module.groups != 1 and axis == INPUT_CHANNELS:
                raise ValueError(
                    f"{name or type(module).__name__}: is a convolution with groups={module.groups}; "
                    "input channels of grouped convolutions are not supported"
                )
        elif isinstance(module, Convolution):
            if not module.weight.numel():
                continue
        elif not (isinstance(module, nn.Linear) and axis == OUTPUT_CHANNELS):
            continue
        assert isinstance(module.weight, nn.Parameter), "a layer's weight is trained"
        yield name, module.weight
