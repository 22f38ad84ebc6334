"""The command ``synthetic``: rooms or faces, drawn, in the layouts of the real sets; fields, as an example of your own data.

Its parameters are in the set's ``manifest.json``; what an interrupted run has drawn is drawn again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from datasets.preparation.workspace import MANIFEST, finish, preparing, read_object, read_recipe
from utils.cli import path_argument, whole_number
from utils.console import track
from utils.errors import DataError, UserError

if TYPE_CHECKING:
    from settings.config import ExperimentConfig

HELP = "draw a synthetic set: rooms in the NYUD_MT layout, faces in that of CelebAMask-HQ, or fields as your own data"

OLD_MANIFEST = "synthetic.json"
"""Name of the file into which earlier versions wrote the parameters of a complete set."""

SPLITS = ("train", "val", "test")
SMALLEST, LARGEST = 16, 512
"""Side of a frame in pixels."""
MOST = 10_000
"""Frames of a set."""
FRAMES = 240
LEAST = {"train": 1, "val": 0, "test": 0}


DATASETS = {"nyu": "synthetic-nyu", "celeba": "synthetic-celeba", "fields": "synthetic-fields"}
"""Values of --dataset, in small letters, and their names in the manifest."""
TITLES = {
    "synthetic-nyu": "Synthetic rooms",
    "synthetic-celeba": "Synthetic faces",
    "synthetic-fields": "Synthetic fields",
}
"""Names in figures and reports, by those in the manifest."""


class Generator(NamedTuple):
    """Writer of one kind of set."""

    write: Callable[..., None]
    files: Callable[[dict[str, int]], list[str]]
    version: int


def generator(dataset: str) -> Generator:
    """Return the maker of the set ``nyu``, ``celeba`` or ``fields``; imported here, so that --help and refusals are instant."""
    if dataset == "nyu":
        from datasets.synthetic import rooms as rooms

        return Generator(rooms.write_rooms, rooms.room_files, rooms.VERSION)
    if dataset == "fields":
        from datasets.synthetic import fields as fields

        return Generator(fields.write_fields, fields.field_files, fields.VERSION)
    from datasets.synthetic import faces as faces

    return Generator(faces.write_faces, faces.face_files, faces.VERSION)


def drawn_title(config: ExperimentConfig) -> str:
    """Return what a configuration's data set is if this command drew it, such as ``Synthetic rooms``; else an empty text."""
    try:
        return TITLES.get(str(read_recipe(config.data_dir / MANIFEST).get("kind")), "")
    except UserError:
        return ""  # a folder of another machine, or not ours


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--dataset", required=True, type=_dataset, metavar="nyu|celebA|fields", help="rooms, faces or fields")
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
        "--out",
        type=path_argument,
        help="folder to make (default: data/synthetic_nyu, data/synthetic_celeba or data/synthetic_fields)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a synthetic set that is in --out")


def _dataset(text: str) -> str:
    if text.lower() not in DATASETS:
        raise argparse.ArgumentTypeError(f"{text} is none of nyu, celebA and fields")
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
        DataError: the request contradicts itself or what is in --out.
        OSError: the system refused.
    """
    counts = counts_of(args)
    out = args.out or Path("data") / f"synthetic_{args.dataset}"
    maker = generator(args.dataset)
    files = maker.files(counts)
    recipe: dict[str, Any] = {"kind": DATASETS[args.dataset], "counts": counts, "size": args.size, "seed": args.seed}
    recipe["generator_version"] = maker.version
    _adopt(out, recipe.keys())
    with preparing(out, recipe, args.overwrite, _contents(args.dataset)) as begun:
        made = begun or not all((out / name).is_file() for name in files)
        if made:
            size = (args.size, args.size)
            try:
                maker.write(out, counts, size, args.seed, progress=lambda numbers: track(numbers, f"drawing {out}"))
            except OSError as error:
                raise OSError(f"{out} cannot be written ({error.strerror or error})") from error
            finish(out, recipe, {"counts": counts})
    numbers = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
    state = f"{numbers}, {args.size} x {args.size}" if made else "is already there, with these parameters"
    sys.stdout.write(f"{out}: {state}\n")
    return 0


def _contents(dataset: str) -> set[str]:
    """The files and folders of a set."""
    return {name.split("/")[0] for name in generator(dataset).files(dict.fromkeys(SPLITS, 1))}


def _adopt(out: Path, keys: Collection[str]) -> None:
    """Give a set that an earlier version made its manifest."""
    recipe = read_object(out / OLD_MANIFEST)
    kinds = {kind: dataset for dataset, kind in DATASETS.items()}
    if recipe.keys() == keys and recipe["kind"] in kinds and not (out / MANIFEST).exists():
        finish(out, recipe, {"counts": recipe["counts"], "contents": sorted(_contents(kinds[recipe["kind"]]))})
        (out / OLD_MANIFEST).unlink()
