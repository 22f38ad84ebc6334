"""Figure of the size of the network against the strength of the penalty or the target sparsity."""

from __future__ import annotations

import math
from typing import Any, Literal

from matplotlib.axes import Axes

from study.figures.drawn import Drawn, DrawnFigure, Legend, trials_text
from study.figures.plotted_settings import PlottedSetting, Series, TaskSet, all_series, drawn_sets, estimates, twins
from study.figures.style import (
    COLUMN,
    DENSE,
    GUIDE,
    Look,
    dense_look,
    draw_means,
    handle,
    label_axes,
    lambda_axis,
    line_handle,
    look,
    new_figure,
    pale,
    percent_axis,
)
from study.statistics import Estimate
from study.tables import StudyTables

Kind = Literal["lambda", "target"]

_PARAMETER_DASHES = (0, (1, 1))
_DENSE_LINE: dict[str, Any] = {"color": DENSE, "linestyle": "-", "linewidth": 1.0}
_IDENTITY: dict[str, Any] = {"color": GUIDE, "linestyle": (0, (6, 2)), "linewidth": 1.0}


def draw_strength(tables: StudyTables) -> Drawn:
    """Draw sparsity, and below it the GMACs of the compact model, against lambda and against the wanted sparsity.

    A figure per set of tasks and kind of strength; where the study has one set only, its name is not in the file's.
    """
    figures, missing = [], []
    sets = drawn_sets(tables)
    any_strength = False
    kinds: tuple[Kind, ...] = ("lambda", "target")
    for kind in kinds:
        chosen = [task_set for task_set in sets if _settings(task_set, kind)]
        any_strength |= bool(chosen)
        for task_set in chosen:
            drawn = _draw(tables, task_set, kind, f"strength_{kind}" + (f"_{task_set.key}" if len(chosen) > 1 else ""))
            if drawn:
                figures.append(drawn)
            else:
                missing.append(f"Size against {_words(kind)} of {task_set.title}: neither sparsity nor GMACs has a value.")
    if not any_strength:
        missing.append("Size against the penalty's strength: no setting has a positive lambda or a target of the sparsity.")
    return figures, missing


def _settings(task_set: TaskSet, kind: Kind) -> dict[Series, list[PlottedSetting]]:
    """Return per series the settings with a strength of this kind; a lambda of 0 has no place on a logarithmic axis."""
    chosen = {
        series: [setting for setting in settings if _position(setting, kind) is not None]
        for series, settings in task_set.sparse.items()
    }
    return {series: settings for series, settings in chosen.items() if settings}


def _position(setting: PlottedSetting, kind: Kind) -> float | None:
    value = setting.target if kind == "target" else setting.strength
    if not math.isfinite(value) or (kind == "lambda" and (value <= 0 or math.isfinite(setting.target))):
        return None
    return value


def _words(kind: Kind) -> str:
    return "the strength λ of the penalty" if kind == "lambda" else "the wanted group sparsity"


def _draw(tables: StudyTables, task_set: TaskSet, kind: Kind, name: str) -> DrawnFigure | None:
    """Draw a figure of up to two panels; None where nothing has a value."""
    settings = _settings(task_set, kind)
    every = [setting for series_settings in settings.values() for setting in series_settings]
    groups, parameters, gmacs = (
        {setting.name: known[setting.name] for setting in every if setting.name in known}
        for known in (estimates(tables, metric) for metric in ("group_sparsity", "parameter_sparsity", "compact_GMACs"))
    )
    number = bool(groups or parameters) + bool(gmacs)
    if not number:
        return None
    figure = new_figure(COLUMN, 0.3 + 1.6 * number)
    grid = figure.subplots(number, 1, sharex=True, squeeze=False).ravel()
    legend, shown = Legend(), []

    def draw(axes: Axes, values: dict[str, Estimate], what: str, faint: bool = False) -> None:
        for index, series in enumerate(all_series(tables)):
            series_settings = [setting for setting in settings.get(series, []) if setting.name in values]
            style = look(index)
            if series_settings:
                legend.add(handle(series.label, style), [values[setting.name] for setting in series_settings], markers=True)
                style = Look(pale(style.colour), style.marker, _PARAMETER_DASHES) if faint else style
                points = [(_position(setting, kind) or 0.0, values[setting.name]) for setting in series_settings]
                draw_means(axes, points, style, f"{series.label} {what}", size=2.8 if faint else 4.0)

    if groups or parameters:
        shown.append("share of zero groups and (paler, dotted) of the weights in them")
        draw(grid[0], parameters, "parameter sparsity", faint=True)
        draw(grid[0], groups, "group sparsity")
        if parameters:
            first = look(next(index for index, series in enumerate(all_series(tables)) if series in settings))
            # of several series it is the dots that they share, not the marker
            one_series = Look(pale(first.colour), first.marker, _PARAMETER_DASHES)
            legend.add(handle("parameter sparsity", one_series if len(settings) == 1 else Look(GUIDE, "", _PARAMETER_DASHES)))
        if kind == "target":
            grid[0].plot([0, 100], [0, 100], label="identity", zorder=1, **_IDENTITY)
            legend.add(line_handle("wanted = reached", **_IDENTITY))
        label_axes(grid[0], ylabel="sparsity (%)")
        percent_axis(grid[0].yaxis)
    if gmacs:
        shown.append("multiply-accumulates of the compact model")
        draw(grid[-1], gmacs, "GMACs")
        _draw_twins(grid[-1], tables, every, legend)
        label_axes(grid[-1], ylabel="GMACs (compact)")
        grid[-1].set_ylim(0, 1.04 * grid[-1].get_ylim()[1])
        grid[-1].locator_params(axis="y", nbins=5)
    if kind == "lambda":
        lambda_axis(grid[-1], [_position(setting, kind) or 0.0 for setting in every])
        grid[-1].set_xlabel("strength of the penalty, λ")
    else:
        percent_axis(grid[-1].xaxis)
        grid[-1].set_xlabel("wanted group sparsity (%)")
    legend.write(figure)
    caption = f"{task_set.title}: {', and '.join(shown)}, against {_words(kind)}."
    bars = ", bars their 95 % intervals (Student's t)" if max(legend.trials) > 1 else ""
    points = f"Points are means over {trials_text(legend.trials)}{bars}."
    return DrawnFigure(name, f"Size against {_words(kind)}: {task_set.title}", f"{caption} {points}", figure)


def _draw_twins(axes: Axes, tables: StudyTables, settings: list[PlottedSetting], legend: Legend) -> None:
    """Draw a line per dense model that the settings are compared with."""
    gmacs = estimates(tables, "compact_GMACs")
    for index, twin in enumerate(setting for setting in twins(tables, settings) if setting.name in gmacs):
        line = {**_DENSE_LINE, "linestyle": dense_look(index).dashes}
        axes.axhline(gmacs[twin.name].mean, label=twin.series.label, zorder=1, **line)
        legend.add(line_handle(twin.series.label.replace("dense", "dense model", 1), **line))
