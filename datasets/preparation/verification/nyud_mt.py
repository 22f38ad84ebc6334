"""The NYUD_MT layout: which files ``datasets/nyu.py`` would read, and whether the lists of frames make sense."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from datasets.file_index import double_files, files_by_frame, named_after_frame
from datasets.nyu import FILE_TYPES, IMAGE_TYPES, LIST_FILES, LISTS, read_list
from datasets.preparation.verification.contents import examine_image, examine_target
from datasets.preparation.verification.findings import File, Survey, refusal
from datasets.splits import split_problems
from utils.errors import DataError
from utils.tasks import TASKS

IMAGES = "images"


def is_nyud_mt(root: Path) -> bool:
    """Is this folder in NYUD_MT layout?"""
    return (root / LISTS).is_dir() and (root / IMAGES).is_dir()


def survey_nyud_mt(root: Path) -> Survey:
    """The frames of all lists in ``gt_sets``, with their images and every kind of target that has a folder."""
    survey = Survey("NYU-v2 in the NYUD_MT layout")
    splits = _read_lists(root / LISTS, survey)
    images = files_by_frame(root / IMAGES, named_after_frame(IMAGE_TYPES))
    targets: dict[str, dict[str, list[Path]]] = {}
    for task in TASKS.values():
        folder = task.source.get("NYU")
        if folder is not None and (root / folder).is_dir():
            targets[task.name] = files_by_frame(root / folder, named_after_frame(FILE_TYPES[task.kind]))
            survey.targets.append(f"{folder} ({', '.join(sorted(_types(targets[task.name])))})")
    if not targets:
        survey.add(root, "has no targets", "a folder such as segmentation, depth or normals")
    names: dict[str, str] = {}
    for split, members in splits.items():
        for name in members:
            names.setdefault(name, split)
    survey.unused = len(images.keys() - names.keys())
    for name, split in names.items():
        if not any(name in files for files in (images, *targets.values())):
            survey.add(root / LISTS / f"{split}.txt", f"names the frame {name}, which is not there", "frames that are there")
            continue
        _add_files(root / IMAGES, images, name, split, survey)
        if name in images:
            survey.files.append(File(images[name][0], examine_image))
        for task_name, files in targets.items():
            _add_files(root / TASKS[task_name].source["NYU"], files, name, split, survey)
            if name in files:
                examine = partial(examine_target, task_name=task_name, dataset="NYU")
                image = images[name][0] if name in images else None
                survey.files.append(File(files[name][0], examine, image=image, target=(task_name, "NYU")))
    return survey


def _types(files: Mapping[str, list[Path]]) -> Counter[str]:
    return Counter(path.suffix.lower() for paths in files.values() for path in paths)


def _add_files(folder: Path, files: Mapping[str, list[Path]], name: str, split: str, survey: Survey) -> None:
    """Note that a frame has no file in ``folder``, or several, if so."""
    if name in files:
        survey.problems += double_files(files[name])
    else:
        usual = _types(files).most_common(1)
        survey.add(folder / f"{name}{usual[0][0] if usual else ''}", "is missing", f"a file, as {split}.txt names {name}")


def _read_lists(folder: Path, survey: Survey) -> dict[str, list[str]]:
    """Frames per list; what is wrong with the lists is noted."""
    splits: dict[str, list[str]] = {}
    places: dict[str, Path] = {}
    lists = files_by_frame(folder, LIST_FILES)
    for split, files in lists.items():
        survey.problems += double_files(files)
        try:
            splits[split], problems = read_list(files[0])
        except DataError as error:
            survey.problems.append(refusal(files[0], error, "a text file with one frame per line"))
            continue
        survey.problems += problems
        places[split] = files[0]
        survey.counts[split] = len(splits[split])
    if "train" not in lists:
        survey.add(folder / "train.txt", "is missing", "the frames for training, one per line")
    if not lists.keys() & {"val", "test"}:
        survey.add(folder / "test.txt", "is missing, and so is val.txt", "the frames for testing, one per line")
    survey.problems += split_problems(splits, places)
    return splits
