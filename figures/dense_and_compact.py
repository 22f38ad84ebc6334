"""The figure of a dense network, its sparse twin and the compact network that is left: what is lost, and what is saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from figures.colours import BLUE, ORANGE
from figures.texts import write_beside

_DENSE = "#BDBDBD"


def comparison_figure(report: Mapping[str, Any], title: str) -> Figure:
    """Draw each metric and each cost in percent of the dense network's.

    Args:
        report: with ``twin`` (``name`` and ``metrics``), ``model``, ``file_MB`` and ``latency``, as in ``compact_report.json``.
        title: of the figure.
    """
    total, sizes = report["model"], report["file_MB"]["model"]
    costs = [
        ("multiply-adds", total["macs"] / 1e9, total["macs_left"] / 1e9, "G"),
        ("parameters", total["parameters"] / 1e6, total["parameters_left"] / 1e6, "M"),
        ("weights as a file", sizes["dense"], sizes["compact"], "MB"),
    ]
    costs += [
        (f"time of a batch of {row['batch']}", row["milliseconds"]["dense"], row["milliseconds"]["compact"], "ms")
        for row in report["latency"]
        if row["part"] == "model"
    ]
    metrics = report["twin"]["metrics"]
    figure = Figure(figsize=(9.0, 1.6 + 0.62 * (len(metrics) + len(costs))), layout="constrained")
    figure.suptitle(title, fontsize=11, fontweight="bold", wrap=True)
    above, below = figure.subplots(2, 1, height_ratios=(len(metrics), len(costs)))
    quality = [(each["name"], each["dense"], each["sparse"], "", each["decimals"]) for each in metrics]
    _draw(above, quality, ORANGE, "What it loses: metrics on the test split")
    _draw(below, [(*cost, None) for cost in costs], BLUE, "What it saves: the whole model, compact in place of dense")
    handles = [*above.containers[:2], below.containers[1]]
    names = [f"dense ({report['twin']['name']})", "sparse, and compact", "compact"]
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure


def _draw(axes: Axes, rows: Sequence[tuple[str, float, float, str, int | None]], colour: str, title: str) -> None:
    """Draw two bars per row: of the dense network, which is 100 %, and of the other one."""
    for shift, first, face in ((-0.2, True, _DENSE), (0.2, False, colour)):
        values = [row[1] if first else row[2] for row in rows]
        shares = [100 * value / row[1] if row[1] else 0.0 for value, row in zip(values, rows, strict=True)]
        places = [number + shift for number in range(len(rows))]
        axes.barh(places, shares, height=0.38, color=face, zorder=3)
        for value, share, place, (_, _, _, unit, decimals) in zip(values, shares, places, rows, strict=True):
            text = f"{value:.{decimals}f}" if decimals is not None else f"{value:.3g} {unit}"
            write_beside(axes, text, (share, place), (4, 0), va="center", fontsize=8, fontweight="normal" if first else "bold")
    axes.set_yticks(range(len(rows)), labels=[row[0] for row in rows], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18 * max(100.0, *(100 * row[2] / row[1] for row in rows if row[1])))
    axes.xaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.set_xlabel("of the dense network", fontsize=9)
    axes.set_title(title, loc="left", fontsize=9.5, fontweight="bold")
    axes.grid(axis="x", color="#D5D5D5", linewidth=0.5, zorder=1)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
