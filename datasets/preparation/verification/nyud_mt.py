"""The NYUD_MT layout: which files ``datasets/nyu.py`` would read, and whether the lists of frames make sense."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

from datasets.nyu import FILE_TYPES, IMAGE_TYPES, index_files
from datasets.preparation.verification.contents import examine_image, examine_target
from datasets.preparation.verification.findings import File, Survey, some
from utils.tasks import TASKS

SPLIT_FILES = ("train", "val", "test")
IMAGES, LISTS = "images", "gt_sets"


def is_nyud_mt(root: Path) -> bool:
    """Is this folder in NYUD_MT layout?"""
    return (root / LISTS).is_dir() and (root / IMAGES).is_dir()


def survey_nyud_mt(root: Path) -> Survey:
    """The frames of all lists in ``gt_sets``, with their images and every kind of target that has a folder."""
    survey = Survey("NYU-v2 in the NYUD_MT layout")
    splits = _read_lists(root / LISTS, survey)
    images = index_files(root / IMAGES, IMAGE_TYPES, [], "")
    targets: dict[str, dict[str, Path]] = {}
    for task in TASKS.values():
        folder = task.source.get("NYU")
        if folder is not None and (root / folder).is_dir():
            targets[task.name] = index_files(root / folder, FILE_TYPES[task.kind], [], "")
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
            survey.files.append(File(images[name], examine_image))
        for task_name, files in targets.items():
            _add_files(root / TASKS[task_name].source["NYU"], files, name, split, survey)
            if name in files:
                examine = partial(examine_target, task_name=task_name, dataset="NYU")
                survey.files.append(File(files[name], examine, image=images.get(name), target=(task_name, "NYU")))
    return survey


def _types(files: Mapping[str, Path]) -> Counter[str]:
    return Counter(path.suffix.lower() for path in files.values())


def _add_files(folder: Path, files: Mapping[str, Path], name: str, split: str, survey: Survey) -> None:
    """Note that a frame has no file in ``folder``, if so."""
    if name not in files:
        usual = _types(files).most_common(1)
        survey.add(folder / f"{name}{usual[0][0] if usual else ''}", "is missing", f"a file, as {split}.txt names {name}")


def _read_lists(folder: Path, survey: Survey) -> dict[str, list[str]]:
    """Frames per list; what is wrong with the lists is noted."""
    splits: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.txt")):
        try:
            splits[path.stem] = path.read_text().split()
        except (OSError, ValueError) as error:
            survey.add(path, f"cannot be read ({error})", "a text file with one frame per line")
            continue
        check_members(path, path.stem, splits[path.stem], survey)
        survey.counts[path.stem] = len(splits[path.stem])
    if not (folder / "train.txt").is_file():
        survey.add(folder / "train.txt", "is missing", "the frames for training, one per line")
    if not any((folder / f"{split}.txt").is_file() for split in ("val", "test")):
        survey.add(folder / "test.txt", "is missing, and so is val.txt", "the frames for testing, one per line")
    check_overlaps(folder, splits, ".txt", survey)
    return splits


def check_members(path: Path, split: str, names: Sequence[str], survey: Survey) -> None:
    """Note an empty list, and frames that are in it more than once."""
    least = 2 if split == "train" else 1
    if len(names) < least:
        survey.add(path, f"number of frames named for {split}: {len(names)}", f"at least {least}")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        survey.add(path, f"names {some(twice)} more than once", "every frame once")


def check_overlaps(path: Path, splits: Mapping[str, Sequence[str]], suffix: str, survey: Survey) -> None:
    """Note frames that are in two of train, val and test (lists of other names may be parts of them)."""
    for one, other in combinations([split for split in SPLIT_FILES if split in splits], 2):
        shared = sorted(set(splits[one]) & set(splits[other]))
        if shared:
            where = path / f"{other}{suffix}" if suffix else path
            survey.add(where, f"{other} and {one} share {some(shared)}", "frames of its own")
