"""Batched kernels: the proximal step of all weights in one call, where the machine has what it takes."""

from __future__ import annotations

from collections.abc import Sequence

from optim.kernels import native
from optim.kernels.weight_step import WeightStep


def solve(parts: Sequence[WeightStep]) -> list[WeightStep]:
    """The proximal step of ``parts``, in place; returns those for which there is no kernel, untouched."""
    on_cpu = [part for part in parts if native.can_solve(part)]
    kernel = native.kernel() if on_cpu else None
    if kernel is None:
        return list(parts)
    kernel.step(on_cpu)
    solved = {id(part) for part in on_cpu}
    return [part for part in parts if id(part) not in solved]
