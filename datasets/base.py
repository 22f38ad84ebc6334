"""Base of the data sets: the place of a frame, batches, augmentation, and the order of an epoch."""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler, get_worker_info

from datasets.file_index import Place, index_files
from datasets.images import channels, read_picture
from datasets.sample import Sample, finish, stack
from datasets.targets import no_target, read_target
from datasets.transforms import augment, resize
from settings.config import ExperimentConfig
from utils.errors import DataError

Key = int | tuple[int, int]
"""Number of a frame, alone or with the seed of its augmentation."""


class Frames(Protocol):
    """Raw samples at the input size that are kept somewhere (``datasets/cache/frames.py``)."""

    def batch(self, indices: Sequence[int]) -> Sample:
        """The frames of these numbers, stacked."""


class MultiTaskDataset(Dataset[Sample]):
    """Frames of one split. A subclass says which there are, and where their files are.

    Args:
        config: the experiment.
        names: names of the frames.
        training: apply ``config.augmentation``.
        places: where the images (None) are, and the targets of each task that has a file per frame.

    Raises:
        DataError: a folder or a frame's file is missing, or a frame has two.

    Attributes:
        skipped: with ``on_bad_sample: skip``, the frames that cannot be read, and why; they are not in ``names``.
        reading: per loading process its pid and the number of the frame that it is reading (-1: none), in shared memory.
    """

    same_size = True
    """A target must have the size of its image."""
    partial = False
    """A frame may lack the file of a task: then it has no valid target of it."""

    def __init__(
        self, config: ExperimentConfig, names: Sequence[str], training: bool, places: Mapping[str | None, Place]
    ) -> None:
        self.names = list(names)
        self.tasks = config.tasks
        self.size = config.size
        self.grey = config.input_img_channels == 1
        self.depth_target = config.depth_target
        self.augmentation = config.augmentation if training else None
        self.kept: Frames | None = None
        self.skipped: dict[str, str] = {}
        self.reading: torch.Tensor | None = None
        self._files = {
            what: index_files(
                place,
                self.names,
                "the images" if what is None else f"task {what}",
                partial=self.partial and what is not None,
            )
            for what, place in places.items()
        }

    def read(self, name: str) -> Sample:
        """The raw sample called ``name``, with the targets of ``tasks``, at the size that it has on disk.

        Raises:
            DataError: a file cannot be read, or holds something else.
        """
        (path,) = self.files(name, None)
        image = torch.from_numpy(channels(read_picture(path), self.grey))
        targets, masks = {}, {}
        for task in self.tasks:
            if self.has_files(task) and not self.files(name, task):
                unknown = no_target(self.tasks[task], (image.shape[-2], image.shape[-1]))
                targets[task], masks[task] = map(torch.from_numpy, unknown)
                continue
            targets[task], masks[task] = self.read_target(name, task)
            if self.same_size and self.has_files(task) and targets[task].shape[-2:] != image.shape[-2:]:
                (file,) = self.files(name, task)
                raise DataError(
                    f"{file} is {tuple(targets[task].shape[-2:])} (height, width), but {path} is {tuple(image.shape[-2:])}; "
                    "they must be the same"
                )
        return Sample(image=image, targets=targets, masks=masks, name=name)

    def read_target(self, name: str, task: str) -> tuple[Tensor, Tensor]:
        """The raw target of a task and its validity."""
        if task not in self._files:
            return self.in_memory(task, name)
        values, known = read_target(self.tasks[task], self._files[task][name])
        return torch.from_numpy(values), torch.from_numpy(known)

    def files(self, name: str, task: str | None) -> list[Path]:
        """The files that the image (``task`` None) or a task's target of frame ``name`` is read from; none if it has none."""
        path = self._files.get(task, {}).get(name)
        return [] if path is None else [path]

    def has_files(self, task: str | None) -> bool:
        """True if the images (``task`` None), or the targets of a task, lie in files, one for a frame."""
        return task in self._files

    def in_memory(self, task: str, name: str) -> tuple[Tensor, Tensor]:
        """Target and mask of a task that has no files per frame (``files`` gives none)."""
        raise TypeError(f"{type(self).__name__} reads every target from a file")

    def only(self, tasks: Sequence[str]) -> Self:
        """The same frames with some of the tasks, read from their files."""
        other = copy.copy(self)
        other.tasks, other.kept = {task: self.tasks[task] for task in tasks}, None
        return other

    def drop(self, bad: dict[str, str]) -> None:
        """Leave frames out: name -> why."""
        self.skipped = {**self.skipped, **{name: bad[name] for name in self.names if name in bad}}
        self.names = [name for name in self.names if name not in bad]

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int) -> Sample:
        """The raw sample number ``index`` at the input size."""
        if self.kept is not None:
            return _one(self.kept.batch([index]))
        worker = get_worker_info()
        if worker is None or self.reading is None:
            return resize(self.read(self.names[index]), self.tasks, self.size)
        self.reading[worker.id] = torch.tensor([os.getpid(), index])
        try:
            return resize(self.read(self.names[index]), self.tasks, self.size)
        finally:
            self.reading[worker.id, 1] = -1

    def __getitem__(self, key: Key) -> Sample:
        """The finished sample of a frame."""
        index, seed = _split(key)
        return finish(self._augmented(self.load(index), seed), self.tasks, self.depth_target)

    def __getitems__(self, keys: Sequence[Key]) -> Sample:
        """The finished samples of several frames, as one batch."""
        indices, seeds = zip(*map(_split, keys), strict=True)
        if self.kept is None:
            batch = stack([self._augmented(self.load(index), seed) for index, seed in zip(indices, seeds, strict=True)])
        else:
            batch = self.kept.batch(indices)
            if self._augments():
                for place, seed in enumerate(seeds):
                    _put(batch, place, self._augmented(_one(batch, place), seed))
        return finish(batch, self.tasks, self.depth_target)

    def _augments(self) -> bool:
        return self.augmentation is not None and (self.augmentation.hflip or any(s > 1 for s in self.augmentation.scale_crop))

    def _augmented(self, sample: Sample, seed: int | None) -> Sample:
        if self.augmentation is None or seed is None:
            return sample
        return augment(sample, self.tasks, self.augmentation.hflip, self.augmentation.scale_crop, seed)


def _split(key: Key) -> tuple[int, int | None]:
    return key if isinstance(key, tuple) else (key, None)


def _one(batch: Sample, place: int = 0) -> Sample:
    """A frame of a batch, as views of its tensors."""
    return Sample(
        image=batch["image"][place],
        targets={task: target[place] for task, target in batch["targets"].items()},
        masks={task: mask[place] for task, mask in batch["masks"].items()},
        name=batch["name"][place],
    )


def _put(batch: Sample, place: int, sample: Sample) -> None:
    """Write a frame into a batch; what is there already (a view that was not changed) is not copied."""
    pairs = [(batch["image"][place], sample["image"])]
    for task, target in sample["targets"].items():
        pairs += [(batch["targets"][task][place], target), (batch["masks"][task][place], sample["masks"][task])]
    for old, new in pairs:
        if new.data_ptr() != old.data_ptr():
            old.copy_(new)


class EpochSampler(Sampler[tuple[int, int]]):
    """The first ``taken`` frames of a random order that depends on (seed, epoch) only, with a seed for each one's augmentation.

    Neither the number of workers nor an interruption changes what a network sees in an epoch.

    Args:
        length: number of the frames that there are.
        seed: of the order.
        taken: number of the frames that are taken; None: all.
        batch: frames of a batch, of which ``part`` are given; None: all.
        part: places in a batch.
    """

    def __init__(
        self, length: int, seed: int, taken: int | None = None, batch: int | None = None, part: range | None = None
    ) -> None:
        self.length, self.seed, self.epoch = length, seed, 0
        self.taken = length if taken is None else taken
        self.batch, self.part = batch or 1, range(1) if part is None else part

    def __len__(self) -> int:
        return self.taken // self.batch * len(self.part)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.length, generator=generator).tolist()
        seeds = torch.randint(2**62, (self.length,), generator=generator).tolist()
        taken = itertools.islice(zip(order, seeds, strict=True), self.taken)
        return (key for place, key in enumerate(taken) if place % self.batch in self.part)
