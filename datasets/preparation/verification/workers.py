"""Files are examined in several processes; one that a decoder crashes on costs its own row only."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from datasets.preparation.interrupts import interrupts_held_back
from datasets.preparation.verification.findings import Content, File
from datasets.preparation.workers import leave_interrupts_to_the_parent
from datasets.problems import Problem

ROUND = 64
"""Files per process and round: as many are examined again, one by one, where one of them crashed."""
FEWEST = 16
"""Files that are worth a process."""


def examine(file: File) -> Content:
    """What a file holds."""
    return file.examine(file.path)


def examine_all(files: Sequence[File], workers: int) -> Iterator[Content]:
    """What each file holds, in the order of the files; ``workers`` processes read them."""
    workers = max(1, min(workers, len(files) // FEWEST))
    pool = _pool(workers)
    try:
        for first in range(0, len(files), ROUND * workers):
            waiting = list(files[first : first + ROUND * workers])
            try:
                with interrupts_held_back():  # processes are started here
                    contents = pool.map(examine, waiting[:], chunksize=4)
                for content in contents:
                    del waiting[0]
                    yield content
            except BrokenProcessPool:
                yield from _one_by_one(waiting)
                pool = _pool(workers)
    finally:
        pool.shutdown(cancel_futures=True)


def _one_by_one(files: Sequence[File]) -> Iterator[Content]:
    """The same with a single file at a time, so that a process that dies says by which file."""
    pool = _pool(1)
    try:
        for file in files:
            try:
                with interrupts_held_back():
                    content = pool.submit(examine, file)
                yield content.result()
            except BrokenProcessPool:
                yield Content(None, (Problem(str(file.path), "crashes the program that reads it", "a whole file"),))
                pool = _pool(1)
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(workers: int) -> ProcessPoolExecutor:
    """Processes that start clean: a fork of this one would copy the locks of its threads as they happen to be."""
    clean = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(clean)
    if clean == "forkserver":
        # What takes seconds to import is imported once. Not our own modules: another package may have their names.
        context.set_forkserver_preload(["torchvision.transforms.v2.functional", "scipy.io", "pydantic"])
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)


def _begin() -> None:
    """In a new process: what is printed, and Ctrl-C, are the main process's business."""
    leave_interrupts_to_the_parent()
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
