"""The batched proximal step on a GPU: ``prox_triton.py``, one launch for all weights of a step.

Needs triton, which comes with torch's builds for CUDA. Where it is missing or cannot compile, :func:`kernel` says so in one
line of the log and the optimizer uses torch operations (``optim/prox_adam.py``).

Nothing here waits for the device. What stays the same from step to step (where the weights are, and their layouts) is a table
in its memory that is sent once; the rest is a few numbers per weight, sent with every step.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor

from ..penalties import KernelForm
from .native import _loops
from .weight_step import WeightStep

log = logging.getLogger(__name__)

SHORT = 512
"""Groups of up to this many elements are solved in wider tiles: a program then has enough to do."""
SHORT_TILE, LONG_TILE = (32, 32), (128, 8)
"""(rows of a block, columns): eight floats are the least that memory hands out, and few columns fit the caches."""
OPTIONS = {"num_warps": 8, "num_stages": 1, "maxnreg": 80, "enable_fp_fusion": True}
"""Three programs share a multiprocessor of 65536 registers: while one waits, the others work."""
TABLES = 8
"""Tables that are kept: one per parameter group and device."""
INT32 = 2**31


class _Layer(ctypes.Structure):
    """One weight, as the kernel reads it: row (o, i) of group g lies at row * step + o * jump + g * group."""

    _fields_ = [(name, ctypes.c_int64) for name in ("w", "v", "rows", "groups")] + [
        ("magic", ctypes.c_int64),  # o is the high half of row * magic
        *((name, ctypes.c_int64) for name in ("w_group", "w_step", "w_jump", "v_group", "v_step", "v_jump")),
    ]


class _Step(ctypes.Structure):
    """Numbers that change from step to step; those that live on the device are filled in there."""

    _fields_ = [
        ("critical", ctypes.c_int64),
        *((name, ctypes.c_double) for name in ("lr", "correction", "eps", "strength", "inverse_gamma")),
        ("hard", ctypes.c_int64),
    ]


@functools.cache
def _device_type() -> str:
    """True where the kernel runs under triton's interpreter (TRITON_INTERPRET=1) on a CPU."""
    return "cpu" if os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on", "y") else "cuda"


def can_solve(part: WeightStep) -> bool:
    """True for weights that the kernel handles: float32, on a GPU, in a plain layout, offsets below 2^31."""
    weight, v = part.weight, part.exp_avg_sq
    return (
        weight.device.type == _device_type()
        and weight.device == v.device
        and weight.dtype == v.dtype == torch.float32
        and weight.numel() > 0
        and _layout(weight.shape, weight.stride(), v.stride(), part.axis) is not None
    )


@functools.lru_cache(maxsize=1024)
def _layout(shape: torch.Size, stride: tuple[int, ...], v_stride: tuple[int, ...], axis: int) -> tuple[int, ...] | None:
    """The fields of :class:`_Layer` from ``rows`` on; None for a layout that the kernel cannot walk."""
    tensors = [torch.empty_strided(shape, strides, device="meta") for strides in (stride, v_stride)]
    loops = _loops(tensors[0], tensors[1], axis)
    if loops is None:
        return None
    (outer, inner), strides = loops
    # A block looks beyond the last row; those offsets count too, though nothing is read there.
    beyond = max(SHORT_TILE[0], LONG_TILE[0]) + max(SHORT_TILE[1], LONG_TILE[1])
    reach = max(sum(n * step for n, step in zip(shape, t.stride(), strict=True)) + beyond * max(t.stride()) for t in tensors)
    if reach >= INT32 or (outer > 1 and (outer * inner + beyond) * inner >= 2 * INT32):
        return None
    magic = -(-(2**32) // inner) if outer > 1 else 0
    fields = [(t.stride(axis), step, jump - inner * step) for (jump, step), t in zip(strides, tensors, strict=True)]
    return (outer * inner, shape[axis], magic, *fields[0], *fields[1])


def _layer(part: WeightStep) -> _Layer:
    weight, v = part.weight, part.exp_avg_sq
    layout = _layout(weight.shape, weight.stride(), v.stride(), part.axis)
    assert layout is not None, "can_solve was not asked"
    return _Layer(weight.data_ptr(), v.data_ptr(), *layout)


def _tiles(layers: Sequence[_Layer]) -> list[tuple[int, int]]:
    """(layer, first column) of every program, the longest first: what starts last should end soon."""
    order = sorted(range(len(layers)), key=lambda i: -layers[i].rows)
    width = {i: (SHORT_TILE if layers[i].rows <= SHORT else LONG_TILE)[1] for i in order}
    return [(i, column) for i in order for column in range(0, layers[i].groups, width[i])]


def _upload(numbers: Any, device: torch.device) -> Tensor:
    """An array of ctypes structures as int64 on the device, without waiting for it."""
    table = torch.frombuffer(numbers, dtype=torch.int64)
    # torch keeps pinned memory until the copy has been made.
    return table.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else table.clone()


class GpuKernel:
    """The kernel and its tables."""

    def __init__(self, launch: Any) -> None:
        self._launch = launch
        self._tables: dict[tuple[Any, ...], tuple[Tensor, Tensor]] = {}

    def step(self, parts: Sequence[WeightStep]) -> None:
        """The proximal step of all ``parts``, in place. Extra memory: a few kilobytes."""
        for device in {part.weight.device: None for part in parts}:
            self._step([part for part in parts if part.weight.device == device], device)

    def _step(self, parts: Sequence[WeightStep], device: torch.device) -> None:
        with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
            layers, tiles = self._table(parts, device)
            self._launch[(len(tiles),)](layers, _steps(parts, device), tiles, SHORT, SHORT_TILE, LONG_TILE, **OPTIONS)

    def _table(self, parts: Sequence[WeightStep], device: torch.device) -> tuple[Tensor, Tensor]:
        """The layers and tiles on the device, sent again only if a weight moved."""
        # On another stream the table might not have arrived yet.
        stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
        tensors = [tensor for part in parts for tensor in (part.weight, part.exp_avg_sq)]
        places = tuple((tensor.data_ptr(), tensor.shape, tensor.stride()) for tensor in tensors)
        key = (device, stream, places, tuple(part.axis for part in parts))
        table = self._tables.pop(key, None)
        if table is None:
            layers = [_layer(part) for part in parts]
            tiles = _tiles(layers)
            flat = (ctypes.c_int64 * (2 * len(tiles)))(*(number for tile in tiles for number in tile))
            table = _upload((_Layer * len(layers))(*layers), device), _upload(flat, device).view(-1, 2)
        self._tables[key] = table  # the latest last
        while len(self._tables) > TABLES:
            del self._tables[next(iter(self._tables))]
        return table


def _steps(parts: Sequence[WeightStep], device: torch.device) -> Tensor:
    """The table of :class:`_Step` on the device."""
    columns: dict[str, list[Tensor | float]] = {
        "lr": [part.lr for part in parts],
        "correction": [part.correction for part in parts],
        "strength": [part.form.strength for part in parts],
    }
    on_device = {name: values for name, values in columns.items() if any(_is_on(value, device) for value in values)}
    steps = (_Step * len(parts))()
    for i, part in enumerate(parts):
        numbers = {name: 0.0 if name in on_device else float(values[i]) for name, values in columns.items()}
        steps[i] = _Step(
            part.critical.data_ptr(), eps=part.eps, inverse_gamma=part.form.inverse_gamma, hard=part.form.hard, **numbers
        )
    table = _upload(steps, device)
    for name, values in on_device.items():
        column = table.view(torch.float64).view(len(parts), -1)[:, getattr(_Step, name).offset // 8]
        column.copy_(_gather(values, device))
    return table


def _gather(values: Sequence[Tensor | float], device: torch.device) -> Tensor:
    """Numbers, of which some are on the device, in one tensor there; without waiting for it."""
    first = values[0]
    if isinstance(first, Tensor) and all(value is first for value in values):
        return first  # the learning rate
    double = torch.empty(1, dtype=torch.float64, device=device)
    return torch.cat([v.reshape(1) if _is_on(v, device) else torch.full_like(double, float(v)) for v in values])


def _is_on(value: Tensor | float, device: torch.device) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.device == device


@functools.cache
def kernel() -> GpuKernel | None:
    """The kernel, compiled for the current GPU; None (and one line in the log) where that is not possible."""
    try:
        from .prox_triton import prox_step

        kernel = GpuKernel(prox_step)
        weight = torch.ones(1, 1, device=_device_type())
        # Compiles, which is where a machine's tools may fail; nobody waits for the result.
        critical = torch.empty(1, device=weight.device)
        kernel.step([WeightStep(weight, weight.clone(), 0, 1.0, 0.0, 1.0, KernelForm(1.0), critical)])
    except Exception as error:  # triton's own, the compiler's, the driver's
        log.info(
            "the proximal kernel needs triton, which fails (%s): torch operations are used, which is slower",
            " ".join(f"{type(error).__name__}: {error}".split())[:200],
        )
        return None
    return kernel
