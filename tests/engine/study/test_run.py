"""A study is planned before anything starts, does what is not finished, and says what failed."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.launch import Outcome, attempt
from engine.study import estimate, run
from engine.study.estimate import Speed
from engine.study.progress import failure_path, read_failure
from engine.study.record import read_record
from engine.study.run import run_study
from tests.engine.study.conftest import TrainedStudy
from tests.killed_runs import ROOT
from tests.small import listing
from tests.studies import Recorder, fake_run, make_study, never
from utils import checkpoint as files
from utils.errors import ConfigError, DataError, HeldError, TrialError, UserError
from utils.locks import experiment_lock
from utils.study.plan import Run, Study

NAMES = ("seg_dense", "depth_dense", "seg_depth_dense", "seg_depth_l1_l2_target0.5")


def go(study: Study, folder: Path, **options: Any) -> list[Outcome]:
    """Do a study whose file is in ``folder``."""
    return run_study(study, folder / "study.yaml", "typed", **options)


def whole(folder: Path) -> tuple[dict[str, tuple[int, int]], set[Path]]:
    """Files with sizes and times, and folders."""
    locks = {path.name: (0, 0) for path in folder.rglob("*.lock")}
    return listing(folder) | locks, {path for path in folder.rglob("*") if path.is_dir()}


def rows(text: str) -> dict[str, list[str]]:
    """Of a printed plan: the words beside each setting's name."""
    return {words[0]: words[1:] for line in text.splitlines() if (words := line.split()) and "_" in words[0]}


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


def test_the_plan_comes_first_and_says_what_how_many_and_how_long(
    rooms: Path, work: Path, untimed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(work, rooms)
    shown: list[str] = []

    def launcher(runs: Sequence[Run]) -> Iterable[Outcome]:
        shown.append(capsys.readouterr().out)
        return []

    go(study, work, launcher=launcher)
    assert "study tiny: 4 settings, 6 runs" in shown[0]
    table = rows(shown[0])
    assert tuple(table) == NAMES
    # An epoch takes a minute and a test half of one (the fixture says so): 2:30 for each run.
    assert table["seg_dense"] == ["1", "new", "2", "min", "30", "s"]
    assert table["seg_depth_dense"] == ["2", "2", "new", "5", "min", "00", "s"]
    assert f"In all about 15 min 00 s are left, less where runs stop early; the runs are in {study.folder}" in shown[0]


def test_names_are_whole_on_a_narrow_terminal(
    rooms: Path, work: Path, untimed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    variants = ["a-name.of-twenty-five+ch.", "x" * 60]
    axes = [
        {"tasks": "all", "penalty": "sparse_group_lasso", "lambda": [0.001, 12345.6], "variant": variant, "set": {"epochs": n}}
        for n, variant in enumerate(variants, 3)
    ]
    study = make_study(work, rooms, axes)
    go(study, work, plan_only=True)
    table = rows(capsys.readouterr().out)
    assert list(table) == [setting.name for setting in study.settings]
    assert all(words[:2] == ["1", "new"] for words in table.values()), "and so is what is beside them"


def test_usual_names_fit_a_narrow_terminal(rooms: Path, work: Path, untimed: None, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = ("segmentsemantic", "depth_euclidean", "surface_normal")
    axes = {"tasks": "all", "penalty": "l1_l2", "target_sparsity": [0.5, 0.85], "trials": 5}
    go(make_study(work, rooms, axes, task_list=tasks), work, plan_only=True)
    assert max(len(line.rstrip()) for line in capsys.readouterr().out.splitlines()[:-1]) <= 80


def test_a_plan_writes_nothing(rooms: Path, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(work, rooms, {"tasks": "all", "group_sparsity": False}, cache=str(work / "cache"))
    before, data = whole(work), whole(rooms)
    assert go(study, work, plan_only=True, launcher=never) == []
    assert go(study, work, plan_only=True, overwrite=True, launcher=never) == []
    assert (whole(work), whole(rooms)) == (before, data)
    assert list(rows(capsys.readouterr().out)) == ["seg_depth_dense"]


def test_a_plan_with_overwrite_deletes_nothing(
    rooms: Path, work: Path, untimed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(work, rooms)
    go(study, work, launcher=Recorder())
    before = whole(work)
    capsys.readouterr()
    go(study, work, plan_only=True, overwrite=True)
    assert whole(work) == before
    assert rows(capsys.readouterr().out)["seg_dense"][:2] == ["1", "new"]


def test_a_trained_study(trained_study: TrainedStudy) -> None:
    study = trained_study.study
    assert [(outcome.run, outcome.status) for outcome in trained_study.outcomes] == [(run, "finished") for run in study.runs]
    assert [run.name for run in study.runs] == [*(f"{name}_trial_0" for name in NAMES), *(f"{n}_trial_1" for n in NAMES[2:])]
    for one in study.runs:
        assert files.load_json(one.folder / files.TEST)["row"]["seed"] == one.trial
    assert not failure_path(study, study.runs[0]).parent.exists()


def test_a_second_call_says_that_all_is_done_and_touches_no_run(
    trained_study: TrainedStudy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = trained_study.study
    before = listing(study.folder)
    monkeypatch.setattr(run, "check_inputs", lambda *args: pytest.fail("data of a finished study"))
    monkeypatch.setattr(estimate, "time_steps", lambda config: pytest.fail("timing of a finished study"))
    command = read_record(study.folder).commands[0]
    assert run_study(study, trained_study.source, command, launcher=never) == []
    after = listing(study.folder)
    own = {"study.json", "study.yaml"}
    assert {name: after[name] for name in after if name not in own} == {
        name: before[name] for name in before if name not in own
    }
    out = capsys.readouterr().out
    assert rows(out) == {name: ["2", "2", "finished"] if name in NAMES[2:] else ["1", "finished"] for name in NAMES}
    assert f"All runs are finished; the runs are in {study.folder}" in out


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


def test_a_failure_stops_nothing_is_listed_and_tried_again(
    rooms: Path, work: Path, untimed: None, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    study, recorder = make_study(work, rooms), Recorder("target0.5")
    outcomes = go(study, work, launcher=recorder)
    assert recorder.launched == [one.name for one in study.runs]
    failed = [outcome.run for outcome in outcomes if outcome.status == "failed"]
    assert failed == [one for one in study.runs if one.config.group_sparsity]
    listed, count = [record.getMessage() for record in caplog.records][-2:]
    assert listed.splitlines() == ["2 of 6 runs failed:", *(f"  {one.name}: it had to" for one in failed)]
    assert count.startswith("study tiny: 4 of 6 runs are finished")
    assert [read_failure(study, one) for one in study.runs] == ["it had to" if one in failed else "" for one in study.runs]
    capsys.readouterr()
    again = Recorder()
    assert {outcome.status for outcome in go(study, work, launcher=again)} == {"finished"}
    assert rows(capsys.readouterr().out)[NAMES[3]][:3] == ["2", "2", "failed"]
    assert again.launched == [one.name for one in failed]
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
        for one in runs:
            if one == theirs:
                yield attempt(one)
            else:
                fake_run(one, {})
                yield Outcome(one, "finished")

    with experiment_lock(study.folder, theirs.name):
        outcomes = go(study, work, launcher=launcher)
    assert [outcome.status for outcome in outcomes] == ["held", "finished"]
    assert rows(capsys.readouterr().out)["seg_dense"][:3] == ["1", "being", "trained"]
    assert f"1 of 2 runs left to the process that is at them:\n  {theirs.name}: " in caplog.text
    assert read_failure(study, theirs) == "it had to", "what became of it, whoever is at it says"


@pytest.mark.parametrize(("key", "value"), [("seed", 7), ("bb_optimizer_params.learning_rate", 0.5), ("epochs", 1)])
def test_runs_with_another_configuration_are_refused_before_anything_starts(
    key: str, value: float, rooms: Path, work: Path, untimed: None
) -> None:
    dense = {"tasks": "singles", "group_sparsity": False, "trials": 2}
    go(make_study(work, rooms, dense), work, launcher=Recorder("depth_dense"))
    before = whole(work)
    with pytest.raises(TrialError, match=r"seg_dense_trial_0 was trained with another configuration \((.*)\): give") as caught:
        go(make_study(work, rooms, dense, f"{key}={value}"), work, launcher=never)
    assert f"{value}" in str(caught.value)
    assert "there" in str(caught.value)
    assert "study=<name>" in str(caught.value)
    assert {name for name in whole(work)[0] if before[0].get(name) != whole(work)[0][name]} == {"study.yaml", "base.yaml"}


def test_more_epochs_continue_and_another_machine_finds_its_precision(rooms: Path, work: Path, untimed: None) -> None:
    dense = {"tasks": "singles", "group_sparsity": False}
    study = make_study(work, rooms, dense, precision="auto")
    for one in study.runs:
        fake_run(one, {})
        one.config.model_copy(update={"precision": "bf16"}).save(one.folder / files.CONFIG)
    assert go(study, work, launcher=never) == []


def test_a_damaged_run_stops_no_other(rooms: Path, work: Path, untimed: None) -> None:
    study = make_study(work, rooms, {"tasks": "all", "group_sparsity": False, "trials": 6})
    go(study, work, launcher=Recorder())
    folders = [one.folder for one in study.runs]
    (folders[0] / files.TEST).write_text("{")
    (folders[1] / files.BEST).unlink()
    (folders[2] / files.TEST).unlink()  # and there is no last.pt
    (folders[3] / files.CONFIG).write_text("epochs: many\n")
    (folders[4] / files.CONFIG).unlink()
    before = whole(study.folder)[0]
    outcomes = go(study, work)
    assert [outcome.run.folder for outcome in outcomes] == folders[:5]
    assert {outcome.status for outcome in outcomes} == {"failed"}
    for outcome, words in zip(
        outcomes,
        (files.TEST, f"has no {files.BEST}", f"has no {files.LAST}", files.CONFIG, f"holds no {files.CONFIG}"),
        strict=True,
    ):
        assert str(outcome.run.folder) in outcome.reason
        assert words in outcome.reason
    after = whole(study.folder)[0]
    assert {name: after[name] for name in before if "_trial_" in name} == {n: before[n] for n in before if "_trial_" in n}


def test_overwrite_begins_anew(rooms: Path, work: Path, untimed: None) -> None:
    go(make_study(work, rooms, {"tasks": "singles", "group_sparsity": False, "trials": 2}), work, launcher=Recorder("depth"))
    study = make_study(work, rooms, {"tasks": "singles", "group_sparsity": False, "trials": 1}, "seed=5")
    there: list[list[str]] = []

    def launcher(runs: Sequence[Run]) -> Iterable[Outcome]:
        there.append(sorted(path.name for path in study.folder.glob("*_trial_*") if path.is_dir()))
        there.append([path.name for path in (study.folder / "failures").iterdir()])
        return Recorder()(runs)

    outcomes = go(study, work, overwrite=True, launcher=launcher)
    assert [outcome.run for outcome in outcomes] == study.runs
    assert there[0] == [], "also trial 1, which the study does not ask for any more"
    assert files.load_json(study.runs[0].folder / files.TEST)["row"]["seed"] == 5
    assert all(f"{one.name}.json" not in there[1] for one in study.runs)


def test_overwrite_removes_no_foreign_folder_and_nothing_that_is_being_trained(rooms: Path, work: Path, untimed: None) -> None:
    study = make_study(work, rooms, {"tasks": "singles", "group_sparsity": False, "trials": 1})
    go(study, work, launcher=Recorder())
    old = study.folder / "seg_dense_trial_4"
    with experiment_lock(study.folder, study.runs[1].name):
        before = whole(work)
        with pytest.raises(HeldError, match=study.runs[1].name):
            go(study, work, overwrite=True, launcher=never)
        assert whole(work) == before
    old.mkdir()
    (old / "thesis.tex").write_text("mine")
    before = whole(work)
    with pytest.raises(TrialError, match=r"seg_dense_trial_4 holds no config_file\.yaml, so it is no trial: move it away"):
        go(study, work, overwrite=True, launcher=never)
    assert whole(work) == before


def test_missing_data_is_refused_before_anything_is_written(work: Path, untimed: None) -> None:
    study = make_study(work, work / "no" / "rooms")
    before = whole(work)
    for options in ({}, {"overwrite": True}, {"plan_only": True}):
        with pytest.raises(DataError, match=r"no/rooms"):
            go(study, work, launcher=never, **options)
    assert whole(work) == before


def test_a_folder_that_cannot_be_written_is_named_as_the_file_names_it(rooms: Path, work: Path, untimed: None) -> None:
    study = make_study(work, rooms)
    (work / "studies").write_text("a file")
    for options in ({}, {"overwrite": True}, {"plan_only": True}):
        with pytest.raises(ConfigError, match=r"^folder: \S+studies/tiny cannot be written \(\S+studies is no folder"):
            go(study, work, launcher=never, **options)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"device": "cuda:99"}, ConfigError, "cuda:99"),
        ({"train_batch_size": 500}, DataError, "train_batch_size: 500"),
        ({"init_weights": "nowhere.pth"}, UserError, "nowhere.pth"),
    ],
)
def test_what_one_variant_needs_is_looked_for_too(
    changes: dict[str, Any], error: type[UserError], words: str, rooms: Path, work: Path, untimed: None
) -> None:
    dense = {"tasks": "all", "group_sparsity": False}
    study = make_study(work, rooms, [dense, {**dense, "variant": "other", "set": changes}])
    with pytest.raises(error, match=words):
        go(study, work, launcher=never)
    assert not study.folder.exists()


def test_loss_weights_are_no_obstacle(rooms: Path, work: Path, untimed: None) -> None:
    weights = {"segmentsemantic": 1.0, "depth_euclidean": 2.0}
    study = make_study(work, rooms, comb_loss="wt_sum", loss_weights=weights)
    assert len(go(study, work, launcher=Recorder())) == 6


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


ELSEWHERE = """
import sys
from pathlib import Path
from engine.launch import attempt
from engine.study.record import read_record
study = read_record(Path(sys.argv[1])).study
outcome = attempt(next(run for run in study.runs if run.name == sys.argv[2]))
print(outcome.status, outcome.reason)
"""


def test_a_run_can_be_done_by_a_process_that_knows_the_record_alone(
    trained_study: TrainedStudy, rooms: Path, work: Path, untimed: None
) -> None:
    dense = {"tasks": [["segmentsemantic"]], "group_sparsity": False}
    study = make_study(work, rooms, dense)
    (work / "elsewhere").mkdir()

    def launcher(runs: Sequence[Run]) -> Iterable[Outcome]:
        for name in ("base.yaml", "study.yaml"):
            (work / name).unlink()
        for one in runs:
            done = subprocess.run(
                [sys.executable, "-c", ELSEWHERE, str(study.folder), one.name],
                cwd=work / "elsewhere",
                env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                capture_output=True,
                text=True,
                check=True,
            )
            yield Outcome(one, done.stdout.split()[0])  # type: ignore[arg-type]

    assert [outcome.status for outcome in go(study, work, launcher=launcher)] == ["finished"]
    same = next(one for one in trained_study.study.runs if one.name == "seg_dense_trial_0")
    assert (study.runs[0].folder / files.TEST).read_bytes() == (same.folder / files.TEST).read_bytes()


def test_what_is_left_is_corrected_by_what_it_took(
    rooms: Path, work: Path, untimed: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2:30 is expected of each run; the second takes 5 minutes, and one that another process is at takes none."""
    caplog.set_level(logging.INFO)
    study = make_study(work, rooms, {"tasks": "singles", "group_sparsity": False, "trials": 2})
    clock = [0.0]
    monkeypatch.setattr("engine.study.run.time.monotonic", lambda: clock[0])

    def launcher(runs: Sequence[Run]) -> Iterable[Outcome]:
        yield Outcome(runs[0], "held")
        for one in runs[1:]:
            clock[0] += 300.0
            fake_run(one, {})
            yield Outcome(one, "finished")

    go(study, work, launcher=launcher)
    left = [message for record in caplog.records if "runs are left" in (message := record.getMessage())]
    assert [message.rpartition("about ")[2] for message in left[:3]] == ["7 min 30 s", "10 min 00 s", "5 min 00 s"]
    assert left[3].endswith("0 of 4 runs are left")
    assert "3 of 4 runs are left" in left[0]


def test_runs_that_are_not_in_the_file_any_more_are_named_and_kept(
    rooms: Path, work: Path, untimed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    before = make_study(work, rooms, {"tasks": "all", "group_sparsity": False, "trials": 3})
    go(before, work, launcher=Recorder())
    assert "Not in the study's file" not in capsys.readouterr().out
    go(make_study(work, rooms, {"tasks": "all", "group_sparsity": False, "trials": 1}), work, launcher=Recorder())
    said = capsys.readouterr().out
    assert "out of the report: seg_depth_dense_trial_1, seg_depth_dense_trial_2\n" in said
    assert all((one.folder / files.TEST).exists() for one in before.runs)


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


def test_speeds_say_how_long_the_study_takes(rooms: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[str] = []

    def speed(config: Any) -> Speed:
        kinds.append(json.dumps([config.task_list, config.group_sparsity]))
        return Speed(1.0, 1.0)

    monkeypatch.setattr(estimate, "time_steps", speed)
    go(make_study(work, rooms), work, plan_only=True)
    assert len(kinds) == len(set(kinds)) == 4, "each kind of run is timed once"
