"""Output as a person sees it."""

import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from torch._utils import ExceptionWrapper

from utils import console
from utils.console import duration, run_script, track
from utils.errors import ConfigError, DataError, UserError

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0 s"), (8.4, "8 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s")),
        *((3599.6, "1 h 00 min"), (3900, "1 h 05 min"), (100_000, "27 h 46 min")),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_track_yields_everything_once() -> None:
    assert list(track([3, 1, 2], "x")) == [3, 1, 2]
    assert list(track((i for i in range(3)), "x")) == [0, 1, 2]
    assert list(track([], "x")) == []


def test_track_says_every_half_a_minute_how_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = iter(range(0, 1000, 12))
    monkeypatch.setattr(console.time, "monotonic", lambda: float(next(clock)))
    with caplog.at_level(logging.INFO):
        list(track(range(10), "epoch 1/3"))
    assert caplog.messages == [
        *("epoch 1/3: 3 of 10, about 1 min 24 s left", "epoch 1/3: 6 of 10, about 48 s left"),
        "epoch 1/3: 9 of 10, about 12 s left",
    ]


def test_track_without_a_length_counts(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = iter(range(0, 1000, 40))
    monkeypatch.setattr(console.time, "monotonic", lambda: float(next(clock)))

    def items() -> Iterator[int]:
        yield from range(2)

    with caplog.at_level(logging.INFO):
        list(track(items(), "files"))
    assert caplog.messages == ["files: 1 of ?", "files: 2 of ?"]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Return what is written to a terminal."""
    written = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=written, force_terminal=True, width=100))
    return written


def test_loops_inside_others_have_bars_too_and_an_error_ends_them(terminal: io.StringIO) -> None:
    seen = [(outer, inner) for outer in track("ab", "letters") for inner in track(range(2), "numbers")]
    assert seen == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert "letters" in terminal.getvalue()
    assert "numbers" in terminal.getvalue()
    with pytest.raises(ZeroDivisionError):
        for number in track(range(3), "divided"):
            for other in track(range(3), "divisors"):
                _ = number / other
    assert list(track([], "nothing")) == []


def fail(error: BaseException) -> Callable[[], int]:
    """A script that raises."""

    def main() -> int:
        raise error

    return main


def in_worker(message: str) -> UserError:
    """An error as torch hands it on from a loader's worker process."""
    try:
        raise DataError(message)
    except DataError:
        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")
    try:
        wrapped.reraise()
    except DataError as error:
        assert "Original Traceback" in str(error)
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("main", "code", "message"),
    [
        (lambda: 0, 0, ""),
        (lambda: 1, 1, ""),
        (fail(UserError("no such thing")), 2, "error: no such thing\n"),
        (fail(ConfigError("two\nlines")), 2, "error: two\nlines\n"),
        (fail(in_worker("no such file")), 2, "error: no such file\n"),
        (fail(KeyboardInterrupt()), 130, "interrupted\n"),
        (
            fail(OSError(28, "No space left on device", "/x/last.pt")),
            1,
            "error: [Errno 28] No space left on device: '/x/last.pt'\n",
        ),
    ],
)
def test_how_a_script_ends(main: Callable[[], int], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run_script(main)
    assert end.value.code == code
    assert capsys.readouterr().err == message


def test_our_own_mistakes_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_script(lambda: 1 // 0)


def test_another_ctrl_c_while_the_program_ends_changes_nothing() -> None:
    program = """
import atexit, os, signal
from utils.console import run_script
atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
def main():
    os.kill(os.getpid(), signal.SIGINT)
    while True:
        pass
run_script(main)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_a_path_whose_bytes_are_no_text_can_be_printed() -> None:
    program = r"import sys; from utils.console import run_script; run_script(lambda: sys.stdout.write('caf\udce9\n') and 0)"
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"caf\\udce9\n"), done.stderr
