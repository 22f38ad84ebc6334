"""PASCAL-Context as the multi-task field has it (PASCAL_MT of ASTMT, also of ATRC and InvPT): targets that the loaders read.

    python prepare_data.py pascal --data_dir data/PASCAL_MT

Of every frame of ``ImageSets/Context/train.txt`` and ``val.txt``, ``targets/<task>/<frame>.png`` has

- **semseg**: the file of ``semseg/VOC12`` where there is one, else that of ``semseg/pascal-context``;
- **human_parts**: 0 background, then the numbers of ``PARTS``, from the people in ``human_parts/<frame>.mat``; a frame without
  people whose parts are labelled has no file, and so no target;
- **saliency**: 1 where ``sal_distill/<frame>.png`` is above 127, else 0;
- **boundaries**: 255 where the class in ``pascal-context/trainval/<frame>.mat`` changes to the right or downwards, else 0.

Takes some minutes for the 10,103 frames. ``normals_distill`` is read as it is.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import loadmat

from datasets.images import read_array
from utils.console import track
from utils.errors import DataError, reason
from utils.files import numbered_lines

PARTS = {
    "head": "hair head mouth nose lear rear lebrow rebrow leye reye",
    "torso": "neck torso",
    "upper arms": "luarm ruarm",
    "lower arms": "llarm rlarm lhand rhand",
    "upper legs": "luleg ruleg",
    "lower legs": "llleg rlleg lfoot rfoot",
}
"""Names of PASCAL-Part's parts of people per class, in the order of the classes' numbers, from 1."""
PERSON = 15
"""Number of people among the classes of PASCAL VOC."""
SALIENT = 127
"""Largest value of a pixel that is not salient."""
_NUMBERS = {part: number for number, names in enumerate(PARTS.values(), start=1) for part in names.split()}


def human_parts(path: Path) -> np.ndarray | None:
    """Return the parts of all people in an annotation of PASCAL-Part, (H, W) uint8; None if no person has any.

    Raises:
        DataError: the file cannot be read, or has a part of another name.
    """
    try:
        objects = loadmat(path, variable_names=["anno"])["anno"][0, 0]["objects"].ravel()
        people = [thing for thing in objects if int(thing["class_ind"][0, 0]) == PERSON and thing["parts"].size]
        parts = [(str(part["part_name"][0]), part["mask"] > 0) for person in people for part in person["parts"].ravel()]
    except Exception as error:  # scipy raises half a dozen types for a broken file
        raise DataError(f"{path} cannot be read as an annotation of PASCAL-Part ({reason(error)})") from error
    numbers = np.zeros(people[0]["mask"].shape, np.uint8) if people else None
    for name, mask in parts:
        if name not in _NUMBERS:
            raise DataError(f"{path} has the part {name!r} of a person; expected one of {', '.join(_NUMBERS)}")
        assert numbers is not None, "who has a part is one of the people"
        numbers[mask] = _NUMBERS[name]
    return numbers


def edges(classes: np.ndarray) -> np.ndarray:
    """Return 255 where a class (H, W) changes to the right or downwards, else 0; (H, W) uint8."""
    changes = np.zeros(classes.shape, bool)
    changes[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    changes[:-1] |= classes[:-1] != classes[1:]
    return changes.astype(np.uint8) * 255


def write_targets(root: Path) -> None:
    """Write ``targets`` below the folder of PASCAL_MT; an interrupted run leaves none.

    Raises:
        DataError: ``targets`` is there already, or a file is missing or broken.
    """
    folder, unfinished = root / "targets", root / ".targets"
    if folder.exists():
        raise DataError(f"{folder} is there already; remove it to have it written again")
    lists = [root / "ImageSets" / "Context" / f"{split}.txt" for split in ("train", "val")]
    try:
        frames = [frame for path in lists for _, frame in numbered_lines(path)]
    except FileNotFoundError as error:
        raise DataError(f"{error.filename}: there is no such file; expected the folder of PASCAL_MT") from None
    shutil.rmtree(unfinished, ignore_errors=True)
    for task in ("semseg", "human_parts", "saliency", "boundaries"):
        (unfinished / task).mkdir(parents=True)
    for frame in track(frames, "writing the targets"):
        file = f"{frame}.png"
        first, other = (root / "semseg" / place / file for place in ("VOC12", "pascal-context"))
        Image.fromarray(read_array(first if first.is_file() else other, exact=True)).save(unfinished / "semseg" / file)
        parts = human_parts(root / "human_parts" / f"{frame}.mat")
        if parts is not None:
            Image.fromarray(parts).save(unfinished / "human_parts" / file)
        salient = read_array(root / "sal_distill" / file) > SALIENT
        Image.fromarray(salient.astype(np.uint8)).save(unfinished / "saliency" / file)
        classes = read_array(root / "pascal-context" / "trainval" / f"{frame}.mat")
        Image.fromarray(edges(classes)).save(unfinished / "boundaries" / file)
    unfinished.rename(folder)
