"""A study does what is not finished, and says what failed."""

import logging
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from engine import checkpoint as files
from study import estimate
from study.launch import Outcome, attempt
from study.plan import Run
from study.progress import failure_path, read_failure
from study.record import Command, read_record
from study.run import run_alone, run_study
from tests.small import listing
from tests.studies import Recorder, fake_run, make_study, never
from tests.study.conftest import TrainedStudy
from tests.study.running import NAMES, go, rows
from utils.errors import ConfigError, TrialError
from utils.locks import experiment_lock


def test_a_trained_study(trained_study: TrainedStudy) -> None:
    study = trained_study.study
    assert [(outcome.run, outcome.status) for outcome in trained_study.outcomes] == [(run, "finished") for run in study.runs]
    assert [run.name for run in study.runs] == [*(f"{name}_trial_0" for name in NAMES), *(f"{n}_trial_1" for n in NAMES[2:])]
    for run in study.runs:
        assert files.load_json(run.folder / files.TEST)["row"]["seed"] == run.trial
    assert not failure_path(study, study.runs[0]).parent.exists()


def test_a_second_call_says_that_all_is_done_and_touches_no_run(
    trained_study: TrainedStudy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = trained_study.study
    before = listing(study.folder)
    monkeypatch.setattr("study.run.check_inputs", lambda *args: pytest.fail("data of a finished study"))
    monkeypatch.setattr(estimate, "time_steps", lambda config: pytest.fail("timing of a finished study"))
    command = Command(read_record(study.folder).commands[0], trained_study.source)
    assert run_study(study, command, launcher=never) == []
    after = listing(study.folder)
    own = {"study.json", "study.yaml"}
    assert {name: after[name] for name in after if name not in own} == {
        name: before[name] for name in before if name not in own
    }
    out = capsys.readouterr().out
    assert rows(out) == {name: ["2", "2", "finished"] if name in NAMES[2:] else ["1", "finished"] for name in NAMES}
    assert f"All runs are finished; the runs are in {study.folder}" in out


def test_a_state_that_a_killed_run_left_is_removed(rooms: Path, work: Path, untimed: None) -> None:
    study = make_study(work, rooms, keep_state=False)
    for run in study.runs:
        fake_run(run, {})
        (run.folder / files.LAST).write_bytes(b"looked at by nobody")
    go(study, work, plan_only=True)
    assert all((run.folder / files.LAST).is_file() for run in study.runs)
    with experiment_lock(study.folder, study.runs[0].name):
        go(study, work, launcher=never)
    assert [(run.folder / files.LAST).is_file() for run in study.runs] == [True] + [False] * (len(study.runs) - 1)


def test_only_what_is_new_is_done(rooms: Path, work: Path, untimed: None, capsys: pytest.CaptureFixture[str]) -> None:
    go(make_study(work, rooms), work, launcher=Recorder())
    more = [
        {"tasks": "singles", "group_sparsity": False, "trials": 1},
        {"tasks": "all", "group_sparsity": [False, True], "target_sparsity": [0.5, 0.75], "trials": 3},
    ]
    study, recorder = make_study(work, rooms, more), Recorder()
    before = listing(study.folder)
    capsys.readouterr()
    outcomes = go(study, work, launcher=recorder)
    new = "seg_depth_l1_l2_target0.75_trial_"
    assert recorder.launched == [f"{new}0", f"{new}1", *(f"{name}_trial_2" for name in NAMES[2:]), f"{new}2"]
    assert [outcome.run.name for outcome in outcomes] == recorder.launched
    after = listing(study.folder)
    assert all(after[name] == before[name] for name in before if "_trial_" in name)
    table = rows(capsys.readouterr().out)
    assert table["seg_dense"] == ["1", "finished"]
    assert table["seg_depth_dense"] == ["3", "2", "finished,", "1", "new", "2", "min", "30", "s"]
    assert read_record(study.folder).study == study


def test_a_study_of_which_nothing_is_there_is_not_resumed(rooms: Path, work: Path, untimed: None) -> None:
    """A mistyped name; without --resume it is a new study."""
    first = {"tasks": "singles", "group_sparsity": False, "trials": 1}
    go(make_study(work, rooms, first, "study=mine"), work, launcher=Recorder(), resume=False)
    before = listing(work / "studies")
    mistyped = make_study(work, rooms, first, "study=mien")
    with pytest.raises(TrialError, match=r"nothing to resume: no run of study 'mien' is in .*; did you mean 'mine'\?$"):
        go(mistyped, work, launcher=never, resume=True)
    assert listing(work / "studies") == before
    recorder = Recorder()
    go(make_study(work, rooms, {**first, "trials": 2}, "study=mine"), work, launcher=recorder, resume=True)
    assert recorder.launched == ["seg_dense_trial_1", "depth_dense_trial_1"]


def test_a_budget_that_cannot_be_kept_is_refused_whichever_setting_has_it(rooms: Path, work: Path, untimed: None) -> None:
    axes = {"tasks": "all", "group_sparsity": True, "target_macs": [0.001, 0.9]}
    study = make_study(work, rooms, axes, bb_optimizer_params={"penalty": "group_l0"})
    with pytest.raises(ConfigError, match=r"^target_macs: 0\.001 cannot be reached"):
        go(study, work, launcher=never)
    assert not study.folder.exists()


def test_a_failure_stops_nothing_is_listed_and_tried_again(
    rooms: Path, work: Path, untimed: None, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    study, recorder = make_study(work, rooms), Recorder("target0.5")
    outcomes = go(study, work, launcher=recorder)
    assert recorder.launched == [run.name for run in study.runs]
    failed = [outcome.run for outcome in outcomes if outcome.status == "failed"]
    assert failed == [run for run in study.runs if run.config.group_sparsity]
    listed, count = [record.getMessage() for record in caplog.records][-2:]
    assert listed.splitlines() == ["2 of 6 runs failed:", *(f"  {run.name}: it had to" for run in failed)]
    assert count.startswith("study tiny: 4 of 6 runs are finished")
    assert [read_failure(study, run) for run in study.runs] == ["it had to" if run in failed else "" for run in study.runs]
    capsys.readouterr()
    again = Recorder()
    assert {outcome.status for outcome in go(study, work, launcher=again)} == {"finished"}
    assert rows(capsys.readouterr().out)[NAMES[3]][:3] == ["2", "2", "failed"]
    assert again.launched == [run.name for run in failed]
    assert not list(failure_path(study, failed[0]).parent.iterdir()), "what is mended is forgotten"


def test_a_run_that_another_process_is_at_is_left_to_it(
    rooms: Path, work: Path, untimed: None, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(work, rooms, {"tasks": "singles", "group_sparsity": False})
    theirs, ours = study.runs
    go(study, work, launcher=Recorder(theirs.name))
    (ours.folder / files.TEST).unlink()
    capsys.readouterr()

    def launcher(runs: Sequence[Run]) -> Iterable[Outcome]:
        for run in runs:
            if run == theirs:
                yield attempt(run)
            else:
                fake_run(run, {})
                yield Outcome(run, "finished")

    with experiment_lock(study.folder, theirs.name):
        outcomes = go(study, work, launcher=launcher)
    assert [outcome.status for outcome in outcomes] == ["held", "finished"]
    assert rows(capsys.readouterr().out)["seg_dense"][:3] == ["1", "being", "trained"]
    assert f"1 of 2 runs left to the process that is at them:\n  {theirs.name}: " in caplog.text
    assert read_failure(study, theirs) == "it had to", "what became of it, whoever is at it says"


@pytest.mark.parametrize(("host", "status"), [("another", "finished"), (socket.gethostname(), "held")])
def test_a_run_alone_waits_for_the_locks_of_a_machine_that_may_be_dead(
    work: Path, monkeypatch: pytest.MonkeyPatch, host: str, status: str
) -> None:
    study = make_study(work)
    (work / "study.yaml").write_text("study: tiny\n")
    outcomes = iter(["held", "held", "finished"])
    monkeypatch.setattr("study.run.attempt", lambda run: Outcome(run, next(outcomes)))  # type: ignore[arg-type]
    monkeypatch.setattr("study.run.holder_note", lambda folder, name: {"host": host, "pid": 1})
    monkeypatch.setattr("study.run.POLL_SECONDS", 0.0)
    assert run_alone(study, Command("typed", work / "study.yaml"), study.runs[0].name).status == status


def test_the_record_is_there_before_the_first_run(rooms: Path, work: Path, untimed: None) -> None:
    study = make_study(work, rooms)

    def launcher(runs: Sequence[Run]) -> Iterable[Outcome]:
        assert read_record(study.folder).study == study
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(study, work, launcher=launcher)
    assert (study.folder / "study.yaml").read_bytes() == (work / "study.yaml").read_bytes()


def test_a_launcher_may_do_the_runs_in_any_order(rooms: Path, work: Path, untimed: None) -> None:
    study, recorder = make_study(work, rooms), Recorder()
    outcomes = go(study, work, launcher=lambda runs: recorder(runs[::-1]))
    assert [outcome.run for outcome in outcomes] == study.runs[::-1]
    assert go(study, work, launcher=never) == []


def test_a_run_can_be_done_by_who_knows_the_record_alone(
    trained_study: TrainedStudy, rooms: Path, work: Path, untimed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(work, rooms, {"tasks": [["segmentsemantic"]], "group_sparsity": False})
    (work / "elsewhere").mkdir()

    def launcher(runs: Sequence[Run]) -> Iterable[Outcome]:
        for name in ("base.yaml", "study.yaml"):
            (work / name).unlink()
        monkeypatch.chdir(work / "elsewhere")
        for run in read_record(study.folder).study.runs:
            yield attempt(run)

    assert [outcome.status for outcome in go(study, work, launcher=launcher)] == ["finished"]
    same = next(run for run in trained_study.study.runs if run.name == "seg_dense_trial_0")
    assert (study.runs[0].folder / files.TEST).read_bytes() == (same.folder / files.TEST).read_bytes()


def test_a_note_that_cannot_be_written_is_a_warning(
    rooms: Path, work: Path, untimed: None, caplog: pytest.LogCaptureFixture
) -> None:
    study = make_study(work, rooms)
    study.folder.mkdir(parents=True)
    (study.folder / "failures").write_text("no folder")
    outcomes = go(study, work, launcher=Recorder("seg_dense"))
    assert len(outcomes) == 6
    assert "1 of 6 runs failed:\n  seg_dense_trial_0: it had to" in caplog.text


def test_the_cache_is_filled_once_the_plan_is_shown(
    rooms: Path, work: Path, untimed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(work, rooms, {"tasks": "all", "group_sparsity": False}, cache=str(work / "cache"))
    go(study, work, launcher=Recorder())
    parts = sorted(path.name.rpartition("-")[0] for path in (work / "cache").iterdir() if path.is_dir())
    assert parts == sorted(
        f"{split}-{what}" for split in ("train", "val", "test") for what in ("image", *study.runs[0].config.task_list)
    )
