"""Learning curves of a study: the losses, each task's main metric and the sparsity over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from study.columns import CURVES
from study.figures.drawn import Drawn, DrawnFigure, trials_text
from study.figures.plotted_settings import PlottedSetting, TaskSet, drawn_sets, main_columns
from study.figures.style import (
    COLUMN,
    DENSE,
    GUIDE,
    TEXT,
    band_handle,
    dense_look,
    finish_text,
    label_axes,
    legend_below,
    legend_inside,
    line_handle,
    new_figure,
    panels,
    percent_axis,
    strength_colours,
)
from study.tables import StudyTables

MOST_LINES = 7
"""Settings that can be told apart in one panel."""

_DASHES = ((0, (5, 1.2)), (0, (1.2, 1.2)), (0, (5, 1.2, 1.2, 1.2)), "-", (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
_BAND = 0.16
_LOSSES = ("train_loss", "val_loss")


@dataclass(frozen=True)
class Curve:
    """A quantity of a setting over the epochs, all arrays (epochs,)."""

    epochs: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    """The least of the trials."""
    high: np.ndarray
    trials: int


def draw_curves(tables: StudyTables) -> Drawn:
    """Draw a figure per set of tasks (and per penalty, where there are several) with a panel per recorded quantity.

    A line is the mean over the trials, the band around it reaches from the least to the largest. At most ``MOST_LINES``
    settings are drawn: the dense ones and sparse ones spread evenly from the weakest to the strongest.
    """
    figures, missing = [], []
    for task_set in drawn_sets(tables):
        penalties = list(dict.fromkeys(series.penalty for series in task_set.sparse)) or [""]
        for penalty in penalties:
            name = "_".join(["curves", task_set.key, *([penalty] if len(penalties) > 1 else [])])
            sparse = [setting for setting in task_set.settings if setting.sparse and setting.series.penalty == penalty]
            drawn = _draw(tables, task_set, sparse, name)
            if drawn is None:
                missing.append(f"Learning curves of {task_set.title}: no epoch was recorded.")
            else:
                figures.append(drawn)
    return figures, missing


def chosen_settings(dense: Sequence[PlottedSetting], sparse: Sequence[PlottedSetting]) -> list[PlottedSetting]:
    """Choose the dense settings, and sparse ones spread evenly over their order; ``MOST_LINES`` at most."""
    kept = list(dense[: MOST_LINES - 1])
    room = MOST_LINES - len(kept)
    if len(sparse) <= room:
        return kept + list(sparse)
    places = np.round(np.linspace(0, len(sparse) - 1, room)).astype(int) if room > 1 else np.array([len(sparse) - 1])
    return kept + [sparse[place] for place in places]


def curve(rows: pd.DataFrame) -> Curve | None:
    """Compute mean and range over the trials at the epochs at which all trials have a finite value; None without one.

    Args:
        rows: of the table of curves, all of one setting and one quantity.
    """
    values = rows.assign(value=pd.to_numeric(rows["value"], errors="coerce"))
    values = values[np.isfinite(values["value"])]
    if values.empty:
        return None
    wide = values.pivot_table(index="epoch", columns="trial", values="value").sort_index().dropna()
    if wide.empty:
        return None
    return Curve(
        epochs=wide.index.to_numpy(dtype=float),
        mean=wide.mean(axis=1).to_numpy(),
        low=wide.min(axis=1).to_numpy(),
        high=wide.max(axis=1).to_numpy(),
        trials=wide.shape[1],
    )


def _draw(tables: StudyTables, task_set: TaskSet, sparse: Sequence[PlottedSetting], name: str) -> DrawnFigure | None:
    chosen = chosen_settings(task_set.dense, sparse)
    curves = _recorded(tables, task_set, chosen)
    settings = [setting for setting in chosen if any(setting.name in lines for lines in curves.values())]
    if not settings:
        return None
    number = len(curves)
    per_row = 3 if number in (3, 5) or number > 6 else {1: 1, 2: 2, 4: 2}.get(number, 3)
    figure = new_figure(COLUMN if number == 1 else TEXT, 1.75 * -(-number // per_row))
    # a place that is left over takes the legend
    places = panels(figure, number + (number % per_row > 0), per_row)
    looks = _looks(settings)
    cut = False
    last = max(line.epochs[-1] for lines in curves.values() for line in lines.values())
    for axes, (metric, lines) in zip(places, curves.items(), strict=False):
        for setting in settings:
            if setting.name in lines:
                _draw_curve(axes, lines[setting.name], setting.strength_label, looks[setting.name])
        cut |= _keep_to_most(axes, [lines[setting.name] for setting in settings if setting.name in lines])
        _name_panel(axes, tables, task_set, metric)
        axes.set_xlim(0, max(last, 2.0) * 1.02)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    trials = {
        setting.name: max(lines[setting.name].trials for lines in curves.values() if setting.name in lines)
        for setting in settings
    }
    handles: list[Artist] = [
        line_handle(f"{setting.strength_label} (n = {trials[setting.name]})", **looks[setting.name]) for setting in settings
    ]
    if max(trials.values()) > 1:
        handles.append(band_handle("least to largest trial", GUIDE, 0.5))
    if len(places) > number:
        legend_inside(places[-1], handles)
    else:
        legend_below(figure, handles)
    finish_text(figure)
    left_out = len(task_set.dense) + len(sparse) - len(chosen)
    title = f"{task_set.title}, {sparse[0].series.penalty_label}" if sparse else task_set.title
    return DrawnFigure(name, f"Learning curves: {title}", _caption(title, list(trials.values()), left_out, cut), figure)


def _recorded(tables: StudyTables, task_set: TaskSet, settings: Sequence[PlottedSetting]) -> dict[str, dict[str, Curve]]:
    """Return per quantity and setting its curve, without quantities that nobody recorded and the sparsity of dense models."""
    metrics = [column.name for column in main_columns(tables, task_set.tasks).values()]
    names = [setting.name for setting in settings]
    mine = tables.curves[tables.curves["setting"].isin(names)]
    rows = dict(iter(mine.groupby(["setting", "metric"])))
    curves = {
        metric: {name: line for name in names if (name, metric) in rows and (line := curve(rows[name, metric]))}
        for metric in (*_LOSSES, *metrics, "group_sparsity")
    }
    if not any(setting.sparse for setting in settings):
        del curves["group_sparsity"]
    return {metric: lines for metric, lines in curves.items() if lines}


def _looks(settings: Sequence[PlottedSetting]) -> dict[str, dict[str, Any]]:
    """Give dense models black, stronger penalties lighter lines, and neighbours different dashes, too."""
    dense = [setting for setting in settings if not setting.sparse]
    sparse = [setting for setting in settings if setting.sparse]
    colours = strength_colours(setting.strength_label for setting in sparse)
    looks: dict[str, dict[str, Any]] = {}
    for index, setting in enumerate(dense):
        looks[setting.name] = {"color": DENSE, "linestyle": dense_look(index).dashes, "linewidth": 1.15}
    for index, setting in enumerate(sparse):
        dashes = _DASHES[index % len(_DASHES)]
        looks[setting.name] = {"color": colours[setting.strength_label], "linestyle": dashes, "linewidth": 1.15}
    return looks


def _draw_curve(axes: Axes, line: Curve, label: str, style: dict[str, Any]) -> None:
    marker = "o" if len(line.epochs) == 1 else None
    axes.plot(line.epochs, line.mean, label=label, marker=marker, markersize=3, zorder=3, **style)
    if line.trials > 1:
        axes.fill_between(
            line.epochs, line.low, line.high, label=f"{label} range", color=style["color"], alpha=_BAND, linewidth=0, zorder=2
        )


def _keep_to_most(axes: Axes, lines: Sequence[Curve]) -> bool:
    """Keep a few epochs that are far from all others from flattening the rest.

    Returns:
        Whether there are such peaks: the frame cuts them.
    """
    values = np.concatenate([line.mean for line in lines])
    low, high = np.percentile(values, (2, 98))
    room = 0.5 * (high - low)
    bottom, top = max(values.min(), low - room), min(values.max(), high + room)
    space = 0.05 * (top - bottom) or 0.05 * abs(top) or 1.0
    axes.set_ylim(bottom - space, top + space)
    return bool(values.min() < bottom - space or values.max() > top + space)


def _name_panel(axes: Axes, tables: StudyTables, task_set: TaskSet, metric: str) -> None:
    if metric in _LOSSES:
        label_axes(axes, CURVES[metric].title, "epoch", "loss (↓ better)")
    elif metric == "group_sparsity":
        label_axes(axes, "Group sparsity", "epoch", "zero groups (%)")
        percent_axis(axes.yaxis)
        return
    else:
        column = next(column for column in main_columns(tables, task_set.tasks).values() if column.name == metric)
        label_axes(axes, column.group, "epoch", f"val. {column.axis_label(brief=True)}")
    axes.locator_params(axis="y", nbins=5)


def _caption(title: str, trials: Sequence[int], left_out: int, cut: bool) -> str:
    text = f"{title}: training loss, and on the validation set the loss (sum over tasks) and each task's main metric."
    if max(trials) > 1:
        text += f" Lines are means over {trials_text(trials)}, bands reach from the least to the largest of them."
    else:
        text += " One trial per setting."
    if cut:
        text += " Peaks of single epochs that are far from all others are cut."
    if left_out:
        text += f" {left_out} more settings of other strengths are not shown."
    return text
