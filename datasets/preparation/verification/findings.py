"""What is looked at, and what is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from datasets.plausibility import Facts
from datasets.problems import Problem
from utils.errors import DataError


class Content(NamedTuple):
    """What a file turned out to hold."""

    size: tuple[int, int] | None
    """Height and width in pixels; None if it cannot be read."""
    problems: tuple[Problem, ...] = ()
    facts: Facts | None = None
    """Of a target: what it shows of the set's encoding."""


class File(NamedTuple):
    """A file that the loaders read."""

    path: Path
    examine: Callable[[Path], Content]
    """Reads it, in a process of its own: a function of a module, or a ``functools.partial`` of one."""
    image: Path | None = None
    """Of a target: the image that it belongs to."""
    target: tuple[str, str] | None = None
    """Of a target whose encoding is judged over the set: its task, and the data set."""
    any_scale: bool = False
    """Of a target: it may be larger or smaller than the image, in the same proportions."""


@dataclass
class Survey:
    """What a folder holds, as far as lists of files and small text files say it."""

    layout: str
    counts: dict[str, int] = field(default_factory=dict)
    """Frames per split."""
    targets: list[str] = field(default_factory=list)
    """Which targets there are, in words."""
    files: list[File] = field(default_factory=list)
    unused: int = 0
    """Images in no split."""
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: Path | str, problem: str, expected: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(str(path), problem, expected))


def refusal(path: Path, error: DataError, expected: str) -> Problem:
    """What a reader says about a file, as a row: ``<path> <problem>; expected <expected>``."""
    text = " ".join(str(error).split()).removeprefix(str(path)).strip(" :")
    # PIL and the system name the file once more.
    for again in (f": {str(path)!r}", f" {str(path)!r}"):
        text = text.replace(again, "")
    problem, _, wanted = text.partition("; expected ")
    return Problem(str(path), problem, wanted or expected)


def size_problems(files: Sequence[File], sizes: dict[Path, tuple[int, int]]) -> list[Problem]:
    """The targets that do not lie on their image pixel by pixel.

    Args:
        files: all files.
        sizes: height and width of those that could be read.
    """
    problems = []
    for file in files:
        if file.image is None or file.path not in sizes or file.image not in sizes:
            continue
        (height, width), (image_height, image_width) = sizes[file.path], sizes[file.image]
        fits = height * image_width == width * image_height if file.any_scale else sizes[file.path] == sizes[file.image]
        if not fits:
            what = "the proportions" if file.any_scale else "the size"
            expected = f"{what} of {file.image.parent.name}/{file.image.name}, {image_height} x {image_width}"
            problems.append(Problem(str(file.path), f"is {height} x {width} (height x width)", expected))
    return problems
