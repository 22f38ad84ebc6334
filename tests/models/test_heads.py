"""Heads: the same numbers as their plain forms, and the shapes of their tasks."""

import copy

import pytest
import torch
from torch import nn

from models.heads import AtrousConv2d, ClassificationHead, DeepLabHead, feature_convs


@pytest.mark.parametrize("rate", [1, 6, 12])
@pytest.mark.parametrize("size", [(16, 16), (13, 12), (11, 20), (7, 6), (1, 1), (1, 30)])
def test_atrous_convolution_is_the_plain_one_in_values_and_gradients(rate: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours = AtrousConv2d(3, 4, 3, padding=rate, dilation=rate).double()
    plain = nn.Conv2d(3, 4, 3, padding=rate, dilation=rate).double()
    plain.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    results = []
    for conv in (ours, plain):
        x = images.clone().requires_grad_()
        out = conv(x)
        (out * torch.arange(out.numel()).view(out.shape)).sum().backward()
        results.append((out, x.grad, conv.weight.grad, conv.bias.grad))
    for name, first, second in zip(("values", "input", "weight", "bias"), *results, strict=True):
        torch.testing.assert_close(first, second, msg=lambda text, name=name: f"{name}: {text}")


def test_dense_head_is_a_pyramid_of_its_rates_width_and_dropout() -> None:
    head = DeepLabHead(32, 5, width=16, rates=(3, 7))
    convs = [module for module in head.modules() if isinstance(module, nn.Conv2d)]
    shapes = [(conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.dilation[0]) for conv in convs]
    assert shapes == [
        (32, 16, 1, 1),
        (32, 16, 3, 3),
        (32, 16, 3, 7),
        (32, 16, 1, 1),  # of the image's mean
        (4 * 16, 16, 1, 1),
        (16, 16, 3, 1),
        (16, 5, 1, 1),
    ]
    assert [module.p for module in head.modules() if isinstance(module, nn.Dropout)] == [0.3]
    assert sum(isinstance(module, AtrousConv2d) for module in head.modules()) == 2


@pytest.mark.parametrize("size", [(4, 6), (1, 1), (40, 3)])
def test_dense_head_keeps_the_size_of_the_features(size: tuple[int, int]) -> None:
    head = DeepLabHead(8, 5, width=4, rates=(12, 24))
    assert head(torch.randn(2, 8, *size)).shape == (2, 5, *size)


@pytest.mark.parametrize("size", [(16, 16), (5, 3), (1, 1)])
def test_classification_head_gives_one_logit_per_image(size: tuple[int, int]) -> None:
    head = ClassificationHead(8).eval()
    features = torch.randn(3, 8, *size)
    logits = head(features)
    assert logits.shape == (3,)
    # Each image by itself: nothing mixes along the batch.
    torch.testing.assert_close(head(features[1:2]), logits[1:2])


def test_classification_head_has_the_papers_layers() -> None:
    kinds = [type(module).__name__ for module in ClassificationHead(8)]
    assert [kind for kind in kinds if kind not in {"Flatten", "ReLU"}] == [
        *("Conv2d", "MaxPool2d", "AdaptiveAvgPool2d", "Dropout", "Linear", "Dropout", "Linear")
    ]
    head = ClassificationHead(8)
    assert [module.p for module in head if isinstance(module, nn.Dropout)] == [0.6, 0.4]
    assert [tuple(parameter.shape) for parameter in head.parameters() if parameter.ndim > 1] == [
        (64, 8, 3, 3),
        (32, 64),
        (1, 32),
    ]


HEADS = [DeepLabHead(13, 5, width=4, rates=(1, 2, 3)), ClassificationHead(13)]


@pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
def test_the_convolutions_that_read_the_features_are_those_with_their_channels(head: nn.Module) -> None:
    wide = [(name, module) for name, module in head.named_modules() if getattr(module, "in_channels", None) == 13]
    assert feature_convs(head) == wide
    assert [name for name, _ in wide] in (["0"], ["0.convs.0.0", *(f"0.convs.{i}.0" for i in (1, 2, 3)), "0.convs.4.1"])


@pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
def test_a_head_ignores_a_channel_exactly_if_all_of_them_do(head: nn.Module) -> None:
    torch.manual_seed(0)
    head = copy.deepcopy(head).eval()
    features = torch.randn(2, 13, 6, 6)
    changed = features.clone()
    changed[:, 7] += 10 * torch.randn(2, 6, 6)
    weights = [conv.weight for _, conv in feature_convs(head)]
    for weight in weights:
        assert not torch.equal(head(features), head(changed)), "one that is left still reads the channel"
        with torch.no_grad():
            weight[:, 7] = 0
    assert torch.equal(head(features), head(changed))


def test_a_head_that_does_not_say_what_it_reads_is_refused() -> None:
    with pytest.raises(TypeError, match="Linear: which of its convolutions read the shared features is not known"):
        feature_convs(nn.Linear(2, 2))
