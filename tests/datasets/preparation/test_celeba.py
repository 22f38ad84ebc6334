"""The command that prepares CelebAMask-HQ: what it writes is what the loader reads; every mistake is one sentence."""

import argparse
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.celeba import CelebAMaskHQ, celeba_splits
from datasets.preparation import celeba
from settings.config import ExperimentConfig
from tasks.data_sets import CELEBA_ATTRIBUTES
from tests.configs import make_config
from tests.datasets.preparation.official_faces import PARTS, SPLITS, attribute, random_masks, write_official, write_texts
from tests.small import listing
from utils.errors import DataError

FACES = [int(name) for names in SPLITS.values() for name in names]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official files, which no test changes."""
    root = tmp_path_factory.mktemp("official")
    write_official(root)
    return root


@pytest.fixture
def official(whole: Path, tmp_path: Path) -> None:
    """A copy of them."""
    shutil.copytree(whole, tmp_path / "official")


def _args(root: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    celeba.add_arguments(parser)
    options = ("--root", str(root / "official"), "--out", str(root / "out"), "--size", "32", "--workers", "1")
    return parser.parse_args([*options, *more])


def _run(root: Path, *more: str) -> int:
    return celeba.run(_args(root, *more))


def _config(root: Path, **values: Any) -> ExperimentConfig:
    return make_config(**{"dataset_name": "celebA", "data_dir_celebA": root / "out", "input_shape": 32, **values})


def _manifest(root: Path) -> dict[str, Any]:
    return json.loads((root / "out" / "manifest.json").read_text())


@pytest.mark.parametrize("classes", [3, 19])
def test_what_is_written_is_what_the_loader_reads(classes: int, tmp_path: Path, official: None) -> None:
    write_texts(tmp_path / "official", first_line=classes == 3)
    assert _run(tmp_path, "--classes", str(classes)) == 0
    config = _config(tmp_path, celebA_classes=classes, task_list=["segmentsemantic", "class_Bangs", "class_male"])
    assert celeba_splits(config) == SPLITS
    ids = {"skin": 2, "hair": 1} if classes == 3 else {"skin": 1, "l_eye": 4, "hair": 13, "hat": 14}
    for split, names in SPLITS.items():
        dataset = CelebAMaskHQ(config, split)
        for index, name in enumerate(names):
            sample, number = dataset[index], int(name)
            masks, expected = random_masks(number, PARTS), np.zeros((512, 512), int)
            for part, label in ids.items():
                expected[masks[part]] = label
            assert sample["name"] == name
            np.testing.assert_array_equal(sample["targets"]["segmentsemantic"], expected[8::16, 8::16])
            for task, column in (("class_Bangs", "Bangs"), ("class_male", "Male")):
                assert sample["targets"][task].item() == (attribute(number, CELEBA_ATTRIBUTES.index(column)) == 1)
            assert abs(float(sample["image"][2].mean()) * 255 - number % 256) < 4


def test_the_text_files_are_copied_and_the_manifest_says_where_all_came_from(tmp_path: Path, official: None) -> None:
    _run(tmp_path, "--classes", "19")
    manifest = _manifest(tmp_path)
    recipe = manifest["recipe"]
    assert (recipe["command"], recipe["size"], recipe["classes"]) == ("celeba", 32, 19)
    assert (recipe["sources"]["images"], recipe["sources"]["masks"]) == (6, 24)
    for name in ("CelebAMask-HQ-attribute-anno.txt", "CelebA-HQ-to-CelebA-mapping.txt"):
        content = (tmp_path / "official" / name).read_bytes()
        assert (tmp_path / "out" / name).read_bytes() == content
        assert recipe["sources"][name]["sha256"] == hashlib.sha256(content).hexdigest()
    assert manifest["splits"] == {"train": 2, "val": 2, "test": 2}
    assert manifest["classes"]["4"] == "left eye"
    assert len(manifest["classes"]) == 19
    assert "non-commercial" in manifest["licence"] and "redistributed" in manifest["licence"]


def test_several_processes_write_the_same_files(tmp_path: Path, official: None) -> None:
    _run(tmp_path)
    _run(tmp_path, "--out", str(tmp_path / "other"), "--workers", "2")
    for path in sorted((tmp_path / "out").rglob("*.*")):
        if path.suffix in (".jpg", ".npy", ".json"):
            assert (tmp_path / "other" / path.relative_to(tmp_path / "out")).read_bytes() == path.read_bytes(), path


def test_after_an_interruption_only_the_rest_is_made(tmp_path: Path, official: None) -> None:
    broken = tmp_path / "official" / "CelebAMask-HQ-mask-anno" / "1" / "02001_skin.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:50])
    with pytest.raises(DataError):
        _run(tmp_path)
    assert not (tmp_path / "out" / "manifest.json").exists()
    before = {name: facts for name, facts in listing(tmp_path / "out").items() if name.endswith((".jpg", ".npy"))}
    assert len(before) == 8  # four faces come before it
    left = tmp_path / "out" / "CelebA-HQ-img" / ".4000.jpg.123.unfinished"
    left.write_bytes(b"half")
    broken.write_bytes(whole)
    assert _run(tmp_path) == 0
    after = listing(tmp_path / "out")
    assert before.items() <= after.items()
    assert not left.exists()
    assert sum(name.endswith((".jpg", ".npy")) for name in after) == 2 * len(FACES)
    assert _manifest(tmp_path)["splits"] == {"train": 2, "val": 2, "test": 2}


def test_the_very_set_is_left_alone_and_another_needs_overwrite(tmp_path: Path, official: None) -> None:
    _run(tmp_path)
    before = listing(tmp_path / "out")
    assert _run(tmp_path, "--workers", "2") == 0
    assert listing(tmp_path / "out") == before
    with pytest.raises(DataError, match=r"holds a set made with another value of classes; .*--overwrite"):
        _run(tmp_path, "--classes", "19")
    assert listing(tmp_path / "out") == before
    assert _run(tmp_path, "--classes", "19", "--overwrite") == 0
    assert max(np.load(path).max() for path in (tmp_path / "out" / "CelebA-HQ-segmask").iterdir()) == 14


ANNO = "CelebAMask-HQ-mask-anno"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["CelebA-HQ-img/2.jpg", "CelebA-HQ-img/4000.jpg"],
            r"CelebA-HQ-img/2\.jpg is missing, needed for the images of .*; 2 of 6 frames",
        ),
        (
            [f"{ANNO}/1/02001_{part}.png" for part in ("skin", "hair", "l_eye", "hat")],
            rf"no part has a mask {ANNO}/1/02001_<part>\.png; .* 1 of 6 images",
        ),
        (["CelebAMask-HQ-attribute-anno.txt"], r"--root .*official: CelebAMask-HQ-attribute-anno\.txt is missing; expected"),
        (["CelebA-HQ-to-CelebA-mapping.txt"], r"--root .*official: CelebA-HQ-to-CelebA-mapping\.txt is missing; expected"),
    ],
)
def test_missing_files_are_named_before_anything_is_written(
    names: list[str], said: str, tmp_path: Path, official: None
) -> None:
    for name in names:
        (tmp_path / "official" / name).unlink()
    with pytest.raises(DataError, match=said) as caught:
        _run(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_file_that_looks_like_a_part_is_never_left_out(tmp_path: Path, official: None) -> None:
    """A part without a file is background."""
    masks = tmp_path / "official" / ANNO
    (masks / "more").mkdir()
    (masks / "00").mkdir()
    expected = rf"expected {ANNO}/0/00000_<part>\.png, <part> being one of skin, .* cloth$"
    for name in (
        *("0/00000_hair.PNG", "0/00000_Hair.png", "0/00000_hair.jpg", "0/00000_hair.jpeg", "0/00000_hair.bmp"),
        *("0/00000_hairs.png", "0/0_hair.png", "0/0000_hair.png", "0/000000_hair.png", "0/hair_00000.png"),
        *("0/00000-hair.png", "0/00000_hair (1).png", "0/00000_hair.png.part", "1/00000_hair.png", "00/00000_hair.png"),
        *("00000_hair.png", "more/00000_hair.png"),
    ):
        os.rename(masks / "0" / "00000_hair.png", masks / name)
        said = rf"{ANNO}/{re.escape(name)} is not called like a part, or lies elsewhere; {expected}"
        with pytest.raises(DataError, match=said):
            _run(tmp_path)
        os.rename(masks / name, masks / "0" / "00000_hair.png")
    assert not (tmp_path / "out").exists()


def test_a_finished_set_of_other_pictures_with_the_same_names_is_not_taken_for_this_one(tmp_path: Path, official: None) -> None:
    _run(tmp_path)
    before = listing(tmp_path / "out")
    masks = tmp_path / "official" / ANNO / "0"
    shutil.copyfile(masks / "00002_hair.png", masks / "00001_hair.png")
    with pytest.raises(DataError, match=r"--out .* holds a set of other images or masks than those of --root; .*--overwrite$"):
        _run(tmp_path)
    assert listing(tmp_path / "out") == before
    assert _run(tmp_path, "--overwrite") == 0
    assert _run(tmp_path) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("idx orig_idx orig_file\n", "lists no image"),
        ("0\n", r"mapping\.txt:1 is '0'; expected idx orig_idx orig_file"),
        ("0 12 x\n7 13 y\n", r"has no line for 7\.jpg; expected one line per image"),
    ],
)
def test_a_wrong_mapping_is_named(text: str, said: str, tmp_path: Path, official: None) -> None:
    (tmp_path / "official" / "CelebA-HQ-to-CelebA-mapping.txt").write_text(text)
    with pytest.raises(DataError, match=said):
        _run(tmp_path)
    assert not (tmp_path / "out").exists()


def test_only_the_faces_of_the_mapping_file_are_prepared(tmp_path: Path, official: None) -> None:
    """A name that looks like no part of a face means nothing."""
    write_texts(tmp_path / "official", [0, 2, 4000])
    for name in ("00077_beard.png", "._00000_skin.png", "Thumbs.db", "README.md"):
        (tmp_path / "official" / ANNO / "0" / name).write_bytes(b"what is this")
    _run(tmp_path)
    assert sorted(path.stem for path in (tmp_path / "out" / "CelebA-HQ-img").iterdir()) == ["0", "2", "4000"]
    assert _manifest(tmp_path)["recipe"]["sources"]["masks"] == 12


@pytest.mark.parametrize(
    "option", [("--size", "8"), ("--size", "2048"), ("--classes", "4"), ("--workers", "0"), ("--size", "x")]
)
def test_a_wrong_option_is_named(option: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(argparse.ArgumentError, match=f"argument {option[0]}: .*{option[1]}"):
        _args(tmp_path, *option)
