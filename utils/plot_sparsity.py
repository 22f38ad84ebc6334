"""The sparsity figure: which input-channel groups of which shared convolution are zero.

The numbers come from a table that the caller has (one row per convolution); this module draws them and counts nothing
that is not in the table. Figures are made with matplotlib's object-oriented interface: no display, no global state.
"""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

COLUMNS = ("layer", "stage", "groups", "live_groups", "parameters", "live_parameters")
"""What the table of ``sparsity_figure`` must hold."""

_LIVE = "#0072B2"
_ZERO_FACE, _ZERO_EDGE = "#DDDDDD", "#8A8A8A"
_STAGE_SHADE = "#FFF3DC"
_DEAD = "#B23A00"
_INCHES_PER_LAYER = 0.205
_HEADROOM = 1.5
"""Top of the value axis over its largest bar: room for the upright percentages (a sixth of the axis's height)."""


def sparsity_figure(layers: pd.DataFrame, title: str) -> Figure:
    """Draw groups and parameters per layer, all of them as a light bar and the live ones as a solid bar over it.

    Both value axes have a square-root scale: they start at a true zero (so a dead layer has no solid bar, and bars keep
    a meaning that a logarithmic axis takes away), yet a layer of 3 groups is seen beside one of 2048. Since the eye
    cannot read shares from such a scale, the percentage that is zero is written over each bar.

    Args:
        layers: one row per shared convolution in network order, with the columns ``layer`` and ``stage`` (names),
            ``groups`` and ``live_groups`` (numbers of input-channel groups, all and not zero), ``parameters`` and
            ``live_parameters`` (numbers of weights, all and in live groups). Rows of a stage stand together.
        title: what the figure shows (data set, tasks, lambda); wrapped where it is longer than the figure is wide.

    Raises:
        ValueError: a column is missing, there is no row, or a live count is not between 0 and its total.
    """
    _check(layers)
    width = max(9.0, 1.3 + _INCHES_PER_LAYER * len(layers))
    figure = Figure(figsize=(width, 8.0), layout=ConstrainedLayoutEngine(h_pad=0.07, w_pad=0.07))
    # 9 to 10 characters of the bold 12-point title fit in an inch.
    heading = figure.suptitle(textwrap.fill(title, int(width * 9.5)), fontsize=12, fontweight="bold")
    heading.set_parse_math(False)
    top, bottom = figure.subplots(2, 1, sharex=True)

    _draw_panel(top, layers, "groups", f"(a) {_total_text(layers, 'groups', 'Group', 'groups')}")
    top.set_ylabel("input-channel groups\n(count, square-root scale)", fontsize=9)
    _draw_panel(bottom, layers, "parameters", f"(b) {_total_text(layers, 'parameters', 'Parameter', 'parameters')}")
    bottom.set_ylabel("parameters\n(count, square-root scale)", fontsize=9)

    top.tick_params(axis="x", length=0)
    bottom.set_xticks(np.arange(len(layers)), labels=layers["layer"].astype(str), rotation=90, fontsize=7.5)
    bottom.set_xlabel("shared convolution, in network order")
    bottom.set_xlim(-0.6, len(layers) - 0.4)
    figure.legend(
        handles=[
            Patch(facecolor=_LIVE, edgecolor=_LIVE, label="live"),
            Patch(facecolor=_ZERO_FACE, edgecolor=_ZERO_EDGE, label="zero (number over the bar: share of the layer)"),
        ],
        loc="outside lower center",
        ncols=2,
        fontsize=9,
        frameon=False,
    )
    return figure


def _check(layers: pd.DataFrame) -> None:
    missing = [column for column in COLUMNS if column not in layers.columns]
    if missing:
        raise ValueError(f"the table of layers lacks the columns {missing}; it has {list(layers.columns)}")
    if layers.empty:
        raise ValueError("the table of layers has no row")
    for column in ("groups", "parameters"):
        live, total = layers[f"live_{column}"], layers[column]
        wrong = layers["layer"][~((live >= 0) & (live <= total) & (total > 0))]
        if len(wrong):
            raise ValueError(f"live_{column} must lie between 0 and {column}: not so in {list(wrong)}")


def _draw_panel(axes: Axes, layers: pd.DataFrame, column: str, title: str) -> None:
    """Bars, percentages and stages of one column (``groups`` or ``parameters``) on ``axes``."""
    total = layers[column].to_numpy(dtype=float)
    live = layers[f"live_{column}"].to_numpy(dtype=float)
    positions = np.arange(len(layers))
    axes.bar(positions, total, width=0.8, color=_ZERO_FACE, edgecolor=_ZERO_EDGE, linewidth=0.6, label="all", zorder=2)
    axes.bar(positions, live, width=0.8, color=_LIVE, label="live", zorder=3)

    axes.set_yscale("function", functions=(_signed_sqrt, _signed_square))
    axes.set_ylim(0, total.max() * _HEADROOM)
    axes.yaxis.set_major_locator(FixedLocator(_ticks(total.max())))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short_number(value)))
    axes.tick_params(axis="y", labelsize=8.5)
    axes.grid(axis="y", color="#D5D5D5", linewidth=0.5, zorder=1)
    axes.spines[["top", "right"]].set_visible(False)

    for position, all_, alive in zip(positions, total, live, strict=True):
        dead = alive == 0
        axes.annotate(
            _percent(all_ - alive, all_, decimals=0),
            (float(position), float(all_)),
            xytext=(0, 2.5),
            textcoords="offset points",
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=7,
            color=_DEAD if dead else "#333333",
            fontweight="bold" if dead else "normal",
        )
    _mark_stages(axes, layers, column)
    # Above the line of stage names.
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", pad=32)


def _mark_stages(axes: Axes, layers: pd.DataFrame, column: str) -> None:
    """Shade every other stage and write name and sparsity over each."""
    stages = layers["stage"].astype(str)
    runs = (stages != stages.shift()).cumsum().to_numpy()
    for index, run in enumerate(np.unique(runs)):
        rows = np.flatnonzero(runs == run)
        left, right = float(rows[0]) - 0.5, float(rows[-1]) + 0.5
        if index % 2 == 0:
            axes.axvspan(left, right, color=_STAGE_SHADE, linewidth=0, zorder=0)
        if index:
            axes.axvline(left, color="#666666", linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
        total = float(layers[column].iloc[rows].sum())
        live = float(layers[f"live_{column}"].iloc[rows].sum())
        axes.annotate(
            f"{stages.iloc[rows[0]]}\n{_percent(total - live, total)} zero",
            ((left + right) / 2, 1.0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8.5,
            color="#222222",
        )


def _total_text(layers: pd.DataFrame, column: str, name: str, noun: str) -> str:
    total, live = int(layers[column].sum()), int(layers[f"live_{column}"].sum())
    where = "are zero" if column == "groups" else "lie in zero groups"
    return f"{name} sparsity {_percent(total - live, total, decimals=2)}: {total - live:,} of {total:,} {noun} {where}"


def _percent(part: float, whole: float, decimals: int = 1) -> str:
    """A share as text that says 0 or 100 only if it is exactly that."""
    share, step = 100.0 * part / whole, 10.0**-decimals
    if part and share < step / 2:
        return f"<{step:.{decimals}f} %"
    if part != whole and share >= 100 - step / 2:
        return f">{100 - step:.{decimals}f} %"
    return f"{share:.{decimals}f} %"


def _ticks(largest: float) -> list[float]:
    """Zero and the numbers 1, 2, 5 times a power of ten that stand apart on a square-root axis up to ``largest``."""
    ticks = [0.0]
    for exponent in range(9, -1, -1):
        ticks += [d * 10.0**exponent for d in (5, 2, 1) if 0.03 * largest <= d * 10.0**exponent <= largest * _HEADROOM]
    return ticks


def _short_number(value: float) -> str:
    """``1500`` as ``1,500`` and ``2000000`` as ``2 M``."""
    return f"{value / 1e6:g} M" if value >= 1e5 else f"{value:,.0f}"


def _signed_sqrt(values: np.ndarray) -> np.ndarray:
    # matplotlib asks for values beyond the axis too: the function must be defined and monotone there.
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)))


def _signed_square(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(values) * np.square(values))
