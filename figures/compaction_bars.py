"""The figure of a compaction: what was saved where, layer by layer and in total.

The numbers come from the compaction's report; this module draws them. Figures are made with matplotlib's object-oriented
interface: no display, no global state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch
from matplotlib.text import Annotation
from matplotlib.ticker import PercentFormatter

from figures.colours import ORANGE
from figures.layer_bars import LIVE, ZERO_EDGE, ZERO_FACE, LayerTexts, draw_layers, layer_figure, name_layers
from figures.texts import write_beside
from utils.numbers import percent

_STAYED = "#9CCBE8"
_MARGIN = 4.0
"""Pixels between the end of a text and the edge of its axes."""
_COLOURS = {"dense": ZERO_FACE, "folded": ORANGE, "compact": LIVE}


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
    figure = layer_figure(title, len(layers), 12.6, 10.0)
    (upper,), (lower,) = figure.subfigures(2, 1, squeeze=False, height_ratios=(2.0, 1))
    _draw_per_layer(upper, layers)
    left, right = lower.subplots(1, 2)
    _draw_totals(left, _quantities(report, "backbone"), "(c) Shared backbone")
    _draw_totals(right, _quantities(report, "model"), "(d) Whole model, with its heads")
    handles = [
        Patch(facecolor=_COLOURS["dense"], edgecolor=ZERO_EDGE, label="dense, as trained (100 %)"),
        Patch(facecolor=_COLOURS["folded"], label="dense, batch norm folded"),
        Patch(facecolor=_COLOURS["compact"], label="compact"),
    ]
    lower.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    figure.draw_without_rendering()  # texts have a width from here on
    for axes in (left, right):
        _make_room(axes)
    return figure


def _make_room(axes: Axes) -> None:
    """Widen the scale of bars until the text beside each of them ends within the axes, of a figure that was laid out."""
    width, limit = axes.bbox.width, axes.get_xlim()[1]
    for text in axes.texts:
        assert isinstance(text, Annotation)
        beyond_bar = text.get_window_extent().x1 - axes.transData.transform((text.xy[0], 0))[0]
        limit = max(limit, text.xy[0] * width / (width - beyond_bar - _MARGIN))
    axes.set_xlim(0, limit)


def _draw_per_layer(figure: SubFigure, layers: pd.DataFrame) -> None:
    """Draw what each layer computed and computes, and below it what it reads."""
    parts = layers["part"].astype(str)
    layers = layers.assign(stage=parts.where(~parts.str.startswith("heads."), "heads"))
    above, below = figure.subplots(2, 1, sharex=True)
    macs = LayerTexts(
        title="(a) Multiply-adds per layer; percent: what is gone",
        ylabel="MACs per image",
        tick=lambda value: f"{value / 1e9:g} G" if value >= 1e9 else f"{value / 1e6:g} M",
        over=lambda row: _share_gone(row["macs"], row["macs_left"]),
        stage=lambda rows: _share_gone(rows["macs"].sum(), rows["macs_left"].sum()),
    )
    draw_layers(above, layers, {"macs": (ZERO_FACE, "gone"), "macs_left": (LIVE, "left")}, macs)
    channels = LayerTexts(
        title="(b) Input channels: number read; percent: removed",
        ylabel="input channels",
        tick=lambda value: f"{value:,.0f}",
        over=lambda row: f"{row['channels_read']:.0f}",
        stage=lambda rows: _share_gone(rows["groups"].sum(), rows["channels_there"].sum()),
    )
    bars = {
        "groups": (ZERO_FACE, "removed"),
        "channels_there": (_STAYED, "kept for other layers"),
        "channels_read": (LIVE, "read by the layer"),
    }
    draw_layers(below, layers, bars, channels)
    for axes in (above, below):
        place: dict[str, Any] = {"bbox_to_anchor": (1.0, 1.0), "loc": "lower right", "borderaxespad": 3.1, "borderpad": 0}
        axes.legend(**place, fontsize=8.5, ncols=3, frameon=False, columnspacing=1.2, handlelength=1.4)
    name_layers(above, below, [_short(name) for name in layers["layer"]])


def _short(layer: str) -> str:
    """Shorten to ``layer1.0.conv1`` of the backbone, ``depth_euclidean 0.convs.1.0`` of a head."""
    if layer.startswith("heads."):
        _, task, name = layer.split(".", 2)
        return f"{task} {name}"
    return layer.removeprefix("backbone.")


def _share_gone(before: float, after: float) -> str:
    return percent(float(before - after), float(before), decimals=0) if before else ""


def _quantities(report: Mapping[str, Any], part: str) -> list[_Quantity]:
    """Return the totals of a part that were measured."""
    total, sizes = report[part], report["file_MB"][part]
    quantities = [
        _Quantity("MACs", {"dense": total["macs"] / 1e9, "compact": total["macs_left"] / 1e9}, "G"),
        _Quantity("parameters", {"dense": total["parameters"] / 1e6, "compact": total["parameters_left"] / 1e6}, "M"),
        _Quantity("weights on disk", {"dense": sizes["dense"], "compact": sizes["compact"]}, "MB"),
    ]
    quantities += [
        _Quantity(f"latency, batch {row['batch']}", row["milliseconds"], "ms")
        for row in report["latency"]
        if row["part"] == part
    ]
    if part == "model":
        quantities += [_Quantity(f"memory, batch {row['batch']}", row["megabytes"], "MB") for row in report["memory"]["model"]]
    return quantities


def _draw_totals(axes: Axes, quantities: list[_Quantity], title: str) -> None:
    """Draw each quantity in percent of the dense network's, and write it in its unit."""
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
            weight = "bold" if form == "compact" else "normal"
            write_beside(axes, text, (share, y), (3, 0), va="center", fontsize=7, fontweight=weight)
    axes.set_yticks(np.arange(len(quantities)), labels=[quantity.name for quantity in quantities], fontsize=8.5)
    axes.invert_yaxis()
    widest = max((100 * max(q.values.values()) / q.values["dense"] for q in quantities if q.values["dense"]), default=100.0)
    axes.set_xlim(0, max(100.0, widest))
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.xaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.set_xlabel("of the dense network, as trained", fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#D5D5D5", linewidth=0.5, zorder=1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold")
