"""Processes as torchrun starts them (ranks), forked from one that has imported torch."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing import connection
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist

from engine.distributed import join
from tests.killed_runs import FORKS, Moment, script


class Ranks:
    """Started ranks, each of which calls a function.

    Args:
        size: number of ranks; the only one is a process that torchrun has not started.
        function: is given the rank and ``given``.
    """

    def __init__(self, size: int, function: Callable[..., None], *given: Any) -> None:
        # As torchrun's, the store outlives the ranks.
        self.store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))
        self.processes = [
            FORKS.Process(target=_be, args=(rank, size, self.store.port, function, given)) for rank in range(size)
        ]
        for process in self.processes:
            process.start()

    def send(self, number: int) -> None:
        """Send a signal to all ranks and their processes, as torchrun does."""
        for process in self.processes:
            os.killpg(process.pid or 0, number)

    def end(self, seconds: float = 100) -> list[int]:
        """Wait for their ends; return the exit codes. As torchrun, ask the others to stop when one fails."""
        waiting, asked = list(self.processes), False
        while waiting:
            ready = connection.wait([process.sentinel for process in waiting], seconds)
            if not ready:
                for process in waiting:
                    process.kill()
                raise AssertionError(f"{len(waiting)} ranks are still running after {seconds} s")
            for process in [process for process in waiting if process.sentinel in ready]:
                process.join()
                waiting.remove(process)
                if process.exitcode and not asked:
                    asked = True
                    for other in waiting:
                        os.killpg(other.pid or 0, signal.SIGTERM)
        return [process.exitcode for process in self.processes]


def _be(rank: int, size: int, port: int, function: Callable[..., None], given: Sequence[Any]) -> None:
    os.setsid()
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    if size > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    torch.set_num_threads(1)
    with mock.patch("engine.distributed.SILENT_SECONDS", 3.0):
        function(rank, *given)


def _call(rank: int, folder: Path, function: Callable[..., Any], given: Sequence[Any]) -> None:
    joined = join(cuda=False) if "RANK" in os.environ else None
    torch.save(function(*given), folder / f"{rank}.pt")
    if joined is not None:
        joined.end()


def results(folder: Path, size: int, function: Callable[..., Any], *given: Any) -> list[Any]:
    """Return what a function gives in each rank; it is called where all have joined."""
    folder.mkdir(parents=True)
    codes = Ranks(size, _call, folder, function, given).end()
    assert codes == [0] * size
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(size)]


def _script(rank: int, cwd: str, arguments: list[str], moments: dict[int, Moment]) -> None:
    script(cwd, arguments, moments.get(rank))


class RankedRun(Ranks):
    """``torchrun main_multi_trials.py <arguments>`` in ``cwd``, with a moment at which something happens to a rank."""

    def __init__(self, cwd: Path, size: int, *arguments: str | Path, moments: dict[int, Moment] | None = None) -> None:
        self.cwd = cwd
        super().__init__(size, _script, str(cwd), list(map(str, arguments)), moments or {})

    @property
    def said(self) -> list[str]:
        """Return the output of each rank."""
        paths = [self.cwd / f"stderr_{process.pid}.txt" for process in self.processes]
        return [path.read_text() if path.exists() else "" for path in paths]
