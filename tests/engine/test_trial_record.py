"""What a trial's folder keeps about its trainings: the log, and the environment of each start."""

import json
import logging
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
import torch

from engine import trial_record
from engine.trial_record import EnvironmentRecord, code_state, trial_log

log = logging.getLogger("tests")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def informative(caplog: pytest.LogCaptureFixture) -> None:
    """Log as the scripts do."""
    caplog.set_level(logging.INFO)


def test_the_log_is_appended_and_holds_what_was_said_before_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    for start in (1, 2):
        with trial_log() as kept:
            log.info("early %d", start)
            assert path.exists() == (start == 2)
            kept.open(path)
            log.warning("late %d", start)
        log.info("after it")
    lines = path.read_text().splitlines()
    assert [line[9:] for line in lines if not line.startswith("---")] == [
        "early 1",
        "WARNING late 1",
        "early 2",
        "WARNING late 2",
    ]
    assert [place for place, line in enumerate(lines) if line.startswith("--- 2")] == [0, 3]
    assert not [handler for handler in logging.getLogger().handlers if isinstance(handler, trial_record.TrialLog)]


def test_a_log_that_cannot_be_written_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "log.txt").symlink_to(tmp_path / "elsewhere.txt")
    with trial_log() as kept:
        kept.open(tmp_path / "log.txt")
        log.info("one")
        log.info("two")
    assert [message for message in caplog.messages if "cannot be written" in message] == [
        f"{tmp_path / 'log.txt'} cannot be written (Too many levels of symbolic links); the training goes on without it"
    ]
    assert not (tmp_path / "elsewhere.txt").exists()


def test_each_start_has_an_entry_and_one_that_was_killed_no_end(tmp_path: Path) -> None:
    path = tmp_path / "environment.json"
    EnvironmentRecord(path).begin(CPU, 0)
    again = EnvironmentRecord(path)
    again.begin(CPU, 3)
    again.end()
    first, second = json.loads(path.read_text())["starts"]
    assert (first["epochs_before"], first["end"], second["epochs_before"]) == (0, None, 3)
    assert datetime.fromisoformat(first["start"]) <= datetime.fromisoformat(second["end"])
    assert datetime.fromisoformat(second["end"]).tzinfo is not None
    assert set(second["versions"]) == {"python", "torch", "torchvision", "numpy", "project"}
    assert (
        second["versions"]["torch"] == torch.__version__.partition("+")[0] or second["versions"]["torch"] == torch.__version__
    )
    assert second["command"].startswith("python ") and second["device"] and second["threads"] == torch.get_num_threads()


@pytest.mark.parametrize("content", ["{", "[]", '{"starts": 3}', '{"starts": [1]}'])
def test_a_record_that_is_damaged_is_begun_anew(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "environment.json"
    path.write_text(content)
    EnvironmentRecord(path).begin(CPU, 0)
    assert len(json.loads(path.read_text())["starts"]) == 1
    assert "it is begun anew" in caplog.text


def git(folder: Path, *arguments: str) -> str:
    """Call git as a user with a name."""
    who = ("-c", "user.name=n", "-c", "user.email=n@example.org")
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_state_of_the_code_is_that_of_git(tmp_path: Path) -> None:
    folder = (tmp_path / "project").resolve()
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "x.py").write_text("1\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    (folder / "results.txt").write_text("not of the code\n")
    commit = git(folder, "rev-parse", "HEAD")
    assert code_state.__wrapped__(folder) == {"commit": commit, "dirty": False}
    (folder / "x.py").write_text("2\n")
    assert code_state.__wrapped__(folder) == {"commit": commit, "dirty": True}
    (folder / "inside").mkdir()
    assert code_state.__wrapped__(folder / "inside") == {"commit": None, "dirty": None}, "another project's commit"


def test_without_git_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_state.__wrapped__(tmp_path) == {"commit": None, "dirty": None}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_state.__wrapped__(trial_record.ROOT) == {"commit": None, "dirty": None}
