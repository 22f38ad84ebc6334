"""An array script of SLURM does the runs of a study, one task each. There is no SLURM here: a small program takes its place."""

import logging
import os
import subprocess
from functools import partial
from pathlib import Path

import pytest

from engine import checkpoint as files
from study.launching.slurm_array import SCRIPT, as_array, check_options
from study.progress import progress_of
from tests.studies import SINGLE, make_study
from tests.study.running import go
from utils.errors import ConfigError

SBATCH = """#!/bin/bash
# What SLURM does, in short: the tasks of the array one after the other; the first one is stopped once, and requeued.
set -eu
echo "Submitted batch job 7"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)$/\\1/p' "$1")
metrics=$(dirname "$1")/seg_dense_trial_0/metrics.jsonl
(
  SLURM_ARRAY_TASK_ID=0 bash "$1" & task=$!
  until [ -s "$metrics" ] || ! kill -0 $task; do sleep 0.05; done
  kill -TERM $task || true
  wait $task || true
  for task in $(seq 0 "$last"); do SLURM_ARRAY_TASK_ID=$task bash "$1"; done
) > "$(dirname "$1")/said.txt" 2>&1
"""


@pytest.fixture
def sbatch(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called sbatch that is found first."""
    path = work / "bin" / "sbatch"
    path.parent.mkdir()
    path.write_text(SBATCH)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return path


def test_the_script(work: Path, untimed: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.chdir(work)
    (work / "50%").mkdir()
    study = make_study(work / "50%")
    study.folder.mkdir(parents=True)
    options = [("time", "12:00:00"), ("comment", "two words; rm"), ("exclusive", None)]
    assert as_array(study.runs, study=study, arguments="--config_exp study.yaml epochs=3", options=options, jobs=4) == []
    path = study.folder / SCRIPT
    text = path.read_text()
    lines = text.splitlines()
    assert lines[0] == "#!/bin/bash"
    for directive in (
        "job-name=tiny",
        "array=0-5%4",
        "time=12:00:00",
        "comment='two words; rm'",
        "open-mode=append",
        "exclusive",
    ):
        assert f"#SBATCH --{directive}" in lines
    assert "#SBATCH --requeue" in lines
    assert f"cd {work} || exit 1" in lines
    assert [line.strip() for line in lines if "_trial_" in line] == [run.name for run in study.runs]
    assert f"#SBATCH --output={work}/50%%/{study.folder.relative_to(work / '50%')}/slurm/%A_%a.txt" in lines
    assert "--config_exp study.yaml epochs=3 --run " in lines[-1]
    for number, said in (("", "SLURM_ARRAY_TASK_ID"), ("6", "is no run of this script")):
        task = {"SLURM_ARRAY_TASK_ID": number}
        stopped = subprocess.run(["bash", path], env=task, capture_output=True, text=True, check=False)
        assert stopped.returncode != 0 and said in stopped.stderr and "error:" not in stopped.stderr, (
            "the program did not begin"
        )
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    assert f"submit it: sbatch {path}" in caplog.text


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("epochs", "3"), "is a key of the configuration; write epochs=3 before --slurm"),
        (("array", "0-3"), "expected a long option of sbatch"),
        (("Time", "1"), "expected a long option of sbatch"),
        (("time", "1\nrm"), "expected a long option of sbatch"),
    ],
)
def test_an_option_that_is_none_of_sbatch(option: tuple[str, str], said: str) -> None:
    check_options([("time", "1"), ("cpus-per-task", "2")])
    with pytest.raises(ConfigError, match=said):
        check_options([option])


def test_what_is_said_where_the_script_cannot_be_submitted(work: Path, sbatch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(work)
    study.folder.mkdir(parents=True)
    submit = partial(as_array, study.runs, study=study, arguments="", submit=True)
    sbatch.write_text("#!/bin/bash\necho invalid partition >&2; exit 1\n")
    with pytest.raises(ConfigError, match=f"sbatch refused {study.folder / SCRIPT}: invalid partition"):
        submit()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="there is no sbatch on this machine; the script is written"):
        submit()


@pytest.mark.slow
def test_the_tasks_bring_their_runs_to_their_ends(
    rooms: Path, work: Path, sbatch: Path, untimed: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.chdir(work)
    study = make_study(work, rooms, {**SINGLE, "trials": 2}, backbone="resnetd18", epochs=3)
    launcher = partial(as_array, study=study, arguments="--config_exp study.yaml", submit=True)
    assert go(study, work, launcher=launcher) == []
    assert "study tiny: 2 runs: Submitted batch job 7" in caplog.text
    said = (study.folder / "said.txt").read_text()
    assert all(progress.finished for progress in progress_of(study)), said
    assert said.count("study tiny: seg_dense_trial_0: finished") == 1
    assert [len(files.read_lines(run.folder / files.METRICS)) for run in study.runs] == [3, 3]
