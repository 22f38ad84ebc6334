"""Processes that load frames: how many, and what to say when one of them dies."""

from __future__ import annotations

import logging
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from datasets.base import MultiTaskDataset
from utils.config import ExperimentConfig
from utils.errors import DataError

log = logging.getLogger(__name__)


def worker_count(config: ExperimentConfig) -> int:
    """``num_workers``, but not more than there are cores."""
    cores = os.cpu_count() or 1
    if cores < config.num_workers:
        log.info("num_workers: %d asked for, %d used, as many as there are cores", config.num_workers, cores)
    return min(config.num_workers, cores)


def worker_settings(config: ExperimentConfig, dataset: MultiTaskDataset) -> dict[str, Any]:
    """Arguments of a ``DataLoader`` over ``dataset``, whose ``reading`` tells from now on which process reads which frame."""
    workers = worker_count(config)
    dataset.reading = torch.full((workers, 2), -1).share_memory_() if workers else None
    return {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "worker_init_fn": _ignore_interrupt if workers else None,
        # A loader seeds its workers from a generator: one of its own, so that the network's dropout, which draws from
        # torch's, does not depend on the number of workers.
        "generator": torch.Generator(),
    }


def _ignore_interrupt(worker: int) -> None:
    """Leave Ctrl-C to the main process, which ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def worker_deaths(*datasets: MultiTaskDataset) -> Iterator[None]:
    """Say in one sentence that a loading process of one of ``datasets`` died, and which frame it was reading.

    torch raises such an error wherever the main process happens to be, so this goes around the whole loop over a loader.

    Raises:
        DataError: a loading process died.
    """
    try:
        yield
    except RuntimeError as error:
        found = re.search(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)", str(error))
        if found is None:
            raise
        dead = {int(pid) for pid in found[1].split(",")}
        frames = [frame for dataset in datasets for frame in _frames_of(dataset, dead)]
        where = f" while it read {'; '.join(frames)}" if frames else ""
        raise DataError(
            f"num_workers: a process that loads frames died{where} ({' '.join(str(error).split())}); a damaged file or too "
            "little memory does that: see whether the file can be opened, or lower num_workers (0 loads in the main process); "
            "--resume continues"
        ) from None


def _frames_of(dataset: MultiTaskDataset, pids: set[int]) -> Iterator[str]:
    for pid, index in dataset.reading.tolist() if dataset.reading is not None else ():
        if pid in pids and index >= 0:
            name = dataset.names[index]
            files = [path for what in (None, *dataset.task_list) for path in dataset.files(name, what)]
            yield f"frame {name} ({', '.join(map(str, files))})"
