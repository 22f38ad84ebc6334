"""Every kind of damage to a set in MTAN's layout is a row; whatever the loaders refuse is among them."""

from pathlib import Path

import numpy as np
import pytest

from datasets.mtan import MTANDataset
from datasets.preparation.verify import survey_folder
from tests.configs import make_config
from tests.datasets.preparation.verification import damage as by
from tests.datasets.preparation.verification.damage import Damage, problems_in
from utils.errors import DataError


def write_mtan(root: Path) -> None:
    """Three frames for training and two for testing, 16 x 32."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2)):
        for number in range(count):
            normals = rng.normal(size=(16, 32, 3))
            arrays = {
                "image": rng.uniform(size=(16, 32, 3)),
                "label": rng.integers(-1, 13, (16, 32)).astype(np.float32),
                "depth": rng.uniform(0, 9, (16, 32, 1)).astype(np.float32),
                "normal": normals / np.linalg.norm(normals, axis=-1, keepdims=True),
            }
            for kind, values in arrays.items():
                (root / split / kind).mkdir(parents=True, exist_ok=True)
                np.save(root / split / kind / f"{number}.npy", values)


def load_all(root: Path) -> None:
    """Read every frame as a training would."""
    config = make_config(dataset_name="NYU_MTAN", data_dir_NYU_MTAN=root)
    for split in ("train", "val", "test"):
        dataset = MTANDataset(config, split)
        for name in dataset.names:
            dataset.read(name)


def test_nothing_is_wrong_with_a_whole_set(tmp_path: Path) -> None:
    write_mtan(tmp_path)
    load_all(tmp_path)
    assert problems_in(tmp_path) == []
    survey = survey_folder(tmp_path)
    assert len(survey.files) == 20
    assert survey.counts == {"train": 3, "val": 2}
    assert survey.targets == ["label (.npy)", "depth (.npy)", "normal (.npy)"]


def empty_folder(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


FILES: list[tuple[str, Damage, str, str, str, bool]] = [
    # file, damage, the row's path, problem, expected, do the loaders refuse it
    ("val/image/1.npy", by.cut(0.5), "", "cannot be read", "floats in [0, 1] or uint8", True),
    ("val/image/1.npy", by.put(3, 0, 0, 0), "", "has values from", "floats in [0, 1] or uint8", True),
    ("val/image/1.npy", Path.unlink, "", "is missing", "a file, as there is val/label/1.npy", False),
    ("val/label/1.npy", Path.unlink, "", "is missing", "a file, as there is val/image/1.npy", True),
    ("train/label/0.npy", by.put(13, 3, 4), "", "has the label 13", "-1 (unlabelled) or 0..12", True),
    ("train/label/0.npy", by.put(0.5, 3, 4), "", "has the label 0.5", "whole numbers", True),
    ("train/depth/0.npy", by.array(lambda a: a[:, :30]), "", "is 16 x 30", "the size of image/0.npy, 16 x 32", True),
    ("train/depth/00.npy", Path.touch, "", "is there as well as 0.npy", "one of them", True),
    ("train/depth/0.npy", by.pickled, "", "cannot be read", "metres", True),
    ("train/depth/0.npy", by.put(np.nan, 1, 1, 0), "", "has 1 values that are not finite", "floats in metres", False),
    ("train/normal/0.npy", by.array(lambda a: a[..., 0]), "", "has the shape (16, 32)", "(height, width, 3)", True),
    ("train/normal/0.npy", by.array(lambda a: 1.5 * a), "", "of another length than 1", "unit vectors", True),
    (
        "train/image/0.npy",
        lambda path: path.rename(path.with_name("zero.npy")),
        "train/image/zero.npy",
        "after a number",
        "0.npy",
        True,
    ),
]


@pytest.mark.parametrize(("file", "damage", "path", "problem", "expected", "refused"), FILES)
def test_a_damaged_file_is_a_row(
    file: str, damage: Damage, path: str, problem: str, expected: str, refused: bool, tmp_path: Path
) -> None:
    write_mtan(tmp_path)
    damage(tmp_path / file)
    rows = problems_in(tmp_path)
    assert any(row.path == (path or file) and problem in row.problem and expected in row.expected for row in rows), rows
    # A frame without its image, or with another name, is missed once for each of its targets.
    assert len({Path(row.path).stem for row in rows}) == 1 or path
    if refused:
        with pytest.raises(DataError):
            load_all(tmp_path)
    else:
        load_all(tmp_path)


def test_a_split_without_frames_is_a_row(tmp_path: Path) -> None:
    write_mtan(tmp_path)
    for kind in ("image", "label", "depth", "normal"):
        empty_folder(tmp_path / "val" / kind)
    (row,) = problems_in(tmp_path)
    assert (row.path, row.problem) == ("val/image", "holds 0 frames")
    with pytest.raises(DataError):
        load_all(tmp_path)
