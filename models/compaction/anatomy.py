"""A residual backbone as data: which convolution feeds which, in one form for every ResNet of the project.

A backbone is a **stem** (a chain of convolutions and a max-pool) followed by **blocks**. A block is a **branch** of two or
three convolutions whose result is added to the **residual stream**, or to what a **shortcut** convolution makes of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from models.resnetd import ResNetD
from models.torchvision_resnet import TorchvisionResNet


@dataclass(frozen=True)
class Unit:
    """A convolution, the batch norm behind it, and whether a ReLU follows.

    Names are those of the backbone's modules; ``stride``, ``padding`` and ``dilation`` are the same in both directions.
    """

    name: str
    norm_name: str
    conv: nn.Conv2d
    norm: nn.BatchNorm2d
    relu: bool


@dataclass(frozen=True)
class Block:
    """``relu(branch(x) + shortcut(x))``; ``shortcut`` None is the identity."""

    name: str
    branch: tuple[Unit, ...]
    shortcut: Unit | None

    @property
    def units(self) -> tuple[Unit, ...]:
        """All convolutions: the branch's, then the shortcut's."""
        return self.branch if self.shortcut is None else (*self.branch, self.shortcut)


@dataclass(frozen=True)
class Anatomy:
    """Stem, max-pool and blocks, in the order of the forward pass."""

    stem: tuple[Unit, ...]
    pool: tuple[int, int, int]
    """Kernel size, stride and padding of the max-pool."""
    blocks: tuple[Block, ...]

    def units(self) -> Iterator[Unit]:
        """Every convolution of the backbone."""
        yield from self.stem
        for block in self.blocks:
            yield from block.units


def dissect(backbone: nn.Module) -> Anatomy:
    """The anatomy of one of the project's backbones.

    Raises:
        TypeError: another kind of network, about whose data flow nothing is known.
    """
    if isinstance(backbone, ResNetD):
        convs = [str(i) for i, module in enumerate(backbone.stem) if isinstance(module, nn.Conv2d)]
        stem = tuple(_unit(backbone, f"stem.{i}", f"stem.{int(i) + 1}", relu=True) for i in convs)
    elif isinstance(backbone, TorchvisionResNet):
        stem = (_unit(backbone, "conv1", "bn1", relu=True),)
    else:
        raise TypeError(f"{type(backbone).__name__}: only the project's ResNets can be compacted (ResNetD, TorchvisionResNet)")
    blocks = [
        _block(backbone, f"layer{stage}.{index}")
        for stage in range(1, 5)
        for index in range(len(backbone.get_submodule(f"layer{stage}")))  # type: ignore[arg-type]
    ]
    pool = backbone.get_submodule("maxpool")
    assert isinstance(pool, nn.MaxPool2d)
    kernel, stride, padding = pool.kernel_size, pool.stride, pool.padding
    assert isinstance(kernel, int)
    assert isinstance(stride, int)
    assert isinstance(padding, int)
    return Anatomy(stem, (kernel, stride, padding), tuple(blocks))


def _block(backbone: nn.Module, name: str) -> Block:
    block = backbone.get_submodule(name)
    count = sum(isinstance(child, nn.Conv2d) for child in block.children())
    branch = tuple(_unit(backbone, f"{name}.conv{i}", f"{name}.bn{i}", relu=i < count) for i in range(1, count + 1))
    has_shortcut = getattr(block, "downsample", None) is not None
    shortcut = _unit(backbone, f"{name}.downsample.0", f"{name}.downsample.1", relu=False) if has_shortcut else None
    return Block(name, branch, shortcut)


def _unit(backbone: nn.Module, name: str, norm_name: str, *, relu: bool) -> Unit:
    conv, norm = backbone.get_submodule(name), backbone.get_submodule(norm_name)
    if not isinstance(conv, nn.Conv2d):
        raise TypeError(f"{name}: is {type(conv).__name__}; compaction knows nn.Conv2d only")
    if not isinstance(norm, nn.BatchNorm2d):
        raise TypeError(f"{norm_name}: is {type(norm).__name__}; compaction knows nn.BatchNorm2d only")
    return Unit(name, norm_name, conv, norm, relu)
