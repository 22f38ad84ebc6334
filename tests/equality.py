"""Equality to the last bit."""

from typing import Any

import torch


def equal(left: Any, right: Any) -> bool:
    """True if two states, samples or batches are the same to the last bit: tensors, and plain values in containers."""
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return type(left) is type(right) and len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right) and type(left) is type(right)
