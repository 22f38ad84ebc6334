"""What a trial's folder tells about its trainings: the console log, and the environment of each start."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import logging
import platform
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import torch

from engine import checkpoint as files
from engine.device import device_name
from engine.distributed import ranks
from utils.cli import typed_command
from utils.console import LineFormatter
from utils.errors import TrialError
from utils.files import open_no_link

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent
"""Folder of the project."""
PACKAGES = ("torch", "torchvision", "numpy")
GIT_SECONDS = 10.0
"""Seconds after which git counts as not there."""


class TrialLog(logging.Handler):
    """Handler that appends what is logged to a trial's ``log.txt``; records from before :meth:`open` are kept until then.

    Where the system refuses to write, one warning says so, and the training goes on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())
        self._early: list[str] = []
        self._file: TextIO | None = None
        self._path: Path | None = None

    def open(self, path: Path) -> None:
        """Write to a file from now on, after a line that says when and by which command the process was started."""
        self._path = path
        try:
            self._file = open(path, "a", encoding="utf-8", errors="backslashreplace", opener=open_no_link)  # noqa: SIM115
        except OSError as error:
            self._fail(error)
        self._write("\n".join([f"--- {now()}: {typed_command()}", *self._early]))

    @property
    def is_open(self) -> bool:
        """True while records are written to a file."""
        return self._file is not None

    def emit(self, record: logging.LogRecord) -> None:
        """Append a record."""
        text = self.format(record)
        if self._path is None:
            self._early.append(text)
        else:
            self._write(text)

    def _write(self, text: str) -> None:
        if self._file is not None:
            try:
                self._file.write(f"{text}\n")
                self._file.flush()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        self._close_file()
        log.warning("%s cannot be written (%s); the training goes on without it", self._path, error.strerror or error)

    def _close_file(self) -> None:
        file, self._file = self._file, None
        with contextlib.suppress(OSError):  # of a full disk, which was said
            if file is not None:
                file.close()

    def close(self) -> None:
        """Close the file."""
        self._close_file()
        super().close()


@contextlib.contextmanager
def trial_log() -> Iterator[TrialLog]:
    """Yield a handler that gets what this process logs meanwhile."""
    handler, root = TrialLog(), logging.getLogger()
    root.addHandler(handler)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        handler.close()


class EnvironmentRecord:
    """Record of the starts of a trial in ``environment.json``: one entry each, with its end once that is reached.

    Args:
        path: of the file; entries that it has stay.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.starts = _earlier_starts(path)

    def begin(self, device: torch.device, epochs: int) -> None:
        """Add an entry for this process.

        Args:
            device: where the trial trains.
            epochs: that were trained before.
        """
        self.starts.append({"start": now(), "end": None, "epochs_before": epochs, **environment(device)})
        self._save()

    def end(self) -> None:
        """Note the end of this process's work on the trial."""
        self.starts[-1]["end"] = now()
        try:
            self._save()
        except OSError as error:  # whatever ended the training says more
            log.warning("%s", error)

    def _save(self) -> None:
        files.save_json(self.path, {"starts": self.starts})


def _earlier_starts(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a file; none, and a warning, where it cannot be read."""
    if not path.is_file():
        return []
    try:
        starts = files.load_json(path).get("starts")
        if isinstance(starts, list) and all(isinstance(entry, dict) for entry in starts):
            return starts
        reason = f"{path}: holds no list of starts"
    except TrialError as error:
        reason = str(error)
    log.warning("%s; it is begun anew", reason)
    return []


def environment(device: torch.device) -> dict[str, Any]:
    """Describe what this process runs: command, state of the code, versions, device, threads, and how many train with it."""
    return {
        "command": typed_command(),
        **code_state(),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
            "project": tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"],
        },
        "system": platform.platform(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        **({"processes": ranks().size} if ranks().size > 1 else {}),
    }


@functools.cache
def code_state(folder: Path = ROOT) -> dict[str, Any]:
    """Return the commit of the code, and whether files that it has were changed; null where git does not know.

    It is asked once: this process keeps the code that it has loaded.
    """
    if _git(folder, "rev-parse", "--show-toplevel") != str(folder):  # a copy without git, perhaps inside another project
        return {"commit": None, "dirty": None}
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": _git(folder, "rev-parse", "HEAD"), "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git says about a folder; None where there is no git, or it refuses."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=GIT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def now() -> str:
    """Return the time in ISO 8601, with the zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
