"""Trackers beside the local files: wandb, or nothing. wandb is imported here alone, if asked for."""

from __future__ import annotations

import contextlib
import logging
import netrc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from settings.config import ExperimentConfig
from utils.errors import UserError

log = logging.getLogger(__name__)

DEFAULT_PROJECT = "less-is-more"
INIT_SECONDS = 20.0
"""Seconds for which wandb tries to begin an online run before it is kept offline."""
FINISH_SECONDS = 30.0
"""Seconds for which the end of a trial waits for wandb's uploads, where the installed version has a limit for that."""


class NoTracker:
    """Receiver of what a trial reports; this one tracks nothing."""

    run_id: str | None = None
    """Goes into the checkpoint, so that a resumed trial continues its run."""

    def log(self, values: dict[str, Any]) -> None:
        """One event; ``epoch`` is among the values."""

    def image(self, name: str, path: Path, epoch: int) -> None:
        """A PNG file."""

    def file(self, name: str, path: Path) -> None:
        """A text file."""

    def finish(self, summary: dict[str, Any]) -> None:
        """Final values; the run ends."""


class WandbTracker:
    """One wandb run, which a process of wandb's writes and uploads: a call only hands over.

    No method raises: the first error of wandb's is one warning, and from then on nothing is tracked. Events carry ``epoch`` and
    no step of their own: wandb drops steps that go backwards.

    Args:
        wandb: the module.
        begin: makes the run.
    """

    def __init__(self, wandb: Any, begin: Callable[[], Any]) -> None:
        self._wandb, self._failed = wandb, False
        self._run: Any = None
        self.run_id: str | None = None
        self._try(lambda: self._begin(begin()))

    def _begin(self, run: Any) -> None:
        self._run, self.run_id = run, run.id
        run.define_metric("epoch")
        run.define_metric("*", step_metric="epoch")

    def log(self, values: dict[str, Any]) -> None:
        """One event."""
        self._try(lambda: self._run.log({name: value for name, value in values.items() if value is not None}))

    def image(self, name: str, path: Path, epoch: int) -> None:
        """A PNG file."""
        self._try(lambda: self._run.log({name: self._wandb.Image(str(path)), "epoch": epoch}))

    def file(self, name: str, path: Path) -> None:
        """A text file as it is now, which wandb shows under its own name."""
        self._try(lambda: self._run.save(str(path), base_path=str(path.parent), policy="now"))

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the final values and end the run."""
        self._try(lambda: (self._run.summary.update(summary), self._run.finish()))

    def _try(self, call: Callable[[], Any]) -> None:
        if self._failed:
            return
        try:
            call()
        except (Exception, SystemExit) as error:  # wandb raises that too
            self._failed = True
            log.warning(
                "tracking: wandb failed (%s); this trial goes on without it, its local files are complete", _reason(error)
            )
            # Whatever is left of its service would fail again for the next trial, and when the process ends.
            with contextlib.suppress(Exception, SystemExit):
                self._wandb.teardown()


Tracker = NoTracker | WandbTracker


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
    """Return what ``tracking`` and the environment's ``WANDB_MODE`` say together: online, offline or disabled.

    Raises:
        UserError: tracking is on and wandb cannot be imported.
    """
    mode = config.tracking
    if mode != "disabled" and os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        mode = "disabled" if os.environ["WANDB_MODE"] == "disabled" else "offline"
    if mode != "disabled":
        try:
            import wandb  # noqa: F401
        except Exception as error:  # a package that does not fit raises anything
            raise UserError(
                f"tracking: {config.tracking!r} needs wandb, which cannot be imported ({_reason(error)}): "
                "pip install wandb, or set tracking: disabled"
            ) from None
    return mode


def make_tracker(config: ExperimentConfig, name: str, folder: Path, run_id: str | None = None) -> Tracker:
    """The tracker of one run called ``name``; never prompts, and never raises later.

    Args:
        config: ``tracking``, ``wandb_project`` and ``wandb_entity``; the environment's ``WANDB_MODE``, ``WANDB_PROJECT`` and
            ``WANDB_ENTITY`` fill in what it leaves open. ``WANDB_MODE=offline`` or ``disabled`` also wins over ``online``.
        name: of the run; the group is the experiment.
        folder: where wandb keeps its local files.
        run_id: of the run to continue, if it is online: an offline run cannot be continued, the local files are the record.

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
    # wandb has lines for the terminal that a run's own settings do not silence.
    os.environ.setdefault("WANDB_SILENT", "true")

    def begin() -> Any:
        settings = {"silent": True, "console": "off", "init_timeout": INIT_SECONDS}
        if "finish_timeout" in getattr(wandb.Settings, "model_fields", ()):
            settings["finish_timeout"] = FINISH_SECONDS
        given: dict[str, Any] = {
            "project": config.wandb_project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT,
            "entity": config.wandb_entity or os.environ.get("WANDB_ENTITY") or None,
            "group": config.Experiment_name,
            "name": name,
            "config": config.as_dict(),
            "dir": str(folder),
            "settings": wandb.Settings(**settings),
        }
        if mode == "online":
            try:
                return wandb.init(mode="online", id=run_id, resume="allow", **given)
            except Exception as error:  # no network, a bad key, a server that is down: wandb has a type for each
                log.warning("tracking: wandb cannot be reached (%s); the run is kept offline", _reason(error))
        return wandb.init(mode="offline", **given)

    return WandbTracker(wandb, begin)


def _reason(error: BaseException) -> str:
    """An error in one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200].rstrip(": ")
