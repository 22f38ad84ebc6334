"""A study from its plan to its last run."""

from __future__ import annotations

import json
import logging
import shlex
import socket
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from engine import checkpoint as files
from engine.device import resolve
from engine.experiment import check_inputs, check_network
from engine.frames_record import Frames, check_frames, frames_of
from engine.resuming import check_folder, drop_state, existing_trials, nothing_to_resume
from engine.starting import check_networks
from settings.config import ExperimentConfig
from settings.messages import nearest
from study.disk import bytes_text, run_size, told
from study.estimate import Clock
from study.launch import POLL_SECONDS, Launcher, Outcome, attempt, one_after_another
from study.plan import Study
from study.progress import Progress, failure_path, note_failure, progress_of
from study.record import RECORD, Command, write_record
from study.twins import baseline_of
from utils.cli import continuing
from utils.console import duration, listed
from utils.errors import ConfigError
from utils.files import remove_folder, unwritable
from utils.locks import experiment_lock, holder_note, refuse_if_held

log = logging.getLogger(__name__)

DEAD_MACHINE_SECONDS = 150.0
"""Time for which a file server may keep the locks of a machine that is dead; a queue may begin its run again before."""


def run_study(
    study: Study,
    command: Command,
    *,
    plan_only: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    launcher: Launcher = one_after_another,
) -> list[Outcome]:
    """Show the plan of a study, and do the runs that are not finished.

    Args:
        study: what is to be run.
        command: as it was typed, with the study's file, which is kept beside the runs.
        plan_only: show the plan, and do nothing.
        resume: continue what is there, and refuse to begin (without it, a study does what is left, from its begin on).
        overwrite: delete all runs of the study first.
        launcher: does the runs.

    Returns:
        One outcome per run that was not finished; empty with ``plan_only``.

    Raises:
        UserError: the data, a folder or a configuration is not as it should be; then nothing was started.
    """
    obstacle = unwritable(study.folder)
    if obstacle is not None:
        raise ConfigError(f"folder: {study.folder} cannot be written ({obstacle} is no folder that this user may write into)")
    if resume and not _folders(study):
        root = study.folder.parent
        names = sorted(path.parent.name for path in root.glob(f"*/{RECORD}"))
        raise nothing_to_resume(f"run of study {study.name!r}", root, study.name, names)
    progress = _as_new(study) if overwrite else progress_of(study)
    unfinished = (obstacle.run for obstacle in progress if not obstacle.finished)
    wanted = list({run.setting.name: run.own_config for run in unfinished}.values())
    for config in wanted:
        check_network(config)
    for run in {run.setting.name: run for run in (each.run for each in progress) if run.needs}.values():
        check_networks(run.config, {key: needed.config for key, needed in run.needs.items()})
    frames = _check_inputs(map(_uncached, wanted))
    for folder, config in _folders(study) if not overwrite else ():
        check_frames(folder, frames.get(_data_of(config), {}))
    clock = Clock(progress)
    _show(study, progress, clock, _strangers(study, overwrite))
    if plan_only:
        return []
    _check_inputs(wanted)
    if overwrite:
        _remove(study)
    study.folder.mkdir(parents=True, exist_ok=True)
    write_record(study, command)
    for ended in progress:
        if ended.finished and not ended.held:
            drop_state(ended.run.folder, ended.run.config)  # a process that was killed before that left it
    outcomes = _launch(study, command, progress, clock, launcher)
    _conclude(study, outcomes)
    return outcomes


def run_alone(study: Study, command: Command, name: str) -> Outcome:
    """Bring one run to its end; the plan is not shown, and no other run is looked at.

    Args:
        study: that it belongs to.
        command: as it was typed; kept if the study has no record yet.
        name: of the run.

    Raises:
        ConfigError: the study has no such run.
    """
    runs = {run.name: run for run in study.runs}
    if name not in runs:
        raise ConfigError(f"--run: {name!r} is no run of study {study.name!r}{nearest(name, runs)}")
    if not (study.folder / RECORD).is_file():
        study.folder.mkdir(parents=True, exist_ok=True)
        write_record(study, command)
    outcome = attempt(runs[name])
    until = time.monotonic() + DEAD_MACHINE_SECONDS
    while outcome.status == "held" and time.monotonic() < until and _is_elsewhere(runs[name].folder):
        time.sleep(POLL_SECONDS)
        outcome = attempt(runs[name])
    if outcome.status != "held":
        note_failure(study, outcome.run, outcome.reason if outcome.status == "failed" else None)
    log.info("study %s: %s: %s", study.name, name, " ".join(filter(None, (outcome.status, outcome.reason))))
    return outcome


def _is_elsewhere(folder: Path) -> bool:
    """Return True if the process that is at a run is on another machine, perhaps one that is dead."""
    return (holder_note(folder.parent, folder.name) or {}).get("host", socket.gethostname()) != socket.gethostname()


def _check_inputs(configs: Iterable[ExperimentConfig]) -> dict[str, Frames]:
    """Refuse a device, data, weights to start from, or a tracker, that is not there; fills the caches that are configured.

    Returns:
        The frames per kind of data (:func:`_data_of`).
    """
    kinds = {json.dumps(config.select(lambda nature: bool(nature.needs))): config for config in configs}
    return {_data_of(config): frames_of(check_inputs(*resolve(config))) for config in kinds.values()}


def _data_of(config: ExperimentConfig) -> str:
    """Return what tells the data of an experiment from that of others, whatever tasks are trained on it."""
    data = _uncached(config).select(lambda nature: nature.needs == "data")
    return json.dumps({key: value for key, value in data.items() if key != "task_list"}, sort_keys=True)


def _as_new(study: Study) -> list[Progress]:
    """Return the progress of runs that are all deleted first.

    Raises:
        TrialError: another process is at a run, or a folder is no run's.
    """
    for folder, config in _folders(study):
        refuse_if_held(folder.parent, folder.name)
        check_folder(config, folder, resume=False)
    return [Progress(run, False, 0) for run in study.runs]


def _remove(study: Study) -> None:
    """Delete all runs of the study's settings, and what is written about their failures."""
    for folder, _ in _folders(study):
        with experiment_lock(folder.parent, folder.name):
            remove_folder(folder)
    for run in study.runs:
        failure_path(study, run).unlink(missing_ok=True)


def _folders(study: Study) -> list[tuple[Path, ExperimentConfig]]:
    """Return the folders of all existing runs, also of trials that the study does not ask for any more."""
    return [(folder, setting.config) for setting in study.settings for folder in existing_trials(setting.config)]


def _uncached(config: ExperimentConfig) -> ExperimentConfig:
    """Return a configuration whose check writes nothing and reads no frame."""
    return config.model_copy(update={"cache": False, "on_bad_sample": "error"})


def _show(study: Study, progress: Sequence[Progress], clock: Clock, strangers: Sequence[str]) -> None:
    """Print the plan: one row per setting, and the names of runs that are none of the study's."""
    title = f"study {study.name}: {len(study.settings)} settings, {len(study.runs)} runs"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("trials", justify="right", no_wrap=True)
    table.add_column("of these", min_width=12)
    table.add_column("time left", justify="right", no_wrap=True)
    table.add_column("disk", justify="right", no_wrap=True)
    sizes = [run_size(setting.config) for setting in study.settings]
    for setting, size in zip(study.settings, sizes, strict=True):
        trials = [run_progress for run_progress in progress if run_progress.run.setting is setting]
        words = Counter(run_progress.word for run_progress in trials)
        state = ", ".join(f"{count} {word}" if setting.trials > 1 else word for word, count in words.items())
        left = "" if all(run_progress.finished for run_progress in trials) else duration(sum(map(clock.seconds, trials)))
        table.add_row(setting.name, str(setting.trials), state, left, bytes_text(size.kept * setting.trials))
    console = Console()
    # Names are to be read, and copied, whole: a line that is longer than the terminal is better than half a name.
    console.width = max(console.width, max(len(setting.name) for setting in study.settings) + 50)
    console.print(table)
    left = f"In all about {duration(sum(map(clock.seconds, progress)))} are left, less where runs stop early"
    left = "All runs are finished" if all(run_progress.finished for run_progress in progress) else left
    disk = told(zip(sizes, (setting.trials for setting in study.settings), strict=True))
    console.print(f"{left}; the runs are in {study.folder}\n{disk}", soft_wrap=True, markup=False, highlight=False)
    single = [setting for setting in study.settings if not setting.sparse and len(setting.config.task_list) == 1]
    without = [other.name for other in study.settings if other not in single and baseline_of(other, study.settings) is None]
    if without:
        text = (
            "What several tasks change against each task alone (delta_MTL) will stay open for "
            f"{listed(without, 3)}: no dense runs of each task alone are planned (tasks: [singles], group_sparsity: false)"
        )
        console.print(text, soft_wrap=True, markup=False, highlight=False)
    if strangers:
        text = f"Not in the study's file (any more), left where they are, and out of the report: {', '.join(strangers)}"
        console.print(text, soft_wrap=True, markup=False, highlight=False)


def _strangers(study: Study, overwrite: bool) -> list[str]:
    """Return the names of runs in the study's folder that are none of its runs, and stay there."""
    ours = {run.folder for run in study.runs} | ({folder for folder, _ in _folders(study)} if overwrite else set())
    return sorted(path.parent.name for path in study.folder.glob(f"*/{files.CONFIG}") if path.parent not in ours)


def _launch(study: Study, command: Command, progress: Sequence[Progress], clock: Clock, launcher: Launcher) -> list[Outcome]:
    """Do what is not finished, and say after each run what is left."""
    waiting = {run_progress.run: clock.seconds(run_progress) for run_progress in progress if not run_progress.finished}
    number, start, done = len(waiting), time.monotonic(), 0.0
    outcomes: list[Outcome] = []
    if not waiting:
        return outcomes
    try:
        for outcome in launcher(list(waiting)):
            outcomes.append(outcome)
            planned = waiting.pop(outcome.run)
            if outcome.status != "held":  # else whoever is at it notes what becomes of it
                note_failure(study, outcome.run, outcome.reason if outcome.status == "failed" else None)
            if outcome.status == "finished":
                done += planned
            # What it took so far corrects what was expected.
            factor = (time.monotonic() - start) / done if done else 1.0
            left = f", for about {duration(sum(waiting.values()) * factor)}" if waiting else ""
            log.info(
                "study %s: %s: %s; %d of %d runs are left%s",
                *(study.name, outcome.run.title, outcome.status, len(waiting), number, left),
            )
    except KeyboardInterrupt:
        log.warning(
            "study %s: interrupted with %d of %d runs left; go on with: %s",
            *(study.name, len(waiting), number, continuing(command.text)),
        )
        raise
    return outcomes


def _conclude(study: Study, outcomes: Sequence[Outcome]) -> None:
    """Log which runs failed, and how many are finished."""
    finished = {run_progress.run for run_progress in progress_of(study) if run_progress.finished}
    for status, what in (("failed", "failed"), ("held", "left to the process that is at them")):
        some = [outcome for outcome in outcomes if outcome.status == status and outcome.run not in finished]
        if some:
            listed = "".join(f"\n  {outcome.run.name}: {outcome.reason}" for outcome in some)
            (log.error if status == "failed" else log.warning)("%d of %d runs %s:%s", len(some), len(study.runs), what, listed)
    log.info(
        "study %s: %d of %d runs are finished; tables, figures and report.html: python make_report.py --study %s",
        *(study.name, len(finished), len(study.runs), shlex.quote(str(study.folder))),
    )
