"""What the strength of the penalty, or the wanted sparsity, does to the network's size."""

from __future__ import annotations

import math
from typing import Any, Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from utils.study.plots.drawn import Drawn, DrawnFigure, n_text, trials_text
from utils.study.plots.settings import PlottedSetting, Series, TaskSet, all_series, drawn_sets, estimates, twins
from utils.study.plots.style import (
    COLUMN,
    DENSE,
    GUIDE,
    Look,
    dense_look,
    draw_means,
    finish,
    handle,
    interval_handles,
    lambda_axis,
    legend_below,
    line_handle,
    look,
    new_figure,
    pale,
    percent_axis,
    plain_text,
)
from utils.study.statistics import Estimate
from utils.study.tables import StudyTables

Kind = Literal["lambda", "target"]

_PARAMETER_DASHES = (0, (1, 1))
_DENSE_LINE: dict[str, Any] = {"color": DENSE, "linestyle": "-", "linewidth": 1.0}
_IDENTITY: dict[str, Any] = {"color": GUIDE, "linestyle": (0, (6, 2)), "linewidth": 1.0}


def draw_strength(tables: StudyTables) -> Drawn:
    """Sparsity, and below it the GMACs of the compact model, against lambda and against the wanted sparsity.

    A figure per set of tasks and kind of strength; where the study has one set only, its name is not in the file's.
    """
    figures, missing = [], []
    sets = drawn_sets(tables)
    found = False
    kinds: tuple[Kind, ...] = ("lambda", "target")
    for kind in kinds:
        chosen = [one for one in sets if _settings(one, kind)]
        found |= bool(chosen)
        for one in chosen:
            strength = _Strength(tables, one, kind, f"strength_{kind}" + (f"_{one.key}" if len(chosen) > 1 else ""))
            if strength.panels:
                figures.append(strength.draw())
            else:
                missing.append(f"Size against {_words(kind)} of {one.title}: neither sparsity nor GMACs has a value.")
    if not found:
        missing.append("Size against the penalty's strength: no setting has a positive lambda or a target of the sparsity.")
    return figures, missing


def _settings(one: TaskSet, kind: Kind) -> dict[Series, list[PlottedSetting]]:
    """Per series the settings with a strength of this kind; a lambda of 0 has no place on a logarithmic axis."""
    chosen = {
        series: [setting for setting in settings if _position(setting, kind) is not None]
        for series, settings in one.sparse.items()
    }
    return {series: settings for series, settings in chosen.items() if settings}


def _position(setting: PlottedSetting, kind: Kind) -> float | None:
    value = setting.target if kind == "target" else setting.strength
    if not math.isfinite(value) or (kind == "lambda" and (value <= 0 or math.isfinite(setting.target))):
        return None
    return value


def _words(kind: Kind) -> str:
    return "the strength λ of the penalty" if kind == "lambda" else "the wanted group sparsity"


class _Strength:
    """A figure of two panels; what is drawn decides what the legend and the caption say."""

    def __init__(self, tables: StudyTables, one: TaskSet, kind: Kind, name: str):
        self.tables, self.one, self.kind, self.name = tables, one, kind, name
        self.settings = _settings(one, kind)
        self.groups = estimates(tables, "group_sparsity")
        self.parameters = estimates(tables, "parameter_sparsity")
        self.gmacs = estimates(tables, "compact_GMACs")
        mine = {setting.name for settings in self.settings.values() for setting in settings}
        self.panels = [
            draw
            for draw, known in (
                (self._draw_sparsity, mine & (self.groups.keys() | self.parameters.keys())),
                (self._draw_gmacs, mine & self.gmacs.keys()),
            )
            if known
        ]
        self.counts: dict[Series, list[int]] = {}
        self.dense_lines: list[Artist] = []

    def draw(self) -> DrawnFigure:
        figure = new_figure(COLUMN, 0.3 + 1.6 * len(self.panels))
        grid = figure.subplots(len(self.panels), 1, sharex=True, squeeze=False).ravel()
        for axes, draw in zip(grid, self.panels, strict=True):
            draw(axes)
        bottom = grid[-1]
        if self.kind == "lambda":
            lambda_axis(bottom, self._positions())
            bottom.set_xlabel("strength of the penalty, λ")
        else:
            percent_axis(bottom.xaxis)
            bottom.set_xlabel("wanted group sparsity (%)")
        legend_below(figure, self._handles())
        plain_text(figure)
        return DrawnFigure(self.name, f"Size against {_words(self.kind)}: {self.one.title}", self._caption(), figure)

    def _positions(self) -> list[float]:
        found = [_position(setting, self.kind) for settings in self.settings.values() for setting in settings]
        return [value for value in found if value is not None]

    def _draw_sparsity(self, axes: Axes) -> None:
        if self.kind == "target":
            axes.plot([0, 100], [0, 100], label="identity", zorder=1, **_IDENTITY)
        self._draw_series(axes, self.parameters, "parameter sparsity", parameters=True)
        self._draw_series(axes, self.groups, "group sparsity")
        finish(axes, ylabel="sparsity (%)")
        percent_axis(axes.yaxis)

    def _draw_gmacs(self, axes: Axes) -> None:
        self._draw_series(axes, self.gmacs, "GMACs")
        drawn = [setting for settings in self.settings.values() for setting in settings]
        for index, twin in enumerate(one for one in twins(self.tables, drawn) if one.name in self.gmacs):
            line = {**_DENSE_LINE, "linestyle": dense_look(index).dashes}
            axes.axhline(self.gmacs[twin.name].mean, label=twin.series.label, zorder=1, **line)
            self.dense_lines.append(line_handle(twin.series.label.replace("dense", "dense model", 1), **line))
        finish(axes, ylabel="GMACs (compact)")
        axes.set_ylim(0, 1.04 * axes.get_ylim()[1])
        axes.locator_params(axis="y", nbins=5)

    def _draw_series(self, axes: Axes, values: dict[str, Estimate], what: str, parameters: bool = False) -> None:
        for index, series in enumerate(all_series(self.tables)):
            settings = [setting for setting in self.settings.get(series, []) if setting.name in values]
            if not settings:
                continue
            style = look(index)
            if parameters:
                style = Look(pale(style.colour), style.marker, _PARAMETER_DASHES)
            means = [values[setting.name] for setting in settings]
            self.counts.setdefault(series, []).extend(mean.n for mean in means)
            positions = [value for setting in settings if (value := _position(setting, self.kind)) is not None]
            draw_means(axes, positions, means, style, f"{series.label} {what}", size=2.8 if parameters else 4.0)

    def _handles(self) -> list[Artist]:
        handles: list[Artist] = []
        for index, series in enumerate(all_series(self.tables)):
            if series in self.counts:
                handles.append(handle(f"{series.label} ({n_text(self.counts[series])})", look(index)))
        if self._has_parameters:
            indices = [index for index, series in enumerate(all_series(self.tables)) if series in self.counts]
            first = look(indices[0])
            # of several series it is the dots that they share, not the marker
            style = Look(pale(first.colour), first.marker, _PARAMETER_DASHES)
            dots = Look(GUIDE, "", _PARAMETER_DASHES)
            handles.append(handle("parameter sparsity", style if len(indices) == 1 else dots))
        if self.kind == "target" and self._draw_sparsity in self.panels:
            handles.append(line_handle("wanted = reached", **_IDENTITY))
        handles += self.dense_lines
        counts = [count for values in self.counts.values() for count in values]
        return handles + interval_handles(any(count > 1 for count in counts), any(count == 1 for count in counts))

    @property
    def _has_parameters(self) -> bool:
        return any(setting.name in self.parameters for settings in self.settings.values() for setting in settings)

    def _caption(self) -> str:
        shown = (
            ["share of zero groups and (paler, dotted) of the weights in them"] if self._draw_sparsity in self.panels else []
        )
        shown += ["multiply-accumulates of the compact model"] if self._draw_gmacs in self.panels else []
        counts = [count for values in self.counts.values() for count in values]
        text = f"{self.one.title}: {', and '.join(shown)}, against {_words(self.kind)}."
        text = f"{text} Points are means over {trials_text(counts)}"
        return f"{text}, bars their 95 % intervals (Student's t)." if max(counts) > 1 else f"{text}."
