"""Launcher that writes an array script of SLURM, and submits it if asked: each of its tasks does one run."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from settings.config import ExperimentConfig
from study.launch import Outcome
from study.plan import Run, Study
from utils.errors import ConfigError
from utils.files import write_text
from utils.locks import check_locks

log = logging.getLogger(__name__)

SCRIPT, OUTPUTS = "slurm.sbatch", "slurm"
"""Names of the script, and of the folder with what its tasks print, in the study's folder."""

MAIN = Path(__file__).resolve().parents[2] / "main_multi_trials.py"

Option = tuple[str, str | None]
"""Name and value of an option of sbatch; one like ``exclusive`` has no value."""

_OURS = {"array", "job-name", "output", "error"}
"""Options of sbatch that the script needs for itself."""


def as_array(
    runs: Sequence[Run],
    *,
    study: Study,
    arguments: str,
    options: Sequence[Option] = (),
    jobs: int | None = None,
    submit: bool = False,
) -> Iterable[Outcome]:
    """Write the script that does the runs, and submit it if asked; yields no outcome, as SLURM does them later.

    Args:
        runs: one task of the array each.
        study: that they belong to.
        arguments: of ``main_multi_trials.py``, quoted for a shell, with the study's file.
        options: of sbatch, checked, such as ``("time", "12:00:00")``.
        jobs: tasks at a time.
        submit: give the script to sbatch.

    Raises:
        ConfigError: sbatch is missing or refuses the script.
        TrialError: locks do not work in the study's folder.
    """
    check_locks(study.folder)
    path = (study.folder / SCRIPT).absolute()
    (study.folder / OUTPUTS).mkdir(exist_ok=True)
    write_text(path, script(runs, study, arguments, options, jobs))
    command = ["sbatch", str(path)]
    if not submit:
        log.info("study %s: %d runs are in the script; submit it: %s", study.name, len(runs), shlex.join(command))
        return []
    if shutil.which("sbatch") is None:
        raise ConfigError(f"--submit: there is no sbatch on this machine; the script is written: {path}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"--submit: sbatch refused {path}: {' '.join(done.stderr.split())}")
    log.info("study %s: %d runs: %s", study.name, len(runs), done.stdout.strip())
    return []


def check_options(options: Sequence[Option]) -> None:
    """Refuse what cannot be an option of sbatch, or is one that the script needs for itself.

    Raises:
        ConfigError: the sentence says which.
    """
    for key, value in options:
        if key in ExperimentConfig.model_fields:
            raise ConfigError(f"--slurm: {key} is a key of the configuration; write {key}={value or '<value>'} before --slurm")
        if key in _OURS or not re.fullmatch("[a-z][a-z-]*", key) or "\n" in (value or ""):
            given = key if value is None else f"{key}={value}"
            raise ConfigError(
                f"--slurm: {given}; expected a long option of sbatch without its --, but {', '.join(sorted(_OURS))}"
            )


def script(runs: Sequence[Run], study: Study, arguments: str, options: Sequence[Option], jobs: int | None) -> str:
    """Return the text of the array script. A task that is requeued goes on after the last whole epoch of its run."""
    outputs = str((study.folder / OUTPUTS).absolute()).replace("%", "%%")  # sbatch puts numbers in the place of %A and the like
    directives: dict[str, str | None] = {
        "job-name": study.name,
        "array": f"0-{len(runs) - 1}" + (f"%{jobs}" if jobs else ""),
        "output": f"{outputs}/%A_%a.txt",
        "open-mode": "append",
        **dict(options),
    }
    lines = [f"#SBATCH --{key}" + ("" if value is None else f"={shlex.quote(value)}") for key, value in directives.items()]
    names = "\n".join(f"  {shlex.quote(run.name)}" for run in runs)
    return "\n".join(
        [
            "#!/bin/bash",
            *lines,
            "#SBATCH --requeue",
            "",
            f"cd {shlex.quote(os.getcwd())} || exit 1",
            f"runs=(\n{names}\n)",
            f"exec {shlex.quote(sys.executable)} {shlex.quote(str(MAIN))} {arguments} --run "
            '"${runs[${SLURM_ARRAY_TASK_ID:?}]:?is no run of this script}"',
            "",
        ]
    )
