"""CelebAMask-HQ: images, the paper's three-class masks, and the official attribute file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datasets.base import MultiTaskDataset
from datasets.file_index import Place, numbered_files
from datasets.preparation.workspace import MANIFEST, read_recipe
from datasets.problems import Problem, missing_folder, refuse
from datasets.splits import cut_and_say, split_problems
from settings.config import ExperimentConfig
from tasks.table import Task
from utils.console import listed
from utils.errors import DataError
from utils.files import numbered_lines, read_text
from utils.paths import expanded

IMAGES = "CelebA-HQ-img"
ATTRIBUTE_FILE = "CelebAMask-HQ-attribute-anno.txt"
MAPPING_FILE = "CelebA-HQ-to-CelebA-mapping.txt"
FIRST_VALIDATION, FIRST_TEST = 162_771, 182_638
"""Numbers in the original CelebA (``orig_idx``, from 0) at which the validation and the test split of CelebAMask-HQ's own
script begin. CelebA's own partition, counted from 0, begins one earlier each, so that at most two faces differ."""
SPLIT_NAMES = {"train": ("train", "training"), "val": ("val", "validation", "valid"), "test": ("test", "testing")}
ATTRIBUTE_VALUES = {"-1": -1, "0": 0, "1": 1, "+1": 1}

IMAGE_FILES = numbered_files(r"\.(?:jpg|jpeg|png)", "{}.jpg")
MASK_FILES = numbered_files(r"_mask\.npy", "{:05d}_mask.npy")


class CelebAMaskHQ(MultiTaskDataset):
    """One split of CelebAMask-HQ.

    Args:
        config: the experiment.
        split: ``train``, ``val`` or ``test``.
        training: apply the augmentation.

    Raises:
        DataError: a folder or file is missing, or its content is not what it should be.
    """

    same_size = False

    def __init__(self, config: ExperimentConfig, split: str, training: bool = False) -> None:
        root = config.data_dir
        if not (root / IMAGES).is_dir():
            raise missing_folder(config, f"there is no folder {root / IMAGES}; expected {config.data_set.title}")
        super().__init__(config, celeba_splits(config)[split], training, celeba_places(root, config.tasks.values()))
        if len(self._files) > 1:
            _check_manifest(root / MANIFEST, config.celebA_classes)
        self.void_is_background = config.mask_void == "background"
        self.columns = {name: task.place for name, task in self.tasks.items() if name not in self._files}
        self.attributes = (
            read_attributes(root / ATTRIBUTE_FILE, list(self.columns.values()), self.names) if self.columns else {}
        )

    def read_target(self, name: str, task: str) -> tuple[Tensor, Tensor]:
        """Return the raw target of a task and its validity; a mask has a size of its own until it is resized."""
        target, known = super().read_target(name, task)
        if task in self._files and self.void_is_background:
            return torch.where(known, target, 0), torch.ones_like(known)
        return target, known

    def in_memory(self, task: str, name: str) -> tuple[Tensor, Tensor]:
        """Return target and mask, both (), of an attribute."""
        value = self.attributes[name][self.columns[task]]
        return torch.tensor(float(value == 1)), torch.tensor(value != 0)


def celeba_places(root: Path, tasks: Iterable[Task]) -> dict[str | None, Place]:
    """Return where the images (None) and the masks of ``tasks`` lie; attributes have no file per face."""
    places: dict[str | None, Place] = {None: Place(root / IMAGES, IMAGE_FILES)}
    places.update((task.name, Place(root / task.place, MASK_FILES)) for task in tasks if task.is_dense)
    return places


def _check_manifest(path: Path, classes: int) -> None:
    """Refuse masks that were prepared with another number of classes; a folder from elsewhere has no such file."""
    prepared = read_recipe(path).get("classes", classes)
    if prepared != classes:
        raise DataError(
            f"celebA_classes: is {classes}, and the masks in {path.parent} were prepared with {prepared} classes; set "
            f"celebA_classes={prepared}, or prepare the set with --classes {classes}"
        )


def face_number(text: object) -> str | None:
    """Return ``12`` for ``00012.jpg``, ``12.jpg`` or ``12``, also in a folder; None for what is no number."""
    match = re.fullmatch(r"(?:.*/)?0*([0-9]{1,9})(?:\.[A-Za-z][A-Za-z0-9]*)?", str(text))
    return match and match[1]


def read_attributes(path: Path, columns: Sequence[str], faces: Iterable[str] = ()) -> dict[str, dict[str, int]]:
    """Return per image (its number as text) the asked-for attributes: 1, -1, or 0 where unknown.

    Args:
        path: the official file, with or without its first line.
        columns: names of attributes.
        faces: the images that must have a line.

    Raises:
        DataError: there is no such file, or something is wrong with it.
    """
    try:
        attributes, problems = attribute_lines(path, columns)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file, needed for the attribute tasks") from None
    refuse(problems + missing_attributes(path, attributes, faces))
    return attributes


def attribute_lines(path: Path, columns: Sequence[str]) -> tuple[dict[str, dict[str, int]], list[Problem]]:
    """Return per image what :func:`read_attributes` gives, and what is wrong line by line.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is no text, or has no line with the names of all ``columns``.
    """
    lines = numbered_lines(path)
    count = int(lines.pop(0)[1]) if lines and re.fullmatch("[0-9]{1,9}", lines[0][1]) else len(lines) - 1
    header = lines.pop(0)[1].split() if lines else []
    absent = [column for column in columns if column not in header]
    if absent:
        raise DataError(
            f"{path} has no column {listed(absent)}; expected the names of the attributes in the first or second line"
        )
    places = {column: header.index(column) for column in columns}
    problems = []
    if len(set(header)) < len(header):
        twice = [name for place, name in enumerate(header) if name in header[:place]]
        problems.append(Problem(str(path), f"has more than one column {listed(twice)}", "every attribute once"))
    attributes: dict[str, dict[str, int]] = {}
    first: dict[str, int] = {}
    seen: set[str] = set()
    for number, line in lines:
        file, *values = line.split()
        place, face = f"{path}:{number}", face_number(file)
        wrong = [value for value in values if value not in ATTRIBUTE_VALUES]
        if face is None:
            problems.append(Problem(place, f"begins with {file!r}", "<number>.jpg"))
            continue
        if face in first:
            problems.append(Problem(place, f"is of {face}.jpg, as line {first[face]} is", "one line per image"))
        first.setdefault(face, number)
        attributes[face] = {}
        if len(values) != len(header):
            problems.append(Problem(place, f"has {len(values)} values", f"{len(header)}, as there are attributes"))
        elif wrong:
            problems.append(Problem(place, f"has the value {wrong[0]!r}", "-1 or 1 (0: unknown)"))
        else:
            seen.update(values)
            attributes[face] = {column: ATTRIBUTE_VALUES[values[at]] for column, at in places.items()}
    if "0" in seen and "-1" not in seen:
        problems.append(Problem(str(path), "has the value 0 and never -1: no is 0", "-1 for no and 1 for yes (0: unknown)"))
    if count != len(lines):
        problems.append(Problem(str(path), f"has lines for {len(lines)} images", f"{count}, as its first line says"))
    return attributes, problems


def missing_attributes(path: Path, attributes: Mapping[str, Any], faces: Iterable[str]) -> list[Problem]:
    """Return a problem if images have no line in the attribute file."""
    missing = [f"{face}.jpg" for face in faces if face not in attributes]
    return [Problem(str(path), f"has no line for {listed(missing)}", "one line per image")] if missing else []


def celeba_splits(config: ExperimentConfig) -> dict[str, list[str]]:
    """Return the image numbers (as text) per role: of ``data_split_file``, or by the split of CelebAMask-HQ's own script."""
    if config.data_split_file is not None:
        path = _split_file(config.data_dir, config.data_split_file)
        names, problems = read_split_file(path)
    else:
        path = config.data_dir / MAPPING_FILE
        try:
            names, problems = read_mapping(path)
        except FileNotFoundError:
            raise DataError(
                f"{path}: there is no such file; it gives the split (or name a JSON file of names as data_split_file)"
            ) from None
    refuse(problems or face_split_problems(names, path))
    if not names["val"]:
        cut_and_say(names, config.val_fraction, path)
    return names


def face_split_problems(names: Mapping[str, Sequence[str]], path: Path) -> list[Problem]:
    """Find what is wrong with the splits of a file; without images of its own, validation is cut from the training images."""
    splits = {role: members for role, members in names.items() if members or role != "val"}
    return split_problems(splits, dict.fromkeys(splits, path))


def _split_file(root: Path, file: str) -> Path:
    """Return the path of ``data_split_file``, in ``root`` or the working folder."""
    given = expanded(file, "data_split_file")
    path = next((path for path in (root / given, given) if path.exists() or path.is_symlink()), None)
    if path is None:
        raise DataError(f"data_split_file: {file!r}: there is no such file (looked in {root} and the working folder)")
    return path


def read_split_file(path: Path) -> tuple[dict[str, list[str]], list[Problem]]:
    """Read the image numbers (as text) per role of a JSON file of names (``data_split_file``), and what is wrong with it.

    Raises:
        DataError: it is no text, or no JSON object.
    """
    expected = "a JSON object of lists of file names, {'train': ['0.jpg', ...], 'val': ..., 'test': ...}"
    text = read_text(path)
    try:
        content = json.loads(text, object_pairs_hook=_unique_keys)
        if not isinstance(content, dict):
            raise ValueError(f"it is a {type(content).__name__}")
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not {expected} ({error})") from None
    names: dict[str, list[str]] = {role: [] for role in SPLIT_NAMES}
    problems = []
    others = [key for key in content if not any(key.lower() in words for words in SPLIT_NAMES.values())]
    for role, words in SPLIT_NAMES.items():
        keys = [key for key in content if key.lower() in words]
        if len(keys) > 1:
            problems.append(Problem(str(path), f"has the keys {' and '.join(keys)}", f"one list for {role}"))
        elif not keys and (role != "val" or others):  # one of the others may be the validation split
            problems.append(Problem(str(path), f"has no key {role!r} (but {', '.join(content) or 'none'})", expected))
        for key in keys:
            members = content[key] if isinstance(content[key], list) else [content[key]]
            numbers = [face_number(name) for name in members]
            wrong = [repr(name) for name, number in zip(members, numbers, strict=True) if number is None]
            if not isinstance(content[key], list):
                problems.append(Problem(str(path), f"has no list for the key {key!r}", expected))
            elif wrong:
                problems.append(Problem(str(path), f"names {listed(wrong)} for {role}", "'<number>.jpg'"))
            names[role] += [number for number in numbers if number is not None]
    return names, problems


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, and refuse a key that is given twice: the json module would keep the last value without a word."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError(f"it has a key twice: {', '.join(key for key, _ in pairs)}")
    return content


def read_mapping(path: Path) -> tuple[dict[str, list[str]], list[Problem]]:
    """Read the image numbers (as text) per role, by their numbers in the original CelebA, and what is wrong with other lines.

    Only a first line that begins with ``idx`` is a title.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is no text.
    """
    names: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    problems = []
    first: dict[str, int] = {}
    for place, (number, line) in enumerate(numbered_lines(path)):
        match = re.fullmatch(r"0*([0-9]{1,9})\s+([0-9]{1,9})(?:\s+\S+)?", line)
        if match is None:
            if place or line.split()[0] != "idx":
                problems.append(Problem(f"{path}:{number}", f"is {line!r}", "idx orig_idx orig_file"))
            continue
        face, original = match[1], int(match[2])
        if face in first:
            problems.append(Problem(f"{path}:{number}", f"is of image {face}, as line {first[face]} is", "one line per image"))
            continue
        first[face] = number
        role = "test" if original >= FIRST_TEST else "val" if original >= FIRST_VALIDATION else "train"
        names[role].append(face)
    return names, problems
