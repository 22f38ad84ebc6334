"""Heat map of the share of live channels, by layer and strength of the penalty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from figures.texts import write_beside
from study.figures.drawn import Drawn, DrawnFigure, trials_text
from study.figures.plotted_settings import PlottedSetting, TaskSet, task_sets
from study.figures.style import NORMAL, SMALL, TEXT, Look, finish_text, handle, legend_below, new_figure
from study.tables import StudyTables
from utils.numbers import percent

COLOURS = "viridis"
"""Its lightness rises evenly: it can be printed in grey, and most eyes see the same."""

_NAMES_UP_TO = 60
"""Layers whose names fit side by side in the width of a page."""
_ROW_INCHES = 0.2
_DEAD = "#F2F2F2"


@dataclass(frozen=True)
class LiveShares:
    """Per setting and layer the live share of its groups.

    Attributes:
        percent: (settings, layers), mean over the trials; NaN for a layer that a setting has no row of.
        dead: (settings, layers), True where no group is alive in any trial.
        total: (settings,), live share of all groups of the network in percent.
        layers: names in network order.
        stages: of the layers.
        settings: those with a row, by strength.
        trials: per setting.
    """

    percent: np.ndarray
    dead: np.ndarray
    total: np.ndarray
    layers: list[str]
    stages: list[str]
    settings: list[PlottedSetting]
    trials: list[int]


def draw_live_channels(tables: StudyTables) -> Drawn:
    """Draw a heat map per set of tasks and penalty: live share of each layer's groups, in percent, mean over the trials.

    Layers run from left to right in network order, settings from top to bottom by lambda or target. A layer without any live
    group in any trial is crossed out. Dense models have no rows: all of their groups are alive.
    """
    figures: list[DrawnFigure] = []
    missing: list[str] = []
    any_sparse = False
    for task_set in task_sets(tables):
        penalties = list(dict.fromkeys(setting.series.penalty for setting in task_set.settings if setting.sparse))
        for penalty in penalties:
            any_sparse = True
            settings = [setting for setting in task_set.settings if setting.series.penalty == penalty]
            shares = live_shares(tables, settings)
            if shares is None:
                name = f"{task_set.title}, {settings[0].series.penalty_label}"
                missing.append(f"Live channels per layer of {name}: no layer was recorded.")
            else:
                figures.append(_draw(task_set, penalty, shares))
    if not any_sparse:
        missing.append("Live channels per layer: the study has no sparse setting.")
    return figures, missing


def live_shares(tables: StudyTables, settings: Sequence[PlottedSetting]) -> LiveShares | None:
    """Compute the live share of each layer of ``settings``; None if the table of the layers lacks them."""
    table = tables.layers[tables.layers["setting"].isin([setting.name for setting in settings])]
    numbers = table[["groups", "live_groups"]].apply(pd.to_numeric, errors="coerce")
    table = table.assign(groups=numbers["groups"], live=numbers["live_groups"]).dropna(subset=["groups", "live"])
    table = table[table["groups"] > 0]
    if table.empty:
        return None
    table = table.assign(percent=100.0 * table["live"] / table["groups"])
    kept = [setting for setting in settings if (table["setting"] == setting.name).any()]
    names = [setting.name for setting in kept]
    stages = table.drop_duplicates("layer").set_index("layer")["stage"]
    grid = table.groupby(["setting", "layer"])
    percent = grid["percent"].mean().unstack().reindex(index=names, columns=stages.index)
    dead = grid["live"].max().unstack().reindex(index=names, columns=stages.index) == 0
    sums = table.groupby("setting")[["live", "groups"]].sum().reindex(names)
    return LiveShares(
        percent=percent.to_numpy(dtype=float),
        dead=dead.to_numpy(dtype=bool),
        total=(100.0 * sums["live"] / sums["groups"]).to_numpy(dtype=float),
        layers=[str(name) for name in stages.index],
        stages=[str(stage) for stage in stages],
        settings=kept,
        trials=[int(table.loc[table["setting"] == name, "trial"].nunique()) for name in names],
    )


def _draw(task_set: TaskSet, penalty: str, shares: LiveShares) -> DrawnFigure:
    rows, columns = shares.percent.shape
    names = _short_names(shares) if columns <= _NAMES_UP_TO else []
    height = 1.05 + 0.058 * max(map(len, names), default=0)
    figure = new_figure(TEXT, height + _ROW_INCHES * max(rows, 3))
    axes = figure.subplots()
    image = axes.imshow(
        shares.percent, cmap=COLOURS, vmin=0, vmax=100, aspect="auto", interpolation="nearest", label="live groups"
    )
    _mark_dead(axes, shares)
    _mark_stages(axes, shares.stages)
    _write_rows(axes, shares)
    axes.set_xticks(range(len(names)), labels=names, rotation=90)
    axes.set_xlabel("shared convolution, in network order", fontsize=NORMAL)
    axes.tick_params(labelsize=SMALL, length=0)
    axes.spines[:].set_visible(False)
    _write_colour_bar(figure, axes, image)
    if shares.dead.any():
        cross = Look("#000000", "x", "none")
        legend_below(figure, [handle("no live channel in any trial", cross, line=False)])
    finish_text(figure)
    title = shares.settings[0].series.penalty_label
    return DrawnFigure(
        name=f"layers_{task_set.key}_{penalty}",
        title=f"Live channels per layer: {task_set.title}, {title}",
        caption=(
            f"{task_set.title}, {title}: live input channels of each shared convolution in percent of the layer's, mean over "
            f"{trials_text(shares.trials)}. On the right, the live share of all channels of the network"
            f"{'; a cross marks a layer without a live channel' if shares.dead.any() else ''}."
        ),
        figure=figure,
    )


def _mark_dead(axes: Axes, shares: LiveShares) -> None:
    rows, columns = np.nonzero(shares.dead)
    for row, column in zip(rows, columns, strict=True):
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=_DEAD, linewidth=0))
    size = min(5.0, 0.45 * 72 * 5.3 / len(shares.layers))
    axes.plot(columns, rows, linestyle="none", marker="x", color="black", markersize=size, markeredgewidth=1.1, label="dead")


def _mark_stages(axes: Axes, stages: Sequence[str]) -> None:
    """Draw a white gap between stages, and their names above."""
    starts = [index for index, stage in enumerate(stages) if index == 0 or stage != stages[index - 1]]
    for start, end in zip(starts, [*starts[1:], len(stages)], strict=True):
        if start:
            axes.axvline(start - 0.5, color="white", linewidth=2.0)
        # a character takes about 0.06 inches
        if (end - start) / len(stages) * 5.3 > 0.055 * len(stages[start]) - 0.1:
            place: dict[str, Any] = {"xycoords": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
            write_beside(axes, stages[start], ((start + end - 1) / 2, 1.0), (0, 3), fontsize=SMALL, **place)


def _write_rows(axes: Axes, shares: LiveShares) -> None:
    """Write the settings on the left, and on the right the live share of the whole network."""
    same = len(set(shares.trials)) == 1
    labels = [
        setting.strength_label if same else f"{setting.strength_label} (n = {trials})"
        for setting, trials in zip(shares.settings, shares.trials, strict=True)
    ]
    axes.set_yticks(range(len(labels)), labels=labels)
    for row in range(1, len(labels)):
        axes.axhline(row - 0.5, color="white", linewidth=0.8)
    for row, total in enumerate(shares.total):
        place: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "ha": "right", "va": "center"}
        write_beside(axes, percent(total), (1.0, row), (34, 0), fontsize=SMALL, **place)
    write_beside(axes, "all", (1.0, 1.0), (34, 3), xycoords="axes fraction", ha="right", va="bottom", fontsize=SMALL)


def _short_names(shares: LiveShares) -> list[str]:
    """Return the names of the layers without that of their stage, which is written above."""
    return [name.removeprefix(f"{stage}.") for name, stage in zip(shares.layers, shares.stages, strict=True)]


def _write_colour_bar(figure: Figure, axes: Axes, image: ScalarMappable) -> None:
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.45, aspect=32, pad=0.03)
    bar.set_ticks([0, 25, 50, 75, 100])
    bar.set_label("live channels of the layer (%)", fontsize=NORMAL)
    bar.ax.tick_params(labelsize=SMALL, width=0.6, length=2.5)
    bar.outline.set_visible(False)  # type: ignore[operator]
