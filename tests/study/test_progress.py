"""Progress of a run, from the files in its folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine import checkpoint as files
from study.plan import Run, Study
from study.progress import Progress, failure_path, holder, look, note_failure, progress_of, read_failure
from tests.small import listing
from tests.studies import SINGLE, fake_run, make_study
from utils.errors import TrialError
from utils.locks import experiment_lock


@pytest.fixture
def study(work: Path) -> Study:
    """A study of one run, which does not exist yet; its data is not needed."""
    return make_study(work, axes=SINGLE, precision="auto")


def stop(run: Run, epochs: int) -> None:
    """Files of a run that was interrupted after some epochs."""
    fake_run(run, {}, lines=[{"epoch": epoch} for epoch in range(epochs)])
    (run.folder / files.TEST).unlink()
    (run.folder / files.LAST).write_bytes(b"looked at by nobody")


def words(study: Study) -> list[str]:
    """States of the runs in the printed plan."""
    return [progress.word for progress in progress_of(study)]


def test_a_run_is_new_stopped_failed_or_finished(study: Study) -> None:
    (run,) = study.runs
    assert progress_of(study) == [Progress(run, False, 0)]
    assert words(study) == ["new"]
    stop(run, 0)
    assert words(study) == ["new"]
    stop(run, 1)
    assert progress_of(study) == [Progress(run, False, 1)]
    assert words(study) == ["stopped after epoch 1"]
    note_failure(study, run, "the loss is nan")
    assert progress_of(study) == [Progress(run, False, 1, failure="the loss is nan")]
    assert words(study) == ["failed"]
    fake_run(run, {})
    assert progress_of(study) == [Progress(run, True, 1)], "whatever it was before"
    assert words(study) == ["finished"]


def test_looking_changes_nothing(study: Study, work: Path) -> None:
    stop(study.runs[0], 1)
    note_failure(study, study.runs[0], "why")
    before = listing(work), sorted(work.rglob("*"))
    progress_of(study)
    assert (listing(work), sorted(work.rglob("*"))) == before


def test_who_is_at_a_run(study: Study) -> None:
    (run,) = study.runs
    assert holder(run) == ""
    stop(run, 1)
    (run.folder / files.LAST).unlink()  # as if it were just being replaced
    with experiment_lock(study.folder, run.name):
        (progress,) = progress_of(study)
    assert progress.word == "being trained"
    assert f"experiment {run.name!r}" in progress.held
    assert (progress.finished, progress.epochs, progress.failure) == (False, 1, "")


@pytest.mark.parametrize(("key", "value", "differs"), [("seed", 3, True), ("tracking", "offline", False), ("epochs", 1, False)])
def test_another_configuration(key: str, value: Any, differs: bool, study: Study) -> None:
    (run,) = study.runs
    fake_run(run, {})
    run.config.model_copy(update={key: value}).save(run.folder / files.CONFIG)
    progress = look(study, run)
    assert progress.changed == ({key: (value, run.config.seed)} if differs else {})
    assert look(study, run, ignoring=[key]).changed == {}
    if differs:
        with pytest.raises(
            TrialError, match=rf"seg_dense_trial_0 was trained with another configuration \({key}: 3 there, 0 now\)"
        ):
            progress_of(study)


def test_a_precision_that_is_left_to_the_machine_may_be_any(study: Study, work: Path) -> None:
    (run,) = study.runs
    fake_run(run, {})
    run.config.model_copy(update={"precision": "bf16"}).save(run.folder / files.CONFIG)
    assert words(study) == ["finished"]
    (strict,) = make_study(work, axes=SINGLE, precision="fp32").runs
    assert look(study, strict).changed == {"precision": ("bf16", "fp32")}


@pytest.mark.parametrize("content", ["{", '{"row": 5}'])
def test_a_finished_run_whose_results_are_damaged_has_failed(content: str, study: Study) -> None:
    (run,) = study.runs
    fake_run(run, {})
    (run.folder / files.TEST).write_text(content, encoding="latin-1")
    (progress,) = progress_of(study)
    assert progress.word == "failed"
    assert str(run.folder / files.TEST) in progress.failure


def test_notes_of_failures(study: Study) -> None:
    (run,) = study.runs
    assert read_failure(study, run) == ""
    note_failure(study, run, None)
    assert not study.folder.exists()
    note_failure(study, run, "one\nreason")
    assert json.loads(failure_path(study, run).read_text()) == {"run": "seg_dense_trial_0", "reason": "one\nreason"}
    assert read_failure(study, run) == "one\nreason"
    for content in ("{", "[]"):
        failure_path(study, run).write_text(content)
        assert read_failure(study, run) == f"for an unknown reason ({failure_path(study, run)} cannot be read)"
    failure_path(study, run).write_text("{}")
    assert read_failure(study, run) == "for an unknown reason"
    note_failure(study, run, None)
    assert read_failure(study, run) == ""
