"""A group is one input channel, ``W[:, c]``, or one output channel, ``W[c]``, whatever the memory layout."""

import math

import pytest
import torch
from torch import Tensor, nn

from optim.groups import (
    INPUT_CHANNELS,
    OUTPUT_CHANNELS,
    Convolution,
    along_groups,
    as_columns,
    from_columns,
    group_count,
    group_norms,
    group_size,
    group_weight,
    grouped_weights,
    is_grouped,
    live_groups,
)


@pytest.fixture(params=["contiguous", "channels_last"])
def weight(request: pytest.FixtureRequest) -> Tensor:
    """(out, in, kh, kw) = (5, 4, 3, 2), every size different."""
    tensor = torch.randn(5, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    return tensor.contiguous(memory_format=torch.channels_last) if request.param == "channels_last" else tensor


WEIGHTS = {
    "input channels": (INPUT_CHANNELS, (4, 5, 3, 2)),
    "filters": (OUTPUT_CHANNELS, (5, 4, 3, 2)),
    "rows of a linear layer": (OUTPUT_CHANNELS, (5, 12)),
}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", WEIGHTS)
def test_a_column_holds_the_weights_of_its_group_and_a_group_is_live_unless_all_are_zero(
    name: str, layout: torch.memory_format
) -> None:
    axis, shape = WEIGHTS[name]
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    weight = weight.contiguous(memory_format=layout) if weight.ndim == 4 else weight
    assert is_grouped(weight, axis)
    assert group_count(weight, axis) == 5
    size = group_size(weight, axis)
    assert size == weight.select(axis, 0).numel() in (12, 24)
    assert group_weight(weight, axis) == math.sqrt(size)
    columns, groups = as_columns(weight, axis), weight.movedim(axis, 0)
    assert columns.shape == (size, 5)
    for number, group in enumerate(groups):
        assert columns[:, number].sort().values.equal(group.flatten().sort().values)
    groups[1] = 0
    groups[3:] = 0
    groups[4, 2] = 1e-30  # not exactly zero: alive, although its square is 0 in float32
    expected = torch.stack([group.flatten().norm() for group in groups])
    torch.testing.assert_close(group_norms(weight, axis), expected)
    assert live_groups(weight, axis).tolist() == [True, False, True, False, True]


@pytest.mark.parametrize("axis", [INPUT_CHANNELS, OUTPUT_CHANNELS])
def test_columns_and_back_is_the_same_weight_in_the_same_place(weight: Tensor, axis: int) -> None:
    columns = as_columns(weight, axis)
    assert columns.shape == (weight.numel() // weight.shape[axis], weight.shape[axis])
    assert from_columns(columns, weight, axis).equal(weight)
    for c in range(weight.shape[axis]):
        marked = torch.zeros_like(columns)
        marked[:, c] = 1
        assert from_columns(marked, weight, axis).select(axis, c).eq(1).all()
        assert from_columns(marked, weight, axis).sum() == columns.shape[0]


@pytest.mark.parametrize("axis", [INPUT_CHANNELS, OUTPUT_CHANNELS])
def test_one_value_per_group_multiplies_the_weights_of_its_group(weight: Tensor, axis: int) -> None:
    values = torch.arange(1.0, weight.shape[axis] + 1)
    product = weight * along_groups(values, weight, axis)
    for c in range(weight.shape[axis]):
        assert product.select(axis, c).equal((c + 1) * weight.select(axis, c))
    matrix = torch.ones(3, 2)
    assert (matrix * along_groups(torch.tensor([1.0, 2.0, 3.0]), matrix, OUTPUT_CHANNELS))[:, 1].tolist() == [1, 2, 3]


def test_what_has_groups_depends_on_the_axis() -> None:
    shapes = [(2, 3, 1, 1), (2, 3), (2,), (2, 3, 4), (), (2, 3, 1, 1, 1)]
    for axis, expected in ((INPUT_CHANNELS, [True] + [False] * 5), (OUTPUT_CHANNELS, [True, True] + [False] * 4)):
        assert [is_grouped(torch.zeros(shape), axis) for shape in shapes] == expected


def test_columns_of_two_tensors_correspond_weight_by_weight(weight: Tensor) -> None:
    """The metric is put into columns like the weight: the same place must mean the same weight."""
    metric = weight.contiguous() * 3 + 1
    torch.testing.assert_close(as_columns(metric), as_columns(weight) * 3 + 1)


def test_columns_of_a_channels_last_weight_are_a_view() -> None:
    weight = torch.randn(5, 4, 3, 3).contiguous(memory_format=torch.channels_last)
    assert as_columns(weight).data_ptr() == weight.data_ptr()


def test_convolutions_of_the_backbone_have_groups_in_network_order() -> None:
    backbone = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Sequential(nn.Conv2d(8, 4, 1, bias=False)), nn.Flatten(), nn.Linear(4, 2)
    )
    names, weights = zip(*grouped_weights(backbone), strict=True)
    assert names == ("0", "2.0")
    assert weights[0] is backbone[0].weight
    assert weights[1] is backbone[2][0].weight
    assert [is_grouped(parameter) for parameter in backbone.parameters()] == [True, *[False] * 3, True, False, False]


def test_along_output_channels_linear_layers_have_groups_too() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2), nn.Conv2d(8, 4, 1))
    assert [name for name, _ in grouped_weights(backbone, OUTPUT_CHANNELS)] == ["0", "3", "4"]
    assert [name for name, _ in grouped_weights(backbone, INPUT_CHANNELS)] == ["0", "4"]
    assert dict(grouped_weights(backbone, OUTPUT_CHANNELS))["3"] is backbone[3].weight


@pytest.mark.parametrize("axis", [INPUT_CHANNELS, OUTPUT_CHANNELS])
def test_other_convolutions_have_groups_while_they_have_weights(axis: int) -> None:
    full, empty = Convolution(), Convolution()
    full.weight = nn.Parameter(torch.zeros(2, 3, 1, 1))
    empty.register_buffer("weight", torch.zeros(2, 0, 1, 1))
    assert [name for name, _ in grouped_weights(nn.Sequential(nn.Conv2d(3, 2, 1), empty, full), axis)] == ["0", "2"]


@pytest.mark.parametrize("groups", [2, 4])
def test_a_grouped_convolution_has_no_groups_along_its_input_channels(groups: int) -> None:
    """``W[:, c]`` of it belongs to several input channels."""
    backbone = nn.Sequential()
    backbone.stem = nn.Conv2d(3, 4, 1)
    backbone.layer1 = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 8, 3, groups=groups))
    message = rf"layer1\.1: is a convolution with groups={groups}; input channels of grouped convolutions are not supported"
    with pytest.raises(ValueError, match=message):
        list(grouped_weights(backbone))
    assert [name for name, _ in grouped_weights(backbone, OUTPUT_CHANNELS)] == ["stem", "layer1.1"]
    with pytest.raises(ValueError, match=f"Conv2d: is a convolution with groups={groups}"):
        list(grouped_weights(backbone.layer1[1]))
