"""Batch norm in eval mode is a scale and a shift per channel: folded into the convolution before it, in float64."""

from __future__ import annotations

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
