"""Learning curves of one trial: the losses, the main metric of each task, and the sparsity, over the epochs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from figures.colours import BLUE, GREEN, ORANGE, VERMILION
from tasks.metric_info import ARROWS, metric_info
from tasks.table import Task

_TRAINING, _VALIDATION, _METRIC, _SPARSITY, _BEST = ORANGE, BLUE, GREEN, VERMILION, "#555555"
_FEW = 40
"""Epochs up to which each has a point that is larger than the line is wide."""


def learning_curves(
    lines: Sequence[Mapping[str, Any]], tasks: Collection[Task], best_epoch: int, title: str, *, sparse: bool
) -> Figure:
    """Draw a row of panels per task (losses, main metric), and one for all tasks together (losses, sparsity).

    A value that an epoch lacks is a gap. Losses of training and validation of one task are the same quantity; those of all
    tasks are not: training minimises a weighted sum.

    Args:
        lines: of ``metrics.jsonl``.
        tasks: of the trial.
        best_epoch: epochs behind the best network, which a line marks.
        title: of the figure.
        sparse: the trial has a penalty, so that its sparsity is drawn.

    Raises:
        ValueError: there is no line.
    """
    if not lines:
        raise ValueError("learning curves need at least one epoch")
    epochs = np.array([line["epoch"] + 1 for line in lines])
    rows = len(tasks) + 1
    figure = Figure(figsize=(8.0, 0.9 + 2.1 * rows), layout="constrained")
    figure.suptitle(title, fontsize=12)
    panels = figure.subplots(rows, 2, sharex=True, squeeze=False)
    for (losses, metric), task in zip(panels, tasks, strict=False):
        name, main = task.name, task.main_metric
        info = metric_info(task, main)
        _draw(losses, epochs, lines, {"training": f"train/loss/{name}", "validation": f"val/loss/{name}"}, task.title, "loss")
        label = f"{info.title or main.replace('_', ' ')} ({ARROWS[info.better]} better)"
        _draw(metric, epochs, lines, {"metric": f"val/{name}_{main}"}, f"{task.title}, validation", label)
    sums = {"training, weighted": "train/loss/total", "validation, sum": "val/loss/total"}
    _draw(panels[-1, 0], epochs, lines, sums, "All tasks", "loss")
    if sparse:
        _draw(panels[-1, 1], epochs, lines, {"sparsity": "group_sparsity"}, "Sparsity", "zero groups in %")
        panels[-1, 1].set_ylim(-3, 103)
    else:
        panels[-1, 1].remove()
        panels[-2, 1].tick_params(labelbottom=True)
        panels[-2, 1].set_xlabel("epoch", fontsize=10)
    for axes in figure.axes:
        axes.axvline(best_epoch, color=_BEST, linewidth=1.2, linestyle="--", zorder=1)
    figure.axes[0].annotate(
        f" best: epoch {best_epoch} ",
        (best_epoch, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, -3),
        textcoords="offset points",
        ha="left" if best_epoch <= epochs.mean() else "right",
        va="top",
        fontsize=9.5,
        color=_BEST,
    )
    for axes in panels[-1, : 2 if sparse else 1]:
        axes.set_xlabel("epoch", fontsize=10)
    return figure


_COLOURS = {"training": _TRAINING, "validation": _VALIDATION, "metric": _METRIC, "sparsity": _SPARSITY}


def _draw(
    axes: Axes, epochs: np.ndarray, lines: Sequence[Mapping[str, Any]], curves: Mapping[str, str], title: str, label: str
) -> None:
    """Draw curves, given by the keys of their values; a legend tells several apart."""
    size = 5 if len(lines) <= _FEW else 2
    for name, key in curves.items():
        values = np.array([np.nan if line.get(key) is None else line[key] for line in lines], dtype=float)
        axes.plot(epochs, values, color=_COLOURS[name.split(",")[0]], linewidth=1.8, marker=".", markersize=size, label=name)
        if np.isnan(values).all():
            axes.text(0.5, 0.5, "no value", transform=axes.transAxes, ha="center", va="center", fontsize=10)
    if len(curves) > 1:
        axes.legend(frameon=False, fontsize=9.5, loc="best")
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_ylabel(label, fontsize=10)
    axes.tick_params(labelsize=9.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.margins(x=0.03)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
