"""How the penalty acted on a training: lambda and group sparsity over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_LAMBDA, _SPARSITY, _WANTED, _DEBIAS = "#D55E00", "#0072B2", "#000000", "#EEEEEE"


def control_figure(points: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Draw lambda (logarithmic) above the group sparsity, measured and wanted; the debias phase is shaded.

    Args:
        points: lines of ``steps.jsonl`` with ``time`` (epochs), ``lambda``, ``group_sparsity`` (percent), ``wanted_sparsity``
            (percent, or None where no sparsity was aimed at) and ``debiasing``.
        title: of the figure.

    Raises:
        ValueError: no point.
    """
    if not points:
        raise ValueError("a figure of the penalty needs at least one point")
    time = np.array([point["time"] for point in points], dtype=float)
    strength = np.array([point["lambda"] for point in points], dtype=float)
    sparsity = np.array([point["group_sparsity"] for point in points], dtype=float)
    wanted = np.array(
        [np.nan if point["wanted_sparsity"] is None else point["wanted_sparsity"] for point in points], dtype=float
    )
    debias = [point["time"] for point in points if point["debiasing"]]

    figure = Figure(figsize=(7.2, 5.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    figure.suptitle(title, fontsize=11)
    above.plot(time, np.where(strength > 0, strength, np.nan), color=_LAMBDA, linewidth=1.5)
    above.set_ylabel("λ")
    if (strength > 0).any():
        above.set_yscale("log")
    else:
        above.set_yticks([])
        above.text(0.5, 0.5, "λ = 0 throughout", transform=above.transAxes, ha="center", va="center")
    below.plot(time, sparsity, color=_SPARSITY, linewidth=2.2, label="measured")
    if np.isfinite(wanted).any():
        below.plot(time, wanted, color=_WANTED, linewidth=1.0, linestyle="--", label="wanted")
    below.set_ylabel("zero groups in %")
    below.set_xlabel("epoch")
    below.set_ylim(0, max(100.0, float(np.nanmax(sparsity))))
    below.set_xlim(0, max(1.0, float(time[-1])))
    for axes in (above, below):
        _finish(axes, debias[0] if debias else None, float(time[-1]))
    below.annotate(
        f"{sparsity[-1]:.1f} %",
        (time[-1], sparsity[-1]),
        xytext=(-4, 6),
        textcoords="offset points",
        ha="right",
        fontsize=9,
        color=_SPARSITY,
    )
    below.legend(frameon=False, fontsize=9, loc="upper left")
    return figure


def _finish(axes: Axes, debias_from: float | None, end: float) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if debias_from is not None:
        axes.axvspan(debias_from, max(end, debias_from), color=_DEBIAS, zorder=0)
        axes.text(
            debias_from, 0.02, " zeros fixed,\n penalty off", transform=axes.get_xaxis_transform(), fontsize=8.5, va="bottom"
        )
