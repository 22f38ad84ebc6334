"""``prepare_data.py celeba``: the official CelebAMask-HQ becomes the folder that ``datasets/celeba.py`` reads."""

from __future__ import annotations

import argparse
import logging
import shutil
import time
from functools import partial
from typing import Any

from datasets.cores import cores
from utils.cli import path_argument, whole_number
from utils.errors import DataError

log = logging.getLogger(__name__)

HELP = "CelebAMask-HQ: the official download, with masks of 3 or 19 classes"
LICENCE = (
    "CelebAMask-HQ: for non-commercial research and education only; neither the images nor what is made of them may be "
    "redistributed"
)

CHECKSUM = "checksum of the sources, by a sample"
"""In the manifest. It is no part of the recipe: a file that stopped the preparation may be replaced before it goes on."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--root",
        type=path_argument,
        required=True,
        help="the unpacked download: CelebA-HQ-img, CelebAMask-HQ-mask-anno, the attribute and the mapping file",
    )
    parser.add_argument("--out", type=path_argument, required=True, help="folder to make, such as data/CelebAMask-HQ-3")
    parser.add_argument("--size", type=whole_number(16, 1024), default=256, help="side in pixels (default: %(default)s)")
    classes = "3: background, hair, skin; 19: background and the 18 parts (default: %(default)s)"
    parser.add_argument("--classes", type=int, choices=(3, 19), default=3, help=classes)
    parser.add_argument("--workers", type=whole_number(1, 1024), help="processes (default: as many as there are cores)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier set that is in --out")


def run(args: argparse.Namespace) -> int:
    """Make the set, or the rest of it after an interruption; returns the exit code.

    Raises:
        DataError: the download is not what it should be, or ``--out`` holds something else.
        OSError: the system refused to write.
    """
    from datasets.preparation.face_parts import IMAGES, MASKS, write_face
    from datasets.preparation.face_sources import TEXT_FILES, find_faces
    from datasets.preparation.workers import in_processes
    from datasets.preparation.workspace import MANIFEST, finish, preparing, read_object
    from utils.console import duration, track
    from utils.files import replacing

    sources = find_faces(args.root)
    recipe = {"command": "celeba", "size": args.size, "classes": args.classes, "sources": sources.describe()}
    counts = {split: len(numbers) for split, numbers in sources.splits.items()}
    said = ", ".join(f"{count} {split}" for split, count in counts.items())
    contents = (IMAGES, MASKS, *TEXT_FILES)
    with preparing(args.out, recipe, args.overwrite, contents) as wanted:
        if not wanted:
            if read_object(args.out / MANIFEST).get(CHECKSUM, sources.checksum()) != sources.checksum():
                raise DataError(
                    f"--out {args.out}: holds a set of other images or masks than those of --root; choose another folder, "
                    "or pass --overwrite"
                )
            log.info("%s: this very set is there already (%s)", args.out, said)
            return 0
        start = time.monotonic()
        faces = [(number, sources.images[number], parts) for number, parts in sources.parts.items()]
        work = partial(write_face, args.root, args.out, args.size, args.classes)
        for _ in track(in_processes(work, faces, args.workers or cores()), "faces", len(faces)):
            pass
        for name in TEXT_FILES:
            with replacing(args.out / name) as temporary:
                shutil.copyfile(args.root / name, temporary)
        finish(args.out, recipe, {**_facts(args.size, args.classes, counts), CHECKSUM: sources.checksum()})
        took = duration(time.monotonic() - start)
        log.info("%s: %s, %d x %d, %d classes, in %s", args.out, said, args.size, args.size, args.classes, took)
    return 0


def _facts(size: int, classes: int, counts: dict[str, int]) -> dict[str, Any]:
    """Return the facts about the set that the manifest holds beside its recipe."""
    from datasets.preparation.face_parts import JPEG_QUALITY
    from tasks.data_sets import CELEBA_19_CLASSES, CELEBA_CLASSES

    names = CELEBA_CLASSES if classes == len(CELEBA_CLASSES) else CELEBA_19_CLASSES
    return {
        "splits": counts,
        "split_rule": "CelebAMask-HQ's own script: orig_idx from 182638 test, from 162771 validation, below it training",
        "classes": dict(enumerate(names)),
        "formats": {
            "CelebA-HQ-img/<k>.jpg": f"{size} x {size} RGB, antialiased bilinear, JPEG quality {JPEG_QUALITY}",
            "CelebA-HQ-segmask/<k, five digits>_mask.npy": f"uint8 ({size}, {size}), merged at 512 x 512, nearest pixel",
            "*.txt": "the official files, unchanged",
        },
        "licence": LICENCE,
    }
