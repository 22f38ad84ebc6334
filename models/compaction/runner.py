"""Runs a compact backbone on the CPU through ``conv_kernel.c``: no copy of selected channels, one pass per convolution.

The backbone becomes a list of steps between a few buffers. The residual stream is one buffer per stage, into which each
block adds in place; channels that nobody needs any more are simply not written.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.compaction.layers import CompactBackbone, CompactConv2d, CompactUnit
from models.watched import is_watched
from optim.kernels.compiler import load_library

SOURCE = Path(__file__).with_name("conv_kernel.c")
CONVOLUTION, MAX_POOL, TO_PIXELS = range(3)
FLOAT: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
"""Type that the kernel reads and writes, whatever torch's defaults are."""
PROGRAMS = 4
"""Shapes of images for which buffers are kept."""

POINTERS = ("src", "add", "weight", "bias", "index", "offset", "dst")
NUMBERS = (
    *("kind", "src_ld", "h", "w", "dst_ld", "out_h", "out_w", "add_ld", "channels", "outputs"),
    *("kernel", "stride", "padding", "dilation", "relu"),
)


class _Step(ctypes.Structure):
    """``Step`` of conv_kernel.c."""

    _fields_ = [*((name, ctypes.c_void_p) for name in POINTERS), *((name, ctypes.c_int64) for name in NUMBERS)]


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernel, or None (and a line in the log) where it cannot be compiled."""
    loaded = load_library(SOURCE, "a compact model")
    if loaded is not None:
        loaded.run_steps.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int]
        loaded.run_steps.restype = None
        loaded.vector_lanes.restype = loaded.most_vectors.restype = ctypes.c_int64
    return loaded


@dataclass(frozen=True)
class _Map:
    """A map in memory, pixel by pixel: ``buffer`` names where, ``ld`` numbers lie from one pixel to the next."""

    buffer: str
    channels: int
    ld: int
    height: int
    width: int


@dataclass(frozen=True)
class _Packed:
    """A convolution's weights in the kernel's order."""

    weight: Tensor
    bias: Tensor
    index: Tensor


class Runner:
    """Keeps the packed weights and the buffers of one backbone. A copy starts empty."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version: tuple[Any, ...] = ()
        self._seen: list[Tensor] = []  # what is packed: while it is held, nothing else can have its address
        self._packed: dict[int, _Packed] = {}
        self._programs: OrderedDict[tuple[int, ...], _Program] = OrderedDict()

    def __deepcopy__(self, memo: dict[int, Any]) -> Runner:
        return Runner()

    def __reduce__(self) -> tuple[type[Runner], tuple[()]]:
        return Runner, ()

    def can_run(self, backbone: CompactBackbone, images: Tensor) -> bool:
        """True for float32 on the CPU, batch norm folded, without gradients, autocast or a tracer."""
        if is_watched(images) or torch.is_autocast_enabled("cpu"):
            return False
        if images.device.type != "cpu" or images.dtype != torch.float32 or not images.numel() or not backbone.out_channels:
            return False
        for unit in _units(backbone):
            if unit.norm is not None:
                return False
        for weight in _weights(backbone):
            if weight.dtype != torch.float32 or weight.device.type != "cpu":
                return False
            if torch.is_grad_enabled() and (weight.requires_grad or images.requires_grad):
                return False
        return library() is not None

    def run(self, backbone: CompactBackbone, images: Tensor) -> Tensor:
        """Images (B, C, H, W) -> features (B, F, h, w), in channels-last layout."""
        with self._lock:
            state = list(_state(backbone))
            version = tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in state)
            if version != self._version:
                self._packed = {id(unit.conv): _pack(unit.conv) for unit in _units(backbone)}
                self._programs.clear()
                self._version, self._seen = version, [tensor.detach() for tensor in state]
            key = tuple(images.shape)
            program = self._programs.get(key) or _Program(backbone, self._packed, key)
            self._programs[key] = program
            self._programs.move_to_end(key)
            if len(self._programs) > PROGRAMS:
                self._programs.popitem(last=False)
            return program(images)


def _units(backbone: CompactBackbone) -> Iterable[CompactUnit]:
    yield from backbone.stem_units
    for branch, shortcut in backbone.block_units:
        yield from branch
        if shortcut is not None:
            yield shortcut


def _weights(backbone: CompactBackbone) -> Iterable[Tensor]:
    for unit in _units(backbone):
        yield unit.conv.weight
        if unit.conv.bias is not None:
            yield unit.conv.bias


def _state(backbone: CompactBackbone) -> Iterable[Tensor]:
    """All that is packed: the weights, and which channels they read."""
    yield from _weights(backbone)
    yield from (unit.conv.index for unit in _units(backbone) if unit.conv.index is not None)


def _lanes() -> int:
    loaded = library()
    assert loaded is not None
    return int(loaded.vector_lanes())


def _padded(channels: int) -> int:
    return -(-channels // _lanes()) * _lanes()


def _pack(conv: CompactConv2d) -> _Packed:
    """Output channels in groups of at most three vectors; per group (kh, kw, columns, group)."""
    loaded = library()
    assert loaded is not None
    lanes, most = _lanes(), int(loaded.most_vectors())
    rows, columns, height, width = conv.weight.shape
    vectors, numbers = _padded(rows) // lanes, columns * height * width
    groups = -(-vectors // most)
    edges = [vectors * i // groups * lanes for i in range(groups + 1)] if groups else [0]
    weight = torch.zeros(_padded(rows) * numbers + lanes, **FLOAT)
    for start, end in itertools.pairwise(edges):
        part = conv.weight.detach()[start:end].permute(2, 3, 1, 0)
        weight[start * numbers : end * numbers].view(height, width, columns, end - start)[..., : part.shape[-1]] = part
    bias = torch.zeros(_padded(rows), **FLOAT)
    if conv.bias is not None:
        bias[:rows] = conv.bias.detach()
    return _Packed(weight, bias, conv.columns().to(torch.int32))


class _Program:
    """The steps of a backbone for one shape of images, and the buffers between them."""

    def __init__(self, backbone: CompactBackbone, packed: dict[int, _Packed], shape: tuple[int, ...]) -> None:
        self._batch = shape[0]
        self._packed = packed
        self._sizes: dict[str, int] = {}
        self._steps: list[dict[str, Any]] = []
        self._kept: list[Tensor] = []
        self._widest = 1
        self._build(backbone, shape)
        buffers = {name: torch.empty(size, **FLOAT) for name, size in self._sizes.items() if name not in ("photos", "features")}
        self._kept += [*buffers.values(), torch.zeros(self._widest + 1, **FLOAT)]
        self._zeros = self._kept[-1].data_ptr()
        self._array = (_Step * len(self._steps))()
        self._open: list[tuple[int, str, str]] = []
        for number, step in enumerate(self._steps):
            for name, value in step.items():
                if not isinstance(value, str):
                    setattr(self._array[number], name, value)
                elif value in buffers:
                    setattr(self._array[number], name, buffers[value].data_ptr())
                else:
                    self._open.append((number, name, value))

    def __call__(self, images: Tensor) -> Tensor:
        loaded = library()
        assert loaded is not None
        photos = images.detach().contiguous()
        end = self._end
        features = torch.empty(self._batch, end.height, end.width, end.ld, **FLOAT)
        pointers = {"photos": photos.data_ptr(), "features": features.data_ptr()}
        for number, name, buffer in self._open:
            setattr(self._array[number], name, pointers[buffer])
        loaded.run_steps(self._array, len(self._array), self._batch, self._zeros, torch.get_num_threads())
        return features.permute(0, 3, 1, 2)[:, : end.channels]

    def _build(self, backbone: CompactBackbone, shape: tuple[int, ...]) -> None:
        _, channels, height, width = shape
        x = self._map("image", channels, height, width, ld=channels)
        self._step(kind=TO_PIXELS, src="photos", channels=channels, h=height, w=width, dst="image", **_out(x))
        for number, unit in enumerate(backbone.stem_units):
            x = self._convolve(unit.conv, x, f"stem{number % 2}", relu=unit.relu)
        last = max([i for i, (_, shortcut) in enumerate(backbone.block_units) if shortcut is not None], default=-1)
        x = self._pool(backbone, x, "features" if last < 0 else "stream")
        streams = ["stream", "other stream"]
        for number, (branch, shortcut) in enumerate(backbone.block_units):
            inner = x
            for i, unit in enumerate(branch[:-1]):
                inner = self._convolve(unit.conv, inner, f"branch{i}", relu=unit.relu)
            if shortcut is not None:
                streams.reverse()
                target = "features" if number == last else streams[0]
                x = self._convolve(shortcut.conv, x, target, relu=not branch, exact=number == last)
            x = _Map(x.buffer, backbone.widths[number + 1], x.ld, x.height, x.width)
            if branch:
                self._convolve(branch[-1].conv, inner, "", relu=True, into=x)
        self._end = x

    def _map(self, buffer: str, channels: int, height: int, width: int, ld: int) -> _Map:
        needed = self._batch * height * width * ld + _lanes()
        self._sizes[buffer] = max(self._sizes.get(buffer, 0), needed)
        self._widest = max(self._widest, channels)
        return _Map(buffer, channels, ld, height, width)

    def _step(self, **fields: Any) -> None:
        for name in POINTERS:
            if isinstance(fields.get(name), Tensor):
                self._kept.append(fields[name])
                fields[name] = fields[name].data_ptr()
        self._steps.append(fields)

    def _convolve(
        self, conv: CompactConv2d, x: _Map, buffer: str, *, relu: bool, exact: bool = False, into: _Map | None = None
    ) -> _Map:
        height, width = conv.out_size(x.height, x.width)
        out = into or self._map(
            buffer, conv.out_channels, height, width, conv.out_channels if exact else _padded(conv.out_channels)
        )
        packed = self._packed[id(conv)]
        taps = torch.arange(conv.kernel_size[0], dtype=torch.int32) * conv.dilation[0]
        offset = ((taps[:, None] * x.width + taps).flatten()[:, None] * x.ld + packed.index).flatten()
        self._step(
            **{"kind": CONVOLUTION, "src": x.buffer, "src_ld": x.ld, "h": x.height, "w": x.width, "dst": out.buffer},
            **({"add": out.buffer, "add_ld": out.ld} if into else {}),
            **{"weight": packed.weight, "bias": packed.bias, "index": packed.index, "offset": offset.to(torch.int32)},
            **{"channels": conv.in_channels, "outputs": conv.out_channels, "relu": int(relu), **_out(out)},
            **{"kernel": conv.kernel_size[0], "stride": conv.stride[0], "padding": conv.padding[0]},
            **{"dilation": conv.dilation[0]},
        )
        return out

    def _pool(self, backbone: CompactBackbone, x: _Map, buffer: str) -> _Map:
        kernel, stride, padding = backbone.pool
        height, width = ((n + 2 * padding - kernel) // stride + 1 for n in (x.height, x.width))
        out = self._map(buffer, x.channels, height, width, x.ld)
        self._step(
            **{"kind": MAX_POOL, "src": x.buffer, "src_ld": x.ld, "h": x.height, "w": x.width, "dst": buffer, **_out(out)},
            **{"kernel": kernel, "stride": stride, "padding": padding},
        )
        return out


def _out(x: _Map) -> dict[str, int]:
    return {"dst_ld": x.ld, "out_h": x.height, "out_w": x.width}
