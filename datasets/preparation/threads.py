"""Work on many things at once, in threads: array arithmetic, compression and files leave Python's lock alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


AHEAD = 2
"""Items per thread that are worked on before their results are asked for."""


def in_threads(
    work: Callable[[T], R], items: Iterable[T], workers: int, begin: Callable[[], object] | None = None
) -> Iterator[R]:
    """``work`` on each item in ``workers`` threads, or with 0 in this one when it is asked for; the results in order.

    The items are taken in this thread, a few ahead of the work, so that a generator of large items stays small in memory.
    After an error or Ctrl-C what is under way is finished and nothing else is begun. Each thread calls ``begin`` first.
    """
    if workers == 0:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(workers, initializer=begin)
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
