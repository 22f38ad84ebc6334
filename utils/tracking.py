"""Trackers beside the local files: wandb, or nothing. wandb is imported here alone, and only if it is asked for."""

from __future__ import annotations

import logging
import netrc
import os
from pathlib import Path
from typing import Any, Literal, Protocol

from utils.config import ExperimentConfig
from utils.errors import UserError

log = logging.getLogger(__name__)

DEFAULT_PROJECT = "less-is-more"


class Tracker(Protocol):
    """What a trial tells a tracker."""

    run_id: str | None
    """Goes into the checkpoint, so that a resumed trial continues its run."""

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
    """One wandb run. Events carry ``epoch`` and no step of their own: wandb drops steps that go backwards."""

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
    except (OSError, netrc.NetrcParseError):
        return False


def tracking_mode(config: ExperimentConfig) -> Literal["online", "offline", "disabled"]:
    """What ``tracking`` and the environment's ``WANDB_MODE`` say together: online, offline or disabled.

    Raises:
        UserError: tracking is on and wandb is not installed.
    """
    mode = config.tracking
    if mode != "disabled" and os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        mode = "disabled" if os.environ["WANDB_MODE"] == "disabled" else "offline"
    if mode != "disabled":
        try:
            import wandb  # noqa: F401
        except ImportError:
            raise UserError(
                f"tracking: {config.tracking!r} needs wandb, which is not installed: "
                "pip install wandb, or set tracking: disabled"
            ) from None
    return mode


def make_tracker(config: ExperimentConfig, name: str, folder: Path, run_id: str | None = None) -> Tracker:
    """The tracker of one run called ``name``; never prompts.

    Args:
        config: ``tracking``, ``wandb_project`` and ``wandb_entity``; the environment's ``WANDB_MODE``, ``WANDB_PROJECT`` and
            ``WANDB_ENTITY`` fill in what it leaves open. ``WANDB_MODE=offline`` or ``disabled`` also wins over ``online``.
        name: of the run; the group is the experiment.
        folder: where wandb keeps its local files.
        run_id: of the run to continue.

    Raises:
        UserError: tracking is on and wandb is not installed.
    """
    mode = tracking_mode(config)
    if mode == "disabled":
        return NoTracker()
    import wandb

    if mode == "online" and not has_api_key():
        log.warning("tracking: there is no wandb API key, so the run is kept offline (wandb sync uploads it later)")
        mode = "offline"
    if mode == "offline":
        run_id = None  # an offline run cannot be continued; the local files are the record
    settings: dict[str, Any] = {
        "project": config.wandb_project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT,
        "entity": config.wandb_entity or os.environ.get("WANDB_ENTITY") or None,
        "group": config.Experiment_name,
        "name": name,
        "config": config.as_dict(),
        "dir": str(folder),
        "settings": wandb.Settings(silent=True, console="off"),
    }
    try:
        run = wandb.init(mode=mode, id=run_id, resume="allow" if run_id else None, **settings)
    except wandb.errors.Error as error:
        log.warning("tracking: wandb cannot be reached (%s); the run is kept offline", error)
        run = wandb.init(mode="offline", **settings)
    return WandbTracker(wandb, run)
