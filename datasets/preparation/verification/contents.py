"""One file: read by the loaders' own readers, then looked at more closely than they do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from datasets.nyu import read_array, read_image, read_normals, read_target
from datasets.preparation.verification.findings import Content, refusal
from datasets.problems import Problem
from datasets.transforms import MIN_NORMAL_LENGTH
from utils.errors import DataError
from utils.tasks import Task, get_task

LENGTH_TOLERANCE = 0.1
"""How far from 1 the length of a normal may be."""
EIGHT_BITS = (".png", ".jpg")


def examine_image(path: Path) -> Content:
    """An image file, decoded to its last pixel."""
    try:
        size = read_image(path, grey=False).shape[-2:]
        surprise = image_surprise(path)
    except DataError as error:
        return Content(None, (refusal(path, error, "a whole image file"),))
    return Content((int(size[0]), int(size[1])), _rows(path, surprise))


def examine_target(path: Path, task_name: str) -> Content:
    """A dense target in one of the file types of the NYUD_MT layout."""
    task = get_task(task_name)
    try:
        size = read_target(task, path)[0].shape[-2:]
        surprise = array_surprise(task, read_array(path), path, approximate=path.suffix.lower() in EIGHT_BITS)
        if surprise is None and path.suffix.lower() == ".png":
            surprise = png_surprise(path, labels=task.kind == "segmentation")
    except DataError as error:
        return Content(None, (refusal(path, error, "a whole file"),))
    return Content((int(size[0]), int(size[1])), _rows(path, surprise))


def _rows(path: Path, surprise: tuple[str, str] | None) -> tuple[Problem, ...]:
    return () if surprise is None else (Problem(str(path), *surprise),)


def array_surprise(task: Task, array: np.ndarray, path: Path, approximate: bool) -> tuple[str, str] | None:
    """What is wrong with values that the reader takes, and what was expected; None if nothing is.

    Args:
        task: says the kind.
        array: as it is in the file.
        path: of the file.
        approximate: of normals that were compressed or resized: not every one, but most should be about unit vectors.
    """
    if task.kind not in ("depth", "normals"):
        return None
    wanted = "floats in metres, 0 where invalid" if task.kind == "depth" else "float unit vectors, zero vectors where invalid"
    if array.dtype.kind != "f" and not (task.kind == "normals" and array.dtype == np.uint8):
        return f"holds numbers of type {array.dtype}", wanted
    broken = int((~np.isfinite(array)).sum())
    if broken:
        return f"has {broken} values that are not finite", wanted
    if task.kind == "normals":
        length = read_normals(array, path, task).norm(dim=0)
        valid = length > MIN_NORMAL_LENGTH
        off = valid & ((length - 1).abs() > LENGTH_TOLERANCE)
        count = int(off.sum())
        if count > (int(valid.sum()) // 2 if approximate else 0):
            return f"has {count} normals of another length than 1, such as {float(length[off][0]):.3g}", wanted
    return None


def image_surprise(path: Path) -> tuple[str, str] | None:
    """An image that is read, but not as it was meant."""
    if path.suffix.lower() == ".png":
        surprise = png_surprise(path, labels=False)
        if surprise is not None:
            return surprise
    with Image.open(path) as image:
        if image.mode == "F" or image.mode.startswith("I"):
            return f"has values of more than 8 bits (mode {image.mode}), which are cut off at 255", "8 bits per colour"
    return None


def png_surprise(path: Path, labels: bool) -> tuple[str, str] | None:
    """A PNG that is damaged where decoding does not notice it, or whose stored numbers are not the labels that were meant.

    Programs that shrink PNG files turn grey images into such with a palette or with fewer bits; pictures stay the same,
    labels do not: a pixel is read as its place in the palette, or scaled up to 8 bits.
    """
    try:
        with Image.open(path) as image:
            image.verify()  # the checksums of all parts
        with Image.open(path) as image:
            palette = np.array(image.getpalette("RGB") or []).reshape(-1, 3) if image.mode == "P" else None
            used = np.unique(np.array(image)) if palette is not None else np.array([], int)
        with path.open("rb") as file:
            bits, colour_type = file.read(26)[24:]
    except Exception as error:  # PIL raises half a dozen types for a broken file
        raise DataError(f"{path} cannot be read whole ({error})") from error
    if not labels:
        return None
    if colour_type == 0 and bits in (2, 4):
        return f"is a grey image of {bits} bits, whose values are scaled when they are read", "a grey image of 8 bits"
    if palette is not None:
        used = used[used < len(palette)]
        colours = palette[used]
        is_grey = bool((colours == colours[:, :1]).all())
        if is_grey and bool((colours[:, 0] != used).any()):
            wrong = int(np.flatnonzero(colours[:, 0] != used)[0])
            return (
                f"has a palette of greys: {colours[wrong, 0]} is stored as number {used[wrong]} and read as that",
                "a grey image of 8 bits, or a palette whose numbers are the labels",
            )
    return None
