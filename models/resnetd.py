"""The paper's backbone: a ResNet with the deep stem of ResNet-D and dilated last stages.

The stem of three 3x3 convolutions and the stride on a bottleneck's 3x3 convolution are those of ResNet-D (He et al. 2019,
"Bag of tricks", arXiv 1812.01187); its average pooling before the shortcut's convolution is not here. Dilation in place of
stride keeps the resolution (Yu et al. 2017, "Dilated residual networks", arXiv 1705.09914).

Stem of three 3x3 convolutions (3 -> 64 with stride 2, 64 -> 64, 64 -> 128) and a max-pool of stride 2; then four stages whose
shortcuts are plain strided 1x1 convolutions. At output stride 8 every block of stage 3 has dilation 2 and every block of
stage 4 dilation 4; at output stride 16 only stage 4 is dilated, by 2.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.compaction.anatomy import Anatomy, conv_unit, residual_anatomy
from models.taps import DilatedConv2d

STAGE_BLOCKS = {"resnetd18": (2, 2, 2, 2), "resnetd50": (3, 4, 6, 3), "resnetd101": (3, 4, 23, 3)}
STAGE_WIDTHS = (64, 128, 256, 512)
STRIDES_AND_DILATIONS = {8: ((1, 2, 1, 1), (1, 1, 2, 4)), 16: ((1, 2, 2, 1), (1, 1, 1, 2))}


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    padding = dilation * (kernel // 2)
    convolution = nn.Conv2d if dilation == 1 else DilatedConv2d
    return convolution(in_channels, out_channels, kernel, stride, padding, dilation, bias=False)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(_conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, width, 3, stride, dilation)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, 1, dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, width, H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 (which has the stride), 1x1 with four times the width, beside a shortcut."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride, dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, 4 * width, 1)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, 4 * width, H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNetD(nn.Module):
    """The shared backbone: images (B, C, H, W) -> features (B, out_channels, ~H / stride, ~W / stride).

    Initialised as torch does by default, as in the paper.

    Args:
        name: ``resnetd18``, ``resnetd50`` or ``resnetd101``.
        in_channels: colour channels.
        output_stride: 8 or 16.
    """

    def __init__(self, name: str, in_channels: int = 3, output_stride: int = 8) -> None:
        super().__init__()
        block = BasicBlock if name == "resnetd18" else Bottleneck
        strides, dilations = STRIDES_AND_DILATIONS[output_stride]
        layers: list[nn.Module] = []
        for source, target, stride in ((in_channels, 64, 2), (64, 64, 1), (64, 128, 1)):
            layers += [_conv(source, target, 3, stride), nn.BatchNorm2d(target), nn.ReLU(inplace=True)]
        self.stem = nn.Sequential(*layers)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = 128
        for stage, (count, width) in enumerate(zip(STAGE_BLOCKS[name], STAGE_WIDTHS, strict=True)):
            blocks = []
            for index in range(count):
                blocks.append(block(channels, width, strides[stage] if index == 0 else 1, dilations[stage]))
                channels = width * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.out_channels = channels

    def anatomy(self) -> Anatomy:
        """Return which convolution feeds which."""
        convs = [index for index, module in enumerate(self.stem) if isinstance(module, nn.Conv2d)]
        return residual_anatomy(self, tuple(conv_unit(self, f"stem.{i}", f"stem.{i + 1}", relu=True) for i in convs))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out_channels, ~H / output_stride, ~W / output_stride)."""
        x = self.maxpool(self.stem(images))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return x
