"""Who is training an experiment: a lock of the operating system, which dies with its process, and a note about its holder."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from utils.errors import HeldError, TrialError
from utils.files import refused, remove_unfinished, unfinished, unwritable, write_text

log = logging.getLogger(__name__)

ORPHAN_SECONDS = 20.0
"""Time for which the loading processes of a killed run may outlive it (torch's check every 5 s). They hold its lock too, unless
filelock is new enough to close it in them."""

NOTE_SECONDS = 5.0
"""Time within which the holder of a lock has written its note, or has released the lock."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Error numbers of a system that has no room, in any folder."""


@contextmanager
def experiment_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of experiment ``name`` in ``folder``; the operating system frees it when the process dies.

    Raises:
        HeldError: another process holds it; the message says which.
        TrialError: ``checkpoint_folder`` cannot be written.
        OSError: the disk is full.
    """
    lock = FileLock(folder / f".{name}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(lock, folder, name)
    except OSError as error:
        give_back(lock)
        if error.errno in FULL:
            raise refused(folder, error) from error
        raise TrialError(f"checkpoint_folder: {folder} cannot be written ({error.strerror or error})") from None
    try:
        remove_unfinished(folder, re.escape(_note(folder, name).name))
        write_text(_note(folder, name), json.dumps(_this_process()) + "\n")
        yield
    finally:
        with contextlib.suppress(OSError):
            _note(folder, name).unlink(missing_ok=True)
        give_back(lock)


def give_back(lock: FileLock) -> None:
    """Remove a lock's file, and release the lock; nothing if it is not held.

    The file goes while the lock is held: whoever has it open already finds, once it is free, that it has no name any more, and
    opens a new one (filelock sees to that). Removed after the release, it could be the next holder's.
    """
    if lock.is_locked:
        with contextlib.suppress(OSError):
            os.unlink(lock.lock_file)
    lock.release()


def refuse_if_held(folder: Path, name: str) -> None:
    """Refuse experiment ``name`` in ``folder`` if another process is training it; make no file.

    Raises:
        HeldError: another process holds the experiment's lock.
        TrialError: the folder cannot be written.
    """
    refusing = unwritable(folder)
    if refusing is not None:
        raise TrialError(
            f"checkpoint_folder: {folder} cannot be written ({refusing} is no folder that this user may write into)"
        )
    path = folder / f".{name}.lock"
    if path.is_file():
        lock = FileLock(path)
        _acquire(lock, folder, name)
        give_back(lock)


def holder_note(folder: Path, name: str) -> dict[str, Any] | None:
    """Return what the process that trains experiment ``name`` wrote about itself (``host``, ``pid``); None if none does."""
    note, path = _read_note(folder, name), folder / f".{name}.lock"
    if note is None or not path.is_file():
        return None
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return note
    except OSError:
        return None
    give_back(lock)
    return None


def check_locks(folder: Path, elsewhere: Callable[[Path], str] | None = None) -> None:
    """Refuse a folder whose file system has no locks: this process takes one, and others must not get it.

    Args:
        folder: where the lock is.
        elsewhere: has others call :func:`try_lock`, and returns what one of them said; by default another process here does.

    Raises:
        TrialError: one of them gets it, or there are no locks.
    """
    path = unfinished(folder / "lock")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
        problem = (elsewhere or _in_another_process)(path)
    except (OSError, NotImplementedError) as error:
        problem = str(error)
    finally:
        give_back(lock)
    if problem:
        raise TrialError(
            f"{folder}: locks do not work there ({problem}), so two processes could train one run; choose a folder on another "
            "file system, or launch the study once, here"
        )


def try_lock(path: Path) -> str:
    """Return nothing if another process has a lock, else a sentence about what happened instead."""
    host = socket.gethostname()
    if not path.parent.is_dir():
        return f"{host} has no such folder"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return ""
    except (OSError, NotImplementedError) as error:
        return f"{host}: {error}"
    lock.release()
    return f"a process of {host} gets one that another process has"


def _in_another_process(path: Path) -> str:
    program = "import sys; from pathlib import Path; from utils.locks import try_lock; print(try_lock(Path(sys.argv[1])))"
    place = Path(__file__).resolve().parents[1]
    tried = subprocess.run(
        [sys.executable, "-c", program, path.absolute()], cwd=place, capture_output=True, text=True, check=False
    )
    return (tried.stdout if tried.returncode == 0 else tried.stderr).strip()


def _acquire(lock: FileLock, folder: Path, name: str) -> None:
    """Take the lock, or raise an error that names its holder.

    Wait for the loading processes of a killed run, whose note still exists, and for a holder that has written no note yet.
    """
    waiting_until = None
    while True:
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            return
        holder, now = _read_note(folder, name), time.monotonic()
        if waiting_until is None:
            waiting_until = now + (NOTE_SECONDS if holder is None else ORPHAN_SECONDS)
            if holder is not None and _is_dead(holder):
                log.info("experiment %r: waiting for the loading processes of process %d, which is dead", name, holder["pid"])
        if now >= waiting_until or (holder is not None and not _is_dead(holder)):
            fact = f"experiment {name!r} in {folder} is being trained by {_process(holder)}"
            raise HeldError(fact, "; wait for it, stop it, or choose another Experiment_name")
        time.sleep(0.1)


def _note(folder: Path, name: str) -> Path:
    return folder / f".{name}.holder.json"


def _this_process() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
    }


def _read_note(folder: Path, name: str) -> dict[str, Any] | None:
    try:
        holder = json.loads(_note(folder, name).read_text(encoding="utf-8"))
        return holder if isinstance(holder["pid"], int) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _is_dead(holder: dict[str, Any]) -> bool:
    """Return whether the holder was a process of this machine and has ended."""
    if holder.get("host") != socket.gethostname():
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _process(holder: dict[str, Any] | None) -> str:
    if holder is None:
        return "another process"
    return f"process {holder['pid']} on {holder.get('host')} since {holder.get('since')} ({holder.get('command')})"
