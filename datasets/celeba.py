"""CelebAMask-HQ: images, the paper's three-class masks, and the official attribute file."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from datasets.base import MultiTaskDataset
from datasets.nyu import read_array, read_image, whole_labels
from datasets.preparation.workspace import MANIFEST
from datasets.sample import Sample
from datasets.splits import cut_validation
from utils.config import ExperimentConfig
from utils.console import say_once
from utils.errors import DataError
from utils.paths import expanded
from utils.tasks import IGNORE_INDEX, get_task

log = logging.getLogger(__name__)

ATTRIBUTE_FILE = "CelebAMask-HQ-attribute-anno.txt"
MAPPING_FILE = "CelebA-HQ-to-CelebA-mapping.txt"
FIRST_VALIDATION, FIRST_TEST = 162_771, 182_638
"""Numbers in the original CelebA at which its validation and its test split begin (from 0)."""
SPLIT_NAMES = {"train": ("train", "training"), "val": ("val", "validation", "valid"), "test": ("test", "testing")}


class CelebAMaskHQ(MultiTaskDataset):
    """One split of CelebAMask-HQ.

    Args:
        config: the experiment; ``data_dir_celebA``, ``celebA_classes``, ``data_split_file`` and ``mask_void`` are read.
        split: ``train``, ``val`` or ``test``.
        training: apply the augmentation.

    Raises:
        DataError: a folder or file is missing, or its content is not what it should be.
    """

    def __init__(self, config: ExperimentConfig, split: str, training: bool = False) -> None:
        self.root = config.data_dir
        self.images = self.root / "CelebA-HQ-img"
        if not self.images.is_dir():
            raise DataError(f"data_dir_celebA: there is no folder {self.images}; expected CelebAMask-HQ")
        super().__init__(config, celeba_splits(config)[split], training)
        self.void_is_background = config.mask_void == "background"
        self.label_set = config.label_set
        tasks = [get_task(name) for name in self.task_list]
        _check_files(self.images, [f"{name}.jpg" for name in self.names], "the images")
        for task in tasks:
            if task.kind == "segmentation":
                _check_manifest(self.root / MANIFEST, config.celebA_classes)
                masks = [_mask_name(name) for name in self.names]
                _check_files(self.root / task.source["celebA"], masks, f"task {task.name}")
        columns = [task.source["celebA"] for task in tasks if task.kind == "attribute"]
        self.attributes = read_attributes(self.root / ATTRIBUTE_FILE, columns) if columns else {}
        missing = [name for name in self.names if columns and name not in self.attributes]
        if missing:
            raise DataError(f"{self.root / ATTRIBUTE_FILE} has no line for {missing[0]}.jpg ({len(missing)} are missing)")

    def read(self, name: str) -> Sample:
        """The raw sample of image ``name`` (its number as text); the mask has a size of its own until it is resized."""
        targets, masks = {}, {}
        for task_name in self.task_list:
            task = get_task(task_name)
            if task.kind == "segmentation":
                (path,) = self.files(name, task_name)
                targets[task_name], masks[task_name] = self._read_mask(path, task.outputs(self.label_set))
            else:
                targets[task_name], masks[task_name] = self.in_memory(task_name, name)
        (path,) = self.files(name, None)
        return Sample(image=read_image(path, self.grey), targets=targets, masks=masks, name=name)

    def files(self, name: str, task: str | None) -> list[Path]:
        """The image's file, or a mask's; an attribute has none, as all are read at once."""
        if task is None:
            return [self.images / f"{name}.jpg"]
        entry = get_task(task)
        return [self.root / entry.source["celebA"] / _mask_name(name)] if entry.kind == "segmentation" else []

    def in_memory(self, task: str, name: str) -> tuple[Tensor, Tensor]:
        """Target and mask, both (), of an attribute."""
        value = self.attributes[name][get_task(task).source["celebA"]]
        return torch.tensor(float(value == 1)), torch.tensor(value != 0)

    def _read_mask(self, path: Path, classes: int) -> tuple[Tensor, Tensor]:
        values = whole_labels(read_array(path), path)
        if self.void_is_background:
            values = torch.where(values == IGNORE_INDEX, 0, values)
        valid = values != IGNORE_INDEX
        wrong = valid & ((values < 0) | (values >= classes))
        if bool(wrong.any()):
            raise DataError(
                f"{path} has the label {int(values[wrong][0])}; expected 0..{classes - 1} or 255 (celebA_classes: {classes})"
            )
        return values.to(torch.uint8), valid


def _mask_name(name: str) -> str:
    return f"{int(name):05d}_mask.npy"


def _check_manifest(path: Path, classes: int) -> None:
    """Refuse masks that were prepared with another number of classes; a folder from elsewhere has no such file."""
    try:
        prepared = json.loads(path.read_text(encoding="utf-8"))["recipe"]["classes"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    if prepared != classes:
        raise DataError(
            f"celebA_classes: is {classes}, and the masks in {path.parent} were prepared with {prepared} classes; set "
            f"celebA_classes={prepared}, or prepare the set with --classes {classes}"
        )


def _check_files(folder: Path, files: list[str], what: str) -> None:
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder, needed for {what}")
    there = {path.name for path in folder.iterdir()}
    missing = [file for file in files if file not in there]
    if missing:
        raise DataError(
            f"{folder / missing[0]} is missing, needed for {what}; {len(missing)} of {len(files)} images of the split have no "
            "such file"
        )


def read_attributes(path: Path, columns: Iterable[str]) -> dict[str, dict[str, int]]:
    """Per image (its number as text) the asked-for attributes: 1, -1, or 0 where unknown.

    Reads the official file with or without its first line (the number of images).
    """
    try:
        lines = path.read_text().splitlines()
    except OSError:
        raise DataError(f"{path}: there is no such file, needed for the attribute tasks") from None
    lines = [line for line in lines if line.strip()]
    if lines and lines[0].strip().isdigit():
        lines = lines[1:]
    header = lines[0].split() if lines else []
    unknown = [column for column in columns if column not in header]
    if unknown:
        raise DataError(f"{path} has no column {unknown[0]}; its first line(s) must give the names of the attributes")
    places = {column: header.index(column) for column in columns}
    attributes: dict[str, dict[str, int]] = {}
    for line in lines[1:]:
        file, *values = line.split()
        try:
            if len(values) != len(header):
                raise ValueError
            chosen = {column: int(values[place]) for column, place in places.items()}
            if not set(chosen.values()) <= {-1, 0, 1}:
                raise ValueError
            attributes[_number(file)] = chosen
        except ValueError:
            raise DataError(
                f"{path}: the line of {file!r} is not '<number>.jpg' with {len(header)} values -1 or 1 (0: unknown)"
            ) from None
    return attributes


def _number(file: str) -> str:
    """``00012.jpg``, ``12.jpg`` or ``12`` as ``12``."""
    return str(int(Path(str(file)).stem))


def celeba_splits(config: ExperimentConfig) -> dict[str, list[str]]:
    """Image numbers (as text) per role: of ``data_split_file``, or by the official split of the original CelebA."""
    if config.data_split_file is not None:
        names = splits_from_json(config.data_dir, config.data_split_file)
    else:
        names = official_splits(config.data_dir / MAPPING_FILE)
    if not names.get("val"):
        names["train"], names["val"] = cut_validation(names["train"], config.val_fraction)
        said = f"{config.data_dir}: there is no validation split: {len(names['val'])} of the training images are taken for it"
        say_once(log, logging.WARNING, said)
    for one, other in (("train", "test"), ("val", "test"), ("train", "val")):
        shared = set(names[one]) & set(names[other])
        if shared:
            raise DataError(f"the {one} and the {other} split share {len(shared)} images (such as {min(shared)}.jpg)")
    for role, members in names.items():
        if not members:
            raise DataError(f"the {role} split is empty")
    return names


def splits_from_json(root: Path, file: str) -> dict[str, list[str]]:
    """Image numbers (as text) per role, of a JSON file in ``root`` or the working folder (``data_split_file``)."""
    given = expanded(file, "data_split_file")
    path = next((path for path in (root / given, given) if path.is_file()), None)
    if path is None:
        raise DataError(f"data_split_file: {file!r}: there is no such file (looked in {root} and the working folder)")
    try:
        content = json.loads(path.read_text())
        names = {role: [_number(name) for key in keys for name in content.get(key, [])] for role, keys in SPLIT_NAMES.items()}
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(
            f"data_split_file: {path} is not a JSON object of lists of file names, {{'train': ['0.jpg', ...], ...}} ({error})"
        ) from None
    if not names["train"] or not names["test"]:
        raise DataError(f"data_split_file: {path} needs the keys 'train' and 'test' (and 'val'); it has {sorted(content)}")
    return names


def official_splits(path: Path) -> dict[str, list[str]]:
    """Image numbers (as text) per role, by the numbers that the mapping file says they have in the original CelebA."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        raise DataError(
            f"{path}: there is no such file; it gives the official split (or name a JSON file of names as data_split_file)"
        ) from None
    names: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for line in lines:
        fields = line.split()
        if not fields or not fields[0].isdigit():
            continue  # the header, which some copies have
        if len(fields) < 2 or not fields[1].isdigit():
            raise DataError(f"{path}: expected 'idx orig_idx orig_file', found {line!r}")
        original = int(fields[1])
        role = "test" if original >= FIRST_TEST else "val" if original >= FIRST_VALIDATION else "train"
        names[role].append(fields[0])
    return names
