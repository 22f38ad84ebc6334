"""Normals from depth: exact on planes, silent where nothing is known."""

import numpy as np
import pytest

from datasets.preparation.normals import normals_from_depth
from datasets.synthetic.rooms import Intrinsics

CAMERA = Intrinsics(90.0, 100.0, 37.5, 21.25)
SIZE = (48, 64)
NORMALS = [(0, 0, -1), (0.4, 0, -1), (0, -0.9, -0.3), (-0.5, 0.6, -0.7), (0.8, 0.3, -0.6)]


def rays(size: tuple[int, int] = SIZE, camera: Intrinsics = CAMERA) -> np.ndarray:
    """(H, W, 3): the direction of every pixel, with z = 1."""
    row, column = np.indices(size)
    return np.stack([(column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy, np.ones(size)], axis=-1)


def plane(normal: np.ndarray, distance: float, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Depth where each ray meets the points X with normal . X = -distance, 0 where it does not in front of the camera."""
    towards = -(rays(size) @ normal)
    return np.where(towards > 0.02, distance / np.where(towards > 0.02, towards, 1), 0)


def unit(vector: tuple[float, float, float]) -> np.ndarray:
    return np.array(vector) / np.linalg.norm(vector)


@pytest.mark.parametrize("normal", NORMALS)
@pytest.mark.parametrize("window", [3, 9, 31])
def test_a_plane_has_its_normal_everywhere_also_at_the_border(normal: tuple[float, float, float], window: int) -> None:
    depth = plane(unit(normal), 2.0)
    normals = normals_from_depth(depth, np.ones(SIZE, bool), CAMERA, window)
    known = normals.any(axis=-1)
    np.testing.assert_allclose(normals[known], np.broadcast_to(unit(normal), SIZE + (3,))[known], atol=1e-6)
    if (depth > 0).all():
        assert known.all()
    else:  # a plane that leaves the picture: nothing where it is not, all but a seam where it is
        assert not known[depth == 0].any()
        assert known[depth > 0].mean() > 0.9


@pytest.mark.parametrize("normal", NORMALS)
def test_single_precision_is_enough(normal: tuple[float, float, float]) -> None:
    """As files have it, at the size and with the lens of NYU-v2."""
    camera, size = Intrinsics(518.858, 519.470, 285.582, 208.736), (100, 560)
    towards = -(rays(size, camera) @ unit(normal))
    depth = np.where(towards > 0.05, 3 / np.maximum(towards, 0.05), 0).astype(np.float32)
    normals = normals_from_depth(depth, depth > 0, camera)
    known = normals.any(axis=-1)
    assert known.sum() > 10_000
    assert np.abs(normals[known] - unit(normal)).max() < 2e-6


def test_normals_are_unit_vectors_that_point_at_the_camera() -> None:
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 9, SIZE)
    normals = normals_from_depth(depth, np.ones(SIZE, bool), CAMERA, 7)
    length = np.linalg.norm(normals, axis=-1)
    known = length > 0
    assert known.mean() > 0.5
    np.testing.assert_allclose(length[known], 1, atol=1e-6)
    assert ((normals * rays()).sum(-1)[known] < 0).all()


def test_a_plane_behind_the_camera_is_no_fit() -> None:
    """Inverse depth that bends upwards, seen from its lowest end: the straight line through it is negative there."""
    bent = np.broadcast_to(0.01 + np.arange(SIZE[1]) ** 2 / 10, SIZE)
    normals = normals_from_depth(1 / bent, np.ones(SIZE, bool), CAMERA, 9)
    assert not normals[:, 0].any()
    assert normals[:, 30].any(axis=-1).all()
    known = normals.any(axis=-1)
    assert ((normals * rays()).sum(-1)[known] < 0).all()


def test_holes_change_nothing_around_them_and_have_no_normal() -> None:
    rng, normal = np.random.default_rng(1), unit((0.3, -0.5, -0.9))
    depth, valid = plane(normal, 2.0), rng.uniform(size=SIZE) < 0.6
    valid[10:14, 20:24] = False
    depth[~valid] = rng.uniform(-5, 50, int((~valid).sum()))
    normals = normals_from_depth(depth, valid, CAMERA, 15)
    assert not normals[~valid].any()
    np.testing.assert_allclose(normals[valid], np.broadcast_to(normal, SIZE + (3,))[valid], atol=1e-6)


@pytest.mark.parametrize("missing", [0.0, -1.0, np.nan, np.inf])
def test_a_depth_that_is_none_is_a_hole_whatever_the_mask_says(missing: float) -> None:
    normal = unit((0.3, -0.5, -0.9))
    depth = plane(normal, 2.0)
    depth[20, 30] = missing
    normals = normals_from_depth(depth, np.ones(SIZE, bool), CAMERA, 9)
    assert not normals[20, 30].any()
    np.testing.assert_allclose(normals[20, 31], normal, atol=1e-6)


def test_two_planes_have_their_own_normals_away_from_the_crease() -> None:
    """Two walls that meet: the nearer one of each ray is seen."""
    left, right, window = unit((0.7, 0.1, -0.7)), unit((-0.6, -0.2, -0.8)), 9
    first, second = plane(left, 2.0), plane(right, 1.8)
    depth = np.minimum(first, second)
    normals = normals_from_depth(depth, np.ones(SIZE, bool), CAMERA, window)
    from_first = first < second
    half = window // 2
    padded = np.pad(from_first, half, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (window, window))
    pure_first, pure_second = windows.all(axis=(2, 3)), ~windows.any(axis=(2, 3))
    assert pure_first.sum() > 300
    assert pure_second.sum() > 300
    np.testing.assert_allclose(normals[pure_first], np.broadcast_to(left, SIZE + (3,))[pure_first], atol=1e-6)
    np.testing.assert_allclose(normals[pure_second], np.broadcast_to(right, SIZE + (3,))[pure_second], atol=1e-6)


def test_the_fit_is_the_least_squares_fit_of_inverse_depth() -> None:
    """Against numpy's solver, on noise with holes."""
    rng = np.random.default_rng(2)
    depth, valid = 1 / (0.5 + 0.02 * rng.normal(size=SIZE)), rng.uniform(size=SIZE) < 0.7
    normals = normals_from_depth(depth, valid, CAMERA, 7)
    ray = rays()
    for row, column in ((0, 0), (5, 63), (20, 30), (47, 40), (24, 2)):
        if not valid[row, column]:
            continue
        around = (slice(max(row - 3, 0), row + 4), slice(max(column - 3, 0), column + 4))
        inside = valid[around]
        plane_of, *_ = np.linalg.lstsq(ray[around][inside], 1 / depth[around][inside], rcond=None)
        np.testing.assert_allclose(normals[row, column], -plane_of / np.linalg.norm(plane_of), atol=1e-6)


def test_too_few_pixels_or_pixels_on_a_line_give_no_normal() -> None:
    depth = plane(unit((0.3, -0.5, -0.9)), 2.0)
    few = np.zeros(SIZE, bool)
    few[20:22, 30:33] = True
    assert not normals_from_depth(depth, few, CAMERA, 9).any()
    assert normals_from_depth(depth, few, CAMERA, 5).any()
    line = np.zeros(SIZE, bool)
    line[20] = True
    diagonal = np.eye(*SIZE, dtype=bool)
    for narrow in (line, line.T[: SIZE[0], : SIZE[0]], diagonal):
        size = narrow.shape
        assert not normals_from_depth(depth[: size[0], : size[1]], narrow, CAMERA, 5).any()
    line[21] = True
    assert normals_from_depth(depth, line, CAMERA, 5).any()


@pytest.mark.parametrize("window", [1, 4, 0])
def test_a_window_has_a_middle(window: int) -> None:
    with pytest.raises(ValueError, match=f"window={window}"):
        normals_from_depth(np.ones(SIZE), np.ones(SIZE, bool), CAMERA, window)
