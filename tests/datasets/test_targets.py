"""Numbers in targets' files have a meaning, or are refused."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from datasets.images import read_array
from datasets.loaders import build_dataset
from datasets.targets import read_target
from tasks.table import make_task
from tests.configs import make_config
from tests.datasets.frames import nyu_frame, random_normals, write_array, write_nyu
from tests.datasets.preparation.verification.damage import problems_in
from tests.tasks.known import NYU
from utils.errors import DataError

SIZE = (16, 32)
FOLDERS = {name: task.place for name, task in NYU.items()}
DEPTH = nyu_frame(0, *SIZE)["depth"]
NORMALS = random_normals(np.random.default_rng(0), *SIZE)
LENGTHS = (
    r"has \d+ normals of another length than 1, such as [\d.]+; expected float unit vectors \(or 8 bits, n = 2x / 255 - 1\)"
)
METRES = r"; expected floats in metres, 0 where invalid"


def read(name: str, array: np.ndarray, folder: Path, suffix: str = ".npy") -> tuple[np.ndarray, np.ndarray]:
    """A target of NYU-v2 from a file that holds ``array``."""
    path = folder / FOLDERS[name] / f"a0{suffix}"
    write_array(path, array)
    return read_target(NYU[name], path)


REFUSED: dict[str, tuple[str, np.ndarray, str]] = {
    "millimetres": ("depth_euclidean", 1000 * DEPTH, r"has the depth [\d.]+; expected metres, at most 10 \(0 where invalid\)"),
    "a depth that float32 cannot hold": ("depth_euclidean", np.full(SIZE, 1e60), r"has the depth 1e\+60; expected metres"),
    "beyond the sensor": ("depth_euclidean", DEPTH + 3, r"has the depth 1[\d.]+; expected metres, at most 10"),
    "whole millimetres": ("depth_euclidean", (1000 * DEPTH).astype(np.uint16), r"holds numbers of type uint16" + METRES),
    "depth behind the camera": ("depth_euclidean", -DEPTH, r"has depths from -[\d.]+ to -[\d.]+" + METRES),
    "normals as colours": ("surface_normal", (NORMALS + 1) / 2, LENGTHS),
    "normals in 0..255": (
        "surface_normal",
        np.float32(127.5) * (NORMALS + 1),
        r"has a vector of length \d+\.?\d*; expected float un",
    ),
    "16-bit normals": (
        "surface_normal",
        (32767.5 * (NORMALS + 1)).astype(np.uint16),
        r"holds numbers of type uint16; expected",
    ),
    "normals of signed bytes": (
        "surface_normal",
        (127 * NORMALS).astype(np.int8),
        r"holds numbers of type int8; expected float",
    ),
    "signed bytes as unsigned": ("surface_normal", (127 * NORMALS).astype(np.int8).view(np.uint8), LENGTHS),
    "one huge normal": (
        "surface_normal",
        np.where(np.arange(32)[:, None] == 9, 1e25, NORMALS.astype(float)),
        r"has a vector of length 1\.73205e\+25; ",
    ),
    "one that float32 cannot hold": (
        "surface_normal",
        np.where(np.arange(32)[:, None] == 9, 1e60, NORMALS.astype(float)),
        r"has a vector of length 1\.73205e\+60; ",
    ),
    "edges in 0..255": (
        "edge_texture",
        np.full(SIZE, 255.0),
        r"has the edge strength 255 \(float64\); expected 0 to 1, or uint8 or",
    ),
    "edges of another type": ("edge_texture", np.full(SIZE, 200), r"has the edge strength 200 \(int64\); expected 0 to 1"),
    "negative edges": ("edge_texture", np.full(SIZE, -1), r"has the edge strength -1 \(int64\); expected 0 to 1"),
    "labels that are none": ("segmentsemantic", np.full(SIZE, np.nan), r"has the label nan; expected whole numbers"),
    "labels between two": ("segmentsemantic", np.full(SIZE, 1.5), r"has the label 1\.5; expected whole numbers"),
    "text": ("depth_euclidean", np.full(SIZE, "far"), r"holds no array of numbers"),
    "labels below 0": ("segmentsemantic", np.full(SIZE, -1), r"has the label -1; expected 0 \(unlabelled\) or 1\.\.40"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_another_encoding_is_refused(kind: str, tmp_path: Path) -> None:
    name, array, said = REFUSED[kind]
    with pytest.raises(DataError, match=rf"/a0\.npy {said}"):
        read(name, array, tmp_path)


def test_the_loader_and_verify_say_the_same(tmp_path: Path) -> None:
    name, array, _ = REFUSED["millimetres"]
    write_nyu(tmp_path, size=SIZE)
    np.save(tmp_path / FOLDERS[name] / "b1.npy", array)
    config = make_config(data_dir_NYU=tmp_path, task_list=[name], input_shape=list(SIZE), depth_target="metric")
    with pytest.raises(DataError) as caught:
        build_dataset(config, "val")[1]
    (row,) = problems_in(tmp_path)
    assert f"{tmp_path / row.path} {row.problem}; expected {row.expected}" == str(caught.value)
    assert build_dataset(config.with_values(on_bad_sample="skip"), "val").names == ["b0", "b2"]


# Depth


def test_depth_is_valid_where_it_is_positive(tmp_path: Path) -> None:
    depth = np.array([[1.5, 0.0, -1.0, np.nan], [np.inf, -np.inf, 10.05, -2.0]])
    values, known = read("depth_euclidean", depth, tmp_path)
    np.testing.assert_array_equal(known, np.array([[[1, 0, 0, 0], [0, 0, 1, 0]]], bool))
    np.testing.assert_array_equal(values, np.where(known, depth, 0).astype(np.float32))


def test_a_frame_of_marks_has_no_depth_and_is_no_error(tmp_path: Path) -> None:
    for mark in (0.0, -1.0, np.nan, np.inf):
        values, known = read("depth_euclidean", np.full(SIZE, mark), tmp_path)
        assert not known.any() and not values.any()


def test_a_new_task_of_kind_depth_has_the_same_invalid_pixels(tmp_path: Path) -> None:
    """The kind says what is invalid: a valid 0 or -1 would come out of the cache as a small positive depth."""
    old = NYU["depth_euclidean"]
    task = make_task("disparity", "depth", "Disparity", "disp", place=old.place)
    write_array(tmp_path / "a.npy", np.array([[2.0, -1.0, 0.0]]))
    assert read_target(task, tmp_path / "a.npy")[1].tolist() == [[[True, False, False]]]


def test_matlab_floats_that_are_whole_are_floats(tmp_path: Path) -> None:
    """MATLAB stores a double array of small whole numbers in bytes; its class says what it is."""
    double, unsigned_bytes, signed_bytes, integers, unsigned_integers = 6, 2, 1, 5, 6
    parts = (
        struct.pack("<IIII", unsigned_integers, 8, double, 0),
        struct.pack("<IIii", integers, 8, 2, 3),
        struct.pack("<II8s", signed_bytes, 5, b"depth"),
        struct.pack("<II8s", unsigned_bytes, 6, bytes([2] * 6)),
    )
    matrix = b"".join(parts)
    path = tmp_path / "a0.mat"
    path.write_bytes(
        b"MATLAB 5.0".ljust(124) + struct.pack("<H2s", 0x0100, b"IM") + struct.pack("<II", 14, len(matrix)) + matrix
    )
    values, known = read_target(NYU["depth_euclidean"], path)
    np.testing.assert_array_equal(values, np.full((1, 2, 3), 2.0))
    assert known.all()


@pytest.mark.parametrize("name", ["depth_euclidean", "surface_normal", "edge_texture", "segmentsemantic"])
def test_an_array_without_a_pixel_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a0\.npy has the shape \(0, 32"):
        read(name, np.zeros((0, 32, 3) if name == "surface_normal" else (0, 32)), tmp_path)


# Normals


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.8])
def test_black_pixels_of_8_bits_are_unknown_also_if_they_are_most(suffix: str, share: float, tmp_path: Path) -> None:
    normals = nyu_frame(0, 64, 96)["normals"]
    black = np.zeros((64, 96), bool)
    black[:, : round(share * 96 / 16) * 16] = True
    pixels = np.where(black[..., None], 0, np.rint(127.5 * (normals + 1))).astype(np.uint8)
    values, known = read("surface_normal", pixels, tmp_path, suffix)
    sharp = np.abs(np.arange(96) - black[0].sum() + 0.5) > 8  # JPEG blends black and colour in the blocks at the border
    np.testing.assert_array_equal(known[0][:, sharp], ~black[:, sharp])
    assert not values[:, ~known[0]].any()
    right = values.transpose(1, 2, 0)[:, sharp][~black[:, sharp]]
    np.testing.assert_allclose(right, normals[:, sharp][~black[:, sharp]], atol=0.01 if suffix == ".png" else 0.1)


def test_normals_have_unit_length_and_what_is_none_is_unknown(tmp_path: Path) -> None:
    normals = NORMALS.copy()
    normals[10] *= 0.93
    normals[11, 0], normals[11, 1], normals[11, 2], normals[11, 3] = np.nan, np.inf, -1, 0
    values, known = read("surface_normal", normals, tmp_path)
    expected = NORMALS.any(axis=-1)
    expected[11, :4] = False
    np.testing.assert_array_equal(known[0], expected)
    np.testing.assert_allclose(values, np.where(expected, NORMALS.transpose(2, 0, 1), 0), atol=1e-6)


@pytest.mark.parametrize("kind", [np.float16, np.float32, ">f8"])
def test_normals_of_any_float_type_are_the_same(kind: Any, tmp_path: Path) -> None:
    values, known = read("surface_normal", NORMALS.astype(kind), tmp_path)
    np.testing.assert_allclose(values, NORMALS.transpose(2, 0, 1), atol=1e-3)
    np.testing.assert_array_equal(known[0], NORMALS.any(axis=-1))


def test_a_palette_of_normals_is_read_as_its_colours(tmp_path: Path) -> None:
    path = tmp_path / "normals" / "a0.png"
    path.parent.mkdir()
    Image.new("RGB", (4, 4), (255, 128, 127)).convert("P", palette=Image.Palette.ADAPTIVE).save(path)
    values, known = read_target(NYU["surface_normal"], path)
    assert known.all()
    np.testing.assert_allclose(values[0], 1, atol=1e-4)


def test_normals_may_be_a_tenth_too_long_and_no_vectors_at_all(tmp_path: Path) -> None:
    unit = nyu_frame(0, *SIZE)["normals"]
    for scale, share in ((0.92, 1.0), (1.08, 1.0), (0.05, 0.0)):
        assert read("surface_normal", scale * unit, tmp_path)[1].mean() == share
    for scale in (0.89, 1.12):
        with pytest.raises(DataError, match=LENGTHS):
            read("surface_normal", scale * unit, tmp_path)


def test_of_compressed_normals_most_have_unit_length(tmp_path: Path) -> None:
    for wrong in (0.3, 0.7):
        normals = nyu_frame(0, *SIZE)["normals"]
        normals[: round(16 * wrong)] *= 0.5
        if wrong < 0.5:
            read("surface_normal", normals, tmp_path, ".png")
        else:
            with pytest.raises(DataError, match=LENGTHS):
                read("surface_normal", normals, tmp_path, ".png")


# Edges


@pytest.mark.parametrize("largest", [1, 255])
@pytest.mark.parametrize(("kind", "white"), [(np.uint8, 255), (np.uint16, 65535), (">u2", 65535)])
def test_the_type_says_what_a_full_edge_is(kind: Any, white: int, largest: int, tmp_path: Path) -> None:
    """And not the frame's own largest value, nor whether that is above 1."""
    strengths = np.linspace(0, largest, 512).astype(kind).reshape(SIZE)
    values, known = read("edge_texture", strengths, tmp_path)
    np.testing.assert_allclose(values[0], strengths / white, rtol=1e-6)
    assert values.dtype == np.float32 and known.all()


def test_a_16_bit_image_of_edges_is_scaled_by_its_type(tmp_path: Path) -> None:
    path = tmp_path / "edge" / "a0.png"
    path.parent.mkdir()
    Image.fromarray(np.full(SIZE, 6554, np.uint16)).save(path)
    np.testing.assert_allclose(read_target(NYU["edge_texture"], path)[0], 6554 / 65535, rtol=1e-6)


@pytest.mark.parametrize("how", ["8 bits", "1 bit", "palette", "bool", "int64", "float"])
def test_black_and_white_edges_are_0_and_1(how: str, tmp_path: Path) -> None:
    edges = np.zeros(SIZE, np.uint8)
    edges[3] = 1
    path = tmp_path / "edge" / ("a0.npy" if how in ("bool", "int64", "float") else "a0.png")
    path.parent.mkdir()
    if path.suffix == ".npy":
        np.save(path, edges.astype(how))
    else:
        image = Image.fromarray(255 * edges)
        image = image.convert("1") if how == "1 bit" else image
        if how == "palette":
            image = Image.fromarray(edges)
            image.putpalette([0, 0, 0, 255, 255, 255])
        image.save(path)
    np.testing.assert_array_equal(read_target(NYU["edge_texture"], path)[0][0], edges)


def test_edges_that_are_no_number_are_invalid(tmp_path: Path) -> None:
    values, known = read("edge_texture", np.array([[0.5, np.nan, np.inf, 1.0005]]), tmp_path)
    assert known.tolist() == [[[True, False, False, True]]]
    np.testing.assert_allclose(values, [[[0.5, 0, 0, 1]]])


# Labels


def test_a_palette_of_colours_or_of_the_labels_themselves_is_read_as_it_was_meant(tmp_path: Path) -> None:
    rng, labels = np.random.default_rng(0), nyu_frame(0, *SIZE)["segmentation"]
    expected = read("segmentsemantic", labels, tmp_path)
    for palette in (rng.integers(0, 256, (256, 3)), np.repeat(np.arange(256)[:, None], 3, axis=1)):
        image = Image.fromarray(labels)
        image.putpalette(palette.ravel().tolist())
        image.save(tmp_path / "a0.png")
        for part, wanted in zip(read_target(NYU["segmentsemantic"], tmp_path / "a0.png"), expected, strict=True):
            np.testing.assert_array_equal(part, wanted)


def test_0_and_255_are_unlabelled(tmp_path: Path) -> None:
    labels, known = read("segmentsemantic", np.array([[0, 255, 1, 40]]), tmp_path)
    assert (labels.tolist(), known.tolist()) == ([[[255, 255, 0, 39]]], [[[False, False, True, True]]])


def test_labels_are_the_same_in_every_type(tmp_path: Path) -> None:
    labels = nyu_frame(0, *SIZE)["segmentation"]
    expected = read("segmentsemantic", labels, tmp_path, ".png")
    for kind in (np.int8, np.uint16, np.int64, np.float16, np.float64):
        for part, wanted in zip(read("segmentsemantic", labels.astype(kind), tmp_path), expected, strict=True):
            np.testing.assert_array_equal(part, wanted)
    assert torch.from_numpy(expected[0]).dtype == torch.uint8


@pytest.mark.parametrize(("colour", "suffix"), [(128, ".jpg"), (127, ".png"), (255, ".png")])
def test_grey_and_white_of_8_bits_are_unknown_too(colour: int, suffix: str, tmp_path: Path) -> None:
    normals = np.zeros((64, 96, 3))
    normals[..., 2] = -1.0
    unknown = np.zeros((64, 96), bool)
    unknown[:, :64] = True
    pixels = np.where(unknown[..., None], colour, np.rint(127.5 * (normals + 1))).astype(np.uint8)
    _, known = read("surface_normal", pixels, tmp_path, suffix)
    sharp = np.abs(np.arange(96) - 63.5) > 8
    np.testing.assert_array_equal(known[0][:, sharp], ~unknown[:, sharp])


def test_many_different_negative_depths_are_another_scale(tmp_path: Path) -> None:
    depth = np.random.default_rng(0).uniform(0.5, 9.9, (64, 64))
    with pytest.raises(DataError, match=r"has depths from -0\.\d+ to -0\.\d+; expected floats in metres"):
        read("depth_euclidean", np.log(depth), tmp_path)
    marked = np.where(np.arange(depth.size).reshape(depth.shape) % 3 == 0, -1.0, depth)
    assert read("depth_euclidean", marked, tmp_path)[1].mean() == pytest.approx(2 / 3, abs=0.01)


def test_one_of_several_arrays_is_not_chosen_by_chance(tmp_path: Path) -> None:
    (tmp_path / "depth").mkdir()
    path = tmp_path / "depth" / "0.mat"
    savemat(path, {"filled": np.ones((2, 3)), "raw": np.zeros((2, 3))})
    with pytest.raises(DataError, match="holds filled, raw; expected one array, or one called depth"):
        read_array(path)
    savemat(path, {"filled": np.ones((2, 3)), "depth": np.zeros((2, 3))})
    assert not read_array(path).any()
