"""Index of a folder's files by frame; two files for one frame are refused, as they may differ."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from datasets.problems import Problem, refuse
from utils.errors import DataError

MOST_TYPES = 5
"""Types of files that a message names."""


class FileNames(NamedTuple):
    """Names of the files of one kind."""

    frame_of: Callable[[str], str | None]
    """The frame that a file belongs to, by the file's name; None for files of another kind."""
    usual: Callable[[str], str]
    """Return the usual name of a frame's file, for messages."""


class Place(NamedTuple):
    """Folder of the images, or of a task's targets, and the names of its files."""

    folder: Path
    names: FileNames
    recursive: bool = False
    """True if files lie in sub-folders too, which are part of the frames' names: ``field1/0003``."""


def named_after_frame(types: Sequence[str]) -> FileNames:
    """Files that are called like their frame, with one of these types (``.png``), in small or capital letters."""

    def frame_of(file: str) -> str | None:
        stem, suffix = os.path.splitext(file)
        return stem if suffix.lower() in types else None

    kinds = " or ".join([*types[:MOST_TYPES], *(["another type of image"] if len(types) > MOST_TYPES else [])])
    return FileNames(frame_of, lambda frame: f"{frame} ({kinds})" if len(types) > 1 else frame + types[0])


def numbered_files(ending: str, usual: str) -> FileNames:
    """Files that begin with a frame's number, with any number of leading zeros, and go on with the expression ``ending``."""
    pattern = re.compile(rf"0*([0-9]{{1,9}}){ending}", re.IGNORECASE)

    def frame_of(file: str) -> str | None:
        match = pattern.fullmatch(file)
        return match and match[1]

    return FileNames(frame_of, lambda name: usual.format(int(name)))


def files_by_frame(place: Place) -> dict[str, list[Path]]:
    """The files of each frame, hidden ones left out, in the order of their names; none where there is no folder."""
    paths_of: dict[str, list[Path]] = {}
    for folder, files in _folders(place):
        before = "" if folder == place.folder else f"{folder.relative_to(place.folder).as_posix()}/"
        for file in sorted(files):
            frame = None if file.startswith(".") else place.names.frame_of(file)
            if frame is not None:
                paths_of.setdefault(before + frame, []).append(folder / file)
    return paths_of


def _folders(place: Place) -> Iterator[tuple[Path, list[str]]]:
    """Yield the folders of a place, each with the names of what lies there; none where there is no folder."""
    if not place.recursive:
        yield from [(place.folder, os.listdir(place.folder))] if place.folder.is_dir() else []
        return
    seen: set[str] = set()  # a link may lead back
    for folder, below, files in os.walk(place.folder, followlinks=True):
        seen.add(os.path.realpath(folder))
        below[:] = sorted(
            name for name in below if not name.startswith(".") and os.path.realpath(os.path.join(folder, name)) not in seen
        )
        yield Path(folder), files


def double_files(files: Sequence[Path]) -> list[Problem]:
    """A problem for every file of a frame beyond the first."""
    return [Problem(str(file), f"is there as well as {files[0].name}", "one of them") for file in files[1:]]


def index_files(place: Place, frames: Sequence[str], what: str, partial: bool = False) -> dict[str, Path]:
    """The file of each of these frames.

    Args:
        place: where they are.
        frames: of a split; one called ``train/0`` has the file of ``0``.
        what: the files are for, in words.
        partial: a frame may have no file.

    Raises:
        DataError: a frame has no file, or several.
    """
    folder, names, recursive = place
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder, needed for {what}")
    paths_of = files_by_frame(place)
    of_frame = {frame: paths_of.get(frame if recursive else frame.rpartition("/")[2], []) for frame in frames}
    missing = [frame for frame, files in of_frame.items() if not files]
    if missing and not partial:
        first = missing[0] if recursive else missing[0].rpartition("/")[2]
        raise DataError(
            f"{folder / names.usual(first)} is missing, needed for {what}; {len(missing)} of {len(frames)} frames have no such "
            "file"
        )
    refuse([problem for files in of_frame.values() for problem in double_files(files)])
    return {frame: files[0] for frame, files in of_frame.items() if files}
