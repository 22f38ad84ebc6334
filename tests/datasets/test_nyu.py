"""NYU-v2 from every variant of its files, and what is said when something is wrong with them."""

import codecs
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets.images import read_array
from datasets.nyu import NYUDataset, nyu_splits
from datasets.sample import Sample
from settings.config import ExperimentConfig
from tests.configs import make_config
from tests.datasets.frames import DENSE, nyu_frame, write_array, write_nyu
from utils.errors import DataError

SIZE = (24, 32)


def _config(root: Path, **values: Any) -> ExperimentConfig:
    """All dense tasks at the files' own size: nothing is resized."""
    return make_config(**{"data_dir_NYU": root, "task_list": list(DENSE), "input_shape": list(SIZE), **values})


def _first(root: Path, split: str = "val", **values: Any) -> Sample:
    return NYUDataset(_config(root, **values), split)[0]


VARIANTS = {
    "NYUD_MT": {},
    "ASTMT": {"segmentation": "mat", "depth": "mat", "normals": "jpg", "edge": "png"},
    "ATRC": {"images": "png", "normals": "png", "edge": "png"},
    "npy and jpg": {"segmentation": "npy", "edge": "jpg"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_the_files_gives_the_frame_that_was_written(variant: str, tmp_path: Path) -> None:
    types = VARIANTS[variant]
    frame = write_nyu(tmp_path, types=types, size=SIZE)["b0"]
    sample = _first(tmp_path, depth_target="metric")
    assert sample["name"] == "b0"

    image = torch.from_numpy(frame["images"]).permute(2, 0, 1) / 255
    lossless = types.get("images") == "png"
    torch.testing.assert_close(sample["image"], image, rtol=0, atol=1e-6 if lossless else 0.03)

    labels = frame["segmentation"].astype(int)
    assert sample["targets"]["segmentsemantic"].tolist() == np.where(labels == 0, 255, labels - 1).tolist()
    assert torch.equal(sample["masks"]["segmentsemantic"], torch.from_numpy(labels > 0))
    assert 0 in labels
    assert 40 in labels

    assert torch.equal(sample["targets"]["depth_euclidean"], torch.from_numpy(frame["depth"])[None])
    assert torch.equal(sample["masks"]["depth_euclidean"], torch.from_numpy(frame["depth"] > 0)[None])

    normals = sample["targets"]["surface_normal"]
    atol = {"npy": 1e-6, "png": 0.01, "jpg": 0.05}[types.get("normals", "npy")]
    torch.testing.assert_close(normals, torch.from_numpy(frame["normals"]).permute(2, 0, 1), rtol=0, atol=atol)
    torch.testing.assert_close(normals.norm(dim=0), torch.ones(SIZE))
    assert sample["masks"]["surface_normal"].all()

    edges, expected = sample["targets"]["edge_texture"], torch.from_numpy(frame["edge"])[None]
    kind = types.get("edge", "npy")
    if kind == "jpg":  # noise does not survive JPEG pixel by pixel
        assert float((edges - expected).abs().mean()) < 0.05
    else:
        torch.testing.assert_close(edges, expected, rtol=0, atol=0.5 / 255 + 1e-6 if kind == "png" else 0)
    assert sample["masks"]["edge_texture"].all()


def test_relative_depth_has_the_largest_value_one_at_any_input_size(tmp_path: Path) -> None:
    write_nyu(tmp_path, size=SIZE)
    for shape in (list(SIZE), [16, 16], [40, 64]):
        depth = _first(tmp_path, depth_target="relative", input_shape=shape)["targets"]["depth_euclidean"]
        assert depth.shape == (1, *shape)
        assert float(depth.max()) == 1


def test_one_colour_channel_is_grey(tmp_path: Path) -> None:
    frame = write_nyu(tmp_path, types={"images": "png"}, size=SIZE)["b0"]
    grey = frame["images"] @ np.array([0.299, 0.587, 0.114]) / 255
    image = _first(tmp_path, input_img_channels=1)["image"]
    assert image.shape == (1, *SIZE)
    np.testing.assert_allclose(image[0].numpy(), grey, atol=1 / 255)


# Splits


def test_three_files_are_the_three_splits(tmp_path: Path) -> None:
    write_nyu(tmp_path, {"train": ["a", "b", "c"], "val": ["d"], "test": ["e", "f"]})
    config = _config(tmp_path)
    assert nyu_splits(config) == {"train": ["a", "b", "c"], "val": ["d"], "test": ["e", "f"]}
    for split, names in nyu_splits(config).items():
        dataset = NYUDataset(config, split)
        assert [dataset[index]["name"] for index in range(len(dataset))] == names


def test_the_published_two_file_form_tests_on_val_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    training = [f"{number:02d}" for number in range(20)]
    write_nyu(tmp_path, {"train": training, "val": ["x", "y"]})
    with caplog.at_level(logging.INFO):
        splits = nyu_splits(_config(tmp_path, val_fraction=0.2))
    assert splits["test"] == ["x", "y"]
    assert len(splits["val"]) == 4
    assert sorted(splits["train"] + splits["val"]) == training
    said = caplog.text
    assert f"there is no {tmp_path}/gt_sets/test.txt: val.txt is the test split" in said
    assert f"validation is cut from {tmp_path}/gt_sets/train.txt: 16 frames for training, 4 for validation" in said


@pytest.mark.parametrize("val", [None, "val", "train"])
def test_validation_is_cut_where_it_has_no_file_of_its_own(val: str | None, tmp_path: Path) -> None:
    training = [f"{number:02d}" for number in range(20)]
    write_nyu(tmp_path, {"train": training, "val": ["x", "y"]})
    splits = nyu_splits(_config(tmp_path, splits={"train": "train", "val": val, "test": "val"}))
    assert splits["test"] == ["x", "y"]
    assert len(splits["val"]) == 2
    assert sorted(splits["train"] + splits["val"]) == training


def test_files_may_have_other_names(tmp_path: Path) -> None:
    write_nyu(tmp_path, {"fit": ["a", "b"], "tune": ["c"], "final": ["d"]})
    splits = nyu_splits(_config(tmp_path, splits={"train": "fit", "val": "tune", "test": "final"}))
    assert splits == {"train": ["a", "b"], "val": ["c"], "test": ["d"]}


FRAMES = {"train": ["a", "b", "c"], "val": ["d"], "test": ["e", "f"]}


@pytest.mark.parametrize(
    "change",
    [
        lambda text: codecs.BOM_UTF8 + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: b"\n  " + text.replace(b"\n", b"\t \n\n"),
        lambda text: text.replace(b"\n", b".jpg\n"),
        lambda text: text.replace(b"\n", b".PNG\n").rstrip(),
    ],
)
def test_the_frames_of_a_list_are_its_lines_however_it_was_saved(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    write_nyu(tmp_path, FRAMES)
    for path in (tmp_path / "gt_sets").iterdir():
        path.write_bytes(change(path.read_bytes()))
    assert nyu_splits(_config(tmp_path)) == FRAMES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("e\nroom f\n", r":2 is 'room f'; expected the name of one frame per line$"),
        ("e\n\nimages/f.jpg\n", r":3 is 'images/f\.jpg'"),
        ("e\n\ufefff\n", r":2 is '\\ufefff'"),
        ("e\nf\n  e \r\nf.jpg\ne.png", r" names e, f more than once for test"),
        ("e\nd.jpg\na \n", r" names a for test, which train has too; expected every frame in one split \(1 of 2 problems\)$"),
    ],
)
def test_a_line_that_is_no_name_and_a_name_that_is_there_twice_are_refused(text: str, said: str, tmp_path: Path) -> None:
    write_nyu(tmp_path, FRAMES)
    (tmp_path / "gt_sets/test.txt").write_text(text, encoding="utf-8", newline="")
    with pytest.raises(DataError, match=rf"gt_sets/test\.txt{said}"):
        nyu_splits(_config(tmp_path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("e\nf\n".encode("utf-16"), r"is no UTF-8 text, it looks like UTF-16; expected UTF-8"),
        ("e\nküche\n".encode("latin-1"), r"is no UTF-8 text, it looks like Latin-1 or Windows-1252 \(the byte FC in line 2\)"),
        (None, r"cannot be read \(Is a directory\)$"),
    ],
)
def test_a_list_that_cannot_be_read_is_not_taken_for_none(content: bytes | None, said: str, tmp_path: Path) -> None:
    """Without a list ``test``, ``val`` would be the test split."""
    write_nyu(tmp_path, FRAMES)
    path = tmp_path / "gt_sets/test.txt"
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"gt_sets/test\.txt {said}"):
        nyu_splits(_config(tmp_path))


def test_a_list_in_capital_letters_is_that_list(tmp_path: Path) -> None:
    write_nyu(tmp_path, FRAMES)
    path = tmp_path / "gt_sets/test.txt"
    path.rename(path.with_suffix(".TXT"))
    assert nyu_splits(_config(tmp_path)) == FRAMES
    path.write_text("e\n")
    with pytest.raises(DataError, match=r"test\.txt is there as well as test\.TXT"):
        nyu_splits(_config(tmp_path))


def test_a_missing_split_file_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    write_nyu(tmp_path)
    with pytest.raises(DataError, match=r"splits\.train: 'tarin': there is no file .*tarin\.txt; .*: test, train, val"):
        nyu_splits(_config(tmp_path, splits={"train": "tarin"}))
    with pytest.raises(DataError, match=r"splits\.test: 'final'"):
        nyu_splits(_config(tmp_path, splits={"val": None, "test": "final"}))


def test_a_folder_without_split_files_says_none(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r"splits\.train: 'train': .*split files there: none"):
        nyu_splits(_config(tmp_path))


# Messages


def test_a_missing_folder_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data_dir_NYU: .*nothing_here is no folder; expected NYU-v2 in NYUD_MT layout"):
        NYUDataset(_config(tmp_path / "nothing_here"), "train")


def test_files_of_tasks_that_are_not_asked_for_need_not_be_there(tmp_path: Path) -> None:
    write_nyu(tmp_path)
    for path in (tmp_path / "edge").iterdir():
        path.unlink()
    (tmp_path / "edge").rmdir()
    tasks = [task for task in DENSE if task != "edge_texture"]
    assert set(NYUDataset(_config(tmp_path, task_list=tasks), "train")[0]["targets"]) == set(tasks)
    with pytest.raises(DataError, match="edge: there is no such folder, needed for task edge_texture"):
        NYUDataset(_config(tmp_path), "train")


@pytest.mark.parametrize("kind", ["npy", "mat", "png"])
def test_a_file_that_was_cut_off_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "segmentation" / f"b0.{kind}"
    write_array(path, nyu_frame(0, *SIZE)["segmentation"])
    whole = path.read_bytes()
    for length in range(0, len(whole) - 40, 50):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=rf"b0\.{kind} cannot be read"):
            read_array(path)
    assert length > 100


@pytest.mark.parametrize("kind", ["npy", "png", "jpg"])  # a damaged .mat can crash scipy itself
def test_a_damaged_file_gives_numbers_or_a_clear_message(kind: str, tmp_path: Path) -> None:
    """Whatever a library raises for it."""
    path = tmp_path / "segmentation" / f"b0.{kind}"
    write_array(path, nyu_frame(0, *SIZE)["segmentation"])
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[rng.integers(min(len(whole), 200))] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            read_array(path)
        except DataError as error:
            refused += str(path) in str(error)
    assert refused > 10
