"""The proximal step on a GPU gives what optim/proximal.py gives in float64.

There may be no GPU: triton's interpreter runs the kernel on a CPU, in a process of its own because it has to be asked for
before the kernel is read. That the kernel compiles for a GPU is tested too, which needs none.
"""

import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from optim.groups import INPUT_CHANNELS, OUTPUT_CHANNELS, as_columns
from optim.kernels import gpu
from optim.kernels.weight_step import WeightStep
from optim.penalties import GroupL0, GroupLasso, GroupMCP, KernelForm, Penalty
from optim.proximal import prox_group_lasso, prox_group_mcp

ROOT = Path(__file__).resolve().parents[2]
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")


@dataclass(frozen=True)
class Case:
    """One weight's step; thresholds are given as shares of the groups' norms ||d x||."""

    shape: tuple[int, ...]
    axis: int = INPUT_CHANNELS
    layout: str = "channels_last"
    v_layout: str | None = None
    inverse_gamma: float = 0.0
    hard: int = 0
    decades: float = 2.0  # that the metric of a group spans
    x_scale: float = 1.0
    d_scale: float = 1.0
    share: float = 0.5  # strength of the median group
    lr: float = 1e-2
    strength: float | None = None
    as_tensors: bool = False
    seed: int = 0

    def step(self) -> WeightStep:
        generator = torch.Generator().manual_seed(self.seed)
        spread = [self.shape[i] if i == self.axis else 1 for i in range(len(self.shape))]
        # Groups of very different norms: some are dead, some hardly feel the threshold, one is zero.
        x = torch.randn(self.shape, generator=generator) * 10 ** (3 * torch.rand(spread, generator=generator) - 2)
        x.select(self.axis, self.shape[self.axis] // 2).zero_()
        d = self.d_scale * 10 ** (-self.decades * torch.rand(self.shape, generator=generator))
        correction, eps = 0.3, 1e-8
        weight, v = _laid(self.x_scale * x, self.layout), _laid(d * d * correction, self.v_layout or self.layout)
        strength = self.strength
        if strength is None:
            dx = as_columns(d.double() * self.x_scale * x, self.axis)
            size = 0.5 * (dx**2 * as_columns(d.double(), self.axis) ** (self.hard - 2)).sum(0) if self.hard else dx.norm(dim=0)
            strength = self.share * float(size.median()) / self.lr
        numbers: list[Any] = [correction, self.lr, strength]
        if self.as_tensors:
            numbers = [torch.tensor(correction, dtype=torch.float64), torch.tensor(self.lr), torch.tensor([strength])[0]]
        form = KernelForm(numbers[2], self.inverse_gamma, self.hard)
        return WeightStep(weight, v, self.axis, numbers[0], eps, numbers[1], form, torch.full((self.shape[self.axis],), -1.0))


def _laid(tensor: Tensor, layout: str) -> Tensor:
    return tensor.contiguous(memory_format=LAYOUTS[layout]) if tensor.ndim == 4 else tensor.contiguous()


CASES = {
    # Groups are wider than a tile and than a block, and not multiples of them; 0.01 is convex here, 30 is not anywhere.
    "contiguous": Case((11, 35, 3, 3), layout="contiguous"),
    "contiguous-rows-convex": Case((11, 35, 3, 3), OUTPUT_CHANNELS, "contiguous", inverse_gamma=1e-2),
    "contiguous-concave": Case((11, 35, 3, 3), layout="contiguous", inverse_gamma=30.0),
    "channels-last-convex": Case((11, 35, 3, 3), inverse_gamma=1e-2),
    "channels-last-rows-concave": Case((11, 35, 3, 3), OUTPUT_CHANNELS, inverse_gamma=30.0),
    "channels-last-rows": Case((11, 35, 3, 3), OUTPUT_CHANNELS),
    "long": Case((58, 9, 3, 3), layout="contiguous"),
    "long-mcp": Case((58, 9, 3, 3), inverse_gamma=0.3),
    "one-by-one": Case((33, 40, 1, 1)),
    "linear": Case((13, 70), OUTPUT_CHANNELS),
    "one-group": Case((5, 1, 3, 3)),
    "one-element": Case((1, 9, 1, 1)),
    "other-layout-of-v-rows": Case((12, 18, 3, 3), OUTPUT_CHANNELS, "contiguous", "channels_last"),
    "constant-metric": Case((12, 18, 3, 3), decades=0.0),
    "wide-metric": Case((12, 18, 3, 3), decades=8.0),
    "wide-metric-mcp": Case((12, 18, 3, 3), decades=8.0, inverse_gamma=0.3),
    "weak": Case((12, 18, 3, 3), share=1e-9),
    "strong": Case((12, 18, 3, 3), share=1e9),
    "tensors-mcp": Case((12, 18, 3, 3), inverse_gamma=0.3, as_tensors=True),
    "hard": Case((11, 35, 3, 3), hard=1),
    "hard-fisher": Case((11, 35, 3, 3), hard=2),
    "hard-rows": Case((12, 18, 3, 3), OUTPUT_CHANNELS, "contiguous", "channels_last", hard=2),
    "hard-tensors": Case((12, 18, 3, 3), hard=1, as_tensors=True),
    "hard-tiny": Case((4, 6, 3, 3), hard=2, x_scale=1e-16),
    "hard-huge": Case((4, 6, 3, 3), hard=1, x_scale=1e16),
}
SCALES = {
    "tiny": (1e-30, 1.0, 0.5),
    "huge": (1e30, 1.0, 0.5),
    "huge-x-tiny-d": (1e20, 1e-8, 1e-3),
    "both-huge": (1e36, 1e15, 0.5),
}
EXTREMES = {
    f"{name}-{inverse_gamma}": Case((4, 6, 3, 3), inverse_gamma=inverse_gamma, x_scale=x_scale, d_scale=d_scale, share=share)
    for name, (x_scale, d_scale, share) in SCALES.items()
    for inverse_gamma in (0.0, 0.3)
}
UNTOUCHED = {
    "strength-0": Case((12, 18, 3, 3), strength=0.0),
    "strength-0-huge": Case((4, 6, 3, 3), strength=0.0, x_scale=1e25, inverse_gamma=0.3),
    "strength-0-mcp": Case((12, 18, 3, 3), strength=0.0, inverse_gamma=0.3),
    "strength-0-tensor": Case((12, 18, 3, 3), strength=0.0, as_tensors=True),
    "lr-0-hard": Case((12, 18, 3, 3), lr=0.0, strength=1.0, hard=2),
    "lr-0-tensor": Case((12, 18, 3, 3), lr=0.0, strength=1.0, as_tensors=True),
}
BROKEN = {"nan-x": Case((12, 18, 3, 3)), "nan-v": Case((12, 18, 3, 3), inverse_gamma=0.3), "inf-x": Case((4, 6, 3, 3))}


def _broken(name: str) -> WeightStep:
    part = BROKEN[name].step()
    (part.exp_avg_sq if name == "nan-v" else part.weight)[1, 2, 0, 0] = float("inf" if name == "inf-x" else "nan")
    return part


def _steps() -> dict[str, WeightStep]:
    steps = {name: case.step() for name, case in (CASES | EXTREMES | UNTOUCHED).items()}
    return steps | {name: _broken(name) for name in BROKEN}


def _interpret(target: str) -> None:
    """In a process of its own: solve all cases in one launch, and what belongs to the launcher."""
    kernel = gpu.kernel()
    assert kernel is not None
    steps = _steps()
    assert all(gpu.can_solve(part) for part in steps.values())
    kernel.step(list(steps.values()))
    torch.save({name: (part.weight, part.critical) for name, part in steps.items()}, target)
    _check_tables(kernel)


def _check_tables(kernel: gpu.GpuKernel) -> None:
    """Tables are made once per place; a weight that moved, or whose layout changed, is found again."""
    part = Case((4, 6, 3, 3)).step()
    device = part.weight.device
    table = kernel._table([part], device)
    assert kernel._table([part], device)[0] is table[0]
    moved = replace(part, weight=part.weight.clone())
    assert kernel._table([moved], device)[0] is not table[0]
    turned = replace(part, weight=part.weight.as_strided(part.weight.shape, torch.empty(part.weight.shape).stride()))
    assert turned.weight.data_ptr() == part.weight.data_ptr()
    assert kernel._table([turned], device)[0] is not table[0]
    others = [Case((4, 6, 1, 1), seed=seed).step() for seed in range(20)]
    for other in others:
        kernel._table([other], device)
    assert len(kernel._tables) <= gpu.TABLES


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Tensor, Tensor]]:
    target = tmp_path_factory.mktemp("gpu") / "solved.pt"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.optim.test_gpu_kernel", str(target)],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        check=True,
        timeout=300,
    )
    results: dict[str, tuple[Tensor, Tensor]] = torch.load(target)
    return results


def _columns(part: WeightStep) -> tuple[Tensor, Tensor]:
    """x and d in float64."""
    d = (part.exp_avg_sq.double() / float(part.correction)).sqrt() + part.eps
    return as_columns(part.weight.double(), part.axis), as_columns(d, part.axis)


@needs_triton
@pytest.mark.parametrize("name", [*CASES, *EXTREMES])
def test_the_kernel_finds_the_minimiser(name: str, solved: dict[str, tuple[Tensor, Tensor]]) -> None:
    part = (CASES | EXTREMES)[name].step()
    (x, d), form, lr = _columns(part), part.form, float(part.lr)
    z = as_columns(solved[name][0].double(), part.axis)
    strength = float(form.strength)
    if form.hard:
        expected = torch.where(0.5 * (d**form.hard * x**2).sum(0) <= lr * strength, 0.0, x)
    elif form.inverse_gamma:
        expected = prox_group_mcp(x, d, lr, strength, 1 / form.inverse_gamma)
    else:
        expected = prox_group_lasso(x, d, lr * strength)
    assert z.isfinite().all()
    assert (z.abs() <= x.abs()).all()
    zero = (z == 0).all(0)
    assert torch.equal(zero, (expected == 0).all(0))
    assert zero[x.shape[1] // 2]
    error = (z - expected).norm(dim=0) / x.norm(dim=0)
    assert (error[~zero] < 1e-5).all(), error
    assert not form.hard or torch.equal(z, torch.where(zero, 0.0, x))


@needs_triton
@pytest.mark.parametrize("name", UNTOUCHED)
def test_without_strength_or_learning_rate_nothing_changes(name: str, solved: dict[str, tuple[Tensor, Tensor]]) -> None:
    assert torch.equal(solved[name][0], UNTOUCHED[name].step().weight)


@needs_triton
@pytest.mark.parametrize("name", [name for name in CASES | EXTREMES | UNTOUCHED if not name.startswith("lr-0")])
def test_the_critical_strength_is_that_of_the_penalty(name: str, solved: dict[str, tuple[Tensor, Tensor]]) -> None:
    part = (CASES | EXTREMES | UNTOUCHED)[name].step()
    x, d = _columns(part)
    form = part.form
    penalty: Penalty = GroupMCP(1.0, gamma=1 / form.inverse_gamma) if form.inverse_gamma else GroupLasso(1.0)
    if form.hard:
        penalty = GroupL0(1.0, saliency="adam" if form.hard == 1 else "fisher")
    expected = penalty.critical(x, d, float(part.lr)) * x.shape[0] ** 0.5
    torch.testing.assert_close(solved[name][1], expected.float(), rtol=1e-5, atol=0)


@needs_triton
@pytest.mark.parametrize("name", BROKEN)
def test_a_group_with_a_nan_stays_as_it_is_and_the_others_do_not(name: str, solved: dict[str, tuple[Tensor, Tensor]]) -> None:
    part, healthy = _broken(name), BROKEN[name].step()
    z, axis = solved[name][0], part.axis
    torch.testing.assert_close(z.select(axis, 2), part.weight.select(axis, 2), rtol=0, atol=0, equal_nan=True)
    assert z[:, 3:].isfinite().all()
    assert not torch.equal(z[:, 3:], healthy.weight[:, 3:])


# The launcher


class _NoWaiting(TorchDispatchMode):
    """Inside, nobody may ask for a value."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default, "waits for the device"
        return func(*args, **(kwargs or {}))


def test_numbers_on_the_device_stay_there() -> None:
    parts = [Case((4, 6, 3, 3), as_tensors=True, seed=seed).step() for seed in range(2)] + [Case((3, 2, 1, 1)).step()]
    with _NoWaiting():
        table = gpu._steps(parts, torch.device("cpu"))
    rows = table.view(torch.float64).view(len(parts), -1)
    for part, row, numbers in zip(parts, rows.tolist(), table.view(len(parts), -1).tolist(), strict=True):
        assert numbers[0] == part.critical.data_ptr()
        wanted = [float(part.lr), float(part.correction), part.eps, float(part.form.strength), part.form.inverse_gamma]
        assert row[1:-1] == pytest.approx(wanted, rel=1e-7)
        assert numbers[-1] == part.form.hard


@pytest.mark.parametrize("v_layout", LAYOUTS)
@pytest.mark.parametrize("name", CASES)
def test_the_table_leads_to_every_element(name: str, v_layout: str) -> None:
    case = replace(CASES[name], v_layout=v_layout)
    part = case.step()
    layer = gpu._layer(part)
    row, group = torch.arange(layer.rows)[:, None], torch.arange(layer.groups)
    outer = (row * layer.magic) >> 32
    for tensor, prefix in ((part.weight, "w"), (part.exp_avg_sq, "v")):
        assert getattr(layer, prefix) == tensor.data_ptr()
        step, jump, by_group = (getattr(layer, f"{prefix}_{field}") for field in ("step", "jump", "group"))
        memory = tensor.as_strided((tensor.numel(),), (1,))
        assert torch.equal(memory[row * step + outer * jump + group * by_group], as_columns(tensor, part.axis))


def test_the_tiles_cover_every_column_once_and_the_longest_come_first() -> None:
    layers = [gpu._layer(CASES[name].step()) for name in ("one-by-one", "long", "linear")]
    tiles = gpu._tiles(layers)
    rows = [layers[i].rows for i, _ in tiles]
    assert rows == sorted(rows, reverse=True)
    for i, layer in enumerate(layers):
        width = (gpu.SHORT_TILE if layer.rows <= gpu.SHORT else gpu.LONG_TILE)[1]
        assert [column for k, column in tiles if k == i] == list(range(0, layer.groups, width))


def test_what_the_kernel_cannot_walk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_device_type", lambda: "cpu")
    part = Case((4, 6, 3, 3)).step()
    assert gpu.can_solve(part)
    assert not gpu.can_solve(replace(part, weight=part.weight.double()))
    assert not gpu.can_solve(replace(part, weight=part.weight[:0], exp_avg_sq=part.exp_avg_sq[:0]))
    assert not gpu.can_solve(replace(part, weight=part.weight.contiguous().permute(3, 1, 0, 2), exp_avg_sq=part.exp_avg_sq))
    huge = torch.Size((2**16, 2**16))
    assert gpu._layout(huge, (2**16, 1), (2**16, 1), 0) is None  # offsets beyond 2^31
    assert gpu._layout(torch.Size((2**10, 2**16)), (2**16, 1), (2**16, 1), 0) is not None


def test_a_weight_on_a_cpu_is_none_of_its_business() -> None:
    assert not gpu.can_solve(Case((4, 6, 3, 3)).step())


def test_without_triton_the_log_says_so_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "optim.kernels.prox_triton", None)
    gpu.kernel.cache_clear()
    try:
        with caplog.at_level(logging.INFO, logger="optim.kernels.gpu"):
            assert gpu.kernel() is None
            assert gpu.kernel() is None
        assert len(caplog.records) == 1
        assert "torch operations are used" in caplog.records[0].message
    finally:
        gpu.kernel.cache_clear()


# The compiler


class _Hopper:
    """Answers to what triton asks its driver."""

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 99  # whatever a real device compiles stays apart

    def get_current_stream(self, device: int | None = None) -> int:
        return 0


class _Compile:
    """In place of the kernel: compiles what is launched."""

    def __init__(self) -> None:
        self.found: list[Any] = []

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        from optim.kernels.prox_triton import prox_step

        return lambda *args, **options: self.found.append(prox_step.warmup(*args, grid=grid, **options))


@pytest.mark.slow
@needs_triton
def test_the_launch_compiles_once_for_a_gpu_and_spills_no_registers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from triton.runtime import driver

    tools = Path(str(importlib.util.find_spec("triton").origin)).parent / "backends" / "nvidia" / "bin"  # type: ignore[union-attr]
    if not (tools / "ptxas").is_file() or not (tools / "cuobjdump").is_file():
        pytest.skip("this build of triton brings no assembler")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(driver, "_active", _Hopper())
    compiled = _Compile()
    kernel = gpu.GpuKernel(compiled)
    kernel.step([CASES["long"].step(), CASES["tensors-mcp"].step()])
    kernel.step([CASES["one-element"].step()])
    first, second = compiled.found
    assert first is second
    assert first.metadata.shared <= 2**14
    cubin = tmp_path / "prox.cubin"
    cubin.write_bytes(first.asm["cubin"])
    usage = subprocess.run([tools / "cuobjdump", "--dump-resource-usage", cubin], capture_output=True, text=True, check=True)
    assert " STACK:0 " in usage.stdout  # where spilled registers would go
    assert " LOCAL:0 " in usage.stdout


if __name__ == "__main__":
    _interpret(sys.argv[1])
