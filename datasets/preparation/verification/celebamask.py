"""CelebAMask-HQ: which files ``datasets/celeba.py`` would read, and whether the text files make sense line by line."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from datasets.celeba import (
    ATTRIBUTE_FILE,
    IMAGE_FILES,
    MAPPING_FILE,
    MASK_FILES,
    SPLIT_NAMES,
    CelebAMaskHQ,
    attribute_lines,
    face_split_problems,
    missing_attributes,
    read_mapping,
    read_split_file,
)
from datasets.file_index import double_files, files_by_frame
from datasets.plausibility import LOOKED_AT, classes_by_look
from datasets.preparation.synthetic import MARKER
from datasets.preparation.verification.contents import examine_image
from datasets.preparation.verification.findings import Content, File, Survey, refusal
from datasets.preparation.workspace import MANIFEST, read_object, read_recipe
from datasets.problems import Problem
from datasets.targets import read_array
from utils.errors import DataError
from utils.files import evenly_spread
from utils.tasks import CELEBA_19_CLASSES, CELEBA_ATTRIBUTES, CELEBA_CLASSES, get_task

T = TypeVar("T")

IMAGES, MASKS = "CelebA-HQ-img", get_task("segmentsemantic").source["celebA"]


class MaskReader(CelebAMaskHQ):
    """The loaders' way to read a mask, without a set."""

    def __init__(self) -> None:
        self.void_is_background = False

    def mask_size(self, path: Path, classes: int) -> tuple[int, int]:
        """Height and width of a mask, read as the loaders do."""
        size = self._read_mask(path, classes)[0].shape[-2:]
        return int(size[0]), int(size[1])


def examine_mask(path: Path, classes: int) -> Content:
    """A mask of labels below ``classes``, or 255."""
    try:
        return Content(MaskReader().mask_size(path, classes))
    except DataError as error:
        return Content(None, (refusal(path, error, "a whole array of whole numbers"),))


def is_celebamask(root: Path) -> bool:
    """Is this folder a CelebAMask-HQ?"""
    return (root / IMAGES).is_dir()


def survey_celebamask(root: Path) -> Survey:
    """The faces of all splits that the folder knows, with their images, masks and attributes."""
    survey = Survey("CelebAMask-HQ")
    images = files_by_frame(root / IMAGES, IMAGE_FILES)
    sources = _read_sources(root, survey)
    names = {name: source for source, splits in sources.items() for members in splits.values() for name in members}
    if not sources:
        # Without any list of faces, all are looked at that are there.
        names = dict.fromkeys(images, IMAGES)
    survey.unused = len(images.keys() - names.keys())
    for name, source in names.items():
        if name in images:
            survey.files.append(File(images[name][0], examine_image))
            survey.problems += double_files(images[name])
        else:
            survey.add(root / IMAGES / IMAGE_FILES.usual(name), "is missing", f"a file, as {source} names it")
    if (root / MASKS).is_dir():
        _add_masks(root, images, names, survey)
    if (root / ATTRIBUTE_FILE).exists():
        survey.targets.append("attributes")
        found = _read(partial(attribute_lines, columns=CELEBA_ATTRIBUTES), root / ATTRIBUTE_FILE, survey)
        if found is not None:
            survey.problems += missing_attributes(root / ATTRIBUTE_FILE, found, names)
    if not survey.targets:
        survey.add(root, "has no targets", f"{MASKS} (prepare_data.py celeba makes it) or {ATTRIBUTE_FILE}")
    return survey


def _read(read: Callable[[Path], tuple[T, list[Problem]]], path: Path, survey: Survey) -> T | None:
    """What is in a text file, whose problems are noted; None if it cannot be read at all."""
    try:
        content, problems = read(path)
    except DataError as error:
        survey.problems.append(refusal(path, error, "a text file"))
        return None
    survey.problems += problems
    return content


def _if_text(read: Callable[[Path], dict[str, Any]], path: Path) -> dict[str, Any]:
    """What a file says; nothing if it is no text, which is noted elsewhere."""
    try:
        return read(path)
    except DataError:
        return {}


def _add_masks(root: Path, images: dict[str, list[Path]], names: dict[str, str], survey: Survey) -> None:
    masks = files_by_frame(root / MASKS, MASK_FILES)
    classes, how = _classes(root, [masks[name][0] for name in names if name in masks])
    survey.targets.append(f"{MASKS} (.npy, {classes} classes{how})")
    examine = partial(examine_mask, classes=classes)
    for name, source in names.items():
        if name in masks:
            image = images[name][0] if name in images else None
            survey.files.append(File(masks[name][0], examine, image=image, any_scale=True))
            survey.problems += double_files(masks[name])
        else:
            survey.add(root / MASKS / MASK_FILES.usual(name), "is missing", f"a file, as {source} names {name}.jpg")


def _classes(root: Path, masks: list[Path]) -> tuple[int, str]:
    """3 or 19: as the manifest says, or else as most masks have it (every face has parts beyond hair and skin)."""
    few, many = len(CELEBA_CLASSES), len(CELEBA_19_CLASSES)
    prepared = _if_text(read_recipe, root / MANIFEST).get("classes")
    if prepared in (few, many):
        return prepared, ""
    labels = []
    for path in evenly_spread(masks, LOOKED_AT):
        if not examine_mask(path, many).problems:
            labels.append(np.unique(read_array(path)).tolist())
    return classes_by_look(labels), ", by the look of them"


def _read_sources(root: Path, survey: Survey) -> dict[str, dict[str, list[str]]]:
    """Faces per split, per file that lists them: the mapping file and JSON files of names."""
    mapping = root / MAPPING_FILE
    readers = {mapping: read_mapping} if mapping.exists() else {}
    known = {name for names in SPLIT_NAMES.values() for name in names}
    for path in sorted(root.glob("*.json")):
        keys = {key.lower() for key in _if_text(read_object, path)}
        if path.name not in (MANIFEST, MARKER) and (not keys or keys & known):  # else it is about something else
            readers[path] = read_split_file
    found: dict[str, dict[str, list[str]]] = {}
    for path, read in readers.items():
        splits = _read(read, path, survey)
        if splits is not None:
            found[path.name] = splits
            survey.problems += face_split_problems(splits, path)
    if not found and not mapping.exists():
        survey.add(mapping, "is missing", "the split of CelebAMask-HQ, or a JSON file of names per split")
    if found:
        survey.counts = {split: len(members) for split, members in next(iter(found.values())).items()}
    return found
