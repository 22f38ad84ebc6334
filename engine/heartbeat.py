"""Signs of life between the processes that train together: which of them died without a word."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from os import getppid
from typing import Any

BEAT_SECONDS = 0.5
"""Seconds between two signs of life of a rank."""
STUCK_SECONDS = 20.0
"""Seconds of silence after which a rank is dead, whatever the main thread waits for."""


class Heartbeat(threading.Thread):
    """A thread that tells the other ranks that this one lives, and listens to them.

    Args:
        rank: of this process.
        others: the other ranks.
        store: a connection of its own to the store in which all of them write.
        when_stuck: called when a rank has been silent for ``STUCK_SECONDS``; None: nobody is.
        when_orphaned: called when the process that started this one is gone.
    """

    def __init__(
        self,
        rank: int,
        others: Sequence[int],
        store: Any,
        when_stuck: Callable[[], None] | None,
        when_orphaned: Callable[[], None],
    ) -> None:
        super().__init__(daemon=True)
        self.rank, self.others, self.store, self.when_stuck = rank, list(others), store, when_stuck
        self.when_orphaned, self.parent = when_orphaned, getppid()
        self.ended = threading.Event()
        self.heard = dict.fromkeys(self.others, (b"", 0))
        """Per other rank its last sign of life, and how often this thread has listened since."""
        self.store.set(f"beat/{rank}", "0")

    def run(self) -> None:
        """Beat and listen, once all ranks have made theirs."""
        beats, keys = 0, [f"beat/{rank}" for rank in self.others]
        with suppress(RuntimeError):  # the store is gone with torchrun
            while not self.ended.wait(BEAT_SECONDS):
                if getppid() != self.parent:
                    self.when_orphaned()
                    return
                beats += 1
                self.store.set(f"beat/{self.rank}", str(beats))
                for rank, beat in zip(self.others, self.store.multi_get(keys), strict=True):
                    last, times = self.heard[rank]
                    self.heard[rank] = (last, times + 1) if beat == last else (beat, 0)
                if self.when_stuck is not None and self.silent(STUCK_SECONDS):
                    self.when_stuck()

    def stop(self) -> None:
        """End the thread: one that Python's own end meets within the store would end the process by a signal."""
        self.ended.set()
        self.join(2 * BEAT_SECONDS)

    def silent(self, seconds: float) -> list[int]:
        """Return the ranks that have not been heard of for so long."""
        return [rank for rank, (_, times) in self.heard.items() if times * BEAT_SECONDS > seconds]


def death_of(dead: Sequence[int], size: int) -> str:
    """Return the sentence about ranks that died."""
    which = f"rank {dead[0]}" if len(dead) == 1 else f"ranks {', '.join(map(str, dead))}"
    return (
        f"{which} of {size} died without a word (killed, or its machine is gone; too little memory does that too); "
        "the others stop; --resume continues after the last epoch"
    )
