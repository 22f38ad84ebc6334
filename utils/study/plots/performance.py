"""How well each task is done, against how many groups are zero."""

from __future__ import annotations

from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from utils.study.labels import task_title
from utils.study.plots.drawn import Drawn, DrawnFigure, bars_text, n_text, trials_text
from utils.study.plots.settings import (
    Series,
    TaskSet,
    all_series,
    baselines,
    drawn_sets,
    estimates,
    main_metric,
    metric_axis_label,
)
from utils.study.plots.style import (
    COLUMN,
    SINGLE,
    TEXT,
    band_handle,
    dense_look,
    draw_means,
    finish,
    fit_to_means,
    handle,
    interval_handles,
    is_cut,
    legend_below,
    line_handle,
    look,
    new_figure,
    panels,
    percent_axis,
    plain_text,
)
from utils.study.statistics import Estimate
from utils.study.tables import StudyTables

_SINGLE_LINE: dict[str, Any] = {"color": SINGLE, "linewidth": 1.1}
_SINGLE_DASHES = ((0, (4, 2)), (0, (2, 2)), (0, (8, 3)))
"""Of the single-task models: without a variant, and of variants."""
_BAND = 0.15


def draw_performance(tables: StudyTables) -> Drawn:
    """A figure per set of tasks with a panel per task: its main metric against the group sparsity.

    Points are means over the trials with their 95 % intervals (Student's t). Dense models are horizontal: that of the same
    tasks is a line in a band (its interval), that of the task alone is a dashed line.
    """
    figures, missing = [], []
    for one in drawn_sets(tables):
        performance = _Performance(tables, one)
        if performance.tasks:
            figures.append(performance.draw())
        else:
            missing.append(
                f"Performance of {one.title}: no sparse setting has both a task's main metric and the group sparsity."
            )
    return figures, missing


class _Performance:
    """The figure of a set of tasks; what is drawn decides what the legend and the caption say."""

    def __init__(self, tables: StudyTables, one: TaskSet):
        self.tables, self.one = tables, one
        self.sparsity = estimates(tables, "group_sparsity")
        self.metrics = {task: name for task in one.tasks if (name := main_metric(tables, task))}
        self.values = {task: estimates(tables, name) for task, name in self.metrics.items()}
        sparse = {setting.name for setting in one.settings if setting.sparse} & self.sparsity.keys()
        self.tasks = [task for task in self.metrics if sparse & self.values[task].keys()]
        self.counts: dict[Series, list[int]] = {}
        """Numbers of trials behind what was drawn of a series."""
        self.singles: dict[str, tuple[dict[str, Any], list[int]]] = {}
        """The same of single-task models, by label, with how their line looks."""
        self.cut = False
        """Whether an interval goes on beyond its panel."""

    def draw(self) -> DrawnFigure:
        number = len(self.tasks)
        per_row = 2 if number == 4 else min(number, 3)
        figure = new_figure(COLUMN if per_row == 1 else TEXT, 0.1 + 1.85 * -(-number // per_row))
        for axes, task in zip(panels(figure, number, per_row), self.tasks, strict=True):
            self._draw_task(axes, task)
        self._write_legend(figure)
        plain_text(figure)
        return DrawnFigure(
            f"performance_{self.one.key}", f"Performance against group sparsity: {self.one.title}", self._caption(), figure
        )

    def _draw_task(self, axes: Axes, task: str) -> None:
        values, drawn = self.values[task], list[Estimate]()
        lines: list[float] = []
        singles = baselines(self.tables, self.one, task) if len(self.one.tasks) > 1 else []
        for single in (one for one in singles if one.name in values):
            label = f"single-task {single.series.label}"
            line = {**_SINGLE_LINE, "linestyle": _SINGLE_DASHES[list(self.singles | {label: 0}).index(label) % 3]}
            self.singles.setdefault(label, (line, []))[1].append(values[single.name].n)
            lines.append(values[single.name].mean)
            axes.axhline(values[single.name].mean, label=label, zorder=1.5, **line)
        for index, setting in enumerate(self.one.dense):
            if setting.name in values:
                self._count(setting.series, values[setting.name])
                self._draw_dense(axes, values[setting.name], index, setting.series.label)
                drawn.append(values[setting.name])
        for index, series in enumerate(all_series(self.tables)):
            settings = [one for one in self.one.sparse.get(series, []) if one.name in values and one.name in self.sparsity]
            if settings:
                means = [values[one.name] for one in settings]
                self._count(series, *means)
                drawn += means
                draw_means(axes, [self.sparsity[one.name].mean for one in settings], means, look(index), series.label)
        percent_axis(axes.xaxis)
        fit_to_means(axes, drawn, lines)
        self.cut |= is_cut(axes, drawn)
        finish(axes, task_title(task), "group sparsity (%)", metric_axis_label(self.tables, self.metrics[task], [task]))
        axes.locator_params(axis="y", nbins=5)

    def _draw_dense(self, axes: Axes, value: Estimate, index: int, label: str) -> None:
        style = dense_look(index)
        axes.axhline(value.mean, label=label, color=style.colour, linestyle=style.dashes, linewidth=1.0, zorder=2)
        if value.n > 1:
            axes.axhspan(
                value.low, value.high, label=f"{label} interval", color=style.colour, alpha=_BAND, linewidth=0, zorder=1
            )

    def _count(self, key: Series, *values: Estimate) -> None:
        self.counts.setdefault(key, []).extend(value.n for value in values)

    def _write_legend(self, figure: Figure) -> None:
        handles: list[Artist] = []
        for index, series in enumerate(all_series(self.tables)):
            if series in self.counts:
                handles.append(handle(f"{series.label} ({n_text(self.counts[series])})", look(index)))
        several = "multi-task " if len(self.one.tasks) > 1 else ""
        shaded = False
        for index, setting in enumerate(self.one.dense):
            if setting.series in self.counts:
                style, counts = dense_look(index), self.counts[setting.series]
                shaded |= max(counts) > 1
                label = f"{several}{setting.series.label} ({n_text(counts)})"
                handles.append(line_handle(label, color=style.colour, linestyle=style.dashes, linewidth=1.0))
        for label, (line, counts) in self.singles.items():
            handles.append(line_handle(f"{label} ({n_text(counts)})", **line))
        sparse = [count for key, counts in self.counts.items() if key.penalty for count in counts]
        handles += interval_handles(any(count > 1 for count in sparse), any(count == 1 for count in sparse))
        if shaded:
            handles.append(band_handle("95 % interval of dense mean", "#000000", _BAND))
        legend_below(figure, handles)

    def _caption(self) -> str:
        counts = [count for values in self.counts.values() for count in values]
        sentences = [f"{self.one.title}: main metric of each task against the group sparsity of the network."]
        if any(key.penalty for key in self.counts):
            sentences.append(
                f"Points are means over {trials_text(counts)}{', hollow ones are of a single trial' * (min(counts) == 1)}."
            )
        if counts and max(counts) > 1:
            sentences.append(f"{bars_text(self.cut, 'Bars and bands')}.")
        if any(not key.penalty for key in self.counts):
            sentences.append("Horizontal solid line: the dense model of the same tasks.")
        if self.singles:
            sentences.append("Dashed grey line: the dense model of the task alone.")
        return " ".join(sentences)
