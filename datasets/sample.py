"""The contract between data sets and everything else: one sample, in two states.

**Raw**, as read from disk and resized: ``image`` is uint8 (C, H, W); every dense target is (K, H, W) with a mask (1, H, W).
**Finished**, as the loader gives it: ``image`` float32 in [0, 1].

===========================  ==========================================  =======================================
kind                         ``targets[task]``, finished                 ``masks[task]`` is False where
===========================  ==========================================  =======================================
segmentation                 int64 (H, W), classes from 0, 255 = ignored unlabelled
depth                        float32 (1, H, W), metres or relative       no depth was measured
normals                      float32 (3, H, W), unit vectors             no normal is known (target: zero vector)
edges                        float32 (1, H, W) in [0, 1]                 the value is not a number
attribute                    float32 (), 0 or 1                          the attribute is unknown
===========================  ==========================================  =======================================

Dense masks are bool (1, H, W), a segmentation's (H, W), an attribute's ().
"""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor

from utils.tasks import IGNORE_INDEX, get_task


class Sample(TypedDict):
    """One frame; batched by the loader along a new first dimension (names become a list)."""

    image: Tensor
    targets: dict[str, Tensor]
    masks: dict[str, Tensor]
    name: str


def finish(sample: Sample, depth_target: str) -> Sample:
    """A raw sample as the loader gives it (see the table above).

    ``depth_target: relative`` divides a frame's depth by its largest valid depth, taken of the frame as the network sees it
    (after resizing and augmentation), so that the largest target is exactly 1.
    """
    targets, masks = {}, {}
    for name, target in sample["targets"].items():
        mask = sample["masks"][name]
        kind = get_task(name).kind
        if kind == "segmentation":
            target, mask = target[0].long(), mask[0]
            target = torch.where(mask, target, IGNORE_INDEX)
        else:
            target = torch.where(mask, target, 0.0)
            if kind == "depth" and depth_target == "relative" and bool(mask.any()):
                target = target / target.max()
        targets[name], masks[name] = target, mask
    return Sample(image=sample["image"].float() / 255, targets=targets, masks=masks, name=sample["name"])
