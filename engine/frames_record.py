"""Frames that a trial was trained and tested with, kept in its folder, so that it does not go on with others unnoticed.

Splits that are drawn (``split_fractions``) or cut (``val_fraction``) change when a file comes or goes, and so do lists.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from datasets import Loaders
from datasets.base import MultiTaskDataset
from engine import checkpoint as files
from utils.errors import TrialError

log = logging.getLogger(__name__)

FRAMES = "frames.json"
"""Name of the file."""

Frames = dict[str, dict[str, Any]]
"""Per split the number of its frames, ``frames``, and the ``digest`` of their names."""


def frames_of(loaders: Loaders) -> Frames:
    """Return what identifies the frames of all splits, those that cannot be read included."""
    datasets: dict[str, Any] = {"train": loaders.training(loaders.config.seed).dataset}
    datasets |= {split: loaders.evaluation(split).dataset for split in ("val", "test")}
    return {split: _summary(dataset) for split, dataset in datasets.items()}


def _summary(dataset: MultiTaskDataset) -> dict[str, Any]:
    names = sorted([*dataset.names, *dataset.skipped])
    return {"frames": len(names), "digest": hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]}


def keep_frames(folder: Path, frames: Frames) -> None:
    """Write the frames of a trial into its folder."""
    files.save_json(folder / FRAMES, frames)


def check_frames(folder: Path, frames: Frames) -> None:
    """Refuse to continue a trial with other frames; one without such a file may go on.

    Raises:
        TrialError: the sentence names the first split that differs.
    """
    if changed := changed_frames(folder, frames):
        raise TrialError(
            f"{folder} was trained with other frames ({changed}): restore the files and lists of the data to continue it",
            ", or use --overwrite, or another Experiment_name",
        )


def changed_frames(folder: Path, frames: Frames) -> str:
    """Return in words how frames differ from those of a trial; empty if they do not, or it has no such file."""
    saved = files.load_json(folder / FRAMES) if (folder / FRAMES).is_file() else {}
    for split, now in frames.items():
        if (before := saved.get(split, now)) != now:
            number = before.get("frames") if isinstance(before, dict) else None
            return f"{split}: {number} there, {now['frames']}{' others' * (number == now['frames'])} now"
    return ""


def warn_of_changed_frames(folder: Path, dataset: MultiTaskDataset, split: str) -> None:
    """Log if a split has other frames than when a trial was trained."""
    if changed := changed_frames(folder, {split: _summary(dataset)}):
        log.warning(
            "%s was trained when the data had other frames (%s): it may be tested on some that it has seen", folder, changed
        )
