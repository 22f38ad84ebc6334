"""Joint transforms: whatever happens to the image happens to every target, by the rule of its task (``tasks``: by name).

Built on ``torchvision.transforms.v2``. All work on raw samples (``datasets/sample.py``) and return new ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode

from datasets.sample import Sample
from tasks.table import MIN_NORMAL_LENGTH, Task


def resize(sample: Sample, tasks: Mapping[str, Task], size: tuple[int, int]) -> Sample:
    """Resize image and targets to (height, width)."""
    if tuple(sample["image"].shape[-2:]) == size and _targets_have(sample, size):
        return sample
    image = F.resize(sample["image"], list(size), InterpolationMode.BILINEAR, antialias=True)
    targets, masks = {}, {}
    for name, target in sample["targets"].items():
        targets[name], masks[name] = resize_target(tasks[name], target, sample["masks"][name], size)
    return Sample(image=image, targets=targets, masks=masks, name=sample["name"])


def _targets_have(sample: Sample, size: tuple[int, int]) -> bool:
    return all(target.ndim < 2 or tuple(target.shape[-2:]) == size for target in sample["targets"].values())


def resize_target(task: Task, target: Tensor, mask: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A dense target (K, H, W) and its mask (1, H, W) at another size; an attribute as it is.

    Labels and depth take the nearest pixel (an average of two depths is a surface that does not exist). Normals and edges are
    averaged over the valid pixels only, and are valid where most of the average is; normals get their unit length back.
    """
    if task.resize == "none":
        return target, mask
    if task.resize == "nearest":
        rows, columns = (_nearest(old, new) for old, new in zip(target.shape[-2:], size, strict=True))
        # In numpy, columns first: two to four times as fast as torch's index_select.
        target, mask = (torch.from_numpy(part.numpy().take(columns, -1).take(rows, -2)) for part in (target, mask))
        return target, mask
    weight = mask.float()
    parts = torch.cat([torch.where(mask, target, 0.0), weight])
    parts = F.resize(parts, list(size), InterpolationMode.BILINEAR, antialias=True)
    weight = parts[-1:]
    mask = weight > 0.5
    target = parts[:-1] / weight.clamp_min(1e-6)
    return unit_normals(target, mask) if task.kind == "normals" else (torch.where(mask, target, 0.0), mask)


@cache
def _nearest(old: int, new: int) -> np.ndarray:
    """For every place of a side of length ``new`` the nearest one of ``old``: pixel centres lie at i + 1/2.

    The same as ``InterpolationMode.NEAREST_EXACT``, for tensors of any type, and several times faster on small frames.
    """
    scale = torch.tensor(old, dtype=torch.float32) / new
    return ((torch.arange(new) + 0.5) * scale).floor().long().clamp_max(old - 1).numpy()


def unit_normals(normals: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Normals (3, H, W) at unit length, and the mask (1, H, W) without those that point nowhere."""
    length = vector_length(normals)
    mask = mask & (length > MIN_NORMAL_LENGTH)
    return torch.where(mask, normals / length.clamp_min(MIN_NORMAL_LENGTH), 0.0), mask


def vector_length(vectors: Tensor) -> Tensor:
    """Lengths (1, H, W) of vectors (3, H, W); ten times faster than ``torch.linalg.vector_norm`` along the first dimension."""
    return vectors.square().sum(dim=0, keepdim=True).sqrt_()


@cache
def mirror_table(task: Task) -> Tensor | None:
    """Return each label's name, 0..255, in a mirror, uint8 (256,); None where every class stays what it is."""
    classes = task.mirrored_classes()
    if classes is None:
        return None
    table = torch.arange(256, dtype=torch.uint8)
    table[: len(classes)] = torch.tensor(classes, dtype=torch.uint8)
    return table


def horizontal_flip(sample: Sample, tasks: Mapping[str, Task]) -> Sample:
    """Mirror left and right; a normal's x changes its sign with it, and a left eye becomes a right one."""
    targets, masks = {}, {}
    for name, target in sample["targets"].items():
        rule, mask, mirrored = tasks[name].flip, sample["masks"][name], mirror_table(tasks[name])
        if rule != "none":
            target, mask = F.horizontal_flip(target), F.horizontal_flip(mask)
        if mirrored is not None:
            target = mirrored[target.long()].to(target.dtype)
        if rule == "mirror_and_negate_x":
            target[0].neg_()  # of the copy that the flip has made
        targets[name], masks[name] = target, mask
    return Sample(image=F.horizontal_flip(sample["image"]), targets=targets, masks=masks, name=sample["name"])


def scale_crop(sample: Sample, tasks: Mapping[str, Task], scale: float, top: float, left: float) -> Sample:
    """Enlarge by ``scale`` and crop back to the same size.

    A surface that looks s times as large is s times as near: depth in metres is divided by s. As the crop has whole rows and
    columns, s is not exactly ``scale``, nor the same in both directions: it is the root of how much more area a pixel fills.

    Args:
        sample: raw.
        tasks: by name.
        scale: >= 1.
        top, left: where the crop lies, each in [0, 1] of the room there is.
    """
    height, width = sample["image"].shape[-2:]
    crop_height, crop_width = max(1, round(height / scale)), max(1, round(width / scale))
    factor = math.sqrt(height * width / (crop_height * crop_width))
    box = (round(top * (height - crop_height)), round(left * (width - crop_width)), crop_height, crop_width)
    targets, masks = {}, {}
    for name, target in sample["targets"].items():
        task, mask = tasks[name], sample["masks"][name]
        if task.resize != "none":
            target, mask = F.crop(target, *box), F.crop(mask, *box)
        targets[name] = target / factor if task.zoom_divides else target
        masks[name] = mask
    cropped = Sample(image=F.crop(sample["image"], *box), targets=targets, masks=masks, name=sample["name"])
    return resize(cropped, tasks, (height, width))


def augment(sample: Sample, tasks: Mapping[str, Task], hflip: bool, scales: Sequence[float], seed: int) -> Sample:
    """The random changes of a training frame; the same ``seed`` makes the same changes."""
    generator = torch.Generator().manual_seed(seed)
    flip, pick, top, left = torch.rand(4, generator=generator).tolist()
    if scales:
        scale = scales[min(int(pick * len(scales)), len(scales) - 1)]
        if scale > 1:
            sample = scale_crop(sample, tasks, scale, top, left)
    return horizontal_flip(sample, tasks) if hflip and flip < 0.5 else sample
