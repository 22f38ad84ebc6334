"""Tiny experiments on synthetic frames: seconds to train."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image

from engine.device import resolve
from engine.trial import Trial
from settings.config import ExperimentConfig
from tasks.table import get_task
from tests.configs import make_config

ROOMS = {"train": 5, "val": 3, "test": 5}
FACES = {"train": 4, "val": 2, "test": 5}
FIELDS = {"train": 8, "val": 6, "test": 6}
SIZE = (32, 32)


@contextmanager
def narrow_resnetd() -> Iterator[None]:
    """Let ``resnetd18`` be narrow and short for a while: a step takes milliseconds, and a checkpoint is small.

    To compute such a network takes less time than to follow the shapes through it on no device.
    """
    short = {"STAGE_WIDTHS": (4, 4, 6, 8), "STAGE_BLOCKS": {"resnetd18": (1, 1, 1, 1)}}
    with mock.patch.multiple("models.resnetd", **short), mock.patch("models.compaction.report.COUNTED_ON", "cpu"):
        yield


def small_config(rooms: Path, folder: Path, **values: Any) -> ExperimentConfig:
    """A configuration that trains one trial of two epochs below ``folder``."""
    small = {"keep_state": True, "output_stride": 16, "checkpoint_folder": str(folder / "runs"), "data_dir_NYU": str(rooms)}
    return make_config(**{**small, **values})


def make_trial(config: ExperimentConfig, number: int = 0) -> Trial:
    """A trial in its folder, ready to be trained."""
    config, device = resolve(config)
    folder = config.trial_folder(number)
    folder.mkdir(parents=True, exist_ok=True)
    return Trial(config, number, device, folder)


def unlabelled(rooms: Path, target: Path, tasks: Iterable[str], **labelled: int) -> Path:
    """A copy of synthetic rooms; of the splits that are named, only so many frames keep their targets of ``tasks``."""
    shutil.copytree(rooms, target)
    for split, kept in labelled.items():
        for name in (target / "gt_sets" / f"{split}.txt").read_text().split()[kept:]:
            for task in tasks:
                stem = target / get_task(task).place / name
                if task == "segmentsemantic":
                    Image.new("L", Image.open(f"{stem}.png").size).save(f"{stem}.png")
                else:
                    np.save(f"{stem}.npy", np.zeros_like(np.load(f"{stem}.npy")))
    return target


def copy_without(source: Path, target: Path, *left_out: str) -> Path:
    """A copy of a folder without some files."""
    return Path(shutil.copytree(source, target, ignore=shutil.ignore_patterns(*left_out)))


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything below a folder but locks, with sizes and times of change: equal if nothing was touched."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def snapshot(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers, copied."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
