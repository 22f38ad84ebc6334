"""Output as a person sees it."""

import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress
from torch._utils import ExceptionWrapper

from utils import console
from utils.console import LineFormatter, TerminalHandler, brief, duration, run_script, show_table, track
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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0s"), (59.4, "59s"), (59.6, "1m00s"), (3599, "59m59s"), (3599.6, "1h00m")),
        *((100_000, "27h46m"), (359_999, "99h59m"), (360_000, "4d04h"), (8e6, "92d14h")),
    ],
)
def test_a_brief_duration_has_at_most_six_characters(seconds: float, text: str) -> None:
    assert brief(seconds) == text
    assert len(text) <= 6


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


def test_all_bars_are_in_one_display(terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    displays = []
    monkeypatch.setattr(console, "Progress", lambda *given, **options: displays.append(given) or Progress(*given, **options))
    for _ in track("ab", "letters"):
        for _ in track(range(2), "numbers"):
            logging.getLogger("tests").info("a line between")
        assert len(displays) == 1
    assert list(track("ab", "later")) == ["a", "b"]
    assert len(displays) == 2


def test_a_bar_shows_the_note_and_the_time_left_from_the_first_item_on(
    terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "console", Console(file=terminal, force_terminal=True, color_system=None, width=80))
    clock = iter(range(0, 1000, 30))
    monkeypatch.setattr(console.time, "monotonic", lambda: float(next(clock)))
    for number in track(range(4), "epoch 1/3", note=lambda: "loss 0.5, run 9m00s left"):
        if number == 1:
            assert console._bars._shown is not None
            console._bars._shown.refresh()
    shown = [line for line in re.sub(r"\x1b\[\d*\w", "", terminal.getvalue()).splitlines() if " 1/4 " in line]
    assert shown[0].startswith("epoch 1/3 ━━━") and shown[0].endswith(" 1/4 1m30s left, loss 0.5, run 9m00s left")
    assert len(shown[0]) == 80


def test_lines_say_the_level_where_it_is_not_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=written, force_terminal=True, color_system=None, width=80))
    for level, text in ((logging.INFO, "[all] is well"), (logging.WARNING, "[it] rains"), (logging.ERROR, "it burns")):
        record = logging.LogRecord("x", level, "x", 1, text, (), None)
        TerminalHandler().emit(record)
        shown = written.getvalue().splitlines()[-1].rstrip()
        name = "" if level == logging.INFO else f"{logging.getLevelName(level)} "
        assert LineFormatter().format(record)[9:] == f"{name}{text}"
        assert shown.lstrip("0123456789: ") == f"{name}{text}"


def test_a_table_is_plain_text_and_takes_no_text_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    show_table("[title]", ["name", "value"], [["[red]x", "1.5"], ["y", "10.25 ± 0.5"]], "in [out_csv]/x.csv")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == "[title]"
    assert lines[3].split() == ["[red]x", "1.5"] and lines[4].startswith("y")
    assert len(lines[1]) == len(lines[4]), "numbers stand to the right"
    assert lines[5] == "in [out_csv]/x.csv"


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
