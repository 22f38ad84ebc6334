"""Frames that cannot be read: named, with what was expected; or left out, the same ones with and without the cache."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.frame_check import parts_of
from datasets.loaders import build_dataset, eval_loader, train_loader
from settings.config import ExperimentConfig
from tests.configs import make_config
from tests.datasets.cached import assert_within_rounding, frames_of, nyu_config, part_folders, write_frames
from tests.datasets.frames import write_celeba, write_nyu
from tests.datasets.mtan_frames import write_mtan
from utils.console import user_message
from utils.errors import DataError

WHERE = ("cache", "no cache")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Frames a0 .. a6, b0 .. b2, c0, c1."""
    write_frames(tmp_path / "nyu")
    return tmp_path / "nyu"


def _config(root: Path, where: str, **values: object) -> ExperimentConfig:
    return nyu_config(root, cache=root.parent / "kept" if where == "cache" else False, **values)


def _cut(path: Path) -> None:
    os.truncate(path, int(0.6 * path.stat().st_size))


def _array(array: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.save(path, array)


def _picture(array: np.ndarray) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(array).save(path)


LABELS = np.ones((24, 32), np.uint8)

BAD: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "truncated image": ("images/a3.jpg", _cut, r"cannot be read as an image \(.*truncated"),
    "truncated array": ("depth/a3.npy", _cut, r"cannot be read \("),
    "label out of range": ("segmentation/a3.png", _picture(41 * LABELS), r"has the label 41; expected 0 .*1\.\.40"),
    "target of another size": ("edge/a3.npy", _array(np.ones((24, 31))), r"\(24, 31\) .*but .*is \(24, 32\); they must be"),
}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_frame_is_an_error_that_names_the_file_and_what_was_expected(kind: str, where: str, root: Path) -> None:
    file, spoil, said = BAD[kind]
    spoil(root / file)
    with pytest.raises(DataError, match=rf"^{root / file} .*{said}") as caught:
        list(eval_loader(_config(root, where), "train"))
    assert "\n" not in str(caught.value)
    assert not part_folders(root.parent / "kept")
    assert frames_of(eval_loader(_config(root, where), "val")) == ["b0", "b1", "b2"]


@pytest.mark.parametrize(("kind", "workers"), [*((kind, 0) for kind in BAD), ("truncated image", 2)])
def test_skip_leaves_it_out_with_and_without_the_cache(
    kind: str, workers: int, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, spoil, _ = BAD[kind]
    spoil(root / file)
    kept, read = (_config(root, where, on_bad_sample="skip", num_workers=workers) for where in WHERE)
    cached, plain = build_dataset(kept, "train"), build_dataset(read, "train")
    assert cached.names == plain.names == ["a0", "a1", "a2", "a4", "a5", "a6"]
    assert cached.skipped == plain.skipped
    assert list(cached.skipped) == ["a3"]
    assert cached.skipped["a3"].startswith(str(root / file))
    counted = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [text.split(": /")[0] for text in counted] == ["1 of train frames are skipped (on_bad_sample: skip): a3"] * 2
    for index in range(6):
        assert_within_rounding(cached.load(index), plain.load(index))
    assert frames_of(eval_loader(kept, "train")) == frames_of(eval_loader(read, "train")) == cached.names


def test_the_order_of_an_epoch_is_that_of_the_frames_that_are_left(root: Path) -> None:
    _cut(root / "images/a3.jpg")
    orders = [frames_of(train_loader(_config(root, where, on_bad_sample="skip"), 5)) for where in WHERE]
    assert orders[0] == orders[1]
    assert len(orders[0]) == 6
    assert "a3" not in orders[0]


@pytest.mark.parametrize("where", WHERE)
def test_several_bad_frames_are_all_listed(where: str, root: Path) -> None:
    for file, spoil, _ in (BAD["label out of range"], BAD["truncated array"]):
        spoil(root / file)
    _cut(root / "images/a0.jpg")
    np.save(root / "normals/a6.npy", np.ones(3))
    dataset = build_dataset(_config(root, where, on_bad_sample="skip"), "train")
    assert dataset.names == ["a1", "a2", "a4", "a5"]
    assert set(dataset.skipped) == {"a0", "a3", "a6"}
    assert "a0.jpg" in dataset.skipped["a0"]
    assert "a3.png" in dataset.skipped["a3"], "the first problem of a frame is the one that is told"
    assert "normals/a6.npy" in dataset.skipped["a6"]


@pytest.mark.parametrize("where", WHERE)
def test_a_bad_target_of_another_task_does_no_harm(where: str, root: Path) -> None:
    BAD["label out of range"][1](root / BAD["label out of range"][0])
    for policy in ("skip", "error"):
        dataset = build_dataset(_config(root, where, on_bad_sample=policy, task_list=["depth_euclidean"]), "train")
        assert len(dataset) == 7
        assert not dataset.skipped
    assert build_dataset(_config(root, where, on_bad_sample="skip"), "train").names == ["a0", "a1", "a2", "a4", "a5", "a6"]


@pytest.mark.parametrize("where", WHERE)
def test_a_split_without_a_readable_frame_is_an_error(where: str, root: Path) -> None:
    for name in ("b0", "b1", "b2"):
        _cut(root / f"images/{name}.jpg")
    for _ in range(2):
        with pytest.raises(DataError, match=r"^no frame of the val split can be read; the first problem: .*b0\.jpg"):
            build_dataset(_config(root, where, on_bad_sample="skip"), "val")


@pytest.mark.parametrize("where", WHERE)
def test_too_few_frames_may_be_left_for_a_batch(where: str, root: Path) -> None:
    for number in range(5):
        _cut(root / f"images/a{number}.jpg")
    config = _config(root, where, on_bad_sample="skip")
    with pytest.raises(DataError, match=r"^train_batch_size: 3 is more than the 2 frames of the training split \(5 .*skipped"):
        train_loader(config, 0)
    assert len(train_loader(config.with_values(train_batch_size=2), 0)) == 1


def test_a_cache_that_was_built_with_skip_is_no_way_around_error(root: Path) -> None:
    _cut(root / "images/a3.jpg")
    _cut(root / "images/a5.jpg")
    build_dataset(_config(root, "cache", on_bad_sample="skip"), "train")
    parts = part_folders(root.parent / "kept")
    with pytest.raises(DataError, match=r"a3\.jpg cannot be read .*\(2 frames of train cannot be read\)$"):
        build_dataset(_config(root, "cache", on_bad_sample="error"), "train")
    assert part_folders(root.parent / "kept") == parts


@pytest.mark.parametrize("where", WHERE)
def test_a_frame_that_is_mended_is_back(where: str, root: Path) -> None:
    config = _config(root, where, on_bad_sample="skip")
    shutil.copytree(root, root.parent / "whole")
    for file, spoil, _ in BAD.values():
        spoil(root / file)
        assert len(build_dataset(config, "train")) == 6
        shutil.copyfile(root.parent / "whole" / file, root / file)
        os.utime(root / file)
        assert len(build_dataset(config, "train")) == 7
        assert not build_dataset(config.with_values(on_bad_sample="error"), "train").skipped


def test_other_data_sets_do_the_same(tmp_path: Path) -> None:
    write_celeba(tmp_path / "faces")
    np.save(tmp_path / "faces/CelebA-HQ-segmask/00001_mask.npy", np.full((16, 16), 7, np.uint8))
    write_mtan(tmp_path / "mtan", {"train": 4, "val": 3}, (18, 22))
    _cut(tmp_path / "mtan/val/normal/1.npy")
    configs = {
        "train": make_config(dataset_name="celebA", data_dir_celebA=tmp_path / "faces"),
        "test": make_config(dataset_name="NYU_MTAN", data_dir_NYU_MTAN=tmp_path / "mtan"),
    }
    for split, config in configs.items():
        plain = build_dataset(config.with_values(on_bad_sample="skip"), split)
        cached = build_dataset(config.with_values(on_bad_sample="skip", cache=str(tmp_path / "kept")), split)
        assert plain.names == cached.names
        assert plain.skipped == cached.skipped
        assert list(plain.skipped) == (["1"] if split == "train" else ["val/1"])
        with pytest.raises(DataError, match=r"00001_mask\.npy has the label 7|val/normal/1\.npy cannot be read"):
            build_dataset(config.with_values(cache=str(tmp_path / "kept")), split)


def test_parts_are_the_image_and_the_tasks_with_files(root: Path, tmp_path: Path) -> None:
    tasks = ["depth_euclidean", "segmentsemantic"]
    assert parts_of(build_dataset(nyu_config(root, task_list=tasks), "val")) == [None, *tasks]
    write_celeba(tmp_path / "faces")
    faces = build_dataset(make_config(dataset_name="celebA", data_dir_celebA=tmp_path / "faces"), "val")
    assert parts_of(faces) == [None, "segmentsemantic"]


def test_what_a_loading_process_says_about_a_bad_frame_is_one_sentence(tmp_path: Path) -> None:
    write_nyu(tmp_path, size=(24, 32))
    _cut(tmp_path / "images/b1.jpg")
    with pytest.raises(DataError) as caught:
        list(eval_loader(nyu_config(tmp_path, num_workers=1), "val"))
    assert user_message(caught.value).startswith(f"{tmp_path / 'images/b1.jpg'} cannot be read as an image")
    assert "\n" not in user_message(caught.value)
