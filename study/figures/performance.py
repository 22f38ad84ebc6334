"""Figure of the main metric of each task against the group sparsity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from study.columns import COLUMNS, Column
from study.figures.drawn import Drawn, DrawnFigure, Legend, bars_text, trials_text
from study.figures.plotted_settings import PlottedSetting, TaskSet, all_series, baselines, drawn_sets, estimates, main_columns
from study.figures.style import (
    COLUMN,
    DENSE,
    SINGLE,
    TEXT,
    band_handle,
    dense_look,
    draw_means,
    fit_to_means,
    handle,
    is_cut,
    label_axes,
    line_handle,
    look,
    new_figure,
    panels,
    percent_axis,
)
from study.labels import task_title
from study.statistics import Estimate
from study.tables import StudyTables

_SINGLE_LINE: dict[str, Any] = {"color": SINGLE, "linewidth": 1.1}
_SINGLE_DASHES = ((0, (4, 2)), (0, (2, 2)), (0, (8, 3)))
"""Dashes of the single-task models: first those without a variant."""
_BAND = 0.15


def draw_performance(tables: StudyTables) -> Drawn:
    """Draw a figure per set of tasks with a panel per task: its main metric against the group sparsity.

    Points are means over the trials with their 95 % intervals (Student's t). Dense models are horizontal: that of the same
    tasks is a line in a band (its interval), that of the task alone is a dashed line.
    """
    figures, missing = [], []
    sparsity = estimates(tables, "group_sparsity")
    for task_set in drawn_sets(tables):
        values = {task: estimates(tables, column.name) for task, column in main_columns(tables, task_set.tasks).items()}
        sparse = {setting.name for setting in task_set.settings if setting.sparse} & sparsity.keys()
        values = {task: means for task, means in values.items() if sparse & means.keys()}
        if values:
            figures.append(_draw(tables, task_set, values, sparsity))
        else:
            missing.append(
                f"Performance of {task_set.title}: no sparse setting has both a task's main metric and the group sparsity."
            )
    return figures, missing


def _draw(
    tables: StudyTables, task_set: TaskSet, values: dict[str, dict[str, Estimate]], sparsity: dict[str, Estimate]
) -> DrawnFigure:
    """Draw the figure of a set; ``values`` are the main metric per task and setting, ``sparsity`` is per setting in percent."""
    number = len(values)
    per_row = 2 if number == 4 else min(number, 3)
    figure = new_figure(COLUMN if per_row == 1 else TEXT, 0.1 + 1.85 * -(-number // per_row))
    legend, cut = Legend(), False
    columns = main_columns(tables, values)
    for axes, (task, means) in zip(panels(figure, number, per_row), values.items(), strict=True):
        panel = _Panel(axes, means, legend)
        drawn = panel.draw_sparse(tables, task_set, sparsity) + panel.draw_dense(task_set)
        lines = panel.draw_singles(baselines(tables, task_set, task) if len(task_set.tasks) > 1 else [])
        percent_axis(axes.xaxis)
        fit_to_means(axes, drawn, lines, bounds=_bounds(columns[task], [*lines, *(mean.mean for mean in drawn)]))
        cut |= is_cut(axes, drawn)
        label_axes(axes, task_title(tables, task), COLUMNS["group_sparsity"].heading, columns[task].axis_label())
        axes.locator_params(axis="y", nbins=5)
    dense = [setting for setting in task_set.dense if any(setting.name in means for means in values.values())]
    if any(means[setting.name].n > 1 for setting in dense for means in values.values() if setting.name in means):
        legend.add(band_handle("95 % interval of dense mean", DENSE, _BAND))
    counts = [count for label, numbers in legend.counts.items() if not _is_single(label) for count in numbers]
    legend.write(figure)
    sentences = [
        f"{task_set.title}: main metric of each task against the group sparsity of the network.",
        f"Points are means over {trials_text(counts)}{', hollow ones are of a single trial' * (min(counts) == 1)}.",
        *([f"{bars_text(cut, 'Bars and bands')}."] if max(counts) > 1 else []),
        *(["Horizontal solid line: the dense model of the same tasks."] if dense else []),
        *(["Dashed grey line: the dense model of the task alone."] if any(map(_is_single, legend.handles)) else []),
    ]
    return DrawnFigure(
        f"performance_{task_set.key}", f"Performance against group sparsity: {task_set.title}", " ".join(sentences), figure
    )


def _bounds(column: Column, values: Sequence[float]) -> tuple[float, float]:
    """Return the least and the largest value that a metric can have, as far as its direction and its values tell."""
    share = column.better == "up" and not column.unit and max(values) <= 1
    return (0.0 if min(values) >= 0 else -math.inf), (1.0 if share else math.inf)


@dataclass(frozen=True)
class _Panel:
    """Panel of a task: ``means`` are those of its main metric, by setting."""

    axes: Axes
    means: dict[str, Estimate]
    legend: Legend

    def draw_sparse(self, tables: StudyTables, task_set: TaskSet, sparsity: dict[str, Estimate]) -> list[Estimate]:
        """Draw means with their intervals; return these means."""
        drawn: list[Estimate] = []
        for index, series in enumerate(all_series(tables)):
            names = [
                setting.name for setting in task_set.sparse.get(series, []) if setting.name in self.means.keys() & sparsity
            ]
            if names:
                points = [(sparsity[name].mean, self.means[name]) for name in names]
                self.legend.add(handle(series.label, look(index)), [mean for _, mean in points], markers=True)
                draw_means(self.axes, points, look(index), series.label)
                drawn += [mean for _, mean in points]
        return drawn

    def draw_dense(self, task_set: TaskSet) -> list[Estimate]:
        """Draw each dense model of the same tasks as a line in a band, which is its interval; return their means."""
        drawn: list[Estimate] = []
        for index, setting in enumerate(task_set.dense):
            if setting.name in self.means:
                mean, label, style = self.means[setting.name], setting.series.label, dense_look(index)
                line: dict[str, Any] = {"color": style.colour, "linestyle": style.dashes, "linewidth": 1.0}
                self.axes.axhline(mean.mean, label=label, zorder=2, **line)
                if mean.n > 1:
                    band: dict[str, Any] = {"color": style.colour, "alpha": _BAND, "linewidth": 0}
                    self.axes.axhspan(mean.low, mean.high, label=f"{label} interval", zorder=1, **band)
                self.legend.add(line_handle("multi-task " * (len(task_set.tasks) > 1) + label, **line), [mean])
                drawn.append(mean)
        return drawn

    def draw_singles(self, settings: list[PlottedSetting]) -> list[float]:
        """Draw each dense model of the task alone as a dashed line; return their heights."""
        lines = []
        for single in settings:
            if single.name in self.means:
                mean, label = self.means[single.name], f"single-task {single.series.label}"
                place = list(dict.fromkeys([*filter(_is_single, self.legend.handles), label])).index(label)
                line: dict[str, Any] = {**_SINGLE_LINE, "linestyle": _SINGLE_DASHES[place % 3]}
                self.axes.axhline(mean.mean, label=label, zorder=1.5, **line)
                self.legend.add(line_handle(label, **line), [mean])
                lines.append(mean.mean)
        return lines


def _is_single(label: str) -> bool:
    return label.startswith("single-task")
