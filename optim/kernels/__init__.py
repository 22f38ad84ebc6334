"""Batched kernels: the proximal step of all weights in one call, where the machine has what it takes."""

from __future__ import annotations

from collections.abc import Sequence

from . import gpu, native
from .weight_step import WeightStep


def solve(parts: Sequence[WeightStep]) -> list[WeightStep]:
    """The proximal step of ``parts``, in place; returns those for which there is no kernel, untouched."""
    left = list(parts)
    for backend in (native, gpu):
        mine = [part for part in left if backend.can_solve(part)]
        kernel = backend.kernel() if mine else None
        if kernel is not None:
            kernel.step(mine)
            solved = {id(part) for part in mine}
            left = [part for part in left if id(part) not in solved]
    return left
