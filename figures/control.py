"""Effect of the penalty on a training: lambda, group sparsity, and the size of the groups that live, over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from figures.colours import BLUE, GREEN, ORANGE, PINK, SKY, VERMILION
from figures.texts import write_beside
from utils.numbers import percent

_LAMBDA, _SPARSITY, _WANTED, _DEBIAS = VERMILION, BLUE, "#000000", "#EEEEEE"
_COST = ORANGE
_COSTS = {"macs_left": "MACs", "parameters_left": "parameters"}
"""Costs that a budget may be about, by the keys of what is left of them."""
_STAGES = ("#999999", SKY, ORANGE, PINK, GREEN)
"""Colours of the stages, from the stem on."""


def control_figure(points: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Draw lambda (logarithmic), the group sparsity, measured and wanted, and the size of what lives; shade the debias phase.
    With a budget, what is wanted and drawn beside the sparsity is the cost that is left.

    Args:
        points: lines of ``steps.jsonl`` with ``time`` (in epochs: 3.0 is the end of epoch 3), ``lambda``, ``group_sparsity``
            (percent), ``wanted_sparsity`` (percent, or None where no sparsity was aimed at), ``debiasing``,
            ``joint_group_sparsity`` where features are groups too and, from the start of the ramp on, ``live_rms``,
            ``live_rms/<stage>`` and ``groups_at_floor``; with a budget ``wanted_cost`` (percent), and ``macs_left`` or
            ``parameters_left`` (percent).
        title: of the figure.

    Raises:
        ValueError: no point.
    """
    if not points:
        raise ValueError("a figure of the penalty needs at least one point")
    time = np.array([point["time"] for point in points], dtype=float)
    strength = np.array([point["lambda"] for point in points], dtype=float)
    # Where features are groups too, the wanted share is one of all groups together.
    sparsity = np.array([point.get("joint_group_sparsity", point["group_sparsity"]) for point in points], dtype=float)
    cost = next((name for name in _COSTS if name in points[-1]), None)
    wanted = _values(points, "wanted_cost" if cost else "wanted_sparsity")
    debias = [point["time"] for point in points if point["debiasing"]]

    stages = list(dict.fromkeys(name for point in points for name in point if name.startswith("live_rms/")))
    panels = 3 if stages else 2
    figure = Figure(figsize=(7.2, 1.0 + 2.0 * panels), layout="constrained")
    above, below, *sizes = figure.subplots(panels, 1, sharex=True)
    figure.suptitle(title, fontsize=11)
    above.plot(time, np.where(strength > 0, strength, np.nan), color=_LAMBDA, linewidth=1.5)
    above.set_ylabel("λ")
    if (strength > 0).any():
        above.set_yscale("log")
    else:
        above.set_yticks([])
        above.text(0.5, 0.5, "λ = 0 throughout", transform=above.transAxes, ha="center", va="center")
    below.plot(time, sparsity, color=_SPARSITY, linewidth=2.2, label="zero groups" if cost else "measured")
    if cost:
        below.plot(time, _values(points, cost), color=_COST, linewidth=2.2, label=f"{_COSTS[cost]} left")
    if np.isfinite(wanted).any():
        below.plot(time, wanted, color=_WANTED, linewidth=1.0, linestyle="--", label="wanted")
    below.set_ylabel(f"zero groups,\n{_COSTS[cost]} left in %" if cost else "zero groups in %")
    floor = points[-1].get("groups_at_floor")
    if floor:
        below.text(0.99, 0.04, f"{floor} groups kept by the floor", transform=below.transAxes, ha="right", fontsize=9)
    for axes in sizes:
        _draw_sizes(axes, time, points, stages)
    figure.axes[-1].set_xlabel("trained epochs")
    below.set_ylim(0, max(100.0, float(np.nanmax(sparsity))))
    below.set_xlim(0, max(1.0, float(time[-1])))
    for axes in figure.axes:
        _finish(axes, debias[0] if debias else None, float(time[-1]))
    write_beside(below, percent(sparsity[-1]), (time[-1], sparsity[-1]), (-4, 6), ha="right", fontsize=9, color=_SPARSITY)
    below.legend(frameon=False, fontsize=9, loc="upper left")
    return figure


def _values(points: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """Return a number of each point; NaN where it has none."""
    return np.array([np.nan if point.get(name) is None else point[name] for point in points], dtype=float)


def _draw_sizes(axes: Axes, time: np.ndarray, points: Sequence[Mapping[str, Any]], stages: Sequence[str]) -> None:
    """Draw the size of the weights that live, relative to the start of the ramp: of all layers, and of each stage."""
    axes.set_ylabel("RMS of what lives\n(start of the ramp: 1)")
    axes.axhline(1.0, color=_WANTED, linewidth=0.8, linestyle=":")
    styles = [(name, name.removeprefix("live_rms/"), colour, 1.0) for name, colour in zip(stages, cycle(_STAGES), strict=False)]
    for name, label, colour, width in (*styles, ("live_rms", "all layers", _SPARSITY, 2.2)):
        axes.plot(time, _values(points, name), color=colour, linewidth=width, label=label)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.5), max(high, 2.0))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="best")


def _finish(axes: Axes, debias_from: float | None, end: float) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if debias_from is not None:
        axes.axvspan(debias_from, max(end, debias_from), color=_DEBIAS, zorder=0)
        axes.text(
            debias_from, 0.02, " zeros fixed,\n penalty off", transform=axes.get_xaxis_transform(), fontsize=8.5, va="bottom"
        )
