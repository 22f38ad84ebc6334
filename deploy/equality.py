"""Comparison of the outputs of two networks with each other and with those of exact arithmetic."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from models import MultiTaskModel
from tasks.table import Task

TOLERANCE = 1e-5
"""Largest |difference| relative to the largest |output| that is always allowed."""
OWN_ERRORS = 4
"""A larger one is allowed up to this many times the dense network's own error against float64."""


@dataclass
class TaskDifference:
    """The logits of one task over all images so far: maxima, and pixels of a segmentation."""

    outputs: int = 0
    """Numbers that were compared."""
    not_finite: int = 0
    """Outputs of the dense network that are NaN or infinite: they cannot be compared."""
    largest_output: float = 0.0
    """Largest |output| of the dense network."""
    difference: float = 0.0
    """Largest |compact - dense|, both in float32."""
    dense_error: float = 0.0
    """Largest |dense - float64|."""
    compact_error: float = 0.0
    """Largest |compact - float64|."""
    pixels: int = 0
    different: int = 0
    """Pixels whose class is another one."""

    def add(self, dense: Tensor, compact: Tensor, exact: Tensor, *, labels: bool) -> None:
        """Take a batch in: logits (B, ...); ``exact`` in float64."""
        finite = dense.isfinite()
        self.outputs += int(finite.sum())
        self.not_finite += int((~finite).sum())
        dense64, compact64 = dense.double(), compact.double()
        self.largest_output = _larger(self.largest_output, dense64.abs()[finite])
        self.difference = _larger(self.difference, (compact64 - dense64).abs()[finite])
        self.dense_error = _larger(self.dense_error, (dense64 - exact).abs()[finite])
        self.compact_error = _larger(self.compact_error, (compact64 - exact).abs()[finite])
        if labels:
            self.pixels += dense[:, 0].numel()
            self.different += int((dense.argmax(1) != compact.argmax(1)).sum())

    @property
    def relative(self) -> float:
        """The largest difference in parts of the largest output."""
        return self._parts(self.difference)

    @property
    def obstacle(self) -> str | None:
        """Reason why nothing is proven, whatever the difference is; None: nothing stands against it."""
        if self.not_finite:
            total = self.outputs + self.not_finite
            return f"{self.not_finite} of the trained network's {total} outputs are not finite (NaN or infinity)"
        return None if self.outputs else "there is no image, or each batch is of one colour alone"

    @property
    def equal(self) -> bool:
        """True if it is proven that the difference is no more than rounding. One that is not a number is more."""
        small = self.relative <= TOLERANCE or self.difference <= OWN_ERRORS * self.dense_error
        return self.obstacle is None and small

    def _parts(self, value: float) -> float:
        if not value:
            return 0.0
        return value / self.largest_output if self.largest_output else math.inf

    def numbers(self) -> dict[str, Any]:
        """Return the numbers for the report."""
        numbers: dict[str, Any] = {
            **asdict(self),
            "relative_difference": self.relative,
            "relative_dense_error": self._parts(self.dense_error),
            "relative_compact_error": self._parts(self.compact_error),
            "equal": self.equal,
        }
        if self.pixels:
            return {**numbers, "share_of_pixels_labelled_differently": self.different / self.pixels}
        return {name: value for name, value in numbers.items() if name not in ("pixels", "different")}


def _larger(before: float, values: Tensor) -> float:
    """Return the largest of a maximum so far and more values; once not a number, always so."""
    if not values.numel():
        return before
    now = float(values.max())
    return now if now > before or math.isnan(now) else before


@torch.inference_mode()
def compare_outputs(
    dense: MultiTaskModel, compact: MultiTaskModel, tasks: Iterable[Task], batches: Iterable[Tensor]
) -> Mapping[str, TaskDifference]:
    """Measure per task how far the logits of two networks are apart, in float32 and without TF32, over batches of images.

    Args:
        dense, compact: in eval mode, on the device of the batches.
        tasks: of both.
        batches: (B, C, H, W) each. One without images, or of one colour, is left out: it would say little of any weight.
    """
    tasks, exact = list(tasks), copy.deepcopy(dense).double()
    differences = {task.name: TaskDifference() for task in tasks}
    with full_float32():
        for images in batches:
            if not images.numel() or images.min() == images.max():
                continue
            dense_logits, compact_logits, reference = dense(images), compact(images), exact(images.double())
            for task in tasks:
                outputs = (logits[task.name] for logits in (dense_logits, compact_logits, reference))
                differences[task.name].add(*outputs, labels=task.kind == "segmentation")
    return differences


@contextmanager
def full_float32() -> Iterator[None]:
    """Switch TF32 off on a GPU: it rounds the factors to 10 bits, far more than two orders of summation differ by."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
