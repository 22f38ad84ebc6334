"""What the data sets have in common: caching, resizing, augmentation, and the order of an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Dataset, Sampler

from datasets.sample import Sample, finish
from datasets.transforms import augment, resize
from utils.config import ExperimentConfig


class MultiTaskDataset(Dataset[Sample]):
    """Frames of one split. A subclass says how one frame is read (``read``).

    Args:
        config: the experiment.
        names: names of the frames.
        training: apply ``config.augmentation``.
    """

    def __init__(self, config: ExperimentConfig, names: Sequence[str], training: bool) -> None:
        self.names = list(names)
        self.task_list = config.task_list
        self.size = config.size
        self.grey = config.input_img_channels == 1
        self.depth_target = config.depth_target
        self.augmentation = config.augmentation if training else None
        self._cache: list[Sample | None] | None = [None] * len(self.names) if config.cache else None

    def read(self, name: str) -> Sample:
        """The raw sample called ``name``, at the size that it has on disk."""
        raise TypeError(f"{type(self).__name__} does not say how a frame is read")

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int) -> Sample:
        """The raw sample number ``index`` at the input size, from memory if it is kept there."""
        if self._cache is None:
            return resize(self.read(self.names[index]), self.size)
        sample = self._cache[index]
        if sample is None:
            sample = self._cache[index] = resize(self.read(self.names[index]), self.size)
        return sample

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        """The finished sample of an index, or of (index, seed of the augmentation)."""
        index, seed = key if isinstance(key, tuple) else (key, None)
        sample = self.load(index)
        if self.augmentation is not None and seed is not None:
            sample = augment(sample, self.augmentation.hflip, self.augmentation.scale_crop, seed)
        return finish(sample, self.depth_target)


class EpochSampler(Sampler[tuple[int, int]]):
    """A random order that depends on (seed, epoch) only, with a seed for each frame's augmentation.

    Neither the number of workers nor an interruption changes what a network sees in an epoch.
    """

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed, self.epoch = length, seed, 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.length, generator=generator).tolist()
        seeds = torch.randint(2**62, (self.length,), generator=generator).tolist()
        return iter(zip(order, seeds, strict=True))
