"""What the networks of finished runs cost: compacted, counted and timed, and kept in each run's folder."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.compact_evaluation import costs as measure
from engine.compaction import machine, make_compact
from engine.saved_trial import load_trial
from optim import sparsity_report
from utils import checkpoint as files
from utils.console import track
from utils.device import resolve
from utils.errors import TrialError, UserError
from utils.study.plan import Run

log = logging.getLogger(__name__)

COSTS = "costs.json"
"""In a run's folder."""

LAYER = ("layer", "stage", "groups", "live_groups")
"""What is kept of a row of a sparsity report."""

BUSY = 0.15
"""Share of the machine's CPU time that others may take while a latency is measured, without a word."""


@dataclass(frozen=True)
class Costs:
    """Of one run's best network."""

    numbers: dict[str, float]
    """By the names of the study's metrics. Both latencies are of networks with folded batch norm: the zeros alone make the
    difference."""
    layers: list[dict[str, Any]]
    """One row per shared convolution: what ``LAYER`` says."""
    machine: str
    """Where the latency was measured; empty where it was not."""
    busy: float
    """Share of the machine's CPU time that others took just before."""

    @property
    def doubtful(self) -> bool:
        """The latency was measured on a busy machine."""
        return bool(self.machine) and self.busy > BUSY


def costs_of(runs: Sequence[Run], timed: Iterable[Run]) -> tuple[dict[Run, Costs], dict[Run, str]]:
    """Of finished runs; what an earlier call found is read.

    Args:
        runs: all of them.
        timed: those whose latency is wanted as well; nothing else should be running on the machine.

    Returns:
        The costs, in the order of ``runs``; and of the runs whose network cannot be used, why.
    """
    wanted, found, damaged = set(timed), {}, {}
    for run in track(runs, "compacting and measuring the networks"):
        try:
            found[run] = _costs(run, run in wanted)
        except UserError as error:
            damaged[run] = str(error)
    return found, damaged


def _costs(run: Run, timed: bool) -> Costs:
    network = (run.folder / files.BEST).stat()
    about = {"bytes": network.st_size, "time": network.st_mtime_ns}
    known = _known(run.folder / COSTS, about)
    if known is not None and (not timed or (known.machine and not known.doubtful)):
        return known
    found = _measure(run, timed)
    files.save_json(run.folder / COSTS, {"network": about, **asdict(found)})
    return found


def _known(path: Path, about: Mapping[str, int]) -> Costs | None:
    """What an earlier call found about the same file."""
    if not path.is_file():
        return None
    try:
        content = files.load_json(path)
        numbers = {str(name): float(value) for name, value in content["numbers"].items()}
        layers = [{name: row[name] for name in LAYER} for row in content["layers"]]
        found = Costs(numbers, layers, str(content["machine"]), float(content["busy"]))
        return found if content["network"] == about else None
    except (TrialError, AttributeError, KeyError, TypeError, ValueError):
        log.warning("%s is damaged, and is made anew", path)
        return None


def _measure(run: Run, timed: bool) -> Costs:
    _, cpu = resolve(run.config.model_copy(update={"device": "cpu"}))  # memory is handled as in a training
    trial = load_trial(run.folder, cpu)
    made = make_compact(trial, cpu)
    report = sparsity_report(trial.model)
    numbers = {"channels": float(report.groups), "channels_removed": float(report.zero_groups)}
    for part, prefix in (("model", ""), ("backbone", "backbone_")):
        total = made.report.totals[part]
        numbers |= {
            f"{prefix}dense_GMACs": total["macs"] / 1e9,
            f"{prefix}GMACs": total["macs_left"] / 1e9,
            f"{prefix}dense_Mparameters": total["parameters"] / 1e6,
            f"{prefix}Mparameters": total["parameters_left"] / 1e6,
        }
    where, busy = "", 0.0
    if timed:
        busy = others_share()
        times = measure(made, cpu)
        numbers |= {"dense_latency_ms": times["folded_latency_ms"], "latency_ms": times["compact_latency_ms"]}
        about = machine(trial)
        where = f"{about['device']}, {about['threads']} threads, torch {about['torch']}, {about['precision']}"
    layers = [{name: row[name] for name in LAYER} for row in report.rows()]
    return Costs(numbers, layers, where, busy)


def others_share(seconds: float = 0.5) -> float:
    """Share of the machine's CPU time, 0..1, that other processes take just now; 0 where the system does not tell.

    This process does nothing meanwhile, so that whatever is done is done by others.
    """
    before = _cpu_times()
    time.sleep(seconds)
    after = _cpu_times()
    if before is None or after is None or after[1] <= before[1]:
        return 0.0
    return (after[0] - before[0]) / (after[1] - before[1])


def _cpu_times() -> tuple[int, int] | None:
    """Busy time and all time of all cores since the system started, in the system's ticks."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    except OSError:
        return None
    ticks = [int(text) for text in first[1:9]]  # user nice system idle iowait irq softirq steal
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
