"""MTAN's layout: which files ``datasets/mtan.py`` would read."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from datasets.file_index import double_files, files_by_frame
from datasets.mtan import ARRAYS, IMAGES, _read_image, check_form, list_frames
from datasets.preparation.verification.contents import examine_target
from datasets.preparation.verification.findings import Content, File, Survey, refusal
from datasets.problems import Problem
from datasets.splits import ROLES
from utils.errors import DataError
from utils.tasks import TASKS, get_task


def examine_mtan_image(path: Path) -> Content:
    """An image as an array."""
    try:
        size = _read_image(path, grey=False).shape[-2:]
    except DataError as error:
        return Content(None, (refusal(path, error, "a whole array"),))
    return Content((int(size[0]), int(size[1])))


def examine_mtan_target(path: Path, task_name: str) -> Content:
    """A target as an array."""
    try:
        check_form(path, get_task(task_name).kind)
    except DataError as error:
        return Content(None, (refusal(path, error, "a whole array"),))
    return examine_target(path, task_name, "NYU_MTAN")


def is_mtan(root: Path) -> bool:
    """Is this folder in MTAN's layout?"""
    return any((root / split / IMAGES).is_dir() for split in ROLES)


def survey_mtan(root: Path) -> Survey:
    """The frames of every split, by their images, with every kind of target that has a folder."""
    survey = Survey("NYU-v2 in MTAN's layout")
    splits = [split for split in ROLES if (root / split).is_dir()]
    kinds = {name: task.source["NYU_MTAN"] for name, task in TASKS.items() if "NYU_MTAN" in task.source}
    kinds = {name: kind for name, kind in kinds.items() if any((root / split / kind).is_dir() for split in splits)}
    survey.targets = [f"{kind} (.npy)" for kind in kinds.values()]
    if not kinds:
        survey.add(root, "has no targets", "a folder such as train/label, train/depth or train/normal")
    for split in splits:
        images = root / split / IMAGES
        numbers, problems = list_frames(images) if images.is_dir() else ([], [Problem(str(images), "is missing", "a folder")])
        survey.problems += problems
        survey.counts[split] = len(numbers)
        frames = files_by_frame(images, ARRAYS) if images.is_dir() else {}
        survey.files += [File(files[0], examine_mtan_image) for files in frames.values()]
        for name, kind in kinds.items():
            folder = root / split / kind
            targets = files_by_frame(folder, ARRAYS) if folder.is_dir() else {}
            for number, files in frames.items():
                if number in targets:
                    examine = partial(examine_mtan_target, task_name=name)
                    survey.files.append(File(targets[number][0], examine, image=files[0], target=(name, "NYU_MTAN")))
                    survey.problems += double_files(targets[number])
                else:
                    survey.add(
                        folder / ARRAYS.usual(number), "is missing", f"a file, as there is {split}/{IMAGES}/{files[0].name}"
                    )
            for number, files in targets.items():
                if number not in frames:
                    survey.add(
                        images / ARRAYS.usual(number), "is missing", f"a file, as there is {split}/{kind}/{files[0].name}"
                    )
    if not (root / "train").is_dir():
        survey.add(root / "train", "is missing", "the frames for training")
    if splits == ["train"]:
        survey.add(root / "val", "is missing", "the frames for testing")
    return survey


def _missing(path: Path, other: Path) -> Problem:
    """A frame's file is not there, but another one of the frame is."""
    return Problem(str(path), "is missing", f"a file, as there is {'/'.join(other.parts[-3:])}")
