"""What multi-task learning gains, against what the compact model costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from utils.study.plots.drawn import Drawn, DrawnFigure, bars_text, n_text, trials_text
from utils.study.plots.label_placement import Label, place_labels
from utils.study.plots.settings import PlottedSetting, Series, TaskSet, all_series, estimates, task_sets, yardsticks
from utils.study.plots.style import (
    COLUMN,
    DELTA_MTL,
    GUIDE,
    TEXT,
    Look,
    as_text,
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
    pale,
    panels,
    plain_text,
)
from utils.study.statistics import Estimate
from utils.study.tables import StudyTables

PANELS_PER_FIGURE = 4
_NARROW_UP_TO = 8
"""Settings whose labels find room in a column's width."""
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
    """delta_MTL (mean over trials, 95 % interval) against the GMACs of the compact model, with the Pareto front.

    A panel per set of two or more tasks, since delta_MTL and the cost of the heads belong to a set; four panels a figure,
    the set with most tasks first; a set without a sparse model is left out where another has one. Settings on the front
    (nothing costs no more and gains no less, and one of both strictly) have the full colour, the others are paler.
    """
    sets = [one for one in task_sets(tables) if len(one.tasks) > 1]
    candidates = {one.tasks: _candidates(tables, one) for one in sets}
    shown = sorted((one for one in sets if candidates[one.tasks]), key=lambda one: -len(one.tasks))
    compared = [one for one in shown if any(each.setting.sparse for each in candidates[one.tasks])]
    shown = compared or shown
    missing = [
        f"delta_MTL against GMACs of {one.title}: no setting has both (delta_MTL needs a single-task dense model of each task, "
        "with a metric above 0)."
        for one in sets
        if not candidates[one.tasks]
    ]
    if not sets:
        missing.append("delta_MTL against GMACs: the study has no setting of two or more tasks.")
    pages = [shown[start : start + PANELS_PER_FIGURE] for start in range(0, len(shown), PANELS_PER_FIGURE)]
    figures = []
    for number, page in enumerate(pages, start=1):
        name = "pareto" if number == 1 else f"pareto_{number}"
        figures.append(_draw(tables, name, page, [candidates[one.tasks] for one in page], titled=len(sets) > 1))
    return figures, missing


def on_front(cost: Sequence[float], gain: Sequence[float]) -> np.ndarray:
    """Which points no other one dominates: (n,) bool.

    A point is dominated if another costs no more and gains no less, and is better in one of the two.
    """
    costs, gains = np.asarray(cost, dtype=float), np.asarray(gain, dtype=float)
    no_worse = (costs[None, :] <= costs[:, None]) & (gains[None, :] >= gains[:, None])
    better = (costs[None, :] < costs[:, None]) | (gains[None, :] > gains[:, None])
    return np.asarray(~(no_worse & better).any(axis=1))


def _candidates(tables: StudyTables, one: TaskSet) -> list[Candidate]:
    gmacs, delta = estimates(tables, "compact_GMACs"), estimates(tables, "delta_MTL")
    return [
        Candidate(setting, gmacs[setting.name].mean, delta[setting.name])
        for setting in one.settings
        if setting.name in gmacs and setting.name in delta
    ]


def _draw(
    tables: StudyTables, name: str, sets: Sequence[TaskSet], candidates: Sequence[Sequence[Candidate]], titled: bool
) -> DrawnFigure:
    single = len(sets) == 1
    narrow = single and len(candidates[0]) <= _NARROW_UP_TO
    figure = new_figure(COLUMN if narrow else TEXT, 2.4 if narrow else 2.9 if single else 0.1 + 2.45 * -(-len(sets) // 2))
    styles = _styles(tables, [one.setting for each in candidates for one in each])
    drawn = [
        (axes, _draw_panel(axes, fill(one.title, _TITLE_WIDTH) if titled else "", each, styles))
        for axes, one, each in zip(panels(figure, len(sets), 1 if single else 2), sets, candidates, strict=True)
    ]
    _write_legend(figure, [one for each in candidates for one in each], styles)
    plain_text(figure)
    for (axes, front), each in zip(drawn, candidates, strict=True):
        _write_labels(figure, axes, each, front, styles)
    plain_text(figure)
    counts = [one.delta.n for each in candidates for one in each]
    cut = any(is_cut(axes, [one.delta for one in each]) for (axes, _), each in zip(drawn, candidates, strict=True))
    bars = f", {bars_text(cut)}" if max(counts) > 1 else ""
    several = any(len(yardsticks(tables, [one.setting for one in each])) > 1 for each in candidates)
    return DrawnFigure(
        name=name,
        title="What is gained against what it costs",
        caption=(
            "Mean relative change against single-task dense models (delta_MTL) against the multiply-accumulates of the compact "
            f"model. Points are means over {trials_text(counts)}{bars}; the stepped line is the Pareto front of the means, "
            "dominated sparse settings are paler, and above the dotted line a model is better than its single-task ones."
            f"{' Variants have single-task models of their own.' * several}"
        ),
        figure=figure,
    )


def _styles(tables: StudyTables, settings: Sequence[PlottedSetting]) -> dict[Series, Look]:
    """Per series how it looks; dense ones first."""
    dense = sorted({one.series for one in settings if not one.sparse}, key=lambda series: series.variant)
    used = {one.series for one in settings}
    return {series: dense_look(index) for index, series in enumerate(dense)} | {
        series: look(index) for index, series in enumerate(all_series(tables)) if series in used
    }


def _draw_panel(
    axes: Axes, title: str, candidates: Sequence[Candidate], styles: dict[Series, Look]
) -> list[tuple[float, float]]:
    """Everything but the labels; the corners of the front's line."""
    front = on_front([one.gmacs for one in candidates], [one.delta.mean for one in candidates])
    for one, best in zip(candidates, front, strict=True):
        style = styles[one.setting.series]
        shown = style if best or not one.setting.sparse else Look(pale(style.colour), style.marker, style.dashes)
        size = 7.5 if style.marker == "*" else 5.0
        draw_means(axes, [one.gmacs], [one.delta], shown, one.setting.name, line=False, size=size)
    axes.axhline(0.0, label="zero", zorder=1, **_ZERO)
    right = 1.1 * max(one.gmacs for one in candidates)
    axes.set_xlim(0, right)
    best_points = sorted({(one.gmacs, one.delta.mean) for one, best in zip(candidates, front, strict=True) if best})
    costs = [cost for cost, _ in best_points] + [right]
    gains = [gain for _, gain in best_points] + [best_points[-1][1]]
    axes.plot(costs, gains, drawstyle="steps-post", label="front", zorder=2, **_FRONT)
    fit_to_means(axes, [one.delta for one in candidates], [0.0], margin=0.12)
    finish(axes, title, "GMACs, compact model (↓ better)", DELTA_MTL)
    axes.locator_params(axis="y", nbins=6)
    corners = [(costs[0], gains[0])]
    for cost, gain in zip(costs[1:], gains[1:], strict=True):
        corners += [(cost, corners[-1][1]), (cost, gain)]
    return corners


def _write_labels(
    figure: Figure,
    axes: Axes,
    candidates: Sequence[Candidate],
    front: Sequence[tuple[float, float]],
    styles: dict[Series, Look],
) -> None:
    best = on_front([one.gmacs for one in candidates], [one.delta.mean for one in candidates])
    order = np.argsort(~best, kind="stable")
    labels = [
        Label(one.gmacs, one.delta.mean, one.setting.brief_label, as_text(styles[one.setting.series].colour))
        for one in (candidates[index] for index in order)
    ]
    bottom, top = axes.get_ylim()
    several = [one for one in candidates if one.delta.n > 1]
    bars = [[(one.gmacs, max(one.delta.low, bottom)), (one.gmacs, min(one.delta.high, top))] for one in several]
    place_labels(figure, axes, labels, [front, [(axes.get_xlim()[0], 0.0), (axes.get_xlim()[1], 0.0)], *bars])


def _write_legend(figure: Figure, candidates: Sequence[Candidate], styles: dict[Series, Look]) -> None:
    handles: list[Artist] = []
    for series, style in styles.items():
        counts = [one.delta.n for one in candidates if one.setting.series == series]
        handles.append(handle(f"{series.label} ({n_text(counts)})", style, line=False))
    handles.append(line_handle("Pareto front", **_FRONT))
    counts = [one.delta.n for one in candidates]
    handles += interval_handles(max(counts) > 1, min(counts) == 1)
    kinds = {one.setting.brief_label.endswith("%") for one in candidates if one.setting.sparse}
    if kinds:
        meaning = {frozenset({True}): "wanted sparsity", frozenset({False}): "λ"}
        handles.append(line_handle(f"labels: {meaning.get(frozenset(kinds), 'λ or wanted sparsity')}", linestyle="none"))
    legend_below(figure, handles)
