"""Who is training an experiment: a lock of the operating system, which dies with its process, and a note about its holder."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from utils.errors import HeldError, TrialError
from utils.files import refused, remove_unfinished, unwritable, write_text

log = logging.getLogger(__name__)

ORPHANS_LIVE = 20.0
"""Seconds for which the loading processes of a killed run may outlive it: torch's look every 5. They hold its lock too, unless
filelock is new enough to close it in them."""

NOTE_TAKES = 5.0
"""Seconds within which whoever has taken the lock has written the note about itself, or has given it back."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What a system says that has no room, whatever the folder."""


@contextmanager
def experiment_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of experiment ``name`` in ``folder``; the operating system frees it when the process dies.

    Raises:
        HeldError: another process holds it; the message says which.
        TrialError: ``checkpoint_folder`` is nothing to write into.
        OSError: the disk is full.
    """
    lock = FileLock(folder / f".{name}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(lock, folder, name)
    except OSError as error:
        lock.release()
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
        lock.release()


def refuse_if_held(folder: Path, name: str) -> None:
    """Say who is training experiment ``name`` in ``folder``, if somebody is; makes no file.

    Raises:
        HeldError: another process holds the experiment's lock.
        TrialError: the folder cannot be written.
    """
    there = unwritable(folder)
    if there is not None:
        raise TrialError(f"checkpoint_folder: {folder} cannot be written ({there} is no folder that this user may write into)")
    path = folder / f".{name}.lock"
    if path.is_file():
        lock = FileLock(path)
        _acquire(lock, folder, name)
        lock.release()


def _acquire(lock: FileLock, folder: Path, name: str) -> None:
    """Take the lock, or say who has it.

    Worth waiting for are the orphans of a killed run, whose note is still there, and a holder who has written no note yet.
    """
    waiting_until = None
    while True:
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            return
        holder, now = _read_note(folder, name), time.monotonic()
        if waiting_until is None:
            waiting_until = now + (NOTE_TAKES if holder is None else ORPHANS_LIVE)
            if holder is not None and _is_dead(holder):
                log.info("experiment %r: waiting for the loading processes of process %d, which is dead", name, holder["pid"])
        if now >= waiting_until or (holder is not None and not _is_dead(holder)):
            raise HeldError(_sentence(folder, name, holder))
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
    """True if the holder was a process of this machine and is none any more."""
    if holder.get("host") != socket.gethostname():
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _sentence(folder: Path, name: str, holder: dict[str, Any] | None) -> str:
    who = (
        f"process {holder['pid']} on {holder.get('host')} since {holder.get('since')} ({holder.get('command')})"
        if holder
        else "another process"
    )
    return f"experiment {name!r} in {folder} is being trained by {who}; wait for it, stop it, or choose another Experiment_name"
