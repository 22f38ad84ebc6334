"""MTAN's layout: which files ``datasets/mtan.py`` would read."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from datasets.mtan import IMAGES, _read_image, check_form
from datasets.preparation.verification.contents import examine_target
from datasets.preparation.verification.findings import Content, File, Survey, refusal
from utils.errors import DataError
from utils.tasks import TASKS, get_task

SPLITS = ("train", "val", "test")


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
    return any((root / split / IMAGES).is_dir() for split in SPLITS)


def survey_mtan(root: Path) -> Survey:
    """The frames of every split, by their images, with every kind of target that has a folder."""
    survey = Survey("NYU-v2 in MTAN's layout")
    splits = [split for split in SPLITS if (root / split).is_dir()]
    kinds = {name: task.source["NYU_MTAN"] for name, task in TASKS.items() if "NYU_MTAN" in task.source}
    kinds = {name: kind for name, kind in kinds.items() if any((root / split / kind).is_dir() for split in splits)}
    survey.targets = [f"{kind} (.npy)" for kind in kinds.values()]
    if not kinds:
        survey.add(root, "has no targets", "a folder such as train/label, train/depth or train/normal")
    for split in splits:
        there = {kind: _arrays(root / split / kind) for kind in (IMAGES, *kinds.values())}
        least = 2 if split == "train" else 1
        count = survey.counts[split] = len(there[IMAGES])
        if count < least:
            survey.add(root / split / IMAGES, f"number of frames: {count}", f"at least {least} (0.npy, 1.npy, ...)")
        for stem in sorted(there[IMAGES], key=lambda stem: (len(stem), stem)):
            image = root / split / IMAGES / f"{stem}.npy"
            if not (stem.isascii() and stem.isdigit()):
                survey.add(image, "is not called after a number", "0.npy, 1.npy, ...")
            survey.files.append(File(image, examine_mtan_image))
            for name, kind in kinds.items():
                path = root / split / kind / f"{stem}.npy"
                if stem in there[kind]:
                    examine = partial(examine_mtan_target, task_name=name)
                    survey.files.append(File(path, examine, image=image, target=(name, "NYU_MTAN")))
                else:
                    survey.add(path, "is missing", f"a file, as there is {split}/{IMAGES}/{stem}.npy")
        for kind in kinds.values():
            for stem in sorted(there[kind] - there[IMAGES]):
                survey.add(
                    root / split / IMAGES / f"{stem}.npy", "is missing", f"a file, as there is {split}/{kind}/{stem}.npy"
                )
    if not (root / "train").is_dir():
        survey.add(root / "train", "is missing", "the frames for training")
    if splits == ["train"]:
        survey.add(root / "val", "is missing", "the frames for testing")
    return survey


def _arrays(folder: Path) -> set[str]:
    """The names of a folder's arrays; none if there is no such folder."""
    if not folder.is_dir():
        return set()
    return {path.stem for path in folder.iterdir() if path.suffix == ".npy" and not path.name.startswith(".")}
