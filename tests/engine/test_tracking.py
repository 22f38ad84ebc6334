"""The tracker beside the local files: never asks, never in the way."""

import logging
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.tracking import EVENTS, Tracker, has_api_key, make_tracker
from tests.configs import make_config
from utils.errors import UserError


class FakeRun:
    """Records what it is told."""

    def __init__(self, given: dict[str, Any], broken: str) -> None:
        self.given, self.id, self.broken = given, given["id"], broken
        self.dir = f"{given['dir']}/wandb/a run/files"
        self.url = f"https://wandb.invalid/{self.id}" if given["mode"] == "online" else None
        self.logged: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.metrics: list[tuple[str, str | None]] = []
        self.finished = False

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        """As wandb's."""
        self.metrics.append((name, step_metric))

    def log(self, values: dict[str, Any], **options: Any) -> None:
        """As wandb's."""
        assert not options, "no step of our own"
        if self.broken == "log":
            raise BrokenPipeError(32, "Broken\npipe")
        self.logged.append(values)

    def save(self, path: str, **options: Any) -> None:
        """As wandb's."""

    def finish(self) -> None:
        """As wandb's."""
        if self.broken == "finish":
            raise SystemExit(1)
        self.finished = True


class FakeError(Exception):
    """In place of wandb's error."""


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> types.SimpleNamespace:
    """A module in place of wandb, without an API key anywhere; ``runs`` are those that were begun."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_SILENT", "true")  # as make_tracker does, but only for this test
    fake = types.SimpleNamespace(runs=[], fail="", teardowns=0)

    def init(*, id: str | None = None, resume: str | None = None, **given: Any) -> FakeRun:
        if fake.fail in ("init", given["mode"]):
            raise FakeError("no network")
        fake.runs.append(FakeRun({**given, "id": id or f"new-{len(fake.runs)}", "resume": resume}, fake.fail))
        return fake.runs[-1]

    def teardown() -> None:
        fake.teardowns += 1
        raise SystemExit(255)

    fake.init, fake.Settings, fake.Image, fake.teardown = init, dict, lambda path: f"image of {path}", teardown
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def test_disabled_is_no_tracker(wandb: types.SimpleNamespace, tmp_path: Path) -> None:
    tracker = make_tracker(make_config(tracking="disabled"), "run", tmp_path)
    assert type(tracker) is Tracker
    assert tracker.run_id is None
    tracker.log({"epoch": 0})
    tracker.image("x", tmp_path / "x.png", 0)
    tracker.finish({})
    assert not wandb.runs
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "environment", "key", "used"),
    [
        ("online", None, True, "online"),
        ("online", None, False, "offline"),
        ("online", "online", True, "online"),
        ("online", "offline", True, "offline"),
        ("online", "disabled", True, None),
        ("offline", None, True, "offline"),
        ("offline", "online", True, "offline"),
        ("offline", "disabled", True, None),
        ("disabled", "online", True, None),
    ],
)
def test_mode_by_configuration_environment_and_key(
    asked: str,
    environment: str | None,
    key: bool,
    used: str | None,
    wandb: types.SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    if environment:
        monkeypatch.setenv("WANDB_MODE", environment)
    if key:
        monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    make_tracker(make_config(tracking=asked), "run", tmp_path).finish({})
    assert [run.given["mode"] for run in wandb.runs] == ([used] if used else [])


def test_a_key_in_netrc_counts(wandb: types.SimpleNamespace, tmp_path: Path) -> None:
    assert not has_api_key()
    (tmp_path / "home").mkdir()
    netrc = tmp_path / "home" / ".netrc"
    netrc.write_text("machine example.org login user password abc\n")
    netrc.chmod(0o600)
    assert not has_api_key()
    netrc.write_text("machine api.wandb.ai login user password abc\n")
    assert has_api_key()
    netrc.write_text("machine api.wandb.ai logi\n")
    assert not has_api_key()


def test_a_run_is_named_and_grouped(wandb: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = make_config(tracking="offline")
    make_tracker(config, "small_trial_3", tmp_path).finish({})
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    monkeypatch.setenv("WANDB_ENTITY", "team")
    make_tracker(config, "run", tmp_path).finish({})
    make_tracker(make_config(tracking="offline", wandb_project="mine", wandb_entity="me"), "run", tmp_path).finish({})
    first, second, third = (run.given for run in wandb.runs)
    assert (first["name"], first["group"], first["dir"]) == ("small_trial_3", "small", str(tmp_path))
    assert first["tags"] == ["NYU", "resnet18", "dense"]
    assert first["config"] == config.as_dict()
    assert [(run["project"], run["entity"]) for run in (first, second, third)] == [
        *(("less-is-more", None), ("theirs", "team"), ("mine", "me"))
    ]


def test_a_run_of_a_study_is_in_its_group_and_tagged(wandb: types.SimpleNamespace, tmp_path: Path) -> None:
    sparse = {"tracking": "offline", "group_sparsity": True}
    make_tracker(make_config(**sparse, target_macs=0.25), "run", tmp_path, group="a study").finish({})
    make_tracker(make_config(**sparse, bb_optimizer_params={"lambda": 1e-5}), "run", tmp_path).finish({})
    targeted, plain = (run.given for run in wandb.runs)
    assert targeted["group"] == "a study"
    assert targeted["tags"] == ["NYU", "resnet18", "group_l0", "target_macs=0.25"]
    assert plain["tags"] == ["NYU", "resnet18", "l1_l2"]


def test_the_log_says_where_a_run_is(
    wandb: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    make_tracker(make_config(tracking="offline"), "run", tmp_path).finish({})
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    make_tracker(make_config(tracking="online"), "run", tmp_path).finish({})
    folder = f"{tmp_path}/wandb/a run"
    assert caplog.messages == [
        f"tracking: the run is in {folder}; upload it with: wandb sync '{folder}'",
        "tracking: https://wandb.invalid/new-1",
    ]


def test_an_online_run_is_continued_and_an_offline_one_is_not(
    wandb: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offline = make_tracker(make_config(tracking="online"), "run", tmp_path, "old-id")
    offline.finish({})
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    online = make_tracker(make_config(tracking="online"), "run", tmp_path, "old-id")
    online.finish({})
    assert offline.run_id != "old-id"
    assert online.run_id == "old-id"
    assert [(run.given["mode"], run.given["id"], run.given["resume"]) for run in wandb.runs] == [
        *(("offline", offline.run_id, None), ("online", "old-id", "allow"))
    ]


def test_without_a_network_the_run_is_kept_offline_under_an_id_of_its_own(
    wandb: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    wandb.fail = "online"
    tracker = make_tracker(make_config(tracking="online"), "run", tmp_path, "old-id")
    tracker.log({"epoch": 0, "loss": 1.0})
    tracker.finish({})
    (run,) = wandb.runs
    assert run.given["mode"] == "offline"
    assert run.id == tracker.run_id != "old-id"
    assert run.logged == [{"epoch": 0, "loss": 1.0}]
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "no network" in line
    assert "kept offline" in line


@pytest.mark.parametrize("at", ["init", "log", "image", "finish"])
def test_an_error_is_one_warning_and_then_nothing_is_tracked(
    at: str, wandb: types.SimpleNamespace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And its service is let go, however that ends: nothing may be left to raise when the process ends."""
    wandb.fail = at
    if at == "image":
        del wandb.Image
    tracker = make_tracker(make_config(tracking="offline"), "run", tmp_path)
    for epoch in range(2):
        tracker.log({"epoch": epoch})
        tracker.image("x", tmp_path / "x.png", epoch)
    tracker.finish({})
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert line.startswith("tracking: wandb failed (")
    assert "local files are complete" in line
    assert "\n" not in line
    assert wandb.teardowns == 1
    assert sum(len(run.logged) for run in wandb.runs) == {"init": 0, "log": 0, "image": 1, "finish": 4}[at]


def test_events_carry_their_axis_and_no_missing_values(wandb: types.SimpleNamespace, tmp_path: Path) -> None:
    tracker = make_tracker(make_config(tracking="offline"), "run", tmp_path)
    tracker.log({"step": 3, "step/loss": 0.75}, "step")
    tracker.log({"step": 6, "step/loss": 0.5}, "step")
    tracker.log({"epoch": 1, "step": 6, "loss": 0.5, "auroc": None})
    tracker.image("predictions", tmp_path / "x.png", 4)
    tracker.finish({"mIoU": 0.25})
    (run,) = wandb.runs
    assert sorted(run.metrics) == [
        *(("epoch", None), ("loss", "epoch"), ("predictions", "epoch"), ("step", None), ("step/loss", "step"))
    ]
    assert run.logged[2:] == [
        {"epoch": 1, "step": 6, "loss": 0.5},
        {"predictions": f"image of {tmp_path / 'x.png'}", "epoch": 4},
    ]
    assert run.summary == {"mIoU": 0.25}
    assert run.finished


def test_files_are_handed_over_as_they_are_now(wandb: types.SimpleNamespace, tmp_path: Path) -> None:
    tracker = make_tracker(make_config(tracking="offline"), "run", tmp_path)
    saved = []
    wandb.runs[0].save = lambda path, **options: saved.append((path, options))
    tracker.file("log.txt", tmp_path / "log.txt")
    assert saved == [(str(tmp_path / "log.txt"), {"base_path": str(tmp_path), "policy": "now"})]
    make_tracker(make_config(tracking="disabled"), "run", tmp_path).file("log.txt", tmp_path / "log.txt")


def test_a_missing_wandb_is_one_sentence(wandb: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    said = r"tracking: 'offline' needs the package wandb, .*import.*requirements-track\.txt, or set tracking: disabled"
    with pytest.raises(UserError, match=said):
        make_tracker(make_config(tracking="offline"), "run", tmp_path)
    assert type(make_tracker(make_config(tracking="disabled"), "run", tmp_path)) is Tracker


def test_a_missing_tensorboard_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And wandb's variables say nothing about it."""
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for name in ("torch.utils.tensorboard", "tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"'tensorboard' needs the package tensorboard, .*requirements-track\.txt"):
        make_tracker(make_config(tracking="tensorboard"), "run", tmp_path)


def test_event_files_hold_the_curves_over_their_axes_also_after_resuming(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    caplog.set_level(logging.INFO)
    config, folder = make_config(tracking="tensorboard"), tmp_path / "runs of mine" / "small_trial_0"
    Image.new("RGB", (4, 3), (255, 0, 0)).save(tmp_path / "x.png")
    for epoch in (1, 2):  # in two processes' stead
        tracker = make_tracker(config, "small_trial_0", folder)
        tracker.log({"step": 10 * epoch, "step/loss": 0.5}, "step")
        tracker.log({"epoch": epoch, "step": 10 * epoch, "loss": 1 / epoch, "auroc": None})
        tracker.image("predictions", tmp_path / "x.png", epoch)
        tracker.finish({"status": "finished", "epochs": epoch, "test/mIoU": 0.25} if epoch == 2 else {"status": "stopped"})
    assert caplog.messages == [f"tracking: tensorboard --logdir '{folder.parent}'"] * 2
    events = EventAccumulator(str(folder / EVENTS))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 1.0), (2, 0.5)]
    assert [event.step for event in events.Scalars("step/loss")] == [10, 20]
    assert [(event.step, event.value) for event in events.Scalars("test/mIoU")] == [(2, 0.25)]
    assert [(event.step, event.width, event.height) for event in events.Images("predictions")] == [(1, 4, 3), (2, 4, 3)]
    assert set(events.Tags()["scalars"]) == {"loss", "step/loss", "test/mIoU", "epochs"}


def test_a_full_disk_ends_the_event_files_and_not_the_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / EVENTS).touch()  # no folder can be made there
    tracker = make_tracker(make_config(tracking="tensorboard"), "run", tmp_path)
    tracker.log({"epoch": 1, "loss": 0.5})
    tracker.finish({"test/mIoU": 0.25})
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert line.startswith("tracking: tensorboard failed (") and "local files are complete" in line
