"""What launched processes do in the place of ``study.launch.attempt``; they import it from here."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch

from study.launch import Outcome, attempt
from study.plan import Run
from tests.killed_runs import Act, Moment, install
from tests.narrow import resnet18_narrow
from tests.studies import fake_run
from utils.locks import experiment_lock


def narrow(run: Run) -> Outcome:
    """Train a run with a narrow network, as the fixture ``trained_study`` did."""
    with resnet18_narrow():
        return attempt(run)


def tell(run: Run) -> Outcome:
    """Write down where a run is done; nothing is trained."""
    fake_run(run, {})
    told = {
        "pid": os.getpid(),
        "threads": torch.get_num_threads(),
        "variable": os.environ["OMP_NUM_THREADS"],
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "folder": os.getcwd(),
    }
    (run.folder / "told.json").write_text(json.dumps(told))
    os.write(1, f"printed by {run.name}\n".encode())
    return Outcome(run, "finished")


def die(run: Run) -> Outcome:
    """Do as if a run were trained, but for a single task: there the process dies."""
    if run.name == "seg_dense_trial_0":
        os.kill(os.getpid(), signal.SIGKILL)
    if run.name == "depth_dense_trial_0":
        os._exit(7)
    return tell(run)


def wait(run: Run) -> Outcome:
    """Hold the lock of a run until Ctrl-C comes, and note that in a file."""
    with experiment_lock(run.folder.parent, run.name):
        try:
            for _ in range(2000):  # Ray interrupts between two operations of Python, and none of them
                time.sleep(0.1)
        except KeyboardInterrupt:
            (run.folder / "interrupted").touch()
            raise
    return Outcome(run, "finished")


def _hang(inner: Act, *args: Any, **kwargs: Any) -> Any:
    """In the place of a second epoch: say who does it, and wait to be killed."""
    trial = args[0]
    Path(trial.folder.parent.parent, f"{trial.folder.name}.pid").write_text(str(os.getpid()))
    time.sleep(200)


def narrow_hanging_once(run: Run) -> Outcome:
    """Train a run as :func:`narrow` does; the first two runs hang in their second epoch until they are killed, once."""
    hangs = run.name in ("seg_dense_trial_0", "depth_dense_trial_0")
    if hangs and not Path(run.folder.parent.parent, f"{run.name}.pid").exists():
        install(Moment("engine.trainer:train_one_epoch", _hang, 2))
    return narrow(run)
