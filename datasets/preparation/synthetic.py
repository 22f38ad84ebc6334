"""The command ``synthetic``: rooms or faces, drawn, in the layouts of the real sets.

A set is made in a folder beside --out and moved there when it is complete. Its parameters are in --out/synthetic.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from datasets.preparation.installation import install
from utils.cli import path_argument, whole_number
from utils.console import track
from utils.errors import DataError
from utils.files import read_text, refused, write_text

HELP = "draw a synthetic set: rooms in the NYUD_MT layout, or faces in that of CelebAMask-HQ"

MARKER = "synthetic.json"
"""Written last: a folder with it holds a whole set, made with the parameters that it lists."""

SPLITS = ("train", "val", "test")
SMALLEST, LARGEST = 16, 512
"""Side of a frame in pixels."""
MOST = 10_000
"""Frames of a set."""
FRAMES = 240
LEAST = {"train": 1, "val": 0, "test": 0}


DATASETS = {"nyu": "synthetic-nyu", "celeba": "synthetic-celeba"}
"""What --dataset may be, in small letters, and what the marker calls it."""


class Generator(NamedTuple):
    """What writes one kind of set."""

    write: Callable[..., None]
    files: Callable[[dict[str, int]], list[str]]
    version: int


def generator(dataset: str) -> Generator:
    """What makes the set ``nyu`` or ``celeba``; imported here, so that --help and refusals are instant."""
    if dataset == "nyu":
        from datasets import synthetic_rooms as rooms

        return Generator(rooms.write_rooms, rooms.room_files, rooms.VERSION)
    from datasets import synthetic_faces as faces

    return Generator(faces.write_faces, faces.face_files, faces.VERSION)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--dataset", required=True, type=_dataset, metavar="nyu|celebA", help="rooms or faces")
    parser.add_argument(
        "--frames",
        type=whole_number(3, MOST),
        metavar="N",
        help="how many in all: a sixth of them val, a sixth test (each rounded down, at least 1), the others train "
        f"(default: {FRAMES})",
    )
    default = split_frames(FRAMES)
    for split in SPLITS:
        text = f"instead of --frames: how many in {split} (default: {default[split]})"
        parser.add_argument(f"--{split}", type=whole_number(LEAST[split], MOST), metavar="N", help=text)
    parser.add_argument("--size", type=whole_number(SMALLEST, LARGEST), default=96, help="side in pixels (default: 96)")
    parser.add_argument("--seed", type=whole_number(0, 2**32 - 1), default=0, help="default: 0")
    parser.add_argument(
        "--out", type=path_argument, help="folder to make (default: data/synthetic_nyu or data/synthetic_celeba)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a synthetic set that is in --out")


def _dataset(text: str) -> str:
    if text.lower() not in DATASETS:
        raise argparse.ArgumentTypeError(f"{text} is neither nyu nor celebA")
    return text.lower()


def split_frames(frames: int) -> dict[str, int]:
    """Frames per split: a sixth, rounded down and at least one, for each of val and test; the others are for training."""
    held_out = max(1, frames // 6)
    return {"train": frames - 2 * held_out, "val": held_out, "test": held_out}


def counts_of(args: argparse.Namespace) -> dict[str, int]:
    """Frames per split, as the arguments ask for them.

    Raises:
        DataError: --frames and a split's own number are both given, or they are too many.
    """
    given = {split: getattr(args, split) for split in SPLITS if getattr(args, split) is not None}
    if not given:
        return split_frames(args.frames or FRAMES)
    if args.frames is not None:
        raise DataError(f"--frames {args.frames} and --{next(iter(given))} say two different things; give one or the other")
    counts = {**split_frames(FRAMES), **given}
    if sum(counts.values()) > MOST:
        raise DataError(f"--train, --val and --test add up to {sum(counts.values())}; expected at most {MOST}")
    return counts


def run(args: argparse.Namespace) -> int:
    """Make the set that the arguments ask for, or leave it as it is if it is there; returns 0.

    Raises:
        DataError: the request contradicts itself or what is in --out; nothing was written.
        OSError: the system refused; what was there before is unchanged.
    """
    counts = counts_of(args)
    shown = args.out or Path("data") / f"synthetic_{args.dataset}"
    try:
        made = _prepare(args.dataset, shown, counts, args.size, args.seed, args.overwrite)
    except OSError as error:
        raise refused(shown, error) from error
    numbers = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
    state = f"{numbers}, {args.size} x {args.size}" if made else "is already there, with these parameters"
    sys.stdout.write(f"{shown}: {state}\n")
    return 0


def _prepare(dataset: str, shown: Path, counts: dict[str, int], size: int, seed: int, overwrite: bool) -> bool:
    """Make the set; False if that very set is there already."""
    # The set goes where a link points; a temporary folder beside it is on the same disk, so that moving is one step.
    out = shown.resolve()
    maker = generator(dataset)
    wanted = {
        "kind": DATASETS[dataset],
        "counts": counts,
        "size": size,
        "seed": seed,
        "generator_version": maker.version,
    }
    old_files = _files_to_replace(out, shown, wanted, overwrite, [*maker.files(counts), MARKER])
    if old_files is None:
        return False
    new_parents = [folder for folder in out.parents if not folder.exists()]
    made: Path | None = None

    def progress(numbers: Iterable[int]) -> Iterable[int]:
        return track(numbers, f"drawing {shown}")

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.new-"))
        made.chmod(0o755)
        maker.write(made, counts, (size, size), seed, progress=progress)
        write_text(made / MARKER, json.dumps(wanted, indent=2) + "\n")
        install(made, out, old_files)
    except BaseException:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        for folder in new_parents:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise
    return True


def _read_marker(out: Path) -> dict[str, Any] | None:
    """The parameters of the synthetic set in ``out``; None if there is no (readable) one."""
    try:
        found = json.loads(read_text(out / MARKER))
        kind_is_known = found["kind"] in DATASETS.values()
        counts_are_sane = all(type(found["counts"][split]) is int and found["counts"][split] >= 0 for split in SPLITS)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if kind_is_known and counts_are_sane else None


def _files_to_replace(
    out: Path, shown: Path, wanted: dict[str, Any], overwrite: bool, new_files: list[str]
) -> list[str] | None:
    """The files of an older synthetic set in ``out`` that may go; None if the wanted set is already there.

    Raises:
        DataError: ``out`` (which the user calls ``shown``) holds something that is not to be touched.
    """
    if not out.exists():
        return []
    if not out.is_dir():
        raise DataError(f"--out {shown}: is a file, not a folder; choose another folder")
    if not any(out.iterdir()):
        return []
    found = _read_marker(out)
    if found is None:
        raise DataError(f"--out {shown}: holds something that this command did not make; choose another folder")
    dataset = next(dataset for dataset, kind in DATASETS.items() if kind == found["kind"])
    old_files = [*generator(dataset).files(found["counts"]), MARKER]
    complete = all((out / name).is_file() for name in old_files)
    if found == wanted and complete and not overwrite:
        return None
    if not overwrite:
        what = "a synthetic set with other parameters" if complete else "a synthetic set with files missing"
        raise DataError(f"--out {shown}: holds {what}; choose another folder, or pass --overwrite")
    own = set(old_files)
    for name in sorted({*old_files, *new_files}):
        path = out / name
        if path.parent.is_symlink() or (path.parent.exists() and not path.parent.is_dir()):
            raise DataError(f"--out {shown}: {path.parent} is not a folder that this command made; move it away first")
        if path.is_dir() or (name not in own and (path.exists() or path.is_symlink())):
            raise DataError(f"--out {shown}: {path} is not a file that this command made; move it away first")
    return old_files
