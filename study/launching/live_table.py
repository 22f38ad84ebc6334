"""Live table of the runs of a study, read from their folders: it shows what any launcher does, on any machine."""

from __future__ import annotations

import logging
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.live import Live
from rich.table import Table

from engine import checkpoint as files
from engine.epoch_table import main_metrics
from engine.resuming import is_finished
from study.estimate import epoch_seconds
from study.plan import Run, Study
from study.progress import failure_path
from utils.console import console, duration
from utils.errors import UserError
from utils.locks import holder_note

log = logging.getLogger(__name__)

SECONDS = 1.0
"""Seconds between two looks at the folders."""

WORDS = ("training", "failed", "stopped", "waiting", "finished")
"""States of a run, in the table's order."""


@dataclass
class Row:
    """One run, and what its folder said at the last look."""

    run: Run
    word: str = "waiting"
    where: str = ""
    """Host and process id of who trains it."""
    lines: list[dict[str, Any]] = field(default_factory=list)
    """Epochs of ``metrics.jsonl``."""
    _size: int = 0

    def look(self, study: Study) -> None:
        """Read what changed."""
        folder = self.run.folder
        note = holder_note(folder.parent, self.run.name)
        self.where = f"{note.get('host')} {note['pid']}" if note else ""
        size = _byte_count(folder / files.METRICS)
        if size != self._size:
            self.lines, self._size = files.read_lines(folder / files.METRICS), size
        if note:
            self.word = "training"
        elif _tested(self.run):
            self.word = "finished"
        elif failure_path(study, self.run).is_file():
            self.word = "failed"
        else:
            self.word = "stopped" if self.lines else "waiting"

    @property
    def left(self) -> str:
        """Time that the training takes at most."""
        seconds = epoch_seconds(self.lines)
        if self.word != "training" or not seconds:
            return ""
        return duration((self.run.config.epochs - len(self.lines)) * statistics.median(seconds))

    def cells(self) -> tuple[str, ...]:
        """Cells of the row: run, state, epoch, main metrics, time left, where."""
        epoch = f"{len(self.lines)}/{self.run.config.epochs}" if self.lines else ""
        metrics = main_metrics(self.run.config.tasks.values(), self.lines[-1], "val/") if self.lines else ""
        return self.run.name, self.word, epoch, metrics, self.left, self.where


class LiveTable:
    """Table of all runs on a terminal; elsewhere a plain line for every epoch of a run.

    Used as a context, and :meth:`update` is called again and again.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.rows = [Row(run) for run in study.runs]
        self._next = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> LiveTable:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self) -> None:
        """Look at the runs that are not finished, if the last look is :data:`SECONDS` ago, and show what changed."""
        if time.monotonic() < self._next:
            return
        for row in self.rows:
            if row.word == "finished":
                continue
            before = row.cells()
            row.look(self.study)
            if self._live is None and row.word == "training" and row.cells() != before:
                _, word, epoch, metrics, left, where = row.cells()
                told = [f"{word} by {where}", epoch and f"epoch {epoch}", metrics, left and f"at most {left} left"]
                log.info("%s: %s", row.run.name, ", ".join(filter(None, told)))
        if self._live is not None:
            self._live.update(self.table(), refresh=True)
        self._next = time.monotonic() + SECONDS

    def table(self) -> Table:
        """Draw the table: what is being trained comes first, as the terminal may be too low for all rows."""
        counts = Counter(row.word for row in self.rows)
        title = f"study {self.study.name}: " + ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("run", "state", "epoch", "main metrics", "time left", "where"):
            table.add_column(name, overflow="fold")
        for row in sorted(self.rows, key=lambda row: WORDS.index(row.word)):
            table.add_row(*row.cells())
        return table


def _byte_count(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _tested(run: Run) -> bool:
    """Return whether a run is finished; what cannot be read is not."""
    try:
        return is_finished(run.folder, run.config)
    except (UserError, OSError):
        return False
