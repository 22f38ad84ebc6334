"""Existing files in a study's folder: a study continues what it can, and refuses what it may not touch."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engine import checkpoint as files
from study.launch import Outcome
from study.plan import Run
from tests.studies import Recorder, fake_run, make_study, never
from tests.study.running import go, whole
from utils.errors import ConfigError, DataError, HeldError, TrialError, UserError
from utils.locks import experiment_lock


@pytest.mark.parametrize(("key", "value"), [("bb_optimizer_params.learning_rate", 0.5), ("epochs", 1)])
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
    for run in study.runs:
        fake_run(run, {})
        run.config.model_copy(update={"precision": "bf16"}).save(run.folder / files.CONFIG)
    assert go(study, work, launcher=never) == []


def test_a_damaged_run_stops_no_other(rooms: Path, work: Path, untimed: None) -> None:
    study = make_study(work, rooms, {"tasks": "all", "group_sparsity": False, "trials": 6})
    go(study, work, launcher=Recorder())
    folders = [run.folder for run in study.runs]
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
    before: list[list[str]] = []

    def launcher(runs: Sequence[Run]) -> Iterable[Outcome]:
        before.append(sorted(path.name for path in study.folder.glob("*_trial_*") if path.is_dir()))
        before.append([path.name for path in (study.folder / "failures").iterdir()])
        return Recorder()(runs)

    outcomes = go(study, work, overwrite=True, launcher=launcher)
    assert [outcome.run for outcome in outcomes] == study.runs
    assert before[0] == [], "also trial 1, which the study does not ask for any more"
    assert files.load_json(study.runs[0].folder / files.TEST)["row"]["seed"] == 5
    assert all(f"{run.name}.json" not in before[1] for run in study.runs)


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
