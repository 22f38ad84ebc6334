"""What the official download of CelebAMask-HQ holds: which faces, which parts of each, in which split."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from datasets.celeba import ATTRIBUTE_FILE, MAPPING_FILE, official_splits, read_attributes
from datasets.preparation.face_parts import ANNOTATIONS, FACES_PER_FOLDER, IMAGES, PARTS, image_name, part_name
from datasets.preparation.workspace import describe_source
from utils.errors import DataError
from utils.tasks import CELEBA_ATTRIBUTES

TEXT_FILES = (ATTRIBUTE_FILE, MAPPING_FILE)
_MASK = re.compile(r"(\d{5,})_(\w+)\.png")


@dataclass(frozen=True)
class FaceSources:
    """The faces of the official folder ``root``: numbers per split, and per number the parts that have a file."""

    root: Path
    splits: dict[str, list[int]]
    parts: dict[int, tuple[str, ...]]

    def describe(self) -> dict[str, Any]:
        """The sources as the manifest lists them."""
        texts = {name: describe_source(self.root / name) for name in TEXT_FILES}
        return {**texts, "images": len(self.parts), "masks": sum(map(len, self.parts.values()))}


def find_faces(root: Path) -> FaceSources:
    """The faces that the mapping file lists; every one has its image, at least one mask, and its attributes.

    Raises:
        DataError: a folder or a file is missing, or a text file is not what it should be.
    """
    if not root.is_dir():
        raise DataError(f"--root {root}: there is no such folder; expected the unpacked CelebAMask-HQ")
    for name in (*TEXT_FILES, IMAGES, ANNOTATIONS):
        if not (root / name).exists():
            raise DataError(
                f"--root {root}: {name} is missing; expected the unpacked CelebAMask-HQ with {IMAGES}, {ANNOTATIONS}, "
                f"{ATTRIBUTE_FILE} and {MAPPING_FILE}"
            )
    splits = {role: [int(name) for name in names] for role, names in official_splits(root / MAPPING_FILE).items()}
    numbers = sorted(number for members in splits.values() for number in members)
    if not numbers:
        raise DataError(f"{root / MAPPING_FILE} lists no image; expected lines 'idx orig_idx orig_file'")
    twice = [one for one, other in pairwise(numbers) if one == other]
    if twice:
        raise DataError(f"{root / MAPPING_FILE} lists image {twice[0]} twice")
    attributes = read_attributes(root / ATTRIBUTE_FILE, CELEBA_ATTRIBUTES)
    there = {path.name for path in (root / IMAGES).iterdir()}
    masks = _find_masks(root / ANNOTATIONS)
    _complain(root / ATTRIBUTE_FILE, "has no line for {}", [f"{k}.jpg" for k in numbers if str(k) not in attributes], numbers)
    _complain(root, "there is no {}", [image_name(k) for k in numbers if f"{k}.jpg" not in there], numbers)
    _complain(root, "no part has a mask {}", [part_name(k, "<part>") for k in numbers if k not in masks], numbers)
    return FaceSources(root, splits, {number: tuple(sorted(masks[number])) for number in numbers})


def _find_masks(folder: Path) -> dict[int, set[str]]:
    """Per face the parts that have a file, where it belongs; other files mean nothing."""
    found: dict[int, set[str]] = {}
    for tenth in folder.iterdir():
        if not tenth.name.isdigit() or not tenth.is_dir():
            continue
        for path in tenth.iterdir():
            match = _MASK.fullmatch(path.name)
            if match and match[2] in PARTS and int(match[1]) // FACES_PER_FOLDER == int(tenth.name):
                found.setdefault(int(match[1]), set()).add(match[2])
    return found


def _complain(where: Path, what: str, missing: list[str], numbers: list[int]) -> None:
    if missing:
        raise DataError(
            f"{where}: {what.format(missing[0])}; that is so for {len(missing)} of the {len(numbers)} images of {MAPPING_FILE}"
        )
