"""Processes of this machine do the runs of a study; whatever becomes of one, the others go on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from engine import checkpoint as files
from study.launching import processes
from study.launching.live_table import LiveTable
from study.launching.processes import in_processes
from tests.studies import make_study
from tests.study.conftest import TrainedStudy
from tests.study.launching import attempts
from tests.study.running import go
from utils.locks import experiment_lock, holder_note

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def wait_until(true: Callable[[], bool], seconds: float = 100) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_study_ends_as_if_one_process_had_done_it(
    trained_study: TrainedStudy, rooms: Path, work: Path, untimed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "attempt", attempts.narrow)
    monkeypatch.setattr(processes, "cores", lambda: 2)
    study = make_study(work, rooms)
    outcomes = go(study, work, launcher=partial(in_processes, study=study, jobs=2))
    assert {outcome.run for outcome in outcomes if outcome.status == "finished"} == set(study.runs)
    for run in study.runs:
        same = trained_study.study.folder / run.name / files.TEST
        assert (run.folder / files.TEST).read_bytes() == same.read_bytes()
        assert (run.folder / files.LOG).read_text().count(" 2/2 ") == 1
        assert " 2/2 " not in (run.folder / files.LAUNCH_LOG).read_text(), "once is enough"


def test_every_process_has_its_share(work: Path, untimed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    monkeypatch.setattr(processes, "attempt", attempts.tell)
    monkeypatch.setattr(processes, "cores", lambda: 5)
    monkeypatch.setattr(processes, "_gpus", lambda: ["3", "GPU-5"])
    study = make_study(work)
    before = dict(os.environ)
    study.folder.mkdir(parents=True)
    outcomes = list(in_processes(study.runs, study=study))
    assert [outcome.status for outcome in outcomes] == ["finished"] * 6
    assert dict(os.environ) == before
    told = [json.loads((run.folder / "told.json").read_text()) for run in study.runs]
    assert len({row["pid"] for row in told}) == 6
    assert {row["gpu"] for row in told} == {"3", "GPU-5"}, "as many at a time as there are GPUs"
    assert {(row["threads"], row["variable"], row["folder"]) for row in told} == {(2, "2", str(work))}
    for run in study.runs:
        assert f"printed by {run.name}" in (run.folder / files.LAUNCH_LOG).read_text()


def test_a_process_that_dies_is_a_failed_run(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "attempt", attempts.die)
    study = make_study(work)
    study.folder.mkdir(parents=True)
    outcomes = {outcome.run.name: outcome for outcome in in_processes(study.runs, study=study, jobs=2)}
    assert [outcomes[run.name].status for run in study.runs] == ["failed", "failed", *["finished"] * 4]
    first, second = study.runs[:2]
    assert outcomes[first.name].reason == f"its process was killed (SIGKILL); its logs are in {first.folder}"
    assert outcomes[second.name].reason.startswith("its process ended with exit code 7; ")


def test_ctrl_c_ends_all_processes(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "attempt", attempts.wait)
    study = make_study(work)
    study.folder.mkdir(parents=True)

    def interrupted(table: LiveTable) -> None:
        if all(holder_note(study.folder, run.name) for run in study.runs[:2]):
            raise KeyboardInterrupt

    monkeypatch.setattr(LiveTable, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(in_processes(study.runs, study=study, jobs=2))
    assert [run.name for run in study.runs if (run.folder / "interrupted").exists()] == [run.name for run in study.runs[:2]]
    for run in study.runs:
        with experiment_lock(study.folder, run.name):
            pass


PROGRAM = """
import sys
from pathlib import Path
from study.launching import processes
from tests.studies import make_study
from tests.study.launching import attempts

if __name__ == "__main__":
    processes.attempt = attempts.wait
    study = make_study(Path(sys.argv[1]))
    study.folder.mkdir(parents=True)
    list(processes.in_processes(study.runs, study=study, jobs=1))
"""


def test_a_launcher_that_is_killed_leaves_no_process_behind(work: Path) -> None:
    (work / "program.py").write_text(PROGRAM)
    started = subprocess.Popen(
        [sys.executable, work / "program.py", work], cwd=work, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    run = make_study(work).runs[0]
    wait_until(lambda: holder_note(run.folder.parent, run.name) is not None)
    started.send_signal(signal.SIGKILL)
    started.wait()
    wait_until(lambda: (run.folder / "interrupted").exists())
