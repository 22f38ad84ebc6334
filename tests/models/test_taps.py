"""The weight gradient tap by tap: torch's own numbers, and torch's own way wherever it does not apply."""

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode

from models import compact, taps
from models.taps import DilatedConv2d, conv2d
from tests.models.pruned import generator, narrow, prune, tiny

SHAPES = {  # height and width of the map and the kernel, padding, dilation
    "all taps but one see padding": ((3, 3), (3, 3), (4, 4), (4, 4)),
    "the taps see a corner": ((5, 5), (3, 3), (4, 4), (4, 4)),
    "wide map, flat kernel": ((3, 9), (3, 2), (5, 1), (4, 2)),
    "tall map, even kernel": ((9, 3), (2, 4), (0, 7), (1, 3)),
    "more padding than the kernel reaches": ((2, 3), (2, 3), (6, 7), (3, 2)),
    "one pixel": ((1, 1), (3, 3), (1, 1), (1, 1)),
    "one row": ((1, 6), (1, 3), (0, 6), (1, 6)),
}


@pytest.fixture
def tapped(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A list with an entry for each weight gradient that is taken tap by tap."""
    calls: list[int] = []
    original = taps._weight_gradient

    def counted(*args: Any) -> Tensor:
        calls.append(1)
        return original(*args)

    monkeypatch.setattr(taps, "_weight_gradient", counted)
    yield calls


def _tensors(shape: str, dtype: torch.dtype, layout: torch.memory_format = torch.channels_last) -> list[Tensor]:
    size, kernel, _, _ = SHAPES[shape]
    g = generator(0)
    x, weight = torch.randn(3, 5, *size, generator=g), torch.randn(4, 5, *kernel, generator=g)
    tensors = [x.contiguous(memory_format=layout), weight.contiguous(memory_format=layout), torch.randn(4, generator=g)]
    return [tensor.to(dtype).requires_grad_() for tensor in tensors]


def _gradients(
    function: Callable[..., Tensor], tensors: list[Tensor], padding: tuple[int, ...], dilation: tuple[int, ...]
) -> list[Tensor]:
    out = function(*tensors, (1, 1), padding, dilation)
    out_gradient = torch.randn(out.shape, generator=generator(1)).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, tensors, out_gradient)]


def _distance(actual: Tensor, exact: Tensor) -> float:
    return float((actual.double() - exact.double()).norm() / exact.double().norm())


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_torch(
    shape: str, dtype: torch.dtype, tolerance: float, layout: torch.memory_format, tapped: list[int]
) -> None:
    tensors, (_, _, *how) = _tensors(shape, dtype, layout), SHAPES[shape]
    actual = _gradients(conv2d, tensors, *how)
    assert len(tapped) == 1
    for ours, theirs in zip(actual, _gradients(F.conv2d, tensors, *how), strict=True):
        assert ours.shape == theirs.shape and ours.dtype == dtype
        assert _distance(ours, theirs) <= tolerance


@pytest.mark.parametrize("shape", SHAPES)
def test_bfloat16_under_autocast_is_no_worse_than_torch_s_own(shape: str, tapped: list[int]) -> None:
    tensors, (_, _, *how) = _tensors(shape, torch.float32), SHAPES[shape]
    rounded = [tensor.detach().bfloat16().float().requires_grad_() for tensor in tensors]
    exact = _gradients(F.conv2d, rounded, *how)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual, own = _gradients(conv2d, tensors, *how), _gradients(F.conv2d, tensors, *how)
    assert len(tapped) == 1
    for ours, theirs, reference in zip(actual, own, exact, strict=True):
        assert ours.dtype == theirs.dtype
        # What torch's own happens to round better on a few numbers is below half a unit in bfloat16's last place.
        assert _distance(ours, reference) <= max(_distance(theirs, reference), 2.0**-9)


def test_under_autocast_float64_stays_float64(tapped: list[int]) -> None:
    tensors, (_, _, *how) = _tensors("one pixel", torch.float64), SHAPES["one pixel"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(tensor.dtype == torch.float64 for tensor in _gradients(conv2d, tensors, *how))
    assert tapped


@pytest.mark.parametrize("shape", SHAPES)
def test_first_and_second_gradients_are_derivatives(shape: str) -> None:
    tensors, (_, _, *how) = _tensors(shape, torch.float64), SHAPES[shape]
    assert torch.autograd.gradcheck(lambda *args: conv2d(*args, (1, 1), *how), tensors)
    assert torch.autograd.gradgradcheck(lambda *args: conv2d(*args, (1, 1), *how), tensors)


@settings(max_examples=200)
@given(
    st.tuples(*[st.integers(0, 3), st.integers(1, 5), st.integers(1, 5)]),
    st.tuples(*[st.integers(1, 7)] * 2),
    st.tuples(*[st.integers(1, 4)] * 2),
    st.tuples(*[st.integers(0, 6)] * 2),
    st.tuples(*[st.integers(1, 6)] * 2),
    st.booleans(),
)
def test_any_shape(
    counts: tuple[int, int, int],
    size: tuple[int, int],
    kernel: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    biased: bool,
) -> None:
    padding = tuple(  # type: ignore[assignment]
        max(p, math.ceil((d * (k - 1) + 1 - n) / 2)) for n, k, p, d in zip(size, kernel, padding, dilation, strict=True)
    )
    images, rows, columns = counts
    g = generator(sum(size))
    x = torch.randn(images, columns, *size, dtype=torch.float64, generator=g, requires_grad=True)
    weight = torch.randn(rows, columns, *kernel, dtype=torch.float64, generator=g, requires_grad=True)
    bias = torch.randn(rows, dtype=torch.float64, generator=g, requires_grad=True) if biased else None
    wanted = [x, weight] if bias is None else [x, weight, bias]
    # A sum: the gradient of the output is one number that is expanded.
    actual, expected = (
        torch.autograd.grad(function(x, weight, bias, (1, 1), padding, dilation).sum(), wanted)
        for function in (conv2d, F.conv2d)
    )
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_only_the_gradients_that_are_wanted() -> None:
    conv = DilatedConv2d(2, 3, 3, padding=4, dilation=4)
    conv(torch.randn(1, 2, 4, 4)).sum().backward()  # the images want none
    assert conv.weight.grad is not None and conv.bias is not None and conv.bias.grad is not None
    conv.bias.requires_grad_(False)
    conv.bias.grad = None
    conv(torch.randn(1, 2, 4, 4)).sum().backward()
    assert conv.bias.grad is None


def test_a_gradient_has_the_layout_of_its_weight(tapped: list[int]) -> None:
    for layout in (torch.channels_last, torch.contiguous_format):
        conv = DilatedConv2d(2, 3, 3, padding=4, dilation=4).to(memory_format=layout)  # type: ignore[call-overload]
        conv(torch.randn(1, 2, 4, 4)).sum().backward()
        assert conv.weight.grad is not None and conv.weight.grad.stride() == conv.weight.stride()
    assert len(tapped) == 2


def _with(**changes: Any) -> Callable[[nn.Conv2d, Tensor], Tensor]:
    """Make a call with other attributes of the convolution."""

    def call(conv: nn.Conv2d, x: Tensor) -> Tensor:
        for name, value in changes.items():
            setattr(conv, name, value)
        return conv(x)

    return call


def _frozen(conv: nn.Conv2d, x: Tensor) -> Tensor:
    conv.weight.requires_grad_(False)
    return conv(x)


def _groups(conv: nn.Conv2d, x: Tensor) -> Tensor:
    conv.groups, conv.in_channels = 2, 8
    return conv(torch.cat([x, x], 1))


def _counted(conv: nn.Conv2d, x: Tensor) -> Tensor:
    with FlopCounterMode(display=False) as counter:
        out: Tensor = conv(x)
    assert counter.get_total_flops() == 2 * 9 * 4 * out.numel()
    return out


def _forward_ad(conv: nn.Conv2d, x: Tensor) -> Tensor:
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(conv(forward_ad.make_dual(x, torch.ones_like(x)))).primal


PLAIN: dict[str, Callable[[nn.Conv2d, Tensor], Tensor]] = {
    "large map": lambda conv, x: conv(torch.cat([x, x], 2).repeat(1, 1, 1, 2)),
    "frozen": _frozen,
    "no gradient": torch.no_grad()(lambda conv, x: conv(x)),
    "strided": _with(stride=(2, 2)),
    "named padding": _with(padding="same"),
    "groups": _groups,
    "one image": lambda conv, x: conv(x[0]),
    "counted": _counted,
    "forward AD": _forward_ad,
    "vmap": lambda conv, x: torch.func.vmap(lambda image: conv(image[None])[0])(x),
}


@pytest.mark.parametrize("name", PLAIN)
def test_torch_s_own_way_elsewhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any) -> Tensor:
        raise AssertionError("taken tap by tap")

    monkeypatch.setattr(taps._TapConv2d, "apply", refused)
    x = torch.randn(2, 4, 7, 7, generator=generator(0))
    ours = DilatedConv2d(4, 4, 3, padding=4, dilation=4)
    plain = nn.Conv2d(4, 4, 3, padding=4, dilation=4)
    plain.load_state_dict(ours.state_dict())
    with pytest.raises(AssertionError, match="tap by tap"):
        ours(x)
    torch.testing.assert_close(PLAIN[name](ours, x), PLAIN[name](plain, x), rtol=0, atol=0)


def test_reflected_padding_is_torch_s() -> None:
    ours = DilatedConv2d(2, 2, 3, padding=4, dilation=4, padding_mode="reflect")
    plain = nn.Conv2d(2, 2, 3, padding=4, dilation=4, padding_mode="reflect")
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(1, 2, 6, 6)
    torch.testing.assert_close(ours(x), plain(x), rtol=0, atol=0)


def test_torch_compile_sees_a_convolution(tapped: list[int]) -> None:
    conv = DilatedConv2d(2, 3, 3, padding=4, dilation=4)
    x = torch.randn(2, 2, 5, 5)
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager")
    expected = torch.autograd.grad(conv(x).square().sum(), conv.weight)[0]
    assert len(tapped) == 1
    torch.testing.assert_close(torch.autograd.grad(compiled(x).square().sum(), conv.weight)[0], expected)
    assert len(tapped) == 1
    exported = torch.export.export(conv, (x,))
    assert "aten.conv2d.default" in str(exported.graph)


@pytest.mark.parametrize("backbone", ["resnet18", "resnetd50"])
def test_networks_train_as_with_torch_s_own(backbone: str, tapped: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    model = (narrow() if backbone == "resnet18" else tiny(blocks=(1, 1, 1, 3))).double()
    prune(model, "half", 1)
    small, _ = compact(model, for_training=True, image_size=(48, 48))
    images = torch.rand(2, 3, 48, 48, dtype=torch.float64, generator=generator(0))
    for network in (model, small):
        actual, names = _step(network, images)
        assert len(tapped) >= 2, "stage 4 reads 6 x 6 maps with dilation 4"
        with monkeypatch.context() as patch:
            patch.setattr(taps, "_taps_pay", lambda *args: False)
            tapped.clear()
            expected, _ = _step(network, images)
        assert not tapped
        for ours, theirs, name in zip(actual, expected, names, strict=True):
            assert (ours - theirs).norm() <= 1e-9 * theirs.norm() + 1e-12, name


def _step(network: nn.Module, images: Tensor) -> tuple[list[Tensor], list[str]]:
    """Gradients of all parameters in train mode, dropout always the same, and their names."""
    network = copy.deepcopy(network).train()
    torch.manual_seed(0)
    loss = sum(out.square().mean() for out in network(images).values())
    assert isinstance(loss, Tensor)
    named = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True, materialize_grads=True)
    return list(gradients), list(named)
