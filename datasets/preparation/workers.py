"""The same work on many items, in several processes that end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TypeVar

from datasets.preparation.interrupts import interrupts_held_back

T = TypeVar("T")
R = TypeVar("R")

CHUNK = 4
"""Items that a process takes at a time: Ctrl-C waits for no more than that."""


def in_processes(function: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[R]:
    """Yield ``function(item)`` of every item in turn; the first error, or Ctrl-C, ends all processes.

    Args:
        function: of a module, or a partial of one, so that another process can find it.
        items: its arguments.
        workers: processes; 1 works in this one.

    Raises:
        OSError: the system ended a process.
    """
    workers = min(workers, -(-len(items) // CHUNK))
    if workers <= 1:
        yield from map(function, items)
        return
    # Forked by a server of its own, where there is one: this process has threads (a progress bar), which must not be forked.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context(method), leave_interrupts_to_the_parent)
    try:
        with interrupts_held_back():  # processes are started here
            results = pool.map(function, items, chunksize=CHUNK)
        yield from results
    except BrokenProcessPool as error:
        raise OSError(
            "the system ended a worker process (is the memory full?); the same command again goes on from there, and "
            "--workers takes a smaller number of processes"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def leave_interrupts_to_the_parent() -> None:
    """Ctrl-C is the parent's business; without a parent (it was killed) there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()
