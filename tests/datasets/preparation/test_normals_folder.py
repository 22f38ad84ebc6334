"""Normals that come as files: every accepted form, and a sentence for every other."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.preparation.normals_folder import NormalsFolder, read_normals
from tests.datasets.frames import random_normals
from tests.datasets.preparation.official_frames import COLUMNS, ROWS
from utils.errors import DataError

WHOLE = random_normals(np.random.default_rng(0), 480, 640)
WHOLE[..., 2] = -np.abs(WHOLE[..., 2])
CROPPED = WHOLE[ROWS, COLUMNS]


def bits(normals: np.ndarray) -> np.ndarray:
    """n = 2 x / 255 - 1, rounded to whole x."""
    return np.round((normals + 1) * 127.5).astype(np.uint8)


def write(path: Path, normals: np.ndarray) -> Path:
    """As .npy as it is, else as an image in 8 bits."""
    if path.suffix == ".npy":
        np.save(path, normals)
    else:
        Image.fromarray(bits(normals)).save(path)
    return path


@pytest.mark.parametrize("normals", [WHOLE, CROPPED], ids=["480 x 640", "425 x 560"])
@pytest.mark.parametrize("kind", ["float", "png"])
def test_every_form_gives_unit_vectors_of_the_crop(kind: str, normals: np.ndarray, tmp_path: Path) -> None:
    decoded = read_normals(write(tmp_path / ("7.png" if kind == "png" else "7.npy"), normals))
    assert decoded.shape == (425, 560, 3)
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, CROPPED, atol=1e-6 if kind == "float" else 0.012)
    known = CROPPED.any(axis=-1)
    np.testing.assert_allclose(np.linalg.norm(decoded[known], axis=-1), 1, atol=1e-6)
    assert not decoded[~known].any()


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((480, 640), np.float32), r"has the shape \(480, 640\); expected \(480, 640, 3\) or \(425, 560, 3\)"),
        (np.full((425, 560, 3), 200, np.float32), r"has a vector of length 346\.41; expected float unit vectors"),
        (np.zeros((425, 560, 3), np.float32), r"has no normal"),
    ],
)
def test_arrays_that_hold_no_normals_are_refused(array: np.ndarray, said: str, tmp_path: Path) -> None:
    np.save(tmp_path / "3.npy", array)
    with pytest.raises(DataError, match=rf"3\.npy {said}"):
        read_normals(tmp_path / "3.npy")


def test_files_are_found_by_their_number_whatever_the_padding(tmp_path: Path) -> None:
    for name, scale in (("1.npy", 1), ("0002.npy", -1), ("000003.npy", 1)):
        write(tmp_path / name, CROPPED * scale)
    (tmp_path / "README.txt").write_text("about 4 files")
    folder = NormalsFolder(tmp_path, [1, 2, 3])
    np.testing.assert_allclose(folder.read(3), CROPPED, atol=1e-6)
    np.testing.assert_allclose(folder.read(2), -CROPPED, atol=1e-6)
    assert folder.share_towards_camera == pytest.approx(2 / 3, abs=0.01)


def test_the_source_is_told_by_its_content(tmp_path: Path) -> None:
    write(tmp_path / "1.npy", CROPPED)
    write(tmp_path / "2.npy", CROPPED)
    source = NormalsFolder(tmp_path, [1]).source
    assert source == NormalsFolder(tmp_path, [1]).source
    assert NormalsFolder(tmp_path, [1, 2]).source != source
    write(tmp_path / "1.npy", -CROPPED)
    assert NormalsFolder(tmp_path, [1]).source != source


def test_missing_and_double_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: there is no such folder, needed for --normals"):
        NormalsFolder(tmp_path / "nowhere", [1])
    write(tmp_path / "1.npy", CROPPED)
    with pytest.raises(DataError, match=r"0002\.png is missing, needed for --normals \(frames count from 1\); 2 of 3 frames"):
        NormalsFolder(tmp_path, [1, 2, 3])
    write(tmp_path / "01.png", CROPPED)
    with pytest.raises(DataError, match=r"1\.npy is there as well as 01\.png; expected one of them"):
        NormalsFolder(tmp_path, [1])
