"""What networks cost is what compacting them says, and is worked out once."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.compaction import make_compact
from engine.saved_trial import load_trial
from engine.study import costs
from engine.study.costs import BUSY, COSTS, Costs, costs_of, others_share
from optim import sparsity_report
from tests.engine.study.conftest import TrainedStudy
from tests.studies import make_study
from utils import checkpoint as files
from utils.study.plan import Run

TIMES = {"folded_latency_ms": 7.0, "compact_latency_ms": 4.0, "dense_latency_ms": 99.0}


@pytest.fixture
def run(trained_study: TrainedStudy, work: Path) -> Run:
    """A finished sparse run that a test may change."""
    study = make_study(work, Path("data/that/are/gone"))
    name = "seg_depth_l1_l2_target0.5_trial_0"
    ignore = shutil.ignore_patterns(files.LAST, COSTS)
    shutil.copytree(trained_study.study.folder / name, study.folder / name, ignore=ignore)
    return next(run for run in study.runs if run.name == name)


def cost(run: Run, timed: bool = False) -> Costs:
    """Of one run."""
    found, damaged = costs_of([run], [run] if timed else [])
    assert not damaged
    return found[run]


def no_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be compacted from now on."""
    monkeypatch.setattr(costs, "make_compact", lambda *args: pytest.fail("compacted again"))


def timing(monkeypatch: pytest.MonkeyPatch, share: float = 0.0) -> list[Any]:
    """Latencies without a clock, on a machine that others take a share of; the calls."""
    calls: list[Any] = []

    def measure(made: Any, device: torch.device) -> dict[str, float]:
        calls.append(device)
        return TIMES

    monkeypatch.setattr(costs, "measure", measure)
    monkeypatch.setattr(costs, "others_share", lambda: share)
    return calls


def test_numbers_are_those_of_the_compact_model(run: Run, work: Path) -> None:
    found = cost(run)
    trial = load_trial(run.folder)
    made = make_compact(trial, torch.device("cpu"))
    for part, prefix in (("model", ""), ("backbone", "backbone_")):
        total = made.report.totals[part]
        assert found.numbers[f"{prefix}dense_GMACs"] == total["macs"] / 1e9
        assert found.numbers[f"{prefix}GMACs"] == total["macs_left"] / 1e9
        assert found.numbers[f"{prefix}dense_Mparameters"] == total["parameters"] / 1e6
        assert found.numbers[f"{prefix}Mparameters"] == total["parameters_left"] / 1e6
    assert found.numbers["dense_Mparameters"] == sum(weight.numel() for weight in trial.model.parameters()) / 1e6
    assert found.numbers["GMACs"] < found.numbers["dense_GMACs"]
    report = sparsity_report(trial.model)
    assert found.numbers["channels"] == report.groups == sum(row["groups"] for row in found.layers)
    assert found.numbers["channels_removed"] == report.zero_groups > 0
    assert found.layers == [{name: row[name] for name in costs.LAYER} for row in report.rows()]
    assert (found.machine, found.doubtful) == ("", False)
    assert not any("latency" in name for name in found.numbers)


def test_what_is_known_is_read_and_is_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cost(run)
    written = (run.folder / COSTS).read_bytes()
    no_second_time(monkeypatch)
    assert cost(run) == first
    assert (run.folder / COSTS).read_bytes() == written


def test_another_network_is_measured_anew(run: Run) -> None:
    first = cost(run)
    state = files.load_tensors(run.folder / files.BEST)
    state["model"] = {name: torch.zeros_like(value) if "layer4" in name else value for name, value in state["model"].items()}
    files.save_tensors(run.folder / files.BEST, state)
    second = cost(run)
    assert second.numbers["channels_removed"] > first.numbers["channels_removed"]
    assert cost(run) == second


def test_an_equally_long_network_of_another_time_is_another_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cost(run)
    os.utime(run.folder / files.BEST, ns=(1, 1))
    calls: list[Any] = []
    inner = costs.make_compact
    monkeypatch.setattr(costs, "make_compact", lambda *args: calls.append(args) or inner(*args))
    cost(run)
    assert len(calls) == 1


def test_a_damaged_file_is_made_anew(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    first = cost(run)
    good = json.loads((run.folder / COSTS).read_text())
    for content in (
        "{",
        "[]",
        "{}",
        json.dumps({**good, "numbers": 5}),
        json.dumps({**good, "numbers": {"GMACs": None}}),
        json.dumps({**good, "layers": [{}]}),
        json.dumps({**good, "busy": "very"}),
    ):
        caplog.clear()
        (run.folder / COSTS).write_text(content)
        assert cost(run) == first
        assert f"{run.folder / COSTS} is damaged" in caplog.text, content
        assert json.loads((run.folder / COSTS).read_text()) == good


def test_latency_is_measured_where_it_is_asked_for_and_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = timing(monkeypatch)
    assert "latency_ms" not in cost(run).numbers
    assert not calls
    timed = cost(run, timed=True)
    assert calls == [torch.device("cpu")]
    assert (timed.numbers["dense_latency_ms"], timed.numbers["latency_ms"]) == (7.0, 4.0), "the dense one is folded too"
    assert "torch" in timed.machine
    no_second_time(monkeypatch)
    assert cost(run, timed=True) == timed
    assert cost(run) == timed, "what is known stays"


def test_a_latency_from_a_busy_machine_is_doubtful_and_is_measured_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    timing(monkeypatch, share=BUSY + 0.01)
    assert cost(run, timed=True).doubtful
    assert cost(run).doubtful
    calls = timing(monkeypatch, share=BUSY)
    assert not cost(run, timed=True).doubtful
    assert len(calls) == 1


def test_a_network_that_cannot_be_used_stops_no_other(run: Run, work: Path) -> None:
    other = Run(run.setting, 1)
    shutil.copytree(run.folder, other.folder)
    (run.folder / files.BEST).write_bytes(b"no network")
    found, damaged = costs_of([run, other], [])
    assert list(found) == [other]
    assert list(damaged) == [run]
    assert damaged[run].startswith(f"{run.folder / files.BEST}: is not a checkpoint")


def test_a_run_of_a_gpu_is_measured_on_a_cpu(run: Run) -> None:
    path = run.folder / files.CONFIG
    path.write_text(path.read_text().replace("device: cpu", "device: cuda").replace("precision: fp32", "precision: bf16"))
    moved = Run(type(run.setting)(run.config.model_copy(update={"device": "cuda"})), run.trial)
    assert cost(moved).numbers["GMACs"] > 0


def test_share_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """user nice system idle iowait irq softirq steal: of 100 ticks, 60 are idle or waiting for a disk."""
    times = iter(["cpu 10 0 0 10 0 0 0 0 9 9", "cpu 20 10 10 50 20 5 3 2 9 9"])

    class Stat:
        def __init__(self, path: str) -> None:
            assert path == "/proc/stat"

        def read_text(self, encoding: str) -> str:
            return f"{next(times)}\ncpu0 1 1 1 1"

    monkeypatch.setattr(costs, "Path", Stat)
    assert others_share(0.0) == pytest.approx(40 / 100)


def test_share_of_others_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stat:
        def __init__(self, path: str) -> None:
            pass

        def read_text(self, encoding: str) -> str:
            raise FileNotFoundError

    monkeypatch.setattr(costs, "Path", Stat)
    assert others_share(0.0) == 0.0
