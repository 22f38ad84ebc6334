"""Synthetic rooms in the NYUD_MT layout: NYU-like frames for tests, examples and machines without the real data.

A frame is one ray cast through a box-shaped room, furnished with upright boxes, seen by a pin-hole camera. Image,
labels, depth, normals and edges come from the same rays, so they belong together. Axes of the world (floor at y = 0)
and of the camera alike: x right, y down, z forward, in metres.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import cos, pi, radians, sin, tan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from utils.tasks import NYU_CLASSES

Array = NDArray[Any]
Rng = np.random.Generator

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


class Surface(NamedTuple):
    """A pattern of ``_PATTERNS`` or ``_FRONTS`` and two colours (3,) in [0, 1] that it mixes."""

    pattern: str
    first: Array
    second: Array
    period: float = 0.1
    """Metres."""
    salt: int = 0
    """Varies what the pattern draws at random."""
    glow: float = 0.0
    """Light given off, as a share of the colour."""


class Box(NamedTuple):
    """An upright box: centre (x, y, z) and half extents along its own axes in metres, turned by ``yaw`` radians."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    label: str
    surface: Surface
    yaw: float = 0.0

    def to_own_axes(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """World vectors, seen in the box's own axes (along its width, down, out of its front)."""
        if not self.yaw:
            return x, y, z
        c, s = np.float32(cos(self.yaw)), np.float32(sin(self.yaw))
        return c * x + s * z, y, c * z - s * x

    def bounds(self) -> Array:
        """Smallest and largest (x, y, z): (2, 3)."""
        c, s = abs(cos(self.yaw)), abs(sin(self.yaw))
        reach = (c * self.half[0] + s * self.half[2], self.half[1], s * self.half[0] + c * self.half[2])
        return np.array(self.centre) + np.array([[-1.0], [1.0]]) * np.array(reach)


# Patterns: coordinates (N,) on a face, in metres, or in [-1, 1] for those that show on the front of a box only.


def _random(i: Array, j: Array, salt: int) -> Array:
    """A fixed pseudo-random number in [0, 1] for every pair of whole numbers."""
    code = i.astype(np.int64) * 374761393 + j.astype(np.int64) * 668265263 + salt * 362437
    code = ((code ^ (code >> 13)) * 1274126177) & 0x7FFFFFFF
    return ((code ^ (code >> 16)) & 0xFFFF).astype(np.float32) / 0xFFFF


def _noise(u: Array, v: Array, salt: int) -> Array:
    """Smooth noise in [0, 1] with features of size one."""
    i, j = np.floor(u), np.floor(v)
    a, b = u - i, v - j
    a, b = a * a * (3 - 2 * a), b * b * (3 - 2 * b)
    low = _random(i, j, salt) * (1 - a) + _random(i + 1, j, salt) * a
    return low * (1 - b) + (_random(i, j + 1, salt) * (1 - a) + _random(i + 1, j + 1, salt) * a) * b


def _mix(s: Surface, weight: Array) -> Array:
    return s.first + (s.second - s.first) * np.clip(weight, 0, 1)[:, None]


def _plain(u: Array, v: Array, s: Surface) -> Array:
    return _mix(s, _noise(u / s.period, v / s.period, s.salt))


def _planks(u: Array, v: Array, s: Surface) -> Array:
    row = np.floor(v / s.period)
    along = u / (8 * s.period) + _random(row, row, s.salt)
    tone = 0.8 * _random(np.floor(along), row, s.salt) + 0.2 * _noise(u * 5, v * 60, s.salt)
    return _mix(s, tone) * np.where((v / s.period - row < 0.1) | (along % 1 < 0.012), 0.7, 1)[:, None]


def _checks(u: Array, v: Array, s: Surface) -> Array:
    joint = np.minimum(u / s.period % 1, v / s.period % 1) < 0.05
    return _mix(s, (np.floor(u / s.period) + np.floor(v / s.period)) % 2) * np.where(joint, 0.85, 1)[:, None]


def _stripes(u: Array, v: Array, s: Surface) -> Array:
    return _mix(s, u / s.period % 1 < 0.5) * (0.95 + 0.1 * _noise(u * 9, v * 9, s.salt))[:, None]


def _books(u: Array, v: Array, s: Surface) -> Array:
    v = v + s.period / 2  # an odd number of shelves, counted from the middle of the box
    spine, shelf = np.floor(u / 0.055), np.floor(v / s.period)
    hue = 6.28 * _random(spine, shelf, s.salt)[:, None] + np.array([0, 2.1, 4.2])
    shown = v / s.period - shelf > 0.12 + 0.3 * _random(spine, shelf, s.salt + 1)
    return np.where(shown[:, None], 0.5 + 0.38 * np.sin(hue), 0.08)


def _panels(a: Array, b: Array, s: Surface) -> Array:
    """Four inset panels with a groove around each: a door, or the two leaves of a cabinet."""
    away = np.maximum(np.abs(np.abs(a) - 0.47) / 0.33, np.abs(np.abs(b) - 0.48) / 0.37)
    colour = _mix(s, np.where((away > 0.85) & (away < 1.05), 1, 0.15 * _noise(a * 14, b * 3, s.salt)))
    at = np.abs(a - 0.85) / 0.09 if s.salt else np.abs(np.abs(a) - 0.08) / 0.035
    colour[(at < 1) & (np.abs(b - 0.03) < 0.045)] = (0.9, 0.78, 0.4) if s.salt else 0.2
    return colour


def _window(a: Array, b: Array, s: Surface) -> Array:
    colour = _mix(s, 0.5 + 0.6 * b)
    colour[b > 0.35 + 0.15 * np.sin(3 * a + s.salt)] = (0.42, 0.62, 0.3)
    colour[(np.maximum(np.abs(a), np.abs(b)) > 0.88) | (np.minimum(np.abs(a), np.abs(b + 0.1)) < 0.05)] = 0.8
    return colour


def _picture(a: Array, b: Array, s: Surface) -> Array:
    colour = _mix(s, 0.5 + 0.5 * b)
    colour[(a - 0.3) ** 2 + (b + 0.35) ** 2 < 0.05] = (0.98, 0.9, 0.55)
    for k in (1, 2):
        colour[b > 0.35 * k - 0.3 + 0.3 * np.sin(2.2 * a + s.salt + 2 * k)] = s.first * (0.8 - 0.25 * k)
    rim = np.maximum(np.abs(a), np.abs(b))
    colour[rim > 0.7] = 0.93
    colour[rim > 0.85] = (0.16, 0.1, 0.07)
    return colour


def _screen(a: Array, b: Array, s: Surface) -> Array:
    return _mix(s, np.where(np.maximum(np.abs(a), np.abs(b)) > 0.93, 0, 0.3 - 0.6 * a - 0.6 * b))


_PATTERNS = {"plain": _plain, "planks": _planks, "checks": _checks, "stripes": _stripes, "books": _books}
_FRONTS = {"panels": _panels, "window": _window, "picture": _picture, "screen": _screen}


# Furniture, standing at a wall: (middle along the wall, width, heights from .. to, distances from the wall from .. to).


def _boxes(label: str, surface: Surface, *rows: tuple[float, ...]) -> list[Box]:
    return [
        Box((u, -(low + high) / 2, (near + far) / 2), (w / 2, (high - low) / 2, (far - near) / 2), label, surface)
        for u, w, low, high, near, far in rows
    ]


def _look(rng: Rng, pattern: str, *colours: tuple[float, ...], dim: float = 0.8, **more: Any) -> Surface:
    """One of the colours, slightly varied, and the same ``dim`` times as light."""
    colour = np.clip(np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.94, 1.05, 3), 0, 1)
    return Surface(pattern, colour, colour * dim, **more)


def _bed(rng: Rng) -> list[Box]:
    w, head = rng.uniform(1.3, 1.8), rng.uniform(0.8, 1.1)
    wood, white = _look(rng, "planks", (0.42, 0.26, 0.16), period=0.4), _look(rng, "plain", (0.96, 0.95, 0.92), dim=0.9)
    duvet = _look(rng, "stripes", (0.35, 0.5, 0.8), (0.5, 0.42, 0.75), (0.25, 0.6, 0.7), dim=1.25, period=0.24)
    return [
        *_boxes("bed", wood, (0, w + 0.1, 0, head, 0, 0.07), (0, w, 0, 0.28, 0.07, 2.05)),
        *_boxes("bed", white, (0, w - 0.06, 0.28, 0.5, 0.07, 2.0)),
        *_boxes("bed", duvet, (0, w + 0.04, 0.2, 0.55, 0.65, 2.08)),
        *_boxes("pillow", white, *((u * w, 0.38 * w, 0.5, 0.66, 0.1, 0.52) for u in (-0.23, 0.23))),
    ]


def _sofa(rng: Rng) -> list[Box]:
    w, colours = rng.uniform(1.6, 2.2), ((0.1, 0.45, 0.43), (0.65, 0.14, 0.18), (0.85, 0.6, 0.12), (0.28, 0.45, 0.25))
    cloth, cushion = _look(rng, "plain", *colours, period=0.06), _look(rng, "plain", (0.96, 0.9, 0.8), dim=0.9)
    arms = ((u * (w - 0.16), 0.18, 0.08, 0.62, 0.05, 0.92) for u in (-0.5, 0.5))
    seats = ((u * (w - 0.34), (w - 0.37) / 2, 0.3, 0.45, 0.28, 0.95) for u in (-0.25, 0.25))
    return [
        *_boxes("sofa", cloth, (0, w, 0.08, 0.3, 0.05, 0.9), (0, w, 0.3, 0.85, 0.05, 0.28), *arms, *seats),
        *_boxes("pillow", cushion, *((u * w, 0.4, 0.45, 0.8, 0.28, 0.42) for u in (-0.28, 0.28))),
    ]


def _table(rng: Rng, top: float = 0.74) -> list[Box]:
    w, d = rng.uniform(0.9, 1.4), rng.uniform(0.6, 0.85)
    wood = _look(rng, "planks", (0.88, 0.66, 0.36), (0.93, 0.75, 0.48), period=0.3)
    legs = ((u * (w - 0.1), 0.07, 0, top, v, v + 0.07) for u in (-0.5, 0.5) for v in (0.08, d - 0.05))
    return _boxes("table", wood, (0, w, top - 0.05, top, 0.05, 0.05 + d), *legs)


def _cabinet(rng: Rng, high: float = 0.0) -> list[Box]:
    front = _look(rng, "panels", (0.93, 0.92, 0.88), (0.66, 0.76, 0.74), dim=0.65)
    return _boxes("cabinet", front, (0, rng.uniform(0.9, 1.3), 0, high or rng.uniform(0.8, 1.8), 0.01, 0.46))


def _television(rng: Rng) -> list[Box]:
    screen = Surface("screen", np.full(3, 0.025), np.array([0.25, 0.3, 0.4]))
    parts = (0, 0.4, 0.5, 0.57, 0.15, 0.35), (0, 1.1, 0.57, 1.2, 0.2, 0.26)
    return _cabinet(rng, 0.5) + _boxes("television", screen, *parts)


def _bookshelf(rng: Rng) -> list[Box]:
    w, step, wood = rng.uniform(0.8, 1.2), rng.uniform(0.3, 0.4), _look(rng, "planks", (0.36, 0.22, 0.13), period=0.4)
    frame: list[tuple[float, ...]] = [(u * w, 0.05, 0, 5 * step, 0.01, 0.32) for u in (-0.5, 0.5)]
    frame += [(0, w, k * step, k * step + 0.04, 0.01, 0.32) for k in range(6)]
    books = _look(rng, "books", (0.3, 0.2, 0.1), period=step, salt=int(rng.integers(1000)))
    return _boxes("bookshelf", wood, *frame) + _boxes("bookshelf", books, (0, w, 0, 5 * step, 0.01, 0.25))


def _lamp(rng: Rng) -> list[Box]:
    h, metal = rng.uniform(1.2, 1.5), _look(rng, "plain", (0.22, 0.2, 0.18))
    shade = _look(rng, "plain", (1.0, 0.85, 0.5), (1.0, 0.76, 0.46), dim=0.93, glow=0.9)
    foot = _boxes("lamp", metal, (0, 0.28, 0, 0.04, 0.12, 0.4), (0, 0.04, 0, h, 0.24, 0.28))
    return foot + _boxes("lamp", shade, (0, 0.36, h - 0.08, h + 0.26, 0.08, 0.44))


def _door(rng: Rng) -> list[Box]:
    wood = _look(rng, "panels", (0.55, 0.3, 0.17), (0.64, 0.4, 0.23), dim=0.6, salt=1)
    return _boxes("door", wood, (0, 0.95, 0, 2.05, 0, 0.05))


def _window_frame(rng: Rng) -> list[Box]:
    sky = _look(rng, "window", (0.45, 0.68, 0.97), dim=1.5, salt=int(rng.integers(100)), glow=0.75)
    return _boxes("window", sky, (0, rng.uniform(0.9, 1.5), 0.9, rng.uniform(1.9, 2.2), 0, 0.04))


def _picture_frame(rng: Rng) -> list[Box]:
    colours = ((0.3, 0.5, 0.75), (0.8, 0.42, 0.25), (0.3, 0.55, 0.4))
    view = _look(rng, "picture", *colours, dim=1.5, salt=int(rng.integers(100)))
    low = rng.uniform(1.3, 1.5)
    return _boxes("picture", view, (0, rng.uniform(0.4, 0.8), low, low + rng.uniform(0.4, 0.6), 0, 0.04))


def _rug(rng: Rng) -> list[Box]:
    w, d = rng.uniform(1.5, 2.2), rng.uniform(1.1, 1.6)
    colours = ((0.62, 0.15, 0.2), (0.2, 0.25, 0.55), (0.15, 0.4, 0.42))
    border, middle = (
        _look(rng, "plain", (0.92, 0.86, 0.72), dim=0.92),
        _look(rng, "checks", *colours, dim=1.35, period=0.2),
    )
    return [
        *_boxes("floor_mat", border, (0, w, 0, 0.012, -d / 2, d / 2)),
        *_boxes("floor_mat", middle, (0, w - 0.2, 0, 0.016, 0.1 - d / 2, d / 2 - 0.1)),
    ]


_THEMES = (
    (_bed, _cabinet, _lamp, _bookshelf),
    (_sofa, _television, _lamp, _bookshelf),
    (_table, _cabinet, _sofa, _television),
)
_ALWAYS = (_door, _window_frame, _picture_frame, _window_frame, _picture_frame, _picture_frame, _cabinet, _lamp)


class Room(NamedTuple):
    """What is to be seen: five boxes for floor, ceiling and three walls, then the furniture; and who looks."""

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
    wishes = (*_THEMES[rng.integers(len(_THEMES))], *_ALWAYS)
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
        middle = _rug(rng) + (_placed(_table(rng, 0.42), 0, -0.4, 0) if rng.random() < 0.7 else [])
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
    wall = _look(rng, ("plain", "plain", "stripes")[rng.integers(3)], *paints, dim=0.94, period=rng.uniform(0.1, 0.3))
    floor = (
        _look(rng, "planks", (0.62, 0.43, 0.27), (0.72, 0.54, 0.36), (0.48, 0.33, 0.22), period=rng.uniform(0.1, 0.18)),
        _look(rng, "checks", (0.85, 0.82, 0.77), (0.7, 0.72, 0.72), dim=0.85, period=rng.uniform(0.3, 0.5)),
        _look(rng, "plain", (0.62, 0.57, 0.5), (0.5, 0.53, 0.5), dim=0.85, period=0.03),
    )[rng.choice(3, p=(0.5, 0.25, 0.25))]
    ceiling = _look(rng, "plain", (0.97, 0.97, 0.96), dim=0.97)
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
    """Where rays enter each of a box's slabs (3, ...) and leave the box (...), in lengths of the rays."""
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
    """What each ray (3, S, H, W) meets first: its depth, the index of the box, the axis across its face; (S, H, W)."""
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
        if box.surface.pattern in _PATTERNS:
            colour[face] = _PATTERNS[box.surface.pattern](u, v, box.surface)
        elif k == 2:
            colour[face] = _FRONTS[box.surface.pattern](u / box.half[0], v / box.half[1], box.surface)
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
    """Whether furniture stands between points (3, N) and the ends of the vectors ``towards`` (3, N): (N,) of bool."""
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
    depth, owner, axis = (found.ravel() for found in _trace(room, rays, windows))
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
    """Where ``count`` small random ellipses lie: (H, W) of bool."""
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
