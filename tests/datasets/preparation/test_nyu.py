"""The command nyu: from the official files to a set that the loader reads, also after being killed half-way."""

import argparse
import json
import logging
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.JpegImagePlugin import get_sampling

from datasets.nyu import NYUDataset
from datasets.preparation import nyu
from tests.configs import make_config
from tests.datasets.frames import DENSE, NYUD_MT
from tests.datasets.preparation.official_frames import (
    COLUMNS,
    HOLE,
    ROWS,
    SCENES,
    TEST,
    TRAIN,
    classes,
    frame,
    normal_of,
    write_official,
    write_splits,
)
from utils.errors import DataError

ROOT = Path(__file__).parents[3]


def parse(*arguments: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    nyu.add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


def prepare(source: Path, out: Path, *more: Any) -> int:
    return nyu.run(parse("--mat", source / "nyu.mat", "--splits", source / "splits.mat", "--out", out, *more))


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both official files, of four frames."""
    folder = tmp_path_factory.mktemp("source")
    write_official(folder / "nyu.mat")
    write_splits(folder / "splits.mat")
    return folder


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole set, made in one go."""
    out = tmp_path_factory.mktemp("made") / "NYUD_MT"
    assert prepare(source, out) == 0
    return out


# What is written


def test_every_frame_has_its_files_and_nothing_else_is_there(made: Path) -> None:
    frames = {f"{folder}/{number:04d}.{kind}" for folder, kind in NYUD_MT.items() for number in (*TRAIN, *TEST)}
    lists = {f"gt_sets/{split}.txt" for split in ("train", "val", "test")}
    assert set(content(made)) == frames | lists | {"manifest.json"}


@pytest.mark.parametrize("number", [1, 4])
def test_a_frame_is_the_crop_of_the_official_one(number: int, made: Path) -> None:
    whole, name = frame(number), f"{number:04d}"
    with Image.open(made / "images" / f"{name}.jpg") as image:
        assert get_sampling(image) == 0  # 4:4:4
        difference = np.array(image).astype(int) - whole["images"][ROWS, COLUMNS]
    assert np.abs(difference).max() <= 4
    labels = classes(whole["labels"])[ROWS, COLUMNS]
    with Image.open(made / "segmentation" / f"{name}.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.array(image), labels)
    depth = np.load(made / "depth" / f"{name}.npy")
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(depth, whole["depths"][ROWS, COLUMNS])
    edge = np.load(made / "edge" / f"{name}.npy")
    assert edge.dtype == np.float32
    assert edge[300 + number - 45 - 1, 0] == 1  # the last row above the floor
    assert edge[300 + number - 45, 0] == 0
    assert set(np.unique(edge)) == {0, 1}


@pytest.mark.parametrize("number", [1, 4])
def test_normals_are_those_of_the_plane_where_depth_was_measured(number: int, made: Path) -> None:
    """The plane is seen by the lens of the whole frame: a forgotten offset of the crop would tilt it."""
    normals = np.load(made / "normals" / f"{number:04d}.npy")
    assert normals.shape == (425, 560, 3)
    hole = np.zeros((480, 640), bool)
    hole[HOLE] = True
    hole = hole[ROWS, COLUMNS]
    assert not normals[hole].any()
    expected = np.broadcast_to(normal_of(number), normals.shape)
    np.testing.assert_allclose(normals[~hole].astype(float), expected[~hole], atol=6e-4)


def test_raw_depth_keeps_its_holes(source: Path, tmp_path: Path) -> None:
    write_splits(tmp_path / "splits.mat", [1, 2, 3], [4])
    (tmp_path / "nyu.mat").symlink_to(source / "nyu.mat")
    assert prepare(tmp_path, tmp_path / "out", "--depth", "raw", "--normals_window", 5) == 0
    raw = frame(4)["rawDepths"][ROWS, COLUMNS]
    np.testing.assert_array_equal(np.load(tmp_path / "out/depth/0004.npy"), raw)
    normals = np.load(tmp_path / "out/normals/0004.npy")
    assert (normals.any(axis=-1) == (raw > 0)).all()
    facts = json.loads((tmp_path / "out/manifest.json").read_text())
    assert facts["normals"]["window"] == 5
    assert facts["depth"].startswith("rawDepths")


def test_the_loader_reads_the_set(made: Path) -> None:
    config = make_config(data_dir_NYU=made, task_list=list(DENSE), input_shape=[425, 560], depth_target="metric")
    for split, numbers in (("train", None), ("val", None), ("test", TEST)):
        dataset = NYUDataset(config, split)
        names = (made / "gt_sets" / f"{split}.txt").read_text().split()
        assert dataset.names == names == sorted(names)
        if numbers is not None:
            assert names == [f"{number:04d}" for number in numbers]
    sample, whole = NYUDataset(config, "test")[0], frame(4)
    labels = torch.from_numpy(classes(whole["labels"])[ROWS, COLUMNS].astype(np.int64))
    assert torch.equal(sample["targets"]["segmentsemantic"], torch.where(labels == 0, 255, labels - 1))
    assert torch.equal(sample["targets"]["depth_euclidean"][0], torch.from_numpy(whole["depths"][ROWS, COLUMNS].copy()))
    assert torch.equal(sample["masks"]["surface_normal"][0], torch.from_numpy(whole["rawDepths"][ROWS, COLUMNS] > 0))
    towards = sample["targets"]["surface_normal"][:, 0, 0]
    torch.testing.assert_close(towards, torch.from_numpy(normal_of(4)).float(), atol=6e-4, rtol=0)
    assert sample["masks"]["edge_texture"].all()


def test_the_manifest_says_where_everything_comes_from(made: Path, source: Path) -> None:
    facts = json.loads((made / "manifest.json").read_text())
    assert facts["recipe"]["command"] == "nyu"
    assert facts["recipe"]["sources"]["mat"]["bytes"] == (source / "nyu.mat").stat().st_size
    assert len(facts["recipe"]["sources"]["splits"]["sha256"]) == 64
    assert facts["counts"] == {"train": 2, "val": 1, "test": 1}
    assert facts["validation"]["cut"].startswith("whole scenes")
    assert facts["validation"]["scenes_in_train_and_test"] == []
    assert facts["normals"]["window"] == 31
    assert facts["normals"]["camera of the cropped frame"] == {"fx": 518.858, "fy": 519.47, "cx": 285.582, "cy": 208.736}
    assert "Silberman" in facts["licence"]
    assert "Gupta" in facts["classes"]
    assert set(facts["files"]) == {*NYUD_MT, "gt_sets"}


def test_a_scene_of_training_and_test_is_warned_of(source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_splits(tmp_path / "splits.mat", [1, 3, 4], [2])
    (tmp_path / "nyu.mat").symlink_to(source / "nyu.mat")
    with caplog.at_level(logging.WARNING):
        prepare(tmp_path, tmp_path / "out", "--normals_window", 3)
    assert f"the scene {SCENES[0]} has frames for training and for test" in caplog.text
    assert json.loads((tmp_path / "out/manifest.json").read_text())["validation"]["scenes_in_train_and_test"] == [SCENES[0]]


# Again


def test_the_same_command_again_leaves_the_set_alone(source: Path, made: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file()}
    with caplog.at_level(logging.INFO):
        assert prepare(source, made, "--workers", 1) == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert "is there already: 2 frames in train" in caplog.text


def test_files_that_were_deleted_are_made_again(source: Path, made: Path, tmp_path: Path) -> None:
    whole = content(made)
    shutil.copytree(made, tmp_path / "out")
    for name in ("edge/0002.npy", "gt_sets/val.txt"):
        (tmp_path / "out" / name).unlink()
    shutil.rmtree(tmp_path / "out/normals")
    prepare(source, tmp_path / "out")
    assert content(tmp_path / "out") == whole


STOP = """
import argparse, os, signal, sys
from datasets.preparation import nyu
replace, calls = os.replace, []
def stopping(*paths):
    calls.append(paths)
    if len(calls) == 12:
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    replace(*paths)
os.replace = stopping
parser = argparse.ArgumentParser()
nyu.add_arguments(parser)
try:
    nyu.run(parser.parse_args(sys.argv[2:]))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(("name", "code"), [("SIGKILL", -signal.SIGKILL), ("SIGINT", 130)])
def test_the_same_command_goes_on_after_an_interruption(name: str, code: int, source: Path, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "NYUD_MT"
    options = ("--mat", source / "nyu.mat", "--splits", source / "splits.mat", "--out", out, "--workers", 1)
    done = subprocess.run([sys.executable, "-c", STOP, name, *map(str, options)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert done.returncode == code, done.stderr
    whole, half = content(made), content(out)
    finished = {path: text for path, text in half.items() if path in whole}
    assert 10 <= len(finished) < 20
    assert finished == {path: whole[path] for path in finished}
    assert any(path.endswith(".unfinished") for path in half) == (name == "SIGKILL")
    assert "manifest.json" not in half
    times = {path: (out / path).stat().st_mtime_ns for path in finished if "0001" in path or "0002" in path}
    assert len(times) == 10
    assert nyu.run(parse(*options)) == 0
    assert content(out) == whole
    assert times == {path: (out / path).stat().st_mtime_ns for path in times}


# Normals from a folder


@pytest.mark.parametrize("away", [1, 4])
def test_normals_are_taken_from_a_folder(away: int, source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "normals"
    folder.mkdir()
    normal = np.array([0.6, 0.0, -0.8])
    values = np.zeros((480, 640, 3), np.float32) + normal
    values[100, 200] = 0
    for number in range(1, 5):
        np.save(folder / f"{number}.npy", values * [1, 1, -1 if number <= away else 1])
    assert prepare(source, tmp_path / "out", "--normals", folder) == 0
    written = np.load(tmp_path / "out/normals/0001.npy")
    assert not written[55, 160].any()
    assert written.any(axis=-1).sum() == 425 * 560 - 1
    np.testing.assert_allclose(written[0, 0].astype(float), normal * [1, 1, -1], atol=6e-4)
    facts = json.loads((tmp_path / "out/manifest.json").read_text())
    assert facts["normals"]["from"] == "files"
    assert facts["normals"]["folder"] == "normals"
    assert facts["normals"]["share pointing at the camera"] == (4 - away) / 4
    assert ("only 0 % of the normals point at the camera" in caplog.text) == (away == 4)


# Refusals


def test_missing_files_are_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--mat .*nothing\.mat: there is no such file"):
        nyu.run(parse("--mat", tmp_path / "nothing.mat", "--splits", source / "splits.mat", "--out", tmp_path / "out"))
    with pytest.raises(DataError, match=r"--splits .*source\d*: there is no such file"):
        nyu.run(parse("--mat", source / "nyu.mat", "--splits", source, "--out", tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_wrong_sources_are_refused_before_anything_is_written(source: Path, tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    (sources / "normals").mkdir(parents=True)
    (sources / "nyu.mat").symlink_to(source / "nyu.mat")
    write_splits(sources / "splits.mat", [1, 2, 3], [5])
    with pytest.raises(DataError, match="testNdxs has the frame 5; expected 1 to 4"):
        prepare(sources, tmp_path / "out")
    with pytest.raises(DataError, match=r"normals/0001\.png is missing, needed for --normals"):
        prepare(source, tmp_path / "out", "--normals", sources / "normals")
    for number in range(1, 5):
        np.save(sources / "normals" / f"{number}.npy", np.full((425 + number // 4, 560, 3), 3**-0.5, np.float32))
    with pytest.raises(DataError, match=r"4\.npy has the shape \(426, 560, 3\)"):
        prepare(source, tmp_path / "out", "--normals", sources / "normals")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--val_fraction", "0"), ("--val_fraction", "1"), ("--val_fraction", "nan"), ("--val_fraction", "x")]
    + [("--normals_window", "4"), ("--normals_window", "1"), ("--workers", "0"), ("--depth", "blurred")],
)
def test_options_out_of_range_are_refused(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        parse("--mat", "a", "--splits", "b", option, value)
    assert leaving.value.code == 2
    assert option in capsys.readouterr().err
