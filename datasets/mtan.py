"""NYU-v2 as MTAN published it and LibMTL uses it: one folder per split and kind, one array per frame.

::

    train/image/0.npy    (H, W, 3)  float in [0, 1], or uint8
    train/label/0.npy    (H, W)     class 0..12 of Couprie et al. (2013), -1 = void; of any type
    train/depth/0.npy    (H, W, 1)  metres, 0 = not measured
    train/normal/0.npy   (H, W, 3)  vectors, zero = unknown; which way the axes point is the file's business
    val/...                         the same; the official test set

The published arrays are 288 x 384; any size is read. Frames are called after their split and number (``train/0``) and come
in the order of the numbers.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.base import MultiTaskDataset
from datasets.nyu import image_tensor, read_target, whole_labels
from datasets.sample import Sample
from datasets.splits import cut_validation
from utils.config import ExperimentConfig
from utils.console import say_once
from utils.errors import DataError, reason
from utils.tasks import IGNORE_INDEX, LABEL_SETS, Task, get_task

log = logging.getLogger(__name__)

IMAGES, VOID = "image", -1
FORMS = {
    "image": "(height, width, 3), floats in [0, 1] or uint8",
    "segmentation": "(height, width), whole numbers from -1 (void) to 12",
    "depth": "(height, width, 1), metres",
    "normals": "(height, width, 3), vectors",
}
"""What the array of a kind should be, in words."""
TOLERANCE = 1e-3
"""How far resizing with overshoot may have taken an image out of [0, 1]."""


class MTANDataset(MultiTaskDataset):
    """One split of NYU-v2 in MTAN's layout.

    Args:
        config: the experiment; ``data_dir_NYU_MTAN`` (or ``data_dir_NYU``) and ``val_fraction`` are read.
        split: ``train``, ``val`` or ``test``, see :func:`mtan_splits`.
        training: apply the augmentation.

    Raises:
        DataError: a folder or a frame's file is missing, or its content is not what it should be.
    """

    def __init__(self, config: ExperimentConfig, split: str, training: bool = False) -> None:
        self.root = config.data_dir
        super().__init__(config, mtan_splits(config)[split], training)
        for task in self.task_list:
            self._check_files(task)

    def read(self, name: str) -> Sample:
        """The raw sample of frame ``name`` (such as ``train/0``) at its own size."""
        (path,) = self.files(name, None)
        image = _read_image(path, self.grey)
        targets, masks = {}, {}
        for task_name in self.task_list:
            (file,) = self.files(name, task_name)
            targets[task_name], masks[task_name] = _read_target(get_task(task_name), file)
            if targets[task_name].shape[-2:] != image.shape[-2:]:
                raise DataError(
                    f"{file} is {tuple(targets[task_name].shape[-2:])} (height, width), but {path} is "
                    f"{tuple(image.shape[-2:])}; they must be the same"
                )
        return Sample(image=image, targets=targets, masks=masks, name=name)

    def files(self, name: str, task: str | None) -> list[Path]:
        """The image's file, or that of a task's target."""
        folder, number = name.split("/")
        kind = IMAGES if task is None else get_task(task).source["NYU_MTAN"]
        return [self.root / folder / kind / f"{number}.npy"]

    def _check_files(self, task: str) -> None:
        paths = [path for name in self.names for path in self.files(name, task)]
        there = {path for folder in {path.parent for path in paths} if folder.is_dir() for path in folder.iterdir()}
        missing = [path for path in paths if path not in there]
        if missing:
            raise DataError(
                f"{missing[0]} is missing, needed for task {task}; {len(missing)} of {len(paths)} frames of the split have no "
                "such file"
            )


def mtan_splits(config: ExperimentConfig) -> dict[str, list[str]]:
    """Names of the frames per role (train, val, test).

    The published set has two folders, ``train`` and ``val``, and its ``val`` is the official test set: then validation is cut
    from the training frames, and the log says so. Where there is a folder ``test``, each folder is what it is called.
    """
    root = config.data_dir
    if not root.is_dir():
        raise DataError(
            f"{config.data_dir_key}: {root} is no folder; expected NYU-v2 in MTAN's layout (train/image/0.npy, ...)"
        )
    own_test, own_val = (root / "test").is_dir(), (root / "val").is_dir()
    names = {"train": _frames(config, "train"), "test": _frames(config, "test" if own_test else "val")}
    if own_test and own_val:
        return {**names, "val": _frames(config, "val")}
    if len(names["train"]) < 2:
        raise DataError(f"{root / 'train' / IMAGES} holds 1 frame; expected at least 2, as validation is cut from them")
    names["train"], names["val"] = cut_validation(names["train"], config.val_fraction)
    test = "test" if own_test else "val (MTAN's val is the official test set)"
    say_once(
        log,
        logging.WARNING,
        f"validation is cut from {root / 'train'}: {len(names['train'])} frames for training, {len(names['val'])} for "
        f"validation; the test split is {test}",
    )
    return names


def _frames(config: ExperimentConfig, folder: str) -> list[str]:
    images = config.data_dir / folder / IMAGES
    if not images.is_dir():
        raise DataError(f"{config.data_dir_key}: there is no folder {images}; expected NYU-v2 in MTAN's layout")
    stems = [path.stem for path in images.iterdir() if path.suffix == ".npy" and not path.name.startswith(".")]
    strange = [stem for stem in stems if not (stem.isascii() and stem.isdigit())]
    if strange:
        raise DataError(f"{images / strange[0]}.npy: is not called after a number; expected 0.npy, 1.npy, ...")
    if not stems:
        raise DataError(f"{images} holds no frame; expected 0.npy, 1.npy, ...")
    return [f"{folder}/{stem}" for stem in sorted(stems, key=lambda stem: (int(stem), stem))]


def _check_form(path: Path, kind: str) -> None:
    """Look at an array's type and shape without reading it.

    Raises:
        DataError: they are not those of ``FORMS``.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        shape, dtype = array.shape, array.dtype
    except (OSError, ValueError, EOFError, AttributeError) as error:  # AttributeError: an archive, which has no shape
        raise DataError(f"{path} cannot be read as an array of numbers ({reason(error)}); expected {FORMS[kind]}") from error
    colours = shape[2:] == (3,) if kind in ("image", "normals") else shape[2:] in ((), (1,))
    if dtype.kind not in "buif" or len(shape) < 2 or 0 in shape or not colours:
        raise DataError(f"{path} has the shape {shape} and the type {dtype}; expected {FORMS[kind]}")


def _read_image(path: Path, grey: bool) -> Tensor:
    """An image as uint8 (3, H, W), or (1, H, W) if ``grey``."""
    _check_form(path, "image")
    array = np.load(path, allow_pickle=False)
    if array.dtype != np.uint8:
        lowest, highest = array.min(), array.max()
        if array.dtype.kind != "f" or not (lowest >= -TOLERANCE and highest <= 1 + TOLERANCE):
            raise DataError(f"{path} has values from {lowest:g} to {highest:g} ({array.dtype}); expected {FORMS['image']}")
        array = np.rint(255 * np.clip(array, 0, 1)).astype(np.uint8)
    return image_tensor(Image.fromarray(array), grey)


def _read_target(task: Task, path: Path) -> tuple[Tensor, Tensor]:
    """A raw dense target (K, H, W) and its validity (1, H, W)."""
    _check_form(path, task.kind)
    if task.kind != "segmentation":
        return read_target(task, path)
    labels = whole_labels(np.load(path, allow_pickle=False), path)
    valid = labels != VOID
    wrong = valid & ((labels < 0) | (labels >= len(LABEL_SETS["NYU_MTAN"])))
    if bool(wrong.any()):
        raise DataError(f"{path} has the label {int(labels[wrong][0])}; expected {FORMS['segmentation']}")
    return torch.where(valid, labels, IGNORE_INDEX).to(torch.uint8), valid
