"""Every kind of damage to a data set is a row; whatever the loaders refuse is among the rows.

What the readers refuse is tested with them (``tests/datasets``); here is one case of each kind, and what only ``verify`` sees.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.celeba import ATTRIBUTE_FILE, MAPPING_FILE
from datasets.loaders import READERS
from datasets.preparation.verification.survey import survey_folder
from datasets.preparation.verify import examine_files
from tasks.data_sets import CELEBA_ATTRIBUTES
from tests.configs import make_config
from tests.datasets.frames import DENSE, write_array, write_celeba, write_nyu
from tests.datasets.mtan_frames import write_mtan
from tests.datasets.preparation.verification import damage as by
from tests.datasets.preparation.verification.damage import Damage, problems_in
from utils.errors import DataError

SIZE = (16, 32)
FACE_TASKS = ["segmentsemantic", *(f"class_{column}" for column in CELEBA_ATTRIBUTES)]


def write(dataset: str, root: Path) -> None:
    """A small set without faults."""
    if dataset == "NYU":
        write_nyu(root, size=SIZE)
    elif dataset == "NYU_MTAN":
        write_mtan(root, {"train": 3, "val": 2}, SIZE)
    else:
        write_celeba(root)


def load_all(dataset: str, root: Path, **values: Any) -> None:
    """Read every frame as a training would, with all tasks."""
    tasks = {"NYU": list(DENSE), "NYU_MTAN": list(DENSE[:3]), "celebA": FACE_TASKS}[dataset]
    config = make_config(dataset_name=dataset, task_list=tasks, **{f"data_dir_{dataset}": root}, **values)
    for split in ("train", "val", "test"):
        frames = READERS[config.data_set.layout](config, split, False)
        for name in frames.names:
            frames.read(name)


WHOLE: dict[str, tuple[int, dict[str, int], list[str]]] = {
    "NYU": (
        60,
        {"train": 7, "val": 3, "test": 2},
        ["segmentation (.png)", "depth (.npy)", "normals (.npy)", "edge (.npy)"],
    ),
    "NYU_MTAN": (20, {"train": 3, "val": 2}, ["label (.npy)", "depth (.npy)", "normal (.npy)"]),
    "celebA": (
        14,
        {"train": 3, "val": 2, "test": 2},
        ["CelebA-HQ-segmask (.npy, 3 classes, by the look of them)", "attributes"],
    ),
}


@pytest.mark.parametrize("dataset", WHOLE)
def test_nothing_is_wrong_with_a_whole_set(dataset: str, tmp_path: Path) -> None:
    write(dataset, tmp_path)
    load_all(dataset, tmp_path)
    assert problems_in(tmp_path) == []
    survey = survey_folder(tmp_path)
    assert (len(survey.files), survey.counts, survey.targets) == WHOLE[dataset]


def test_nor_with_one_of_other_file_types(tmp_path: Path) -> None:
    write_nyu(tmp_path, types={"segmentation": "mat", "depth": "mat", "normals": "jpg", "edge": "png"}, size=SIZE)
    assert problems_in(tmp_path) == []


MASK = "CelebA-HQ-segmask/00002_mask.npy"
FILES: list[tuple[str, str, Damage, str, str, bool]] = [
    # data set, file, damage, problem, expected, do the loaders refuse it
    ("NYU", "images/a0.jpg", by.cut(0.8), "cannot be read as an image (image file is truncated", "a whole file", True),
    ("NYU", "images/a0.jpg", by.folder_instead, "cannot be read as an image ([Errno 21] Is a directory)", "a whole file", True),
    ("NYU", "images/a0.png", Path.touch, "is there as well as a0.jpg", "one of them", True),
    ("NYU", "segmentation/a0.png", by.put(41, 2, 3), "has the label 41", "0 (unlabelled) or 1..40", True),
    ("NYU", "segmentation/a0.png", by.array(lambda a: a[:, 1:]), "is 16 x 31 (height", "the size of images/a0.jpg, 16", True),
    ("NYU", "segmentation/a0.png", by.wrong_checksum, "cannot be read whole", "a whole file", False),
    ("NYU", "segmentation/a0.png", by.grey_palette, "has a palette of greys", "numbers are the labels", True),
    ("NYU", "segmentation/a0.png", by.few_bits, "is a grey image of 4 bits", "a grey image of 8 bits", True),
    ("NYU", "depth/a0.npy", by.put(np.inf, 1, 2), "has 1 values that are not finite", "floats in metres", False),
    ("NYU", "normals/a0.npy", by.array(lambda a: 0.89 * a), "has 512 normals of another length than 1", "unit vectors", True),
    ("NYU", "normals/a0.npy", by.put(0.5, 3, 4, slice(None)), "has 1 normals of another length than 1", "unit", False),
    ("NYU", "edge/a0.npy", by.put(-0.5, 0, 0), "has the edge strength -0.5", "0 to 1", True),
    ("NYU", "gt_sets/test.txt", by.append("c1.jpg\n"), "names c1 more than once for test", "every frame once", True),
    ("NYU", "gt_sets/test.txt", by.folder_instead, "cannot be read (Is a directory)", "a text file", True),
    ("NYU", "gt_sets/test.txt", by.append("a3\na4\n"), "names a3, a4 for test, which train has too", "one split", True),
    ("NYU", "gt_sets/test.txt", by.append("z9\n"), "names the frame z9, which is not there", "frames that are there", True),
    ("NYU", "gt_sets/train.txt", lambda path: path.write_text("a0\n"), "names 1 frame for train", "at least 2", True),
    ("NYU", "gt_sets/train.txt", Path.unlink, "is missing", "the frames for training", True),
    ("NYU", "gt_sets/more.txt", lambda path: path.write_bytes(b"\xff\xfe\x00"), "looks like UTF-16", "UTF-8", False),
    ("NYU_MTAN", "val/image/1.npy", by.put(3, 0, 0, 0), "has values from", "floats in [0, 1] or uint8", True),
    ("NYU_MTAN", "val/image/1.npy", Path.unlink, "is missing", "a file, as val has frame 1", False),
    ("NYU_MTAN", "val/label/1.npy", Path.unlink, "is missing", "a file, as val has frame 1", True),
    ("NYU_MTAN", "train/depth/0.npy", by.array(lambda a: a[:, :30]), "is 16 x 30", "the size of image/0.npy, 16 x 32", True),
    ("NYU_MTAN", "train/depth/00.npy", Path.touch, "is there as well as 0.npy", "one of them", True),
    ("NYU_MTAN", "train/normal/0.npy", by.array(lambda a: 1.5 * a), "of another length than 1", "unit vectors", True),
    ("celebA", "CelebA-HQ-img/2.jpg", Path.unlink, "is missing", f"a file, as {MAPPING_FILE} has frame 2", True),
    ("celebA", MASK, Path.unlink, "is missing", f"a file, as {MAPPING_FILE} has frame 2", True),
    ("celebA", MASK, by.put(3, 5, 5), "has the label 3", "0..2 (celebA_classes: 3)", True),
    ("celebA", MASK, by.array(lambda a: a[:8]), "is 8 x 16", "the proportions of CelebA-HQ-img/2.jpg, 32 x 32", False),
    ("celebA", ATTRIBUTE_FILE, by.replace_text("7\n5_o", "8\n5_o"), "has lines for 7 images", "8, as its first line", True),
    ("celebA", ATTRIBUTE_FILE, by.replace_text(" Male ", " Mail "), "has no column Male", "names of the attributes", True),
    ("celebA", MAPPING_FILE, lambda path: path.write_text("5 202598 x.jpg\n"), "names 0 frames for train", "at least 2", True),
    ("celebA", MAPPING_FILE, Path.unlink, "is missing", "the split of CelebAMask-HQ", True),
]


@pytest.mark.parametrize(("dataset", "file", "damage", "problem", "expected", "refused"), FILES)
def test_a_damaged_file_is_a_row(
    dataset: str, file: str, damage: Damage, problem: str, expected: str, refused: bool, tmp_path: Path
) -> None:
    write(dataset, tmp_path)
    damage(tmp_path / file)
    (row,) = problems_in(tmp_path)
    assert row.path == file and problem in row.problem and expected in row.expected, row
    assert str(tmp_path) not in row.problem
    if refused:
        with pytest.raises(DataError):
            load_all(dataset, tmp_path)
    else:
        load_all(dataset, tmp_path)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    write_nyu(tmp_path, size=SIZE)
    (tmp_path / "images/a0.jpg").write_bytes(b"")
    (tmp_path / "depth/a0.npy").write_bytes(b"")
    (tmp_path / "edge/c1.npy").unlink()
    (tmp_path / "edge/a5.npy").unlink()
    by.append("c0\nc1 c2\n\nimages/c1.jpg\n")(tmp_path / "gt_sets/test.txt")
    rows = problems_in(tmp_path)
    types = " (.npy or .png or .jpg)"
    assert [row.path for row in rows] == [
        *("depth/a0.npy", f"edge/a5{types}", f"edge/c1{types}"),
        *("gt_sets/test.txt", "gt_sets/test.txt:4", "gt_sets/test.txt:6", "images/a0.jpg"),
    ]
    assert rows[4][1:] == ("is 'c1 c2'", "the name of one frame per line")


def test_every_bad_line_of_the_faces_is_listed(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    path = tmp_path / ATTRIBUTE_FILE
    text = path.read_text().splitlines()
    text[3] += " 1"
    text[5] = text[5].replace("-1", "-2")
    text[8] = text[8].replace("6.jpg", "00005.jpg")
    path.write_text("\n".join(text) + "\n")
    by.append("0 5 6.jpg\n7\n")(tmp_path / MAPPING_FILE)
    assert [(row.path, row.problem) for row in problems_in(tmp_path)] == [
        (f"{MAPPING_FILE}:10", "is '7'"),
        (f"{MAPPING_FILE}:9", "is of image 0, as line 2 is"),
        (ATTRIBUTE_FILE, "has no line for 6.jpg"),
        (f"{ATTRIBUTE_FILE}:4", "has 41 values"),
        (f"{ATTRIBUTE_FILE}:6", "has the value '-2'"),
        (f"{ATTRIBUTE_FILE}:9", "is of 5.jpg, as line 8 is"),
    ]


def test_a_frame_of_another_name_and_a_split_without_frames_are_rows(tmp_path: Path) -> None:
    write("NYU_MTAN", tmp_path)
    (tmp_path / "train/image/0.npy").rename(tmp_path / "train/image/zero.npy")
    for path in (tmp_path / "val").rglob("*.npy"):
        path.unlink()
    rows = {(row.path, row.problem) for row in problems_in(tmp_path)}
    assert {
        ("train/image/zero.npy", "is not called after a number"),
        ("train/image/0.npy", "is missing"),
        ("val/image", "holds 0 frames"),
    } <= rows


def test_lists_of_other_names_and_folders_that_are_not_there_are_fine(tmp_path: Path) -> None:
    """The published set has two lists; frames in no list are counted."""
    write_nyu(tmp_path, {"train": ["x1", "x2", "x3"], "val": ["y1"], "trainval": ["x1", "x2", "x3", "y1"]}, size=SIZE)
    (tmp_path / "edge").rename(tmp_path / "no edge")
    (tmp_path / "images/extra.jpg").write_bytes(b"nobody reads it")
    survey = survey_folder(tmp_path)
    assert examine_files(survey, 1) == {SIZE: 4}
    assert survey.problems == [] and survey.unused == 1
    assert survey.targets == ["segmentation (.png)", "depth (.npy)", "normals (.npy)"]
    (tmp_path / "gt_sets/val.txt").unlink()
    (row,) = problems_in(tmp_path)
    assert row.path == "gt_sets/test.txt" and "val.txt" in row.problem


def test_a_json_file_of_names_gives_the_splits_where_there_is_no_mapping(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    (tmp_path / MAPPING_FILE).unlink()
    (tmp_path / "notes.json").write_text('{"about": "something else"}')
    splits = {"training": ["0.jpg", "1.jpg"], "val": ["2.jpg"], "test": ["4.jpg", "8.jpg"]}
    (tmp_path / "split.json").write_text(json.dumps(splits))
    assert [(row.path, row.problem) for row in problems_in(tmp_path)] == [
        (ATTRIBUTE_FILE, "has no line for 8.jpg"),
        ("split.json", "names the frame 8, which is not there"),
    ]
    assert survey_folder(tmp_path).counts == {"train": 2, "val": 1, "test": 2}
    assert survey_folder(tmp_path).unused == 3
    (tmp_path / "split.json").write_text('{"train": ["0.jpg", ')
    mapping, broken = problems_in(tmp_path)
    assert broken.path == "split.json" and "not a JSON object" in broken.problem
    assert mapping.path == MAPPING_FILE


def test_without_a_list_every_image_is_looked_at(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    (tmp_path / MAPPING_FILE).unlink()
    by.cut(0.8)(tmp_path / "CelebA-HQ-img/5.jpg")
    assert [row.path for row in problems_in(tmp_path)] == ["CelebA-HQ-img/5.jpg", MAPPING_FILE]


@pytest.mark.parametrize("manifest", [False, True])
def test_the_number_of_classes_is_the_manifests_or_what_most_masks_have(manifest: bool, tmp_path: Path) -> None:
    write_celeba(tmp_path)
    for number in range(7):
        mask = np.full((16, 16), number, np.uint8)
        mask[0] = 18 if number != 3 else 19
        write_array(tmp_path / f"CelebA-HQ-segmask/{number:05d}_mask.npy", mask)
    if manifest:
        (tmp_path / "manifest.json").write_text(json.dumps({"recipe": {"classes": 3}, "splits": {"train": 3}}))
    wrong = [row.path for row in problems_in(tmp_path)]
    assert wrong == [f"CelebA-HQ-segmask/{number:05d}_mask.npy" for number in (range(7) if manifest else [3])]


def test_masks_may_have_any_size_in_the_proportions_of_their_image(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    by.array(lambda mask: mask.repeat(5, axis=0).repeat(5, axis=1))(tmp_path / MASK)
    assert problems_in(tmp_path) == []


def test_without_masks_the_attributes_are_the_targets_and_without_any_target_a_set_is_no_use(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    (tmp_path / "CelebA-HQ-segmask").rename(tmp_path / "elsewhere")
    assert problems_in(tmp_path) == []
    assert survey_folder(tmp_path).targets == ["attributes"]
    (tmp_path / ATTRIBUTE_FILE).unlink()
    (row,) = problems_in(tmp_path)
    assert row.problem == "has no targets"


@pytest.mark.parametrize("key", ["counts", "splits"])
def test_a_manifest_with_other_counts_is_a_row(key: str, tmp_path: Path) -> None:
    write_celeba(tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"recipe": {}, key: {"train": 3, "val": 2, "test": 2}}))
    assert problems_in(tmp_path) == []
    manifest.write_text(json.dumps({"recipe": {}, key: {"train": 3, "val": 1, "test": 2}}))
    assert problems_in(tmp_path) == [("manifest.json", "number of frames in val: 2", "1, as it says")]
    manifest.write_text("{")
    assert [row.path for row in problems_in(tmp_path)] == ["manifest.json"]


def test_what_a_preparation_left_behind_is_listed(tmp_path: Path) -> None:
    write_nyu(tmp_path, size=SIZE)
    (tmp_path / ".preparing.json").write_text("{}")
    (tmp_path / "depth" / f".a0.npy.{os.getpid()}.unfinished").write_bytes(b"half")
    (tmp_path / "depth" / "finished").write_bytes(b"whole")
    removed = tmp_path / ".old.7.unfinished"
    removed.mkdir()
    (removed / ".b0.npy.7.unfinished").touch()
    folder, begun, file = problems_in(tmp_path)
    assert begun.path == ".preparing.json" and "not finished" in begun.problem
    assert folder.path == removed.name and "never finished" in folder.problem
    assert file.path.startswith("depth/.a0.npy") and "never finished" in file.problem
    (tmp_path / "manifest.json").write_text('{"recipe": {}}')
    assert [row.path for row in problems_in(tmp_path)] == [folder.path, file.path]
