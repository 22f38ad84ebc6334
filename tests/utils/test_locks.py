"""Who trains an experiment: one process, which the others name, and which leaves the lock behind however it dies."""

import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from utils import locks
from utils.errors import TrialError
from utils.locks import experiment_lock, refuse_if_held

NAME = "x. y"
HOLDER = """
import os, sys, time
from pathlib import Path
from utils.locks import experiment_lock
with experiment_lock(Path(sys.argv[1]), sys.argv[2]):
    if len(sys.argv) > 3:  # a loading process, which outlives its parent, and has the open lock from it
        path = os.path.realpath(f"{sys.argv[1]}/.{sys.argv[2]}.lock")
        (lock,) = [fd for fd in os.listdir("/proc/self/fd") if os.path.realpath(f"/proc/self/fd/{fd}") == path]
        os.dup(int(lock))  # newer versions of filelock close their own in a child
        if os.fork() == 0:
            time.sleep(float(sys.argv[3]))
            os._exit(0)
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLDER, str(folder), NAME, *arguments]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def try_it(folder: Path) -> None:
    """Take the lock and give it back."""
    with experiment_lock(folder, NAME):
        pass


def leftovers(folder: Path) -> list[str]:
    """Return the names in the folder."""
    return sorted(path.name for path in folder.iterdir())


ENTER = """
import os, sys, time
from pathlib import Path
from filelock import FileLock
from utils.locks import give_back
folder = Path(sys.argv[1])
for _ in range(200):
    lock = FileLock(folder / "a.lock")
    lock.acquire(poll_interval=0.001)
    os.close(os.open(folder / "inside", os.O_CREAT | os.O_EXCL))  # an error where somebody else is inside
    time.sleep(0.0005)
    os.unlink(folder / "inside")
    give_back(lock)
"""


def test_a_lock_has_one_holder_though_its_file_comes_and_goes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENTER, str(tmp_path)]
    processes = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert not leftovers(tmp_path)


def test_a_second_holder_is_refused_and_the_next_one_is_not(tmp_path: Path) -> None:
    with experiment_lock(tmp_path / "runs", NAME), experiment_lock(tmp_path / "runs", "another"):
        with pytest.raises(TrialError, match=f"'{re.escape(NAME)}' in .*runs is being trained by process {os.getpid()} on "):
            try_it(tmp_path / "runs")
        with pytest.raises(TrialError, match=f"process {os.getpid()} on "):
            refuse_if_held(tmp_path / "runs", NAME)
    try_it(tmp_path / "runs")
    refuse_if_held(tmp_path / "runs", NAME)
    assert not leftovers(tmp_path / "runs")


def test_the_holder_is_named_until_it_is_killed(tmp_path: Path) -> None:
    before = datetime.now().astimezone()
    with holder(tmp_path) as process:
        start = time.monotonic()
        with pytest.raises(TrialError) as error:
            try_it(tmp_path)
        assert time.monotonic() - start < locks.NOTE_SECONDS / 2, "a live holder is not waited for"
        match = re.fullmatch(
            rf"experiment '{re.escape(NAME)}' in {re.escape(str(tmp_path))} is being trained by process {process.pid} on "
            rf"{re.escape(socket.gethostname())} since (\S+) \(-c {re.escape(str(tmp_path))} {re.escape(NAME)}\); wait for it, "
            "stop it, or choose another Experiment_name",
            str(error.value),
        )
        assert match, str(error.value)
        assert abs(datetime.fromisoformat(match[1]) - before) < timedelta(seconds=60)
        process.kill()  # no chance to tidy up
        process.wait()
        try_it(tmp_path)
    assert not leftovers(tmp_path)


def test_orphans_of_a_killed_holder_are_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with holder(tmp_path, "1") as process:
        process.kill()
        process.wait()
        start = time.monotonic()
        try_it(tmp_path)
        assert 0.2 < time.monotonic() - start < 15
    assert caplog.text.count(f"waiting for the loading processes of process {process.pid}, which is dead") == 1


def test_orphans_that_do_not_end_are_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "ORPHAN_SECONDS", 0.3)
    with holder(tmp_path, "4") as process:
        process.kill()
        process.wait()
        with pytest.raises(TrialError, match=f"is being trained by process {process.pid}"):
            try_it(tmp_path)


@pytest.mark.parametrize("note", [None, "{", '{"pid": "7"}'])
def test_a_holder_without_a_note_is_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: str | None) -> None:
    monkeypatch.setattr(locks, "NOTE_SECONDS", 0.2)
    if note is not None:
        (tmp_path / f".{NAME}.holder.json").write_text(note)
    with FileLock(tmp_path / f".{NAME}.lock"), pytest.raises(TrialError, match="is being trained by another process; wait"):
        try_it(tmp_path)


def test_a_holder_whose_note_comes_late_is_named(tmp_path: Path) -> None:
    """The moment between taking the lock and writing the note."""
    lock, note = FileLock(tmp_path / f".{NAME}.lock"), tmp_path / f".{NAME}.holder.json"
    content = {"pid": os.getpid(), "host": socket.gethostname(), "since": "today", "command": "main.py"}
    timer = threading.Timer(0.3, lambda: note.write_text(json.dumps(content)))
    with lock:
        timer.start()
        with pytest.raises(TrialError, match=rf"process {os.getpid()} on \S+ since today \(main\.py\)"):
            try_it(tmp_path)
        timer.join()


def test_somebody_who_only_looks_is_in_nobodys_way(tmp_path: Path) -> None:
    """``refuse_if_held`` of another process has the lock for a moment."""
    lock = FileLock(tmp_path / f".{NAME}.lock", thread_local=False)
    lock.acquire()
    timer = threading.Timer(0.3, lock.release)
    timer.start()
    try_it(tmp_path)
    timer.join()


def test_the_dead_of_another_machine_are_not_known(tmp_path: Path) -> None:
    """Its process numbers say nothing here."""
    note = {"pid": 2**22 + 1, "host": "another-machine", "since": "yesterday", "command": "main.py"}
    (tmp_path / f".{NAME}.holder.json").write_text(json.dumps(note))
    start = time.monotonic()
    with FileLock(tmp_path / f".{NAME}.lock"), pytest.raises(TrialError, match="on another-machine since yesterday"):
        try_it(tmp_path)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("end", [RuntimeError, KeyboardInterrupt])
def test_however_the_block_ends_the_lock_is_free(tmp_path: Path, end: type[BaseException]) -> None:
    with pytest.raises(end), experiment_lock(tmp_path, NAME):
        assert leftovers(tmp_path) == [f".{NAME}.holder.json", f".{NAME}.lock"]
        raise end
    assert not leftovers(tmp_path)
    try_it(tmp_path)


def test_what_a_killed_run_left_of_its_note_is_removed(tmp_path: Path) -> None:
    (tmp_path / f".{f'.{NAME}.holder.json'}.77.unfinished").touch()
    (tmp_path / ".other_trial_0.77.unfinished").touch()
    try_it(tmp_path)
    assert leftovers(tmp_path) == [".other_trial_0.77.unfinished"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for take in (try_it, lambda folder: refuse_if_held(folder, NAME)):
        with pytest.raises(TrialError, match=r"checkpoint_folder: .*file.runs cannot be written \(.+\)"):
            take(tmp_path / "file" / "runs")


def test_looking_makes_nothing(tmp_path: Path) -> None:
    refuse_if_held(tmp_path / "runs", NAME)
    refuse_if_held(tmp_path, NAME)
    assert not list(tmp_path.iterdir())


def test_the_note_of_a_holder_is_there_while_it_holds_the_lock(tmp_path: Path) -> None:
    assert locks.holder_note(tmp_path, NAME) is None
    with holder(tmp_path) as process:
        note = locks.holder_note(tmp_path, NAME)
        assert note is not None
        assert (note["pid"], note["host"]) == (process.pid, socket.gethostname())
    process.wait()
    assert (tmp_path / f".{NAME}.holder.json").is_file(), "it was killed"
    assert locks.holder_note(tmp_path, NAME) is None


def test_locks_that_work_leave_nothing_behind(tmp_path: Path) -> None:
    locks.check_locks(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_everywhere_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match=r"locks do not work there \(.* has no such folder\)"):
        locks.check_locks(tmp_path, lambda path: locks.try_lock(path.parent / "nowhere" / path.name))


def test_locks_that_do_not_work_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file system that grants every lock, and of one that grants none."""
    with monkeypatch.context() as patch:
        patch.setattr(FileLock, "acquire", lambda self, timeout: None)
        with pytest.raises(
            TrialError, match=rf"{tmp_path}: locks do not work there \(a process of .* gets one that another process has\)"
        ):
            locks.check_locks(tmp_path)

    def refuse(self: FileLock, timeout: float) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(TrialError, match=r"locks do not work there \(FileSystem does not appear to support flock\)"):
        locks.check_locks(tmp_path)
