"""Time that a study takes: from a few steps, or from its finished epochs; measuring it leaves no trace."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import checkpoint as files
from engine import trainer
from study import estimate
from study.estimate import Clock, Speed, time_steps
from study.launch import train_and_test
from study.plan import Run, Study
from study.progress import Progress, progress_of
from tests.small import listing, unlabelled
from tests.studies import SINGLE, fake_run, make_study
from tests.study.conftest import TrainedStudy
from utils.errors import DataError


def stopped(run: Run, *seconds: float) -> Run:
    """A run that trained an epoch for each of ``seconds``, and validated for one second more."""
    lines = [{"epoch": epoch, "train_seconds": duration, "validation_seconds": 1.0} for epoch, duration in enumerate(seconds)]
    fake_run(run, {}, lines=lines)
    (run.folder / files.TEST).unlink()
    (run.folder / files.LAST).write_bytes(b"")
    return run


def seconds_of(study: Study) -> dict[str, float]:
    """Seconds that are left of each run."""
    progress = progress_of(study)
    clock = Clock(progress)
    return {run_progress.run.name: clock.seconds(run_progress) for run_progress in progress}


@pytest.mark.slow
def test_an_epoch_takes_about_as_long_as_is_said(rooms: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = make_study(work, rooms, {"tasks": "all", "target_sparsity": 0.5}, epochs=4).runs
    inner, taken = trainer.fit_one_epoch, []

    def timed(*args: Any) -> Any:
        start = time.perf_counter()
        result = inner(*args)
        taken.append(time.perf_counter() - start)
        return result

    monkeypatch.setattr(trainer, "fit_one_epoch", timed)
    before = time_steps(run.config)
    train_and_test(run)
    after = time_steps(run.config)  # a machine may be busier before than after
    expected = statistics.mean((before.epoch, after.epoch))
    assert 0.4 < expected / statistics.median(taken) < 2.5


def test_timing_leaves_no_trace(rooms: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(work, rooms, {"tasks": "all", "target_sparsity": 0.5}, cache=str(work / "cache"), num_workers=1)
    monkeypatch.setattr(tempfile, "tempdir", str(work / "nowhere"))
    before, data, paths = listing(work), listing(rooms), sorted(work.rglob("*"))
    speed = time_steps(study.runs[0].config)
    assert (listing(work), listing(rooms), sorted(work.rglob("*"))) == (before, data, paths)
    assert speed.epoch > 0
    assert speed.test > 0


def test_frames_without_targets_take_time_too(rooms: Path, work: Path) -> None:
    data = unlabelled(rooms, work / "data", SINGLE["tasks"][0], train=0)
    assert time_steps(make_study(work, data, SINGLE).runs[0].config).epoch > 0


def test_results_do_not_depend_on_a_look_at_the_clock(trained_study: TrainedStudy, rooms: Path, work: Path) -> None:
    """Nobody timed the study of the fixture."""
    (run,) = make_study(work, rooms, SINGLE).runs
    time_steps(run.config)
    train_and_test(run)
    same = next(other for other in trained_study.study.runs if other.name == run.name)
    assert (run.folder / files.TEST).read_bytes() == (same.folder / files.TEST).read_bytes()


def test_epochs_that_are_behind_a_run_say_what_the_next_ones_take(work: Path, untimed: None) -> None:
    study = make_study(work, axes={**SINGLE, "trials": 2}, epochs=10)
    assert seconds_of(study) == {run.name: 10 * 60.0 + 30.0 for run in study.runs}, "nothing is known yet"
    stopped(study.runs[0], 9.0, 4.0, 5.0)
    assert seconds_of(study) == {"seg_dense_trial_0": 7 * 6.0, "seg_dense_trial_1": 10 * 6.0}, "the median, with validation"


def test_runs_that_differ_in_strength_and_seed_are_of_one_kind(work: Path, untimed: None) -> None:
    axes = [{"tasks": "all", "group_sparsity": [False, True], "target_sparsity": [0.5, 0.75]}, SINGLE]
    study = make_study(work, axes=axes, epochs=4)
    dense, sparse, sparser, single = study.runs
    stopped(sparse, 9.0, 9.0)
    assert seconds_of(study) == {dense.name: 270.0, sparse.name: 20.0, sparser.name: 40.0, single.name: 270.0}


def test_a_finished_run_has_nothing_left_but_what_it_took_counts(work: Path, untimed: None) -> None:
    study = make_study(work, axes={**SINGLE, "trials": 2}, epochs=2)
    stopped(study.runs[0], 3.0, 3.0)
    files.save_json(study.runs[0].folder / files.TEST, {"row": {"trial": 0, "seed": 0}})
    assert seconds_of(study) == {"seg_dense_trial_0": 0.0, "seg_dense_trial_1": 8.0}


def test_lines_without_times_are_no_times(work: Path, untimed: None) -> None:
    study = make_study(work, axes=SINGLE, epochs=2)
    stopped(study.runs[0])
    (study.runs[0].folder / files.METRICS).write_text('{"epoch": 0}\n')
    assert seconds_of(study) == {"seg_dense_trial_0": 60.0 + 30.0}


def test_what_does_not_fit_into_memory_stops_no_plan(
    work: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def too_large(config: Any) -> Speed:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(estimate, "time_steps", too_large)
    (run,) = make_study(work, axes=SINGLE).runs
    assert Clock([Progress(run, False, 0)]).seconds(Progress(run, False, 0)) == 0.0
    assert "seg_dense does not fit into the device's memory" in caplog.text


def slow_steps(monkeypatch: pytest.MonkeyPatch, reading: float, computing: float, evaluating: float, saving: float) -> None:
    """Seconds of what is timed, by a clock of our own."""
    clock = [0.0]

    def takes(seconds: float, result: Any = None) -> Any:
        def do(*args: Any, **kwargs: Any) -> Any:
            clock[0] += seconds
            return result

        return do

    inner = estimate._read

    def read(loader: Any, most: int, config: Any) -> Any:
        batches, _ = inner(loader, most, config)
        return batches, reading

    monkeypatch.setattr(estimate.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(estimate, "_read", read)
    monkeypatch.setattr(estimate, "training_step", takes(computing))
    monkeypatch.setattr(estimate, "evaluate", takes(evaluating))
    monkeypatch.setattr(estimate.torch, "save", takes(saving))


@pytest.mark.parametrize(
    ("values", "step", "batch"),
    [
        ({}, 3.0 + 2.0, 0.5 + 2.0),
        ({"num_workers": 1}, 3.0, 2.0),
        ({"num_workers": 4}, 3.0, 1.0),  # there are two cores
        ({"cache": "somewhere"}, 3.0, 0.5),
    ],
)
def test_an_epoch_is_steps_validation_and_saving(
    values: dict[str, Any], step: float, batch: float, rooms: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5 frames of training and 3 of validation in batches of 2, 5 of the test in batches of 4: 2, 2 and 2 batches."""
    (run,) = make_study(work, rooms, SINGLE, test_batch_size=4, **values).runs
    monkeypatch.setattr("datasets.workers.cores", lambda: 2)
    slow_steps(monkeypatch, reading=2.0, computing=3.0, evaluating=1.0, saving=0.5)
    assert time_steps(run.config) == Speed(2 * step + 2 * batch + 2 * 0.5, 2 * batch * 4 / 2)


def test_slow_steps_are_not_repeated_for_ever(rooms: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = make_study(work, rooms, SINGLE).runs
    slow_steps(monkeypatch, reading=0.0, computing=300.0, evaluating=0.0, saving=0.0)
    start = estimate.time.perf_counter()
    assert time_steps(run.config).epoch == 2 * 300.0
    assert estimate.time.perf_counter() - start == 300.0


@pytest.mark.parametrize("policy", ["error", "skip"])
def test_frames_that_cannot_be_read(policy: str, rooms: Path, work: Path) -> None:
    study = make_study(work, rooms, SINGLE, on_bad_sample=policy)
    (run,) = study.runs
    from tests.small import copy_without

    bad = copy_without(rooms, work / "bad")
    for path in sorted((bad / "images").iterdir())[:3]:
        path.write_bytes(b"no picture")
    config = run.config.model_copy(update={"data_dir_NYU": str(bad)})
    if policy == "skip":
        assert time_steps(config).epoch > 0
    else:
        with pytest.raises(DataError):
            time_steps(config)
