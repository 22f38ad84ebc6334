"""A training with a wandb that fails is the same training: same numbers, same files."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from engine import checkpoint as files
from engine import run_experiment
from tests.small import narrow_resnetd, small_config

VARY = ("images_per_second", "train_seconds", "data_seconds", "validation_seconds")


class Broken:
    """In place of wandb: it fails at the second event."""

    def __init__(self) -> None:
        self.logged = 0
        self.Settings, self.Image = dict, str

    def init(self, **given: Any) -> types.SimpleNamespace:
        """As wandb's."""
        return types.SimpleNamespace(id="id", define_metric=lambda *given, **options: None, log=self.log)

    def log(self, values: dict[str, Any]) -> None:
        """As that of a run."""
        self.logged += 1
        if self.logged == 2:
            raise ConnectionResetError("the service is gone")

    def teardown(self) -> None:
        """As wandb's."""


def run(rooms: Path, folder: Path, tracking: str) -> tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]:
    """An experiment's lines (without what depends on the clock), its test and its table."""
    config = small_config(
        rooms, folder, task_list=["depth_euclidean"], backbone="resnetd18", tracking=tracking, wandb_img_log=True
    )
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
