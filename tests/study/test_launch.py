"""Runs are finished by whoever is asked to; what stops one is its outcome, and not an error."""

import functools
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import checkpoint as files
from engine.trainer import TrainingDivergedError
from settings.config import load_config
from study import launch
from study.launch import Outcome, attempt, one_after_another, train_and_test
from study.plan import Run
from tests.disks import small_disk
from tests.small import listing
from tests.studies import SINGLE, fake_run, make_study
from utils.errors import DataError
from utils.locks import experiment_lock


def one_run(work: Path, rooms: Path, axes: Any = SINGLE, **values: Any) -> Run:
    """The only run of a study."""
    (run,) = make_study(work, rooms, axes, **{"epochs": 1, **values}).runs
    return run


def raising(error: BaseException) -> Any:
    """In the place of ``run_trial``."""

    def run_trial(*args: Any, **kwargs: Any) -> None:
        raise error

    return run_trial


def test_a_run_is_trained_and_tested_once(rooms: Path, work: Path) -> None:
    run = one_run(work, rooms)
    assert attempt(run) == Outcome(run, "finished")
    before = listing(work)
    assert {files.CONFIG, files.BEST, files.LAST, files.METRICS, files.TEST} <= {Path(name).name for name in before}
    assert attempt(run) == Outcome(run, "finished")
    assert listing(work) == before


def test_a_damaged_checkpoint(rooms: Path, work: Path) -> None:
    run = one_run(work, rooms)
    fake_run(run, {})
    (run.folder / files.TEST).unlink()
    (run.folder / files.LAST).write_bytes(b"no checkpoint")
    before = listing(run.folder)
    outcome = attempt(run)
    assert outcome.status == "failed"
    assert outcome.reason.startswith(f"{run.folder / files.LAST}: is not a checkpoint")
    assert listing(run.folder) == before


def test_a_disk_that_is_full(rooms: Path, work: Path) -> None:
    run = one_run(work, rooms)
    with small_disk(1 << 20):
        outcome = attempt(run)
    assert outcome.status == "failed"
    assert outcome.reason.startswith(f"{run.folder / files.LAST} cannot be written (")
    assert attempt(run).status == "finished"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TrainingDivergedError("the loss is nan"), "the loss is nan"),
        (DataError("no such frame"), "no such frame"),
        (OSError("disk full"), "disk full"),
        (KeyError("nobody\nthought of it"), r"KeyError: 'nobody\nthought of it'"),
        (RuntimeError("two\nlines"), "RuntimeError: two lines"),
        (
            torch.OutOfMemoryError("tried to allocate\n2 GiB"),
            "the device has too little memory; lower train_batch_size (and raise accumulate) or input_shape (tried to "
            "allocate 2 GiB)",
        ),
    ],
)
def test_whatever_else_stops_a_run_is_its_reason(
    error: Exception, reason: str, work: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = one_run(work, Path("nowhere"))
    monkeypatch.setattr(launch, "run_trial", raising(error))
    assert attempt(run) == Outcome(run, "failed", reason)
    assert ("Traceback" in caplog.text) == reason.startswith(("KeyError", "RuntimeError")), "of what nobody foresaw"


def test_ctrl_c_is_no_outcome(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = one_run(work, Path("nowhere"))
    monkeypatch.setattr(launch, "run_trial", raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        attempt(run)


def test_a_run_that_another_is_at_is_left_alone(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = one_run(work, Path("nowhere"))
    monkeypatch.setattr(launch, "run_trial", raising(AssertionError("trained twice")))
    with experiment_lock(run.folder.parent, run.name):
        outcome = attempt(run)
    assert outcome.status == "held"
    assert "is being trained by process" in outcome.reason


def test_the_lock_is_held_while_a_run_is_trained(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = one_run(work, Path("nowhere"))
    inside: list[str] = []

    def run_trial(*args: Any, **kwargs: Any) -> None:
        monkeypatch.setattr(launch, "run_trial", raising(AssertionError("trained twice")))
        inside.append(attempt(run).status)

    monkeypatch.setattr(launch, "run_trial", run_trial)
    assert attempt(run).status == "finished"
    assert inside == ["held"]


def test_runs_are_done_in_order_and_a_failure_stops_none(
    work: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    study = make_study(work)
    runs = study.runs

    def run_trial(config: Any, number: int, device: torch.device, resume: bool, group: str) -> None:
        assert resume
        assert group == study.name, "runs of one study are together in the tracker"
        if config.Experiment_name == "depth_dense":
            raise ZeroDivisionError
        fake_run(next(run for run in runs if (run.config.Experiment_name, run.trial) == (config.Experiment_name, number)), {})

    monkeypatch.setattr(launch, "run_trial", run_trial)
    outcomes = list(one_after_another(runs))
    assert [outcome.run for outcome in outcomes] == runs
    assert [outcome.status for outcome in outcomes] == ["finished", "failed", *["finished"] * 4]
    assert "run 2 of 6: depth_dense_trial_0 (seed 0)" in caplog.text
    assert "run depth_dense_trial_0 (seed 0) failed: ZeroDivisionError: " in caplog.text


def test_what_a_killed_run_left_half_written_is_removed(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = one_run(work, Path("nowhere"))
    fake_run(run, {})
    ours, others = (run.folder.with_name(f".{name}.123.unfinished") for name in (run.name, "seg_dense_trial_7"))
    for folder in (ours, others):
        folder.mkdir()
    train_and_test(run)
    assert not ours.exists()
    assert others.exists(), "somebody may be at it"


def test_a_run_that_is_there_keeps_its_precision_where_the_study_leaves_it_to_the_machine(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = one_run(work, Path("nowhere"), precision="auto")
    seen: list[str] = []

    def run_trial(config: Any, *args: Any, **kwargs: Any) -> None:
        seen.append(config.precision)

    monkeypatch.setattr(launch, "run_trial", run_trial)
    for now, before in (("fp32", "bf16"), ("bf16", "fp32")):
        monkeypatch.setattr("engine.device.has_native_bf16", functools.partial(lambda fast, device: fast, now == "bf16"))
        run.folder.mkdir(parents=True, exist_ok=True)
        run.config.model_copy(update={"precision": before}).save(run.folder / files.CONFIG)
        assert load_config(run.folder / files.CONFIG).precision == before
        assert attempt(run).status == "finished"
    assert seen == ["bf16", "fp32"]
