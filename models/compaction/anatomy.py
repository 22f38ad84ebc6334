"""A residual backbone as data: which convolution feeds which, in one form for every ResNet of the project.

A backbone is a **stem** (a chain of convolutions and a max-pool) followed by **blocks**. A block is a **branch** of two or
three convolutions whose result is added to the **residual stream**, or to what a **shortcut** convolution makes of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from torch import nn


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
    stage_names: Mapping[str, str] = field(default_factory=dict)
    """Names of stages by the backbone's top-level modules, where they are others (``optim.sparsity.stage_of``)."""

    def units(self) -> Iterator[Unit]:
        """Every convolution of the backbone."""
        yield from self.stem
        for block in self.blocks:
            yield from block.units


def dissect(backbone: nn.Module) -> Anatomy:
    """Return the anatomy that a backbone gives of itself.

    Raises:
        TypeError: another kind of network, about whose data flow nothing is known.
    """
    describe = getattr(backbone, "anatomy", None)
    if describe is None:
        raise TypeError(
            f"{type(backbone).__name__}: only the project's ResNets, and backbones with a method anatomy(), can be compacted"
        )
    anatomy: Anatomy = describe()
    return anatomy


def residual_anatomy(backbone: nn.Module, stem: tuple[Unit, ...]) -> Anatomy:
    """Return the anatomy of a ResNet with torchvision's names behind its stem: ``maxpool``, and ``layer1`` to ``layer4``."""
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
    return Anatomy(stem, (kernel, stride, padding), tuple(blocks), getattr(backbone, "stage_names", {}))


def _block(backbone: nn.Module, name: str) -> Block:
    block = backbone.get_submodule(name)
    count = sum(isinstance(child, nn.Conv2d) for child in block.children())
    branch = tuple(conv_unit(backbone, f"{name}.conv{i}", f"{name}.bn{i}", relu=i < count) for i in range(1, count + 1))
    has_shortcut = getattr(block, "downsample", None) is not None
    shortcut = conv_unit(backbone, f"{name}.downsample.0", f"{name}.downsample.1", relu=False) if has_shortcut else None
    return Block(name, branch, shortcut)


def conv_unit(backbone: nn.Module, name: str, norm_name: str, *, relu: bool) -> Unit:
    """Return the unit of a convolution and a batch norm, by their names in the backbone."""
    conv, norm = backbone.get_submodule(name), backbone.get_submodule(norm_name)
    if not isinstance(conv, nn.Conv2d):
        raise TypeError(f"{name}: is {type(conv).__name__}; compaction knows nn.Conv2d only")
    if not isinstance(norm, nn.BatchNorm2d):
        raise TypeError(f"{norm_name}: is {type(norm).__name__}; compaction knows nn.BatchNorm2d only")
    return Unit(name, norm_name, conv, norm, relu)
