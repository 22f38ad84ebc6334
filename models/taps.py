"""Convolutions whose weight gradient is a matrix product for each tap, on the CPU and where the kernel is larger than the map.

With stride 1, padding (p, q) and dilation (d, e), the gradient of the tap (i, j) of a weight is

    dW[o, c, i, j] = sum over n, y, x of dY[n, o, y, x] X[n, c, y + i d - p, x + j e - q],

over those y and x for which X has the pixel: what a tap sees of the padding contributes nothing, so it is cut off. Pixels in
rows and channels in columns, this is ``dY.T @ X``, and all taps together fill an (O, kh, kw, C) buffer, which is a weight in
channels-last layout.

torch leaves this gradient to oneDNN. For a kernel that is larger than the map, oneDNN has no blocked algorithm and takes a
general one, which takes up to ten times as long (docs/results.md). Elsewhere its algorithms are mostly faster than the
products, and so is its gradient of the input.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.watched import is_watched

Pair = tuple[int, ...]
"""Two numbers, vertical and horizontal."""


class DilatedConv2d(nn.Conv2d):
    """``nn.Conv2d`` through :func:`conv2d`."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.padding_mode != "zeros" or self.groups != 1 or isinstance(self.padding, str):
            return super()._conv_forward(input, weight, bias)
        return conv2d(input, weight, bias, self.stride, self.padding, self.dilation)


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
    """``F.conv2d``, with the weight's gradient tap by tap where that is faster.

    Args:
        x: (N, C, H, W).
        weight: (O, C, kh, kw).
        bias: (O,) or None.
        stride: distance of the pixels that the kernel is laid on.
        padding: rows and columns of zeros on each side.
        dilation: distance of the taps.

    Returns:
        (N, O, H', W').
    """
    if not _taps_pay(x, weight, stride, dilation):
        return F.conv2d(x, weight, bias, stride, padding, dilation)
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight, bias = (_cast(tensor, dtype) for tensor in (x, weight, bias))
    out: Tensor = _TapConv2d.apply(x, weight, bias, padding, dilation)
    return out


def _taps_pay(x: Tensor, weight: Tensor, stride: Pair, dilation: Pair) -> bool:
    """True for a training step on the CPU, stride 1 and a dilated kernel that is larger than the map."""
    return (
        weight.requires_grad
        and torch.is_grad_enabled()
        and not is_watched(x, weight)
        and x.ndim == 4
        and x.device.type == weight.device.type == "cpu"
        and tuple(stride) == (1, 1)
        and any(step * (taps - 1) >= n for step, taps, n in zip(dilation, weight.shape[2:], x.shape[2:], strict=True))
    )


def _cast(tensor: Tensor | None, dtype: torch.dtype) -> Any:
    """Cast as autocast does: everything but float64."""
    return tensor if tensor is None or tensor.dtype == torch.float64 else tensor.to(dtype)


class _TapConv2d(torch.autograd.Function):
    """torch's convolution, with the gradient of the weight tap by tap."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: Pair, dilation: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.dilation = padding, dilation
        return F.conv2d(x, weight, bias, 1, padding, dilation)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:3]

        def torch_gradients(*mask: bool) -> tuple[Tensor | None, ...]:
            how = ((1, 1), ctx.padding, ctx.dilation, False, (0, 0), 1)
            gradients: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
                grad, x, weight, [len(weight)] if mask[2] else None, *how, mask
            )
            return gradients

        if torch.is_grad_enabled():  # a gradient of the gradient is wanted, which torch knows
            return *torch_gradients(*wanted), None, None
        grad_x = torch_gradients(True, False, False)[0] if wanted[0] else None
        grad_weight = _weight_gradient(grad, x, weight, ctx.padding, ctx.dilation) if wanted[1] else None
        return grad_x, grad_weight, grad.sum((0, 2, 3)) if wanted[2] else None, None, None


def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, padding: Pair, dilation: Pair) -> Tensor:
    """(O, C, kh, kw), channels last, for the gradient (N, O, H', W') of the output and the input (N, C, H, W)."""
    rows, columns, height, width = weight.shape
    taps = weight.new_zeros(rows, height, width, columns)
    grad, x = grad.permute(0, 2, 3, 1), x.permute(0, 2, 3, 1)
    for i in range(height):
        read_y, written_y = _overlap(i * dilation[0] - padding[0], x.shape[1], grad.shape[1])
        for j in range(width):
            read_x, written_x = _overlap(j * dilation[1] - padding[1], x.shape[2], grad.shape[2])
            read, written = x[:, read_y, read_x].reshape(-1, columns), grad[:, written_y, written_x].reshape(-1, rows)
            if len(read):
                torch.mm(written.t(), read, out=taps[:, i, j])
    return taps.permute(0, 3, 1, 2)


def _overlap(shift: int, read: int, written: int) -> tuple[slice, slice]:
    """Return the input rows (out of ``read``) that a tap sees, padding excluded, and their output rows (out of ``written``)."""
    first, end = max(0, -shift), max(0, -shift, min(written, read - shift))
    return slice(first + shift, end + shift), slice(first, end)
