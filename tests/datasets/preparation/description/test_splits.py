"""Splits that are found: lists of frames, or shares."""

from pathlib import Path
from typing import Any

import pytest

from datasets.preparation.description.splits import find_splits
from tests.configs import make_config

FRAMES = [f"f{folder}/{number}" for folder in range(10) for number in range(3)]
TASKS = {"wilted": {"kind": "attribute", "file": "labels.csv", "column": "wilted"}}


def splits_of(root: Path, frames: list[str] = FRAMES) -> tuple[dict[str, Any], list[str]]:
    values = {"dataset_name": "folders", "data_dir": str(root), "data_dir_NYU": None, "split_fractions": {}}
    return find_splits(make_config(task_list=["wilted"], tasks=TASKS, **values), frames)


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("lists", "found"),
    [
        (("train", "val", "test"), {"train": "train.txt", "val": "val.txt", "test": "test.txt"}),
        (("Training", "testing"), {"train": "Training.txt", "test": "testing.txt"}),
        (("a/train", "a/valid"), {"train": "a/train.txt", "test": "a/valid.txt"}),
        (("train", "a/train", "test"), {"train": "train.txt", "test": "test.txt"}),
    ],
)
def test_lists_are_known_by_their_names_and_lines(lists: tuple[str, ...], found: dict[str, str], tmp_path: Path) -> None:
    for name in lists:
        write(tmp_path / f"{name}.txt", "f0/1", "images/f0/2.jpg")
    write(tmp_path / "classes.txt", "soil", "maize")
    splits, said = splits_of(tmp_path)
    assert splits == {"split_files": found}
    assert bool(said) == ("a/valid" in lists)


def test_a_list_of_other_things_is_none(tmp_path: Path) -> None:
    for name in ("train", "test"):
        write(tmp_path / f"{name}.txt", "soil", "maize")
    assert splits_of(tmp_path)[0].keys() == {"split_fractions"}


@pytest.mark.parametrize(
    ("frames", "by_folder", "said"),
    [
        (FRAMES, True, "those of each of the 10 sub-folders stay together"),
        (FRAMES[:6], False, "the 2 sub-folders are too few"),
        (["1", "2", "3"], False, "frames are drawn"),
    ],
)
def test_without_lists_frames_are_drawn_by_folder_where_each_split_gets_some(
    frames: list[str], by_folder: bool, said: str, tmp_path: Path
) -> None:
    splits, (sentence,) = splits_of(tmp_path, frames)
    assert splits["split_fractions"] == {"train": 0.7, "val": 0.15, "test": 0.15, "seed": 0, "by_folder": by_folder}
    assert said in sentence


@pytest.mark.parametrize(
    ("roles", "found"),
    [
        (("train", "val", "test", "more"), {"train": "train", "val": "val", "test": "test"}),
        (("Training", "valid"), {"train": "Training", "test": "valid"}),
        (("train", "more"), None),
    ],
)
def test_folders_of_images_may_be_the_splits(roles: tuple[str, ...], found: dict[str, str] | None, tmp_path: Path) -> None:
    splits, _ = splits_of(tmp_path, [f"{role}/{number}" for role in roles for number in range(3)])
    assert splits.get("split_folders") == found
    write(tmp_path / "train.txt", f"{roles[0]}/1")
    write(tmp_path / "test.txt", f"{roles[0]}/2")
    assert splits_of(tmp_path, [f"{role}/{number}" for role in roles for number in range(3)])[0].keys() == {"split_files"}
