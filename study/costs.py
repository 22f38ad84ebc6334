"""Costs of the networks of finished runs: their sizes and latencies, saved in the folder of each run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from deploy.latency import BUSY
from engine import checkpoint as files
from optim import sparsity_report
from study.columns import LATENCIES, SIZES
from study.latencies import LatencyPair, measure_latencies, networks_of
from study.plan import Run
from utils.console import track
from utils.errors import TrialError, UserError
from utils.files import fingerprint

log = logging.getLogger(__name__)

COSTS = "costs.json"
"""File in a run's folder."""

GROUPS = ("groups", "zero_groups")
"""Numbers of the shared convolutions of a network."""

LAYER = ("layer", "stage", "groups", "live_groups")
"""Columns that are kept of a sparsity report."""

_COUNTED = {*GROUPS, *(column.name for column in SIZES)}
_TIMED = {column.name for column in LATENCIES}

BLOCKS = 256
"""Parts of a network's file that are read to tell that it is the same (:func:`utils.files.fingerprint`)."""


@dataclass(frozen=True)
class Costs:
    """Costs of the best network of a run."""

    numbers: dict[str, float]
    """By the names of the study's metrics."""
    layers: list[dict[str, Any]]
    """One row per shared convolution: what ``LAYER`` says."""
    machine: str = ""
    """Machine that measured the latency; empty where none did."""
    measured: str = ""
    """Time of the measurement, the same for all runs whose networks took turns; empty without one."""
    busy: float = 0.0
    """Share of the machine's CPU time that others took just before or just after the measurement."""

    @property
    def doubtful(self) -> bool:
        """The latency was measured on a busy machine."""
        return bool(self.machine) and self.busy > BUSY

    def timed(self, latency: LatencyPair) -> Costs:
        """Return these costs with a latency."""
        numbers = self.numbers | {"folded_latency_ms": latency.folded_ms, "compact_latency_ms": latency.compact_ms}
        return replace(self, numbers=numbers, machine=latency.machine, measured=latency.measured, busy=latency.busy)

    def untimed(self) -> Costs:
        """Return these costs without a latency."""
        numbers = {name: value for name, value in self.numbers.items() if name not in _TIMED}
        return Costs(numbers, self.layers)


def costs_of(runs: Sequence[Run], timed: Iterable[Run]) -> tuple[dict[Run, Costs], dict[Run, str]]:
    """Measure the costs of finished runs; reuse saved results.

    Latencies are compared, so that they are only given where they were measured together: they are measured anew, all of them,
    where one is missing or was measured on a busy machine, and older ones are left out.

    Args:
        runs: all of them.
        timed: those whose latency is wanted as well; nothing else should be running on the machine.

    Returns:
        The costs, in the order of ``runs``; and of the runs whose network cannot be used, why.
    """
    costs, damaged = {}, {}
    for run in track(runs, "compacting the networks"):
        try:
            costs[run] = _costs(run)
        except UserError as error:
            damaged[run] = str(error)
    wanted = [run for run in timed if run in costs]
    if not _are_comparable([costs[run] for run in wanted]):
        latencies, unusable = measure_latencies(wanted)
        for run, latency in latencies.items():
            costs[run] = costs[run].timed(latency)
            _save(run, costs[run])
        costs = {run: cost for run, cost in costs.items() if run not in unusable}
        damaged |= unusable
    last = max((cost.measured for cost in costs.values()), default="")
    return {run: cost if cost.measured == last else cost.untimed() for run, cost in costs.items()}, damaged


def _are_comparable(costs: Sequence[Costs]) -> bool:
    """Return whether all latencies were measured together on an idle machine."""
    return len({cost.measured for cost in costs}) <= 1 and all(cost.machine and not cost.doubtful for cost in costs)


def _costs(run: Run) -> Costs:
    """Read the saved costs of a run, or compute them without a latency."""
    known = _known(run)
    if known is None:
        known = _count(run)
        _save(run, known)
    return known


def _save(run: Run, costs: Costs) -> None:
    files.save_json(run.folder / COSTS, {"network": _about(run), **asdict(costs)})


def _about(run: Run) -> dict[str, int | str]:
    """Identify the network of a run by time and content: all networks of one kind have the same size, and a copy may have any
    time."""
    path = run.folder / files.BEST
    try:
        return {"time": path.stat().st_mtime_ns, "content": fingerprint(path, BLOCKS)}
    except OSError as error:
        raise TrialError(f"{path}: cannot be read ({error.strerror or error})") from None


def _known(run: Run) -> Costs | None:
    """Read the saved costs of a run; None if they are of another network or of another version."""
    path = run.folder / COSTS
    if not path.is_file():
        return None
    about = _about(run)
    try:
        content = files.load_json(path)
        numbers = {str(name): float(value) for name, value in content["numbers"].items()}
        layers = [{name: row[name] for name in LAYER} for row in content["layers"]]
        costs = Costs(numbers, layers, str(content["machine"]), str(content["measured"]), float(content["busy"]))
        if set(numbers) - _TIMED != _COUNTED:
            log.info("%s is of another version, whose names mean something else, and is made anew", path)
            return None
        return costs if content["network"] == about else None
    except (TrialError, AttributeError, KeyError, TypeError, ValueError):
        log.warning("%s cannot be read, and is made anew", path)
        return None


def _count(run: Run) -> Costs:
    made = networks_of(run)
    report = sparsity_report(made.trial.model)
    numbers = dict(zip(GROUPS, map(float, (report.groups, report.zero_groups)), strict=True))
    for part, prefix in (("model", ""), ("backbone", "backbone_")):
        numbers |= {f"{prefix}{name}": value for name, value in made.report.sizes(part).items()}
    return Costs(numbers, [{name: row[name] for name in LAYER} for row in report.rows()])
