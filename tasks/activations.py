"""Activations of the tasks: logits become values in the units of the target."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.table import Task

THRESHOLD = 0.5
"""Probability of an attribute above which the answer is yes."""


def scale(task: Task, depth_target: str) -> float:
    """Return what the activation is multiplied by: the range of a metric depth, the spread of a regression."""
    return task.depth_range if task.kind == "depth" and depth_target == "metric" else task.std


def activate(task: Task, logits: Tensor, depth_target: str) -> Tensor:
    """Values in the units of the target: what the losses of depth, normals and edges compare.

    Args:
        task: its activation is used.
        logits: (B, K, H, W); (B,) for a number of the whole image, (B, K) for its class.
        depth_target: ``relative`` (depth in [0, 1]) or ``metric`` (the range times the sigmoid, in metres).
    """
    if task.activation == "sigmoid":
        return scale(task, depth_target) * torch.sigmoid(logits)
    if task.activation == "tanh":
        return torch.tanh(logits)
    return logits if (task.mean, task.std) == (0.0, 1.0) else task.mean + task.std * logits
