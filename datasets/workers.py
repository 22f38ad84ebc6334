"""Processes that load frames: how many, and what to say when one of them dies."""

from __future__ import annotations

import logging
import multiprocessing
import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader

from datasets.base import MultiTaskDataset
from datasets.cores import cores
from settings.config import ExperimentConfig
from utils.console import say_once
from utils.errors import DataError

T = TypeVar("T", covariant=True)

log = logging.getLogger(__name__)


class ProcessLoader(DataLoader[T]):
    """A ``DataLoader`` that says in its own loop, and nowhere else, that one of its processes died.

    torch raises that error in the handler of a signal, wherever the main process happens to be, and again for the next process:
    while it tells the user about the first, for instance. Without the handler the loop finds it out, within five seconds.
    """

    def __iter__(self) -> Any:
        if self.num_workers == 0 or not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
            return super().__iter__()
        before = signal.getsignal(signal.SIGCHLD)
        try:
            return super().__iter__()
        finally:
            signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)


def worker_count(config: ExperimentConfig) -> int:
    """``num_workers``, but not more than there are cores."""
    most = cores()
    if most < config.num_workers:
        said = f"num_workers: {config.num_workers} asked for, {most} used, as many as there are cores"
        say_once(log, logging.INFO, said)
    return min(config.num_workers, most)


def worker_settings(config: ExperimentConfig, dataset: MultiTaskDataset) -> dict[str, Any]:
    """Arguments of a :class:`ProcessLoader` over ``dataset``, whose ``reading`` tells from now on who reads which frame."""
    workers = worker_count(config)
    dataset.reading = torch.full((workers, 2), -1).share_memory_() if workers else None
    return {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "collate_fn": _as_it_is,
        "worker_init_fn": _ignore_interrupt if workers else None,
        # A loader seeds its workers from a generator: one of its own, so that the network's dropout, which draws from
        # torch's, does not depend on the number of workers.
        "generator": torch.Generator(),
    }


def _as_it_is(loaded: Any) -> Any:
    """A data set makes whole batches itself (``__getitems__``)."""
    return loaded


def _ignore_interrupt(worker: int) -> None:
    """Leave Ctrl-C to the main process, which ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def worker_deaths(*datasets: MultiTaskDataset) -> Iterator[None]:
    """Say in one sentence that a loading process of one of ``datasets`` died, and which frame it was reading.

    Goes around the loops over their loaders.

    Raises:
        DataError: a loading process died.
    """
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError, FileNotFoundError) as error:
        match = re.search(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)", str(error))
        # One that dies while its last batch is being fetched breaks the connection before torch takes it for dead.
        broken = not isinstance(error, RuntimeError) or "ancdata" in str(error)
        dead = {int(pid) for pid in match[1].split(",")} if match else _dead_processes(datasets) if broken else set()
        if not dead:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        frames = [frame for dataset in datasets for frame in _frames_of(dataset, dead)]
        where = f" while it read {'; '.join(frames)}" if frames else ""
        raise DataError(
            f"num_workers: a process that loads frames died{where} ({reason}); a damaged file or too "
            "little memory does that: see whether the file can be opened, or lower num_workers (0 loads in the main process); "
            "--resume continues"
        ) from None


def _dead_processes(datasets: Sequence[MultiTaskDataset]) -> set[int]:
    """Those of the loading processes that are no more, or will be none within a second."""
    pids = {pid for dataset in datasets if dataset.reading is not None for pid in dataset.reading[:, 0].tolist()} - {-1}
    until = time.monotonic() + 1
    dead: set[int] = set()
    while pids and not dead and time.monotonic() < until:
        time.sleep(0.01)
        dead = pids - {child.pid for child in multiprocessing.active_children()}
    return dead


def _frames_of(dataset: MultiTaskDataset, pids: set[int]) -> Iterator[str]:
    for pid, index in dataset.reading.tolist() if dataset.reading is not None else ():
        if pid in pids and index >= 0:
            name = dataset.names[index]
            files = [path for what in (None, *dataset.tasks) for path in dataset.files(name, what)]
            yield f"frame {name} ({', '.join(map(str, files))})"
