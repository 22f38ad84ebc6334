"""The plan of a study: what, how many, how long; shown before anything starts, and corrected after each run."""

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine import checkpoint as files
from study import estimate
from study.disk import bytes_text, run_size, told
from study.estimate import Speed
from study.launch import Outcome
from study.plan import Run
from tests.studies import Recorder, fake_run, make_study, never
from tests.study.running import NAMES, go, rows, whole


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
    assert shown[0].splitlines()[-1] == told([(run_size(setting.config), setting.trials) for setting in study.settings])
    for line, setting in zip((line for line in shown[0].splitlines() if "_" in line), study.settings, strict=False):
        assert line.rstrip().endswith(bytes_text(run_size(setting.config).kept * setting.trials))


def test_a_plan_without_single_tasks_says_what_it_cannot_answer(
    rooms: Path, work: Path, untimed: None, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    question = "What several tasks change against each task alone (delta_MTL) will stay open for "
    caplog.set_level(logging.INFO)
    go(make_study(work, rooms), work, plan_only=True)
    assert question not in capsys.readouterr().out
    assert "timing a few steps of 4 kinds of runs; seconds each" in caplog.text
    axes = [{"tasks": "all", "target_sparsity": [0.1, 0.5]}, {"tasks": [["segmentsemantic"]], "group_sparsity": False}]
    go(make_study(work, rooms, axes), work, plan_only=True)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(question)]
    assert [line.removeprefix(question) for line in lines] == [
        "seg_depth_l1_l2_target0.1, seg_depth_l1_l2_target0.5: no dense runs of each task alone are planned "
        "(tasks: [singles], group_sparsity: false)"
    ]


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


def test_a_plan_writes_nothing(rooms: Path, work: Path, untimed: None, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(work, rooms, {"tasks": "all", "group_sparsity": False}, cache=str(work / "cache"))
    before, data = whole(work), whole(rooms)
    assert go(study, work, plan_only=True, launcher=never) == []
    assert go(study, work, plan_only=True, overwrite=True, launcher=never) == []
    assert (whole(work), whole(rooms)) == (before, data)
    assert list(rows(capsys.readouterr().out)) == ["seg_depth_dense"]
    go(study, work, launcher=Recorder())
    before = whole(work)
    capsys.readouterr()
    go(study, work, plan_only=True, overwrite=True)
    assert whole(work) == before, "with overwrite it deletes nothing"
    assert rows(capsys.readouterr().out)["seg_depth_dense"][:2] == ["1", "new"]


def test_what_is_left_is_corrected_by_what_it_took(
    rooms: Path, work: Path, untimed: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2:30 is expected of each run; the second takes 5 minutes, and one that another process is at takes none."""
    caplog.set_level(logging.INFO)
    study = make_study(work, rooms, {"tasks": "singles", "group_sparsity": False, "trials": 2})
    clock = [0.0]
    monkeypatch.setattr("study.run.time.monotonic", lambda: clock[0])

    def launcher(runs: Sequence[Run]) -> Iterable[Outcome]:
        yield Outcome(runs[0], "held")
        for run in runs[1:]:
            clock[0] += 300.0
            fake_run(run, {})
            yield Outcome(run, "finished")

    go(study, work, launcher=launcher)
    left = [message for record in caplog.records if "runs are left" in (message := record.getMessage())]
    assert [message.rpartition("about ")[2] for message in left[:3]] == ["7 min 30 s", "10 min 00 s", "5 min 00 s"]
    assert left[3].endswith("0 of 4 runs are left")
    assert "3 of 4 runs are left" in left[0]


def test_runs_that_are_not_in_the_file_any_more_are_named_and_kept(
    rooms: Path, work: Path, untimed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    dense = {"tasks": "all", "group_sparsity": False}
    before = make_study(work, rooms, {**dense, "trials": 3})
    go(before, work, launcher=Recorder())
    assert "Not in the study's file" not in capsys.readouterr().out
    go(make_study(work, rooms, {**dense, "trials": 1}), work, launcher=Recorder())
    said = capsys.readouterr().out
    assert "out of the report: seg_depth_dense_trial_1, seg_depth_dense_trial_2\n" in said
    assert all((run.folder / files.TEST).exists() for run in before.runs)
    sparse = {"tasks": "all", "target_sparsity": 0.5, "trials": 1}
    go(make_study(work, rooms, sparse), work, overwrite=True, launcher=Recorder())
    assert "out of the report: " + ", ".join(run.name for run in before.runs) in capsys.readouterr().out
    assert all((run.folder / files.TEST).exists() for run in before.runs)
    go(
        make_study(work, rooms, {"tasks": "all", "group_sparsity": False, "trials": 1}),
        work,
        overwrite=True,
        launcher=Recorder(),
    )
    said = capsys.readouterr().out
    assert "seg_depth_dense_trial" not in said, "what overwrite deletes does not stay"
    assert [run.folder.exists() for run in before.runs] == [True, False, False]


def test_speeds_say_how_long_the_study_takes(rooms: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[str] = []

    def speed(config: Any) -> Speed:
        kinds.append(json.dumps([config.task_list, config.group_sparsity]))
        return Speed(1.0, 1.0)

    monkeypatch.setattr(estimate, "time_steps", speed)
    go(make_study(work, rooms), work, plan_only=True)
    assert len(kinds) == len(set(kinds)) == 4, "each kind of run is timed once"
