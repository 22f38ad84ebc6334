"""Loaders of a configuration's splits."""

from __future__ import annotations

import logging
import os
import signal
from typing import Any

import torch
from torch.utils.data import DataLoader

from datasets.base import EpochSampler, MultiTaskDataset
from datasets.celeba import CelebAMaskHQ
from datasets.nyu import NYUDataset
from datasets.sample import Sample
from utils.config import ExperimentConfig
from utils.errors import DataError

log = logging.getLogger(__name__)

DATASETS: dict[str, type[CelebAMaskHQ] | type[NYUDataset]] = {"NYU": NYUDataset, "celebA": CelebAMaskHQ}


def build_dataset(config: ExperimentConfig, split: str, training: bool = False) -> MultiTaskDataset:
    """The data set of ``split`` (train, val or test); ``training`` switches the augmentation on."""
    return DATASETS[config.dataset_name](config, split, training)


def train_loader(config: ExperimentConfig, seed: int, pin_memory: bool = False) -> DataLoader[Sample]:
    """Shuffled training batches (``loader.sampler.epoch`` says which epoch's order); the last incomplete one is dropped."""
    dataset = build_dataset(config, "train", training=True)
    if len(dataset) < config.train_batch_size:
        raise DataError(
            f"train_batch_size: {config.train_batch_size} is more than the {len(dataset)} frames of the training split"
        )
    return DataLoader(
        dataset,
        batch_size=config.train_batch_size,
        sampler=EpochSampler(len(dataset), seed),
        drop_last=True,
        **_worker_settings(config, pin_memory),
    )


def eval_loader(config: ExperimentConfig, split: str, pin_memory: bool = False) -> DataLoader[Sample]:
    """Every frame of ``split`` once, in order, without augmentation."""
    size = config.test_batch_size if split == "test" else config.val_batch_size
    return DataLoader(build_dataset(config, split), batch_size=size, **_worker_settings(config, pin_memory))


def _worker_settings(config: ExperimentConfig, pin_memory: bool) -> dict[str, Any]:
    cores = os.cpu_count() or 1
    workers = min(config.num_workers, cores)
    if workers < config.num_workers:
        log.info("num_workers: %d asked for, %d used, as many as there are cores", config.num_workers, workers)
    if config.cache:
        # Frames are kept in the main process, where every epoch finds them.
        workers = 0
    return {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "worker_init_fn": _ignore_interrupt if workers else None,
        "pin_memory": pin_memory,
        # A loader seeds its workers from a generator: one of its own, so that the network's dropout, which draws from
        # torch's, does not depend on the number of workers.
        "generator": torch.Generator(),
    }


def _ignore_interrupt(worker: int) -> None:
    """Leave Ctrl-C to the main process, which ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
