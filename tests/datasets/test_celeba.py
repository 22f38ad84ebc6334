"""CelebAMask-HQ: attributes, masks and splits, in the forms that copies of it have."""

import codecs
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets.celeba import ATTRIBUTE_FILE, MAPPING_FILE, CelebAMaskHQ, celeba_splits, read_attributes
from settings.config import ExperimentConfig
from tests.configs import make_config
from tests.datasets.frames import MAPPING, celeba_attributes, celeba_mask, write_array, write_celeba
from tests.equality import equal
from utils.errors import DataError

OFFICIAL = {"train": ["0", "1", "6"], "val": ["2", "3"], "test": ["4", "5"]}
"""Splits that the official rule makes of ``MAPPING``."""


def _config(root: Path, **values: Any) -> ExperimentConfig:
    """At the masks' own size, which is not the images'."""
    return make_config(**{"dataset_name": "celebA", "data_dir_celebA": root, "input_shape": 16, **values})


# Attributes


@pytest.mark.parametrize("first_line", [True, False])
def test_attributes_are_those_of_their_columns_with_and_without_the_first_line(first_line: bool, tmp_path: Path) -> None:
    write_celeba(tmp_path, first_line=first_line)
    columns = ["Male", "Smiling", "5_o_Clock_Shadow", "Young"]
    attributes = read_attributes(tmp_path / ATTRIBUTE_FILE, columns)
    assert attributes == {str(number): {column: celeba_attributes(number)[column] for column in columns} for number in MAPPING}


def test_any_of_the_forty_attributes_may_be_a_task(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    tasks = {"class_male": "Male", "class_smile": "Smiling", "class_eyebrows": "Arched_Eyebrows"}
    tasks |= {"class_glasses": "Eyeglasses", "class_Wearing_Hat": "Wearing_Hat"}
    dataset = CelebAMaskHQ(_config(tmp_path, task_list=list(tasks)), "train")
    for index, name in enumerate(OFFICIAL["train"]):
        sample = dataset[index]
        assert sample["name"] == name
        for task, column in tasks.items():
            assert sample["targets"][task].item() == (celeba_attributes(int(name))[column] == 1), (name, task)
            assert sample["masks"][task].item() is True


def test_an_unknown_attribute_is_masked(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    path = tmp_path / ATTRIBUTE_FILE
    lines = path.read_text().splitlines()
    lines[2] = "0.jpg  " + " ".join(["0"] * 40)
    path.write_text("\n".join(lines))
    sample = CelebAMaskHQ(_config(tmp_path), "train")[0]
    assert not sample["masks"]["class_male"]
    assert sample["targets"]["class_male"] == 0


def test_zero_padded_names_are_the_same_images(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    path = tmp_path / ATTRIBUTE_FILE
    path.write_text(path.read_text().replace("\n6.jpg", "\n00006.jpg"))
    assert read_attributes(path, ["Male"])["6"] == {"Male": celeba_attributes(6)["Male"]}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0.jpg  1 -1", "has 2 values; expected 40, as there are attributes"),
        ("0.jpg  " + "x " * 40, r"has the value 'x'; expected -1 or 1 \(0: unknown\)"),
        ("zero.jpg  " + "1 " * 40, "begins with 'zero.jpg'; expected <number>.jpg"),
        ("1_0.jpg  " + "1 " * 40, "begins with '1_0.jpg'"),
    ],
)
def test_a_line_that_is_none_is_named_with_its_number(line: str, said: str, tmp_path: Path) -> None:
    write_celeba(tmp_path)
    path = tmp_path / ATTRIBUTE_FILE
    lines = path.read_text().splitlines()
    lines[2] = line
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=rf"anno\.txt:3 {said}"):
        read_attributes(path, ["Male"])


@pytest.mark.parametrize(("file", "values"), [("0.jpg", None), ("00000.JPG", "-1 " * 40)])
def test_a_second_line_of_an_image_is_refused_whatever_it_says(file: str, values: str | None, tmp_path: Path) -> None:
    write_celeba(tmp_path, first_line=False)
    path = tmp_path / ATTRIBUTE_FILE
    same = path.read_text().splitlines()[1].split(maxsplit=1)[1]
    path.write_text(f"{path.read_text()}{file}  {values or same}\n")
    with pytest.raises(DataError, match=r"anno\.txt:9 is of 0\.jpg, as line 2 is; expected one line per image$"):
        read_attributes(path, ["Male"])


def test_a_column_that_is_there_twice_and_a_file_that_is_not_whole_are_refused(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    path = tmp_path / ATTRIBUTE_FILE
    whole = path.read_text()
    path.write_text(whole.replace(" Male ", " Smiling "))
    with pytest.raises(DataError, match=r"anno\.txt has more than one column Smiling; expected every attribute once"):
        read_attributes(path, ["Smiling"])
    path.write_text(whole.rpartition("6.jpg")[0])
    with pytest.raises(DataError, match=r"anno\.txt has lines for 6 images; expected 7, as its first line says"):
        read_attributes(path, ["Smiling"])


def test_images_without_a_line_are_named(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    path = tmp_path / ATTRIBUTE_FILE
    lines = [line for line in path.read_text().splitlines()[1:] if not line.startswith(("1.", "6."))]
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"has no line for 1\.jpg, 6\.jpg; expected one line per image"):
        CelebAMaskHQ(_config(tmp_path), "train")
    CelebAMaskHQ(_config(tmp_path, task_list=["segmentsemantic"]), "train")  # needs no attributes


@pytest.mark.parametrize("content", ["", "3\n", "\n\n"])
def test_an_empty_attribute_file_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text(content)
    with pytest.raises(DataError, match="has no column Male"):
        read_attributes(tmp_path / "file.txt", ["Male"])


# Masks


@pytest.mark.parametrize(("void", "corner"), [("ignore", 255), ("background", 0)])
def test_255_is_ignored_or_background(void: str, corner: int, tmp_path: Path) -> None:
    write_celeba(tmp_path)
    sample = CelebAMaskHQ(_config(tmp_path, mask_void=void), "test")[0]
    expected = celeba_mask(4).astype(int)
    expected[:2, :2] = corner
    assert sample["targets"]["segmentsemantic"].tolist() == expected.tolist()
    mask = sample["masks"]["segmentsemantic"]
    assert mask[2:].all()
    assert mask[:, 2:].all()
    assert bool(mask[:2, :2].any()) is (void == "background")


def test_the_image_is_the_one_of_the_number_resized_with_its_mask(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    sample = CelebAMaskHQ(_config(tmp_path, input_shape=[24, 20]), "val")[1]
    assert sample["name"] == "3"
    assert sample["image"].shape == (3, 24, 20)
    assert sample["targets"]["segmentsemantic"].shape == (24, 20)
    torch.testing.assert_close(sample["image"], torch.full((3, 24, 20), 60 / 255), rtol=0, atol=0.01)


# Nineteen classes


def _write_parts(root: Path, labels: np.ndarray) -> ExperimentConfig:
    """A set whose image 0 has these labels."""
    write_celeba(root)
    write_array(root / "CelebA-HQ-segmask" / "00000_mask.npy", labels)
    return _config(root, celebA_classes=19)


def test_nineteen_classes_are_labels_up_to_18(tmp_path: Path) -> None:
    labels = (np.arange(256) % 19).reshape(16, 16).astype(np.uint8)
    config = _write_parts(tmp_path, labels)
    np.testing.assert_array_equal(CelebAMaskHQ(config, "train")[0]["targets"]["segmentsemantic"], labels)
    with pytest.raises(DataError, match=r"has the label 3; expected 255 \(unlabelled\) or 0\.\.2 \(celebA_classes: 3\)"):
        CelebAMaskHQ(_config(tmp_path), "train")[0]
    labels[0, 0] = 19
    with pytest.raises(DataError, match=r"has the label 19; expected 255 \(unlabelled\) or 0\.\.18 \(celebA_classes: 19\)"):
        CelebAMaskHQ(_write_parts(tmp_path, labels), "train")[0]


def test_a_mirrored_face_has_its_right_eye_where_its_left_was(tmp_path: Path) -> None:
    labels = np.zeros((16, 16), np.uint8)
    labels[3, 4], labels[3, 11] = 4, 5
    config = _write_parts(tmp_path, labels).with_values(augmentation={"hflip": True})
    dataset = CelebAMaskHQ(config, "train", training=True)
    masks = torch.stack([dataset[0, seed]["targets"]["segmentsemantic"] for seed in range(30)])
    np.testing.assert_array_equal(masks, np.broadcast_to(labels, masks.shape))  # this face is its own mirror image
    labels[3, 4] = 0
    write_array(tmp_path / "CelebA-HQ-segmask" / "00000_mask.npy", labels)
    seen = {tuple(dataset[0, seed]["targets"]["segmentsemantic"].nonzero()[0].tolist()) for seed in range(30)}
    assert seen == {(3, 11), (3, 4)}  # it was mirrored, or not


@pytest.mark.parametrize(("prepared", "asked"), [(19, 3), (3, 19)])
def test_a_set_prepared_with_other_classes_is_refused_in_one_sentence(prepared: int, asked: int, tmp_path: Path) -> None:
    write_celeba(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"recipe": {"command": "celeba", "classes": prepared}}))
    CelebAMaskHQ(_config(tmp_path, celebA_classes=prepared), "train")
    said = rf"^celebA_classes: is {asked}, and the masks in .* with {prepared} classes; set celebA_classes={prepared}, or .*$"
    with pytest.raises(DataError, match=said):
        CelebAMaskHQ(_config(tmp_path, celebA_classes=asked), "train")
    CelebAMaskHQ(_config(tmp_path, celebA_classes=asked, task_list=["class_male"]), "train")  # has no masks


@pytest.mark.parametrize("content", ["{}", "[1]", "not JSON", '{"recipe": {"size": 256}}', '{"recipe": 3}'])
def test_a_manifest_of_something_else_means_nothing(content: str, tmp_path: Path) -> None:
    write_celeba(tmp_path)
    (tmp_path / "manifest.json").write_text(content)
    assert len(CelebAMaskHQ(_config(tmp_path), "train")) == 3


# Files


def test_files_are_those_that_are_read(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    dataset = CelebAMaskHQ(_config(tmp_path), "train")
    assert dataset.files("6", None) == [tmp_path / "CelebA-HQ-img" / "6.jpg"]
    assert dataset.files("6", "segmentsemantic") == [tmp_path / "CelebA-HQ-segmask" / "00006_mask.npy"]
    assert dataset.files("6", "class_male") == []
    for task in (None, "segmentsemantic"):
        (path,) = dataset.files("6", task)
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(DataError, match=path.name):
            dataset.read("6")
        path.write_bytes(content)


# Splits


@pytest.mark.parametrize("header", [True, False])
def test_the_official_split_goes_by_the_number_in_the_original_celeba(header: bool, tmp_path: Path) -> None:
    write_celeba(tmp_path, mapping_header=header)
    config = _config(tmp_path)
    assert celeba_splits(config) == OFFICIAL
    for split, names in OFFICIAL.items():
        dataset = CelebAMaskHQ(config, split)
        assert [dataset[index]["name"] for index in range(len(dataset))] == names


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text + "00002 5 6.jpg\n", r":9 is of image 2, as line 4 is; expected one line per image"),
        (lambda text: text + "\nidx orig_idx orig_file\n", r":10 is 'idx orig_idx orig_file'; expected idx orig_idx orig_file"),
        (lambda text: "\ufeff\ufeff" + text.partition("\n")[2], r":1 is '\\ufeff0 5 000006\.jpg'"),
        (lambda text: text + "٧ 8 9.jpg\n", r":9 is '٧ 8 9\.jpg'"),
        (lambda text: text.replace("6 100 ", "6,100,"), r":8 is '6,100,000101\.jpg'"),
    ],
)
def test_only_a_first_line_idx_is_a_title_and_every_image_has_one_line(
    change: Callable[[str], str], said: str, tmp_path: Path
) -> None:
    write_celeba(tmp_path)
    path = tmp_path / MAPPING_FILE
    path.write_text(change(path.read_text()), encoding="utf-8")
    with pytest.raises(DataError, match=rf"mapping\.txt{said}"):
        celeba_splits(_config(tmp_path))


@pytest.mark.parametrize("header", [True, False])
def test_a_byte_order_mark_and_windows_line_ends_cost_no_face(header: bool, tmp_path: Path) -> None:
    write_celeba(tmp_path, mapping_header=header, first_line=header)
    for name in (MAPPING_FILE, ATTRIBUTE_FILE):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(codecs.BOM_UTF8 + content.replace(b"\n", b"\r\n"))
    assert celeba_splits(_config(tmp_path)) == OFFICIAL
    assert CelebAMaskHQ(_config(tmp_path), "train").attributes["0"]["Male"] == celeba_attributes(0)["Male"]


@pytest.mark.parametrize("name", [MAPPING_FILE, ATTRIBUTE_FILE, "names.json", "manifest.json"])
def test_a_text_file_that_cannot_be_read_is_not_taken_for_none(name: str, tmp_path: Path) -> None:
    write_celeba(tmp_path)
    splits = None if name == MAPPING_FILE else _write_json(tmp_path, {"train": [0, 1], "val": [2], "test": [4]})
    config = _config(tmp_path, data_split_file=splits)
    (tmp_path / name).write_bytes("0 5 6.jpg\n".encode("utf-16"))
    with pytest.raises(DataError, match=rf"{name} is no UTF-8 text, it looks like UTF-16; expected UTF-8"):
        CelebAMaskHQ(config, "train")
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=rf"{name} cannot be read \(Is a directory\)$"):
        CelebAMaskHQ(config, "train")


def test_a_missing_or_broken_mapping_is_named(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    (tmp_path / MAPPING_FILE).write_text("0\n")
    with pytest.raises(DataError, match=r"mapping\.txt:1 is '0'; expected idx orig_idx orig_file$"):
        celeba_splits(_config(tmp_path))
    (tmp_path / MAPPING_FILE).unlink()
    with pytest.raises(DataError, match=r"mapping\.txt: there is no such file; .*data_split_file"):
        celeba_splits(_config(tmp_path))


def _write_json(root: Path, content: object) -> str:
    (root / "names.json").write_text(json.dumps(content))
    return "names.json"


@pytest.mark.parametrize("words", [("train", "val", "test"), ("training", "validation", "testing")])
def test_a_json_file_of_names_is_the_split(words: tuple[str, ...], tmp_path: Path) -> None:
    write_celeba(tmp_path)
    (tmp_path / MAPPING_FILE).unlink()  # it is not needed then
    content = dict(zip(words, (["5.jpg", "00002.jpg", "3"], [1], ["0.png"]), strict=True))
    config = _config(tmp_path, data_split_file=_write_json(tmp_path, content))
    assert celeba_splits(config) == {"train": ["5", "2", "3"], "val": ["1"], "test": ["0"]}


@pytest.mark.parametrize("place", ["", "~/", "$HOME/"])
def test_a_json_file_may_lie_anywhere(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_celeba(tmp_path / "data")
    _write_json(tmp_path, {"train": ["1", "2"], "val": ["3"], "test": ["4"]})
    config = _config(tmp_path / "data", data_split_file=f"{place or tmp_path}/names.json")
    assert celeba_splits(config)["test"] == ["4"]


def test_without_validation_names_it_is_cut_from_the_training_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_celeba(tmp_path)
    names = _write_json(tmp_path, {"train": list(range(100, 120)), "test": [4]})
    with caplog.at_level(logging.INFO):
        splits = celeba_splits(_config(tmp_path, data_split_file=names, val_fraction=0.25))
    assert len(splits["val"]) == 5
    assert sorted(splits["train"] + splits["val"]) == [str(number) for number in range(100, 120)]
    assert "names.json: 15 frames for training, 5 for validation" in caplog.text
    caplog.clear()
    celeba_splits(_config(tmp_path, data_split_file=names, val_fraction=0.25))
    assert not caplog.messages, "said once, though every loader asks"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": [1, 2]}, r"has no key 'test' \(but train\); expected a JSON object of lists"),
        ({"train": [1, 2], "dev": [3], "test": [4]}, r"has no key 'val' \(but train, dev, test\); expected a JSON object"),
        ({"train": [1, 2], "test": []}, "names 0 frames for test; expected at least 1"),
        ([1, 2], "is not a JSON object of lists"),
        (
            {"train": [0, 1, "00001.jpg"], "val": [2], "test": [4]},
            "names 1 more than once for train; expected every",
        ),
        ({"train": [0, 1], "val": [2], "valid": [3], "test": [4]}, "has the keys val and valid; expected one list for val$"),
        ({"train": "012", "test": [4]}, "has no list for the key 'train'; expected"),
        ({"train": [0, 1.0, True], "test": [4]}, "names 1.0, True for train; expected '<number>.jpg'"),
        ({"train": ["one.jpg"], "test": ["2"]}, "names 'one.jpg' for train; expected '<number>.jpg'$"),
    ],
)
def test_a_wrong_json_file_is_named(content: object, message: str, tmp_path: Path) -> None:
    write_celeba(tmp_path)
    with pytest.raises(DataError, match=rf"names\.json {message}"):
        celeba_splits(_config(tmp_path, data_split_file=_write_json(tmp_path, content)))


def test_a_key_that_a_json_file_has_twice_is_refused(tmp_path: Path) -> None:
    """The json module keeps the last one without a word."""
    write_celeba(tmp_path)
    (tmp_path / "names.json").write_text('{"train": [0, 1], "test": [4], "train": [1, 2]}')
    with pytest.raises(DataError, match=r"names\.json is not a JSON object .* \(it has a key twice: train, test, train\)"):
        celeba_splits(_config(tmp_path, data_split_file="names.json"))


def test_a_missing_json_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    write_celeba(tmp_path)
    with pytest.raises(DataError, match=r"data_split_file: 'gone\.json': there is no such file \(looked in "):
        celeba_splits(_config(tmp_path, data_split_file="gone.json"))


# Missing files


@pytest.mark.parametrize(
    ("file", "other"),
    [
        ("CelebA-HQ-img/1.jpg", "00001.jpg"),
        ("CelebA-HQ-img/1.jpg", "1.png"),
        ("CelebA-HQ-segmask/00001_mask.npy", "1_mask.npy"),
    ],
)
def test_of_a_face_one_file_is_read_however_it_is_spelled_and_two_are_refused(file: str, other: str, tmp_path: Path) -> None:
    write_celeba(tmp_path)
    expected = CelebAMaskHQ(_config(tmp_path), "train")[1]
    shutil.copyfile(tmp_path / file, (tmp_path / file).with_name(other))
    first, second = sorted([Path(file).name, other])
    with pytest.raises(DataError, match=rf"{second} is there as well as {first}; expected one of them$"):
        CelebAMaskHQ(_config(tmp_path), "train")
    (tmp_path / file).unlink()
    assert equal(CelebAMaskHQ(_config(tmp_path), "train")[1], expected)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data_dir_celebA: there is no folder .*CelebA-HQ-img"):
        CelebAMaskHQ(_config(tmp_path), "train")


def test_attributes_whose_no_is_0_are_refused(tmp_path: Path) -> None:
    """0 is unknown: all that would be left are the positives."""
    write_celeba(tmp_path)
    path = tmp_path / ATTRIBUTE_FILE
    path.write_text(path.read_text().replace("-1", "0"))
    with pytest.raises(DataError, match="has the value 0 and never -1: no is 0; expected -1 for no and 1 for yes"):
        read_attributes(path, ["Male"])
