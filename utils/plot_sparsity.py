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

from utils.layer_bars import (
    INCHES_PER_LAYER,
    LIVE,
    ZERO_EDGE,
    ZERO_FACE,
    mark_stages,
    percent,
    short_number,
    square_root_axis,
    write_over,
)

COLUMNS = ("layer", "stage", "groups", "live_groups", "parameters", "live_parameters")
"""What the table of ``sparsity_figure`` must hold."""


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
    width = max(9.0, 1.3 + INCHES_PER_LAYER * len(layers))
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
            Patch(facecolor=LIVE, edgecolor=LIVE, label="live"),
            Patch(facecolor=ZERO_FACE, edgecolor=ZERO_EDGE, label="zero (number over the bar: share of the layer)"),
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
    axes.bar(positions, total, width=0.8, color=ZERO_FACE, edgecolor=ZERO_EDGE, linewidth=0.6, label="all", zorder=2)
    axes.bar(positions, live, width=0.8, color=LIVE, label="live", zorder=3)

    square_root_axis(axes, float(total.max()), short_number)

    for position, all_, alive in zip(positions, total, live, strict=True):
        write_over(axes, float(position), all_, percent(all_ - alive, all_, decimals=0), strong=alive == 0)
    mark_stages(axes, layers, "stage", lambda rows: _zero_share(rows, column))
    # Above the line of stage names.
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", pad=32)


def _zero_share(layers: pd.DataFrame, column: str) -> str:
    total, live = float(layers[column].sum()), float(layers[f"live_{column}"].sum())
    return f"{percent(total - live, total)} zero"


def _total_text(layers: pd.DataFrame, column: str, name: str, noun: str) -> str:
    total, live = int(layers[column].sum()), int(layers[f"live_{column}"].sum())
    where = "are zero" if column == "groups" else "lie in zero groups"
    return f"{name} sparsity {percent(total - live, total, decimals=2)}: {total - live:,} of {total:,} {noun} {where}"
