"""Work in several processes: every result once and in turn, and no process stays behind."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from datasets.preparation.workers import in_processes
from utils.errors import DataError

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys, time
from functools import partial
from pathlib import Path
from datasets.preparation.workers import in_processes
def linger(folder, number):
    (folder / str(number)).touch()
    time.sleep(0.1)
if __name__ == "__main__":
    for _ in in_processes(partial(linger, Path(sys.argv[1])), range(400), 2):
        pass
"""


def square(number: int) -> int:
    return number * number


def fail_at(bad: int, number: int) -> int:
    if number == bad:
        raise DataError(f"number {number} is bad")
    return number


def die_at(bad: int, number: int) -> int:
    if number == bad:
        os._exit(9)
    return number


@pytest.mark.parametrize(("workers", "count"), [(2, 0), (2, 1), (1, 23), (2, 23)])
def test_every_result_comes_once_and_in_turn(workers: int, count: int) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert list(in_processes(square, range(count), workers)) == [number**2 for number in range(count)]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_error_is_raised_as_it_is(workers: int) -> None:
    with pytest.raises(DataError, match=r"^number 9 is bad$"):
        list(in_processes(partial(fail_at, 9), range(200), workers))


def test_a_process_that_the_system_ends_is_one_sentence() -> None:
    with pytest.raises(OSError, match="the system ended a worker process"):
        list(in_processes(partial(die_at, 9), range(20), 2))


def test_a_crash_that_was_to_be_expected_costs_its_own_item_only() -> None:
    """And not this process."""
    assert list(in_processes(partial(die_at, 9), [*range(12), 9], 2, lambda number: -number)) == [*range(9), -9, 10, 11, -9]
    assert list(in_processes(partial(die_at, 0), [0], 1, lambda number: -1)) == [-1]


@pytest.mark.skipif(os.name != "posix", reason="process groups")
@pytest.mark.parametrize(("sent", "to_all"), [(signal.SIGINT, True), (signal.SIGKILL, False)])
def test_no_process_outlives_the_one_that_started_it(sent: signal.Signals, to_all: bool, tmp_path: Path) -> None:
    """Ctrl-C goes to all processes of a terminal; a kill only to one."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "done").mkdir()
    command = [sys.executable, tmp_path / "script.py", tmp_path / "done"]
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    try:
        _wait(lambda: len(list((tmp_path / "done").iterdir())) > 4)
        (os.killpg if to_all else os.kill)(process.pid, sent)
        _, said = process.communicate(timeout=30)
        assert process.returncode == -sent
        assert said.count("Traceback") == (1 if to_all else 0)  # the parent's own, which a script turns into a word
        _wait(lambda: not _group_is_there(process.pid))
        assert len(list((tmp_path / "done").iterdir())) < 100
    finally:
        if _group_is_there(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


def _group_is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _wait(condition: object, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)
