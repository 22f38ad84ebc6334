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
@pytest.mark.parametrize("kind", ["float", "double", "8 bits", "png"])
def test_every_form_gives_unit_vectors_of_the_crop(kind: str, normals: np.ndarray, tmp_path: Path) -> None:
    if kind == "png":
        path = write(tmp_path / "7.png", normals)
    else:
        array = {"float": normals, "double": normals.astype(float), "8 bits": bits(normals)}[kind]
        path = write(tmp_path / "7.npy", array)
    found = read_normals(path)
    assert found.shape == (425, 560, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, CROPPED, atol=1e-6 if kind in ("float", "double") else 0.012)
    known = CROPPED.any(axis=-1)
    np.testing.assert_allclose(np.linalg.norm(found[known], axis=-1), 1, atol=1e-6)
    assert not found[~known].any()


def test_smooth_normals_survive_jpeg(tmp_path: Path) -> None:
    angle = np.mgrid[:425, :560][1] / 560
    smooth = np.stack([np.sin(angle), np.zeros_like(angle), -np.cos(angle)], axis=-1)
    np.testing.assert_allclose(read_normals(write(tmp_path / "1.jpg", smooth)), smooth, atol=0.05)


def test_what_is_not_a_number_is_no_normal(tmp_path: Path) -> None:
    normals = CROPPED.copy()
    normals[300, 400] = np.nan
    found = read_normals(write(tmp_path / "1.npy", normals))
    assert not found[300, 400].any()
    assert found[300, 401].any()


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((480, 640), np.float32), r"has the shape \(480, 640\); expected \(480, 640, 3\) or \(425, 560, 3\)"),
        (np.zeros((240, 320, 3), np.float32), r"has the shape \(240, 320, 3\)"),
        (np.zeros((3, 425, 560), np.float32), r"has the shape \(3, 425, 560\)"),
        (np.zeros((425, 560, 3), np.int32), r"holds numbers of type int32; expected float unit vectors \(or 8 bits"),
        (np.full((425, 560, 3), 200, np.float32), r"has a vector of length 346\.41; expected float unit vectors"),
        (np.full((425, 560, 3), np.inf, np.float32), r"has no normal"),
        (np.zeros((425, 560, 3), np.float32), r"has no normal"),
    ],
)
def test_arrays_that_hold_no_normals_are_refused(array: np.ndarray, said: str, tmp_path: Path) -> None:
    np.save(tmp_path / "3.npy", array)
    with pytest.raises(DataError, match=rf"3\.npy {said}"):
        read_normals(tmp_path / "3.npy")


def test_a_broken_file_and_a_pickle_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "3.png", CROPPED)
    path.write_bytes(path.read_bytes()[:5000])
    np.save(tmp_path / "4.npy", np.array([{}], object), allow_pickle=True)
    for name in ("3.png", "4.npy"):
        with pytest.raises(DataError, match=rf"{name} cannot be read"):
            read_normals(tmp_path / name)


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
    with pytest.raises(DataError, match=r"--normals .*nowhere: is no folder"):
        NormalsFolder(tmp_path / "nowhere", [1])
    write(tmp_path / "1.npy", CROPPED)
    with pytest.raises(DataError, match=r"no file for frame 2 \(such as 0002\.png; .*\); 2 of 3 frames have none"):
        NormalsFolder(tmp_path, [1, 2, 3])
    write(tmp_path / "01.png", CROPPED)
    with pytest.raises(DataError, match=r"01\.png and 1\.npy are both of frame 1"):
        NormalsFolder(tmp_path, [1])
