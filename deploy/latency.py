"""Latency of networks for a batch of images: medians over rounds in which the networks take turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from utils.console import track

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
FEWEST, ENOUGH, MOST = 3, 7, 31
"""Rounds: at least the first even where one takes minutes, the second unless they take ``PATIENCE`` seconds, never more than
the last."""
SHORT, PATIENCE = 5.0, 60.0
"""Seconds: after the first, ``ENOUGH`` rounds are enough; after the second, ``FEWEST`` are."""
TURN = 20.0
"""Milliseconds that a network is timed for in its turn, if one pass does not take longer."""


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
