"""Runs of ``main_multi_trials.py`` as processes of their own that are killed, or find the disk full, at a chosen moment."""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib
import io
import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from matplotlib.figure import Figure

from tests.disks import small_disk
from tests.small import narrow_resnetd

ROOT = Path(__file__).parent.parent

KILLED = -signal.SIGKILL
"""Exit code of a process that was killed."""

FORKS = multiprocessing.get_context("forkserver")
"""A process that has imported torch once is forked for every run: that saves seconds for each."""
FORKS.set_forkserver_preload(["engine", "tests.killed_runs"])

Act = Callable[..., Any]


@dataclass(frozen=True)
class Moment:
    """The ``call``-th call of a function (``module:attribute``), and what happens there in its place."""

    where: str
    act: Act
    call: int = 1


def kill_before(inner: Act, *args: Any, **kwargs: Any) -> None:
    """Die without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_after(inner: Act, *args: Any, **kwargs: Any) -> None:
    """Do it, and die."""
    inner(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_go(inner: Act, *args: Any, **kwargs: Any) -> Any:
    """Go on when there is a file ``go`` in the folder."""
    while not Path("go").exists():
        time.sleep(0.02)
    return inner(*args, **kwargs)


def interrupt(inner: Act, *args: Any, **kwargs: Any) -> Any:
    """Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)
    return inner(*args, **kwargs)


def terminate(inner: Act, *args: Any, **kwargs: Any) -> Any:
    """SIGTERM, as ``kill`` and SLURM send it."""
    os.kill(os.getpid(), signal.SIGTERM)
    return inner(*args, **kwargs)


def orphaned(inner: Act, *args: Any, **kwargs: Any) -> int:
    """The process that started this one is gone."""
    return 1


class _InterruptedFile:
    """Ctrl-C comes with the third write."""

    def __init__(self, file: Any) -> None:
        self.file, self.left = file, 3

    def write(self, content: bytes) -> int:
        """As the file's own."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return int(self.file.write(content))

    def flush(self) -> None:
        """As the file's own."""
        self.file.flush()


def interrupt_a_save(inner: Act, state: Any, file: Any) -> None:
    """Ctrl-C while ``torch.save`` writes, which torch turns into an error of its own."""
    inner(state, _InterruptedFile(file))


def half_a_save(inner: Act, state: Any, file: Any) -> None:
    """A moment of ``torch.save``: half of the bytes are on the disk."""
    whole = io.BytesIO()
    inner(state, whole)
    half_a_write(inner, file, whole.getvalue())


def half_a_write(inner: Act, file: Any, content: bytes) -> None:
    """Half of the bytes are in the file."""
    file.write(content[: len(content) // 2])
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def half_a_text(inner: Act, path: Path, text: str) -> None:
    """A moment of ``write_text``: half of the text is in the temporary file."""
    from utils.files import replacing

    with replacing(path) as temporary:
        temporary.write_text(text[: len(text) // 2])
        os.kill(os.getpid(), signal.SIGKILL)


def half_a_removal(inner: Act, folder: Path) -> None:
    """A moment of ``shutil.rmtree``: some of the files are gone."""
    for path in folder.glob("*.yaml"):
        path.unlink()
    os.kill(os.getpid(), signal.SIGKILL)


def no_room(limit: int, inner: Act, *args: Any, **kwargs: Any) -> Any:
    """While it runs no file can become longer than ``limit`` bytes, as on a disk that is full."""
    with small_disk(limit):
        return inner(*args, **kwargs)


def obey_permissions() -> None:
    """Let even root write only where the permissions say so (give up all capabilities, where there are such)."""
    capset = getattr(ctypes.CDLL(None), "capset", None)
    if capset is not None:
        version, this_process = 0x20080522, 0
        capset((ctypes.c_uint32 * 2)(version, this_process), (ctypes.c_uint32 * 6)())


def install(moment: Moment) -> None:
    """Put the moment's act in the place of its function."""
    module, _, path = moment.where.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    inner, left = getattr(owner, name), [moment.call]

    @functools.wraps(inner)
    def instead(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        return moment.act(inner, *args, **kwargs) if left[0] == 0 else inner(*args, **kwargs)

    setattr(owner, name, instead)


def script(cwd: str, arguments: list[str], moment: Moment | None) -> None:
    """Be the process: ``python main_multi_trials.py <arguments>`` in ``cwd``, with its messages in ``stderr_<pid>.txt``, a
    small ``resnetd18`` that shrinks whenever it can, and nothing in ``curves.png``, which takes longest to draw."""
    gc.freeze()  # what the server has imported is no garbage
    os.chdir(cwd)
    obey_permissions()
    with open(f"stderr_{os.getpid()}.txt", "wb") as messages:
        os.dup2(messages.fileno(), 2)
    # As a script that nobody forked has it; the server that forks may have been started while Ctrl-C was held back.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    multiprocessing.set_start_method("fork", force=True)
    torch.set_num_threads(1)
    sys.path.insert(0, str(ROOT))
    sys.argv = [str(ROOT / "main_multi_trials.py"), *arguments]
    if moment is not None:
        install(moment)
    with (
        narrow_resnetd(),
        mock.patch("engine.shrinking.REBUILDING", 0.0),
        mock.patch("engine.experiment.learning_curves", lambda *_, **__: Figure()),
    ):
        runpy.run_path(sys.argv[0], run_name="__main__")


class Run:
    """A started run.

    Args:
        cwd: where it runs.
        arguments: of the script.
        moment: at which something happens to it.
    """

    def __init__(self, cwd: Path, *arguments: str | Path, moment: Moment | None = None) -> None:
        self.cwd = cwd
        self.process = FORKS.Process(target=script, args=(str(cwd), list(map(str, arguments)), moment))
        self.process.start()

    def end(self, seconds: float = 200) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"still running after {seconds} s; it said: {self.stderr}")
        return self.process.exitcode

    def kill(self, after: float) -> int:
        """SIGKILL after some seconds, if it runs for so long; the exit code."""
        self.process.join(after)
        self.process.kill()
        return self.end()

    @property
    def stderr(self) -> str:
        """Return its output."""
        path = self.cwd / f"stderr_{self.process.pid}.txt"
        return path.read_text() if path.exists() else ""
