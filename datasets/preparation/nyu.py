"""The command ``nyu``: the official NYU-v2 file (3 GB) as the NYUD_MT folders that ``datasets/nyu.py`` reads.

The frames are cropped to 425 x 560, the labels mapped to 40 classes, the normals derived from depth or taken from a folder,
and validation is cut from the training frames, whole scenes at a time. About 5 GB are written; what exactly is where, and how
it came about, is in the set's ``manifest.json``.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.cores import cores
from utils.cli import path_argument, whole_number
from utils.errors import DataError

if TYPE_CHECKING:
    from datasets.preparation.normals_folder import NormalsFolder
    from datasets.preparation.official_nyu import Frame, OfficialNYU

log = logging.getLogger(__name__)

HELP = "the official nyu_depth_v2_labeled.mat and splits.mat -> NYU-v2 in the NYUD_MT layout"

VERSION = 1
"""Rises whenever the same sources and options give other files."""

LICENCE = (
    "NYU states no licence for the data set: for research, not to be passed on. Cite N. Silberman, D. Hoiem, P. Kohli and "
    "R. Fergus, Indoor Segmentation and Support Inference from RGBD Images, ECCV 2012."
)
CLASS_TABLE = (
    "894 labels -> 40 classes by S. Gupta, P. Arbelaez and J. Malik, Perceptual Organization and Recognition of Indoor Scenes "
    "from RGB-D Images, CVPR 2013 (classMapping40.mat)"
)


def _share(text: str) -> float:
    """A type for argparse: a number between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number between 0 and 1")
    return value


def _window(text: str) -> int:
    """A type for argparse: an odd number of pixels."""
    value = int(text) if text.isascii() and text.isdigit() else 0
    if not 3 <= value <= 201 or value % 2 == 0:
        raise argparse.ArgumentTypeError(f"{text} is not an odd number from 3 to 201")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--mat", type=path_argument, required=True, help="the official nyu_depth_v2_labeled.mat (2.8 GB)")
    parser.add_argument("--splits", type=path_argument, required=True, help="the official splits.mat (trainNdxs, testNdxs)")
    parser.add_argument("--out", type=path_argument, default=Path("data/NYUD_MT"), help="folder to fill (default: %(default)s)")
    parser.add_argument(
        "--normals",
        type=path_argument,
        metavar="DIR",
        help="folder of normals, <frame>.png, .jpg or .npy (default: derive from depth)",
    )
    parser.add_argument(
        "--val_fraction", type=_share, default=0.1, help="share of the training frames for validation (default: %(default)s)"
    )
    parser.add_argument(
        "--depth", choices=("filled", "raw"), default="filled", help="in-painted or as measured, with holes (default: filled)"
    )
    parser.add_argument(
        "--normals_window", type=_window, default=31, metavar="PIXELS", help="side of the plane fit (default: %(default)s)"
    )
    parser.add_argument("--workers", type=whole_number(1, 64), help="threads (default: as many as there are cores, at most 8)")
    parser.add_argument("--overwrite", action="store_true", help="replace a set that an earlier run made in --out")


def run(args: argparse.Namespace) -> int:
    """Prepare the set, or go on where an earlier run stopped; returns 0.

    Raises:
        DataError: a source or --out is not what it should be. Sources are checked before anything is written, except the
            labels of a frame and damage within the large file, which are met on the way.
        OSError: the system refused.
    """
    from datasets.preparation.normals_folder import NormalsFolder
    from datasets.preparation.official_nyu import open_official
    from datasets.preparation.official_splits import make_splits, read_splits
    from datasets.preparation.workspace import describe_source

    for option, path in (("--mat", args.mat), ("--splits", args.splits)):
        if not path.is_file():
            raise DataError(f"{option} {path}: there is no such file")
    with open_official(args.mat, args.depth) as source:
        train, test = read_splits(args.splits, source.count)
        splits = make_splits(train, test, source.scenes(), args.val_fraction)
        if splits.shared_scenes:
            log.warning(
                "the scene %s has frames for training and for test (%d such scenes): the official split has none",
                *(splits.shared_scenes[0], len(splits.shared_scenes)),
            )
        folder = NormalsFolder(args.normals, [*train, *test]) if args.normals else None
        if folder is not None and folder.share_towards_camera < 0.5:
            log.warning(
                "--normals %s: only %.0f %% of the normals point at the camera (z < 0); expected x right, y down, z forward",
                *(args.normals, 100 * folder.share_towards_camera),
            )
        log.info("checksum of %s (%.1f GB)", args.mat, args.mat.stat().st_size / 1e9)
        recipe = {
            "command": "nyu",
            "version": VERSION,
            "sources": {"mat": describe_source(args.mat), "splits": describe_source(args.splits)},
            "depth": args.depth,
            "val_fraction": args.val_fraction,
            "normals": folder.source if folder is not None else {"derived with a window of": args.normals_window},
        }
        facts = {
            "counts": {split: len(numbers) for split, numbers in splits.frames.items()},
            "validation": splits.how,
            "normals": _about_normals(args, source, folder),
            "depth": "depths: in-painted" if args.depth == "filled" else "rawDepths: as measured, 0 where nothing was",
        }
        made = _make(args, source, folder, recipe, facts, splits.frames)
    log.info(
        "%s %s: %s; 425 x 560, 40 classes, %s",
        args.out,
        "is complete" if made else "is there already",
        ", ".join(f"{len(numbers)} frames in {split}" for split, numbers in splits.frames.items()),
        "normals from " + (str(args.normals) if folder is not None else f"depth (window {args.normals_window})"),
    )
    log.info("validation: %s; everything about this set is in %s", splits.how["cut"], args.out / "manifest.json")
    return 0


def _about_normals(args: argparse.Namespace, source: OfficialNYU, folder: NormalsFolder | None) -> dict[str, Any]:
    """Describe the source of the normals, for the manifest."""
    from datasets.preparation.normals import MIN_SHARE
    from datasets.preparation.official_nyu import CAMERA

    if folder is not None:
        return {"from": "files", **folder.source, "share pointing at the camera": round(folder.share_towards_camera, 4)}
    return {
        "from": "depth: a plane is fitted to inverse depth by least squares in a square window",
        "window": args.normals_window,
        "camera of the cropped frame": {name: round(value, 3) for name, value in CAMERA._asdict().items()},
        "pixels that take part, and have a normal": (
            "measured ones (rawDepths > 0)" if source.has_raw else "those with a depth: the file does not say what was measured"
        ),
        "least share of such pixels in a window": MIN_SHARE,
    }


def _make(
    args: argparse.Namespace,
    source: OfficialNYU,
    folder: NormalsFolder | None,
    recipe: dict[str, Any],
    facts: dict[str, Any],
    splits: dict[str, list[int]],
) -> bool:
    """Fill ``args.out`` with what is not there yet; False if nothing was missing."""
    from datasets.preparation.normals import normals_from_depth
    from datasets.preparation.nyu_frames import FORMATS, frame_name, is_complete, write_frame
    from datasets.preparation.official_nyu import CAMERA
    from datasets.preparation.threads import in_threads
    from datasets.preparation.workspace import finish, preparing
    from utils.console import track
    from utils.files import write_text

    def write(frame: Frame) -> None:
        if folder is not None:
            normals = folder.read(frame.number)
        else:
            normals = normals_from_depth(frame.depth, frame.measured, CAMERA, args.normals_window)
        write_frame(args.out, frame, normals)

    numbers = sorted(number for split in splits.values() for number in split)
    lists = {args.out / "gt_sets" / f"{split}.txt": members for split, members in splits.items()}
    with preparing(args.out, recipe, args.overwrite, contents=FORMATS) as begun:
        missing = [number for number in numbers if not is_complete(args.out, number)]
        if not begun and not missing and all(path.is_file() for path in lists):
            return False
        if len(missing) < len(numbers):
            log.info("%d of %d frames are there already", len(numbers) - len(missing), len(numbers))
        frames = (source.frame(number) for number in missing)
        for _ in track(in_threads(write, frames, args.workers or min(8, cores())), "NYU-v2 frames", total=len(missing)):
            pass
        for path, members in lists.items():
            write_text(path, "".join(f"{frame_name(number)}\n" for number in members))
        finish(args.out, recipe, {**facts, "classes": CLASS_TABLE, "files": FORMATS, "licence": LICENCE})
    return True
