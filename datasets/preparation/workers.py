"""The same work on many items, in several processes that end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from types import FrameType
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

CHUNK = 4
"""Items that a process takes at a time: Ctrl-C waits for no more than that."""


def in_processes(
    function: Callable[[T], R], items: Sequence[T], workers: int, crashed: Callable[[T], R] | None = None
) -> Iterator[R]:
    """Yield ``function(item)`` of every item in turn; the first error, or Ctrl-C, ends all processes.

    Args:
        function: of a module, or a partial of one, so that another process can find it.
        items: its arguments.
        workers: processes; 1 works in this one, unless it might crash.
        crashed: the result for an item on which a process crashes. (A decoder may.)

    Raises:
        OSError: the system ended a process, and ``crashed`` is not given.
    """
    workers = min(workers, -(-len(items) // CHUNK))
    if workers <= 1 and crashed is None:
        yield from map(function, items)
        return
    done, alone = 0, 0
    while done < len(items):
        # Where one of the next items ended a process, they are done one at a time: then it is the one in turn.
        one_by_one = done < alone
        rest = items[done:alone] if one_by_one else items[done:]
        try:
            for result in _mapped(function, rest, 1, 1) if one_by_one else _mapped(function, rest, workers, CHUNK):
                done += 1
                yield result
        except BrokenProcessPool as error:
            if crashed is None:
                raise OSError(
                    "the system ended a worker process (is the memory full?); the same command again goes on from there, and "
                    "--workers takes a smaller number of processes"
                ) from error
            if one_by_one:
                done += 1
                yield crashed(items[done - 1])
            else:
                alone = done + workers * CHUNK


def _mapped(function: Callable[[T], R], items: Sequence[T], workers: int, chunk: int) -> Iterator[R]:
    # Forked by a server of its own, where there is one: this process has threads (a progress bar), which must not be forked.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context(method), _begin)
    try:
        with interrupts_held_back():  # processes are started here
            results = pool.map(function, items, chunksize=chunk)
        yield from results
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block; processes that are started in it never see one (except on Windows).

    Raises:
        KeyboardInterrupt: at the end, if it came.
    """
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True

    before = signal.signal(signal.SIGINT, note)
    # A new process has this thread's mask; the handler is for a signal that another thread gets.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _begin() -> None:
    """In a new process: what is printed, and Ctrl-C, are the parent's business; without a parent (it was killed) there is
    nothing to do."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()
