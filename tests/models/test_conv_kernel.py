"""The compiled convolutions against their definition in float64, in each of the kernel's forms."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from models.compaction import runner
from models.compaction.anatomy import Anatomy, Block, Unit
from models.compaction.inference import InferenceBackbone
from models.compaction.layers import CompactConv2d, CompactUnit
from optim.kernels import compiler as native
from tests.models.pruned import assert_exact, generator, prune, tiny, wild_norms

compiled = pytest.mark.skipif(runner.library() is None, reason="needs a C compiler")
EPS = 2.0**-24


def _unit(
    name: str,
    rows: int,
    columns: Tensor,
    width: int,
    shape: tuple[int, int, int, int],
    relu: bool,
    seed: int,
    *,
    bias: bool = True,
) -> tuple[Unit, CompactUnit]:
    """Random weights; ``shape``: kernel, stride, padding, dilation."""
    kernel, stride, padding, dilation = shape
    like = nn.Conv2d(1, 1, kernel, stride, padding, dilation)
    g = generator(seed)
    weight = torch.randn(rows, len(columns), kernel, kernel, generator=g)
    conv = CompactConv2d(weight, torch.randn(rows, generator=g) if bias else None, width, columns, like, weight)
    return Unit(name, f"{name}_norm", like, nn.BatchNorm2d(1), relu), CompactUnit(conv.requires_grad_(False), None, relu)


def _backbone(
    stem: list[tuple[Unit, CompactUnit]], blocks: list[Block], inner: list[tuple[Unit, CompactUnit]]
) -> InferenceBackbone:
    """The stem, a max-pool that does nothing, and blocks that keep the stream's width."""
    anatomy = Anatomy(tuple(unit for unit, _ in stem), (1, 1, 0), tuple(blocks))
    units = {unit.name: compact for unit, compact in stem + inner}
    return InferenceBackbone(anatomy, units, (stem[-1][1].conv.out_channels,) * (len(blocks) + 1))


def _defined(unit: CompactUnit, x: Tensor) -> tuple[Tensor, Tensor]:
    """In float64: the result before the ReLU, and a bound of float32's rounding errors (of any order of summation)."""
    conv = unit.conv
    weight, bias, read = conv.weight.double(), conv.bias, x[:, conv.columns()].double()
    shift = torch.zeros(conv.out_channels).double() if bias is None else bias.double()
    how = (conv.stride, conv.padding, conv.dilation)
    bound = F.conv2d(read.abs(), weight.abs(), shift.abs(), *how) * EPS * (weight[:1].numel() + 2)
    return F.conv2d(read, weight, shift, *how), bound


def _run(backbone: InferenceBackbone, x: Tensor) -> Tensor:
    assert backbone.runner.can_run(backbone, x)
    with torch.no_grad():
        return backbone(x)


def _columns(width: int, count: int, seed: int) -> Tensor:
    return torch.randperm(width, generator=generator(seed))[:count]


def _check(
    rows: int, width: int, count: int, shape: tuple[int, int, int, int], size: tuple[int, int, int], relu: bool, seed: int
) -> None:
    pair = _unit("0", rows, _columns(width, count, seed), width, shape, relu, seed, bias=seed % 3 > 0)
    x = torch.randn(size[0], width, *size[1:], generator=generator(seed))
    expected, bound = _defined(pair[1], x)
    actual = _run(_backbone([pair], [], []), x)
    assert actual.shape == expected.shape
    assert ((actual - (expected.relu() if relu else expected)).abs() <= bound).all()


@compiled
@settings(max_examples=250)
@given(
    st.one_of(st.integers(1, 70), st.sampled_from([15, 16, 17, 47, 48, 49, 63, 64, 65, 96, 97, 128])),
    st.integers(1, 40),
    st.floats(0, 1),
    st.sampled_from([1, 3, 7]),
    st.integers(1, 3),
    st.integers(0, 1),
    st.integers(1, 4),
    st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20)),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_a_convolution(
    rows: int,
    width: int,
    share: float,
    kernel: int,
    stride: int,
    padded: int,
    dilation: int,
    size: tuple[int, int, int],
    relu: bool,
    seed: int,
) -> None:
    padding = padded * dilation * (kernel // 2)
    height, wide = (max(n, dilation * (kernel - 1) + 1 - 2 * padding) for n in size[1:])
    _check(rows, width, max(1, round(share * width)), (kernel, stride, padding, dilation), (size[0], height, wide), relu, seed)


@compiled
@pytest.mark.parametrize("batch", [1, 3, 9])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 1), (5, 3)])
def test_fewer_pixels_than_a_tile_and_tiles_across_images(batch: int, size: tuple[int, int]) -> None:
    for seed, shape in enumerate([(1, 1, 0, 1), (3, 1, 1, 1), (3, 2, 1, 1), (3, 1, 4, 4), (7, 2, 3, 1)]):
        _check(33, 6, 5, shape, (batch, *size), seed % 2 == 0, seed)


@compiled
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(
    ("rows", "width", "size"), [(512, 3, (1, 4, 4)), (200, 300, (2, 9, 9)), (8, 20, (3, 40, 41)), (1, 1, (1, 64, 64))]
)
def test_the_parts_that_threads_take(rows: int, width: int, size: tuple[int, int, int], threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        _check(rows, width, max(1, width // 2), (3, 1, 1, 1), size, True, rows)
    finally:
        torch.set_num_threads(before)


@compiled
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 1), (2, 2, 0), (3, 1, 1), (1, 1, 0)])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 8), (16, 17)])
def test_max_pool(kernel: int, stride: int, padding: int, size: tuple[int, int]) -> None:
    if min(size) + 2 * padding < kernel:
        return
    unit, identity = _unit("0", 5, torch.arange(5), 5, (1, 1, 0, 1), False, 0, bias=False)
    with torch.no_grad():
        identity.conv.weight.copy_(torch.eye(5).view(5, 5, 1, 1))
    x = torch.randn(3, 5, *size, generator=generator(1))
    x[0, 1], x[1, 2, -1, -1], x[2, 3, 0, 0] = -torch.inf, torch.nan, torch.inf
    x[:, 0] = -5 - x[:, 0].abs()
    anatomy = Anatomy((unit,), (kernel, stride, padding), ())
    actual = _run(InferenceBackbone(anatomy, {"0": identity}, (5,)), x.nan_to_num(0.5, 3e38, -3e38))
    assert torch.equal(actual, F.max_pool2d(x.nan_to_num(0.5, 3e38, -3e38), kernel, stride, padding))
    actual = _run(InferenceBackbone(anatomy, {"0": identity}, (5,)), x)[:, [0, 4]]  # NaN elsewhere: 0 * inf
    expected = F.max_pool2d(F.conv2d(x, torch.eye(5).view(5, 5, 1, 1)), kernel, stride, padding)[:, [0, 4]]
    assert torch.equal(actual.nan_to_num(7e7), expected.nan_to_num(7e7))


@compiled
@pytest.mark.parametrize("rows", [1, 16, 17, 50])
@pytest.mark.parametrize("shape", [(1, 1, 0, 1), (3, 1, 1, 1), (3, 1, 2, 2)])
def test_a_block_adds_to_the_stream_in_place(rows: int, shape: tuple[int, int, int, int]) -> None:
    stem = _unit("0", rows, torch.arange(3), 3, (1, 1, 0, 1), True, 0)
    inner = [
        _unit("1.conv1", 7, _columns(rows, (rows + 1) // 2, 1), rows, shape, True, 1),
        _unit("1.conv2", rows, _columns(7, 4, 2), 7, shape, False, 2),
    ]
    block = Block("1", (inner[0][0], inner[1][0]), None)
    x = torch.randn(2, 3, 9, 11, generator=generator(3))
    stream = _defined(stem[1], x)[0].relu()
    middle = _defined(inner[0][1], stream)[0].relu()
    expected = (_defined(inner[1][1], middle)[0] + stream).relu()
    actual = _run(_backbone([stem], [block], inner), x)
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


def _forget() -> None:
    native.forget()
    runner.library.cache_clear()


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """Libraries that are compiled now are those of this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _forget()
    yield monkeypatch
    monkeypatch.undo()
    _forget()


FORMS = {
    "vectors of 16": ("", None),
    "vectors of 8, AVX2": ("-mno-avx512f", 8),
    "vectors of 8, SSE": ("-mno-avx512f -mno-avx -mno-fma", 8),
    "vectors of 4": ("-mno-avx512f -D__ARM_NEON=1", 4),
    "unoptimised": ("-fno-tree-vectorize -ffp-contract=off", None),
}


@compiled
@pytest.mark.parametrize("form", FORMS)
def test_forms_of_the_kernel(form: str, compiler: pytest.MonkeyPatch) -> None:
    options, lanes = FORMS[form]
    compiler.setenv("CC", f"gcc {options}")
    loaded = runner.library()
    if loaded is None:
        pytest.skip(f"this compiler does not take {options}")
    if lanes is not None:
        assert loaded.vector_lanes() == lanes
    _several_convolutions()
    model = tiny()
    wild_norms(model, "signs", 1)
    prune(model, "half", 1)
    assert_exact(model, torch.rand(2, 3, 33, 40, generator=generator(1)))


def _several_convolutions() -> None:
    for seed, rows in enumerate([1, 3, 4, 5, 7, 8, 9, 11, 12, 13, 23, 24, 25, 33, 50]):
        for shape in ((1, 1, 0, 1), (3, 2, 1, 1), (3, 1, 2, 2)):
            _check(rows, 9, 1 + seed % 9, shape, (1 + seed % 3, 7, 5), seed % 2 == 0, seed)
