"""Runs that start from, or learn from, the networks of other runs of their study come after these, whoever does them."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from engine import checkpoint as files
from settings.config import load_config
from study import launch
from study.launch import attempt
from study.method import describe
from study.plan import Study
from study.record import Command
from study.run import run_alone
from tests.narrow import resnet18_narrow
from tests.studies import make_study
from tests.study.running import go
from utils.errors import ConfigError
from utils.locks import experiment_lock

DENSE: dict[str, Any] = {"tasks": "all", "group_sparsity": False}


def taught(source: str, **more: Any) -> dict[str, Any]:
    """Axes of a setting that learns from another one."""
    return {"tasks": "all", "target_sparsity": 0.5, "variant": "taught", "set": {"distill": {"from": source}}, **more}


@pytest.fixture(autouse=True)
def narrow_resnet() -> Iterator[None]:
    """Make ``resnet18`` narrow."""
    with resnet18_narrow():
        yield


@pytest.fixture
def study(rooms: Path, work: Path) -> Study:
    """A dense run, and one that learns from it and comes first in the file."""
    return make_study(work, rooms, [taught("{study}/seg_depth_dense_trial_{trial}"), DENSE])


def test_a_run_comes_after_those_that_it_needs(study: Study) -> None:
    dense, sparse = study.runs
    assert (dense.name, sparse.name) == ("seg_depth_dense_trial_0", "seg_depth_l1_l2_target0.5_taught_trial_0")
    assert sparse.needs == {"distill.from": dense}
    assert sparse.config.distill.from_ == f"{study.folder}/seg_depth_dense_trial_{{trial}}"
    assert sparse.own_config.distill.from_ is None
    assert "it learns from the predictions of seg_depth_dense_trial_{trial} (weight 1)" in describe(sparse.config)


def test_networks_that_no_run_makes_are_refused_before_anything_is_done(work: Path) -> None:
    with pytest.raises(ConfigError, match=r"'seg_depth_dens_trial_0' is no run .*did you mean 'seg_depth_dense_trial_0'"):
        make_study(work, work, [DENSE, taught("{study}/seg_depth_dens_trial_{trial}")])
    with pytest.raises(ConfigError, match=r"taught_trial_0: distill.from: 'seg_depth_dense_trial_1' is no run"):
        make_study(work, work, [DENSE, taught("{study}/seg_depth_dense_trial_1")])
    name = "seg_depth_l1_l2_target0.5_taught_trial_0"
    with pytest.raises(ConfigError, match=f"{name} needs {name}; change start_from or distill.from"):
        make_study(work, work, [taught("{study}/" + name)])


def test_the_whole_study_can_be_run(study: Study, work: Path) -> None:
    """Steps are timed with a network in the place of the one that is not trained yet."""
    outcomes = go(study, work)
    assert [outcome.status for outcome in outcomes] == ["finished", "finished"]


def test_a_run_alone_brings_what_it_needs_to_its_end(study: Study, work: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    dense, sparse = study.runs
    outcome = run_alone(study, Command("python main_multi_trials.py", work / "study.yaml"), sparse.name)
    assert outcome.status == "finished"
    assert all((run.folder / files.TEST).is_file() for run in study.runs)
    assert f"{sparse.name} learns from {dense.folder / files.BEST}" in caplog.text
    assert load_config(sparse.folder / files.CONFIG).distill.from_ == sparse.config.distill.from_


def test_a_run_waits_for_the_process_that_is_at_what_it_needs(
    study: Study, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    dense, sparse = study.runs
    dense.folder.parent.mkdir(parents=True)
    with ExitStack() as stack:
        stack.enter_context(experiment_lock(dense.folder.parent, dense.name))
        monkeypatch.setattr(launch.time, "sleep", lambda _: stack.close())
        assert attempt(sparse).status == "finished"
    assert f"{sparse.name} waits for {dense.name}" in caplog.text


def test_a_run_fails_with_what_it_needs(study: Study) -> None:
    dense, sparse = study.runs
    dense.folder.mkdir(parents=True)
    (dense.folder / "notes.txt").touch()
    outcome = attempt(sparse)
    assert outcome.status == "failed"
    assert outcome.reason.startswith(f"it needs {dense.name}, which failed: ")
    assert f"delete {dense.folder}" in outcome.reason
    assert not sparse.folder.exists()
