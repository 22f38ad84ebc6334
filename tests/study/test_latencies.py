"""Latencies of several runs are of networks that take turns, and say when, where and how busy the machine was."""

import functools
import itertools
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from deploy.latency import Timing
from engine import checkpoint as files
from models.compaction.compact import CompactModel
from settings.config import load_config
from study import latencies
from study.latencies import measure_latencies, networks_of
from study.plan import Run
from tests.study.conftest import TrainedStudy, copied_runs

NAMES = ("seg_dense_trial_0", "seg_depth_dense_trial_0", "seg_depth_l1_l2_target0.5_trial_0")


@pytest.fixture
def runs(trained_study: TrainedStudy, work: Path) -> list[Run]:
    """Finished runs that a test may change."""
    return copied_runs(trained_study, work, NAMES)


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, tuple[nn.Module, Tensor]]]:
    """No clock: the n-th network takes n milliseconds, on a quiet machine. What took turns with each other, call by call."""
    calls: list[dict[str, tuple[nn.Module, Tensor]]] = []
    counter = itertools.count(1)

    def time_each(passes: dict[str, tuple[nn.Module, Tensor]], description: str) -> Timing:
        calls.append(passes)
        return Timing({name: float(next(counter)) for name in passes}, 7, {})

    monkeypatch.setattr(latencies, "time_each", time_each)
    monkeypatch.setattr(latencies, "others_share", lambda: 0.0)
    return calls


def resize(run: Run, size: tuple[int, int]) -> None:
    """Make it a run for images of another height and width."""
    path = run.folder / files.CONFIG
    load_config(path).model_copy(update={"input_shape": size}).save(path)


def test_all_networks_take_turns(runs: list[Run], blocks: list[Any]) -> None:
    resize(runs[0], (64, 96))
    measured, damaged = measure_latencies(runs)
    assert not damaged
    assert [(measured[run].folded_ms, measured[run].compact_ms) for run in runs] == [(1.0, 2.0), (3.0, 4.0), (5.0, 6.0)]
    assert len({latency.measured for latency in measured.values()}) == 1
    assert all("torch" in latency.machine for latency in measured.values())
    (passes,) = blocks
    networks = [network for network, _ in passes.values()]
    assert [isinstance(network, CompactModel) for network in networks] == [False, True] * 3
    for run, folded in zip(runs, networks[::2], strict=True):
        assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules()), "both are folded"
        assert tuple(folded.heads) == run.config.task_list
    assert [images.shape for _, images in passes.values()] == [(1, 3, 64, 96)] * 2 + [(1, 3, *runs[1].config.size)] * 4


def test_networks_that_are_too_large_together_take_turns_in_blocks(
    runs: list[Run], blocks: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latencies, "networks_of", functools.cache(networks_of))
    sizes = [latencies._size(latencies.networks_of(run)) for run in runs]
    monkeypatch.setattr(latencies, "TOGETHER", sizes[0] + sizes[1])
    measured, _ = measure_latencies(runs)
    assert [len(passes) for passes in blocks] == [4, 2]
    assert list(measured) == runs
    assert len({latency.measured for latency in measured.values()}) == 1
    blocks.clear()
    monkeypatch.setattr(latencies, "TOGETHER", 1)
    measure_latencies(runs)
    assert [len(passes) for passes in blocks] == [2, 2, 2]


def test_a_network_that_cannot_be_used_is_named(runs: list[Run], blocks: list[Any]) -> None:
    (runs[1].folder / files.BEST).write_bytes(b"no network")
    measured, damaged = measure_latencies(runs)
    assert list(measured) == [runs[0], runs[2]]
    assert damaged == {runs[1]: damaged[runs[1]]}
    assert damaged[runs[1]].startswith(f"{runs[1].folder / files.BEST}: is not a checkpoint")
    assert measure_latencies([runs[1]])[0] == {}


def test_the_machine_is_busy_if_it_was_before_or_after(
    runs: list[Run], blocks: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = iter([0.1, 0.6, 0.5, 0.2])
    monkeypatch.setattr(latencies, "others_share", lambda: next(shares))
    assert measure_latencies(runs[:1])[0][runs[0]].busy == 0.6
    assert measure_latencies(runs[:1])[0][runs[0]].busy == 0.5


def test_real_latencies(runs: list[Run]) -> None:
    measured, _ = measure_latencies(runs[2:])
    latency = measured[runs[2]]
    assert 0 < latency.compact_ms < 1000
    assert 0 < latency.folded_ms < 1000
    assert 0 <= latency.busy <= 1
