"""Every kind of damage to a CelebAMask-HQ is a row; whatever the loaders refuse is among them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.celeba import ATTRIBUTE_FILE, MAPPING_FILE, CelebAMaskHQ
from datasets.preparation.verify import survey_folder
from tests.configs import make_config
from tests.datasets.frames import write_array, write_celeba
from tests.datasets.preparation.verification import damage as by
from tests.datasets.preparation.verification.damage import Damage, lines, problems_in
from utils.errors import DataError
from utils.tasks import CELEBA_ATTRIBUTES


def load_all(root: Path, **values: Any) -> None:
    """Read every face as a training would, with all attributes."""
    tasks = ["segmentsemantic", *(f"class_{column}" for column in CELEBA_ATTRIBUTES)]
    config = make_config(dataset_name="celebA", data_dir_celebA=root, task_list=tasks, **values)
    for split in ("train", "val", "test"):
        dataset = CelebAMaskHQ(config, split)
        for name in dataset.names:
            dataset.read(name)


@pytest.mark.parametrize("with_titles", [False, True])
def test_nothing_is_wrong_with_a_whole_set(with_titles: bool, tmp_path: Path) -> None:
    write_celeba(tmp_path, first_line=with_titles, mapping_header=with_titles)
    load_all(tmp_path)
    assert problems_in(tmp_path) == []
    survey = survey_folder(tmp_path)
    assert len(survey.files) == 14
    assert survey.counts == {"train": 3, "val": 2, "test": 2}
    assert survey.targets == ["CelebA-HQ-segmask (.npy, 3 classes, by the look of them)", "attributes"]


MASK = "CelebA-HQ-segmask/00002_mask.npy"
FILES: list[tuple[str, Damage, str, str, bool]] = [
    # file, damage, problem, expected, do the loaders refuse it
    ("CelebA-HQ-img/2.jpg", by.cut(0.6), "cannot be read as an image (", "a whole image file", True),
    ("CelebA-HQ-img/2.jpg", Path.unlink, "is missing", f"a file, as {MAPPING_FILE} names it", True),
    (MASK, Path.unlink, "is missing", f"a file, as {MAPPING_FILE} names 2.jpg", True),
    (MASK, by.put(3, 5, 5), "has the label 3", "0..2 or 255", True),
    (MASK, by.array(lambda a: a + np.float32(0.5)), "has the label", "whole numbers", True),
    (MASK, by.array(lambda a: np.stack([a, a])), "has the shape (2, 16, 16)", "(height, width)", True),
    (MASK, by.cut(0.5), "cannot be read (", "whole numbers", True),
    (MASK, by.array(lambda a: a[:8]), "is 8 x 16", "the proportions of CelebA-HQ-img/2.jpg, 32 x 32", False),
]


@pytest.mark.parametrize(("file", "damage", "problem", "expected", "refused"), FILES)
def test_a_damaged_file_is_a_row(file: str, damage: Damage, problem: str, expected: str, refused: bool, tmp_path: Path) -> None:
    write_celeba(tmp_path)
    damage(tmp_path / file)
    (row,) = problems_in(tmp_path)
    assert row.path == file
    assert problem in row.problem and expected in row.expected, row
    if refused:
        with pytest.raises(DataError):
            load_all(tmp_path)
    else:
        load_all(tmp_path)


def test_masks_may_have_any_size_in_the_proportions_of_their_image(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    by.array(lambda mask: mask.repeat(5, axis=0).repeat(5, axis=1))(tmp_path / MASK)
    assert problems_in(tmp_path) == []


def last_line(text: str) -> Damage:
    """Replace the last line of a text file."""
    return lambda path: path.write_text("\n".join([*path.read_text().splitlines()[:-1], text]) + "\n")


NO_LINE = ("has no line for 6.jpg", "one line per image")
TEXTS: list[tuple[str, Damage, dict[str, tuple[str, str]], bool]] = [
    # file, damage, line -> (problem, expected), do the loaders refuse it
    (ATTRIBUTE_FILE, last_line("6.jpg 1"), {":9": ("has 1 values", "40, as there are attributes")}, True),
    (ATTRIBUTE_FILE, last_line("six " + "1 " * 40), {":9": ("begins with 'six'", "<number>.jpg"), "": NO_LINE}, True),
    (ATTRIBUTE_FILE, last_line("6.jpg " + "2 " * 40), {":9": ("has the value '2'", "-1 or 1 (0: unknown)")}, True),
    (ATTRIBUTE_FILE, last_line("6.jpg " + "0 " * 40), {}, False),
    (ATTRIBUTE_FILE, last_line("9.jpg " + "1 " * 40), {"": NO_LINE}, True),
    (ATTRIBUTE_FILE, by.replace_text("7\n5_o", "5_o"), {}, False),
    (ATTRIBUTE_FILE, by.replace_text("7\n5_o", "8\n5_o"), {"": ("has lines for 7 images", "8, as its first line says")}, True),
    (ATTRIBUTE_FILE, by.replace_text(" Male ", " Mail "), {"": ("has no column Male", "names of the attributes")}, True),
    (MAPPING_FILE, by.append("seven 8 9.jpg\n"), {":9": ("is 'seven 8 9.jpg'", "idx orig_idx orig_file")}, True),
    (ATTRIBUTE_FILE, last_line("00005.jpg " + "1 " * 40), {":9": ("is of 5.jpg, as line 8 is", "one line"), "": NO_LINE}, True),
    (MAPPING_FILE, by.append("7\n"), {":9": ("is '7'", "idx orig_idx orig_file")}, True),
    (MAPPING_FILE, by.append("0 5 6.jpg\n"), {":9": ("is of image 0, as line 2 is", "one line per image")}, True),
    (MAPPING_FILE, by.append("00 190000 6.jpg\n"), {":9": ("is of image 0, as line 2 is", "one line per image")}, True),
    (MAPPING_FILE, lambda path: path.write_text("5 202598 x.jpg\n"), {"": ("names 0 frames for train", "at least 2")}, True),
    (MAPPING_FILE, Path.unlink, {"": ("is missing", "the split of CelebAMask-HQ")}, True),
]


@pytest.mark.parametrize(("file", "damage", "rows", "refused"), TEXTS)
def test_a_damaged_text_file_is_a_row_with_the_number_of_the_line(
    file: str, damage: Damage, rows: dict[str, tuple[str, str]], refused: bool, tmp_path: Path
) -> None:
    write_celeba(tmp_path)
    damage(tmp_path / file)
    found = {row.path.removeprefix(file): row for row in problems_in(tmp_path)}
    assert found.keys() == rows.keys(), lines(found.values())
    for place, (problem, expected) in rows.items():
        assert problem in found[place].problem and expected in found[place].expected, found[place]
    if refused:
        with pytest.raises(DataError):
            load_all(tmp_path)
    else:
        load_all(tmp_path)


def test_every_bad_line_is_listed(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    path = tmp_path / ATTRIBUTE_FILE
    text = path.read_text().splitlines()
    text[3] += " 1"
    text[5] = text[5].replace("-1", "-2")
    path.write_text("\n".join(text) + "\n")
    assert [row.path for row in problems_in(tmp_path)] == [f"{ATTRIBUTE_FILE}:4", f"{ATTRIBUTE_FILE}:6"]


def test_a_json_file_of_names_gives_the_splits_where_there_is_no_mapping(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    (tmp_path / MAPPING_FILE).unlink()
    (tmp_path / "notes.json").write_text('{"about": "something else"}')
    splits = {"training": ["0.jpg", "1.jpg"], "val": ["2.jpg"], "test": ["4.jpg", "8.jpg"]}
    (tmp_path / "split.json").write_text(json.dumps(splits))
    rows = problems_in(tmp_path)
    missing = ["CelebA-HQ-img/8.jpg", "CelebA-HQ-segmask/00008_mask.npy"]
    assert [row.path for row in rows] == [*missing, ATTRIBUTE_FILE], lines(rows)
    assert "split.json" in rows[1].expected
    assert survey_folder(tmp_path).counts == {"train": 2, "val": 1, "test": 2}
    assert survey_folder(tmp_path).unused == 3
    (tmp_path / "split.json").write_text('{"train": ["0.jpg", ')
    broken, mapping = problems_in(tmp_path)[::-1]
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
    if not manifest:
        (tmp_path / "CelebA-HQ-segmask/00003_mask.npy").unlink()
        write_array(tmp_path / "CelebA-HQ-segmask/00003_mask.npy", np.zeros((16, 16), np.uint8))
        load_all(tmp_path, celebA_classes=19)
        assert problems_in(tmp_path) == []


def test_without_masks_the_attributes_are_the_targets(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    (tmp_path / "CelebA-HQ-segmask").rename(tmp_path / "elsewhere")
    assert problems_in(tmp_path) == []
    assert survey_folder(tmp_path).targets == ["attributes"]
    (tmp_path / ATTRIBUTE_FILE).unlink()
    (row,) = problems_in(tmp_path)
    assert row.problem == "has no targets"
