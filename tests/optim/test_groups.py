"""A group is one input channel of one convolution, ``W[:, c]``, whatever the memory layout."""

import math

import pytest
import torch
from torch import Tensor, nn

from optim.groups import (
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


def test_counts_are_those_of_the_input_channels(weight: Tensor) -> None:
    assert group_count(weight) == 4
    assert group_size(weight) == weight[:, 0].numel() == 30
    assert group_weight(weight) == math.sqrt(30)


def test_column_c_holds_the_weights_of_group_c(weight: Tensor) -> None:
    columns = as_columns(weight)
    assert columns.shape == (30, 4)
    for c in range(4):
        assert columns[:, c].sort().values.equal(weight[:, c].flatten().sort().values)


def test_columns_of_two_tensors_correspond_weight_by_weight(weight: Tensor) -> None:
    """The metric is put into columns like the weight: the same place must mean the same weight."""
    metric = weight.contiguous() * 3 + 1
    torch.testing.assert_close(as_columns(metric), as_columns(weight) * 3 + 1)


def test_from_columns_undoes_as_columns(weight: Tensor) -> None:
    assert from_columns(as_columns(weight), like=weight).equal(weight)


def test_columns_of_a_channels_last_weight_are_a_view() -> None:
    weight = torch.randn(5, 4, 3, 3).contiguous(memory_format=torch.channels_last)
    assert as_columns(weight).data_ptr() == weight.data_ptr()


def test_norms_and_live_groups_are_per_input_channel(weight: Tensor) -> None:
    weight[:, 1] = 0
    weight[:, 3] = 0
    weight[2, 3, 1, 1] = -1e-30  # not exactly zero: alive, although its square is 0 in float32
    expected = torch.stack([weight[:, c].flatten().norm() for c in range(4)])
    torch.testing.assert_close(group_norms(weight), expected)
    assert live_groups(weight).tolist() == [True, False, True, True]


def test_convolutions_of_the_backbone_have_groups_in_network_order() -> None:
    backbone = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.Sequential(nn.Conv2d(8, 4, 1, bias=False)),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    names, weights = zip(*grouped_weights(backbone), strict=True)
    assert names == ("0", "2.0")
    assert weights[0] is backbone[0].weight
    assert weights[1] is backbone[2][0].weight
    assert [is_grouped(parameter) for parameter in backbone.parameters()] == [
        True,
        False,
        False,
        False,
        True,
        False,
        False,
    ]
