"""Fill the folders that the loaders read.

    python prepare_data.py synthetic-nyu                        240 rooms, 15 s -> data/synthetic_nyu
    python prepare_data.py synthetic-celeba --train 800         880 faces, 12 s -> data/synthetic_celeba

A set is made in a folder beside --out and moved there when it is complete. Its parameters are in --out/synthetic.json.
Exit codes: 0 done or already there, 1 the system refused (disk full, no permission), 2 wrong use, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

MARKER = "synthetic.json"
"""Written last: a folder with it holds a whole set, made with the parameters that it lists."""

SPLITS = ("train", "val", "test")
SMALLEST, LARGEST = 16, 512
MOST = 10_000

KINDS = {
    "synthetic-nyu": ("data/synthetic_nyu", "rooms in the NYUD_MT layout"),
    "synthetic-celeba": ("data/synthetic_celeba", "faces in the CelebAMask-HQ layout"),
}
"""Per kind of set: where it goes by default and what it is."""


class Refused(Exception):
    """A request that cannot be granted; the message is one sentence for the user."""


class Generator(NamedTuple):
    """What writes one kind of set."""

    write: Callable[..., None]
    files: Callable[[dict[str, int]], list[str]]
    version: int


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message without the usage and leave with exit code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """A type for argparse: a whole number from ``least`` to ``most``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {least} to {most}.")
        return value

    return parse


def build_parser() -> argparse.ArgumentParser:
    """The command line: one sub-command per kind of set."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="kind", required=True, parser_class=Parser)
    for kind, (out, what) in KINDS.items():
        command = commands.add_parser(kind, help=f"draw {what}", allow_abbrev=False)
        command.add_argument("--out", type=Path, default=Path(out), help="folder to make (default: %(default)s)")
        for split, least, default in (("train", 1, 160), ("val", 0, 40), ("test", 0, 40)):
            number = whole_number(least, MOST)
            command.add_argument(f"--{split}", type=number, default=default, help="images (default: %(default)s)")
        size = whole_number(SMALLEST, LARGEST)
        command.add_argument("--size", type=size, default=96, help="side in pixels (default: %(default)s)")
        command.add_argument("--seed", type=whole_number(0, 2**32 - 1), default=0, help="default: %(default)s")
        command.add_argument("--overwrite", action="store_true", help="replace a synthetic set that is in --out")
    return parser


def generator(kind: str) -> Generator:
    """What makes this kind of set; imported here, so that --help and refusals are instant."""
    if kind == "synthetic-nyu":
        from datasets import synthetic_rooms as rooms

        return Generator(rooms.write_rooms, rooms.room_files, rooms.VERSION)
    from datasets import synthetic_faces as faces

    return Generator(faces.write_faces, faces.face_files, faces.VERSION)


def read_marker(out: Path) -> dict[str, Any] | None:
    """The parameters of the synthetic set in ``out``; None if there is no (readable) one."""
    try:
        found = json.loads((out / MARKER).read_text())
        kind_is_known = found["kind"] in KINDS
        counts_are_sane = all(type(found["counts"][split]) is int and found["counts"][split] >= 0 for split in SPLITS)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if kind_is_known and counts_are_sane else None


def files_to_replace(out: Path, wanted: dict[str, Any], overwrite: bool, new_files: list[str]) -> list[str] | None:
    """The files of an older synthetic set in ``out`` that may go; None if the wanted set is already there.

    Raises:
        Refused: ``out`` holds something that is not to be touched.
    """
    if not out.exists():
        return []
    if not out.is_dir():
        raise Refused(f"{out} is a file, not a folder.")
    if not any(out.iterdir()):
        return []
    found = read_marker(out)
    if found is None:
        raise Refused(f"{out} holds something that this command did not make; choose another --out.")
    old_files = [*generator(found["kind"]).files(found["counts"]), MARKER]
    complete = all((out / name).is_file() for name in old_files)
    if found == wanted and complete and not overwrite:
        return None
    if not overwrite:
        what = "a synthetic set with other parameters" if complete else "a synthetic set with files missing"
        raise Refused(f"{out} holds {what}; choose another --out or pass --overwrite.")
    own = set(old_files)
    for name in sorted({*old_files, *new_files}):
        path = out / name
        if path.parent.is_symlink() or (path.parent.exists() and not path.parent.is_dir()):
            raise Refused(f"{path.parent} is not a folder that this command made; move it away first.")
        if path.is_dir() or (name not in own and (path.exists() or path.is_symlink())):
            raise Refused(f"{path} is not a file that this command made; move it away first.")
    return old_files


def move_rest(source: Path, target: Path) -> None:
    """Move all that ``source`` still holds into ``target``, folder into folder, and remove ``source``."""
    for entry in list(source.iterdir()):
        goal = target / entry.name
        if entry.is_dir() and not entry.is_symlink() and goal.is_dir():
            move_rest(entry, goal)
        else:
            entry.rename(goal)
    source.rmdir()


def install(made: Path, out: Path, old_files: list[str]) -> None:
    """Put the complete set ``made`` where ``out`` is; of what was there only ``old_files`` go, all else stays."""
    if not out.exists():
        made.rename(out)
        return
    aside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.old-"))
    out.rename(aside)
    try:
        made.rename(out)
    except OSError:
        aside.rename(out)
        raise
    for name in old_files:
        (aside / name).unlink(missing_ok=True)
    for folder in {(aside / name).parent for name in old_files} - {aside}:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    move_rest(aside, out)


def prepare(args: argparse.Namespace) -> str:
    """Make the set that the command line asks for; returns what to tell the user.

    Raises:
        Refused: nothing was written.
    """
    counts = {split: getattr(args, split) for split in SPLITS}
    if sum(counts.values()) > MOST:
        raise Refused(f"--train, --val and --test add up to {sum(counts.values())}, more than {MOST}.")
    # The set goes where a link points; a temporary folder beside it is on the same disk, so that moving is one step.
    out = args.out.resolve()
    maker = generator(args.kind)
    wanted = {
        "kind": args.kind,
        "counts": counts,
        "size": args.size,
        "seed": args.seed,
        "generator_version": maker.version,
    }
    old_files = files_to_replace(out, wanted, args.overwrite, [*maker.files(counts), MARKER])
    if old_files is None:
        return f"{args.out} is already there, with these parameters."

    from rich.console import Console
    from rich.progress import track

    new_parents = [folder for folder in out.parents if not folder.exists()]
    made: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.new-"))
        made.chmod(0o755)

        def progress(numbers: Sequence[int]) -> Any:
            return track(numbers, description=args.kind, console=Console(stderr=True))

        maker.write(made, counts, (args.size, args.size), args.seed, progress=progress)
        (made / MARKER).write_text(json.dumps(wanted, indent=2) + "\n")
        # Moving takes milliseconds; a Ctrl-C in the middle of it would leave two halves.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            install(made, out, old_files)
        finally:
            signal.signal(signal.SIGINT, before)
    except BaseException:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        for folder in new_parents:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise
    return f"{args.out}: " + ", ".join(f"{counts[split]} {split}" for split in SPLITS) + f", {args.size} x {args.size}."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = build_parser().parse_args(argv)
    try:
        print(prepare(args))
    except Refused as problem:
        print(f"prepare_data.py: {problem}", file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"prepare_data.py: {args.out} cannot be written: {problem}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("prepare_data.py: interrupted, nothing was written.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
