"""Output for people: log lines, progress with the time left, tables, and the end of a script."""

from __future__ import annotations

import functools
import io
import itertools
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich import box
from rich.console import Console, ConsoleRenderable
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column, Table
from rich.text import Text

from utils.errors import UserError
from utils.interrupts import check_interrupt, watch_interrupts

T = TypeVar("T")

log = logging.getLogger(__name__)
console = Console(stderr=True)

SECONDS_BETWEEN_LINES = 30.0
"""Seconds between two lines of a long loop in a log file."""

TIME = "%H:%M:%S"
MESSAGE_WIDTH = 80 - len("00:00:00 ")
"""Characters of a message that fit into a terminal of 80 columns behind the time."""


class LineFormatter(logging.Formatter):
    """Plain lines: the time, the level where it is not INFO, and the message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(level)s%(message)s", TIME)

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        record.level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        return super().format(record)


class TerminalHandler(RichHandler):
    """Lines on a terminal like those of :class:`LineFormatter`, in colour."""

    def __init__(self) -> None:
        super().__init__(console=console, show_level=False, show_path=False, log_time_format=TIME, rich_tracebacks=False)
        self.setFormatter(logging.Formatter("%(message)s"))

    def render_message(self, record: logging.LogRecord, message: str) -> ConsoleRenderable:
        """Return a message, with the level before it where that is not INFO."""
        text = super().render_message(record, message)
        assert isinstance(text, Text)
        level = self.get_level_text(record)
        level.rstrip()
        return text if record.levelno == logging.INFO else Text.assemble(level, " ", text)


def setup_logging() -> None:
    """Log to the terminal, or as plain lines with the time where the output goes to a file."""
    handler: logging.Handler
    if console.is_terminal:
        handler = TerminalHandler()
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("matplotlib", "PIL", "wandb", "filelock", "fontTools"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@functools.cache
def say_once(logger: logging.Logger, level: int, message: str) -> None:
    """Log a message the first time only; every loader of every run would repeat it."""
    logger.log(level, "%s", message)


class _Bars:
    """The one display of all loops that run: a bar for each, the inner ones below the outer ones."""

    def __init__(self) -> None:
        self._shown: Progress | None = None

    @contextmanager
    def bar(self, description: str, total: int | None) -> Iterator[Callable[[int, str], None]]:
        """Show a bar; the function that is yielded moves it on and writes a text beside it."""
        outermost = self._shown is None
        if self._shown is None:
            description_column, note_column = (
                TextColumn(text, markup=False, table_column=Column(no_wrap=True))
                for text in ("{task.description}", "{task.fields[note]}")
            )
            columns = (description_column, BarColumn(bar_width=None), MofNCompleteColumn(), note_column)
            self._shown = Progress(*columns, console=console, transient=True, expand=True)
            self._shown.start()
        shown = self._shown
        task = shown.add_task(description, total=total, note="")
        try:
            yield lambda done, note: shown.update(task, completed=done, note=note)
        finally:
            shown.remove_task(task)
            if outermost:
                shown.stop()
                self._shown = None


_bars = _Bars()


def track(items: Iterable[T], description: str, total: int | None = None, note: Callable[[], str] = lambda: "") -> Iterator[T]:
    """Yield ``items`` while showing how far a loop is and how long it still takes.

    A bar on a terminal; elsewhere a plain line every half a minute.

    Args:
        items: of the loop.
        description: what the loop does.
        total: number of the items, where they have no length.
        note: called after each item, for a text that is shown too.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    start = last = time.monotonic()

    def told(done: int, now: float, left: Callable[[float], str]) -> list[str]:
        seconds = [(now - start) / done * (total - done)] if total else []
        return [*map(left, seconds), *filter(None, [note()])]

    if console.is_terminal:
        with _bars.bar(description, total) as show:
            for done, item in enumerate(items, 1):
                check_interrupt()
                yield item
                show(done, ", ".join(told(done, time.monotonic(), lambda seconds: f"{brief(seconds)} left")))
        return
    for done, item in enumerate(items, 1):
        check_interrupt()
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            texts = told(done, now, lambda seconds: f"about {duration(seconds)} left")
            log.info("%s", ", ".join([f"{description}: {done} of {total or '?'}", *texts]))


def show_table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> None:
    """Write a table to the standard output: names in its first column, numbers in the others, sentences below.

    Where it is wider than the terminal, cells break between words; a line that is too long is better than half a number.

    Args:
        title: above the table.
        heads: of the columns.
        rows: of cells; cells at the end may be left out.
        caption: below the table.
    """
    cells = [list(row) for row in rows]
    columns = list(itertools.zip_longest(heads, *cells, fillvalue=""))
    widths = [max(map(len, column)) for column in columns]
    least = [max(len(word) for cell in column for word in cell.split() or [""]) for column in columns]
    output = Console()
    gap = 3 if sum(least) + 3 * len(heads) < output.width else 1
    between = gap * (len(heads) - 1) + 2
    while sum(widths) + between > output.width and widths != least:
        _, widest = max((width, place) for place, width in enumerate(widths) if width > least[place])
        widths[widest] -= 1
    output.width = max(output.width, sum(widths) + between)
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.padding = (0, gap // 2)
    for place, (head, width) in enumerate(zip(heads, widths, strict=True)):
        table.add_column(Text(head), justify="right" if place else "left", width=width)
    for row in cells:
        table.add_row(*map(Text, row))
    output.print(table)
    if caption:
        output.print(caption, soft_wrap=True, markup=False, highlight=False)


def brief(seconds: float) -> str:
    """Return a time as a text of at most six characters: ``8s``, ``3m20s``, ``1h05m`` or ``4d03h``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, of_day = divmod(hours, 24)
    if hours >= 100:
        return f"{days}d{of_day:02d}h"
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


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
    refuses (disk full, no permission); 130 after Ctrl-C or SIGTERM; else what ``main`` returns.
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
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:  # as a rank of torchrun that ends
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the way out if something hangs now
        sys.stderr.write("interrupted\n")
        code = 130
    sys.exit(code)
