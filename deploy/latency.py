"""Latency of networks for a batch of images: medians over rounds in which the networks take turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from utils.console import track
from utils.numbers import percent

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
FEWEST, ENOUGH, MOST = 3, 7, 31
"""Rounds: at least the first even where one takes minutes, the second unless they take ``PATIENCE`` seconds, never more than
the last."""
SHORT, PATIENCE = 5.0, 60.0
"""Seconds: after the first, ``ENOUGH`` rounds are enough; after the second, ``FEWEST`` are."""
TURN = 20.0
"""Milliseconds that a network is timed for in its turn, if one pass does not take longer."""
BUSY = 0.15
"""Share of the machine's CPU time that others may take; above it, a latency is doubtful."""


@dataclass(frozen=True)
class Timing:
    """Times of some networks for a batch each.

    Attributes:
        milliseconds: per network the median for the whole batch.
        rounds: how often each network ran.
        layouts: per network the memory layout that it is faster in, where both were tried.
    """

    milliseconds: Mapping[str, float]
    rounds: int
    layouts: Mapping[str, str]


def alternate(runs: Mapping[str, Callable[[], object]], description: str) -> tuple[dict[str, float], int]:
    """Measure the median milliseconds of each run, and the number of rounds; in a round each has its turn (A B C A B C ...).

    So that whatever else the machine does meets all of them alike.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in track(_rounds(), description, MOST):
        for name, run in runs.items():
            times[name].append(_turn(run))
    rounds = min(map(len, times.values()))
    return {name: statistics.median(values) for name, values in times.items()}, rounds


def _rounds() -> Iterator[int]:
    """Yield the numbers of the rounds, as long as more of them are worth their time."""
    start = time.monotonic()
    for done in range(MOST):
        passed = time.monotonic() - start
        if (done >= ENOUGH and passed > SHORT) or (done >= FEWEST and passed > PATIENCE):
            return
        yield done


def time_networks(networks: Mapping[str, nn.Module], images: Tensor, description: str) -> Timing:
    """Time the forward passes of ``networks`` for the same ``images`` (B, C, H, W), all on the same device."""
    return time_each({name: (network, images) for name, network in networks.items()}, description)


@torch.inference_mode()
def time_each(passes: Mapping[str, tuple[nn.Module, Tensor]], description: str) -> Timing:
    """Time the forward passes of networks, each for its own images (B, C, H, W), on whose device it is.

    Each network runs in its faster memory layout (and stays in it): both are tried first.
    """
    runs: dict[str, Callable[[], object]] = {}
    layouts = {}
    for name, (network, images) in passes.items():
        layouts[name] = _faster_layout(network, images)
        runs[name] = _run(network, images, layouts[name])
    milliseconds, rounds = alternate(runs, description)
    return Timing(milliseconds, rounds, layouts)


def _run(network: nn.Module, images: Tensor, layout: str) -> Callable[[], object]:
    """Return a forward pass to its very end, with network and images in a memory layout."""
    network.to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
    batch = images.contiguous(memory_format=LAYOUTS[layout])

    def run() -> None:
        network(batch)
        if batch.device.type == "cuda":
            torch.cuda.synchronize(batch.device)

    return run


def _faster_layout(network: nn.Module, images: Tensor) -> str:
    """Choose by the best of up to three runs in each layout, in turns, with a run to warm up before each."""
    best: dict[str, float] = {}
    start = time.monotonic()
    for _ in range(3):
        for layout in LAYOUTS:
            run = _run(network, images, layout)
            run()
            best[layout] = min(_milliseconds(run), best.get(layout, float("inf")))
        if time.monotonic() - start > SHORT:
            break
    return min(best, key=lambda layout: best[layout])


def _turn(run: Callable[[], object]) -> float:
    """Measure the median milliseconds of some passes after one that finds the caches full of another network."""
    run()
    times = [_milliseconds(run)]
    while sum(times) < TURN:
        times.append(_milliseconds(run))
    return statistics.median(times)


def _milliseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - start)


def others_share(seconds: float = 0.5) -> float:
    """Measure the share of the machine's CPU time, 0..1, that others take just now; 0 where the system does not tell.

    This process does nothing meanwhile, so that whatever is done is done by others.
    """
    before = _cpu_times()
    time.sleep(seconds)
    after = _cpu_times()
    if before is None or after is None or after[1] <= before[1]:
        return 0.0
    return (after[0] - before[0]) / (after[1] - before[1])


def busy_text(share: float) -> str:
    """Return a clause about a machine of whose CPU time others take a ``share``; empty if it is not more than ``BUSY``."""
    return f"other processes took {percent(share, 1, decimals=0)} of the machine's CPU time" if share > BUSY else ""


def _cpu_times() -> tuple[int, int] | None:
    """Read the busy time and all time of all cores since the system started, in the system's ticks."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    except OSError:
        return None
    ticks = [int(text) for text in first[1:9]]  # user nice system idle iowait irq softirq steal
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
