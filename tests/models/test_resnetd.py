"""The paper's ResNet-D: its layers, strides, dilations, shortcuts and initial weights."""

import pytest
import torch
from torch import nn

from models.resnetd import ResNetD


@pytest.fixture(scope="module")
def resnetd50() -> ResNetD:
    torch.manual_seed(0)
    return ResNetD("resnetd50")


def _stages(backbone: ResNetD) -> list[nn.Sequential]:
    return [backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4]


def _convs(module: nn.Module, kernel: int) -> list[nn.Conv2d]:
    convs = [part for part in module.modules() if isinstance(part, nn.Conv2d)]
    return [conv for conv in convs if conv.kernel_size == (kernel, kernel)]


def test_the_stem_is_three_convolutions_and_a_max_pool(resnetd50: ResNetD) -> None:
    convs = _convs(resnetd50.stem, 3)
    assert [(conv.in_channels, conv.out_channels, conv.stride) for conv in convs] == [
        (3, 64, (2, 2)),
        (64, 64, (1, 1)),
        (64, 128, (1, 1)),
    ]
    assert [type(part).__name__ for part in resnetd50.stem] == ["Conv2d", "BatchNorm2d", "ReLU"] * 3
    assert (resnetd50.maxpool.kernel_size, resnetd50.maxpool.stride, resnetd50.maxpool.padding) == (3, 2, 1)
    assert resnetd50.stem(torch.zeros(1, 3, 32, 48)).shape == (1, 128, 16, 24)


@pytest.mark.parametrize(
    ("name", "blocks"), [("resnetd18", [2, 2, 2, 2]), ("resnetd50", [3, 4, 6, 3]), ("resnetd101", [3, 4, 23, 3])]
)
def test_stages_have_their_blocks(name: str, blocks: list[int]) -> None:
    with torch.device("meta"):
        backbone = ResNetD(name)
    assert [len(stage) for stage in _stages(backbone)] == blocks


@pytest.mark.parametrize(("stride", "dilations"), [(8, (1, 1, 2, 4)), (16, (1, 1, 1, 2))])
@pytest.mark.parametrize("name", ["resnetd18", "resnetd50"])
def test_every_block_of_a_dilated_stage_has_its_dilation(name: str, stride: int, dilations: tuple[int, ...]) -> None:
    """The first block too, unlike in torchvision."""
    with torch.device("meta"):
        backbone = ResNetD(name, output_stride=stride)
    for stage, dilation in zip(_stages(backbone), dilations, strict=True):
        assert {conv.dilation for conv in _convs(stage, 3)} == {(dilation, dilation)}
        assert {conv.padding for conv in _convs(stage, 3)} == {(dilation, dilation)}


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize(("name", "channels"), [("resnetd18", 512), ("resnetd50", 2048)])
def test_features_have_the_output_stride(name: str, channels: int, stride: int) -> None:
    with torch.device("meta"):
        backbone = ResNetD(name, output_stride=stride)
        assert backbone.out_channels == channels
        assert backbone(torch.zeros(2, 3, 64, 96)).shape == (2, channels, 64 // stride, 96 // stride)


def test_the_stride_lies_on_the_3x3_and_on_a_plain_1x1_shortcut(resnetd50: ResNetD) -> None:
    first = resnetd50.layer2[0]
    assert [first.conv1.stride, first.conv2.stride, first.conv3.stride] == [(1, 1), (2, 2), (1, 1)]
    assert [type(part).__name__ for part in first.downsample] == ["Conv2d", "BatchNorm2d"]  # no average pool
    assert (first.downsample[0].kernel_size, first.downsample[0].stride) == ((1, 1), (2, 2))
    assert all(block.downsample is None for stage in _stages(resnetd50) for block in stage[1:])
    assert all(stage[0].downsample is not None for stage in _stages(resnetd50))


def test_a_block_adds_its_shortcut(resnetd50: ResNetD) -> None:
    """With a dead residual branch a block hands its (non-negative) input on."""
    block = ResNetD("resnetd18").layer1[1].eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.rand(1, 64, 5, 5)
    torch.testing.assert_close(block(x), x)
    block = resnetd50.layer1[1].eval()
    weight = block.conv3.weight.detach().clone()
    nn.init.zeros_(block.conv3.weight)
    x = torch.rand(1, 256, 5, 5)
    torch.testing.assert_close(block(x), x)
    block.conv3.weight.data.copy_(weight)


def test_convolutions_have_no_bias_and_torchs_default_weights(resnetd50: ResNetD) -> None:
    """Uniform within 1 / sqrt(fan in): He's initialisation, as torchvision has it, goes far beyond."""
    for conv in (part for part in resnetd50.modules() if isinstance(part, nn.Conv2d)):
        assert conv.bias is None
        bound = (conv.in_channels * conv.kernel_size[0] ** 2) ** -0.5
        assert 0.95 * bound < float(conv.weight.detach().abs().max()) <= bound
