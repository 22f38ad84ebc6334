"""Style of the figures of a study: printed widths, sizes of text, colours, and a mean with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.textpath import TextPath
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from figures.colours import BLUE, GREEN, ORANGE, PINK, SKY, VERMILION
from study.statistics import Estimate
from utils.numbers import short_number

COLUMN, TEXT = 3.4, 7.0
"""Inches: width of a column and of the text of a two-column paper. Figures are made at the size they are printed at."""
SMALL, NORMAL = 7.0, 8.0
"""Points: ticks, legends and labels in a figure; titles and names of axes."""
LABEL_GAP = 0.4
"""Least distance of two labels of ticks side by side, in sizes of their letters: closer ones read as one number."""
DENSE, SINGLE, GUIDE = "#000000", "#555555", "#999999"
GRID = "#E0E0E0"
DELTA_MTL = r"$\Delta_\mathrm{MTL}$ in % (↑ better)"
FORMULAS = frozenset({DELTA_MTL})
"""The texts that are mathematics."""


@dataclass(frozen=True)
class Look:
    """Look of a series: colour, marker and dashes each suffice to tell it from the others, also in a grey print."""

    colour: str
    marker: str
    dashes: Any


LOOKS = (
    Look(BLUE, "o", "-"),
    Look(ORANGE, "s", (0, (5, 1.5))),
    Look(VERMILION, "^", (0, (1.2, 1.2))),
    Look(SKY, "D", (0, (5, 1.5, 1, 1.5))),
    Look(GREEN, "v", (0, (8, 2))),
    Look(PINK, "P", (0, (3, 1, 1, 1, 1, 1))),
)
"""Black is for dense models; neighbours differ in lightness."""

DENSE_LOOKS = tuple(
    Look(DENSE, marker, dashes) for marker, dashes in (("*", "-"), ("X", (0, (6, 1, 1, 1))), ("h", (0, (2, 1))))
)
"""Looks of dense models: first those without a variant."""


def look(index: int) -> Look:
    """Return the look of series number ``index``."""
    return LOOKS[index % len(LOOKS)]


def dense_look(index: int) -> Look:
    """Return the look of dense model number ``index``."""
    return DENSE_LOOKS[index % len(DENSE_LOOKS)]


def pale(colour: str, white: float = 0.55) -> str:
    """Mix a colour with the white of the paper (transparency would show what lies below)."""
    red, green, blue = (float((1 - white) * part + white) for part in to_rgb(colour))
    return to_hex((red, green, blue))


def strength_colours(labels: Iterable[str]) -> dict[str, str]:
    """Return a colour per label, of which equal ones are one: the later it comes, the lighter."""
    names = list(dict.fromkeys(labels))
    colours = matplotlib.colormaps["plasma"](np.linspace(0.2, 0.86, max(len(names), 2)))
    return {name: to_hex(colour) for name, colour in zip(names, colours, strict=False)}


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure of a printed size in inches."""
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=0.04, w_pad=0.04, hspace=0.04, wspace=0.04))


def panels(figure: Figure, number: int, per_row: int, **options: Any) -> list[Axes]:
    """Make ``number`` panels in rows; places that are left over stay white."""
    rows = -(-number // per_row)
    grid = figure.subplots(rows, per_row, squeeze=False, **options).ravel()
    for axes in grid[number:]:
        axes.remove()
    return list(grid[:number])


def label_axes(axes: Axes, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    """Write title and axis labels; draw the grid, and no frame above and to the right."""
    axes.set_title(title, fontsize=NORMAL, fontweight="bold" if title else "normal")
    axes.set_xlabel(xlabel, fontsize=NORMAL)
    axes.set_ylabel(ylabel, fontsize=NORMAL)
    axes.tick_params(labelsize=SMALL, width=0.6, length=2.5)
    axes.grid(color=GRID, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_linewidth(0.6)


def finish_text(figure: Figure) -> None:
    """Show names as they are, and leave out labels of ticks that would merge. Called when all is drawn.

    A dollar or an underscore is no formula, but for ``FORMULAS``.
    """
    _show_as_is(figure)
    figure.draw_without_rendering()
    for axes in figure.axes:
        _thin_out(axes.xaxis, "x", figure.dpi)
        _thin_out(axes.yaxis, "y", figure.dpi)
    _show_as_is(figure)


def _show_as_is(figure: Figure) -> None:
    for text in figure.findobj(Text):
        text.set_parse_math(text.get_text() in FORMULAS)  # type: ignore[attr-defined]


def _thin_out(axis: Axis, side: str, dpi: float) -> None:
    """Leave out the labels of an axis that begin before the one before them has ended; their ticks stay."""
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high and tick.label1.get_visible()]
    boxes = {tick.get_loc(): tick.label1.get_window_extent() for tick in ticks if tick.label1.get_text()}
    reach = {place: (getattr(box, f"{side}0"), getattr(box, f"{side}1")) for place, box in boxes.items()}
    gap = LABEL_GAP * SMALL / 72 * dpi if side == "x" else 0.0
    kept, end = set(), -math.inf
    for place in sorted(reach, key=lambda place: reach[place]):
        if reach[place][0] >= end + gap:
            kept.add(place)
            end = reach[place][1]
    if len(kept) < len(reach):
        labels = [tick.label1.get_text() if tick.get_loc() in kept else "" for tick in ticks]
        axis.set_ticks([tick.get_loc() for tick in ticks], labels=labels)


_LEGEND: dict[str, Any] = {
    **{"fontsize": SMALL, "frameon": False, "handlelength": 2.2, "columnspacing": 1.2, "handletextpad": 0.5},
    **{"borderaxespad": 0.2, "labelspacing": 0.35},
}


def legend_inside(axes: Axes, handles: Sequence[Artist]) -> None:
    """Make a legend in place of a panel."""
    axes.set_axis_off()
    axes.legend(handles=list(handles), loc="center", **_LEGEND)


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """Make one legend for all panels, where no data can lie; the figure grows by it.

    It has as few rows as the figure's width allows, and then as few columns as these rows need.
    """
    widths = [_width(str(handle.get_label())) for handle in handles]
    number = len(handles)
    # a legend fills its columns one after the other, as evenly as array_split does
    fitting = [n for n in range(2, number + 1) if sum(map(max, np.array_split(widths, n))) < figure.get_figwidth() - 0.1]
    rows = -(-number // max(fitting, default=1))
    figure.set_figheight(figure.get_figheight() + (rows * (1.2 + _LEGEND["labelspacing"]) + 1.0) * SMALL / 72)
    figure.legend(handles=list(handles), loc="outside lower center", ncols=-(-number // rows), **_LEGEND)


@cache
def _width(label: str) -> float:
    """Return the inches that an entry of a legend takes, with the gap to the next column."""
    # letters on a screen are set up to 6 % wider than their outlines
    text = 1.06 * TextPath((0, 0), label.replace("$", "S"), size=SMALL).get_extents().width
    return (text + (_LEGEND["handlelength"] + _LEGEND["handletextpad"] + _LEGEND["columnspacing"]) * SMALL) / 72


def handle(label: str, style: Look, *, hollow: bool = False, line: bool = True) -> Line2D:
    """Make an entry of the legend."""
    line_style: dict[str, Any] = {"linestyle": style.dashes if line else "none", "linewidth": 1.2}
    face = "white" if hollow else style.colour
    marker: dict[str, Any] = {"marker": style.marker, "markersize": 4.5, "markerfacecolor": face}
    return Line2D([], [], label=label, color=style.colour, **line_style, **marker)


def interval_handles(intervals: bool, single: bool) -> list[Line2D]:
    """Make entries that say what a bar is, and that a hollow marker is one trial.

    Args:
        intervals: a bar is drawn.
        single: a marker without a bar is drawn.
    """
    grey = Look(SINGLE, "o", "none")
    bar = Line2D([], [], color=SINGLE, marker="|", markersize=8, markeredgewidth=1.2, linestyle="none")
    bar.set_label("95 % interval of mean")
    return [bar] * intervals + [handle("hollow: one trial", grey, hollow=True, line=False)] * single


def line_handle(label: str, **style: Any) -> Line2D:
    """Make an entry for a line without markers."""
    return Line2D([], [], label=label, **style)


def band_handle(label: str, colour: str, alpha: float) -> Patch:
    """Make an entry for a shaded band."""
    return Patch(facecolor=colour, alpha=alpha, linewidth=0, label=label)


def draw_means(
    axes: Axes, points: Sequence[tuple[float, Estimate]], style: Look, label: str, line: bool = True, size: float = 4.0
) -> None:
    """Draw means with their 95 % intervals, joined in the order of ``x``; one trial is a hollow marker without a bar.

    Args:
        axes: to draw on.
        points: pairs of ``x`` and the mean there.
        style: of the series.
        label: of the series' line, its intervals (``<label> interval``) and its hollow markers (``<label> n = 1``).
        line: join the means.
        size: of the markers in points.
    """
    points = sorted(points, key=lambda point: point[0])
    positions = np.array([x for x, _ in points], dtype=float)
    values = np.array([mean.mean for _, mean in points], dtype=float)
    several = np.array([mean.n > 1 for _, mean in points], dtype=bool)
    joined = style.dashes if line else "none"
    axes.plot(positions, values, label=label, color=style.colour, linestyle=joined, linewidth=1.0, zorder=3)
    marks: dict[str, Any] = {"color": style.colour, "marker": style.marker, "markersize": size, "linestyle": "none"}
    if several.any():
        half = np.array([mean.high - mean.mean for _, mean in points], dtype=float)[several]
        bars: dict[str, Any] = {"yerr": half, "elinewidth": 1.0, "capsize": 2.0, "capthick": 1.0}
        axes.errorbar(positions[several], values[several], label=f"{label} interval", zorder=4, **bars, **marks)
    if not several.all():
        axes.plot(positions[~several], values[~several], label=f"{label} n = 1", markerfacecolor="white", zorder=4, **marks)


def fit_to_means(
    axes: Axes,
    means: Sequence[Estimate],
    others: Sequence[float] = (),
    margin: float = 0.1,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> None:
    """Make the vertical axis hold all means with their intervals, and of two trials one sample standard deviation each way.

    With two trials Student's t makes an interval of nine standard deviations each way, beside which nothing else could be
    seen. Such bars are cut by the panel's frame; both of the trials are within it.

    Args:
        axes: whose limits are set.
        means: that are drawn.
        others: further heights that are to be seen.
        margin: share of the panel's height above and below.
        bounds: least and largest possible value, such as 0 and 1 of a share: no interval makes the axis reach beyond them.
    """
    reach = [0.0 if mean.n == 1 else mean.std if mean.n == 2 else mean.high - mean.mean for mean in means]
    low = min([*others, *(max(mean.mean - by, bounds[0]) for mean, by in zip(means, reach, strict=True))])
    high = max([*others, *(min(mean.mean + by, bounds[1]) for mean, by in zip(means, reach, strict=True))])
    space = margin * (high - low) or 0.05 * abs(high) or 1.0
    # a marker on a bound is seen whole
    axes.set_ylim(max(low - space, bounds[0] - 0.05 * (high - low)), min(high + space, bounds[1] + 0.05 * (high - low)))


def is_cut(axes: Axes, means: Sequence[Estimate]) -> bool:
    """Return whether the interval of one of ``means`` continues beyond the panel."""
    low, high = axes.get_ylim()
    return any(mean.high > high or mean.low < low for mean in means)


def percent_axis(axis: Any, step: float = 20.0) -> None:
    """Set an axis from 0 to 100 percent, with a margin for markers on the ends."""
    axis.axes.set(**{f"{axis.axis_name}lim": (-3.0, 103.0)})
    axis.set_major_locator(FixedLocator(list(np.arange(0.0, 100.1, step))))


def lambda_axis(axes: Axes, values: Sequence[float]) -> None:
    """Set a logarithmic axis of lambda around positive ``values``, with ``1e-4`` at its ticks as everywhere else."""
    low, high = min(values), max(values)
    margin = max((high / low) ** 0.05, 1.25)
    axes.set_xscale("log")
    axes.set_xlim(low / margin, high * margin)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(float(f"{value:.6g}"))))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if high / low < 30:
        # too short for several powers of ten
        axes.xaxis.set_major_locator(FixedLocator(sorted(set(values))))
        axes.xaxis.set_minor_locator(LogLocator(subs="all"))
