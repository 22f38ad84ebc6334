"""Short texts beside points, such that nothing covers anything."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from utils.study.plots.style import SMALL

_RADII = (5.0, 8.0, 12.0, 17.0, 23.0, 30.0, 38.0, 48.0)
"""Points between a point and its text, nearest first."""
_DIRECTIONS = 16
_LEADER_FROM = 12.0
"""Points from which on a thin line joins the two."""
_MARKER = 4.0
"""Points around the middle of a marker that stay free."""


@dataclass(frozen=True)
class Label:
    """A text that belongs to a point (in data coordinates)."""

    x: float
    y: float
    text: str
    colour: str


def place_labels(
    figure: Figure, axes: Axes, labels: Sequence[Label], lines: Sequence[Sequence[tuple[float, float]]] = ()
) -> None:
    """Write every label near its point: not on a point, a line or another label, and inside of the panel.

    The nearest free place is taken; where there is none, the one with the least overlap. The panel's limits and the
    figure's layout must be final. Equal input gives equal places.

    Args:
        figure: of the panel.
        axes: the panel.
        labels: to write; the first ones choose first.
        lines: what else stays free: polygons through these points (data coordinates).
    """
    figure.draw_without_rendering()
    scale = figure.dpi / 72.0
    frame = np.array([axes.get_window_extent().extents])
    points = [np.asarray(axes.transData.transform((label.x, label.y))) for label in labels]
    taken = [_around(point, (_MARKER * scale, _MARKER * scale)) for point in points]
    for line in lines:
        taken += _pieces(axes.transData.transform(np.asarray(line, dtype=float)), 1.5 * scale)
    for label, point in zip(labels, points, strict=True):
        text = axes.annotate(
            label.text,
            (label.x, label.y),
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=SMALL,
            color=label.colour,
            annotation_clip=False,
            zorder=6,
        )
        text.set_in_layout(False)
        extent = text.get_window_extent()
        half = (extent.width / 2 + 2 * scale, extent.height / 2 + 0.5 * scale)
        others = np.array([other for other in points if np.any(other != point)]).reshape(-1, 2)
        offset, leader = _best(point, half, np.array(taken), frame, scale, others)
        text.set_position((offset[0] / scale, offset[1] / scale))
        taken.append(_around(point + offset, half))
        if len(leader):
            taken += _pieces(leader, 0.75 * scale)
            _join(axes, label, (leader - point) / scale)


def _best(
    point: np.ndarray, half: tuple[float, float], taken: np.ndarray, frame: np.ndarray, scale: float, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where a text costs least.

    Args:
        point: (2,) pixels.
        half: width and height of the text in pixels.
        taken: (n, 4) boxes.
        frame: (1, 4) the panel.
        scale: pixels per point.
        others: (n, 2) pixels, the points that other texts belong to.

    Returns:
        Offset of the text's middle from the point (2,), and the two ends of its leader (2, 2), all in pixels; no ends where
        none is needed.
    """
    best, ends, least = np.zeros(2), np.empty((0, 2)), math.inf
    for radius in _RADII:
        for step in range(_DIRECTIONS):
            # from the upper left on: a front rises to the right, so that this side is free
            angle = 0.75 * math.pi - 2 * math.pi * step / _DIRECTIONS
            offset = np.array([math.cos(angle), math.sin(angle)]) * (radius * scale + np.array(half))
            box = np.array([_around(point + offset, half)])
            cost = _overlap(box, taken) + 4 * (4 * half[0] * half[1] - _overlap(box, frame))
            leader = _leader(point, offset, half, scale) if radius >= _LEADER_FROM else np.empty((0, 2))
            if len(leader):
                cost += _overlap(np.array(_pieces(leader, 0.5 * scale)), taken)
            elif _distance(point, box[0]) > 0.75 * min((_distance(other, box[0]) for other in others), default=math.inf):
                cost += 2 * half[0] * half[1]  # whose text this is must be seen
            if cost < least - 1e-6:
                best, ends, least = offset, leader, cost
        if least <= 1e-6:
            break
    return best, ends


def _leader(point: np.ndarray, offset: np.ndarray, half: tuple[float, float], scale: float) -> np.ndarray:
    """From beside a marker to the edge of its text: (2, 2) pixels."""
    reach = float(np.max(np.abs(offset) / half))
    start = 3.0 * scale / math.hypot(*offset)
    return np.asarray(point + np.outer((start, 1 - 1 / reach), offset))


def _join(axes: Axes, label: Label, ends: np.ndarray) -> None:
    """A thin line between two places, (2, 2) points from that of the label."""
    leader = axes.annotate(
        "",
        (label.x, label.y),
        xytext=tuple(ends[1]),
        textcoords="offset points",
        annotation_clip=False,
        zorder=2.5,
        arrowprops={"arrowstyle": "-", "color": label.colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": math.hypot(*ends[0])},
    )
    leader.set_in_layout(False)


def _around(middle: np.ndarray, half: tuple[float, float]) -> np.ndarray:
    """A box (left, bottom, right, top)."""
    return np.concatenate([middle - half, middle + half])


def _distance(point: np.ndarray, box: np.ndarray) -> float:
    """From a point to the nearest edge of a box; 0 inside."""
    return math.hypot(*np.maximum(np.maximum(box[:2] - point, point - box[2:]), 0.0))


def _pieces(corners: np.ndarray, half: float) -> list[np.ndarray]:
    """Boxes along a line through ``corners`` (n, 2): small ones where it is slanting."""
    boxes = []
    for start, end in itertools.pairwise(corners):
        steps = max(1, int(np.hypot(*(end - start)) / 6)) if np.all(start != end) else 1
        stops = start + (end - start) * np.linspace(0, 1, steps + 1)[:, None]
        for one, other in itertools.pairwise(stops):
            boxes.append(np.concatenate([np.minimum(one, other) - half, np.maximum(one, other) + half]))
    return boxes


def _overlap(boxes: np.ndarray, others: np.ndarray) -> float:
    """Area that boxes (n, 4) share with others (m, 4), summed over all pairs."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return float(np.prod(np.clip(high - low, 0, None), axis=2).sum())
