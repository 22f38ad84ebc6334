"""Progress of the runs of a study, read from their folders without changing them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from engine import checkpoint as files
from engine.resuming import Changes, changed_values, check_folder, is_finished, told
from settings.config import ExperimentConfig, load_config
from settings.nature import natures
from study.launch import with_remedy
from study.plan import Run, Study
from utils.errors import HeldError, TrialError, UserError
from utils.locks import refuse_if_held

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """Progress of one run."""

    run: Run
    finished: bool
    epochs: int
    """Epochs that are trained so far."""
    held: str = ""
    """Sentence about the process that trains it; empty if none does."""
    failure: str = ""
    """Reason why it failed the last time, or cannot be continued."""
    changed: Changes = field(default_factory=dict)
    """Values of the configuration that were others when it was trained."""

    @property
    def word(self) -> str:
        """State in one word or two."""
        if self.finished:
            return "finished"
        if self.held:
            return "being trained"
        if self.failure:
            return "failed"
        return f"stopped after epoch {self.epochs}" if self.epochs else "new"


def progress_of(study: Study) -> list[Progress]:
    """Return the progress of all runs, in the study's order; a run with damaged files counts as failed.

    Raises:
        TrialError: a folder is that of a run with another configuration, or cannot be written.
    """
    progress = [look(study, run, holder(run)) for run in study.runs]
    for run_progress in progress:
        if run_progress.changed:
            raise TrialError(_other_values(run_progress))
    return progress


def holder(run: Run) -> str:
    """Return a sentence about the process that trains a run; empty if none does.

    Raises:
        TrialError: the study's folder cannot be written.
    """
    try:
        refuse_if_held(run.folder.parent, run.name)
    except HeldError as error:
        return str(error)
    return ""


def look(study: Study, run: Run, held: str = "", ignoring: Iterable[str] = ()) -> Progress:
    """Read the progress of a run.

    Args:
        study: that it belongs to.
        run: whose folder is looked at.
        held: sentence about the process that trains it, if one does.
        ignoring: keys of the configuration whose values may differ.
    """
    if not run.folder.exists():
        return Progress(run, False, 0, held, read_failure(study, run))
    path, may_differ = run.folder / files.CONFIG, set(ignoring)
    if run.config.precision == "auto":
        may_differ.add("precision")  # study/launch.py keeps the one that the run was begun with
    changed: Changes = {}
    finished, damage = False, ""
    try:
        saved = load_config(path) if path.is_file() else None
        if saved is not None:
            changed = {path: values for path, values in changed_values(saved, run.config).items() if path not in may_differ}
        if not held:  # who is at it may be writing what is looked at here
            check_folder(saved or run.config, run.folder, resume=True)
        finished = saved is not None and is_finished(run.folder, run.config)
    except UserError as error:
        damage = with_remedy(run, error)
    epochs = len(files.read_lines(run.folder / files.METRICS))
    return Progress(run, finished, epochs, held, "" if finished else damage or read_failure(study, run), changed)


def finished_runs(study: Study) -> tuple[list[Run], dict[str, list[str]]]:
    """Return the finished runs, and the names of those that failed or are missing, each with the reason."""
    finished = []
    others: dict[str, list[str]] = {"failed": [], "missing": []}
    machine = [key for key, nature in natures(ExperimentConfig).items() if nature.machine]
    for progress in (look(study, run, ignoring=machine) for run in study.runs):
        name = progress.run.name
        if progress.changed:
            others["missing"].append(f"{name}: was trained with other values of {', '.join(progress.changed)}")
        elif progress.finished:
            finished.append(progress.run)
        elif progress.failure:
            others["failed"].append(f"{name}: {progress.failure}")
        elif progress.epochs:
            others["missing"].append(f"{name}: {progress.epochs} of {progress.run.config.epochs} epochs are trained")
        else:
            others["missing"].append(name)
    return finished, others


def _other_values(progress: Progress) -> str:
    """Return why a study cannot go on."""
    return (
        f"{progress.run.folder} was trained with another configuration ({told(progress.changed)}): give the same values to "
        "continue the study, delete all of its runs with --overwrite, or begin another one with study=<name>"
    )


def failure_path(study: Study, run: Run) -> Path:
    """Return the file that says why a run failed."""
    return study.folder / "failures" / f"{run.name}.json"


def read_failure(study: Study, run: Run) -> str:
    """Read why a run failed; empty if it did not."""
    path = failure_path(study, run)
    try:
        return str(files.load_json(path).get("reason", "for an unknown reason")) if path.is_file() else ""
    except TrialError:
        return f"for an unknown reason ({path} cannot be read)"


def note_failure(study: Study, run: Run, reason: str | None) -> None:
    """Write down why a run failed, or, with None, that it did not; what the system refuses (a full disk) is only a warning."""
    path = failure_path(study, run)
    try:
        if reason is None:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.save_json(path, {"run": run.name, "reason": reason})
    except OSError as error:
        log.warning("%s", error)
