"""Predictions for photos of any size: arrays, coloured pictures, and an overview of each photo.

A folder of predictions holds ``predictions.json`` (which network, which photos, what the numbers mean), per dense task
``<task>/<name>.npy`` and ``.png``, ``overview/<name>.png``, and ``attributes.csv`` where the network tells attributes.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import default_collate

from datasets.images import read_photo
from datasets.photos import find_photos, network_input
from deploy.meaning import meaning_of_files
from engine.checkpoint import find_trial, load_json, save_json
from engine.device import resolve
from engine.evaluation import autocast, to_device
from engine.pictures import units
from engine.results import check_writable
from engine.saved_trial import load_trial
from figures.colours import colourise, value_limits
from figures.predictions import PredictedFrames, prediction_figure
from figures.saving import PNG_DPI
from settings.config import ExperimentConfig
from settings.messages import nearest
from tasks.kinds import KINDS
from tasks.objectives import objective_of, predict
from tasks.table import Task
from utils.console import track
from utils.csv_tables import write_csv
from utils.errors import ConfigError, DataError, TrialError
from utils.files import replacing, text_of

log = logging.getLogger(__name__)

COMPACT = ".safetensors"
MANIFEST, OVERVIEW, ATTRIBUTES = "predictions.json", "overview", "attributes.csv"
OVERVIEW_SIDE = 800
"""Pixels of the longer side of a photo in its overview, about twice what is drawn."""
ABOUT_ONE_FILE = {
    *(errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.EACCES, errno.EPERM)
}
"""Errors of the system about one file's name, or about what has that name: files of other photos can still be written."""
BAND = 2**20
"""Pixels that are coloured at a time: colours are floats, and a large photo's would fill gigabytes."""


@dataclass(frozen=True)
class Predictor:
    """A trained network on its device, and which of its tasks are asked for."""

    source: Path
    model: nn.Module
    config: ExperimentConfig
    device: torch.device
    tasks: tuple[str, ...]

    @property
    def dense(self) -> list[Task]:
        """The tasks that say something about every pixel."""
        return [task for name in self.tasks if (task := self.config.tasks[name]).is_dense]

    @property
    def attributes(self) -> list[Task]:
        """The tasks that say something about the whole photo."""
        return [task for name in self.tasks if not (task := self.config.tasks[name]).is_dense]

    @torch.inference_mode()
    def logits(self, photo: Image.Image) -> dict[str, Tensor]:
        """Compute the logits of an evaluation: per task (1, K, H, W) at the input size, or (1,) for an attribute."""
        batch = to_device(default_collate([network_input(photo, self.config)]), self.device, self.config)
        with autocast(self.device, self.config):
            logits = self.model(batch["image"], self.tasks)
        return {task: out.float() for task, out in logits.items()}


def load_predictor(
    source: Path, tasks: Sequence[str] | None = None, device: str | None = None, precision: str | None = None
) -> Predictor:
    """Load a trial's best network, or a compact model, ready to predict.

    Args:
        source: a trial, as :func:`engine.checkpoint.find_trial` takes it, or a compact model's ``.safetensors`` file.
        tasks: some of the network's tasks; None: all.
        device, precision: in place of what the configuration says.

    Raises:
        UserError: there is no such network, task or device.
    """
    source, model, config = _load(source)
    tasks = config.task_list if tasks is None else tasks
    for task in tasks:
        if task not in config.task_list:
            known = ", ".join(config.task_list)
            raise ConfigError(f"--tasks: {task!r} is no task of {source}; it has {known}{nearest(task, config.task_list)}")
    given = {"device": device, "precision": precision}
    config, where = resolve(config.model_copy(update={key: value for key, value in given.items() if value is not None}))
    return Predictor(source, model.to(where), config, where, tuple(task for task in config.task_list if task in tasks))


def _load(source: Path) -> tuple[Path, nn.Module, ExperimentConfig]:
    """Return where the network is, the network, and its configuration."""
    if source.suffix == COMPACT and not source.is_dir():
        if not source.is_file():
            raise TrialError(f"--model {source}: there is no such compact model")
        from models import load_compact

        model = load_compact(source)
        assert isinstance(model.config, ExperimentConfig)
        return source, model, model.config
    trial = load_trial(find_trial("--model", source))
    return trial.folder, trial.model, trial.config


def predict_at(task: Task, logits: Tensor, size: tuple[int, int], depth_target: str) -> np.ndarray:
    """Predict a dense task at another size: the logits are enlarged, so that classes have smooth borders.

    Args:
        task: its activation is used.
        logits: (1, K, h, w) float32.
        size: (H, W).
        depth_target: ``relative`` or ``metric``.

    Returns:
        segmentation: uint8 (H, W) classes from 0; depth and edges: float32 (1, H, W); normals: float32 (3, H, W).
    """
    if task.kind == "segmentation":
        return largest_class(logits[0], size).cpu().numpy()
    return predict(task, _enlarge(logits, size), depth_target)[0].cpu().numpy()


def largest_class(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the class of the largest logit at another size: (K, h, w) -> uint8 (H, W).

    One class after the other: at the size of a photo, the logits of forty classes would fill gigabytes.
    """
    largest = _enlarge(logits[None, :1], size)[0, 0]
    labels = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    for label in range(1, len(logits)):
        plane = _enlarge(logits[None, label : label + 1], size)[0, 0]
        labels.masked_fill_(plane > largest, label)
        largest = torch.maximum(largest, plane)
    return labels


def _enlarge(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits.contiguous(), size=size, mode="bilinear", align_corners=False)


def as_stored(task: Task, prediction: np.ndarray) -> np.ndarray:
    """Return a prediction of ``predict_at`` as the data set's own files have it.

    Returns:
        segmentation: (H, W) in the numbering of the files, of the smallest type that has it; normals: (H, W, 3); depth and
        edges: (H, W).
    """
    if task.labels is not None:
        numbers = np.array(task.labels.numbers)
        kinds = (np.min_scalar_type(number) for number in (numbers.min(), numbers.max()))
        return numbers.astype(np.result_type(*kinds))[prediction]
    return np.ascontiguousarray(np.moveaxis(prediction, 0, -1)) if task.channels > 1 else prediction[0]


def coloured(task: Task, prediction: np.ndarray) -> Image.Image:
    """Colour a prediction of ``predict_at``; the colours of depth and edges span its own values."""
    height, width = prediction.shape[-2:]
    limits = value_limits(task, prediction, None) if KINDS[task.kind].is_scalar else None
    rows = max(1, BAND // width)
    bands = (colourise(task, prediction[..., top : top + rows, :], None, limits) for top in range(0, height, rows))
    return Image.fromarray(np.concatenate([np.rint(255 * band).astype(np.uint8) for band in bands]))


def overview(predictor: Predictor, photo: Image.Image, logits: Mapping[str, Tensor], title: str) -> Figure:
    """Draw the photo and all predictions side by side."""
    config = predictor.config
    small = photo.copy()
    small.thumbnail((OVERVIEW_SIDE, OVERVIEW_SIDE))
    size = (small.height, small.width)
    dense = {task.name: predict_at(task, logits[task.name], size, config.depth_target)[None] for task in predictor.dense}
    attributes = {
        task.name: predict(task, logits[task.name], config.depth_target).cpu().numpy() for task in predictor.attributes
    }
    image = np.moveaxis(np.asarray(small, dtype=np.float32) / 255, -1, 0)
    return prediction_figure(PredictedFrames(image[None], {**dense, **attributes}), config.tasks, title, units(config))


def predict_photos(predictor: Predictor, images: Path, out: Path, overwrite: bool = False) -> list[Path]:
    """Predict a folder of photos (or one photo) and write what the module's docstring lists.

    A photo that cannot be read, or whose files cannot be written, is reported and left out.

    Args:
        predictor: the network.
        images: folder of photos, or one photo.
        out: folder of the predictions.
        overwrite: replace the predictions that are there; what this module did not write stays.

    Returns:
        the photos that were left out; ``predictions.json`` says why.

    Raises:
        UserError: there is no photo, or ``out`` cannot be used; nothing was written.
    """
    photos = find_photos(images)
    manifest = _claim(out, predictor, photos, overwrite)
    tasks, precision = ", ".join(predictor.tasks), predictor.config.precision
    log.info("%d photos, %s, on %s in %s", len(photos), tasks, predictor.device, precision)
    failed: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    try:
        for name, path in track(photos.items(), "photos", len(photos)):
            try:
                rows.append({"photo": path.name, **_predict_photo(predictor, path, out, name)})
            except Exception as error:
                failed[name] = _reason(error, path)
                log.error("%s; it is left out", failed[name])
    finally:
        # Also after Ctrl-C: the table of the photos that are done.
        if predictor.attributes and rows:
            write_csv(out / ATTRIBUTES, pd.DataFrame(rows))
        if failed:
            save_json(out / MANIFEST, {**manifest, "failed": failed})
    log.info("%s: predictions of %d of %d photos, side by side in %s", out, len(rows), len(photos), out / OVERVIEW)
    left_out = [photos[name] for name in failed]
    if failed:
        log.error("%d photos were left out: %s", len(failed), ", ".join(text_of(path.name) for path in left_out))
    return left_out


def _reason(error: Exception, path: Path) -> str:
    """Say why one photo has no prediction, if that says nothing about the others; else raise the error again."""
    if isinstance(error, DataError) or (isinstance(error, OSError) and error.errno in ABOUT_ONE_FILE):
        return text_of(str(error))
    no_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if no_memory or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)):
        return text_of(f"{path}: there is not enough memory for a photo of its size")
    raise error


def _predict_photo(predictor: Predictor, path: Path, out: Path, name: str) -> dict[str, str]:
    """Write the predictions of one photo, all or none of them; returns the columns of ``attributes.csv``.

    Raises:
        DataError: the photo cannot be read, or the network's outputs are no numbers.
        OSError: a file cannot be written.
    """
    config, photo = predictor.config, read_photo(path)
    logits = predictor.logits(photo)
    for name_of_task, values in logits.items():
        if not values.isfinite().all():
            raise DataError(f"{path}: what the network says of {name_of_task} is not finite (NaN or infinity)")
    with _all_or_none() as written:
        for task in predictor.dense:
            prediction = predict_at(task, logits[task.name], (photo.height, photo.width), config.depth_target)
            with replacing(out / task.name / f"{name}.npy") as temporary, temporary.open("wb") as file:
                np.save(file, as_stored(task, prediction))
            written.append(out / task.name / f"{name}.npy")
            with replacing(out / task.name / f"{name}.png") as temporary:
                coloured(task, prediction).save(temporary, format="PNG")
            written.append(out / task.name / f"{name}.png")
        with replacing(out / OVERVIEW / f"{name}.png") as temporary:
            figure = overview(predictor, photo, logits, f"{text_of(path.name)} ({config.Experiment_name})")
            figure.savefig(temporary, format="png", dpi=PNG_DPI)
    columns: dict[str, str] = {}
    for task in predictor.attributes:
        columns |= objective_of(task).columns(task, logits[task.name][0], config.depth_target)
    return columns


@contextmanager
def _all_or_none() -> Iterator[list[Path]]:
    """Collect the files that were written so far, and delete them if something ends the work on the others."""
    written: list[Path] = []
    try:
        yield written
    except BaseException:
        for path in written:
            with contextlib.suppress(OSError):
                path.unlink()
        raise


def _claim(out: Path, predictor: Predictor, photos: Mapping[str, Path], overwrite: bool) -> dict[str, Any]:
    """Make the folders of the predictions and say in them what they hold, once nothing there would be lost unasked.

    Returns:
        what ``predictions.json`` says.

    Raises:
        UserError: ``out`` holds predictions, or cannot be written; nothing was changed.
    """
    check_writable(out)
    folders = [task.name for task in predictor.dense]
    before, planned = _written(out), _files(out, folders, photos)
    existing = [path for path in dict.fromkeys((*before, *planned)) if os.path.lexists(path)]
    if existing and not overwrite:
        raise TrialError(
            f"--out {out}: holds predictions already (such as {existing[0]}); choose another folder, or pass --overwrite, "
            "which replaces them"
        )
    _refuse_others(out, existing, {path.parent for path in (*before, *planned)} - {out})
    for path in before:
        path.unlink(missing_ok=True)
    for folder in (*folders, OVERVIEW):
        (out / folder).mkdir(parents=True, exist_ok=True)
    config = predictor.config
    manifest = {
        "model": text_of(str(predictor.source)),
        "experiment": config.Experiment_name,
        "dataset": config.dataset_name,
        "input_shape": list(config.size),
        "precision": config.precision,
        "tasks": {name: meaning_of_files(config.tasks[name], config, ATTRIBUTES) for name in predictor.tasks},
        "folders": [task.name for task in predictor.dense],
        "photos": {name: text_of(str(path)) for name, path in photos.items()},
    }
    save_json(out / MANIFEST, manifest)
    return manifest


def _refuse_others(out: Path, files: Iterable[Path], folders: Iterable[Path]) -> None:
    """Refuse links, and whatever else this module did not write: its files, and its folders in ``out``, are plain ones.

    Raises:
        TrialError: something there is neither.
    """
    for folder in folders:
        if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
            raise TrialError(f"--out {out}: {folder} is no folder of predictions; move it away, or choose another folder")
    for path in files:
        if path.is_symlink() or not path.is_file():
            raise TrialError(f"--out {out}: {path} is no file of predictions; move it away, or choose another folder")


def _files(out: Path, folders: Sequence[str], names: Iterable[str]) -> list[Path]:
    """Return all files of the predictions of some photos."""
    ends = [*((folder, kind) for folder in folders for kind in (".npy", ".png")), (OVERVIEW, ".png")]
    return [out / MANIFEST, out / ATTRIBUTES, *(out / folder / f"{name}{end}" for name in names for folder, end in ends)]


def _written(out: Path) -> list[Path]:
    """Return the files that ``predictions.json`` stands for; none where there is no such file.

    Raises:
        TrialError: it is none of this module's: it names what would not lie in a folder of ``out``.
    """
    if not os.path.lexists(out / MANIFEST):
        return []
    _refuse_others(out, [out / MANIFEST], [])
    manifest = load_json(out / MANIFEST)
    folders, photos = manifest.get("folders"), manifest.get("photos")
    if not (isinstance(folders, list) and isinstance(photos, dict) and all(map(_is_plain, [*folders, *photos]))):
        raise TrialError(f"{out / MANIFEST}: was not written by this project; choose another folder as --out")
    return _files(out, folders, photos)


def _is_plain(name: Any) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and "\0" not in name and Path(name).name == name
