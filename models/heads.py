"""Heads: what turns the shared features into one task's logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from models.taps import conv2d
from optim.groups import Convolution


class AtrousConv2d(nn.Conv2d):
    """A 3x3 convolution of large dilation that leaves out the taps that only ever see the zero padding.

    On a map of height H, the upper and lower row of taps of a kernel with dilation >= H read nothing but padding (likewise
    the columns): at rates 12, 24 and 36 on a 16 x 16 map, two of the paper's three branches are 1x1 convolutions. The result,
    the gradients (zero for those taps) and the parameters are the same as without the cut.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        return atrous_conv2d(x, self.weight, self.bias, self.dilation[0])


def atrous_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, rate: int) -> Tensor:
    """A 3x3 convolution with ``rate`` as its dilation and padding, without the taps that see nothing but padding."""
    tall, wide = rate < x.shape[-2], rate < x.shape[-1]
    rows = slice(None) if tall else slice(1, 2)
    columns = slice(None) if wide else slice(1, 2)
    return conv2d(x, weight[:, :, rows, columns], bias, (1, 1), (rate * tall, rate * wide), (rate, rate))


class DeepLabHead(nn.Sequential):
    """ASPP, a 3x3 convolution and a 1x1 convolution: (B, in, h, w) -> (B, out, h, w).

    The atrous spatial pyramid pooling of DeepLabv3 (Chen et al. 2017, arXiv 1706.05587), as torchvision has it: beside the
    dilated branches a 1x1 convolution and the mean of the whole map.

    Args:
        in_channels: channels of the shared features.
        out_channels: channels of the logits.
        width: channels inside.
        rates: dilations of the pyramid's 3x3 branches.
        dropout: after the pyramid.
    """

    READERS: ClassVar[str] = "0.convs"
    """Place of the convolutions that read the shared features: one in each branch of the pyramid."""

    def __init__(self, in_channels: int, out_channels: int, width: int, rates: Sequence[int], dropout: float = 0.3) -> None:
        aspp = ASPP(in_channels, list(rates), width)
        for branch in aspp.convs[1:-1]:
            rate = branch[0].dilation[0]
            branch[0] = AtrousConv2d(in_channels, width, 3, padding=rate, dilation=rate, bias=False)
        aspp.project[3] = nn.Dropout(dropout)
        super().__init__(
            aspp,
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, out_channels, 1),
        )


class ClassificationHead(nn.Sequential):
    """Logits of whole images: (B, in, h, w) -> (B, out), or (B,) where there is one."""

    READERS: ClassVar[str] = "0"

    def __init__(self, in_channels: int, out_channels: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, 64, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.6),
            nn.Linear(64, 32),
            nn.ReLU(inplace=True),
            nn.Dropout(0.4),
            nn.Linear(32, out_channels),
            *([nn.Flatten(0)] if out_channels == 1 else []),
        )


def feature_convs(head: nn.Module) -> list[tuple[str, nn.Conv2d | Convolution]]:
    """Return every convolution of a head that reads the shared features directly, by its name in the head: "0.convs.0.0".

    A head says in ``READERS`` where they are: below which module.

    A channel of the features whose group ``W[:, c]`` is zero in all of them has no effect on the head. In a compact head,
    a convolution that reads no feature any more is left out.

    Raises:
        TypeError: the head does not say where they are.
    """
    place = getattr(head, "READERS", None)
    if place is None:
        raise TypeError(f"{type(head).__name__}: which of its convolutions read the shared features is not known")
    return [
        (name, module)
        for name, module in head.named_modules()
        if isinstance(module, nn.Conv2d | Convolution) and f"{name}.".startswith(f"{place}.") and module.weight.numel()
    ]
