"""Own data: every kind of target is read as its task says, and what is missing is missing for its task alone."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datasets import build_dataset
from datasets.folders import draw_splits, own_splits
from datasets.sample import Sample
from settings.own_tasks import SplitFractions
from tests.equality import equal
from tests.own_data import TASKS, own_config
from utils.errors import DataError

SIDE = 16


def write_own(root: Path, frames: tuple[str, ...] = ("a/0", "a/1", "b/0", "b/1")) -> Path:
    """Images of one size; each frame has another grey."""
    for number, frame in enumerate(frames):
        (root / "images" / frame).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIDE, SIDE), (number, number, number)).save(root / f"images/{frame}.png")
    return root


def put(path: Path, array: np.ndarray) -> None:
    """An array as a file of the type that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)


def first(root: Path, task: dict[str, Any], **values: Any) -> Sample:
    """The first training frame of a set with one task."""
    lists = {split: f"{split}.txt" for split in ("train", "val", "test")}
    for split, frames in {"train": "a/0\na/1\n", "val": "b/0\n", "test": "b/1\n"}.items():
        (root / f"{split}.txt").write_text(frames)
    config = own_config(root, root, tasks={"it": task}, input_shape=SIDE, split_files=lists, **values)
    return build_dataset(config, "train")[0]


def test_every_task_of_the_fields_is_what_was_drawn(fields: Path, tmp_path: Path) -> None:
    frames = build_dataset(own_config(fields, tmp_path), "train")
    assert frames.names == [f"field0/{number:04d}" for number in range(8)]
    sample = frames[1]
    labels = np.asarray(Image.open(fields / "crop/field0/0001.png"))
    assert sample["targets"]["crop"].numpy().tolist() == labels.tolist()
    assert sample["masks"]["crop"].numpy().tolist() == (labels != 255).tolist()
    height = np.asarray(Image.open(fields / "height/field0/0001.png")).astype(float)
    np.testing.assert_allclose(sample["targets"]["height"][0].numpy(), height / 1000, rtol=1e-6)
    assert sample["masks"]["height"][0].numpy().tolist() == (height > 0).tolist()
    rows = [line.split(",") for line in (fields / "labels.csv").read_text().splitlines()]
    _, health, wilted = rows[2]
    assert int(sample["targets"]["health"]) == ["good", "poor", "dead"].index(health)
    assert float(sample["targets"]["wilted"]) == (wilted == "yes")


def test_a_frame_counts_for_the_tasks_that_it_has_targets_of(fields: Path, tmp_path: Path) -> None:
    """Frame 0 has no height, no health and no wilted; none is dropped, with the cache or without."""
    for cache in (False, True):
        frames = build_dataset(own_config(fields, tmp_path, cache=str(tmp_path / "cache") if cache else False), "train")
        assert len(frames) == 8
        sample = frames[0]
        labelled = {task for task, mask in sample["masks"].items() if bool(mask.any())}
        assert labelled == {"crop", "normals"}
        assert float(sample["targets"]["height"].abs().sum()) == 0
        assert sample["targets"]["health"].dtype == torch.int64


def test_the_cache_keeps_numbers_of_any_range_as_they_are(tmp_path: Path) -> None:
    root = write_own(tmp_path)
    values = np.random.default_rng(0).normal(-1e4, 1e6, (SIDE, SIDE, 2)).astype(np.float32)
    values[3, 4, 1] = np.nan
    task = {"kind": "regression", "folder": "it", "channels": 2, "invalid": ["nan"], "scale": 3, "offset": -7}
    put(root / "it/a/0.npy", values)
    read, kept = first(root, task), first(root, task, cache=True)
    assert equal(read, kept)
    expected = (3 * values.astype(np.float64) - 7).transpose(2, 0, 1)
    mask = read["masks"]["it"][0].numpy()
    assert not mask[3, 4] and mask.sum() == SIDE**2 - 1
    np.testing.assert_allclose(read["targets"]["it"].numpy()[:, mask], expected[:, mask], rtol=1e-6)
    assert read["targets"]["it"].min() < -1e5, "negative numbers stay"


@pytest.mark.parametrize(
    ("task", "changed"),
    [
        ({"kind": "regression", "scale": 2}, {"scale": 3}),
        ({"kind": "regression", "offset": 1}, {"offset": 2}),
        ({"kind": "regression", "invalid": [1]}, {"invalid": [2]}),
        ({"kind": "segmentation", "classes": ["a", "b"]}, {"classes": {1: "b", 0: "a"}}),
        ({"kind": "segmentation", "classes": ["a", "b", "c"], "ignore": [9]}, {"classes": {2: "c", 1: "b"}, "ignore": [0]}),
        (
            {"kind": "segmentation", "classes": {2: "c", 1: "b"}, "ignore": [0]},
            {"ignore": "others", "classes": {0: "a", 2: "c"}},
        ),
    ],
)
def test_other_meanings_of_the_same_files_have_parts_of_their_own_in_the_cache(
    task: dict[str, Any], changed: dict[str, Any], tmp_path: Path
) -> None:
    root = write_own(tmp_path)
    put(root / "it/a/0.png", np.random.default_rng(0).integers(0, 2, (SIDE, SIDE)).astype(np.uint8))
    for options in (task, {**task, **changed}):
        kept, read = (first(root, {**options, "folder": "it"}, cache=cache) for cache in (True, False))
        assert equal(kept["targets"], read["targets"])
        assert equal(kept["masks"], read["masks"])


MAPPED = {"kind": "segmentation", "folder": "it", "classes": {7: "road", 300: "car", 11: "tree"}}
GREY = np.full((SIDE, SIDE), 7, np.uint16)


@pytest.mark.parametrize(
    ("task", "name", "array", "value"),
    [
        (MAPPED, "it/a/0.png", np.full((SIDE, SIDE), 300, np.uint16), 2),
        (MAPPED, "it/a/0.tif", GREY, 0),
        ({**MAPPED, "ignore": [-1, 0]}, "it/a/0.npy", np.full((SIDE, SIDE), -1), 255),
        ({**MAPPED, "ignore": "others"}, "it/a/0.png", np.full((SIDE, SIDE), 99, np.uint8), 255),
        ({**MAPPED, "ending": "_ids.png"}, "it/a/0_ids.png", np.full((SIDE, SIDE), 11, np.uint8), 1),
        ({"kind": "depth", "folder": "it", "scale": 0.001, "range": 80}, "it/a/0.png", 9000 * GREY, 63.0),
        ({"kind": "depth", "folder": "it", "range": 80}, "it/a/0.npy", np.full((SIDE, SIDE), 70.0), 70.0),
        ({"kind": "edges", "folder": "it"}, "it/a/0.png", np.full((SIDE, SIDE), 51, np.uint8), 0.2),
    ],
)
def test_numbers_in_files_mean_what_the_task_says(
    task: dict[str, Any], name: str, array: np.ndarray, value: float, tmp_path: Path
) -> None:
    root = write_own(tmp_path)
    put(root / name, array)
    target = first(root, task, depth_target="metric")["targets"]["it"]
    assert float(target.flatten()[0]) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    ("task", "array", "said"),
    [
        (MAPPED, np.full((SIDE, SIDE), 8, np.uint8), r"has the label 8; expected 255 \(unlabelled\) or 7, 11, 300"),
        ({"kind": "regression", "folder": "it"}, np.full((SIDE, SIDE), np.nan), r"not finite \(nan\); .* invalid: \[nan\]"),
        ({"kind": "regression", "folder": "it"}, np.zeros((SIDE, SIDE, 2)), r"expected \(height, width\)"),
        ({"kind": "regression", "folder": "it", "channels": 3}, np.zeros((SIDE, SIDE, 2)), r"expected \(height, width, 3\)"),
        ({"kind": "regression", "folder": "it"}, np.zeros((SIDE, 2 * SIDE)), r"but .*images/a/0.png is \(16, 16\)"),
        ({"kind": "depth", "folder": "it"}, np.full((SIDE, SIDE), 70.0), r"has the depth 70; expected metres, at most 10"),
        ({"kind": "depth", "folder": "it"}, np.full((SIDE, SIDE), 7, np.int16), r"type int16; expected floats in metres"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_its_name(
    task: dict[str, Any], array: np.ndarray, said: str, tmp_path: Path
) -> None:
    root = write_own(tmp_path)
    put(root / "it/a/0.npy", array)
    with pytest.raises(DataError, match=rf"it/a/0.npy.*{said}"):
        first(root, task)


HEALTH = {"kind": "classification", "file": "labels.csv", "column": "health", "classes": ["good", "poor"]}
NUMBER = {"kind": "regression", "file": "labels.csv", "column": "weight", "unit": "kg", "scale": 2, "invalid": [-9]}
ATTRIBUTE = {"kind": "attribute", "file": "labels.csv", "column": "wilted"}


@pytest.mark.parametrize(
    ("task", "rows", "value"),
    [
        (HEALTH, "id,health\na/0,poor\na/1,\n", 1),
        (HEALTH, "id,x,health\nimages/a/9.png,1,bad\na/0.png,2, poor \n", 1),
        (NUMBER, "id,weight\na/0,-1.5\n", -3.0),
        (NUMBER, "id,weight\na/0,-9\na/1,1\n", None),
        (ATTRIBUTE, "id,wilted\na/0,Yes\n", 1.0),
        (ATTRIBUTE, "\ufeffid,wilted\na/0,0\n", 0.0),
        (ATTRIBUTE, "id,wilted\na/0,\na/1,1\n", None),
    ],
)
def test_a_column_gives_a_number_per_frame_and_an_empty_cell_none(
    task: dict[str, Any], rows: str, value: float | None, tmp_path: Path
) -> None:
    root = write_own(tmp_path)
    (root / "labels.csv").write_text(rows, encoding="utf-8")
    sample = first(root, task)
    assert bool(sample["masks"]["it"]) == (value is not None)
    assert float(sample["targets"]["it"]) == (value or 0.0)


@pytest.mark.parametrize(
    ("task", "rows", "said"),
    [
        (HEALTH, "id,health\na/0,Poor\n", r"labels.csv:2 has 'Poor' in the column health; expected one of good, poor"),
        (
            HEALTH,
            "id,state\na/0,poor\n",
            r"has no column 'health' behind the first, .*; it has 'id', 'state'",
        ),
        (HEALTH, "id;health\na/0;poor\n", r"labels.csv: its cells are separated by ';'; expected commas"),
        (HEALTH, "id,health\na/0,poor\na/0,good\n", r"labels.csv:3 is of a/0, as line 2 is; expected one line per frame"),
        (HEALTH, "id,health\na/0,\n", r"none of the 2 training frames \(such as a/0\) has a health in labels.csv"),
        (NUMBER, "id,weight\na/0,heavy\n", r"has 'heavy' in the column weight; expected a number"),
        (NUMBER, "id,weight\na/0,nan\n", r"expected a finite number .*invalid: \[nan\]"),
        (ATTRIBUTE, "id,wilted\na/0,-1\n", r"has '-1' in the column wilted; expected 0 or 1, yes or no"),
    ],
)
def test_a_column_that_cannot_be_meant_is_refused_with_its_line(
    task: dict[str, Any], rows: str, said: str, tmp_path: Path
) -> None:
    root = write_own(tmp_path)
    (root / "labels.csv").write_text(rows, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        first(root, task)


def test_a_folder_without_a_file_of_any_training_frame_is_refused(tmp_path: Path) -> None:
    root = write_own(tmp_path)
    (root / "it").mkdir()
    with pytest.raises(DataError, match=r"tasks.it: none of the 2 training frames \(such as a/0\) has a file in .*it"):
        first(root, {"kind": "regression", "folder": "it"})
    (root / "it").rmdir()
    with pytest.raises(DataError, match="there is no such folder, needed for task it"):
        first(root, {"kind": "regression", "folder": "it"})
    put(root / "it/a/0.npy", np.zeros((SIDE, SIDE)))
    put(root / "it/a/0.png", np.zeros((SIDE, SIDE), np.uint8))
    with pytest.raises(DataError, match=r"it/a/0.png is there as well as 0.npy; expected one of them"):
        first(root, {"kind": "regression", "folder": "it"})


def test_a_list_may_name_images_and_its_faults_are_told(tmp_path: Path) -> None:
    root = write_own(tmp_path)
    put(root / "it/a/0.npy", np.zeros((SIDE, SIDE)))
    config = own_config(root, root, tasks={"it": {"kind": "regression", "folder": "it"}})
    for split, lines in {"train": "images/a/0.png\n./a/1\n\n", "val": "b/0\n", "test": "b/1.PNG\n"}.items():
        (root / f"{split}.txt").write_text(lines)
    assert own_splits(config) == {"train": ["a/0", "a/1"], "val": ["b/0"], "test": ["b/1"]}
    (root / "test.txt").write_text("a/0\n")
    with pytest.raises(DataError, match="names a/0 for test, which train has too"):
        own_splits(config)
    (root / "test.txt").write_text("../secret\n")
    with pytest.raises(DataError, match=r"test.txt:1 is '../secret'; expected the name of one frame"):
        own_splits(config)
    (root / "test.txt").unlink()
    with pytest.raises(DataError, match=r"split_files.test: there is no file .*test.txt"):
        own_splits(config)
    (root / "test.txt").write_text("z/9\n")
    with pytest.raises(DataError, match=r"images/z/9 .* is missing, needed for the images; 1 of 1 frames"):
        build_dataset(config, "test")


@pytest.mark.parametrize("by_folder", [False, True])
def test_drawn_splits_have_their_shares_and_never_change(by_folder: bool) -> None:
    frames = [f"place{number // 10}/{number}" for number in range(200)]
    fractions = SplitFractions(train=0.6, val=0.2, test=0.2, by_folder=by_folder)
    names = draw_splits(sorted(frames), fractions)
    assert {role: len(members) for role, members in names.items()} == {"train": 120, "val": 40, "test": 40}
    assert sorted(frame for members in names.values() for frame in members) == sorted(frames)
    assert names == draw_splits(sorted(frames), fractions)
    assert names != draw_splits(sorted(frames), fractions.model_copy(update={"seed": 1}))
    places = {role: {frame.split("/")[0] for frame in members} for role, members in names.items()}
    assert (not places["train"] & places["test"]) == by_folder


def test_too_few_places_for_three_splits_are_refused(tmp_path: Path) -> None:
    config = own_config(write_own(tmp_path), tmp_path, split_files=None, split_fractions={"by_folder": True})
    with pytest.raises(DataError, match=r"names 0 frames for (val|test)"):
        own_splits(config)
    with pytest.raises(DataError, match=r"there is no image; expected .* or images.folder"):
        own_splits(own_config(tmp_path, tmp_path, split_files=None, split_fractions={}, images={"folder": "photos"}))


def test_a_flip_and_a_zoom_move_numbers_with_their_pixels(tmp_path: Path) -> None:
    """A regression is moved and never changed: it says nothing of nearer or farther."""
    root = write_own(tmp_path)
    put(root / "it/a/0.npy", np.arange(SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE))
    changes = {"hflip": True, "scale_crop": [2.0]}
    whole = first(root, {"kind": "regression", "folder": "it"})["targets"]["it"]
    config = own_config(
        root, root, tasks={"it": {"kind": "regression", "folder": "it"}}, input_shape=SIDE, augmentation=changes
    )
    changed = build_dataset(config, "train", training=True)[(0, 5)]["targets"]["it"]
    assert set(changed.flatten().tolist()) < set(whole.flatten().tolist())
    assert not math.isclose(float(changed.sum()), float(whole.sum()))


def test_the_tasks_of_the_shipped_file_are_all_kinds_of_places() -> None:
    assert {task["kind"] for task in TASKS.values()} == {"segmentation", "regression", "classification", "attribute", "normals"}


def test_a_class_that_a_mark_swallows_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Masks of 0 and 255, whose 255 is unlabelled by default, would be learned perfectly."""
    root = write_own(tmp_path, tuple(f"a/{number}" for number in range(10)))
    for number in range(10):
        put(root / f"it/a/{number}.png", np.where(np.arange(SIDE) < 5, 0, 255)[None].repeat(SIDE, 0).astype(np.uint8))
    task = {"kind": "segmentation", "folder": "it", "classes": ["land", "water"]}
    values = {"split_files": None, "split_fractions": {"train": 0.8, "val": 0.1, "test": 0.1}}
    build_dataset(own_config(root, root, tasks={"it": task}, input_shape=SIDE, **values), "train")
    assert "has no class but land, and the unlabelled 255, nor has any of 8 files" in caplog.text


def test_numbers_that_a_file_type_does_not_have_exactly_are_found_and_others_refused(tmp_path: Path) -> None:
    root = write_own(tmp_path)
    task = {"kind": "regression", "folder": "it", "invalid": [1e20, 0.1]}
    for kind in (np.float32, np.float64):
        put(root / "it/a/0.npy", np.array([[1e20, 0.1, 5.0, 0.0]] * 4, kind).repeat(4, 0).repeat(4, 1))
        sample = first(root, task)
        assert sample["masks"]["it"][0, 0].tolist() == [False] * 8 + [True] * 8
    put(root / "it/a/0.npy", np.full((SIDE, SIDE), 1e300))
    with pytest.raises(DataError, match=r"has the value 1e.300; expected at most 3.4e"):
        first(root, task)


@pytest.mark.parametrize(
    ("name", "save", "said"),
    [
        ("it/a/0.png", {"mode": "L", "bits": 4}, "is a grey image of 4 bits"),
        ("it/a/0.tif", {"save_all": True, "append_images": [Image.new("I", (SIDE, SIDE))]}, "has 2 pages; expected one"),
    ],
)
def test_an_image_whose_numbers_would_change_is_refused(name: str, save: dict[str, Any], said: str, tmp_path: Path) -> None:
    root = write_own(tmp_path)
    (root / name).parent.mkdir(parents=True)
    mode = save.pop("mode", "I")
    Image.new(mode, (SIDE, SIDE), 3).save(root / name, **save)
    with pytest.raises(DataError, match=said):
        first(root, {"kind": "regression", "folder": "it"})


def test_a_link_back_to_its_folder_adds_no_frames(tmp_path: Path) -> None:
    root = write_own(tmp_path)
    (root / "images" / "a" / "again").symlink_to(root / "images", target_is_directory=True)
    config = own_config(root, root, split_files=None, split_fractions={"train": 0.5, "val": 0.25, "test": 0.25})
    assert sum(map(len, own_splits(config).values())) == 4


def test_rows_that_name_no_image_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_own(tmp_path)
    (root / "labels.csv").write_text("id,wilted\na/0,1\n./a/1,0\na/00,1\nimages/b/0.png,\n")
    sample = first(root, ATTRIBUTE)
    assert bool(sample["masks"]["it"])
    assert "1 of 4 rows name no image, and are not used: a/00" in caplog.text
