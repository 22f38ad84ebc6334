"""A tracker in a thread of its own: whatever happens in it, the training neither stops nor waits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from utils.tracking import Tracker

log = logging.getLogger(__name__)

FINISH_SECONDS = 30.0
"""How long the end of a trial waits for the tracker."""
CLEAN_UP_SECONDS = 1.0
"""How long it then waits for the tracker's service to be let go."""

Event = Callable[["Tracker"], None]


class BackgroundTracker:
    """Passes everything on, in order, to another tracker that is made and used in a thread of its own.

    No method raises. ``log`` and ``image`` only put a small record into a queue (without a limit: a trial has one or two
    records an epoch); ``finish`` waits at most ``FINISH_SECONDS``. The first error of the other tracker is one warning,
    and from then on nothing is tracked. The thread is a daemon: the process ends without it.

    Args:
        begin: makes the other tracker; called in the thread, so it may take its time.
        clean_up: ends whatever the other tracker's package still runs. Called in a daemon thread, when the other tracker has
            finished, has failed or is given up; it may raise and may hang.
        run_id: of the run that ``begin`` makes, unless its tracker says another one.
    """

    def __init__(self, begin: Callable[[], Tracker], clean_up: Callable[[], None], run_id: str | None) -> None:
        self.run_id = run_id
        self._begin, self._clean_up = begin, clean_up
        self._events: SimpleQueue[Event | None] = SimpleQueue()
        self._stopped = self._given_up = False
        self._thread = threading.Thread(target=self._work, name="tracker", daemon=True)
        self._thread.start()

    def log(self, values: dict[str, Any]) -> None:
        """One event; the values are copied."""
        values = dict(values)
        self._put(lambda tracker: tracker.log(values))

    def image(self, name: str, path: Path, epoch: int) -> None:
        """A PNG file, which is read later: until ``finish`` it may be replaced, but should not go away."""
        self._put(lambda tracker: tracker.image(name, path, epoch))

    def finish(self, summary: dict[str, Any]) -> None:
        """Hand the final values over and wait, but not for ever."""
        summary = dict(summary)
        self._put(lambda tracker: tracker.finish(summary))
        self._events.put(None)
        try:
            self._thread.join(CLEAN_UP_SECONDS if self._stopped else FINISH_SECONDS)
        finally:  # also after Ctrl-C
            unfinished = self._thread.is_alive() and not self._stopped
            self._stopped = True
            if self._thread.is_alive():
                self._give_up()
        if unfinished:
            log.warning(
                "tracking: wandb did not finish within %g s and is let go; the local files are complete, and what it has "
                "written is in the folder wandb beside them (wandb sync uploads it)",
                FINISH_SECONDS,
            )

    def _put(self, event: Event) -> None:
        if not self._stopped:
            self._events.put(event)

    def _work(self) -> None:
        try:
            tracker = self._begin()
            self.run_id = tracker.run_id
            while (event := self._events.get()) is not None:
                event(tracker)
        except BaseException as error:  # in a thread SystemExit too is only the tracker's end, and wandb raises it
            self._failed(error)
        if not self._given_up:  # else the package may be at work for the next trial
            self._end_service()

    def _failed(self, error: BaseException) -> None:
        if not self._stopped:
            self._stopped = True
            log.warning(
                "tracking: wandb failed (%s); this trial goes on without it, its local files are complete", reason(error)
            )
        while not self._events.empty():
            self._events.get()

    def _give_up(self) -> None:
        """Leave the thread where it hangs, and the package without anything that would hang when the process ends."""
        self._given_up = True
        helper = threading.Thread(target=self._end_service, name="tracker-clean-up", daemon=True)
        helper.start()
        helper.join(CLEAN_UP_SECONDS)

    def _end_service(self) -> None:
        try:
            self._clean_up()
        except BaseException as error:  # of a service that is dead already, as a rule
            log.debug("tracking: the end of wandb's service: %s", reason(error))


def reason(error: BaseException) -> str:
    """An error in one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200].rstrip(": ")
