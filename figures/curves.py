"""Learning curves: one small plot per recorded quantity, one line per run."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from figures.files import BLUE, GREEN, ORANGE, PINK, SKY, VERMILION

_COLOURS = (BLUE, VERMILION, GREEN, PINK, ORANGE, SKY, "#000000")
_DASHES = ("-", "--", ":", "-.")
_PLOTS_PER_ROW = 3
_PLOT_INCHES = (4.2, 2.9)
_CHARACTERS_PER_PLOT = 48
"""Of 9-point text, in the width of a plot."""
_MARKERS_UP_TO = 20
"""Points of a line up to which each gets a marker; a single point would be invisible without one."""


def learning_curves(
    runs: Mapping[str, pd.DataFrame],
    columns: Sequence[str],
    titles: Mapping[str, str] | None = None,
    ylabels: Mapping[str, str] | None = None,
) -> Figure:
    """Draw ``columns`` over the epochs, up to three plots a row, one line per run and one legend for all.

    Values that are missing or not finite are left out and the line goes on to the next one, since some quantities are
    recorded every few epochs only. A run without any value of a column is named in that plot as not recorded.

    Args:
        runs: per label (such as "dense", "sparse, λ = 1e-4") a table with the column ``epoch`` and one row per record.
        columns: the quantities to draw, a plot each.
        titles: per column the title of its plot; the column's name where missing.
        ylabels: per column the label of its value axis with the unit; none where missing.

    Raises:
        ValueError: no run, no column, or a run without the column ``epoch``.
    """
    if not runs or not columns:
        raise ValueError(f"learning curves need a run and a column: got runs {list(runs)}, columns {list(columns)}")
    for label, run in runs.items():
        if "epoch" not in run.columns:
            raise ValueError(f"run {label!r} has no column 'epoch'; it has {list(run.columns)}")

    per_row = min(len(columns), _PLOTS_PER_ROW)
    rows = -(-len(columns) // per_row)
    size = (max(_PLOT_INCHES[0] * per_row, 5.0), _PLOT_INCHES[1] * rows + 0.4)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.08))
    grid = figure.subplots(rows, per_row, squeeze=False).ravel()
    for axes in grid[len(columns) :]:
        axes.remove()
    styles = {label: _style(index) for index, label in enumerate(runs)}
    epochs = pd.concat([pd.to_numeric(run["epoch"], errors="coerce") for run in runs.values()])
    margin = max(0.5, 0.03 * float(epochs.max() - epochs.min()))
    for axes, column in zip(grid, columns, strict=False):
        _draw_column(axes, runs, column, styles)
        if epochs.notna().any():
            # The same epochs in every plot, also where a run lacks a quantity.
            axes.set_xlim(float(epochs.min()) - margin, float(epochs.max()) + margin)
        axes.set_title((titles or {}).get(column, column), fontsize=10, parse_math=False)
        axes.set_ylabel((ylabels or {}).get(column, ""), fontsize=9, parse_math=False)

    _write_legend(figure, styles)
    return figure


def _style(index: int) -> dict[str, Any]:
    """Colour first, then dashes: seven runs differ by colour, twenty-eight by both."""
    return {
        "color": _COLOURS[index % len(_COLOURS)],
        "linestyle": _DASHES[index // len(_COLOURS) % len(_DASHES)],
        "linewidth": 1.5,
    }


def _write_legend(figure: Figure, styles: Mapping[str, Any]) -> None:
    longest = min(max(len(label) for label in styles), _CHARACTERS_PER_PLOT)
    legend = figure.legend(
        handles=[Line2D([], [], label=textwrap.fill(label, _CHARACTERS_PER_PLOT), **style) for label, style in styles.items()],
        loc="outside lower center",
        # A 9-point character takes about 0.08 inches, the sample of the line half an inch.
        ncols=max(1, min(len(styles), int(figure.get_figwidth() / (0.08 * longest + 0.6)))),
        fontsize=9,
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _draw_column(axes: Axes, runs: Mapping[str, pd.DataFrame], column: str, styles: Mapping[str, Any]) -> None:
    absent = []
    for label, run in runs.items():
        epochs, values = _points(run, column)
        if not len(values):
            absent.append(label)
            continue
        marker = "o" if len(values) <= _MARKERS_UP_TO else None
        axes.plot(epochs, values, label=label, marker=marker, markersize=3.5, **styles[label])

    axes.spines[["top", "right"]].set_visible(False)
    if len(absent) == len(runs):
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", va="center", color="#666666")
        return
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.tick_params(labelsize=8)
    axes.grid(color="#DDDDDD", linewidth=0.5)
    # Missing runs are named below the axis, where no line can lie.
    missing = "\n" + textwrap.fill(f"not recorded: {', '.join(absent)}", _CHARACTERS_PER_PLOT) if absent else ""
    axes.set_xlabel(f"epoch{missing}", fontsize=9, parse_math=False)


def _points(run: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Epochs and values of the finite records, both (n,), in the order of the epochs."""
    if column not in run.columns:
        return np.empty(0), np.empty(0)
    epochs = pd.to_numeric(run["epoch"], errors="coerce").to_numpy(dtype=float)
    values = pd.to_numeric(run[column], errors="coerce").to_numpy(dtype=float)
    kept = np.isfinite(epochs) & np.isfinite(values)
    order = np.argsort(epochs[kept], kind="stable")
    return epochs[kept][order], values[kept][order]
