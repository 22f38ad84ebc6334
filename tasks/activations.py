"""Activations of the tasks: logits become values in the units of the target."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.table import MAX_METRIC_DEPTH, Task

THRESHOLD = 0.5
"""Probability of an attribute above which the answer is yes."""


def scale(task: Task, depth_target: str) -> float:
    """Return what the activation is multiplied by: metres for a metric depth."""
    return MAX_METRIC_DEPTH if task.kind == "depth" and depth_target == "metric" else 1.0


def activate(task: Task, logits: Tensor, depth_target: str) -> Tensor:
    """Values in the units of the target: what the losses of depth, normals and edges compare.

    Args:
        task: its activation is used.
        logits: (B, K, H, W), or (B,) for an attribute.
        depth_target: ``relative`` (depth in [0, 1]) or ``metric`` (10 * sigmoid, in metres).
    """
    if task.activation == "sigmoid":
        return scale(task, depth_target) * torch.sigmoid(logits)
    return torch.tanh(logits) if task.activation == "tanh" else logits
