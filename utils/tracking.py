"""Trackers beside the local files: wandb, in a thread of its own, or nothing. wandb is imported here alone, if asked for."""

from __future__ import annotations

import logging
import netrc
import os
import secrets
import string
from pathlib import Path
from typing import Any, Literal, Protocol

from utils.background_tracker import BackgroundTracker, reason
from utils.config import ExperimentConfig
from utils.errors import UserError

log = logging.getLogger(__name__)

DEFAULT_PROJECT = "less-is-more"
INIT_SECONDS = 20.0
"""How long wandb tries to begin an online run before it is kept offline; less than a trial's end waits for the tracker."""


class Tracker(Protocol):
    """What a trial tells a tracker."""

    run_id: str | None
    """Goes into the checkpoint, so that a resumed trial continues its run; known from the start, though it may change if wandb
    cannot be reached."""

    def log(self, values: dict[str, Any]) -> None:
        """One event; ``epoch`` is among the values."""

    def image(self, name: str, path: Path, epoch: int) -> None:
        """A PNG file."""

    def finish(self, summary: dict[str, Any]) -> None:
        """Final values; the run ends."""


class NoTracker:
    """Tracks nothing."""

    run_id: str | None = None

    def log(self, values: dict[str, Any]) -> None:
        """Nothing."""

    def image(self, name: str, path: Path, epoch: int) -> None:
        """Nothing."""

    def finish(self, summary: dict[str, Any]) -> None:
        """Nothing."""


class WandbTracker:
    """One wandb run, waited for. Events carry ``epoch`` and no step of their own: wandb drops steps that go backwards."""

    def __init__(self, wandb: Any, run: Any) -> None:
        self._wandb, self._run = wandb, run
        self.run_id: str | None = run.id
        run.define_metric("epoch")
        run.define_metric("*", step_metric="epoch")

    def log(self, values: dict[str, Any]) -> None:
        """One event."""
        self._run.log({name: value for name, value in values.items() if value is not None})

    def image(self, name: str, path: Path, epoch: int) -> None:
        """A PNG file."""
        self._run.log({name: self._wandb.Image(str(path)), "epoch": epoch})

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the final values and end the run."""
        self._run.summary.update(summary)
        self._run.finish()


def has_api_key() -> bool:
    """True if wandb could log in without asking."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1].split("/")[0]
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, ValueError, netrc.NetrcParseError):
        return False


def tracking_mode(config: ExperimentConfig) -> Literal["online", "offline", "disabled"]:
    """What ``tracking`` and the environment's ``WANDB_MODE`` say together: online, offline or disabled.

    Raises:
        UserError: tracking is on and wandb cannot be imported.
    """
    mode = config.tracking
    if mode != "disabled" and os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        mode = "disabled" if os.environ["WANDB_MODE"] == "disabled" else "offline"
    if mode != "disabled":
        try:
            # Here and not in the tracker's thread: the loaders' workers are forked, and a fork in the middle of an import
            # leaves them with locks that nobody opens.
            import wandb  # noqa: F401
        except Exception as error:  # a package that does not fit raises anything
            raise UserError(
                f"tracking: {config.tracking!r} needs wandb, which cannot be imported ({reason(error)}): "
                "pip install wandb, or set tracking: disabled"
            ) from None
    return mode


def new_run_id() -> str:
    """An id as wandb makes them; not from the seeded generators, which must give the same numbers with and without wandb."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))


def make_tracker(config: ExperimentConfig, name: str, folder: Path, run_id: str | None = None) -> Tracker:
    """The tracker of one run called ``name``; never prompts, never raises later, never keeps the training waiting.

    Args:
        config: ``tracking``, ``wandb_project`` and ``wandb_entity``; the environment's ``WANDB_MODE``, ``WANDB_PROJECT`` and
            ``WANDB_ENTITY`` fill in what it leaves open. ``WANDB_MODE=offline`` or ``disabled`` also wins over ``online``.
        name: of the run; the group is the experiment.
        folder: where wandb keeps its local files.
        run_id: of the run to continue.

    Raises:
        UserError: tracking is on and wandb cannot be imported.
    """
    mode = tracking_mode(config)
    if mode == "disabled":
        return NoTracker()
    import wandb

    if mode == "online" and not has_api_key():
        log.warning("tracking: there is no wandb API key, so the run is kept offline (wandb sync uploads it later)")
        mode = "offline"
    # An offline run cannot be continued: the local files are the record.
    first_id = run_id if run_id is not None and mode == "online" else new_run_id()
    # wandb has lines for the terminal that a run's own settings do not silence.
    os.environ.setdefault("WANDB_SILENT", "true")
    given: dict[str, Any] = {
        "project": config.wandb_project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT,
        "entity": config.wandb_entity or os.environ.get("WANDB_ENTITY") or None,
        "group": config.Experiment_name,
        "name": name,
        "config": config.as_dict(),
        "dir": str(folder),
    }

    def begin() -> Tracker:
        given["settings"] = wandb.Settings(silent=True, console="off", init_timeout=INIT_SECONDS)
        own_id = first_id
        if mode == "online":
            try:
                return WandbTracker(wandb, wandb.init(mode="online", id=first_id, resume="allow", **given))
            except Exception as error:  # no network, a bad key, a server that is down: wandb has a type for each
                log.warning("tracking: wandb cannot be reached (%s); the run is kept offline", reason(error))
            own_id = new_run_id()  # to wandb, the first one is in use
        return WandbTracker(wandb, wandb.init(mode="offline", id=own_id, **given))

    return BackgroundTracker(begin, wandb.teardown, first_id)
