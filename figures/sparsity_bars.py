"""The sparsity figure: which input-channel groups of which shared convolution are zero.

The numbers come from a table that the caller has (one row per convolution); this module draws them and counts nothing
that is not in the table. Figures are made with matplotlib's object-oriented interface: no display, no global state.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from figures.layer_bars import LIVE, ZERO_EDGE, ZERO_FACE, LayerTexts, count_text, draw_layers, layer_figure, name_layers
from utils.numbers import percent

COLUMNS = ("layer", "stage", "groups", "live_groups", "parameters", "live_parameters")
"""Columns that the table of ``sparsity_figure`` must have."""


def sparsity_figure(layers: pd.DataFrame, title: str) -> Figure:
    """Draw groups and parameters per layer, all of them as a light bar and the live ones as a solid bar over it.

    Args:
        layers: one row per shared convolution in network order, with the columns ``layer`` and ``stage`` (names),
            ``groups`` and ``live_groups`` (numbers of input-channel groups, all and not zero), ``parameters`` and
            ``live_parameters`` (numbers of weights, all and in live groups). Rows of a stage stand together.
        title: what the figure shows (data set, tasks, lambda); wrapped where it is longer than the figure is wide.

    Raises:
        ValueError: a column is missing, there is no row, or a live count is not between 0 and its total.
    """
    _check(layers)
    layers = layers.assign(stage=layers["stage"].astype(str))
    figure = layer_figure(title, len(layers), 8.0, 9.0)
    top, bottom = figure.subplots(2, 1, sharex=True)
    for axes, column, start, ylabel in (
        (top, "groups", "(a) Group", "input-channel groups"),
        (bottom, "parameters", "(b) Parameter", "parameters"),
    ):
        _draw_panel(axes, layers, column, start, ylabel)
    name_layers(top, bottom, list(layers["layer"].astype(str)))
    bottom.set_xlabel("shared convolution, in network order")
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


def _draw_panel(axes: Axes, layers: pd.DataFrame, column: str, start: str, ylabel: str) -> None:
    """Draw the bars, percentages and stages of one column (``groups`` or ``parameters``)."""
    live = f"live_{column}"
    total, zero = int(layers[column].sum()), int((layers[column] - layers[live]).sum())
    where = "are zero" if column == "groups" else "lie in zero groups"
    draw_layers(
        axes,
        layers,
        {column: (ZERO_FACE, "all"), live: (LIVE, "live")},
        LayerTexts(
            title=f"{start} sparsity {percent(zero, total, decimals=2)}: {zero:,} of {total:,} {column} {where}",
            ylabel=ylabel,
            tick=count_text,
            over=lambda row: percent(row[column] - row[live], row[column], decimals=0),
            stage=lambda rows: f"{percent(float((rows[column] - rows[live]).sum()), float(rows[column].sum()))} zero",
        ),
    )
