"""The figure of a compaction: what was saved where, layer by layer and in total.

The numbers come from the compaction's report; this module draws them. Figures are made with matplotlib's object-oriented
interface: no display, no global state.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from utils.layer_bars import (
    INCHES_PER_LAYER,
    LIVE,
    ZERO_EDGE,
    ZERO_FACE,
    mark_stages,
    percent,
    square_root_axis,
    write_over,
)

_STAYED = "#9CCBE8"
_FOLDED = "#E69F00"
_COLOURS = {"dense": ZERO_FACE, "folded": _FOLDED, "compact": LIVE}


@dataclass(frozen=True)
class _Quantity:
    """A line of the panels of totals."""

    name: str
    values: Mapping[str, float]
    """Per form of the network."""
    unit: str


def compaction_figure(layers: pd.DataFrame, report: Mapping[str, Any], title: str) -> Figure:
    """Draw what each layer computed and computes, what it reads, and the totals of backbone and whole model.

    Args:
        layers: one row per convolution in network order: ``layer``, ``part`` (names), ``macs``, ``macs_left``, ``groups``
            (input channels of the dense layer), ``channels_there``, ``channels_read``.
        report: ``backbone`` and ``model`` (parameters and MACs, before and left), ``file_MB`` and ``latency``, as in
            ``compact_report.json``.
        title: what the figure shows; wrapped where it is longer than the figure is wide.

    Raises:
        ValueError: there is no layer.
    """
    if layers.empty:
        raise ValueError("the table of layers has no row")
    stages = layers["part"].astype(str).where(~layers["part"].astype(str).str.startswith("heads."), "heads")
    layers = layers.assign(stage=stages)
    width = max(10.0, 1.3 + INCHES_PER_LAYER * len(layers))
    figure = Figure(figsize=(width, 12.6), layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.08, hspace=0.02))
    heading = figure.suptitle(textwrap.fill(title, int(width * 9.5)), fontsize=12, fontweight="bold")
    heading.set_parse_math(False)
    grid = figure.subfigures(2, 1, squeeze=False, height_ratios=(2.0, 1))
    upper, lower = grid[:, 0]
    above, below = upper.subplots(2, 1, sharex=True)
    _draw_macs(above, layers)
    _draw_channels(below, layers)
    below.set_xticks(np.arange(len(layers)), labels=[_short(name) for name in layers["layer"]], rotation=90, fontsize=7.5)
    below.set_xlim(-0.6, len(layers) - 0.4)
    above.tick_params(axis="x", length=0)
    left, right = lower.subplots(1, 2)
    _draw_totals(left, _quantities(report, "backbone"), "(c) Shared backbone")
    _draw_totals(right, _quantities(report, "model"), "(d) Whole model, with its heads")
    lower.legend(
        handles=[
            Patch(facecolor=_COLOURS["dense"], edgecolor=ZERO_EDGE, label="dense, as trained (100 %)"),
            Patch(facecolor=_COLOURS["folded"], label="dense, batch norm folded"),
            Patch(facecolor=_COLOURS["compact"], label="compact"),
        ],
        loc="outside lower center",
        ncols=3,
        fontsize=9,
        frameon=False,
    )
    return figure


def _short(layer: str) -> str:
    """``layer1.0.conv1`` of the backbone, ``depth_euclidean 0.convs.1.0`` of a head."""
    if layer.startswith("heads."):
        _, task, name = layer.split(".", 2)
        return f"{task} {name}"
    return layer.removeprefix("backbone.")


def _draw_macs(axes: Axes, layers: pd.DataFrame) -> None:
    """What each layer computes for an image, before and after."""
    total, left = layers["macs"].to_numpy(dtype=float), layers["macs_left"].to_numpy(dtype=float)
    _bars(axes, total, ZERO_FACE, "gone", ZERO_EDGE)
    _bars(axes, left, LIVE, "left")
    square_root_axis(axes, float(max(total.max(), 1)), _macs)
    for position, (all_, rest) in enumerate(zip(total, left, strict=True)):
        if all_:
            write_over(axes, position, all_, percent(all_ - rest, all_, decimals=0), strong=rest == 0)
    mark_stages(axes, layers, "stage", lambda rows: _share_gone(rows["macs"].sum(), rows["macs_left"].sum()))
    axes.set_ylabel("MACs per image\n(square-root scale)", fontsize=9)
    _title(axes, "(a) Multiply-adds per layer; percent: what is gone")


def _draw_channels(axes: Axes, layers: pd.DataFrame) -> None:
    """How many channels a layer's input had, how many are left in it, and how many of those the layer reads."""
    total = layers["groups"].to_numpy(dtype=float)
    there = layers["channels_there"].to_numpy(dtype=float)
    read = layers["channels_read"].to_numpy(dtype=float)
    _bars(axes, total, ZERO_FACE, "removed", ZERO_EDGE)
    _bars(axes, there, _STAYED, "kept for other layers")
    _bars(axes, read, LIVE, "read by the layer")
    square_root_axis(axes, float(total.max()), lambda value: f"{value:,.0f}")
    for position, (all_, rest) in enumerate(zip(total, read, strict=True)):
        write_over(axes, position, all_, f"{rest:.0f}", strong=rest == 0)
    mark_stages(axes, layers, "stage", lambda rows: _share_gone(rows["groups"].sum(), rows["channels_there"].sum()))
    axes.set_ylabel("input channels\n(count, square-root scale)", fontsize=9)
    _title(axes, "(b) Input channels: number read; percent: removed")


def _bars(axes: Axes, values: np.ndarray, colour: str, label: str, edge: str | None = None) -> None:
    axes.bar(
        np.arange(len(values)),
        values,
        width=0.8,
        color=colour,
        edgecolor=edge,
        linewidth=0.6 if edge else 0,
        label=label,
        zorder=3,
    )


def _title(axes: Axes, text: str) -> None:
    # Both above the line of stage names.
    axes.set_title(text, loc="left", fontsize=10.5, fontweight="bold", pad=32)
    axes.legend(
        bbox_to_anchor=(1.0, 1.0),
        loc="lower right",
        borderaxespad=3.1,
        borderpad=0,
        fontsize=8.5,
        ncols=3,
        frameon=False,
        columnspacing=1.2,
        handlelength=1.4,
    )


def _share_gone(before: float, after: float) -> str:
    return percent(float(before - after), float(before), decimals=0) if before else ""


def _macs(value: float) -> str:
    return f"{value / 1e9:g} G" if value >= 1e9 else f"{value / 1e6:g} M"


def _quantities(report: Mapping[str, Any], part: str) -> list[_Quantity]:
    """The totals of a part that were measured."""
    total, sizes = report[part], report["file_MB"][part]
    found = [
        _Quantity("MACs", {"dense": total["macs"] / 1e9, "compact": total["macs_left"] / 1e9}, "G"),
        _Quantity("parameters", {"dense": total["parameters"] / 1e6, "compact": total["parameters_left"] / 1e6}, "M"),
        _Quantity("weights on disk", {"dense": sizes["dense"], "compact": sizes["compact"]}, "MB"),
    ]
    found += [
        _Quantity(f"latency, batch {row['batch']}", row["milliseconds"], "ms")
        for row in report["latency"]
        if row["part"] == part
    ]
    if part == "model":
        found += [_Quantity(f"memory, batch {row['batch']}", row["megabytes"], "MB") for row in report["memory"]["model"]]
    return found


def _draw_totals(axes: Axes, quantities: list[_Quantity], title: str) -> None:
    """Each quantity in percent of the dense network's, and in its unit."""
    for row, quantity in enumerate(quantities):
        dense = quantity.values["dense"]
        forms = [form for form in _COLOURS if form in quantity.values]
        height = 0.8 / len(forms)
        for place, form in enumerate(forms):
            value = quantity.values[form]
            share = 100 * value / dense if dense else 0.0
            y = row - 0.4 + (place + 0.5) * height
            edge = ZERO_EDGE if form == "dense" else None
            axes.barh(y, share, height=height, color=_COLOURS[form], edgecolor=edge, linewidth=0.6 if edge else 0, zorder=3)
            text = f"{value:.3g} {quantity.unit}" if value < 1000 else f"{value:,.0f} {quantity.unit}"
            if form == "compact" and value:
                text += f"  ({dense / value:.1f} × less)"
            axes.annotate(
                *(text, (share, y)),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                fontweight="bold" if form == "compact" else "normal",
            )
    axes.set_yticks(np.arange(len(quantities)), labels=[quantity.name for quantity in quantities], fontsize=8.5)
    axes.invert_yaxis()
    widest = max((100 * max(q.values.values()) / q.values["dense"] for q in quantities if q.values["dense"]), default=100.0)
    axes.set_xlim(0, max(100.0, widest) * 1.25)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.xaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.set_xlabel("of the dense network, as trained", fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#D5D5D5", linewidth=0.5, zorder=1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold")
