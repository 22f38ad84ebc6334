"""A training with a wandb that fails is the same training: same numbers, same files."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from engine import run_experiment
from tests.small import small_config
from utils import checkpoint as files

VARY = ("images_per_second", "train_seconds", "data_seconds", "validation_seconds")


class Broken:
    """In place of wandb: it raises when it begins, at the first event or at the end."""

    def __init__(self, at: str) -> None:
        self.at, self.reached = at, 0
        self.Settings, self.Image, self.id, self.summary = dict, str, "id", types.SimpleNamespace(update=self.update)

    def init(self, **given: Any) -> "Broken":
        """As wandb's."""
        return self._fail("init")

    def log(self, values: dict[str, Any]) -> "Broken":
        """As wandb's."""
        return self._fail("log")

    def update(self, values: dict[str, Any]) -> "Broken":
        """As that of wandb's summary."""
        return self._fail("finish")

    def define_metric(self, *given: Any, **options: Any) -> None:
        """As wandb's."""

    def finish(self) -> None:
        """As wandb's."""

    def teardown(self) -> None:
        """As wandb's."""

    def _fail(self, where: str) -> "Broken":
        if where == self.at:
            self.reached += 1
            raise ConnectionResetError("the service is gone")
        return self


def record(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl`` without what depends on the clock."""
    return [{key: value for key, value in line.items() if key not in VARY} for line in files.read_lines(folder / files.METRICS)]


Run = tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]


def run(rooms: Path, folder: Path, tracking: str) -> Run:
    """An experiment's lines, test and table."""
    config = small_config(rooms, folder, task_list=["depth_euclidean"], tracking=tracking, wandb_img_log=True)
    table = run_experiment(config, out_dir=folder / "out")
    return record(config.trial_folder(0)), files.load_json(config.trial_folder(0) / files.TEST), table.to_dict("records")


@pytest.fixture(scope="module")
def untracked(rooms: Path, scratch: Path) -> Run:
    """The same experiment without a tracker."""
    return run(rooms, scratch / "untracked", "disabled")


@pytest.mark.parametrize("at", ["init", "log", "finish"])
def test_the_local_record_is_complete_and_the_numbers_are_the_same(
    at: str,
    rooms: Path,
    work: Path,
    untracked: Run,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb = Broken(at)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    tracked = run(rooms, work, "offline")
    assert wandb.reached == 1
    assert tracked == untracked
    assert [line["epoch"] for line in tracked[0]] == [0, 1]
    assert len([message for message in caplog.messages if message.startswith("tracking: wandb")]) == 1
