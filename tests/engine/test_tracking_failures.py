"""A training with a wandb that fails is the same training: same numbers, same files."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from engine import checkpoint as files
from engine import run_experiment
from engine.tracking import Tracker
from tests.small import narrow_resnetd, small_config

VARY = ("images_per_second", "train_seconds", "data_seconds", "validation_seconds")


class Broken:
    """In place of wandb: it fails at the second event."""

    def __init__(self) -> None:
        self.logged = 0
        self.Settings, self.Image = dict, str

    def init(self, **given: Any) -> types.SimpleNamespace:
        """As wandb's."""
        return types.SimpleNamespace(
            id="id", url=None, dir=given["dir"], define_metric=lambda *given, **options: None, log=self.log
        )

    def log(self, values: dict[str, Any]) -> None:
        """As that of a run."""
        self.logged += 1
        if self.logged == 2:
            raise ConnectionResetError("the service is gone")

    def teardown(self) -> None:
        """As wandb's."""


def run(
    rooms: Path, folder: Path, tracking: str, **values: Any
) -> tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]:
    """An experiment's lines (without what depends on the clock), its test and its table."""
    values |= {"task_list": ["depth_euclidean"], "backbone": "resnetd18", "tracking": tracking, "wandb_img_log": True}
    config = small_config(rooms, folder, **values)
    with narrow_resnetd():
        table = run_experiment(config, out_dir=folder / "out")
    trial = config.trial_folder(0)
    lines = [{key: value for key, value in line.items() if key not in VARY} for line in files.read_lines(trial / files.METRICS)]
    return lines, files.load_json(trial / files.TEST), table.to_dict("records")


def test_the_local_record_is_complete_and_the_numbers_are_the_same(
    rooms: Path, work: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb = Broken()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    tracked = run(rooms, work / "tracked", "offline")
    assert wandb.logged == 2
    assert tracked == run(rooms, work / "untracked", "disabled")
    assert [line["epoch"] for line in tracked[0]] == [0, 1]
    assert len([message for message in caplog.messages if message.startswith("tracking: wandb")]) == 1


class Recorder(Tracker):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.images: list[tuple[str, int]] = []
        self.summary: dict[str, Any] = {}

    def log(self, values: dict[str, Any], axis: str = "epoch") -> None:
        """Keep an event."""
        self.events.append((axis, values))

    def image(self, name: str, path: Path, epoch: int) -> None:
        """Keep a picture's name and epoch."""
        self.images.append((name, epoch))

    def finish(self, summary: dict[str, Any]) -> None:
        """Keep the final values."""
        self.summary = summary


def test_a_tracker_gets_epochs_as_in_the_log_curves_over_steps_and_the_test(
    rooms: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setattr("engine.experiment.make_tracker", lambda *given: recorder)
    lines, _, (row,) = run(rooms, work, "disabled", target_sparsity=0.5, group_sparsity=True)
    epochs = [values for axis, values in recorder.events if axis == "epoch"]
    steps = [values for axis, values in recorder.events if axis == "step"]
    assert [line["epoch"] for line in lines] == [0, 1], "the file counts from 0"
    assert [values["epoch"] for values in epochs] == [1, 2]
    assert recorder.images == [("predictions", 1), ("sparsity_control", 2), ("curves", 2), ("predictions_best", 2)]
    assert [values["step"] for values in steps] == [1, 2, 3, 4]
    points = files.read_lines(work / "runs" / "small_trial_0" / files.STEPS)
    assert [values["step/group_sparsity"] for values in steps] == [point["group_sparsity"] for point in points]
    first = [values["step/loss/total"] for values in steps[:2]]
    assert sum(first) / 2 == pytest.approx(lines[0]["train/loss/total"])
    assert set(steps[0]) >= {"step/loss/depth_euclidean", "step/lambda"}
    tested = {name.removeprefix("test/"): value for name, value in recorder.summary.items() if name.startswith("test/")}
    assert tested == {name: value for name, value in row.items() if name not in ("trial", "seed", "epochs")}
    assert {**recorder.summary, **row}.items() >= {"status": "finished", "epochs": 2}.items()
