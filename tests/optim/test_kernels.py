"""The compiled proximal step gives what torch operations give, wherever it runs; and where it cannot, nothing breaks."""

import ctypes
import functools
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optim import GroupL0, GroupLasso, GroupMCP, Penalty, ProxAdam, prox_adam
from optim.groups import INPUT_CHANNELS, OUTPUT_CHANNELS, live_groups
from optim.kernels import compiler as machine
from optim.kernels import native, solve
from optim.kernels.weight_step import WeightStep

ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, Any] = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}
NCHW, NHWC = torch.contiguous_format, torch.channels_last
compiled = pytest.mark.skipif(native.kernel() is None, reason="needs a C compiler")


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _gradients(shapes: list[tuple[int, ...]], step: int, axis: int) -> list[Tensor]:
    """Per weight: groups of very different scale, every seventh without gradient."""
    gradients = []
    for i, shape in enumerate(shapes):
        gradient = torch.randn(shape, generator=_generator(1000 * step + i))
        scale = 10.0 ** torch.linspace(-6, 1, shape[axis])
        scale[3::7] = 0
        gradients.append((gradient.movedim(axis, -1) * scale).movedim(-1, axis).contiguous())
    return gradients


def _weights(
    shapes: list[tuple[int, ...]], layout: torch.memory_format = NCHW, axis: int = INPUT_CHANNELS
) -> list[nn.Parameter]:
    """Small random weights; every fifth group is zero."""
    weights = []
    for i, shape in enumerate(shapes):
        weight = 0.1 * torch.randn(shape, generator=_generator(i))
        weight.movedim(axis, 0)[2::5] = 0
        weights.append(nn.Parameter(weight.to(memory_format=layout) if weight.ndim == 4 else weight))
    return weights


def _train(optimizer: ProxAdam, axis: int = INPUT_CHANNELS, steps: range = range(4)) -> list[Tensor]:
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for step in steps:
        for weight, gradient in zip(weights, _gradients([tuple(w.shape) for w in weights], step, axis), strict=True):
            weight.grad = torch.empty_like(weight).copy_(gradient)
        optimizer.step()
    return [weight.detach() for weight in weights]


class _Counter:
    """Counts the parts that the kernel solves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.solved = 0
        step = native.ProxKernel.step

        def counting(kernel: native.ProxKernel, parts: list[WeightStep]) -> None:
            self.solved += len(parts)
            step(kernel, parts)

        monkeypatch.setattr(native.ProxKernel, "step", counting)


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> _Counter:
    return _Counter(monkeypatch)


def _assert_same(ours: list[Tensor], theirs: list[Tensor], axis: int) -> None:
    """Equal to rounding, and the same groups are dead."""
    for left, right in zip(ours, theirs, strict=True):
        assert left.stride() == right.stride()
        assert torch.equal(live_groups(left, axis), live_groups(right, axis))
        torch.testing.assert_close(left, right, rtol=3e-6, atol=3e-8)  # weights are about 0.1


HARD = [GroupL0(0.02, "adam"), GroupL0(0.02, saliency="fisher")]
HARD_0 = [penalty.with_strength(0.0) for penalty in HARD]
PENALTIES = [GroupLasso(0.02), GroupMCP(0.02, gamma=3.0), *HARD]
SHAPES: list[tuple[int, ...]] = [
    *((5, 3, 3, 3), (6, 17, 3, 3), (4, 64, 3, 3), (3, 65, 3, 3), (2, 130, 3, 3)),
    *((9, 65, 1, 1), (64, 64, 1, 1), (1, 7, 1, 1), (7, 1, 1, 1), (1, 1, 1, 1)),
    *((8, 3, 7, 7), (3, 8, 7, 7), (4, 5, 1, 7), (4, 5, 7, 1)),
]
LINEAR = [(65, 20), (3, 1), (1, 30)]


@compiled
@pytest.mark.parametrize("axis", [INPUT_CHANNELS, OUTPUT_CHANNELS])
@pytest.mark.parametrize("layout", [NCHW, NHWC])
@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
def test_the_kernel_equals_the_torch_operations(
    penalty: Penalty, layout: torch.memory_format, axis: int, counter: _Counter
) -> None:
    shapes = SHAPES if axis == INPUT_CHANNELS else SHAPES + LINEAR
    ours = ProxAdam(_weights(shapes, layout, axis), penalty=penalty, axis=axis, **SETTINGS)
    theirs = ProxAdam(_weights(shapes, layout, axis), penalty=penalty, axis=axis, kernel="torch", **SETTINGS)
    results, expected = _train(ours, axis), _train(theirs, axis)
    assert counter.solved == 4 * len(shapes)  # no layout here is too difficult for the kernel
    _assert_same(results, expected, axis)
    alive = torch.cat([live_groups(weight, axis) for weight in expected])
    assert alive.any()
    assert not alive.all()


@compiled
@pytest.mark.parametrize("axis", [INPUT_CHANNELS, OUTPUT_CHANNELS])
@pytest.mark.parametrize(("saved", "used"), [(NCHW, NHWC), (NHWC, NCHW)])
def test_a_checkpoint_of_another_memory_layout_can_be_loaded(
    saved: torch.memory_format, used: torch.memory_format, axis: int, tmp_path: Path
) -> None:
    """Weight and running means then may differ in layout."""
    shapes, penalty = [(8, 17, 3, 3), (16, 65, 1, 1)], GroupLasso(0.02)
    first = ProxAdam(_weights(shapes, saved, axis), penalty=penalty, axis=axis, **SETTINGS)
    weights = _train(first, axis)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    results = []
    for kernel in ("auto", "torch"):
        params = [nn.Parameter(weight.clone(memory_format=used)) for weight in weights]
        optimizer = ProxAdam(params, penalty=penalty, axis=axis, kernel=kernel, **SETTINGS)
        optimizer.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        results.append(_train(optimizer, axis, range(4, 7)))
    _assert_same(*results, axis)


def _step_of(weight: Tensor, v: Tensor, axis: int, penalty: Penalty, lr: float = 0.1) -> WeightStep:
    form = penalty.kernel_form(weight, axis)
    assert form is not None
    return WeightStep(weight, v, axis, 0.5, 1e-8, lr, form, torch.empty(weight.shape[axis]))


def _prox(weight: Tensor, v: Tensor, axis: int, penalty: Penalty, lr: float = 0.1) -> Tensor:
    return penalty.prox(weight, (v / 0.5).sqrt() + 1e-8, lr, axis)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda w: w.contiguous(),
    "channels last": lambda w: w.contiguous(memory_format=torch.channels_last),
    "transposed": lambda w: w.transpose(0, 1).contiguous().transpose(0, 1),
    "a slice of filters": lambda w: torch.cat([w, w, w])[len(w) : 2 * len(w)],
    "a slice of channels": lambda w: torch.cat([w, w, w], 1)[:, w.shape[1] : 2 * w.shape[1]],
    "every second column": lambda w: torch.stack([w, w], -1).flatten(-2)[..., ::2],
    "turned": lambda w: w.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0),
    "columns first": lambda w: w.permute(2, 0, 3, 1).contiguous().permute(1, 3, 0, 2),
    "expanded memory": lambda w: nn.functional.pad(w, (1, 2, 3, 1))[:, :, 3:-1, 1:-2],
}


def _groups_of_all_lengths(axis: int) -> Tensor:
    values = torch.randn(6, 10, 3, 2, generator=_generator(0)).movedim(axis, -1)
    return (values * torch.linspace(0.0, 1.0, values.shape[-1])).movedim(-1, axis).contiguous()


@compiled
@pytest.mark.parametrize("axis", [INPUT_CHANNELS, OUTPUT_CHANNELS])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_either_solved_or_left_to_torch_operations(layout: str, axis: int) -> None:
    """Whatever the layout of the running mean is beside it."""
    penalty, solved = GroupLasso(0.2), []
    values, squares = _groups_of_all_lengths(axis), torch.rand(6, 10, 3, 2, generator=_generator(1))
    expected = _prox(values, squares, axis, penalty)
    assert 0 < live_groups(expected, axis).sum() < expected.shape[axis]
    for v_layout, change in LAYOUTS.items():
        weight, v = LAYOUTS[layout](values.clone()), change(squares.clone())
        if solve([_step_of(weight, v, axis, penalty)]):
            assert torch.equal(weight, values)  # untouched
        else:
            torch.testing.assert_close(weight, expected, rtol=1e-6, atol=0, msg=lambda text, v=v_layout: f"{v}: {text}")
            solved.append(v_layout)
        assert torch.equal(v, squares)
    if layout in ("contiguous", "channels last"):
        assert {"contiguous", "channels last", layout} <= set(solved)


@compiled
@pytest.mark.parametrize("layout", ["a slice of channels", "every second column", "turned", "expanded memory"])
def test_memory_beside_a_view_is_not_touched(layout: str) -> None:
    """The optimizer too: whatever the kernel does not take goes through torch operations."""
    values = torch.randn(6, 10, 3, 2, generator=_generator(0))
    weight = nn.Parameter(LAYOUTS[layout](values.clone()))
    storage = torch.empty(0).set_(weight.untyped_storage())
    mine = torch.zeros_like(storage, dtype=torch.bool).as_strided(weight.shape, weight.stride(), weight.storage_offset())
    mine.fill_(True)
    others = storage[~mine._base]
    before = others.clone()
    optimizer = ProxAdam([weight], penalty=GroupLasso(0.5), **SETTINGS)
    _train(optimizer)
    assert len(before) > 0 or layout == "turned"
    assert torch.equal(storage[~mine._base], before)
    plain = ProxAdam([nn.Parameter(values)], penalty=GroupLasso(0.5), kernel="torch", **SETTINGS)
    torch.testing.assert_close(weight.detach(), _train(plain)[0], rtol=3e-6, atol=3e-8)


@pytest.mark.parametrize("axis", [INPUT_CHANNELS, OUTPUT_CHANNELS])
@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
def test_the_size_of_the_parts_that_torch_operations_treat_at_once_changes_nothing(
    penalty: Penalty, axis: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for size in (2**19, 300, 1):
        monkeypatch.setattr(prox_adam, "CHUNK", {"cpu": size})
        weights = _weights([(6, 17, 3, 3), (9, 5, 1, 1)], axis=axis)
        results.append(_train(ProxAdam(weights, penalty=penalty, axis=axis, kernel="torch", **SETTINGS), axis))
    for result in results[1:]:
        _assert_same(result, results[0], axis)


@compiled
def test_the_number_of_threads_changes_nothing() -> None:
    """There are enough columns for all threads to be at work at the same time."""
    shapes = [(24, 500, 3, 3), (8, 3, 7, 7), (16, 65, 1, 1)]
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, *(2, 3) * 3):
            torch.set_num_threads(threads)
            weights = [torch.randn(shape, generator=_generator(0)) for shape in shapes]
            squares = [torch.rand(shape, generator=_generator(1)) for shape in shapes]
            parts = [_step_of(*pair, INPUT_CHANNELS, GroupLasso(9.3)) for pair in zip(weights, squares, strict=True)]
            assert solve(parts) == []
            results.append(torch.cat([weight.flatten() for weight in weights]))
    finally:
        torch.set_num_threads(before)
    assert 0.1 < (results[0] == 0).float().mean() < 0.9
    assert all(torch.equal(result, results[0]) for result in results[1:])


@compiled
@pytest.mark.parametrize("penalty", [GroupLasso(0.1), GroupMCP(0.1, 30.0), *(h.with_strength(20.0) for h in HARD)], ids=str)
def test_a_nan_stays_visible_and_does_not_spread(penalty: Penalty) -> None:
    weight = torch.randn(4, 40, 3, 3, generator=_generator(0))
    weight[1, 7, 0, 2] = torch.nan
    before = weight.clone()
    assert solve([_step_of(weight, torch.rand(4, 40, 3, 3), INPUT_CHANNELS, penalty)]) == []
    assert weight[:, 7].isnan().any()
    others = [c for c in range(40) if c != 7]
    assert weight[:, others].isfinite().all()
    assert not torch.equal(weight[:, others], before[:, others])


@compiled
@pytest.mark.parametrize("shape", [(0, 3, 1, 1), (3, 0, 1, 1), (3, 2, 0, 1)])
def test_a_weight_without_elements_is_nothing_special(shape: tuple[int, ...]) -> None:
    empty, other = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.ones(2, 3, 1, 1))
    for kernel in ("auto", "torch"):
        optimizer = ProxAdam([empty, other], lr=0.1, penalty=GroupLasso(1e3), kernel=kernel)
        empty.grad, other.grad = torch.ones_like(empty), torch.ones_like(other)
        optimizer.step()
        assert (other == 0).all()


@compiled
@pytest.mark.parametrize("axis", [INPUT_CHANNELS, OUTPUT_CHANNELS])
@pytest.mark.parametrize("penalty", [GroupLasso(0.0), GroupMCP(0.0, 3.0), *HARD_0], ids=str)
def test_with_strength_0_the_kernel_only_measures_what_the_penalty_measures(penalty: Penalty, axis: int) -> None:
    for weight in _weights([(4, 9, 3, 3), (7, 65, 1, 1), (60, 11, 3, 3)], axis=axis):
        values, v = weight.detach().clone(), torch.rand(weight.shape, generator=_generator(1)).square()
        part = _step_of(values, v, axis, penalty)
        assert solve([part]) == []
        assert torch.equal(values, weight)
        expected = penalty.critical(values, (v / 0.5).sqrt() + 1e-8, 0.1, axis)
        assert torch.equal(expected > 0, live_groups(values, axis))
        torch.testing.assert_close(part.critical / (values.numel() / values.shape[axis]) ** 0.5, expected)


@compiled
@pytest.mark.parametrize(
    "penalty", [GroupL0(0.5, "adam"), GroupL0(0.5, saliency="fisher"), GroupLasso(0.0), GroupMCP(0.0)], ids=str
)
def test_more_groups_than_a_wide_tile_has_are_each_measured_by_their_own_numbers(penalty: Penalty) -> None:
    """Groups that lie side by side are read many at a time; the last tile is not full."""
    shape = (3, 1100, 3, 3)
    scale = torch.linspace(0.01, 10, shape[1])[None, :, None, None]
    weight = (scale * torch.randn(shape, generator=_generator(0))).contiguous(memory_format=torch.channels_last)
    v = torch.rand(shape, generator=_generator(1)).contiguous(memory_format=torch.channels_last)
    metric = (v / 0.5).sqrt() + 1e-8
    part = _step_of(weight.clone(), v, INPUT_CHANNELS, penalty)
    assert solve([part]) == []
    torch.testing.assert_close(part.critical / 27**0.5, penalty.critical(weight, metric, 0.1, INPUT_CHANNELS))
    expected = penalty.prox(weight, metric, 0.1, INPUT_CHANNELS)
    assert torch.equal(part.weight, expected)
    assert live_groups(expected).all() == (penalty.lambda_ == 0)


@compiled
@pytest.mark.parametrize("axis", [INPUT_CHANNELS, OUTPUT_CHANNELS])
@pytest.mark.parametrize("layout", [NCHW, NHWC])
def test_the_sums_of_products_over_groups_are_those_by_definition(layout: torch.memory_format, axis: int) -> None:
    shapes = [*SHAPES, (3, 1100, 3, 3)]
    pairs = [tuple(torch.randn(shape, generator=_generator(i)).to(memory_format=layout) for i in (0, 1)) for shape in shapes]
    for (weight, other), sums in zip(pairs, native.group_dots(pairs, axis), strict=True):
        assert sums is not None
        products = (weight.double() * other.double()).movedim(axis, 0).flatten(1)
        bound = 1e-6 * products.abs().sum(1) + 1e-12
        assert bool(((sums - products.sum(1)).abs() <= bound).all())
    doubles = [(weight.double(), other.double()) for weight, other in pairs]
    assert native.group_dots(doubles, axis) == [None] * len(pairs)


@compiled
@pytest.mark.parametrize("share", [None, 0.5])
@pytest.mark.parametrize("layout", [NCHW, NHWC])
def test_the_products_of_the_kernel_choose_the_groups_that_torch_operations_choose(
    layout: torch.memory_format, share: float | None
) -> None:
    penalty, trained = GroupL0(1e-4, "taylor"), []
    for kernel in ("auto", "torch"):
        optimizer = ProxAdam(_weights(SHAPES, layout), penalty=penalty, kernel=kernel, **SETTINGS)  # type: ignore[arg-type]
        optimizer.zero_share = share
        trained.append(_train(optimizer))
    _assert_same(*trained, INPUT_CHANNELS)
    alive = torch.cat([live_groups(weight) for weight in trained[0]])
    assert alive.any()
    assert not alive.all()


# Compiling


Find = Callable[[], ctypes.CDLL | None]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Find]:
    """Finds a small library as a new process would, with an empty cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    source = tmp_path / "small.c"
    source.write_text("int answer(void) { return 42; }\n")

    def find() -> ctypes.CDLL | None:
        machine.forget()
        return machine.load_library(source, "the proximal step")

    yield find
    machine.forget()


def _program(path: Path, text: str) -> str:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


def _works(library: ctypes.CDLL | None) -> None:
    assert library is not None
    assert library.answer() == 42


@functools.cache
def _real_compiler() -> str:
    import shutil

    return next(path for name in machine.COMPILERS if (path := shutil.which(name)))


FAILING = {
    "missing": "/nowhere/no-such-compiler",
    "always fails": "echo it is broken >&2\nexit 3\n",
    "fails to compile": 'case "$*" in *--version*) echo 1.0;; *) echo no such thing >&2; exit 1;; esac\n',
    "writes nothing": "echo 1.0\n",
    "writes no library": 'echo 1.0\nwhile [ $# -gt 0 ]; do [ "$1" = -o ] && echo junk > "$2"; shift; done\n',
}


@pytest.mark.parametrize("kind", ["none on the path", *FAILING])
def test_without_a_compiler_that_works_one_line_of_the_log_says_so(
    kind: str, fresh: Find, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if kind == "none on the path":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        text = FAILING[kind]
        monkeypatch.setenv("CC", text if text.startswith("/") else _program(tmp_path / "cc", text))
    with caplog.at_level(logging.DEBUG):
        assert fresh() is None
    assert len(caplog.records) == 1
    message = caplog.records[0].getMessage()
    assert "slower" in message
    assert "\n" not in message
    monkeypatch.setattr(native, "kernel", lambda: None)
    ours = _train(ProxAdam(_weights([(4, 9, 3, 3)]), penalty=GroupLasso(0.02), **SETTINGS))
    theirs = _train(ProxAdam(_weights([(4, 9, 3, 3)]), penalty=GroupLasso(0.02), kernel="torch", **SETTINGS))
    assert torch.equal(ours[0], theirs[0])


@compiled
@pytest.mark.usefixtures("fresh")
def test_a_compiler_without_openmp_will_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = f'for a; do [ "$a" = -fopenmp ] && exit 1; done\nexec {_real_compiler()} "$@"\n'
    monkeypatch.setenv("CC", _program(tmp_path / "cc", text))
    machine.forget()
    with caplog.at_level(logging.DEBUG):
        kernel = native.kernel.__wrapped__()
    assert not caplog.records
    values, v = torch.randn(6, 10, 3, 3, generator=_generator(0)), torch.rand(6, 10, 3, 3, generator=_generator(1))
    weight = values.clone()
    kernel.step([_step_of(weight, v, INPUT_CHANNELS, GroupLasso(0.05))])
    torch.testing.assert_close(weight, _prox(values, v, INPUT_CHANNELS, GroupLasso(0.05)), rtol=1e-6, atol=0)


@compiled
def test_it_is_compiled_once_per_cache(fresh: Find, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = tmp_path / "log"
    compiler = _program(tmp_path / "cc", f'echo "$*" >> {log}\nexec {_real_compiler()} "$@"\n')
    monkeypatch.setenv("CC", f"{compiler} -g0")  # it may have options
    _works(fresh())
    _works(fresh())
    runs = [line for line in log.read_text().splitlines() if "--version" not in line]
    assert len(runs) == 1
    cached = list((tmp_path / "cache" / "less-is-more").iterdir())
    assert [path.suffix for path in cached] == [".so"]  # nothing temporary is left
    # another compiler or version of it: compiled again, beside the first
    text = f'case "$*" in *--version*) echo another;; *) echo "$*" >> {log}; exec {_real_compiler()} "$@";; esac\n'
    monkeypatch.setenv("CC", _program(tmp_path / "cc", text))
    _works(fresh())
    assert len([line for line in log.read_text().splitlines() if "--version" not in line]) == 2


@compiled
@pytest.mark.parametrize("where", ["a file", "below a file"])
def test_a_cache_that_cannot_be_written_is_no_obstacle(
    where: str, fresh: Find, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked if where == "a file" else blocked / "deeper"))
    with caplog.at_level(logging.DEBUG):
        _works(fresh())
    assert not caplog.records
    assert blocked.read_text() == "not a folder"


@compiled
def test_two_processes_may_compile_at_once(tmp_path: Path) -> None:
    """Both wait inside the compiler until the other one has got there. (The file alone needs no torch.)"""
    wait = (
        f"touch {tmp_path}/here.$$\nfor i in $(seq 100); do [ $(ls {tmp_path} | grep -c here) -ge 2 ] && break; sleep 0.1; done"
    )
    text = f'case "$*" in *--version*) ;; *) {wait};; esac\nexec {_real_compiler()} "$@"\n'
    environment = {**os.environ, "CC": _program(tmp_path / "cc", text), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    (tmp_path / "small.c").write_text("int answer(void) { return 42; }\n")
    load = f"run_path({machine.__file__!r})['load_library'](Path({str(tmp_path / 'small.c')!r}), 'a test')"
    program = f"from pathlib import Path; from runpy import run_path; raise SystemExit({load} is None)"
    processes = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert len(list(tmp_path.glob("here.*"))) == 2
    assert [path.suffix for path in (tmp_path / "cache" / "less-is-more").iterdir()] == [".so"]
