"""Launching of runs: the one place that a study asks to have its runs done.

A launcher takes runs and yields an outcome for each, in any order. :func:`one_after_another` does them in this process. One
that sends them elsewhere calls :func:`attempt` there: a run is a configuration and a folder, and whoever can reach that folder
and the data brings it to its end, from wherever it was left. The folder's lock keeps two from doing the same one.
"""

from __future__ import annotations

import gc
import logging
import re
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from engine import checkpoint as files
from engine.device import resolve
from engine.experiment import run_trial
from engine.resuming import check_folder, drop_state, is_finished
from engine.trainer import TrainingDivergedError
from settings.config import ExperimentConfig, load_config
from study.plan import Run
from utils.console import user_message
from utils.errors import HeldError, TrialError, UserError
from utils.files import remove_unfinished
from utils.locks import experiment_lock

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0
"""Time between two attempts at a run that is held."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of a run."""

    run: Run
    status: Literal["finished", "failed", "held"]
    """``held``: another process is at it."""
    reason: str = ""
    """Reason why the run is not finished."""


Launcher = Callable[[Sequence[Run]], Iterable[Outcome]]


def one_after_another(runs: Sequence[Run]) -> Iterator[Outcome]:
    """Do the runs in this process, in order. Ctrl-C ends it; a run that fails does not."""
    failed = set[Run]()
    for number, run in enumerate(runs, 1):
        log.info("run %d of %d: %s", number, len(runs), run.title)
        outcome = without_needs(run, failed) or attempt(run)
        if outcome.status == "failed":
            failed.add(run)
        yield outcome


def attempt(run: Run) -> Outcome:
    """Bring a run to its end, after those that it needs; whatever stops it is its outcome, and not an error."""
    try:
        if run.needs and not is_finished(run.folder, run.config):
            for needed in run.needs.values():
                finish_first(needed, run)
        train_and_test(run)
    except HeldError as error:
        return Outcome(run, "held", error.fact)
    except torch.OutOfMemoryError as error:
        reason = (
            f"the device has too little memory; lower train_batch_size (and raise accumulate) or input_shape ({_line(error)})"
        )
    except TrialError as error:
        reason = with_remedy(run, error)
    except UserError as error:
        reason = user_message(error)
    except TrainingDivergedError as error:  # the trial has logged it
        free_device_memory()
        return Outcome(run, "failed", str(error))
    except OSError as error:
        reason = str(error)
    except Exception as error:
        # Nothing that this project foresaw. The others are done all the same, and the log has all that is known of this one.
        log.exception("run %s failed", run.name)
        reason = f"{type(error).__name__}: {_line(error)}"
    else:
        return Outcome(run, "finished")
    log.error("run %s failed: %s", run.title, reason)
    free_device_memory()
    return Outcome(run, "failed", reason)


def free_device_memory() -> None:
    """Give back what this process has on the device and does not need any more: of a failed run, or of timed steps."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def finish_first(needed: Run, run: Run) -> None:
    """Bring a run that another one needs to its end, or wait until the process that is at it has done so.

    Raises:
        UserError: it failed.
    """
    if not (needed.folder / files.TEST).is_file():
        log.info("run %s needs %s, which goes first", run.name, needed.name)
    waiting = ""
    while (outcome := attempt(needed)).status == "held":
        if outcome.reason != waiting:
            log.info("run %s waits: %s", run.name, outcome.reason)
        waiting = outcome.reason
        time.sleep(POLL_SECONDS)
    if outcome.status == "failed":
        raise UserError(f"{_needed(needed)}: {outcome.reason}")


def without_needs(run: Run, failed: Container[Run]) -> Outcome | None:
    """Return the outcome of a run that needs one of those that failed; None: it needs none of them."""
    needed = next((other for other in run.needs.values() if other in failed), None)
    return None if needed is None else Outcome(run, "failed", _needed(needed))


def _needed(needed: Run) -> str:
    return f"it needs {needed.name}, which failed"


def train_and_test(run: Run) -> None:
    """Train what is left of a run, and test its best network; nothing where that is done.

    Raises:
        HeldError: another process is at it.
        UserError: the data, the folder or the device is not as the configuration says.
        TrainingDivergedError: a loss is not finite.
    """
    root = run.folder.parent
    with experiment_lock(root, run.name):
        remove_unfinished(root, re.escape(run.name))
        config, device = resolve(_as_begun(run))
        if run.folder.exists():
            check_folder(config, run.folder, resume=True)
            if is_finished(run.folder, config):
                drop_state(run.folder, config)
                return
        run_trial(config, run.trial, device, resume=True, group=root.name)


def with_remedy(run: Run, error: UserError) -> str:
    """Say what is wrong, and how to repair the folder of this run alone (``--overwrite`` deletes the whole study)."""
    fact = error.fact if isinstance(error, TrialError) else error
    return f"{fact}; or delete {run.folder}, and this run is trained anew"


def _as_begun(run: Run) -> ExperimentConfig:
    """Return a run's configuration. Where that leaves the precision to the machine, an existing run keeps its own."""
    path = run.folder / files.CONFIG
    if run.config.precision != "auto" or not path.is_file():
        return run.config
    return run.config.model_copy(update={"precision": load_config(path).precision})


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
