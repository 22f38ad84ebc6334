"""The network after the removal: convolutions that read some channels, and a backbone made of them.

Modules have the names that they had in the dense network: ``layer1.0.conv1.weight`` is what remains of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.compaction.anatomy import Anatomy, Block, Unit
from models.heads import AtrousConv2d, atrous_conv2d
from models.taps import conv2d
from optim.groups import Convolution, group_size, keep_group_size

COPY_COST = 200
"""Multiply-adds that take as long as copying a number: about 200 billion a second against 8 GB/s read and written."""


def positions(wanted: Tensor, numbers: Tensor) -> Tensor:
    """Return where the numbers ``wanted`` lie in the list ``numbers``, which holds each of them once."""
    if not len(wanted):
        return wanted
    order = torch.argsort(numbers)
    return order[torch.searchsorted(numbers[order], wanted)]


def _counts_up(columns: Tensor) -> bool:
    """True for 0, 1, 2, ..."""
    return torch.equal(columns, torch.arange(len(columns), device=columns.device))


def _refuse_another(module: nn.Module, state: Mapping[str, Any], prefix: str, errors: list[str]) -> None:
    """Note it as an error of loading if a state is of a module that computes something else with tensors of these shapes."""
    saved, own = state.get(f"{prefix}_extra_state"), module.get_extra_state()
    if isinstance(saved, Tensor) and not torch.equal(saved.cpu(), own):
        errors.append(
            f"{prefix.rstrip('.')}: is of a compact model of another structure ({saved.tolist()}, not {own.tolist()})"
        )


class CompactConv2d(Convolution):
    """A convolution that reads only some channels of its input; either side may be without any channel.

    Args:
        weight: (rows, columns, kh, kw).
        bias: (rows,) or None.
        width: channels of the input.
        columns: (columns,) which channels of the input are read, each once.
        like: the dense convolution, for its stride, padding and dilation.
        dense: its weight: the groups that are left count in a penalty with the size that they have there.
    """

    index: Tensor | None

    def __init__(
        self, weight: Tensor, bias: Tensor | None, width: int, columns: Tensor, like: nn.Conv2d, dense: Tensor
    ) -> None:
        super().__init__()
        self.group_size = group_size(dense)
        self.kept_width = 0
        if weight.numel():
            self.weight = nn.Parameter(weight)
            keep_group_size(self.weight, self.group_size)
        else:  # nothing to train
            self.register_buffer("weight", weight)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.width = width
        assert isinstance(like.padding, tuple), "padding by name ('same') is none of ours"
        self.kernel_size, self.stride, self.padding, self.dilation = like.kernel_size, like.stride, like.padding, like.dilation
        self.atrous = isinstance(like, AtrousConv2d)
        self.is_prefix = _counts_up(columns)
        self.register_buffer("index", None if len(columns) == width and self.is_prefix else columns.clone())

    # A copy of a parameter, or another in its place, has lost what was noted on it.

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        keep_group_size(self.weight, self.group_size)

    def _apply(self, *args: Any, **kwargs: Any) -> CompactConv2d:  # .to(), .double(), ...
        super()._apply(*args, **kwargs)
        keep_group_size(self.weight, self.group_size)
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        _refuse_another(self, state_dict, prefix, args[-1])
        super()._load_from_state_dict(state_dict, prefix, *args)
        keep_group_size(self.weight, self.group_size)
        if self.index is not None and not self.index.is_meta:
            self.is_prefix = _counts_up(self.index)

    def get_extra_state(self) -> Tensor:
        """Return what the forward pass depends on beside weights and index, for the state: numbers."""
        geometry = (self.kernel_size, self.stride, self.padding, self.dilation)
        return torch.tensor([self.width, self.group_size, self.atrous, *itertools.chain(*geometry)])

    def set_extra_state(self, state: Tensor) -> None:
        """Nothing: a state in which this is another is refused."""

    @property
    def out_channels(self) -> int:
        """Filters."""
        return self.weight.shape[0]

    @property
    def in_channels(self) -> int:
        """Channels that are read."""
        return self.weight.shape[1]

    def out_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the output for those of the input."""
        size = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip((height, width), self.kernel_size, self.stride, self.padding, self.dilation, strict=True)
        ]
        return size[0], size[1]

    @property
    def reads(self) -> str:
        """``all`` channels of its input, a ``slice`` (the first ones), a ``select`` by index, or ``nothing``."""
        if not (self.in_channels and self.out_channels):
            return "nothing"
        if self.index is None:
            return "all"
        return "slice" if self.is_prefix else "select"

    def columns(self) -> Tensor:
        """(columns,) numbers of the channels that are read."""
        return torch.arange(self.width, device=self.weight.device) if self.index is None else self.index

    def select(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> (B, columns, H, W): a view where the columns come first, else a copy."""
        if self.index is None:
            return x
        return x[:, : self.in_channels] if self.is_prefix else x.index_select(1, self.index)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> (B, rows, H', W'). Without columns: the bias everywhere, or zeros."""
        if self.in_channels and self.out_channels:
            if self.atrous:
                return atrous_conv2d(self.select(x), self.weight, self.bias, self.dilation[0])
            return conv2d(self.select(x), self.weight, self.bias, self.stride, self.padding, self.dilation)
        out = x.new_zeros(x.shape[0], self.out_channels, *self.out_size(*x.shape[-2:]))
        return out if self.bias is None else out + self.bias.to(x.dtype).view(1, -1, 1, 1)

    def extra_repr(self) -> str:
        """Say how many of the channels are read, and how many filters there are."""
        return f"{self.in_channels} of {self.width}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"


def selects_pay(rows: int, taps: int, columns: int, width: int) -> bool:
    """The cost model for machines that copy the channels that are read (per pixel of a map).

    Copying one number costs as much time as ``COPY_COST`` multiply-adds; reading all ``width`` channels costs
    ``rows * taps`` multiply-adds for each channel that is ignored.
    """
    return (width - columns) * rows * taps > COPY_COST * columns


def keep_width(conv: CompactConv2d, like: nn.Conv2d, dense: Tensor) -> CompactConv2d:
    """``conv``, or where its select does not pay one that reads a slice with zero weights for what it ignores."""
    rows, columns, *kernel = conv.weight.shape
    if conv.reads != "select" or selects_pay(rows, kernel[0] * kernel[1], columns, conv.width):
        return conv
    index = conv.columns()
    end = int(index.max()) + 1
    weight = conv.weight.new_zeros(rows, end, *kernel)
    weight[:, index] = conv.weight.detach()
    bias = None if conv.bias is None else conv.bias.detach()
    wide = CompactConv2d(weight, bias, conv.width, torch.arange(end, device=index.device), like, dense)
    wide.kept_width = end - columns
    return wide


@dataclass(frozen=True)
class CompactUnit:
    """Remains of a :class:`~models.compaction.anatomy.Unit`; ``norm`` None: folded, or there is no channel."""

    conv: CompactConv2d
    norm: nn.BatchNorm2d | None
    relu: bool

    def __call__(self, x: Tensor) -> Tensor:
        out = self.conv(x)
        if self.norm is not None:
            out = self.norm(out)
        return torch.relu(out) if self.relu else out


class CompactBackbone(nn.Module):
    """Images (B, C, H, W) -> features (B, out_channels, h, w), as the dense backbone.

    Args:
        anatomy: of the dense backbone.
        units: what remains of its convolutions, by name. Missing ones are not computed at all; a block whose branch is
            missing passes its shortcut on.
        widths: channels of the residual stream before each block, and of the features.
    """

    def __init__(self, anatomy: Anatomy, units: Mapping[str, CompactUnit], widths: tuple[int, ...]) -> None:
        super().__init__()
        self.widths = widths
        self.out_channels = widths[-1]
        self.pool = anatomy.pool
        self.stage_names = anatomy.stage_names
        self.stem_units = tuple(self._add(unit, units[unit.name]) for unit in anatomy.stem)
        self.block_units = tuple(self._add_block(block, units) for block in anatomy.blocks)
        self._check()

    def _check(self) -> None:
        """Every convolution fits what it reads and what it is added to: the kernel follows pointers and would not notice."""

        def passes(conv: CompactConv2d, width: int) -> int:
            bias_fits = conv.bias is None or tuple(conv.bias.shape) == (conv.out_channels,)
            if not bias_fits or (conv.in_channels and conv.width != width):
                raise ValueError(
                    f"a convolution ({conv.extra_repr()}) does not fit the {width} channels before it, or its bias"
                )
            return conv.out_channels

        width = self.stem_units[0].conv.width
        for unit in self.stem_units:
            width = passes(unit.conv, width)
        fits = width == self.widths[0]
        for (branch, shortcut), (before, after) in zip(self.block_units, itertools.pairwise(self.widths), strict=True):
            inner = before
            for unit in branch:
                inner = passes(unit.conv, inner)
            kept = min(before, after) if shortcut is None else passes(shortcut.conv, before)
            fits = fits and kept == after and (not branch or inner == after)
        if not fits:
            raise ValueError(f"the residual stream's widths {self.widths} are not those of its convolutions")

    def _add(self, unit: Unit, compact: CompactUnit) -> CompactUnit:
        """Register a unit's modules under their old names."""
        for name, module in ((unit.name, compact.conv), (unit.norm_name, compact.norm)):
            if module is None:
                continue
            parent: nn.Module = self
            *path, last = name.split(".")
            for part in path:
                if part not in parent._modules:
                    parent.add_module(part, nn.Module())
                parent = parent.get_submodule(part)
            parent.add_module(last, module)
        return compact

    def _add_block(self, block: Block, units: Mapping[str, CompactUnit]) -> tuple[tuple[CompactUnit, ...], CompactUnit | None]:
        branch = tuple(self._add(unit, units[unit.name]) for unit in block.branch if unit.name in units)
        return branch, None if block.shortcut is None else self._add(block.shortcut, units[block.shortcut.name])

    def get_extra_state(self) -> Tensor:
        """Return what the forward pass depends on beside the convolutions: the stream's widths and the max-pool."""
        return torch.tensor([*self.widths, *self.pool])

    def set_extra_state(self, state: Tensor) -> None:
        """Nothing: a state in which this is another is refused."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        _refuse_another(self, state_dict, prefix, args[-1])
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out_channels, h, w).

        Raises:
            ValueError: images of another number of channels, which a convolution that reads some would not notice.
        """
        channels = self.stem_units[0].conv.width
        if images.ndim != 4 or images.shape[1] != channels:
            raise ValueError(f"images are {tuple(images.shape)}, expected (B, {channels}, H, W)")
        return self._features(images)

    def _features(self, images: Tensor) -> Tensor:
        """:meth:`forward` for images that fit."""
        x = images
        for unit in self.stem_units:
            x = unit(x)
        x = self._max_pool(x)
        for (branch, shortcut), width in zip(self.block_units, self.widths[1:], strict=True):
            kept = x[:, :width] if shortcut is None else shortcut(x)
            if branch:
                out = x
                for unit in branch:
                    out = unit(out)
                kept = out + kept
            x = kept if shortcut is None and not branch else torch.relu(kept)
        return x

    def _max_pool(self, x: Tensor) -> Tensor:
        kernel, stride, padding = self.pool
        if x.shape[1]:
            return F.max_pool2d(x, kernel, stride, padding)
        return x.new_empty(x.shape[0], 0, *((n + 2 * padding - kernel) // stride + 1 for n in x.shape[-2:]))
