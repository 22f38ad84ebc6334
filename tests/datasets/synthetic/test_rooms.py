"""Synthetic rooms: image, depth, normals, labels and edges of one frame say the same about the same room."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets.synthetic.rooms import ROOM_CLASSES, intrinsics, label_edges, render_room, room_files, write_rooms
from tasks.data_sets import NYU_CLASSES

SIZE = (64, 80)
Frame = dict[str, Any]


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return [render_room(np.random.default_rng([0, k]), SIZE) for k in range(12)]


def rays() -> Any:
    """(H, W, 3): where each pixel looks, with z = 1."""
    camera = intrinsics(SIZE)
    row, column = np.indices(SIZE)
    return np.stack([(column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy, np.ones(SIZE)], -1)


def test_intrinsics_span_57_degrees() -> None:
    camera = intrinsics(SIZE)
    left, right = (-0.5 - camera.cx) / camera.fx, (SIZE[1] - 0.5 - camera.cx) / camera.fx
    assert math.degrees(math.atan(right) - math.atan(left)) == pytest.approx(57)


def test_types_and_ranges(frames: list[Frame]) -> None:
    for frame in frames:
        assert frame["image"].shape == (*SIZE, 3) and frame["image"].dtype == np.uint8
        assert frame["segmentation"].shape == SIZE and frame["segmentation"].dtype == np.uint8
        assert frame["depth"].shape == SIZE and frame["depth"].dtype == np.float32
        assert frame["normals"].shape == (*SIZE, 3) and frame["normals"].dtype == np.float16
        assert frame["edge"].shape == SIZE and frame["edge"].dtype == np.float32
        seen = frame["depth"][frame["depth"] != 0]
        assert seen.min() > 0.3 and seen.max() < 10


def test_labels_are_nyu40_numbers_of_the_stated_classes(frames: list[Frame]) -> None:
    numbers = set(np.unique([frame["segmentation"] for frame in frames]).tolist())
    assert numbers == {0} | {NYU_CLASSES.index(name) + 1 for name in ROOM_CLASSES}


def test_a_few_percent_are_invalid_and_depth_and_normals_agree_where(frames: list[Frame]) -> None:
    unlabelled = np.mean([frame["segmentation"] == 0 for frame in frames])
    holes = np.mean([frame["depth"] == 0 for frame in frames])
    assert 0.002 < unlabelled < 0.06 and 0.002 < holes < 0.06
    for frame in frames:
        assert np.array_equal(frame["depth"] == 0, (frame["normals"] == 0).all(-1))


def test_normals_are_unit_vectors_that_face_the_camera(frames: list[Frame]) -> None:
    for frame in frames:
        valid = frame["depth"] > 0
        normals = frame["normals"].astype(np.float64)
        assert np.abs(np.linalg.norm(normals, axis=-1)[valid] - 1).max() < 2e-3
        assert ((normals * rays()).sum(-1)[valid] < 1e-3).all()


def test_normals_are_those_of_the_surface_that_depth_describes(frames: list[Frame]) -> None:
    """The cross product of neighbouring back-projected points is the stored normal, wherever the surface is flat."""
    for frame in frames:
        depth, stored = frame["depth"].astype(np.float64), frame["normals"].astype(np.float64)
        points = rays() * depth[..., None]
        middle = (slice(1, -1), slice(1, -1))
        neighbours = [(slice(1 + i, SIZE[0] - 1 + i), slice(1 + j, SIZE[1] - 1 + j)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        # A plane's inverse depth is linear in the pixel: a bend means a step to another, parallel, surface.
        inverse = 1 / np.where(depth > 0, depth, np.inf)
        bend = np.abs(inverse[1:-1, 2:] + inverse[1:-1, :-2] - 2 * inverse[middle])
        bend = np.maximum(bend, np.abs(inverse[2:, 1:-1] + inverse[:-2, 1:-1] - 2 * inverse[middle]))
        flat = (bend < 1e-4) & (depth[middle] > 0)
        for shifted in neighbours:
            flat &= (stored[shifted] == stored[middle]).all(-1)
        assert flat.mean() > 0.4
        across = np.cross(points[2:, 1:-1] - points[:-2, 1:-1], points[1:-1, 2:] - points[1:-1, :-2])
        across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-12)
        assert (across * stored[middle]).sum(-1)[flat].min() > 0.995


def test_the_floor_is_a_level_plane_below_the_camera(frames: list[Frame]) -> None:
    """Depth runs along the z axis (not along the ray): only then do the floor's points share one height."""
    for frame in frames:
        floor = (frame["segmentation"] == NYU_CLASSES.index("floor") + 1) & (frame["depth"] > 0)
        points = (rays() * frame["depth"][..., None])[floor]
        up = frame["normals"][floor].astype(np.float64).mean(0)
        height = -(points @ up)
        assert up[1] < -0.8
        assert np.ptp(height) < 0.02 and 1.1 < height.mean() < 1.85


def test_edges_are_where_a_label_differs_from_the_right_or_the_lower_one(frames: list[Frame]) -> None:
    labels = np.array([[1, 1, 2], [1, 1, 2], [3, 3, 2]])
    assert label_edges(labels).tolist() == [[0, 1, 0], [1, 1, 0], [0, 1, 0]]
    for frame in frames:
        assert np.array_equal(frame["edge"], label_edges(frame["segmentation"]))


def test_classes_look_like_themselves(frames: list[Frame]) -> None:
    def brightness(name: str) -> float:
        chosen = [frame["image"][frame["segmentation"] == NYU_CLASSES.index(name) + 1] for frame in frames]
        return float(np.concatenate(chosen).mean())

    assert brightness("television") < 90 < 170 < brightness("ceiling")
    assert brightness("door") < brightness("window")


def test_a_frame_depends_on_seed_and_number_alone() -> None:
    first, again, other_seed, other_frame = (
        render_room(np.random.default_rng(key), (32, 32)) for key in ([0, 3], [0, 3], [1, 3], [0, 4])
    )
    for name in first:
        assert np.array_equal(first[name], again[name])
    assert not np.array_equal(first["depth"], other_seed["depth"])
    assert not np.array_equal(first["depth"], other_frame["depth"])


def test_the_files_have_the_nyud_mt_layout(tmp_path: Path) -> None:
    counts = {"train": 3, "val": 2, "test": 1}
    seen: list[int] = []

    def progress(numbers: Any) -> Any:
        seen.extend(numbers)
        return numbers

    write_rooms(tmp_path, counts, (32, 40), seed=5, progress=progress)
    assert seen == list(range(6))
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == set(room_files(counts))
    assert (tmp_path / "gt_sets/train.txt").read_text() == "0000\n0001\n0002\n"
    assert (tmp_path / "gt_sets/val.txt").read_text() == "0003\n0004\n"
    assert (tmp_path / "gt_sets/test.txt").read_text() == "0005\n"

    frame = render_room(np.random.default_rng([5, 4]), (32, 40))
    for name in ("depth", "normals", "edge"):
        stored = np.load(tmp_path / name / "0004.npy", allow_pickle=False)
        assert stored.dtype == frame[name].dtype and np.array_equal(stored, frame[name])
    assert np.array_equal(np.asarray(Image.open(tmp_path / "segmentation/0004.png")), frame["segmentation"])
    image = np.asarray(Image.open(tmp_path / "images/0004.jpg"))
    assert image.shape == (32, 40, 3) and np.abs(image - frame["image"].astype(float)).mean() < 6
