"""Trackers beside the local files: wandb, TensorBoard, or nothing. Their packages are imported here alone, if asked for."""

from __future__ import annotations

import contextlib
import logging
import netrc
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import Any, Literal

import numpy as np
from PIL import Image

from settings.config import ExperimentConfig
from utils.errors import UserError

log = logging.getLogger(__name__)

DEFAULT_PROJECT = "less-is-more"
EVENTS = "tensorboard"
"""Folder of TensorBoard's event files in a trial's folder."""
INIT_SECONDS = 20.0
"""Seconds for which wandb tries to begin an online run before it is kept offline."""
FINISH_SECONDS = 30.0
"""Seconds for which the end of a trial waits for wandb's uploads, where the installed version has a limit for that."""

Axis = Literal["epoch", "step"]
Mode = Literal["online", "offline", "tensorboard", "disabled"]


class Tracker:
    """Receiver of what a trial reports; this one tracks nothing. Epochs count from 1, as in the log."""

    run_id: str | None = None
    """Goes into the checkpoint, so that a resumed trial continues its run."""

    def log(self, values: dict[str, Any], axis: Axis = "epoch") -> None:
        """Take one event; ``axis`` is among the values, and the others are drawn over it."""

    def image(self, name: str, path: Path, epoch: int) -> None:
        """Take a PNG file."""

    def file(self, name: str, path: Path) -> None:
        """Take a text file as it is now."""

    def finish(self, summary: dict[str, Any]) -> None:
        """Take the final values; the run ends."""


class _Package(Tracker):
    """Base of the trackers that a package writes.

    No method raises: the first error of the package is one warning, and from then on nothing is tracked.
    """

    package = ""

    def __init__(self) -> None:
        self._failed = False

    def _try(self, call: Callable[[], Any]) -> None:
        if self._failed:
            return
        try:
            call()
        except (Exception, SystemExit) as error:  # wandb raises that too
            self._failed = True
            log.warning(
                "tracking: %s failed (%s); this trial goes on without it, its local files are complete",
                *(self.package, _reason(error)),
            )
            with contextlib.suppress(Exception, SystemExit):
                self._let_go()

    def _let_go(self) -> None:
        """End what is left of the package's threads and processes."""


class WandbTracker(_Package):
    """One wandb run, which a process of wandb's writes and uploads: a call only hands over.

    Events carry their axis and no step of wandb's own: wandb drops steps that go backwards.

    Args:
        wandb: the module.
        begin: makes the run.
    """

    package = "wandb"

    def __init__(self, wandb: Any, begin: Callable[[], Any]) -> None:
        super().__init__()
        self._wandb = wandb
        self._run: Any = None
        self._drawn: set[str] = set()
        self.run_id: str | None = None
        self._try(lambda: self._begin(begin()))

    def _begin(self, run: Any) -> None:
        self._run, self.run_id = run, run.id
        if run.url:
            log.info("tracking: %s", run.url)
        else:
            folder = Path(run.dir).parent
            log.info("tracking: the run is in %s; upload it with: wandb sync %s", folder, shlex.quote(str(folder)))

    def log(self, values: dict[str, Any], axis: Axis = "epoch") -> None:
        """Hand over one event."""
        self._try(lambda: self._log({name: value for name, value in values.items() if value is not None}, axis))

    def _log(self, values: dict[str, Any], axis: Axis) -> None:
        for name in values.keys() - self._drawn:
            # One by one: of several patterns that fit a name, no rule says which one counts.
            self._run.define_metric(name, step_metric=None if name in ("epoch", "step") else axis)
        self._drawn |= values.keys()
        self._run.log(values)

    def image(self, name: str, path: Path, epoch: int) -> None:
        """Hand over a PNG file."""
        self._try(lambda: self._log({name: self._wandb.Image(str(path)), "epoch": epoch}, "epoch"))

    def file(self, name: str, path: Path) -> None:
        """Hand over a text file, which wandb shows under its own name."""
        self._try(lambda: self._run.save(str(path), base_path=str(path.parent), policy="now"))

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the final values and end the run."""
        self._try(lambda: (self._run.summary.update(summary), self._run.finish()))

    def _let_go(self) -> None:
        # Whatever is left of its service would fail again for the next trial, and when the process ends.
        self._wandb.teardown()


class TensorBoardTracker(_Package):
    """Event files in ``<trial>/tensorboard``. A resumed trial adds a file; the epoch that it trains again has the same numbers.

    Args:
        begin: makes the ``SummaryWriter``.
        config: is written as a text.
    """

    package = "tensorboard"

    def __init__(self, begin: Callable[[], Any], config: ExperimentConfig) -> None:
        super().__init__()
        self._writer: Any = None
        self._try(lambda: self._begin(begin(), config))

    def _begin(self, writer: Any, config: ExperimentConfig) -> None:
        self._writer = writer
        lines = (f"{key}: {value}" for key, value in config.as_dict().items())
        writer.add_text("config", indent("\n".join(lines), "    "))

    def log(self, values: dict[str, Any], axis: Axis = "epoch") -> None:
        """Write one event."""
        self._try(lambda: self._log(values, values[axis]))

    def _log(self, values: dict[str, Any], now: int) -> None:
        for name, value in values.items():
            if isinstance(value, str):
                self._writer.add_text(name, value, now)
            elif value is not None and name not in ("epoch", "step"):
                self._writer.add_scalar(name, value, now)
        self._writer.flush()

    def image(self, name: str, path: Path, epoch: int) -> None:
        """Write a PNG file's picture."""
        self._try(lambda: self._writer.add_image(name, _pixels(path), epoch, dataformats="HWC"))

    def file(self, name: str, path: Path) -> None:
        """Write a file's text."""
        self._try(lambda: self._writer.add_text(name, indent(path.read_text(encoding="utf-8"), "    ")))

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the final values, over the epochs that were trained, and close the file."""
        self._try(lambda: self._log(summary, summary.get("epochs", 0)))
        self._try(lambda: self._writer.close())

    def _let_go(self) -> None:
        self._writer.close()


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def has_api_key() -> bool:
    """True if wandb could log in without asking."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1].split("/")[0]
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, ValueError, netrc.NetrcParseError):
        return False


def tracking_mode(config: ExperimentConfig) -> Mode:
    """Return what ``tracking`` and, for wandb, the environment's ``WANDB_MODE`` say together.

    Raises:
        UserError: tracking is on and its package cannot be imported.
    """
    mode = config.tracking
    if mode in ("online", "offline") and os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        mode = "disabled" if os.environ["WANDB_MODE"] == "disabled" else "offline"
    if mode == "disabled":
        return mode
    package = "tensorboard" if mode == "tensorboard" else "wandb"
    try:
        if mode == "tensorboard":
            import torch.utils.tensorboard  # noqa: F401
        else:
            import wandb  # noqa: F401
    except Exception as error:  # a package that does not fit raises anything
        raise UserError(
            f"tracking: {config.tracking!r} needs the package {package}, which cannot be imported ({_reason(error)}): "
            "pip install -r requirements-track.txt, or set tracking: disabled"
        ) from None
    return mode


def make_tracker(
    config: ExperimentConfig, name: str, folder: Path, run_id: str | None = None, group: str | None = None
) -> Tracker:
    """Make the tracker of one run called ``name``; it never prompts, and never raises later.

    Args:
        config: ``tracking``, ``wandb_project`` and ``wandb_entity``; the environment's ``WANDB_MODE``, ``WANDB_PROJECT`` and
            ``WANDB_ENTITY`` fill in what it leaves open. ``WANDB_MODE=offline`` or ``disabled`` also wins over ``online``.
        name: of the run.
        folder: where the tracker keeps its local files.
        run_id: of the run to continue, if it is online: an offline run cannot be continued, the local files are the record.
        group: of the run; None: the experiment.

    Raises:
        UserError: tracking is on and its package cannot be imported.
    """
    mode = tracking_mode(config)
    if mode == "disabled":
        return Tracker()
    if mode == "tensorboard":
        from torch.utils.tensorboard import SummaryWriter

        log.info("tracking: tensorboard --logdir %s", shlex.quote(str(folder.parent)))
        return TensorBoardTracker(lambda: SummaryWriter(str(folder / EVENTS)), config)
    import wandb

    if mode == "online" and not has_api_key():
        log.warning("tracking: there is no wandb API key, so the run is kept offline")
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
            "group": group or config.Experiment_name,
            "name": name,
            "tags": _tags(config),
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


def _tags(config: ExperimentConfig) -> list[str]:
    """Return the data set, the backbone, and the penalty with its target; ``dense`` without a penalty."""
    if not config.group_sparsity:
        return [config.dataset_name, config.backbone, "dense"]
    target = [] if config.target is None else [f"{config.target.key}={config.target.share:g}"]
    return [config.dataset_name, config.backbone, config.penalty.name, *target]


def _reason(error: BaseException) -> str:
    """Return an error as one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200].rstrip(": ")
