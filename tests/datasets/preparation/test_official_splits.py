"""Training, validation and test frames: the official split, whole scenes, one sentence for a wrong file."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from datasets.preparation.official_splits import choose_scenes, make_splits, read_splits
from datasets.splits import cut_validation
from tests.datasets.preparation.official_frames import write_splits
from utils.errors import DataError


def test_frames_come_in_rising_order(tmp_path: Path) -> None:
    assert read_splits(write_splits(tmp_path / "splits.mat", [5, 2, 9], [1, 10]), 10) == ([2, 5, 9], [1, 10])


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        ([1, 2, 11], [3], r": trainNdxs has the frame 11; expected 1 to 10"),
        ([1, 2, 3], [0], r": testNdxs has the frame 0; expected 1 to 10"),
        ([1, 2, 3, 4], [4, 3], " names 3, 4 for test, which train has too; expected every frame in one split"),
        ([1, 2], [5], " names 2 frames for train; expected at least 3"),
    ],
)
def test_numbers_that_are_no_split_are_refused(train: list[int], test: list[int], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"^--splits .*splits\.mat{said}"):
        read_splits(write_splits(tmp_path / "splits.mat", train, test), 10)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "splits.mat"
    path.write_text("<html>not found</html>")
    with pytest.raises(DataError, match=r"--splits .*splits\.mat: cannot be read as a MATLAB 5 file"):
        read_splits(path, 10)
    savemat(path, {"train": [1, 2, 3], "other": 1})
    with pytest.raises(DataError, match=r"holds train, other; expected trainNdxs and testNdxs"):
        read_splits(path, 10)
    savemat(path, {"trainNdxs": [1.5, 2, 3], "testNdxs": [4]})
    with pytest.raises(DataError, match=r"trainNdxs must be whole numbers"):
        read_splits(path, 10)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.3, 0.8])
def test_no_choice_of_scenes_is_nearer_to_the_wanted_share(seed: int, fraction: float) -> None:
    rng = np.random.default_rng(seed)
    sizes = {f"scene_{index}": int(rng.integers(1, 9)) for index in range(8)}
    total = sum(sizes.values())
    sums = {sum(choice) for count in range(9) for choice in itertools.combinations(sizes.values(), count)}
    best = min(abs(frames - fraction * total) for frames in sums if 1 <= frames <= total - 2)
    chosen = choose_scenes(sizes, fraction)
    assert len(set(chosen)) == len(chosen)
    assert abs(sum(sizes[scene] for scene in chosen) - fraction * total) == pytest.approx(best)


def test_the_choice_is_the_same_for_any_order_and_mixes_the_scenes() -> None:
    sizes = {f"{kind}_{index:04d}": 3 for kind in ("bathroom", "bedroom", "kitchen", "office") for index in range(20)}
    chosen = choose_scenes(sizes, 0.25)
    assert chosen == choose_scenes(dict(reversed(sizes.items())), 0.25)
    assert len(chosen) == 20
    assert len({scene.split("_")[0] for scene in chosen}) == 4


def test_scenes_are_never_cut_and_the_test_set_is_untouched() -> None:
    rng = np.random.default_rng(0)
    scenes = [f"scene_{index // 3}" for index in range(60)]
    test = sorted(3 * int(scene) + frame for scene in rng.permutation(20)[:6] for frame in (1, 2, 3))
    train = sorted(set(range(1, 61)) - set(test))
    splits = make_splits(train, test, scenes, 0.15)
    frames = splits.frames
    assert frames["test"] == test
    assert sorted(frames["train"] + frames["val"]) == train
    assert len(frames["val"]) == 6
    assert frames["val"] == sorted(frames["val"])
    assert frames["train"] == sorted(frames["train"])
    parts = {split: {scenes[number - 1] for number in numbers} for split, numbers in frames.items()}
    assert not parts["train"] & parts["val"]
    assert splits.shared_scenes == []
    assert splits.how["cut"].startswith("whole scenes")
    assert splits.how["scenes"] == {"train": 12, "val": 2}


def test_a_scene_of_training_and_test_is_named() -> None:
    splits = make_splits([1, 2, 3, 4], [5, 6], ["a", "a", "b", "b", "b", "c"], 0.5)
    assert splits.shared_scenes == ["b"]
    assert splits.how["scenes_in_train_and_test"] == ["b"]


@pytest.mark.parametrize("scenes", [None, ["one room"] * 50])
def test_without_scenes_to_choose_from_runs_of_neighbours_are_cut(scenes: list[str] | None) -> None:
    train = list(range(1, 41))
    splits = make_splits(train, [45], scenes, 0.1)
    names = cut_validation([str(number) for number in train], 0.1)
    assert [splits.frames["train"], splits.frames["val"]] == [[int(name) for name in part] for part in names]
    assert splits.how["cut"].startswith("runs of neighbouring frames")


@pytest.mark.parametrize("scenes", [None, ["a", "b", "c"], ["a", "a", "b"], ["a", "a", "a"]])
def test_two_frames_are_left_for_training(scenes: list[str] | None) -> None:
    frames = make_splits([1, 2, 3], [4], None if scenes is None else [*scenes, "z"], 0.9).frames
    assert len(frames["train"]) == 2
    assert len(frames["val"]) == 1
