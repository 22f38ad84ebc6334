"""NYU-v2 in MTAN's layout: whole arrays per frame, and what is wrong with one in a sentence."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.loaders import build_dataset, eval_loader
from datasets.mtan import MTANDataset, mtan_splits
from settings.config import ExperimentConfig
from tests.configs import NYU_TASKS, make_config
from tests.datasets.frames import write_array
from tests.datasets.mtan_frames import Frame, write_mtan
from utils.errors import DataError

SIZE = (16, 20)


def _write(root: Path, folders: Mapping[str, int], start: int = 0) -> dict[str, Frame]:
    return write_mtan(root, folders, SIZE, start)


def _config(root: Path, **values: Any) -> ExperimentConfig:
    return make_config(
        **{
            "dataset_name": "NYU_MTAN",
            "data_dir_NYU_MTAN": root,
            "task_list": list(NYU_TASKS),
            "input_shape": list(SIZE),
            **values,
        }
    )


# Values


@pytest.mark.parametrize("metric", [True, False])
def test_a_frame_has_the_values_of_its_files(metric: bool, tmp_path: Path) -> None:
    frames = _write(tmp_path, {"train": 4, "val": 2})
    config = _config(tmp_path, depth_target="metric" if metric else "relative")
    for split in ("train", "val", "test"):
        for sample in eval_loader(config, split).dataset:
            frame = frames[sample["name"]]
            targets, masks = sample["targets"], sample["masks"]
            np.testing.assert_allclose(sample["image"], frame["image"].transpose(2, 0, 1), atol=1e-6)
            np.testing.assert_array_equal(targets["segmentsemantic"], np.where(frame["label"] < 0, 255, frame["label"]))
            np.testing.assert_array_equal(masks["segmentsemantic"], frame["label"] >= 0)
            depth = frame["depth"][..., 0] / (1 if metric else frame["depth"].max())
            np.testing.assert_allclose(targets["depth_euclidean"][0], depth, rtol=1e-6)
            np.testing.assert_array_equal(masks["depth_euclidean"][0], frame["depth"][..., 0] > 0)
            np.testing.assert_allclose(targets["surface_normal"], frame["normal"].transpose(2, 0, 1), atol=1e-6)
            np.testing.assert_array_equal(masks["surface_normal"][0], np.abs(frame["normal"]).sum(axis=-1) > 0)


@pytest.mark.parametrize(
    "change",
    [
        {"image": lambda a: np.rint(255 * a).astype(np.uint8)},
        {"image": lambda a: a.astype(np.float32)},
        {"label": lambda a: a.astype(np.int8)},
        {"label": lambda a: a.astype(np.int64)[..., None]},
        {"depth": lambda a: a[..., 0].astype(np.float64)},
    ],
)
def test_other_types_of_the_same_values_are_the_same_frame(change: dict[str, Any], tmp_path: Path) -> None:
    frames = _write(tmp_path, {"train": 2, "val": 1})
    config = _config(tmp_path)
    expected = MTANDataset(config, "test")[0]
    for kind, convert in change.items():
        write_array(tmp_path / "val" / kind / "0.npy", convert(frames["val/0"][kind]))
    sample = MTANDataset(config, "test")[0]
    for part in ("image", "targets", "masks"):
        torch.testing.assert_close(sample[part], expected[part], rtol=1e-6, atol=1e-6)  # type: ignore[literal-required]


def test_an_image_has_the_nearest_of_256_levels(tmp_path: Path) -> None:
    _write(tmp_path, {"train": 2, "val": 1})
    image = np.random.default_rng(0).uniform(0, 1, (*SIZE, 3))
    image[0, 0] = 1 + 5e-4, -5e-4, 0.998  # interpolation may overshoot
    write_array(tmp_path / "val" / "image" / "0.npy", image)
    read = MTANDataset(_config(tmp_path), "test")[0]["image"].numpy().transpose(1, 2, 0)
    assert np.abs(read - image)[1:].max() <= 0.5 / 255 + 1e-6
    np.testing.assert_allclose(read[0, 0], [1, 0, 254 / 255], atol=1e-6)


def test_grey_is_that_of_an_image_file(tmp_path: Path) -> None:
    frames = _write(tmp_path, {"train": 2, "val": 1})
    pixels = np.rint(255 * frames["val/0"]["image"]).astype(np.uint8)
    expected = np.asarray(Image.fromarray(pixels).convert("L")) / np.float32(255)
    sample = MTANDataset(_config(tmp_path, input_img_channels=1), "test")[0]
    np.testing.assert_allclose(sample["image"], expected[None], atol=1e-6)


# Splits


def test_the_published_val_is_the_test_split_and_the_log_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _write(tmp_path, {"train": 20, "val": 3})
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            splits = mtan_splits(_config(tmp_path, val_fraction=0.2))
    assert splits["test"] == ["val/0", "val/1", "val/2"]
    assert (len(splits["train"]), len(splits["val"])) == (16, 4)
    assert sorted(splits["train"] + splits["val"]) == sorted(f"train/{number}" for number in range(20))
    assert caplog.text.count("validation is cut from") == 1
    assert "16 frames for training, 4 for validation" in caplog.text
    assert "MTAN's val is the official test set" in caplog.text


def test_with_a_folder_test_every_folder_is_what_it_is_called(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = _write(tmp_path, {"train": 3, "val": 2, "test": 4})
    config = _config(tmp_path)
    names = {split: build_dataset(config, split).names for split in ("train", "val", "test")}
    assert names == {split: [name for name in frames if name.startswith(split)] for split in names}
    assert not caplog.text


def test_a_validation_is_cut_where_there_is_only_a_folder_test(tmp_path: Path) -> None:
    _write(tmp_path, {"train": 10, "test": 2})
    splits = mtan_splits(_config(tmp_path))
    assert (len(splits["train"]), splits["test"]) == (9, ["test/0", "test/1"])
    assert splits["val"][0].startswith("train/")


def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    frames = _write(tmp_path, {"train": 2, "val": 4}, start=8)
    assert MTANDataset(_config(tmp_path), "test").names == ["val/8", "val/9", "val/10", "val/11"]
    sample = MTANDataset(_config(tmp_path), "test")[2]
    np.testing.assert_allclose(sample["image"], frames["val/10"]["image"].transpose(2, 0, 1), atol=1e-6)


def test_a_file_in_capital_letters_or_with_zeros_is_a_frame_too(tmp_path: Path) -> None:
    _write(tmp_path, {"train": 2, "val": 2})
    for path in sorted((tmp_path / "val").rglob("1.npy")):
        path.rename(path.with_name("0001.NPY"))
    dataset = MTANDataset(_config(tmp_path), "test")
    assert [sample["name"] for sample in map(dataset.read, dataset.names)] == ["val/0", "val/1"]


def test_the_folder_of_nyu_is_taken_where_no_other_is_given(tmp_path: Path) -> None:
    _write(tmp_path, {"train": 2, "val": 1})
    other = _config(tmp_path, data_dir_NYU_MTAN=None, data_dir_NYU=tmp_path)
    assert MTANDataset(other, "test").names == ["val/0"]
    both = _config(tmp_path, data_dir_NYU=tmp_path / "nowhere")
    assert MTANDataset(both, "test").names == ["val/0"]
    with pytest.raises(DataError, match=r"^data_dir_NYU: .*gone is no folder; expected MTAN's layout"):
        MTANDataset(other.with_values(data_dir_NYU=str(tmp_path / "gone")), "test")


def test_files_are_those_that_are_read(tmp_path: Path) -> None:
    _write(tmp_path, {"train": 2, "val": 1})
    dataset = MTANDataset(_config(tmp_path), "test")
    kinds = {None: "image", "segmentsemantic": "label", "depth_euclidean": "depth", "surface_normal": "normal"}
    for task, kind in kinds.items():
        (path,) = dataset.files("val/0", task)
        assert path == tmp_path / "val" / kind / "0.npy"
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(DataError, match=f"{kind}/0.npy"):
            dataset.read("val/0")
        path.write_bytes(content)
    dataset.read("val/0")


# Messages

WRONG = [
    ("image", np.zeros((3, 16, 20)), r"has the shape \(3, 16, 20\); expected \(height, width, 3\), floats in"),
    ("image", np.full((16, 20, 3), 2.0), r"has values from 2 to 2 \(float64\); expected .*floats in \[0, 1\] or uint8"),
    ("image", np.full((16, 20, 3), np.nan), r"has values from nan to nan"),
    ("image", np.ones((16, 20, 3), np.int64), r"\(int64\); expected .*uint8"),
    ("image", np.zeros((0, 20, 3)), r"has the shape \(0, 20, 3\)"),
    ("image", np.full((*SIZE, 3), "far"), r"holds no array of numbers"),
    ("label", np.full(SIZE, 13), r"has the label 13; expected -1 \(unlabelled\) or 0\.\.12"),
    ("label", np.full(SIZE, 255, np.uint8), r"has the label 255; expected"),
    ("label", np.zeros((16, 20, 3)), r"has the shape \(16, 20, 3\); expected \(height, width\)"),
    ("label", np.zeros((16, 15)), r"is \(16, 15\) \(height, width\), but .*image/0\.npy is \(16, 20\); they must be the same"),
    ("depth", np.full(SIZE, 9000.0), r"has the depth 9000; expected metres, at most 10"),
    ("depth", np.zeros((0, 20, 1)), r"has the shape \(0, 20, 1\); expected \(height, width\) of at least one pixel"),
    ("normal", np.zeros(SIZE), r"has the shape \(16, 20\); expected \(height, width, 3\)"),
]


@pytest.mark.parametrize(("kind", "array", "said"), WRONG, ids=[said for *_, said in WRONG])
def test_a_wrong_array_is_named_with_what_was_found_and_expected(
    kind: str, array: np.ndarray, said: str, tmp_path: Path
) -> None:
    _write(tmp_path, {"train": 2, "val": 1})
    write_array(tmp_path / "val" / kind / "0.npy", array)
    with pytest.raises(DataError, match=said) as caught:
        MTANDataset(_config(tmp_path), "test")[0]
    assert str(caught.value).startswith(f"{tmp_path / 'val' / kind / '0.npy'} ")
    assert "\n" not in str(caught.value)


def test_another_layout_is_named(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r"data_dir_NYU_MTAN: there is no folder .*train/image; expected MTAN's layout"):
        MTANDataset(_config(tmp_path), "train")
    _write(tmp_path, {"train": 1, "val": 1})
    with pytest.raises(DataError, match=r"train/image holds 1 frame; expected at least 2"):
        MTANDataset(_config(tmp_path), "train")
    write_array(tmp_path / "train" / "image" / "kitchen.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"train/image/kitchen\.npy is not called after a number"):
        MTANDataset(_config(tmp_path), "train")
    (tmp_path / "train" / "image" / "kitchen.npy").unlink()
    (tmp_path / "train" / "image" / "0.npy").unlink()
    (tmp_path / "train" / "image" / "._0.npy").write_bytes(b"a Mac was here")
    with pytest.raises(DataError, match=r"train/image holds 0 frames"):
        MTANDataset(_config(tmp_path), "train")
