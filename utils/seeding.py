"""Seeds, and the state of the random numbers."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """Return the states of torch's generators (initial weights and dropout draw from them), of numpy's and of Python's, as
    tensors and plain values."""
    numbers = np.random.get_state(legacy=False)
    return {
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": {**numbers, "state": {"key": numbers["state"]["key"].tolist(), "pos": int(numbers["state"]["pos"])}},
        "python": random.getstate(),
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore a saved :func:`rng_state`."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    keys = np.array(state["numpy"]["state"]["key"], np.uint32)
    np.random.set_state({**state["numpy"], "state": {**state["numpy"]["state"], "key": keys}})
    version, numbers, gauss_next = state["python"]
    random.setstate((version, tuple(numbers), gauss_next))
