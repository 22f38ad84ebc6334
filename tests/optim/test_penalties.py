"""Penalties: value, prox and critical lambda are what their definitions say, group by group along either channel."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from optim import PENALTIES, GroupL0, GroupLasso, GroupMCP, Penalty, ProxAdam, SparseGroupLasso
from optim.groups import INPUT_CHANNELS, OUTPUT_CHANNELS, live_groups
from optim.penalties import penalty_from_state

ALL = [
    GroupLasso(0.03),
    GroupMCP(0.03, gamma=4.0),
    SparseGroupLasso(0.03, l1_ratio=0.2),
    GroupL0(0.03, "adam"),
    GroupL0(0.03, saliency="fisher"),
]
AXES = [INPUT_CHANNELS, OUTPUT_CHANNELS]


@pytest.fixture
def weight() -> Tensor:
    """(6, 5, 3, 2): group norms from 0 to beyond the flat part of the MCP of these tests (4 * 0.03 * 6 = 0.72)."""
    scales = torch.tensor([0.0, 0.01, 0.05, 0.1, 1.0])
    return torch.randn(6, 5, 3, 2, generator=torch.Generator().manual_seed(0)) * scales[:, None, None]


def _value_of_group(penalty: Penalty, group: list[float]) -> float:
    norm, strength = math.hypot(*group), penalty.lambda_ * math.sqrt(len(group))
    if isinstance(penalty, GroupMCP):
        if norm > penalty.gamma * strength:
            return penalty.gamma * strength**2 / 2
        return strength * norm - norm**2 / (2 * penalty.gamma)
    if isinstance(penalty, SparseGroupLasso):
        share = penalty.l1_ratio
        return (1 - share) * strength * norm + share * penalty.lambda_ * sum(map(abs, group))
    if isinstance(penalty, GroupL0):
        return strength * (norm > 0)
    return strength * norm


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("penalty", ALL, ids=lambda penalty: penalty.name)
def test_value_is_the_sum_over_the_groups(penalty: Penalty, weight: Tensor, axis: int) -> None:
    expected = sum(_value_of_group(penalty, group.flatten().tolist()) for group in weight.unbind(axis))
    assert float(penalty.value(weight, axis)) == pytest.approx(expected, rel=1e-6)


def test_mcp_is_met_on_both_of_its_parts(weight: Tensor) -> None:
    norms = weight.double().pow(2).sum(dim=(0, 2, 3)).sqrt()
    assert 0 < int((norms > 4.0 * 0.03 * 6).sum()) < len(norms) - 1


@pytest.mark.parametrize("penalty", ALL, ids=lambda penalty: penalty.name)
def test_output_channels_are_the_input_channels_of_the_transposed_weight(penalty: Penalty, weight: Tensor) -> None:
    metric = torch.rand(weight.shape, generator=torch.Generator().manual_seed(4)) + 0.01
    pair, transposed = (weight, metric), (weight.transpose(0, 1), metric.transpose(0, 1))
    for lr in (0.01, 0.3):
        z = penalty.prox(*pair, lr, OUTPUT_CHANNELS)
        assert z.any()
        torch.testing.assert_close(z, penalty.prox(*transposed, lr).transpose(0, 1), rtol=1e-6, atol=0)
        torch.testing.assert_close(
            penalty.critical(*pair, lr, OUTPUT_CHANNELS), penalty.critical(*transposed, lr), rtol=1e-5, atol=0
        )
    torch.testing.assert_close(penalty.value(weight, OUTPUT_CHANNELS), penalty.value(weight.transpose(0, 1)))


@pytest.mark.parametrize("penalty", ALL, ids=lambda penalty: penalty.name)
def test_rows_of_a_linear_layer_are_filters_of_one_pixel(penalty: Penalty) -> None:
    generator = torch.Generator().manual_seed(5)
    weight, metric = torch.randn(6, 4, generator=generator), torch.rand(6, 4, generator=generator) + 0.01
    as_filters = weight[:, :, None, None], metric[:, :, None, None]
    z = penalty.prox(weight, metric, 1.0, OUTPUT_CHANNELS)
    assert z.equal(penalty.prox(*as_filters, 1.0, OUTPUT_CHANNELS).flatten(1))
    critical = penalty.critical(weight, metric, 1.0, OUTPUT_CHANNELS)
    assert critical.equal(penalty.critical(*as_filters, 1.0, OUTPUT_CHANNELS))
    assert critical.shape == (6,)


@pytest.mark.parametrize("penalty", ALL, ids=lambda penalty: penalty.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lambda_and_the_learning_rate_may_be_tensors(penalty: Penalty, weight: Tensor, dtype: torch.dtype) -> None:
    metric = torch.rand(weight.shape, generator=torch.Generator().manual_seed(6)) + 0.01
    lambda_, lr = torch.tensor(0.03, dtype=dtype), torch.tensor(0.2, dtype=dtype)
    other = penalty.with_strength(lambda_)
    z = other.prox(weight, metric, lr)
    assert z.dtype == weight.dtype
    assert bool((z != weight).any())
    torch.testing.assert_close(z, penalty.prox(weight, metric, 0.2), rtol=1e-5, atol=0)
    torch.testing.assert_close(other.value(weight), penalty.value(weight), check_dtype=False)
    torch.testing.assert_close(other.critical(weight, metric, lr), penalty.critical(weight, metric, 0.2), rtol=1e-5, atol=0)


@pytest.mark.parametrize("penalty", ALL, ids=lambda penalty: penalty.name)
def test_memory_layout_changes_nothing(penalty: Penalty, weight: Tensor) -> None:
    metric = torch.rand(weight.shape, generator=torch.Generator().manual_seed(2)) + 0.01
    last_weight, last_metric = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (weight, metric))
    expected = penalty.prox(weight, metric, 0.01)
    for w, d in ((last_weight, last_metric), (last_weight, metric), (weight, last_metric)):
        torch.testing.assert_close(penalty.prox(w, d, 0.01), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(penalty.value(last_weight), penalty.value(weight))


@pytest.mark.parametrize("penalty", ALL, ids=lambda penalty: penalty.name)
def test_prox_lowers_what_it_should_minimise(penalty: Penalty, weight: Tensor) -> None:
    """Ties ``prox`` to ``value``: the same lambda_g in both."""
    weight = weight.double()
    metric = torch.rand(weight.shape, generator=torch.Generator().manual_seed(3)).double() + 0.1
    lr = 0.3
    of_penalty = metric**2 if penalty == GroupL0(0.03, saliency="fisher") else metric

    def objective(z: Tensor) -> float:
        return float(0.5 * (of_penalty * (z - weight) ** 2).sum() + lr * penalty.value(z))

    z = penalty.prox(weight, metric, lr)
    # Scaling the groups one by one tests the strength of each.
    for c in range(weight.shape[1]):
        for factor in (0.0, 0.9, 0.999, 1.001, 1.1):
            other = z.clone()
            other[:, c] *= factor
            assert objective(z) <= objective(other) + 1e-12
        other = z.clone()
        other[:, c] = weight[:, c]
        assert objective(z) <= objective(other) + 1e-12
    # Other directions, near and far, one group and all of them.
    generator = torch.Generator().manual_seed(10)
    for size in 10.0 ** torch.arange(-5.0, 1.0, 0.1):
        step = size * torch.randn(weight.shape, dtype=torch.float64, generator=generator) * weight.abs()
        only = torch.zeros(weight.shape[1], 1, 1)
        only[torch.randint(weight.shape[1], (1,), generator=generator)] = 1
        for direction in (step, step * only):
            assert objective(z) <= objective(z + direction) + 1e-12


@pytest.mark.parametrize("lambda_", [-1e-9, float("nan"), float("inf")])
@pytest.mark.parametrize("penalty", PENALTIES.values())
def test_an_impossible_lambda_is_refused_with_its_value(penalty: type[Penalty], lambda_: float) -> None:
    with pytest.raises(ValueError, match=f"lambda_ must be a finite number >= 0, got {lambda_}"):
        penalty(lambda_)


@pytest.mark.parametrize("gamma", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_gamma_is_refused_with_its_value(gamma: float) -> None:
    with pytest.raises(ValueError, match=f"gamma must be a finite number > 0, got {gamma}"):
        GroupMCP(0.1, gamma)


@pytest.mark.parametrize("l1_ratio", [-0.01, 1.01, float("nan"), float("inf")])
def test_an_impossible_l1_ratio_is_refused_with_its_value(l1_ratio: float) -> None:
    with pytest.raises(ValueError, match=f"l1_ratio must be a finite number >= 0 and <= 1, got {l1_ratio}"):
        SparseGroupLasso(0.1, l1_ratio)


def test_an_unknown_saliency_is_refused_with_its_value() -> None:
    with pytest.raises(ValueError, match="saliency must be one of adam, fisher, taylor, got 'hessian'"):
        GroupL0(0.1, "hessian")  # type: ignore[arg-type]


def test_strength_can_be_changed_but_not_in_place() -> None:
    penalty = GroupMCP(0.1, gamma=5.0)
    assert penalty.with_strength(0.2) == GroupMCP(0.2, gamma=5.0)
    assert penalty.lambda_ == 0.1
    assert SparseGroupLasso(0.1, 0.3).with_strength(0.2) == SparseGroupLasso(0.2, 0.3)
    with pytest.raises(ValueError, match="-1"):
        penalty.with_strength(-1.0)


@pytest.mark.parametrize("penalty", ALL, ids=lambda penalty: penalty.name)
def test_state_is_plain_and_gives_the_penalty_back(penalty: Penalty) -> None:
    state = penalty.state()
    assert all(type(value) in (str, float) for value in state.values())
    assert penalty_from_state(state) == penalty


def test_penalties_are_known_by_the_names_of_the_configuration() -> None:
    names = ("l1_l2", "group_mcp", "sparse_group_lasso", "group_l0")
    assert [PENALTIES[name] for name in names] == [GroupLasso, GroupMCP, SparseGroupLasso, GroupL0]
    assert all(penalty.name == name for name, penalty in PENALTIES.items())
    assert {type(penalty) for penalty in ALL} == set(PENALTIES.values()), "each is tested here"


# The sparse group lasso


def test_without_an_l1_part_it_is_the_group_lasso(weight: Tensor) -> None:
    metric = torch.rand(weight.shape, generator=torch.Generator().manual_seed(7)) + 0.01
    sparse, plain = SparseGroupLasso(0.03, l1_ratio=0.0), GroupLasso(0.03)
    for axis in AXES:
        assert sparse.prox(weight, metric, 0.1, axis).equal(plain.prox(weight, metric, 0.1, axis))
        torch.testing.assert_close(sparse.value(weight, axis), plain.value(weight, axis))
        torch.testing.assert_close(sparse.critical(weight, metric, 0.1, axis), plain.critical(weight, metric, 0.1, axis))


def test_with_nothing_but_its_l1_part_it_is_the_soft_threshold(weight: Tensor) -> None:
    metric = torch.rand(weight.shape, generator=torch.Generator().manual_seed(8)) + 0.01
    penalty, lr = SparseGroupLasso(0.03, l1_ratio=1.0), 0.7
    threshold = lr * 0.03 / metric
    expected = torch.where(weight > threshold, weight - threshold, torch.where(weight < -threshold, weight + threshold, 0.0))
    assert 0 < int((expected == 0).sum()) < expected.numel()
    for axis in AXES:
        torch.testing.assert_close(penalty.prox(weight, metric, lr, axis), expected, rtol=1e-5, atol=1e-8)
        assert float(penalty.value(weight, axis)) == pytest.approx(0.03 * float(weight.double().abs().sum()), rel=1e-6)
        largest = (metric * weight).abs().movedim(axis, 0).flatten(1).amax(1)
        torch.testing.assert_close(penalty.critical(weight, metric, lr, axis), largest / lr)


def _numbers(low: float, high: float, shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, shape, elements=st.floats(low, high), fill=st.nothing())


@st.composite
def steps(draw: st.DrawFn) -> tuple[Tensor, Tensor, float, int]:
    """Weight, metric (float64), learning rate and axis: metrics over up to twelve decades, weights of all sizes and zeros."""
    shape = draw(st.sampled_from([(1, 1, 1, 1), (2, 3, 1, 1), (3, 2, 2, 1), (4, 2, 1, 3)]))
    low, high = draw(st.sampled_from([(-8.0, 4.0), (-8.0, 0.0), (-2.0, 0.0), (-1.0, -1.0)]))
    metric = 10.0 ** draw(_numbers(low, high, shape))
    signs = draw(arrays(np.float64, shape, elements=st.sampled_from([-1.0, 0.0, 1.0, 1.0]), fill=st.nothing()))
    weight = signs * 10.0 ** draw(_numbers(draw(st.sampled_from([-6.0, -1.0])), 0.0, shape))
    if draw(st.booleans()):  # the steepest weights are the smallest, so that none of them decides alone
        weight = weight / metric
    axis = draw(st.sampled_from(AXES))
    return torch.from_numpy(weight), torch.from_numpy(metric), 10.0 ** draw(st.floats(-5, 0)), axis


def test_the_sparse_group_lasso_zeroes_single_weights_of_groups_that_live(weight: Tensor) -> None:
    """The group lasso does not."""
    plain, sparse = (penalty.prox(weight, torch.ones_like(weight), 1.0) for penalty in (GroupLasso(0.03), ALL[2]))
    for z, some in ((plain, False), (sparse, True)):
        live = (z != 0).flatten(2).transpose(0, 1).flatten(1).any(1)
        assert live.any()
        assert bool((z[:, live] == 0).any()) == some


# Group L0


@pytest.mark.parametrize("penalty", ALL[3:], ids=str)
def test_what_a_hard_threshold_leaves_is_left_as_it_is(penalty: Penalty, weight: Tensor) -> None:
    metric = torch.rand(weight.shape, generator=torch.Generator().manual_seed(12)) + 0.1
    z = penalty.prox(weight, metric, 0.05)
    live = live_groups(z)
    assert 0 < int(live.sum()) < len(live)
    assert z[:, live].equal(weight[:, live])
    weight[2, int(live.nonzero()[0]), 1, 1] = math.nan
    assert penalty.prox(weight, metric, 0.05).isnan().sum() == 1


def test_taylor_is_the_hard_threshold_in_the_metric_of_the_mean_of_gg(weight: Tensor) -> None:
    """x' E[g g'] x = E[(g . x)^2] in each group: the best of 0 and x, and no point on the way or beyond is better."""
    gradients = torch.randn(5, *weight.shape, generator=torch.Generator().manual_seed(13))
    weight, gradients, lr = weight.double(), gradients.double(), 0.5
    products = (gradients * weight).sum((1, 3, 4)).square().mean(0)
    penalty = GroupL0(0.03, saliency="taylor")
    z = penalty.prox(weight, products, lr)
    assert 0 < int(live_groups(z).sum()) < int(live_groups(weight).sum())
    generator = torch.Generator().manual_seed(14)
    for c in range(weight.shape[1]):
        x, g = weight[:, c].flatten(), gradients[:, :, c].flatten(1)
        matrix = g.T @ g / len(g)

        def objective(point: Tensor, x: Tensor = x, matrix: Tensor = matrix) -> float:
            return float(0.5 * (point - x) @ matrix @ (point - x)) + lr * 0.03 * math.sqrt(len(x)) * bool(point.any())

        best = objective(z[:, c].flatten())
        others = [factor * x for factor in (-1.0, 0.0, 0.5, 1.0, 2.0)]
        others += [x + 10.0**size * torch.randn(x.shape, generator=generator, dtype=x.dtype) for size in range(-6, 2)]
        assert all(best <= objective(other) + 1e-12 for other in others)


@pytest.mark.parametrize(("saliency", "power"), [("adam", 1), ("fisher", 0), ("taylor", 0)])
def test_how_rescaling_a_layer_before_batch_norm_changes_what_is_critical(saliency: str, power: int) -> None:
    """The function is the same with the weights a times as large, and gradients 1 / a times: so is v's root."""
    generator = torch.Generator().manual_seed(15)
    weight, gradient = torch.randn(2, 6, 5, 3, 3, generator=generator)
    a, criticals = 64.0, []
    for scale in (1.0, a):
        parameter = torch.nn.Parameter(scale * weight)
        optimizer = ProxAdam([parameter], lr=1e-30, eps=0.0, weight_decay=0.0, penalty=GroupL0(0.0, saliency))  # type: ignore[arg-type]
        for factor in (1.0, -0.3):
            parameter.grad = factor * gradient / scale
            optimizer.step()
        optimizer.param_groups[0]["lr"] = 1.0
        criticals.append(optimizer._measure(optimizer.param_groups[0])[0])
    torch.testing.assert_close(criticals[1], a**power * criticals[0])


# The critical lambda

EXTREME = [GroupMCP(0.0, 1e-3), GroupMCP(0.0, 1e3), SparseGroupLasso(0.0, 1e-6), SparseGroupLasso(0.0, 1.0)]
"""With the learning rates and metrics of ``steps``, from far beyond convexity to nearly the group lasso; and both ends."""


def _live(penalty: Penalty, step: tuple[Tensor, Tensor, float, int]) -> Tensor:
    weight, metric, lr, axis = step
    return (penalty.prox(weight, metric, lr, axis) != 0).movedim(axis, 0).flatten(1).any(1)


@pytest.mark.parametrize("penalty", [*ALL, *EXTREME], ids=str)
@settings(max_examples=30)
@given(step=steps())
def test_the_critical_lambda_is_the_smallest_that_zeroes_the_group(
    penalty: Penalty, step: tuple[Tensor, Tensor, float, int]
) -> None:
    critical = penalty.critical(*step)
    weight, axis = step[0], step[3]
    assert critical.shape == (weight.shape[axis],)
    assert torch.equal(critical > 0, (weight != 0).movedim(axis, 0).flatten(1).any(1))
    for c, value in enumerate(critical.tolist()):
        for factor in (1e-3, 0.5, 0.99, 1 - 1e-9):
            assert _live(penalty.with_strength(factor * value), step)[c] == (value > 0), f"group {c}, {factor} times {value}"
        for factor in (1 + 1e-9, 1.01, 2.0, 1e3):
            assert not _live(penalty.with_strength(factor * value), step)[c], f"group {c}, {factor} times {value}"


@settings(max_examples=60)
@given(step=steps(), gamma=st.floats(-3, 3), lambda_=st.floats(0, 10))
def test_the_critical_lambda_does_not_depend_on_lambda(
    step: tuple[Tensor, Tensor, float, int], gamma: float, lambda_: float
) -> None:
    for penalty in (GroupLasso(0.0), GroupMCP(0.0, 10.0**gamma), SparseGroupLasso(0.0, 0.3)):
        assert penalty.critical(*step).equal(replace(penalty, lambda_=lambda_).critical(*step))


@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize("penalty", ALL, ids=str)
def test_in_single_precision_little_more_than_the_critical_lambda_is_enough(penalty: Penalty, size: int) -> None:
    """The optimizer adds less than a hundredth of a percent."""
    generator = torch.Generator().manual_seed(9)
    weight = torch.randn(size, 40, 3, 3, generator=generator)
    metric = 10.0 ** (-8 * torch.rand(weight.shape, generator=generator))
    for lr in (1e-5, 0.1):
        for c, value in enumerate(penalty.critical(weight, metric, lr).tolist()):
            step = weight, metric, lr, INPUT_CHANNELS
            assert not _live(penalty.with_strength(value * (1 + 1e-5)), step)[c]
            assert _live(penalty.with_strength(value * (1 - 1e-5)), step)[c]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_group_mcp_is_zero_from_its_critical_lambda_on_and_not_a_little_below(dtype: torch.dtype) -> None:
    """Just below, the minimum is lower than the value at 0 by less than rounding can tell."""
    generator = torch.Generator().manual_seed(11)
    weight = torch.randn(7, 200, 3, 3, generator=generator).to(dtype)
    metric = 10.0 ** (-4 * torch.rand(weight.shape, generator=generator).to(dtype))
    weight[0, :100, 0, 0], metric[0, :100, 0, 0] = 1e3, 1e-4
    step = weight, metric, 1e-4, INPUT_CHANNELS
    for c, value in enumerate(GroupMCP(0.0).critical(*step).tolist()):
        for below in (1e-5, 1e-4, 1e-3):
            assert _live(GroupMCP(value * (1 - below)), step)[c]


@pytest.mark.parametrize("kernel", ["auto", "torch"])
@pytest.mark.parametrize("penalty", [replace(penalty, lambda_=0.0) for penalty in ALL], ids=lambda penalty: penalty.name)
def test_a_step_zeroes_exactly_the_wanted_share_of_groups_that_are_nearly_alike(penalty: Penalty, kernel: str) -> None:
    for seed, shape in enumerate([(256, 512, 1, 1), (256, 512, 1, 1), (512, 64, 3, 3)]):
        generator = torch.Generator().manual_seed(seed)
        weight = torch.nn.Parameter(0.05 * torch.randn(shape, generator=generator))
        weight.grad = 10.0 ** (-2 * torch.rand(shape, generator=generator)) * torch.randn(shape, generator=generator)
        optimizer = ProxAdam([weight], lr=1e-3, penalty=penalty, kernel=kernel)  # type: ignore[arg-type]
        optimizer.zero_share = 0.3
        optimizer.step()
        assert int((~live_groups(weight.detach())).sum()) == round(0.3 * shape[1])


def test_a_penalty_without_a_critical_lambda_says_what_needs_it(weight: Tensor) -> None:
    with pytest.raises(TypeError, match="Penalty has no method 'critical', which target_sparsity needs"):
        Penalty(0.1).critical(weight, weight, 0.1)
