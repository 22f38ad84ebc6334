"""Figure of delta_MTL against the cost of the compact model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from study.figures.drawn import Drawn, DrawnFigure, Legend, bars_text, trials_text
from study.figures.plotted_settings import PlottedSetting, Series, TaskSet, all_series, estimates, task_sets, yardsticks
from study.figures.style import (
    COLUMN,
    DELTA_MTL,
    DENSE,
    GUIDE,
    SINGLE,
    TEXT,
    Look,
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
    strength_colours,
)
from study.statistics import Estimate
from study.tables import StudyTables

PANELS_PER_FIGURE = 4
_NARROW_UP_TO = 8
"""Settings whose points find room in a column's width."""
_TITLE_WIDTH = 46
"""Characters in a line of a panel's title."""
_FRONT: dict[str, Any] = {"color": "#444444", "linestyle": "-", "linewidth": 0.9}
_ZERO: dict[str, Any] = {"color": GUIDE, "linestyle": (0, (2, 2)), "linewidth": 0.9}


@dataclass(frozen=True)
class Candidate:
    """A setting as a point."""

    setting: PlottedSetting
    gmacs: float
    delta: Estimate


def draw_pareto(tables: StudyTables) -> Drawn:
    """Draw delta_MTL (mean over trials, 95 % interval) against the GMACs of the compact model, with the Pareto front.

    A panel per set of two or more tasks, since delta_MTL and the cost of the heads belong to a set; four panels a figure,
    the set with most tasks first; a set without a sparse model is left out where another has one. The marker says which series
    a setting is of, and the colour its strength.
    """
    sets = [task_set for task_set in task_sets(tables) if len(task_set.tasks) > 1]
    candidates = {task_set.tasks: _candidates(tables, task_set) for task_set in sets}
    shown = sorted((task_set for task_set in sets if candidates[task_set.tasks]), key=lambda task_set: -len(task_set.tasks))
    compared = [task_set for task_set in shown if any(candidate.setting.sparse for candidate in candidates[task_set.tasks])]
    shown = compared or shown
    missing = [
        f"delta_MTL against GMACs of {task_set.title}: no setting has both (delta_MTL needs a single-task dense model of each "
        "task, with a metric above 0)."
        for task_set in sets
        if not candidates[task_set.tasks]
    ]
    if not sets:
        missing.append("delta_MTL against GMACs: the study has no setting of two or more tasks.")
    pages = [shown[start : start + PANELS_PER_FIGURE] for start in range(0, len(shown), PANELS_PER_FIGURE)]
    figures = []
    for number, page in enumerate(pages, start=1):
        name = "pareto" if number == 1 else f"pareto_{number}"
        figures.append(_draw(tables, name, page, [candidates[task_set.tasks] for task_set in page], titled=len(sets) > 1))
    return figures, missing


def on_front(cost: Sequence[float], gain: Sequence[float]) -> np.ndarray:
    """Mark the points that no other point dominates: (n,) bool.

    A point is dominated if another costs no more and gains no less, and is better in one of the two.
    """
    costs, gains = np.asarray(cost, dtype=float), np.asarray(gain, dtype=float)
    no_worse = (costs[None, :] <= costs[:, None]) & (gains[None, :] >= gains[:, None])
    better = (costs[None, :] < costs[:, None]) | (gains[None, :] > gains[:, None])
    return np.asarray(~(no_worse & better).any(axis=1))


def _candidates(tables: StudyTables, task_set: TaskSet) -> list[Candidate]:
    gmacs, delta = estimates(tables, "compact_GMACs"), estimates(tables, "delta_MTL")
    return [
        Candidate(setting, gmacs[setting.name].mean, delta[setting.name])
        for setting in task_set.settings
        if setting.name in gmacs and setting.name in delta
    ]


def _draw(
    tables: StudyTables, name: str, sets: Sequence[TaskSet], candidates: Sequence[Sequence[Candidate]], titled: bool
) -> DrawnFigure:
    every = [candidate for panel_candidates in candidates for candidate in panel_candidates]
    single = len(sets) == 1
    series = _series_looks(tables, every)
    narrow = single and len(every) <= _NARROW_UP_TO and len(series) <= 3
    figure = new_figure(COLUMN if narrow else TEXT, 2.2 if narrow else 2.7 if single else 0.1 + 2.3 * -(-len(sets) // 2))
    sparse = sorted((candidate.setting for candidate in every if candidate.setting.sparse), key=lambda setting: setting.order)
    colours = strength_colours(setting.brief_label for setting in sparse)
    legend, cut = Legend(), False
    for plotted, style in series.items():
        means = [candidate.delta for candidate in every if candidate.setting.series == plotted]
        legend.add(handle(plotted.label, style, line=False), means, markers=True)
    for label, colour in colours.items():
        legend.add(band_handle(label, colour, 1.0))
    legend.add(line_handle("Pareto front", **_FRONT))
    for axes, tasks, panel_candidates in zip(panels(figure, len(sets), 1 if single else 2), sets, candidates, strict=True):
        looks = [
            replace(series[candidate.setting.series], colour=colours.get(candidate.setting.brief_label, DENSE))
            for candidate in panel_candidates
        ]
        _draw_panel(axes, fill(tasks.title, _TITLE_WIDTH) if titled else "", panel_candidates, looks)
        cut |= is_cut(axes, [candidate.delta for candidate in panel_candidates])
    legend.write(figure)
    counts = legend.trials
    bars = f", {bars_text(cut)}" if max(counts) > 1 else ""
    settings = [[candidate.setting for candidate in panel_candidates] for panel_candidates in candidates]
    several = any(len(yardsticks(tables, panel_settings)) > 1 for panel_settings in settings)
    return DrawnFigure(
        name=name,
        title="What is gained against what it costs",
        caption=(
            "Mean relative change against single-task dense models (delta_MTL) against the multiply-accumulates of the compact "
            f"model. Points are means over {trials_text(counts)}{bars}; the stepped line is the Pareto front of the means, "
            "and above the dotted line a model is better than its single-task ones."
            f"{' Variants have single-task models of their own.' * several}"
        ),
        figure=figure,
    )


def _series_looks(tables: StudyTables, candidates: Sequence[Candidate]) -> dict[Series, Look]:
    """Return the look of each series, of which the marker counts; dense ones first."""
    used = {candidate.setting.series for candidate in candidates}
    dense = sorted((series for series in used if not series.penalty), key=lambda series: series.variant)
    return {series: dense_look(index) for index, series in enumerate(dense)} | {
        series: replace(look(index), colour=SINGLE) for index, series in enumerate(all_series(tables)) if series in used
    }


def _draw_panel(axes: Axes, title: str, candidates: Sequence[Candidate], looks: Sequence[Look]) -> None:
    for candidate, style in zip(candidates, looks, strict=True):
        size = 7.5 if style.marker == "*" else 5.0
        draw_means(axes, [(candidate.gmacs, candidate.delta)], style, candidate.setting.name, line=False, size=size)
    axes.axhline(0.0, label="zero", zorder=1, **_ZERO)
    right = 1.1 * max(candidate.gmacs for candidate in candidates)
    axes.set_xlim(0, right)
    front = on_front([candidate.gmacs for candidate in candidates], [candidate.delta.mean for candidate in candidates])
    best = sorted({(candidate.gmacs, candidate.delta.mean) for candidate, best in zip(candidates, front, strict=True) if best})
    costs, gains = zip(*best, (right, best[-1][1]), strict=True)
    axes.plot(costs, gains, drawstyle="steps-post", label="front", zorder=2, **_FRONT)
    fit_to_means(axes, [candidate.delta for candidate in candidates], [0.0], margin=0.12)
    label_axes(axes, title, "GMACs, compact model (↓ better)", DELTA_MTL)
    axes.locator_params(axis="y", nbins=6)
