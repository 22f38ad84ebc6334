"""Output for people: log lines, progress with the time left, and the end of a script."""

from __future__ import annotations

import functools
import io
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import TypeVar

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from utils.errors import UserError
from utils.interrupts import check_interrupt, watch_interrupts

T = TypeVar("T")

log = logging.getLogger(__name__)
console = Console(stderr=True)

SECONDS_BETWEEN_LINES = 30.0
"""Seconds between two lines of a long loop in a log file."""


def setup_logging() -> None:
    """Log to the terminal, or as plain lines with the time where the output goes to a file."""
    handler: logging.Handler
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S", rich_tracebacks=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("matplotlib", "PIL", "wandb", "filelock", "fontTools"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@functools.cache
def say_once(logger: logging.Logger, level: int, message: str) -> None:
    """Log a message the first time only; every loader of every run would repeat it."""
    logger.log(level, "%s", message)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items`` while showing how far a loop is and how long it still takes.

    A bar on a terminal; elsewhere a plain line every half a minute.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if console.is_terminal:
        columns = (
            *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
            *(TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            for item in progress.track(items, total, description=description):
                check_interrupt()
                yield item
        return
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        check_interrupt()
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            left = f", about {duration((now - start) / done * (total - done))} left" if total else ""
            log.info("%s: %d of %s%s", description, done, total or "?", left)


def duration(seconds: float) -> str:
    """Return a time as text: ``1 h 05 min``, ``3 min 20 s`` or ``8 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return ``a, b, c``; of more than ``most`` names the first ones, and the number of the others."""
    text = ", ".join(names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most} more"


def user_message(error: UserError) -> str:
    """Return the message of an error, without the traceback that torch adds to an error of a loader's worker process."""
    text, name = str(error), f"{type(error).__module__}.{type(error).__qualname__}: "
    return text.rpartition(name)[2].rstrip() if "Original Traceback" in text else text


def run_script(main: Callable[[], int]) -> None:
    """Run a script's ``main`` and exit as a user expects.

    0 for success; 2 and one message, no traceback, for something that the user can mend; 1 and one message where the system
    refuses (disk full, no permission); 130 after Ctrl-C; else what ``main`` returns.
    """
    watch_interrupts()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as for errors: a path may hold bytes that are no text
    try:
        code = main()
    except UserError as error:
        sys.stderr.write(f"error: {user_message(error)}\n")
        code = 2
    except OSError as error:
        # A full disk, a folder without permission: nothing that a traceback would explain better.
        sys.stderr.write(f"error: {error}\n")
        code = 1
    except KeyboardInterrupt:
        # The program ends anyway: another Ctrl-C would only add a traceback, or change the exit code.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stderr.write("interrupted\n")
        code = 130
    sys.exit(code)
