"""Surface normals from a depth map: a plane is fitted to every pixel's neighbourhood, in inverse depth.

A point of the plane n . X = d that is seen along the ray (u, v, 1), u = (x - cx) / fx, v = (y - cy) / fy, has depth z with
1 / z = (n_x u + n_y v + n_z) / d: inverse depth is linear in the pixel's place, and its three coefficients are the normal up to
its length. Least squares in inverse depth is also what the sensor asks for: it measures disparity, whose noise is the same at
every distance.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

from datasets.synthetic.rooms import Intrinsics

MIN_SHARE = 1 / 8
"""Least share of valid pixels in a window (in the corner of a frame, only a quarter of the window is inside)."""

MIN_SPREAD = 0.2
"""Least variance, in pixels squared, of the valid pixels' places in their narrowest direction: two rows have 0.25."""


def normals_from_depth(depth: np.ndarray, valid: np.ndarray, camera: Intrinsics, window: int = 31) -> np.ndarray:
    """Normals of the planes that fit best to the valid pixels of a square window around each pixel.

    The moments are taken about the window's centre, in float64: two passes of a one-dimensional filter each, without the
    cancellation of running sums.

    Args:
        depth: (H, W), metres along the camera's z axis.
        valid: (H, W) bool, the pixels that take part; those without a positive finite depth never do.
        camera: of this very map (a crop moves cx and cy).
        window: its side in pixels, odd and at least 3.

    Returns:
        (H, W, 3) float32 unit vectors in camera axes (x right, y down, z forward) that point at the camera. The zero vector
        where the pixel is not valid, where too little of its window is, where what is lies on a line, and where the fitted
        plane does not pass in front of the camera.
    """
    if window < 3 or window % 2 == 0:
        raise ValueError(f"window={window}: expected an odd number of at least 3")
    valid = valid & np.isfinite(depth) & (depth > 0)
    weight = valid.astype(np.float64)
    inverse = np.divide(1.0, depth, out=np.zeros(depth.shape), where=valid)
    offset = np.arange(window, dtype=np.float64) - window // 2

    def filtered(values: np.ndarray, power: int, axis: int) -> np.ndarray:
        return correlate1d(values, offset**power, axis=axis, mode="constant")

    # Sums over the window of weight * x^p * y^q and of inverse * x^p * y^q, x and y from the window's centre.
    weight_x0, weight_x1, weight_x2 = (filtered(weight, power, 1) for power in (0, 1, 2))
    inverse_x0, inverse_x1 = (filtered(inverse, power, 1) for power in (0, 1))
    count = filtered(weight_x0, 0, 0)
    divisor = np.maximum(count, 1)
    x, y = filtered(weight_x1, 0, 0) / divisor, filtered(weight_x0, 1, 0) / divisor
    mean = filtered(inverse_x0, 0, 0) / divisor
    xx = filtered(weight_x2, 0, 0) / divisor - x * x
    xy = filtered(weight_x1, 1, 0) / divisor - x * y
    yy = filtered(weight_x0, 2, 0) / divisor - y * y
    xi = filtered(inverse_x1, 0, 0) / divisor - x * mean
    yi = filtered(inverse_x0, 1, 0) / divisor - y * mean

    spread = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
    fitted = valid & (count >= max(4, MIN_SHARE * window * window)) & (spread >= MIN_SPREAD)
    determinant = np.where(fitted, xx * yy - xy * xy, 1)
    slope_x, slope_y = (yy * xi - xy * yi) / determinant, (xx * yi - xy * xi) / determinant
    here = mean - slope_x * x - slope_y * y
    fitted &= here > 0

    rows, columns = np.ogrid[: depth.shape[0], : depth.shape[1]]
    plane = (
        slope_x * camera.fx,
        slope_y * camera.fy,
        here - slope_x * (columns - camera.cx) - slope_y * (rows - camera.cy),
    )
    # Along the pixel's own ray the three coefficients give `here` > 0: with a minus sign they point at the camera.
    scale = -np.divide(1.0, np.sqrt(sum(part * part for part in plane)), out=np.zeros(depth.shape), where=fitted)
    return np.stack([part * scale for part in plane], axis=-1).astype(np.float32)
