"""Furniture of a synthetic room: upright boxes with patterned surfaces, and the furniture made of them.

Axes as in ``datasets/synthetic/rooms.py``: x right, y down, z forward, in metres.
"""

from __future__ import annotations

from math import cos, sin
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Rng = np.random.Generator


class Surface(NamedTuple):
    """A pattern of ``PATTERNS`` or ``FRONTS`` and two colours (3,) in [0, 1] that it mixes."""

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


PATTERNS = {"plain": _plain, "planks": _planks, "checks": _checks, "stripes": _stripes, "books": _books}
FRONTS = {"panels": _panels, "window": _window, "picture": _picture, "screen": _screen}


# Furniture, standing at a wall: (middle along the wall, width, heights from .. to, distances from the wall from .. to).


def _boxes(label: str, surface: Surface, *rows: tuple[float, ...]) -> list[Box]:
    return [
        Box((u, -(low + high) / 2, (near + far) / 2), (w / 2, (high - low) / 2, (far - near) / 2), label, surface)
        for u, w, low, high, near, far in rows
    ]


def look(rng: Rng, pattern: str, *colours: tuple[float, ...], dim: float = 0.8, **more: Any) -> Surface:
    """One of the colours, slightly varied, and the same ``dim`` times as light."""
    colour = np.clip(np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.94, 1.05, 3), 0, 1)
    return Surface(pattern, colour, colour * dim, **more)


def _bed(rng: Rng) -> list[Box]:
    w, head = rng.uniform(1.3, 1.8), rng.uniform(0.8, 1.1)
    wood, white = look(rng, "planks", (0.42, 0.26, 0.16), period=0.4), look(rng, "plain", (0.96, 0.95, 0.92), dim=0.9)
    duvet = look(rng, "stripes", (0.35, 0.5, 0.8), (0.5, 0.42, 0.75), (0.25, 0.6, 0.7), dim=1.25, period=0.24)
    return [
        *_boxes("bed", wood, (0, w + 0.1, 0, head, 0, 0.07), (0, w, 0, 0.28, 0.07, 2.05)),
        *_boxes("bed", white, (0, w - 0.06, 0.28, 0.5, 0.07, 2.0)),
        *_boxes("bed", duvet, (0, w + 0.04, 0.2, 0.55, 0.65, 2.08)),
        *_boxes("pillow", white, *((u * w, 0.38 * w, 0.5, 0.66, 0.1, 0.52) for u in (-0.23, 0.23))),
    ]


def _sofa(rng: Rng) -> list[Box]:
    w, colours = rng.uniform(1.6, 2.2), ((0.1, 0.45, 0.43), (0.65, 0.14, 0.18), (0.85, 0.6, 0.12), (0.28, 0.45, 0.25))
    cloth, cushion = look(rng, "plain", *colours, period=0.06), look(rng, "plain", (0.96, 0.9, 0.8), dim=0.9)
    arms = ((u * (w - 0.16), 0.18, 0.08, 0.62, 0.05, 0.92) for u in (-0.5, 0.5))
    seats = ((u * (w - 0.34), (w - 0.37) / 2, 0.3, 0.45, 0.28, 0.95) for u in (-0.25, 0.25))
    return [
        *_boxes("sofa", cloth, (0, w, 0.08, 0.3, 0.05, 0.9), (0, w, 0.3, 0.85, 0.05, 0.28), *arms, *seats),
        *_boxes("pillow", cushion, *((u * w, 0.4, 0.45, 0.8, 0.28, 0.42) for u in (-0.28, 0.28))),
    ]


def table(rng: Rng, top: float = 0.74) -> list[Box]:
    """A wooden table on four legs, ``top`` metres high."""
    w, d = rng.uniform(0.9, 1.4), rng.uniform(0.6, 0.85)
    wood = look(rng, "planks", (0.88, 0.66, 0.36), (0.93, 0.75, 0.48), period=0.3)
    legs = ((u * (w - 0.1), 0.07, 0, top, v, v + 0.07) for u in (-0.5, 0.5) for v in (0.08, d - 0.05))
    return _boxes("table", wood, (0, w, top - 0.05, top, 0.05, 0.05 + d), *legs)


def _cabinet(rng: Rng, high: float = 0.0) -> list[Box]:
    front = look(rng, "panels", (0.93, 0.92, 0.88), (0.66, 0.76, 0.74), dim=0.65)
    return _boxes("cabinet", front, (0, rng.uniform(0.9, 1.3), 0, high or rng.uniform(0.8, 1.8), 0.01, 0.46))


def _television(rng: Rng) -> list[Box]:
    screen = Surface("screen", np.full(3, 0.025), np.array([0.25, 0.3, 0.4]))
    parts = (0, 0.4, 0.5, 0.57, 0.15, 0.35), (0, 1.1, 0.57, 1.2, 0.2, 0.26)
    return _cabinet(rng, 0.5) + _boxes("television", screen, *parts)


def _bookshelf(rng: Rng) -> list[Box]:
    w, step, wood = rng.uniform(0.8, 1.2), rng.uniform(0.3, 0.4), look(rng, "planks", (0.36, 0.22, 0.13), period=0.4)
    frame: list[tuple[float, ...]] = [(u * w, 0.05, 0, 5 * step, 0.01, 0.32) for u in (-0.5, 0.5)]
    frame += [(0, w, k * step, k * step + 0.04, 0.01, 0.32) for k in range(6)]
    books = look(rng, "books", (0.3, 0.2, 0.1), period=step, salt=int(rng.integers(1000)))
    return _boxes("bookshelf", wood, *frame) + _boxes("bookshelf", books, (0, w, 0, 5 * step, 0.01, 0.25))


def _lamp(rng: Rng) -> list[Box]:
    h, metal = rng.uniform(1.2, 1.5), look(rng, "plain", (0.22, 0.2, 0.18))
    shade = look(rng, "plain", (1.0, 0.85, 0.5), (1.0, 0.76, 0.46), dim=0.93, glow=0.9)
    foot = _boxes("lamp", metal, (0, 0.28, 0, 0.04, 0.12, 0.4), (0, 0.04, 0, h, 0.24, 0.28))
    return foot + _boxes("lamp", shade, (0, 0.36, h - 0.08, h + 0.26, 0.08, 0.44))


def _door(rng: Rng) -> list[Box]:
    wood = look(rng, "panels", (0.55, 0.3, 0.17), (0.64, 0.4, 0.23), dim=0.6, salt=1)
    return _boxes("door", wood, (0, 0.95, 0, 2.05, 0, 0.05))


def _window_frame(rng: Rng) -> list[Box]:
    sky = look(rng, "window", (0.45, 0.68, 0.97), dim=1.5, salt=int(rng.integers(100)), glow=0.75)
    return _boxes("window", sky, (0, rng.uniform(0.9, 1.5), 0.9, rng.uniform(1.9, 2.2), 0, 0.04))


def _picture_frame(rng: Rng) -> list[Box]:
    colours = ((0.3, 0.5, 0.75), (0.8, 0.42, 0.25), (0.3, 0.55, 0.4))
    view = look(rng, "picture", *colours, dim=1.5, salt=int(rng.integers(100)))
    low = rng.uniform(1.3, 1.5)
    return _boxes("picture", view, (0, rng.uniform(0.4, 0.8), low, low + rng.uniform(0.4, 0.6), 0, 0.04))


def rug(rng: Rng) -> list[Box]:
    """A floor mat with a border."""
    w, d = rng.uniform(1.5, 2.2), rng.uniform(1.1, 1.6)
    colours = ((0.62, 0.15, 0.2), (0.2, 0.25, 0.55), (0.15, 0.4, 0.42))
    border, middle = (
        look(rng, "plain", (0.92, 0.86, 0.72), dim=0.92),
        look(rng, "checks", *colours, dim=1.35, period=0.2),
    )
    return [
        *_boxes("floor_mat", border, (0, w, 0, 0.012, -d / 2, d / 2)),
        *_boxes("floor_mat", middle, (0, w - 0.2, 0, 0.016, 0.1 - d / 2, d / 2 - 0.1)),
    ]


THEMES = (
    (_bed, _cabinet, _lamp, _bookshelf),
    (_sofa, _television, _lamp, _bookshelf),
    (table, _cabinet, _sofa, _television),
)
ALWAYS = (_door, _window_frame, _picture_frame, _window_frame, _picture_frame, _picture_frame, _cabinet, _lamp)
