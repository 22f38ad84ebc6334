"""One file, read by the loaders' own readers; what they take but do not expect is noted too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from datasets.images import read_array, read_picture
from datasets.plausibility import Facts, facts_of
from datasets.problems import Problem
from datasets.targets import blemish, decode
from tasks.kinds import KINDS
from tasks.table import Task
from utils.errors import DataError


class File(NamedTuple):
    """A file that the loaders read."""

    path: Path
    task: str | None = None
    """Whose target it is; None for an image."""
    image: Path | None = None
    """Image that a target belongs to; None for an image."""


class Content(NamedTuple):
    """Contents of a file that was read."""

    size: tuple[int, int] | None
    """Height and width in pixels; None if it cannot be read."""
    problems: tuple[Problem, ...] = ()
    facts: Facts | None = None
    """Traces of the set's encoding in a target; None for an image."""


def examine(tasks: Mapping[str, Task], file: File) -> Content:
    """Read a file of a set with some tasks, by name, to its last pixel."""
    path, task = file.path, tasks[file.task] if file.task is not None else None
    try:
        if task is None:
            picture = read_picture(path)
            check_png(path)
            return Content((picture.height, picture.width))
        array = read_array(path, exact=KINDS[task.kind].exact)
        values, _ = decode(task, array, path)
        check_png(path)
    except DataError as error:
        return Content(None, (refusal(path, error, "a whole file"),))
    problem = blemish(task, array, path)
    rows = () if problem is None else (refusal(path, problem, ""),)
    height, width = values.shape[-2:]
    return Content((height, width), rows, facts_of(task, array, path, values))


def crashed(file: File) -> Content:
    """Return the contents of a file whose reading ended the process."""
    return Content(None, (Problem(str(file.path), "crashes the program that reads it", "a whole file"),))


def check_png(path: Path) -> None:
    """Compare the checksums of a PNG, which decoding does not look at.

    Raises:
        DataError: it is damaged.
    """
    if path.suffix.lower() != ".png":
        return
    try:
        with Image.open(path) as image:
            image.verify()
    except Exception as error:  # PIL raises half a dozen types for a broken file
        raise DataError(f"{path} cannot be read whole ({error})") from error


def refusal(path: Path, error: DataError, expected: str) -> Problem:
    """Return the refusal of a file as a row: ``<path> <problem>; expected <expected>``."""
    text = " ".join(str(error).split()).removeprefix(str(path)).strip(" :")
    # PIL and the system name the file once more.
    for again in (f": {str(path)!r}", f" {str(path)!r}"):
        text = text.replace(again, "")
    problem, _, wanted = text.partition("; expected ")
    return Problem(str(path), problem, wanted or expected)


def size_problems(files: Sequence[File], sizes: dict[Path, tuple[int, int]], same_size: bool) -> list[Problem]:
    """The targets that do not lie on their image pixel by pixel or, without ``same_size``, in other proportions than its own.

    Args:
        files: all files.
        sizes: height and width of those that could be read.
        same_size: as a data set of :mod:`datasets.base` has it.
    """
    problems = []
    for file in files:
        if file.image is None or file.path not in sizes or file.image not in sizes:
            continue
        (height, width), (image_height, image_width) = sizes[file.path], sizes[file.image]
        if height * image_width != width * image_height or (same_size and height != image_height):
            what = "the size" if same_size else "the proportions"
            expected = f"{what} of {file.image.parent.name}/{file.image.name}, {image_height} x {image_width}"
            problems.append(Problem(str(file.path), f"is {height} x {width} (height x width)", expected))
    return problems
