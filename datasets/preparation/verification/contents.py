"""One file: read by the loaders' own readers; what they take but do not expect is noted too."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from datasets.images import read_photo
from datasets.plausibility import facts_of
from datasets.preparation.verification.findings import Content, refusal
from datasets.targets import blemish, decode, read_array
from utils.errors import DataError
from utils.tasks import get_task


def examine_image(path: Path) -> Content:
    """An image file, decoded to its last pixel."""
    try:
        image = read_photo(path)
        check_png(path)
    except DataError as error:
        return Content(None, (refusal(path, error, "a whole image file"),))
    return Content((image.height, image.width))


def examine_target(path: Path, task_name: str, dataset: str) -> Content:
    """A dense target in one of the file types of a data set."""
    task = get_task(task_name)
    try:
        array = read_array(path, labels=task.kind == "segmentation")
        height, width = decode(task, array, path, dataset)[0].shape[-2:]
        check_png(path)
    except DataError as error:
        return Content(None, (refusal(path, error, "a whole file"),))
    problem = blemish(task, array, path, dataset)
    rows = () if problem is None else (refusal(path, problem, ""),)
    return Content((height, width), rows, facts_of(task, array, path, dataset))


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
