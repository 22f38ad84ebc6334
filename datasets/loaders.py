"""Loaders of a configuration's splits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from torch.utils.data import DataLoader, Sampler

from datasets.base import EpochSampler, MultiTaskDataset
from datasets.batch_loader import BatchLoader
from datasets.cache.frames import attach_cache
from datasets.celeba import CelebAMaskHQ
from datasets.folders import FoldersDataset
from datasets.frame_check import find_bad_frames, refuse_or_drop
from datasets.mtan import MTANDataset
from datasets.nyu import NYUDataset
from datasets.plausibility import check_encodings
from datasets.sample import Sample
from datasets.workers import ProcessLoader, worker_count, worker_settings
from settings.config import ExperimentConfig
from utils.errors import DataError

log = logging.getLogger(__name__)

Loader = DataLoader[Sample] | BatchLoader
"""Batches of finished samples; ``len`` says how many."""

Reader = Callable[[ExperimentConfig, str, bool], MultiTaskDataset]
"""Maker of a split's data set: of the experiment, the split's name, and whether to apply the augmentation."""

READERS: dict[str, Reader] = {
    **{"NYUD_MT": NYUDataset, "MTAN": MTANDataset, "CelebAMask-HQ": CelebAMaskHQ},
    "folders": FoldersDataset,
}
"""The readers by the layout of the files that they read (``tasks.data_sets.DataSet.layout``)."""


def build_dataset(config: ExperimentConfig, split: str, training: bool = False) -> MultiTaskDataset:
    """Return the data set of ``split`` (train, val or test); ``training`` switches the augmentation on.

    With ``cache`` its frames come from the cache, which is filled first; with ``on_bad_sample: skip``, frames that cannot be
    read are not in it (but in ``skipped``).

    Raises:
        DataError: the data set is not as the configuration says.
    """
    dataset = READERS[config.data_set.layout](config, split, training)
    check_encodings(dataset)
    if config.cache:
        attach_cache(dataset, config, split)
    elif config.on_bad_sample == "skip":
        refuse_or_drop(dataset, find_bad_frames(dataset, config, split), config, split)
    if dataset.skipped:
        name, why = next(iter(dataset.skipped.items()))
        log.warning("%d of %s frames are skipped (on_bad_sample: skip): %s: %s ...", len(dataset.skipped), split, name, why)
    return dataset


Part = tuple[int, int]
"""Number of a process, from 0, and how many share the frames."""

ALL: Part = (0, 1)
"""The part of the only process."""


def share(count: int, part: Part) -> range:
    """Return a process's part of ``count`` things in a row."""
    number, processes = part
    return range(count * number // processes, count * (number + 1) // processes)


def train_loader(config: ExperimentConfig, seed: int, pin_memory: bool = False, part: Part = ALL) -> Loader:
    """Return shuffled training batches (``loader.sampler.epoch`` says whose order) that make whole steps of the optimizer.

    Of several processes, each gets its ``part`` of every batch.
    """
    dataset = build_dataset(config, "train", training=True)
    frames = config.train_batch_size * config.accumulate
    if len(dataset) < frames:
        times = f" times accumulate: {config.accumulate}" if config.accumulate > 1 else ""
        skipped = f" ({len(dataset.skipped)} more cannot be read and are skipped)" if dataset.skipped else ""
        raise DataError(
            f"train_batch_size: {config.train_batch_size}{times} is more than the {len(dataset)} frames of the training "
            f"split{skipped}"
        )
    own = share(config.train_batch_size, part)
    sampler = EpochSampler(len(dataset), seed, len(dataset) // frames * frames, config.train_batch_size, own)
    return _loader(dataset, sampler, len(own), config, drop_last=True, pin_memory=pin_memory)


def eval_loader(config: ExperimentConfig, split: str, pin_memory: bool = False, part: Part = ALL) -> Loader:
    """Return the batches of ``split``: every frame once, in order, without augmentation; of several processes, each gets its
    ``part`` of the frames."""
    size = config.test_batch_size if split == "test" else config.val_batch_size
    dataset = build_dataset(config, split)
    sampler = share(len(dataset), part)
    return _loader(dataset, sampler, size, config, drop_last=False, pin_memory=pin_memory)


class Loaders:
    """The loaders of an experiment's splits, each built when it is first asked for, and shared by all trials.

    Args:
        config: the experiment, of which no key about the data may differ from trial to trial.
        pin_memory: give the tensors in page-locked memory, for a GPU.
        part: of the frames, that this process reads.
    """

    def __init__(self, config: ExperimentConfig, pin_memory: bool = False, part: Part = ALL) -> None:
        self.config, self.pin_memory, self.part = config, pin_memory, part
        self._loaders: dict[str, Loader] = {}

    def training(self, seed: int) -> Loader:
        """Return the shuffled and augmented training batches of the trial with this seed (see :func:`train_loader`)."""
        if "training" not in self._loaders:
            self._loaders["training"] = train_loader(self.config, seed, self.pin_memory, self.part)
        sampler: Any = self._loaders["training"].sampler
        sampler.seed, sampler.epoch = seed, 0
        return self._loaders["training"]

    def evaluation(self, split: str) -> Loader:
        """Return the batches of a split in order (see :func:`eval_loader`)."""
        if split not in self._loaders:
            self._loaders[split] = eval_loader(self.config, split, self.pin_memory, self.part)
        return self._loaders[split]


def _loader(
    dataset: MultiTaskDataset,
    sampler: Sampler[Any] | range,
    batch_size: int,
    config: ExperimentConfig,
    *,
    drop_last: bool,
    pin_memory: bool,
) -> Loader:
    """Return a loader with ``num_workers`` threads where the frames are cached, else processes that read files."""
    if dataset.kept is not None:
        threads = worker_count(config)
        return BatchLoader(dataset, sampler, batch_size, drop_last=drop_last, threads=threads, pin_memory=pin_memory)
    return ProcessLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        drop_last=drop_last,
        pin_memory=pin_memory,
        **worker_settings(config, dataset),
    )
