"""Synthetic rooms in the NYUD_MT layout: NYU-like frames for tests, examples and machines without the real data.

A frame is one ray cast through a box-shaped room, furnished with upright boxes, seen by a pin-hole camera. Image,
labels, depth, normals and edges come from the same rays, so they belong together. Axes of the world (floor at y = 0)
and of the camera alike: x right, y down, z forward, in metres.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import cos, pi, radians, sin, tan
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from datasets.synthetic.furniture import ALWAYS, FRONTS, PATTERNS, THEMES, Array, Box, Rng, look, rug, table
from tasks.data_sets import NYU_CLASSES

VERSION = 1
"""Rises whenever the same (seed, frame) gives another picture."""

HORIZONTAL_FIELD_OF_VIEW = 57.0
"""Degrees, as NYU's sensor."""

ROOM_CLASSES = (
    *("wall", "floor", "ceiling", "door", "window", "picture", "floor_mat"),
    *("bed", "pillow", "sofa", "table", "cabinet", "bookshelf", "television", "lamp"),
)
"""The classes that occur; their numbers are those of NYU-40."""

SPLITS = ("train", "val", "test")
_FOLDERS = {"images": "jpg", "segmentation": "png", "depth": "npy", "normals": "npy", "edge": "npy"}

# Where a pixel is sampled, in pixels from its centre: the first sample gives the targets, the mean of all the image.
_SAMPLES = ((0.0, 0.0), (-0.35, -0.1), (0.1, 0.35), (0.35, -0.25))


class Intrinsics(NamedTuple):
    """A pin-hole camera in pixels: (row, column) looks along ((column - cx) / fx, (row - cy) / fy, 1)."""

    fx: float
    fy: float
    cx: float
    cy: float


def intrinsics(size: tuple[int, int]) -> Intrinsics:
    """The camera of every frame of ``size`` = (height, width): square pixels, 57 degrees wide, centred."""
    focal = size[1] / (2 * tan(radians(HORIZONTAL_FIELD_OF_VIEW) / 2))
    return Intrinsics(focal, focal, (size[1] - 1) / 2, (size[0] - 1) / 2)


class Room(NamedTuple):
    """Scene: five boxes for floor, ceiling and three walls, then the furniture; and the camera."""

    boxes: list[Box]
    size: Array
    """(3,): width, height, depth; the room fills x and z from 0 and y from -height to 0."""
    camera: Array
    """Position (3,)."""
    axes: Array
    """(3, 3); the columns are the camera's right, down and forward in the world."""
    lamps: list[tuple[Array, Array, float]]
    """Position (3,), colour (3,) and reach in metres; only the first one throws shadows."""


def _placed(parts: list[Box], x: float, z: float, yaw: float) -> list[Box]:
    """Furniture turned by ``yaw`` and moved to (x, z)."""
    c, s = cos(yaw), sin(yaw)
    centres = [(x + c * u - s * v, y, z + s * u + c * v) for u, y, v in (part.centre for part in parts)]
    return [part._replace(centre=centre, yaw=yaw) for part, centre in zip(parts, centres, strict=True)]


def _furnish(rng: Rng, size: Array, camera: Array) -> list[Box]:
    """Furniture for a room of that size that neither overlaps nor stands in the camera's way."""
    wishes = (*THEMES[rng.integers(len(THEMES))], *ALWAYS)
    taken = [np.array([camera - (0.5, 9, 0.5), camera + (0.5, 9, 0.9)])]
    boxes: list[Box] = []

    def fits(parts: list[Box]) -> bool:
        bounds = np.array([part.bounds() for part in parts])
        low, high = bounds[:, 0].min(0), bounds[:, 1].max(0)
        inside = (low >= (-0.001, -size[1], -0.001)).all() and (high <= (size[0] + 0.001, 0, size[2] + 0.001)).all()
        if not inside or any((low < other[1]).all() and (high > other[0]).all() for other in taken):
            return False
        taken.append(np.array([low - 0.06, high + 0.06]))
        boxes.extend(parts)
        return True

    if rng.random() < 0.7:
        middle = rug(rng) + (_placed(table(rng, 0.42), 0, -0.4, 0) if rng.random() < 0.7 else [])
        fits(_placed(middle, size[0] * rng.uniform(0.4, 0.6), size[2] * rng.uniform(0.5, 0.6), rng.uniform(-0.4, 0.4)))
    for wish in wishes:
        for _ in range(8):
            along = rng.uniform(0.1, 0.9)
            walls = ((along * size[0], size[2], pi), (0, along * size[2], -pi / 2), (size[0], along * size[2], pi / 2))
            parts = wish(rng)
            if fits(_placed(parts, *walls[rng.choice(3, p=(0.5, 0.25, 0.25))])):
                break
    return boxes


def _shell(rng: Rng, w: float, h: float, d: float) -> list[Box]:
    """Floor, ceiling and the three walls before the camera, as solid boxes around the room."""
    paints = ((0.88, 0.84, 0.76), (0.66, 0.76, 0.83), (0.76, 0.71, 0.82), (0.7, 0.79, 0.68), (0.9, 0.77, 0.63))
    wall = look(rng, ("plain", "plain", "stripes")[rng.integers(3)], *paints, dim=0.94, period=rng.uniform(0.1, 0.3))
    floor = (
        look(rng, "planks", (0.62, 0.43, 0.27), (0.72, 0.54, 0.36), (0.48, 0.33, 0.22), period=rng.uniform(0.1, 0.18)),
        look(rng, "checks", (0.85, 0.82, 0.77), (0.7, 0.72, 0.72), dim=0.85, period=rng.uniform(0.3, 0.5)),
        look(rng, "plain", (0.62, 0.57, 0.5), (0.5, 0.53, 0.5), dim=0.85, period=0.03),
    )[rng.choice(3, p=(0.5, 0.25, 0.25))]
    ceiling = look(rng, "plain", (0.97, 0.97, 0.96), dim=0.97)
    return [
        Box((w / 2, 0.5, d / 2), (w, 0.5, d), "floor", floor),
        Box((w / 2, -h - 0.5, d / 2), (w, 0.5, d), "ceiling", ceiling),
        Box((w / 2, -h / 2, d + 0.5), (w, h, 0.5), "wall", wall),
        Box((-0.5, -h / 2, d / 2), (0.5, h, d), "wall", wall),
        Box((w + 0.5, -h / 2, d / 2), (0.5, h, d), "wall", wall),
    ]


def _design(rng: Rng) -> Room:
    """A random room with its furniture and the camera that looks into it, slightly downwards."""
    size = rng.uniform((3.4, 2.4, 3.6), (5.4, 2.8, 6.0))
    side = rng.uniform(0.12, 0.88)
    camera = np.array([side * size[0], -rng.uniform(1.2, 1.75), rng.uniform(0.15, 0.4)])
    across = np.clip(1 - side + rng.uniform(-0.3, 0.3), 0.1, 0.9)
    forward = np.array([across * size[0], -rng.uniform(0.4, 1.2), 0.85 * size[2]]) - camera
    forward /= np.linalg.norm(forward)
    right = np.array([forward[2], 0, -forward[0]]) / np.hypot(forward[0], forward[2])
    down, roll = np.cross(forward, right), rng.uniform(-0.035, 0.035)
    axes = np.stack([cos(roll) * right + sin(roll) * down, cos(roll) * down - sin(roll) * right, forward], 1)
    boxes = _shell(rng, *size) + _furnish(rng, size, camera)
    tint = np.array([1.0, 0.97, 0.92]) * rng.uniform(0.85, 1.05)
    lamps = [(size * (rng.uniform(0.3, 0.7), 0, rng.uniform(0.3, 0.6)) - (0, size[1] - 0.35, 0), tint, 4.5)]
    warm = np.array([0.8, 0.55, 0.25])
    lamps += [(np.array(box.centre), warm, 0.7) for box in boxes if box.label == "lamp" and box.surface.glow]
    return Room(boxes, size, camera, axes, lamps)


def _slab(origin: Iterable[Array], direction: Iterable[Array], half: Iterable[float]) -> tuple[Array, Array]:
    """Return the lengths of rays to each of a box's slabs (3, ...) and to their way out of the box (...)."""
    near, far = [], []
    for o, d, h in zip(origin, direction, half, strict=True):
        inverse = 1 / np.where(np.abs(d) < 1e-9, np.float32(1e-9), d)
        middle, reach = -o * inverse, np.abs(np.float32(h) * inverse)
        near.append(middle - reach)
        far.append(middle + reach)
    return np.stack(near), np.minimum(np.minimum(far[0], far[1]), far[2])


def _own_points(box: Box, points: Array) -> tuple[Array, Array, Array]:
    """World points (3, ...) in the box's own axes, from its centre."""
    return box.to_own_axes(*(points[k] - np.float32(box.centre[k]) for k in range(3)))


def _window_of(box: Box, room: Room, size: tuple[int, int]) -> tuple[slice, slice]:
    """The part of the picture (rows, columns) that a box can cover."""
    fx, fy, cx, cy = intrinsics(size)
    corners = np.stack(np.meshgrid(*box.bounds().T), -1).reshape(-1, 3)
    x, y, z = room.axes.T @ (corners - room.camera).T
    if z.min() < 0.05:
        return slice(None), slice(None)
    rows, columns = y / z * fy + cy, x / z * fx + cx
    return tuple(slice(max(int(p.min()) - 1, 0), max(int(p.max()) + 3, 0)) for p in (rows, columns))  # type: ignore[return-value]


def _trace(room: Room, rays: Array, windows: list[tuple[slice, slice]]) -> tuple[Array, Array, Array]:
    """Trace rays (3, S, H, W) to what they meet first: its depth, the index of the box, the axis across its face; (S, H, W)."""
    depth: Array = np.full(rays.shape[1:], np.inf, np.float32)
    owner: Array = np.zeros(depth.shape, np.intp)
    axis: Array = np.zeros(depth.shape, np.intp)
    camera = room.camera.astype(np.float32)
    for index, (box, (rows, columns)) in enumerate(zip(room.boxes, windows, strict=True)):
        near, leave = _slab(_own_points(box, camera), box.to_own_axes(*rays[..., rows, columns]), box.half)
        enter = near.max(0)
        hit = (enter < leave) & (enter > 0.05) & (enter < depth[..., rows, columns])
        depth[..., rows, columns][hit] = enter[hit]
        owner[..., rows, columns][hit] = index
        axis[..., rows, columns][hit] = near.argmax(0)[hit]
    return depth, owner, axis


def _surface_of(box: Box, points: Array, rays: Array, axis: Array) -> tuple[Array, Array]:
    """Unlit colour and normal in the world, both (N, 3), at points (3, N) of a box on the faces across ``axis``."""
    own, inward = _own_points(box, points), box.to_own_axes(*rays)
    colour, normal = np.empty((2, axis.size, 3), np.float32)
    c, s = cos(box.yaw), sin(box.yaw)
    for k, (i, j), outward in ((0, (2, 1), (c, 0, s)), (1, (0, 2), (0, 1, 0)), (2, (0, 1), (-s, 0, c))):
        face = axis == k
        normal[face] = -np.sign(inward[k][face])[:, None] * np.array(outward, np.float32)
        u, v = own[i][face], own[j][face]
        if box.surface.pattern in PATTERNS:
            colour[face] = PATTERNS[box.surface.pattern](u, v, box.surface)
        elif k == 2:
            colour[face] = FRONTS[box.surface.pattern](u / box.half[0], v / box.half[1], box.surface)
        else:
            colour[face] = box.surface.first
    return colour, normal


def _lit(room: Room, points: Array, normals: Array, jitter: Array) -> Array:
    """Light that arrives at points (3, N): ambient, less in corners, and Lambert's law for every lamp -> (3, N)."""
    x, y, z = points
    width, height, depth = room.size.astype(np.float32)
    # The distance to the nearest plane is 0 on the room's own planes; the second nearest tells corners from middles.
    corner = np.partition(np.stack([x, width - x, -y, height + y, depth - z]), 1, axis=0)[1]
    light = np.array([[0.44], [0.45], [0.47]], np.float32) * (1 - 0.4 * np.exp(-4 * corner))
    for number, (lamp, colour, reach) in enumerate(room.lamps):
        towards = lamp.astype(np.float32)[:, None] - points
        if number == 0:
            towards += jitter
        square = (towards * towards).sum(0)
        cosine = (normals * towards).sum(0) / np.sqrt(square)
        strength = np.maximum(cosine, 0) / (1 + square / np.float32(reach**2))
        if number == 0:
            strength[_shaded(room, points + np.float32(0.003) * normals, towards)] = 0
        light += colour.astype(np.float32)[:, None] * strength
    return light


def _shaded(room: Room, points: Array, towards: Array) -> Array:
    """Return True (N,) if furniture stands between points (3, N) and the ends of the vectors ``towards`` (3, N)."""
    shaded = np.zeros(points.shape[1], bool)
    for box in room.boxes[5:]:
        if min(box.half) > 0.03:
            near, leave = _slab(_own_points(box, points), box.to_own_axes(*towards), box.half)
            enter = near.max(0)
            shaded |= (enter < leave) & (leave > 0) & (enter < 1)
    return shaded


def _render(room: Room, size: tuple[int, int], rng: Rng) -> tuple[Array, Array, Array, Array]:
    """Image (H, W, 3) in [0, 1], and at the pixel centres class (H, W), depth (H, W) and normals (H, W, 3)."""
    fx, fy, cx, cy = intrinsics(size)
    shape = (len(_SAMPLES), *size)
    right, below = (np.array(shift)[:, None, None] for shift in zip(*_SAMPLES, strict=True))
    row, column = np.indices(size)
    in_camera = np.stack([(column + right - cx) / fx, (row + below - cy) / fy, np.ones(shape)])
    rays = np.tensordot(room.axes, in_camera, 1).astype(np.float32)
    windows = [_window_of(box, room, size) for box in room.boxes]
    depth, owner, axis = (part.ravel() for part in _trace(room, rays, windows))
    rays = rays.reshape(3, -1)
    points = room.camera[:, None].astype(np.float32) + depth * rays
    colour, normals = np.empty((2, depth.size, 3), np.float32)
    order = np.argsort(owner, kind="stable")
    for mine in np.split(order, np.flatnonzero(np.diff(owner[order])) + 1):
        box = room.boxes[owner[mine[0]]]
        colour[mine], normals[mine] = _surface_of(box, points[:, mine], rays[:, mine], axis[mine])
    # A lamp that is somewhere else for every sample has soft shadows.
    jitter = np.repeat(rng.uniform(-0.25, 0.25, (3, len(_SAMPLES))).astype(np.float32), row.size, axis=1)
    glow = np.array([box.surface.glow for box in room.boxes], np.float32)[owner][:, None]
    colour *= glow + (1 - 0.7 * glow) * _lit(room, points, normals.T, jitter).T
    labels = np.array([NYU_CLASSES.index(box.label) + 1 for box in room.boxes], np.uint8)[owner]
    in_camera_axes = (normals[: row.size] @ room.axes.astype(np.float32)).reshape(*size, 3)
    return colour.reshape(*shape, 3).mean(0), labels.reshape(shape)[0], depth.reshape(shape)[0], in_camera_axes


def _blobs(rng: Rng, size: tuple[int, int], count: int) -> Array:
    """Return a mask (H, W) of ``count`` small random ellipses."""
    inside = np.zeros(size, bool)
    row, column = np.indices(size)
    for _ in range(count):
        y, x = rng.uniform(0, size)
        a, b = rng.uniform(0.02, 0.08, 2) * max(size)
        inside |= ((row - y) / a) ** 2 + ((column - x) / b) ** 2 < 1
    return inside


def label_edges(labels: Array) -> Array:
    """1 where a pixel's label differs from its right or lower neighbour's, else 0: (H, W) -> (H, W) float32."""
    edges = np.zeros(labels.shape, bool)
    edges[:, :-1] = labels[:, :-1] != labels[:, 1:]
    edges[:-1] |= labels[:-1] != labels[1:]
    return edges.astype(np.float32)


def render_room(rng: Rng, size: tuple[int, int] = (96, 96)) -> dict[str, Array]:
    """One random frame of ``size`` = (height, width), seen by the camera ``intrinsics(size)``.

    Returns:
        ``image`` (H, W, 3) uint8; ``segmentation`` (H, W) uint8, 0 unlabelled, else a number of NYU-40; ``depth``
        (H, W) float32, metres along the camera's z axis, 0 invalid; ``normals`` (H, W, 3) float16, unit vectors in
        camera axes that point at the camera, zero where depth is invalid; ``edge`` (H, W) float32, ``label_edges``.
    """
    image, labels, depth, normals = _render(_design(rng), size, rng)
    exposed = (1 - np.exp(-1.5 * image)) / (1 - np.exp(-1.5)) + rng.normal(0, 0.012, image.shape)
    labels[_blobs(rng, size, int(rng.integers(1, 6)))] = 0
    holes = _blobs(rng, size, int(rng.integers(1, 6)))
    depth[holes], normals[holes] = 0, 0
    return {
        "image": np.round(np.clip(exposed, 0, 1) * 255).astype(np.uint8),
        "segmentation": labels,
        "depth": depth,
        "normals": normals.astype(np.float16),
        "edge": label_edges(labels),
    }


def room_files(counts: Mapping[str, int]) -> list[str]:
    """Paths, relative to the root, of all that ``write_rooms`` writes for these counts."""
    total = sum(counts[split] for split in SPLITS)
    frames = [f"{folder}/{k:04d}.{suffix}" for k in range(total) for folder, suffix in _FOLDERS.items()]
    return [*frames, *(f"gt_sets/{split}.txt" for split in SPLITS)]


def write_rooms(
    root: Path,
    counts: Mapping[str, int],
    size: tuple[int, int] = (96, 96),
    seed: int = 0,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> None:
    """Write a set of frames in the NYUD_MT layout; frame k depends on (seed, k) and the size alone.

    Args:
        root: folder to write into; made if needed.
        counts: frames of ``train``, ``val`` and ``test``; numbered through in this order, from 0000.
        size: height and width in pixels.
        progress: wraps the range of frame numbers, to show how far the writing is.
    """
    for folder in (*_FOLDERS, "gt_sets"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    names = [f"{k:04d}" for k in range(sum(counts[split] for split in SPLITS))]
    for k in progress(range(len(names))):
        frame = render_room(np.random.default_rng([seed, k]), size)
        Image.fromarray(frame["image"]).save(root / "images" / f"{names[k]}.jpg", quality=92)
        Image.fromarray(frame["segmentation"]).save(root / "segmentation" / f"{names[k]}.png")
        for folder in ("depth", "normals", "edge"):
            np.save(root / folder / f"{names[k]}.npy", frame[folder])
    first = 0
    for split in SPLITS:
        mine = names[first : first + counts[split]]
        (root / "gt_sets" / f"{split}.txt").write_text("".join(f"{name}\n" for name in mine))
        first += counts[split]
