"""Latencies of the networks of a study, measured in turns so that settings can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import torch
from torch import Tensor, nn

from deploy.latency import others_share, time_each
from deploy.trial_compaction import Networks, machine, make_compact
from engine.device import resolve
from engine.saved_trial import load_trial
from study.plan import Run
from utils.console import track
from utils.errors import UserError

TOGETHER = 2e9
"""Bytes of weights that take turns with each other; more of them would not fit into the memory of a usual machine."""


@dataclass(frozen=True)
class LatencyPair:
    """Latencies of the best network of a run, on the CPU, batch 1, fp32; both networks with folded batch norm.

    Attributes:
        folded_ms: milliseconds of the network with its zeros.
        compact_ms: of the compact one.
        machine: where that was measured, in words.
        measured: when, ISO 8601 in UTC: the same for all that took turns with each other.
        busy: the larger share of the machine's CPU time, 0..1, that others took just before and just after.
    """

    folded_ms: float
    compact_ms: float
    machine: str
    measured: str
    busy: float


def networks_of(run: Run) -> Networks:
    """Load a finished run's best network, and its compact form, on the CPU.

    Raises:
        UserError: the network cannot be used.
    """
    _, cpu = resolve(run.config.model_copy(update={"device": "cpu"}))  # memory is handled as in a training
    return make_compact(load_trial(run.folder, cpu), cpu)


def measure_latencies(runs: Sequence[Run]) -> tuple[dict[Run, LatencyPair], dict[Run, str]]:
    """Measure the latencies of finished runs; nothing else should run on the machine.

    Their networks take turns; where they are more than ``TOGETHER`` bytes, in blocks of so many.

    Returns:
        The latencies; and of the runs whose network cannot be used, why.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    latencies: dict[Run, LatencyPair] = {}
    damaged: dict[Run, str] = {}
    for block in _blocks(runs, damaged):
        latencies |= _measure(block, now)
    return latencies, damaged


def _blocks(runs: Iterable[Run], damaged: dict[Run, str]) -> Iterator[dict[Run, Networks]]:
    """Yield the networks of some runs after the other; put what cannot be used into ``damaged``."""
    block: dict[Run, Networks] = {}
    for run in track(runs, "loading the networks to time"):
        try:
            made = networks_of(run)
        except UserError as error:
            damaged[run] = str(error)
            continue
        if block and sum(map(_size, block.values())) + _size(made) > TOGETHER:
            yield block
            block = {}
        block[run] = made
    if block:
        yield block


def _size(made: Networks) -> int:
    """Return the bytes of the weights of the two networks that are timed."""
    return sum(tensor.nbytes for network in (made.folded, made.compact) for tensor in network.state_dict().values())


def _measure(block: dict[Run, Networks], now: str) -> dict[Run, LatencyPair]:
    passes: dict[str, tuple[nn.Module, Tensor]] = {}
    for run, made in block.items():
        config = made.trial.config
        images = torch.rand(1, config.input_img_channels, *config.size, generator=torch.Generator().manual_seed(0))
        passes |= {f"{run.name} folded": (made.folded, images), f"{run.name} compact": (made.compact, images)}
    before = others_share()
    times = time_each(passes, f"latency of {len(block)} settings, in turns").milliseconds
    busy = max(before, others_share())
    about = machine(next(iter(block.values())).trial)
    threads = "1 thread" if about["threads"] == 1 else f"{about['threads']} threads"
    where = f"{about['device']}, {threads}, torch {about['torch']}, {about['precision']}"
    return {run: LatencyPair(times[f"{run.name} folded"], times[f"{run.name} compact"], where, now, busy) for run in block}
