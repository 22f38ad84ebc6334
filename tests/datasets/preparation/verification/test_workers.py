"""Processes: the same findings as in one, whatever happens to them."""

import os
import signal
from pathlib import Path

import pytest

from datasets.preparation.verification import workers
from datasets.preparation.verification.findings import Content, File, Problem


def look(path: Path) -> Content:
    """What a decoder does with a file: it reads it, it dies, or it gets killed."""
    if path.name.startswith("dies"):
        os._exit(3)
    if path.name.startswith("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    return Content((int(path.name), os.getpid()))


def test_a_crash_costs_one_row_and_no_other_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ROUND", 16)
    again, one_by_one = [], workers._one_by_one
    monkeypatch.setattr(workers, "_one_by_one", lambda files: again.append(len(files)) or one_by_one(files))
    names = [str(number) for number in range(100)]
    names[7:7] = ["dies"]
    names[45:45] = ["killed"]
    files = [File(Path(name), look) for name in names]
    found = list(workers.examine_all(files, 2))
    assert len(found) == len(names)
    assert len(again) == 2 and max(again) <= 2 * 16, "what was near a crash, and nothing else"
    for name, content in zip(names, found, strict=True):
        if name.isdigit():
            assert content.size is not None and content.size[0] == int(name) and content.problems == ()
            assert content.size[1] != os.getpid(), "a crash must not be ours"
        else:
            assert content == Content(None, (Problem(name, "crashes the program that reads it", "a whole file"),))


def test_no_files_are_no_findings() -> None:
    assert list(workers.examine_all([], 2)) == []
