"""Contents of the official download of CelebAMask-HQ: faces, the parts of each, and splits."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.celeba import ATTRIBUTE_FILE, IMAGE_FILES, MAPPING_FILE, read_attributes, read_mapping
from datasets.file_index import Place, index_files
from datasets.preparation.face_parts import ANNOTATIONS, IMAGES, PARTS, part_name
from datasets.preparation.workspace import describe_source
from datasets.problems import Problem, refuse
from tasks.data_sets import CELEBA_ATTRIBUTES
from utils.errors import DataError
from utils.files import evenly_spread, fingerprint

TEXT_FILES = (ATTRIBUTE_FILE, MAPPING_FILE)
SAMPLED = 256
"""Number of images, and of masks, whose content the checksum samples: there are some 400,000."""
_PART = re.compile(r"([0-9]{5,9})_(\w+)\.png")
_LIKE_A_PART = re.compile(r"0*([0-9]{1,9})[_ -].*|.*?0*([0-9]{1,9}).*\.(?:png|jpe?g|bmp|gif|tiff?|webp)", re.IGNORECASE)


@dataclass(frozen=True)
class FaceSources:
    """The faces of the official folder ``root``: numbers per split, and per number the image and the parts that have a file."""

    root: Path
    splits: dict[str, list[int]]
    images: dict[int, Path]
    parts: dict[int, tuple[str, ...]]

    def describe(self) -> dict[str, Any]:
        """The sources as the manifest lists them."""
        texts = {name: describe_source(self.root / name) for name in TEXT_FILES}
        return {**texts, "images": len(self.parts), "masks": sum(map(len, self.parts.values()))}

    def checksum(self) -> str:
        """A hash of the names of all images and masks, and of some of the content of ``SAMPLED`` of each."""
        masks = [part_name(number, part) for number, parts in self.parts.items() for part in parts]
        images = [f"{IMAGES}/{path.name}" for path in self.images.values()]
        digest = hashlib.sha256("\n".join([*images, *masks]).encode())
        for names in (images, masks):
            for name in evenly_spread(names, SAMPLED):
                digest.update(fingerprint(self.root / name).encode())
        return digest.hexdigest()


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
    names, problems = read_mapping(root / MAPPING_FILE)
    refuse(problems)
    splits = {role: [int(name) for name in members] for role, members in names.items()}
    numbers = sorted(number for members in splits.values() for number in members)
    if not numbers:
        raise DataError(f"{root / MAPPING_FILE} lists no image; expected lines 'idx orig_idx orig_file'")
    faces = [str(number) for number in numbers]
    read_attributes(root / ATTRIBUTE_FILE, CELEBA_ATTRIBUTES, faces)
    images = index_files(Place(root / IMAGES, IMAGE_FILES), faces, f"the images of {MAPPING_FILE}")
    parts, problems = _find_parts(root, set(numbers))
    refuse(problems)
    bare = [number for number in numbers if number not in parts]
    if bare:
        raise DataError(
            f"{root}: no part has a mask {part_name(bare[0], '<part>')}; that is so for {len(bare)} of {len(numbers)} images"
        )
    return FaceSources(
        root,
        splits,
        {number: images[str(number)] for number in numbers},
        {number: tuple(sorted(parts[number])) for number in numbers},
    )


def _find_parts(root: Path, numbers: Container[int]) -> tuple[dict[int, set[str]], list[Problem]]:
    """Per face the parts that have a file; and the files that look like a part of one of these faces, but are not called, or do
    not lie, as one. No file means that there is no such part, so that none may be overlooked."""
    parts_of: dict[int, set[str]] = {}
    problems = []
    folder = root / ANNOTATIONS
    for path, folders, names in os.walk(folder):
        folders.sort()
        place = Path(path).relative_to(root).as_posix()
        for file in sorted(names):
            part = _PART.fullmatch(file)
            if part and part[2] in PARTS and f"{place}/{file}" == part_name(int(part[1]), part[2]):
                parts_of.setdefault(int(part[1]), set()).add(part[2])
                continue
            like = None if file.startswith(".") else _LIKE_A_PART.fullmatch(file)
            number = int(like[1] or like[2]) if like else -1
            if number in numbers:
                expected = f"{part_name(number, '<part>')}, <part> being one of {', '.join(PARTS)}"
                problems.append(Problem(str(root / place / file), "is not called like a part, or lies elsewhere", expected))
    return parts_of, problems
