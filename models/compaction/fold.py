"""Batch norm in eval mode is a scale and a shift per channel: folded into the convolution before it, in float64."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight (out, in, kh, kw) and bias (out,), in float64, of one convolution that is ``norm(conv(x))`` in eval mode.

    ``gamma (W x + b - mean) / sqrt(var + eps) + beta``.

    Raises:
        ValueError: the batch norm keeps no running statistics.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without running statistics depends on the batch and cannot be folded")
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    shift = -norm.running_mean.double()
    if conv.bias is not None:
        shift = shift + conv.bias.double()
    if norm.affine:
        scale = scale * norm.weight.double()
    bias = shift * scale
    if norm.affine:
        bias = bias + norm.bias.double()
    return (conv.weight.double() * scale.view(-1, 1, 1, 1)).detach(), bias.detach()


def fold_into(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Make ``conv`` do what ``norm(conv(x))`` does in eval mode, in its own precision."""
    weight, bias = fold(conv, norm)
    dtype, layout = conv.weight.dtype, torch.channels_last if is_channels_last(conv.weight) else torch.contiguous_format
    conv.weight = nn.Parameter(weight.to(dtype).contiguous(memory_format=layout), requires_grad=False)
    conv.bias = nn.Parameter(bias.to(dtype), requires_grad=False)


def is_channels_last(weight: Tensor) -> bool:
    """True if a weight lies in channels-last layout, and not in the plain one as well."""
    return weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
