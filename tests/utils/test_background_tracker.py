"""Whatever a tracker does, the training neither stops nor waits."""

import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from utils import background_tracker
from utils.background_tracker import BackgroundTracker


class Inner:
    """Writes down what it is told; ``broken`` names the methods that raise, ``slow`` those that never come back."""

    def __init__(self, broken: BaseException | None = None, hangs: bool = False, at: str = "log") -> None:
        self.run_id: str | None = "its own id"
        self.calls: list[tuple[Any, ...]] = []
        self.broken, self.hangs, self.at = broken, hangs, at
        self.release = threading.Event()
        self.cleaned = 0

    def begin(self) -> "Inner":
        """Makes the tracker."""
        self._do("begin")
        return self

    def log(self, values: dict[str, Any]) -> None:
        """One event."""
        self._do("log", values)

    def image(self, name: str, path: Path, epoch: int) -> None:
        """A PNG file."""
        self._do("image", name, path, epoch)

    def finish(self, summary: dict[str, Any]) -> None:
        """The end."""
        self._do("finish", summary)

    def clean_up(self) -> None:
        """Counted."""
        self.cleaned += 1
        if self.at == "clean_up":
            self._do("clean_up")

    def _do(self, name: str, *arguments: Any) -> None:
        self.calls.append((name, *arguments))
        if name == self.at:
            if self.broken is not None:
                raise self.broken
            if self.hangs:
                self.release.wait(60)


def start(inner: Inner) -> BackgroundTracker:
    """In its thread."""
    return BackgroundTracker(inner.begin, inner.clean_up, "first id")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings' texts."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_everything_arrives_in_order_before_finish_returns(caplog: pytest.LogCaptureFixture) -> None:
    inner = Inner()
    tracker = start(inner)
    tracker.log({"epoch": 0})
    tracker.image("x", Path("x.png"), 0)
    tracker.log({"epoch": 1})
    tracker.finish({"mIoU": 0.5})
    assert inner.calls == [
        *(("begin",), ("log", {"epoch": 0}), ("image", "x", Path("x.png"), 0)),
        *(("log", {"epoch": 1}), ("finish", {"mIoU": 0.5})),
    ]
    assert inner.cleaned == 1
    assert tracker.run_id == "its own id"
    assert not caplog.messages


def test_what_was_logged_stays_as_it_was() -> None:
    inner = Inner()
    tracker = start(inner)
    values = {"epoch": 0}
    tracker.log(values)
    values["epoch"] = 7
    tracker.finish(values)
    values["epoch"] = 8
    assert [call[1] for call in inner.calls[1:]] == [{"epoch": 0}, {"epoch": 7}]


ERRORS = [ValueError("bad\nvalue"), BrokenPipeError(32, "Broken pipe"), SystemExit(1), MemoryError()]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("at", ["begin", "log", "image", "finish"])
def test_an_error_is_one_warning_and_then_nothing_is_tracked(
    at: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    inner = Inner(broken=error, at=at)
    tracker = start(inner)
    tracker.log({"epoch": 0})
    tracker.image("x", Path("x.png"), 0)
    if at != "finish":
        tracker._thread.join(5)
    tracker.log({"epoch": 1})
    tracker.finish({})
    (line,) = warnings(caplog)
    assert type(error).__name__ in line
    assert "\n" not in line
    assert "local files are complete" in line
    assert inner.calls[-1][0] == at
    assert ("log", {"epoch": 1}) not in inner.calls or at == "finish"
    assert inner.cleaned == 1, "nothing may be left to raise when the process ends"


def test_after_an_error_nothing_is_kept_in_memory() -> None:
    inner = Inner(broken=ValueError(), at="begin")
    tracker = start(inner)
    tracker._thread.join(5)
    for epoch in range(100):
        tracker.log({"epoch": epoch})
    assert tracker._events.empty()


@pytest.mark.parametrize("at", ["begin", "log", "finish"])
def test_a_tracker_that_hangs_is_let_go(at: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(background_tracker, "FINISH_SECONDS", 0.3)
    inner = Inner(hangs=True, at=at)
    tracker = start(inner)
    begun = time.monotonic()
    for epoch in range(1000):
        tracker.log({"epoch": epoch})
    assert time.monotonic() - begun < 0.2
    tracker.finish({})
    assert 0.3 <= time.monotonic() - begun < 1.5
    (line,) = warnings(caplog)
    assert "did not finish within 0.3 s" in line
    assert inner.cleaned == 1, "the package's own exit hooks would hang as well"
    assert tracker._thread.daemon
    inner.broken = ValueError("too late")
    inner.release.set()
    tracker._thread.join(5)
    assert warnings(caplog) == [line], "what a tracker does after it was let go interests nobody"
    assert inner.cleaned == 1, "the next trial's tracker may be at work"


@pytest.mark.parametrize("broken", [None, SystemExit(255), ConnectionResetError("lost")], ids=repr)
def test_a_service_that_cannot_be_ended_neither_warns_of_a_finished_trial_nor_holds_it(
    broken: BaseException | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background_tracker, "FINISH_SECONDS", 0.3)
    monkeypatch.setattr(background_tracker, "CLEAN_UP_SECONDS", 0.1)
    inner = Inner(broken=broken, hangs=broken is None, at="clean_up")
    tracker = start(inner)
    begun = time.monotonic()
    tracker.finish({})
    assert time.monotonic() - begun < 1.5
    assert ("finish", {}) in inner.calls
    assert len(warnings(caplog)) == (1 if broken is None else 0)
    inner.release.set()


def test_ctrl_c_while_it_waits_lets_go_too(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = Inner(hangs=True)
    tracker = start(inner)
    tracker.log({"epoch": 0})

    def interrupted(timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tracker._thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tracker.finish({})
    assert inner.cleaned == 1
    inner.release.set()
