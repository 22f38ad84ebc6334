"""Costs of networks are those that compacting says, and are computed once."""

import json
import os
from pathlib import Path

import pytest
import torch

from deploy import compact_evaluation
from deploy.compact_evaluation import costs as compact_costs
from deploy.latency import BUSY, Timing
from deploy.trial_compaction import make_compact
from engine import checkpoint as files
from engine.saved_trial import load_trial
from optim import sparsity_report
from study import costs, latencies
from study.columns import LATENCIES
from study.costs import COSTS, Costs, costs_of
from study.latencies import LatencyPair
from study.plan import Run
from tests.study.conftest import TrainedStudy, copied_runs


@pytest.fixture
def runs(trained_study: TrainedStudy, work: Path) -> list[Run]:
    """Finished runs that a test may change: dense, and sparse."""
    return copied_runs(trained_study, work, NAMES)


NAMES = ("seg_depth_dense_trial_0", "seg_depth_l1_l2_target0.5_trial_0")


@pytest.fixture
def run(runs: list[Run]) -> Run:
    """The sparse one."""
    return runs[1]


def cost(run: Run) -> Costs:
    """Costs of one run without a latency."""
    measured, damaged = costs_of([run], [])
    assert not damaged
    return measured[run]


class Clock:
    """Latencies without a clock: all that are measured in one call are of one moment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[list[Run]] = []
        self.busy = 0.0
        monkeypatch.setattr(costs, "measure_latencies", self.measure)

    def measure(self, runs: list[Run]) -> tuple[dict[Run, LatencyPair], dict[Run, str]]:
        """7 ms and 4 ms in the first call, 14 ms and 8 ms in the second, and so on."""
        self.calls.append(list(runs))
        count = len(self.calls)
        return {run: LatencyPair(7.0 * count, 4.0 * count, "a CPU", f"2026-11-2{count}", self.busy) for run in runs}, {}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """For latencies."""
    return Clock(monkeypatch)


def no_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be compacted from now on."""
    monkeypatch.setattr(costs, "networks_of", lambda *args: pytest.fail("compacted again"))


def test_numbers_are_those_of_the_compact_model(run: Run) -> None:
    measured = cost(run)
    trial = load_trial(run.folder)
    made = make_compact(trial, torch.device("cpu"))
    for part, prefix in (("model", ""), ("backbone", "backbone_")):
        total = made.report.totals[part]
        assert measured.numbers[f"{prefix}dense_GMACs"] == total["macs"] / 1e9
        assert measured.numbers[f"{prefix}compact_GMACs"] == total["macs_left"] / 1e9
        assert measured.numbers[f"{prefix}dense_Mparameters"] == total["parameters"] / 1e6
        assert measured.numbers[f"{prefix}compact_Mparameters"] == total["parameters_left"] / 1e6
    assert measured.numbers["dense_Mparameters"] == sum(weight.numel() for weight in trial.model.parameters()) / 1e6
    assert measured.numbers["compact_GMACs"] < measured.numbers["dense_GMACs"]
    report = sparsity_report(trial.model)
    assert measured.numbers["groups"] == report.groups == sum(row["groups"] for row in measured.layers)
    assert measured.numbers["zero_groups"] == report.zero_groups > 0
    assert measured.layers == [{name: row[name] for name in costs.LAYER} for row in report.rows()]
    assert (measured.machine, measured.doubtful) == ("", False)
    assert not any("latency" in name for name in measured.numbers)


def test_numbers_have_the_names_of_a_compact_model_s_table(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same values: one name, one meaning."""
    monkeypatch.setattr(compact_evaluation, "time_networks", lambda networks, *_: Timing(dict.fromkeys(networks, 1.0), 3, {}))
    trial = load_trial(run.folder)
    table = compact_costs(make_compact(trial, torch.device("cpu")), torch.device("cpu"))
    counted = [name for name in table if name.endswith(("GMACs", "Mparameters"))]
    numbers = cost(run).numbers
    assert {name: numbers[name] for name in counted} == {name: table[name] for name in counted}
    assert {column.name for column in LATENCIES} <= table.keys()
    assert {name for name in numbers if not name.startswith("backbone_")} == {*counted, "groups", "zero_groups"}


def test_what_is_known_is_read_and_is_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cost(run)
    written = (run.folder / COSTS).read_bytes()
    no_second_time(monkeypatch)
    assert cost(run) == first
    assert (run.folder / COSTS).read_bytes() == written


def test_another_network_of_the_same_length_and_time_is_another_one(run: Run) -> None:
    """As an archive with normalised times leaves it: all networks of one kind have the same length."""
    path = run.folder / files.BEST
    state = files.load_tensors(path)
    files.save_tensors(path, state)
    first, about = cost(run), path.stat()
    for name, value in state["model"].items():
        if "layer4" in name:
            value.zero_()
    files.save_tensors(path, state)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert path.stat().st_size == about.st_size
    assert cost(run).numbers["zero_groups"] > first.numbers["zero_groups"]


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "cannot be read (No such file or directory)"), (b"no network", "is not a checkpoint")]
)
def test_a_network_that_cannot_be_used_is_named_and_stops_no_other(content: bytes | None, reason: str, runs: list[Run]) -> None:
    costs_of(runs, [])
    path = runs[0].folder / files.BEST
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    measured, damaged = costs_of(runs, [])
    assert (list(measured), list(damaged)) == ([runs[1]], [runs[0]])
    assert damaged[runs[0]].startswith(f"{path}: {reason}")


def test_a_damaged_file_is_made_anew(run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cost(run)
    good = json.loads((run.folder / COSTS).read_text())
    monkeypatch.setattr(costs, "_count", lambda run: first)
    for content in (
        "{",
        "[]",
        json.dumps({**good, "numbers": 5}),
        json.dumps({**good, "numbers": {"dense_GMACs": None}}),
        json.dumps({**good, "layers": [{}]}),
        json.dumps({**good, "busy": "very"}),
        json.dumps({name: value for name, value in good.items() if name != "measured"}),
    ):
        caplog.clear()
        (run.folder / COSTS).write_text(content)
        assert cost(run) == first
        assert f"{run.folder / COSTS} cannot be read, and is made anew" in caplog.text, content
        assert json.loads((run.folder / COSTS).read_text()) == good


def test_costs_under_names_that_meant_something_else_are_made_anew(
    run: Run, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``dense_latency_ms`` was that of a folded network, ``GMACs`` of the compact one, ``channels`` what others call groups."""
    first = costs_of([run], [run])[0][run]
    good = json.loads((run.folder / COSTS).read_text())
    monkeypatch.setattr(costs, "_count", lambda run: first.untimed())
    old = {"compact_GMACs": "GMACs", "folded_latency_ms": "dense_latency_ms"}
    old |= {"groups": "channels", "zero_groups": "channels_removed"}
    for new, name in old.items():
        numbers = {name if key == new else key: value for key, value in good["numbers"].items()}
        (run.folder / COSTS).write_text(json.dumps({**good, "numbers": numbers}))
        assert cost(run) == first.untimed()
        assert json.loads((run.folder / COSTS).read_text())["numbers"] == first.untimed().numbers


def test_latency_is_measured_where_it_is_asked_for_and_once(run: Run, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "compact_latency_ms" not in cost(run).numbers
    assert not clock.calls
    timed = costs_of([run], [run])[0][run]
    assert (timed.numbers["folded_latency_ms"], timed.numbers["compact_latency_ms"]) == (7.0, 4.0)
    assert (timed.machine, timed.measured) == ("a CPU", "2026-11-21")
    no_second_time(monkeypatch)
    assert costs_of([run], [run])[0][run] == timed
    assert cost(run) == timed, "what is known stays"
    assert len(clock.calls) == 1


def test_latencies_are_measured_together(runs: list[Run], clock: Clock) -> None:
    """One that is new, or of another network, means all of them anew."""
    dense, sparse = runs
    costs_of([dense], [dense])
    measured, _ = costs_of(runs, runs)
    assert [measured[run].numbers["compact_latency_ms"] for run in runs] == [8.0, 8.0]
    os.utime(sparse.folder / files.BEST, ns=(1, 1))
    measured, _ = costs_of(runs, runs)
    assert [measured[run].numbers["compact_latency_ms"] for run in runs] == [12.0, 12.0]
    assert clock.calls == [[dense], runs, runs]
    assert costs_of(runs, runs)[0] == measured


def test_a_latency_of_another_time_is_left_out(runs: list[Run], clock: Clock) -> None:
    dense, sparse = runs
    costs_of([dense], [dense])
    costs_of([sparse], [sparse])
    measured, _ = costs_of(runs, [])
    assert not {"compact_latency_ms", "folded_latency_ms"} & set(measured[dense].numbers)
    assert (measured[dense].machine, measured[dense].measured) == ("", "")
    assert measured[sparse].numbers["compact_latency_ms"] == 8.0
    assert measured[dense] == costs_of([dense], [])[0][dense].untimed(), "the rest stays"
    again, _ = costs_of(runs, runs)
    assert [again[run].numbers["compact_latency_ms"] for run in runs] == [12.0, 12.0]


def test_a_latency_from_a_busy_machine_is_doubtful_and_is_measured_again(runs: list[Run], clock: Clock) -> None:
    clock.busy = BUSY + 0.01
    assert all(cost.doubtful for cost in costs_of(runs, runs)[0].values())
    assert cost(runs[0]).doubtful
    clock.busy = BUSY
    assert not any(cost.doubtful for cost in costs_of(runs, runs)[0].values())
    costs_of(runs, runs)
    assert clock.calls == [runs, runs]


def test_a_network_that_is_damaged_when_it_is_timed_stops_no_other(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "_about", lambda run: {})
    monkeypatch.setattr(latencies, "time_each", lambda passes, description: Timing(dict.fromkeys(passes, 1.0), 7, {}))
    monkeypatch.setattr(latencies, "others_share", lambda: 0.0)
    dense, sparse = runs
    first, _ = costs_of(runs, [])
    about = (dense.folder / files.BEST).stat()
    (dense.folder / files.BEST).write_bytes(bytes(about.st_size))
    os.utime(dense.folder / files.BEST, ns=(about.st_atime_ns, about.st_mtime_ns))
    measured, damaged = costs_of(runs, runs)
    assert list(damaged) == [dense]
    assert list(measured) == [sparse]
    assert measured[sparse].untimed() == first[sparse]
    assert measured[sparse].machine


def test_a_run_of_a_gpu_is_measured_on_a_cpu(run: Run) -> None:
    path = run.folder / files.CONFIG
    path.write_text(path.read_text().replace("device: cpu", "device: cuda").replace("precision: fp32", "precision: bf16"))
    moved = Run(type(run.setting)(run.config.model_copy(update={"device": "cuda"})), run.trial)
    assert cost(moved).numbers["compact_GMACs"] > 0
