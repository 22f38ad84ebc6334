"""Parts of a figure that tests read."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from study.figures import KINDS
from study.figures.drawn import Drawn
from study.tables import StudyTables


@cache
def drawn(draw: Callable[[StudyTables], Any], study: Callable[[], StudyTables]) -> Any:
    """Draw a study once for all tests: they read figures and change none."""
    return draw(study())


def all_drawn(study: Callable[[], StudyTables]) -> Drawn:
    """Return what ``draw_all`` makes of a study, with figures that other tests may have drawn already."""
    made = [drawn(draw, study) for draw in KINDS.values()]
    return [figure for figures, _ in made for figure in figures], [reason for _, reasons in made for reason in reasons]


def line(axes: Axes, label: str) -> np.ndarray:
    """Points (n, 2) of the one line called ``label``."""
    (artist,) = [artist for artist in axes.lines if artist.get_label() == label]
    return np.asarray(artist.get_xydata(), dtype=float)


def labels(axes: Axes) -> set[str]:
    """Labels of all lines, bars, bands and patches."""
    artists = [*axes.lines, *axes.containers, *axes.patches, *axes.collections]
    return {str(artist.get_label()) for artist in artists if not str(artist.get_label()).startswith("_")}


def bars(axes: Axes, label: str) -> np.ndarray:
    """Per error bar of the one series called ``label``: x, low end, high end (n, 3)."""
    containers = [container for container in axes.containers if isinstance(container, ErrorbarContainer)]
    (container,) = [container for container in containers if container.get_label() == label]
    (segments,) = container.lines[2]
    return np.array([[ends[0][0], ends[0][1], ends[1][1]] for ends in segments.get_segments()])


def band(axes: Axes, label: str) -> tuple[float, float]:
    """Lower and upper end of the horizontal band called ``label``."""
    (patch,) = [patch for patch in axes.patches if patch.get_label() == label]
    corners = patch.get_path().vertices if not hasattr(patch, "get_y") else None
    if corners is not None:
        return float(np.min(corners[:, 1])), float(np.max(corners[:, 1]))
    return float(patch.get_y()), float(patch.get_y() + patch.get_height())


def legend_texts(figure: Figure) -> list[str]:
    """Texts of every legend."""
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text that is seen, and its box in pixels."""
    figure.draw_without_rendering()
    hidden: set[int] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            margin = 1e-9 * (high - low)
            unseen = [tick for tick in ticks if not (low - margin <= tick.get_loc() <= high + margin) or not axes.axison]
            hidden |= {id(label) for tick in unseen for label in (tick.label1, tick.label2)}
    seen = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible() and id(text) not in hidden]
    return [(text.get_text(), text.get_window_extent()) for text in seen]
