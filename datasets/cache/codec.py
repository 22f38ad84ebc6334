"""Compact types for frames at the input size, and back: what the cache on disk stores per pixel.

==============  ==============================  =================================================================
kind            stored as                       rounding
==============  ==============================  =================================================================
image           uint8 per channel               none
segmentation    uint8, 255 where ignored        none
depth           uint16, 0 where invalid         at most 1/131070 of the frame's largest depth, which itself is exact (*)
normals         int16 x 3, zeros where invalid  at most 1/65534 per component
edges           uint16, 0 where invalid         at most 1/131068
other kinds     float32, NaN where invalid      none
==============  ==============================  =================================================================

(*) A valid depth is positive; one below 1/65535 of the largest is stored as that fraction, so that it stays above 0.

The table assumes what ``datasets/sample.py`` says of raw samples. Attributes are not stored: they lie in memory anyway.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tasks.kinds import KINDS
from tasks.table import IGNORE_INDEX
from utils.places import load

IMAGE_TYPE = np.dtype(np.uint8)
"""Type of an image's codes."""


class Codec:
    """Way to store the targets of one kind: any numbers, as they are."""

    type: np.dtype = np.dtype(np.float32)
    """Type of the codes."""

    def encode(self, target: Tensor, mask: Tensor) -> tuple[Tensor, float]:
        """Return codes of a raw target (K, H, W) and its mask (1, H, W), of any type that holds them, and the frame's scale."""
        return torch.where(mask, target, torch.nan), 1.0

    def decode(self, codes: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """Return the raw targets and masks of codes (B, K, H, W) and scales (B,)."""
        mask = ~codes[:, :1].isnan()
        return codes.masked_fill(~mask, 0.0), mask


class Labels(Codec):
    """Classes, in bytes."""

    type = np.dtype(np.uint8)

    def encode(self, target: Tensor, mask: Tensor) -> tuple[Tensor, float]:
        return torch.where(mask, target, IGNORE_INDEX), 1.0

    def decode(self, codes: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        return codes, codes != IGNORE_INDEX


class Depths(Codec):
    """Distances, in parts of the frame's largest, which is its scale."""

    type = np.dtype(np.uint16)

    def encode(self, target: Tensor, mask: Tensor) -> tuple[Tensor, float]:
        values = torch.where(mask, target, 0.0).double()
        assert bool((values > 0).eq(mask).all()), "a valid depth is positive: 0 and less would come back as another one"
        scale = float(values.max())
        # A depth that is valid stays so, however small it is beside the largest.
        return (values / (scale or 1.0) * 65535).round().clamp_min(1) * mask, scale

    def decode(self, codes: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        values = codes.float()
        mask = values > 0
        # First the division: 65535 / 65535 is 1, so that the largest depth comes back to the last bit.
        return values.div_(65535).mul_(scales.view(-1, 1, 1, 1)), mask


class Normals(Codec):
    """Unit vectors."""

    type = np.dtype(np.int16)

    def encode(self, target: Tensor, mask: Tensor) -> tuple[Tensor, float]:
        return (torch.where(mask, target, 0.0).double() * 32767).round(), 1.0

    def decode(self, codes: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        mask = (codes[:, 0:1] | codes[:, 1:2] | codes[:, 2:3]) != 0
        return codes.float().mul_(1 / 32767), mask


class Strengths(Codec):
    """Numbers from 0 to 1."""

    type = np.dtype(np.uint16)

    def encode(self, target: Tensor, mask: Tensor) -> tuple[Tensor, float]:
        return (1 + (torch.where(mask, target, 0.0).double() * 65534).round()) * mask, 1.0

    def decode(self, codes: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        values = codes.float()
        mask = values > 0
        return values.sub_(1).clamp_min_(0).div_(65534), mask


def codec_of(kind: str) -> Codec:
    """Return the codec of a kind in ``tasks.kinds.KINDS``."""
    codec: Codec = load(KINDS[kind].codec)()
    return codec


def encode(kind: str, target: Tensor, mask: Tensor) -> tuple[np.ndarray, float]:
    """Return a raw dense target (K, H, W) and its mask (1, H, W) as codes (K, H, W), and the frame's scale."""
    codec = codec_of(kind)
    codes, scale = codec.encode(target, mask)
    return codes.numpy().astype(codec.type), scale


def decode(kind: str, codes: np.ndarray, scales: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return codes (B, K, H, W) and the frames' scales (B,) as raw targets (B, K, H, W) and masks (B, 1, H, W)."""
    return codec_of(kind).decode(torch.from_numpy(codes), torch.from_numpy(scales.astype(np.float32)))
