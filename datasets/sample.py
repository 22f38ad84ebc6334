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
regression                   float32 (K, H, W) or (), in its unit        a value is one of ``invalid``
classification               int64 (), classes from 0                    the class is unknown
attribute                    float32 (), 0 or 1                          the attribute is unknown
===========================  ==========================================  =======================================

Dense masks are bool (1, H, W), a segmentation's (H, W), those of whole images (). A frame without a target has a mask of False.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import default_collate

from tasks.table import IGNORE_INDEX, Task


class Sample(TypedDict):
    """One frame, or a batch: everything stacked along a new first dimension, the names as a list."""

    image: Tensor
    targets: dict[str, Tensor]
    masks: dict[str, Tensor]
    name: str


def stack(samples: Sequence[Sample]) -> Sample:
    """Samples of one size as a batch."""
    return default_collate(list(samples))


def labelled_tasks(sample: Sample, tasks: Iterable[str]) -> list[str]:
    """Those of ``tasks`` that have a valid element in a sample or a batch. In main memory, the answer waits for no device."""
    masks = sample["masks"]
    # Frame by frame: the first one settles it, as a rule.
    return [task for task in tasks if any(bool(frame.any()) for frame in torch.atleast_1d(masks[task]))]


def finish(sample: Sample, tasks: Mapping[str, Task], depth_target: str) -> Sample:
    """A raw sample, or a batch of them, as the loader gives it (see the table above).

    ``depth_target: relative`` divides a frame's depth by its largest valid depth, taken of the frame as the network sees it
    (after resizing and augmentation), so that the largest target is exactly 1.
    """
    targets, masks = {}, {}
    for name, target in sample["targets"].items():
        mask = sample["masks"][name]
        kind = tasks[name].kind
        if kind == "segmentation":
            target, mask = target[..., 0, :, :].long(), mask[..., 0, :, :]
            target = target.masked_fill_(~mask, IGNORE_INDEX)
        else:
            target = target.masked_fill(~mask, 0)
            if kind == "depth" and depth_target == "relative":
                largest = target.amax(dim=(-3, -2, -1), keepdim=True)
                target = target / torch.where(largest > 0, largest, 1.0)
        targets[name], masks[name] = target, mask
    return Sample(image=sample["image"].float().div_(255), targets=targets, masks=masks, name=sample["name"])
