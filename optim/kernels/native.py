"""The batched proximal step on the CPU: ``prox_kernel.c``, compiled by ``optim/kernels/compiler.py``.

Where there is no compiler, one line of the log says so and the optimizer uses torch operations (``optim/prox_adam.py``).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .compiler import load_library
from .weight_step import WeightStep

SOURCE = Path(__file__).with_name("prox_kernel.c")


class _Layer(ctypes.Structure):
    """``Layer`` of prox_kernel.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("w", "v", "critical")),
        *((name, ctypes.c_int64) for name in ("outer", "inner", "groups")),
        *((name, ctypes.c_int64 * 3) for name in ("w_stride", "v_stride")),
        *((name, ctypes.c_double) for name in ("scale", "eps", "step", "strength", "inverse_gamma")),
        ("hard", ctypes.c_int64),
    ]


class _Tile(ctypes.Structure):
    """``Tile`` of prox_kernel.c."""

    _fields_ = [("layer", ctypes.c_int64), ("column", ctypes.c_int64)]


def _loops(weight: Tensor, other: Tensor, axis: int) -> tuple[tuple[int, int], list[tuple[int, int]]] | None:
    """Two nested loops over the elements of a group: their sizes, and per tensor their strides.

    None if two loops cannot reach them all (a weight whose layout is neither contiguous nor channels-last).
    """
    merged: list[tuple[int, int, int]] = []
    for i, size in enumerate(weight.shape):
        if i == axis or size == 1:
            continue
        stride, other_stride = weight.stride(i), other.stride(i)
        if merged and merged[-1][1] == size * stride and merged[-1][2] == size * other_stride:
            merged[-1] = (merged[-1][0] * size, stride, other_stride)
        else:
            merged.append((size, stride, other_stride))
    if len(merged) > 2:
        return None
    outer, inner = [(1, 0, 0)] * (2 - len(merged)) + merged
    return (outer[0], inner[0]), [(outer[1], inner[1]), (outer[2], inner[2])]


def can_solve(part: WeightStep) -> bool:
    """True for weights that the kernel handles: float32, on the CPU, in a plain layout."""
    return _can_read(part.weight, part.exp_avg_sq, part.axis)


def _can_read(weight: Tensor, other: Tensor, axis: int) -> bool:
    return (
        weight.device.type == other.device.type == "cpu"
        and weight.dtype == other.dtype == torch.float32
        and weight.numel() > 0
        and _loops(weight, other, axis) is not None
    )


def group_dots(pairs: Sequence[tuple[Tensor, Tensor]], axis: int) -> list[Tensor | None]:
    """Sum the products of two tensors of one shape over each group, in one call for all pairs.

    Args:
        pairs: such as weights and their gradients.
        axis: dimension that counts the groups.

    Returns:
        Per pair (groups,) float32; None for a pair that the kernel cannot read, or where there is no kernel.
    """
    places = [i for i, (weight, other) in enumerate(pairs) if _can_read(weight, other, axis)]
    compiled = kernel() if places else None
    sums: list[Tensor | None] = [None] * len(pairs)
    if compiled is not None:
        for i in places:
            sums[i] = torch.empty(pairs[i][0].shape[axis])
        compiled.dots([(*pairs[i], sums[i]) for i in places], axis)  # type: ignore[misc]
    return sums


class ProxKernel:
    """The compiled kernel."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._tile_width = library.prox_tile_width
        self._tile_width.argtypes = [ctypes.c_void_p]
        self._scratch_size = library.prox_scratch_size
        self._scratch_size.argtypes, self._scratch_size.restype = [ctypes.c_void_p], ctypes.c_int64
        self._prox_step, self._prox_dots = library.prox_step, library.prox_dots
        self._dots_width = library.prox_dots_width()
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._prox_dots.argtypes, self._prox_dots.restype = [pointer, pointer, number, ctypes.c_int], None
        self._prox_step.argtypes = [pointer, pointer, number, pointer, number, ctypes.c_int]
        self._prox_step.restype = None

    def step(self, parts: Sequence[WeightStep]) -> None:
        """The proximal step of all ``parts``, in place. Extra memory: a few hundred kilobytes per thread."""
        layers = (_Layer * len(parts))(*map(_layer, parts))
        tiles = _tiles(layers, [self._tile_width(ctypes.byref(layer)) for layer in layers])
        threads = torch.get_num_threads()
        size = max(self._scratch_size(ctypes.byref(layer)) for layer in layers)
        scratch = torch.empty(threads, size)
        self._prox_step(layers, tiles, len(tiles), scratch.data_ptr(), size, threads)

    def dots(self, triples: Sequence[tuple[Tensor, Tensor, Tensor]], axis: int) -> None:
        """Write the sums of the products of the first two of each triple over each group into the third: (groups,)."""
        layers = (_Layer * len(triples))(*(_Layer(*_places(*triple, axis)) for triple in triples))
        tiles = _tiles(layers, [self._dots_width] * len(layers))
        self._prox_dots(layers, tiles, len(tiles), torch.get_num_threads())


def _tiles(layers: Any, widths: Sequence[int]) -> Any:
    """Cut each layer into tiles of its width, as an array for C."""
    tiles = [_Tile(i, column) for i, width in enumerate(widths) for column in range(0, layers[i].groups, width)]
    return (_Tile * len(tiles))(*tiles)


def _places(weight: Tensor, other: Tensor, out: Tensor, axis: int) -> tuple[Any, ...]:
    """Return the first fields of a :class:`_Layer`: where two tensors of one shape lie, and the result per group."""
    loops = _loops(weight, other, axis)
    assert loops is not None, "it was not asked whether the kernel can read this"
    (outer, inner), strides = loops
    return (
        *(weight.data_ptr(), other.data_ptr(), out.data_ptr()),
        *(outer, inner, weight.shape[axis]),
        *((*two, tensor.stride(axis)) for two, tensor in zip(strides, (weight, other), strict=True)),
    )


def _layer(part: WeightStep) -> _Layer:
    return _Layer(
        *_places(part.weight, part.exp_avg_sq, part.critical, part.axis),
        *(1 / float(part.correction), part.eps, float(part.lr), float(part.form.strength), part.form.inverse_gamma),
        part.form.hard,
    )


@functools.cache
def kernel() -> ProxKernel | None:
    """The kernel, compiled if need be; None (and one line in the log) where that is not possible."""
    library = load_library(SOURCE, "the proximal step")
    return None if library is None else ProxKernel(library)
