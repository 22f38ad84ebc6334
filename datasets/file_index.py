"""Which file of a folder belongs to which frame; two files for one frame are refused, as they may differ."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from datasets.problems import Problem, refuse
from utils.errors import DataError


class FileNames(NamedTuple):
    """Names of the files of one kind."""

    frame_of: Callable[[str], str | None]
    """The frame that a file belongs to, by the file's name; None for files of another kind."""
    usual: Callable[[str], str]
    """What the file of a frame is called, for messages."""


def named_after_frame(types: Sequence[str]) -> FileNames:
    """Files that are called like their frame, with one of these types (``.png``), in small or capital letters."""

    def frame_of(file: str) -> str | None:
        stem, suffix = os.path.splitext(file)
        return stem if suffix.lower() in types else None

    return FileNames(frame_of, lambda frame: f"{frame} ({' or '.join(types)})" if len(types) > 1 else frame + types[0])


def files_by_frame(folder: Path, names: FileNames) -> dict[str, list[Path]]:
    """The files of each frame in a folder, hidden ones left out, in the order of their names."""
    found: dict[str, list[Path]] = {}
    for file in sorted(os.listdir(folder)):
        frame = None if file.startswith(".") else names.frame_of(file)
        if frame is not None:
            found.setdefault(frame, []).append(folder / file)
    return found


def double_files(files: Sequence[Path]) -> list[Problem]:
    """A problem for every file of a frame beyond the first."""
    return [Problem(str(file), f"is there as well as {files[0].name}", "one of them") for file in files[1:]]


def index_files(folder: Path, names: FileNames, frames: Sequence[str], what: str) -> dict[str, Path]:
    """The file of each of these frames.

    Args:
        folder: holds them.
        names: says what they are called.
        frames: of a split.
        what: the files are for, in words.

    Raises:
        DataError: a frame has no file, or several.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder, needed for {what}")
    found = files_by_frame(folder, names)
    missing = [frame for frame in frames if frame not in found]
    if missing:
        raise DataError(
            f"{folder / names.usual(missing[0])} is missing, needed for {what}; {len(missing)} of {len(frames)} frames have "
            "no such file"
        )
    refuse([problem for frame in frames for problem in double_files(found[frame])])
    return {frame: found[frame][0] for frame in frames}
