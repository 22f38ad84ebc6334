"""Convolutions that a compact network for inference still multiplies with: what has become constant joins a bias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.compaction.anatomy import Anatomy, Unit


@dataclass(frozen=True)
class Computed:
    """Remains of a backbone's convolutions for inference.

    Attributes:
        units: names of those that are left, with a bias at least.
        multiply: names of those among them whose filters read something.
    """

    units: frozenset[str]
    multiply: frozenset[str]


def takes_constants(unit: Unit) -> bool:
    """Return whether a convolution makes a constant map of a constant map: no padding shows at its edges."""
    return unit.conv.kernel_size == (1, 1) and tuple(unit.conv.padding) == (0, 0)


def computed_units(anatomy: Anatomy, columns: Mapping[str, int]) -> Computed:
    """Follow the constants from the image to the features, as ``build_backbone`` does with their values.

    Args:
        anatomy: of the dense backbone.
        columns: per convolution, how many channels it does not ignore.
    """
    units, multiply = [unit.name for unit in anatomy.stem], {unit.name for unit in anatomy.stem if columns[unit.name]}

    def reads(unit: Unit, constant: bool) -> bool:
        if columns[unit.name] and not (constant and takes_constants(unit)):
            multiply.add(unit.name)
        return unit.name in multiply

    constant = anatomy.stem[-1].name not in multiply
    for block in anatomy.blocks:
        stream = constant
        for unit in block.branch:
            constant = not reads(unit, constant)
        if not constant:
            units += [unit.name for unit in block.branch]
        elif block.shortcut is None:
            units.append(block.branch[-1].name)  # its bias
        if block.shortcut is not None:
            units.append(block.shortcut.name)
            stream = not reads(block.shortcut, stream)
        constant = constant and stream
    return Computed(frozenset(units), frozenset(multiply.intersection(units)))
