"""Compact types for frames at the input size, and back: what the cache on disk stores per pixel.

==============  ==============================  =================================================================
kind            stored as                       rounding
==============  ==============================  =================================================================
image           uint8 per channel               none
segmentation    uint8, 255 where ignored        none
depth           uint16, 0 where invalid         at most 1/131070 of the frame's largest depth, which itself is exact (*)
normals         int16 x 3, zeros where invalid  at most 1/65534 per component
edges           uint16, 0 where invalid         at most 1/131068
==============  ==============================  =================================================================

(*) A valid depth is positive; one below 1/65535 of the largest is stored as that fraction, so that it stays above 0.

The table assumes what ``datasets/sample.py`` says of raw samples. Attributes are not stored: they lie in memory anyway.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tasks.table import IGNORE_INDEX, Kind

TYPES: dict[str, np.dtype] = {
    "image": np.dtype(np.uint8),
    "segmentation": np.dtype(np.uint8),
    "depth": np.dtype(np.uint16),
    "normals": np.dtype(np.int16),
    "edges": np.dtype(np.uint16),
}


def encode(kind: Kind, target: Tensor, mask: Tensor) -> tuple[np.ndarray, float]:
    """A raw dense target (K, H, W) and its mask (1, H, W) as codes (K, H, W), and the frame's scale (1 but for depth)."""
    if kind == "segmentation":
        return torch.where(mask, target, IGNORE_INDEX).to(torch.uint8).numpy(), 1.0
    values = torch.where(mask, target, 0.0).double()
    scale = 1.0
    if kind == "depth":
        assert bool((values > 0).eq(mask).all()), "a valid depth is positive: 0 and less would come back as another one"
        scale = float(values.max())
        # A depth that is valid stays so, however small it is beside the largest.
        codes = (values / (scale or 1.0) * 65535).round().clamp_min(1) * mask
    elif kind == "normals":
        codes = (values * 32767).round()
    elif kind == "edges":
        codes = (1 + (values * 65534).round()) * mask
    else:
        raise AssertionError(f"targets of kind {kind} are not stored")
    return codes.numpy().astype(TYPES[kind]), scale


def decode(kind: Kind, codes: np.ndarray, scales: np.ndarray) -> tuple[Tensor, Tensor]:
    """Codes (B, K, H, W) and the frames' scales (B,) as raw targets (B, K, H, W) and masks (B, 1, H, W)."""
    if kind == "segmentation":
        labels = torch.from_numpy(codes)
        return labels, labels != IGNORE_INDEX
    if kind == "normals":
        stored = torch.from_numpy(codes)
        mask = (stored[:, 0:1] | stored[:, 1:2] | stored[:, 2:3]) != 0
        return stored.float().mul_(1 / 32767), mask
    values = torch.from_numpy(codes).float()
    mask = values > 0
    if kind == "depth":
        # First the division: 65535 / 65535 is 1, so that the largest depth comes back to the last bit.
        return values.div_(65535).mul_(torch.from_numpy(scales.astype(np.float32)).view(-1, 1, 1, 1)), mask
    return values.sub_(1).clamp_min_(0).div_(65534), mask
