"""Figure of the main metric of each task against the group sparsity."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from study.columns import COLUMNS
from study.figures.drawn import Drawn, DrawnFigure, Legend, bars_text, trials_text
from study.figures.settings import (
    PlottedSetting,
    TaskSet,
    all_series,
    baselines,
    drawn_sets,
    estimates,
    main_columns,
)
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
    plain_text,
)
from study.labels import task_title
from study.statistics import Estimate
from study.tables import StudyTables

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
    sparsity = estimates(tables, "group_sparsity")
    for one in drawn_sets(tables):
        values = {task: estimates(tables, column.name) for task, column in main_columns(tables, one.tasks).items()}
        sparse = {setting.name for setting in one.settings if setting.sparse} & sparsity.keys()
        values = {task: of for task, of in values.items() if sparse & of.keys()}
        if values:
            figures.append(_draw(tables, one, values, sparsity))
        else:
            missing.append(
                f"Performance of {one.title}: no sparse setting has both a task's main metric and the group sparsity."
            )
    return figures, missing


def _draw(
    tables: StudyTables, one: TaskSet, values: dict[str, dict[str, Estimate]], sparsity: dict[str, Estimate]
) -> DrawnFigure:
    """The figure of a set; ``values`` are per task, per setting its main metric, ``sparsity`` is per setting in percent."""
    number = len(values)
    per_row = 2 if number == 4 else min(number, 3)
    figure = new_figure(COLUMN if per_row == 1 else TEXT, 0.1 + 1.85 * -(-number // per_row))
    legend, cut = Legend(), False
    columns = main_columns(tables, values)
    for axes, (task, of) in zip(panels(figure, number, per_row), values.items(), strict=True):
        drawn = _draw_sparse(axes, tables, one, of, sparsity, legend) + _draw_dense(axes, one, of, legend)
        lines = _draw_singles(axes, baselines(tables, one, task) if len(one.tasks) > 1 else [], of, legend)
        percent_axis(axes.xaxis)
        fit_to_means(axes, drawn, lines)
        cut |= is_cut(axes, drawn)
        label_axes(axes, task_title(task), COLUMNS["group_sparsity"].heading, columns[task].axis_label())
        axes.locator_params(axis="y", nbins=5)
    dense = [setting for setting in one.dense if any(setting.name in of for of in values.values())]
    if any(of[setting.name].n > 1 for setting in dense for of in values.values() if setting.name in of):
        legend.add(band_handle("95 % interval of dense mean", DENSE, _BAND))
    counts = [count for label, of in legend.counts.items() if not _is_single(label) for count in of]
    legend.write(figure)
    plain_text(figure)
    sentences = [
        f"{one.title}: main metric of each task against the group sparsity of the network.",
        f"Points are means over {trials_text(counts)}{', hollow ones are of a single trial' * (min(counts) == 1)}.",
        *([f"{bars_text(cut, 'Bars and bands')}."] if max(counts) > 1 else []),
        *(["Horizontal solid line: the dense model of the same tasks."] if dense else []),
        *(["Dashed grey line: the dense model of the task alone."] if any(map(_is_single, legend.handles)) else []),
    ]
    return DrawnFigure(
        f"performance_{one.key}", f"Performance against group sparsity: {one.title}", " ".join(sentences), figure
    )


def _draw_sparse(
    axes: Axes, tables: StudyTables, one: TaskSet, values: dict[str, Estimate], sparsity: dict[str, Estimate], legend: Legend
) -> list[Estimate]:
    """Means with their intervals; what was drawn."""
    drawn: list[Estimate] = []
    for index, series in enumerate(all_series(tables)):
        settings = [each for each in one.sparse.get(series, []) if each.name in values and each.name in sparsity]
        if settings:
            means = [values[each.name] for each in settings]
            legend.add(handle(series.label, look(index)), means, markers=True)
            draw_means(axes, [(sparsity[each.name].mean, values[each.name]) for each in settings], look(index), series.label)
            drawn += means
    return drawn


def _draw_dense(axes: Axes, one: TaskSet, values: dict[str, Estimate], legend: Legend) -> list[Estimate]:
    """A line in a band, which is its interval, per dense model of the same tasks; what was drawn."""
    drawn: list[Estimate] = []
    for index, setting in enumerate(one.dense):
        if setting.name in values:
            value, label, style = values[setting.name], setting.series.label, dense_look(index)
            line: dict[str, Any] = {"color": style.colour, "linestyle": style.dashes, "linewidth": 1.0}
            axes.axhline(value.mean, label=label, zorder=2, **line)
            if value.n > 1:
                axes.axhspan(
                    value.low, value.high, label=f"{label} interval", color=style.colour, alpha=_BAND, linewidth=0, zorder=1
                )
            legend.add(line_handle("multi-task " * (len(one.tasks) > 1) + label, **line), [value])
            drawn.append(value)
    return drawn


def _draw_singles(axes: Axes, settings: list[PlottedSetting], values: dict[str, Estimate], legend: Legend) -> list[float]:
    """A dashed line per dense model of the task alone; their heights."""
    lines = []
    for single in settings:
        if single.name in values:
            label = f"single-task {single.series.label}"
            place = list(dict.fromkeys([*filter(_is_single, legend.handles), label])).index(label)
            line: dict[str, Any] = {**_SINGLE_LINE, "linestyle": _SINGLE_DASHES[place % 3]}
            axes.axhline(values[single.name].mean, label=label, zorder=1.5, **line)
            legend.add(line_handle(label, **line), [values[single.name]])
            lines.append(values[single.name].mean)
    return lines


def _is_single(label: str) -> bool:
    return label.startswith("single-task")
