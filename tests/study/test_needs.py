"""Runs that start from, or learn from, the networks of other runs of their study come after these, whoever does them."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from engine import checkpoint as files
from settings.config import load_config
from study import launch
from study.launch import Outcome, attempt, one_after_another
from study.launching.processes import _Child, _ready
from study.method import describe
from study.plan import Run, Study
from study.record import Command
from study.run import run_alone
from tests.narrow import resnet18_narrow
from tests.studies import SINGLE, make_study, never
from tests.study.running import go
from utils.errors import ConfigError, UserError
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
    return make_study(work, rooms, [taught("{checkpoint_folder}/seg_depth_dense_trial_{trial}"), DENSE])


def test_a_run_comes_after_those_that_it_needs(study: Study) -> None:
    dense, sparse = study.runs
    assert (dense.name, sparse.name) == ("seg_depth_dense_trial_0", "seg_depth_l1_l2_target0.5_taught_trial_0")
    assert sparse.needs == {"distill.from": dense}
    assert sparse.config.network_path("distill.from", 0) == dense.folder
    assert sparse.own_config.distill.from_ is None
    assert "it learns from the predictions of seg_depth_dense (trial of the same number) (weight 1)" in describe(sparse.config)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("seg_depth_dens_trial_{trial}", "'seg_depth_dens_trial_0' is no run .*did you mean 'seg_depth_dense_trial_0'"),
        ("seg_depth_dense_trial_1", "taught_trial_0: distill.from: 'seg_depth_dense_trial_1' is no run"),
        ("seg_depth_dense_trial_0/last.pt", "'seg_depth_dense_trial_0/last.pt' is no run"),
        (
            "seg_depth_l1_l2_target0.5_taught_trial_0",
            "taught_trial_0 needs .*taught_trial_0; change start_from or",
        ),
    ],
)
def test_networks_that_no_run_makes_are_refused_before_anything_is_done(work: Path, source: str, said: str) -> None:
    (work / "studies/tiny/seg_depth_dense_trial_1").mkdir(parents=True)  # a leftover, which no setting vouches for
    with pytest.raises(ConfigError, match=said):
        make_study(work, work, [DENSE, taught("{checkpoint_folder}/" + source)])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"distill": {"from": "{checkpoint_folder}/seg_dense_trial_0"}}, "does not predict depth_euclidean"),
        ({"start_from": "{checkpoint_folder}/seg_dense_trial_0"}, "does not fit: it lacks heads.depth_euclidean"),
    ],
)
def test_networks_that_cannot_be_used_are_refused_before_they_are_trained(
    rooms: Path, work: Path, values: dict[str, Any], said: str
) -> None:
    axes = [SINGLE, {"tasks": "all", "group_sparsity": False, "variant": "taught", "set": values}]
    with pytest.raises(UserError, match=said):
        go(make_study(work, rooms, axes), work)
    assert not (work / "studies").exists()


def test_a_moved_study_goes_on(study: Study, rooms: Path, work: Path) -> None:
    go(study, work)
    moved = work / "moved"
    moved.mkdir()
    study.folder.parent.rename(moved / "studies")
    again = make_study(moved, rooms, [taught("{checkpoint_folder}/seg_depth_dense_trial_{trial}"), DENSE])
    assert go(again, moved, launcher=never) == []


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
    assert f"run {sparse.name} waits: " in caplog.text


def test_a_run_fails_with_what_it_needs(study: Study) -> None:
    dense, sparse = study.runs
    dense.folder.mkdir(parents=True)
    (dense.folder / "notes.txt").touch()
    outcome = attempt(sparse)
    assert outcome.status == "failed"
    assert outcome.reason.startswith(f"it needs {dense.name}, which failed: ")
    assert f"delete {dense.folder}" in outcome.reason
    assert not sparse.folder.exists()


def test_what_failed_is_not_begun_again_by_those_that_need_it(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def fail(run: Run) -> Outcome:
        begun.append(run)
        return Outcome(run, "failed", "why")

    monkeypatch.setattr(launch, "attempt", fail)
    dense, sparse = study.runs
    outcomes = list(one_after_another(study.runs))
    assert (begun, [outcome.run for outcome in outcomes]) == ([dense], [dense, sparse])
    assert outcomes[1].reason == f"it needs {dense.name}, which failed"


def test_a_finished_run_needs_nothing(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    dense, sparse = study.runs
    assert attempt(sparse).status == "finished"
    shutil.rmtree(dense.folder)
    assert attempt(sparse).status == "finished"
    assert not dense.folder.exists()


def test_a_network_of_another_configuration_teaches_nobody(study: Study) -> None:
    dense, sparse = study.runs
    assert attempt(dense).status == "finished"
    load_config(dense.folder / files.CONFIG).with_values(train_batch_size=3).save(dense.folder / files.CONFIG)
    outcome = attempt(sparse)
    assert (outcome.status, sparse.folder.exists()) == ("failed", False)
    assert "was trained with another configuration (train_batch_size" in outcome.reason


def test_processes_begin_a_run_after_those_that_it_needs(study: Study) -> None:
    dense, sparse = study.runs
    free = Run(dense.setting, 7)
    waiting = [sparse, free]
    at_it = _Child(dense, 0, Any, Any)
    assert _ready(waiting, [at_it]) == free
    assert _ready([sparse], [at_it]) is None
    assert _ready([sparse], []) == sparse
