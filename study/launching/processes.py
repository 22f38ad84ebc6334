"""Launcher with processes of this machine, each with its share of the cores, or a GPU of its own."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch

from datasets.cores import cores
from engine import checkpoint as files
from engine.trial_record import TrialLog
from study.launch import Outcome, attempt, free_device_memory, without_needs
from study.launching.live_table import SECONDS, LiveTable
from study.plan import Run, Study
from utils.console import setup_logging
from utils.interrupts import watch_interrupts
from utils.locks import check_locks

PROJECT = Path(__file__).resolve().parents[2]

STOPPING = 30.0
"""Seconds that interrupted processes have for their end."""


def in_processes(runs: Sequence[Run], *, study: Study, jobs: int | None = None) -> Iterator[Outcome]:
    """Do runs in ``jobs`` processes at a time (default: one per GPU, or one); a process that dies is a failed run.

    Every run has a process of its own, forked from one that has imported torch once. Ctrl-C ends all of them.
    """
    check_locks(study.folder)
    free_device_memory()
    gpus = _gpus()
    jobs = jobs or max(1, len(gpus))
    threads = max(1, cores() // jobs)
    waiting, children, failed = list(runs), dict[Any, _Child](), set[Run]()
    with LiveTable(study) as table:
        try:
            while waiting or children:
                while len(children) < jobs and (run := _ready(waiting, children.values())) is not None:
                    waiting.remove(run)
                    if (outcome := without_needs(run, failed)) is not None:
                        failed.add(run)
                        yield outcome
                        continue
                    slot = min(set(range(jobs)) - {child.slot for child in children.values()})
                    child = _start(run, slot, threads, gpus[slot % len(gpus)] if gpus else None)
                    children[child.process.sentinel] = child
                for sentinel in connection.wait(list(children), timeout=SECONDS):
                    outcome = children.pop(sentinel).outcome()
                    if outcome.status == "failed":
                        failed.add(outcome.run)
                    yield outcome
                table.update()
        finally:
            _stop(list(children.values()))


def _ready(waiting: Sequence[Run], children: Iterable[_Child]) -> Run | None:
    """Return the first run that needs none of those that a process is at (what it needs comes before it); None: all do."""
    unfinished = {child.run for child in children}
    return next((run for run in waiting if unfinished.isdisjoint(run.needs.values())), None)


def _gpus() -> list[str]:
    """Return what ``CUDA_VISIBLE_DEVICES`` calls each GPU of this process."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    count = torch.cuda.device_count()
    return named[:count] if any(named) else [str(number) for number in range(count)]


@dataclass(frozen=True)
class _Child:
    """Process of a run."""

    run: Run
    slot: int
    process: ForkServerProcess
    answer: connection.Connection

    def outcome(self) -> Outcome:
        """Return what became of the run, once the process has ended."""
        self.process.join()
        try:
            return Outcome(self.run, *self.answer.recv())
        except EOFError:
            code = self.process.exitcode or 0
            how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with exit code {code}"
            return Outcome(self.run, "failed", f"its process {how}; its logs are in {self.run.folder}")
        finally:
            self.answer.close()
            self.process.close()


def _start(run: Run, slot: int, threads: int, gpu: str | None) -> _Child:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    answer, ours = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(attempt, run, Path.cwd(), threads, gpu, ours), name=run.name)
    # The server is started by its first process. Libraries read the number of threads when they are loaded; and in Python 3.11
    # the server does not know our module path.
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    before = dict(os.environ)
    os.environ |= {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": path}
    try:
        process.start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    ours.close()
    return _Child(run, slot, process, answer)


def _work(
    attempt: Callable[[Run], Outcome], run: Run, folder: Path, threads: int, gpu: str | None, answer: connection.Connection
) -> None:
    """Be the process of a run, whose end ``attempt`` brings about."""
    os.setsid()  # Ctrl-C reaches the launcher alone, which passes it on, once
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    watch_interrupts()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.chdir(folder)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    torch.set_num_threads(threads)
    try:
        with logged_to(run.folder / files.LAUNCH_LOG):
            outcome = attempt(run)
        answer.send((outcome.status, outcome.reason))
    except OSError as error:  # of its log
        answer.send(("failed", str(error)))
    except KeyboardInterrupt:
        sys.exit(130)


def _end_with_parent() -> None:
    """Interrupt this process when its parent is gone, also if that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Append to a file, for a while, all that this process and those that it starts print, and what it logs outside a trial,
    whose own log has the rest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = os.dup(1), os.dup(2)
    try:
        with path.open("ab") as file:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
        setup_logging()
        for handler in logging.getLogger().handlers:
            handler.addFilter(_is_of_no_trial)
        yield
    finally:
        sys.stdout.flush()
        for descriptor, before in zip((1, 2), kept, strict=True):
            os.dup2(before, descriptor)
            os.close(before)


def _is_of_no_trial(record: logging.LogRecord) -> bool:
    """Return whether no trial's log has a record."""
    return not any(isinstance(handler, TrialLog) and handler.is_open for handler in logging.getLogger().handlers)


def _stop(children: Sequence[_Child]) -> None:
    """Interrupt the processes, and kill those that do not end; also at once at a second Ctrl-C."""
    end = time.monotonic() + STOPPING
    try:
        for child in children:
            _signal(child, signal.SIGINT)
        for child in children:
            child.process.join(max(0.0, end - time.monotonic()))
    finally:
        for child in children:
            if child.process.exitcode is None:
                _signal(child, signal.SIGKILL)


def _signal(child: _Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.process.pid or 0, number)
