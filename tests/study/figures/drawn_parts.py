"""What a test reads off a figure."""

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

from study.figures.curves import draw_curves
from study.figures.drawn import Drawn
from study.figures.layers import draw_layers
from study.figures.pareto import draw_pareto
from study.figures.performance import draw_performance
from study.figures.strength import draw_strength
from study.tables import StudyTables


@cache
def drawn(draw: Callable[[StudyTables], Any], study: Callable[[], StudyTables]) -> Any:
    """What ``draw`` makes of a study, once for all tests: they read figures and change none."""
    return draw(study())


def all_drawn(study: Callable[[], StudyTables]) -> Drawn:
    """What ``draw_all`` makes of a study, of the figures that other tests may have asked for already."""
    made = [drawn(draw, study) for draw in (draw_performance, draw_strength, draw_pareto, draw_layers, draw_curves)]
    return [figure for figures, _ in made for figure in figures], [reason for _, reasons in made for reason in reasons]


def line(axes: Axes, label: str) -> np.ndarray:
    """Points (n, 2) of the one line called ``label``."""
    (found,) = [one for one in axes.lines if one.get_label() == label]
    return np.asarray(found.get_xydata(), dtype=float)


def labels(axes: Axes) -> set[str]:
    """Of all lines, bars, bands and patches."""
    artists = [*axes.lines, *axes.containers, *axes.patches, *axes.collections]
    return {str(one.get_label()) for one in artists if not str(one.get_label()).startswith("_")}


def bars(axes: Axes, label: str) -> np.ndarray:
    """Per error bar of the one series called ``label``: x, low end, high end (n, 3)."""
    (found,) = [one for one in axes.containers if isinstance(one, ErrorbarContainer) and one.get_label() == label]
    (segments,) = found.lines[2]
    return np.array([[ends[0][0], ends[0][1], ends[1][1]] for ends in segments.get_segments()])


def band(axes: Axes, label: str) -> tuple[float, float]:
    """Lower and upper end of the horizontal band called ``label``."""
    (found,) = [one for one in axes.patches if one.get_label() == label]
    corners = found.get_path().vertices if not hasattr(found, "get_y") else None
    if corners is not None:
        return float(np.min(corners[:, 1])), float(np.max(corners[:, 1]))
    return float(found.get_y()), float(found.get_y() + found.get_height())


def legend_texts(figure: Figure) -> list[str]:
    """Of every legend."""
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
    found = [one for one in figure.findobj(Text) if one.get_text().strip() and one.get_visible() and id(one) not in hidden]
    return [(one.get_text(), one.get_window_extent()) for one in found]
