"""Figures with a bar per layer, on a square-root scale.

The axis starts at a true zero (so a dead layer has no bar, and bars keep a meaning that a logarithmic axis takes away), yet a
layer of 3 groups is seen beside one of 2048. As the eye cannot read shares from such a scale, they stand over the bars.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from figures.colours import BLUE
from figures.texts import write_beside

LIVE = BLUE
ZERO_FACE, ZERO_EDGE = "#DDDDDD", "#8A8A8A"
_STAGE_SHADE = "#FFF3DC"
_DEAD = "#B23A00"
_HEADROOM = 1.5
"""Top of the value axis over its largest bar: room for the upright percentages (a sixth of the axis's height)."""


def layer_figure(title: str, layers: int, height: float, least: float) -> Figure:
    """Make an empty figure as wide as its bars need, with a heading that is wrapped where it is longer.

    Args:
        title: the heading.
        layers: number of bars beside each other.
        height: inches.
        least: inches of width.
    """
    width = max(least, 1.3 + 0.205 * layers)
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=0.07, w_pad=0.07))
    # 9 to 10 characters of the bold 12-point title fit in an inch.
    heading = figure.suptitle(textwrap.fill(title, int(width * 9.5)), fontsize=12, fontweight="bold")
    heading.set_parse_math(False)
    return figure


@dataclass(frozen=True)
class LayerTexts:
    """Texts of a panel of layers."""

    title: str
    ylabel: str
    tick: Callable[[float], str]
    """Text of a value of the axis."""
    over: Callable[[pd.Series], str]
    """Text of a layer, over its bars."""
    stage: Callable[[pd.DataFrame], str]
    """Text of the layers of a stage, below its name."""


def draw_layers(axes: Axes, layers: pd.DataFrame, bars: Mapping[str, tuple[str, str]], texts: LayerTexts) -> None:
    """Draw a bar per layer and quantity, the smaller ones over the larger, on a square-root scale from a true zero.

    Over the bars of a layer stands a text, in bold where its last quantity is 0; every other stage is shaded and named.

    Args:
        axes: to draw on.
        layers: one row per layer; the column ``stage`` names stages, whose rows stand together.
        bars: per column, the largest first, its colour and its label.
        texts: of the panel.
    """
    largest, *_, smallest = bars
    for column, (colour, label) in bars.items():
        edge: dict[str, Any] = {"edgecolor": ZERO_EDGE, "linewidth": 0.6} if colour == ZERO_FACE else {}
        axes.bar(range(len(layers)), layers[column], width=0.8, color=colour, label=label, zorder=3, **edge)
    _square_root_axis(axes, max(float(layers[largest].max()), 1.0), texts.tick)
    for position, (_, row) in enumerate(layers.iterrows()):
        dead = row[smallest] == 0
        look: dict[str, Any] = {"color": _DEAD, "fontweight": "bold"} if dead else {"color": "#333333"}
        place: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "bottom"}
        write_beside(axes, texts.over(row), (position, float(row[largest])), (0, 2.5), fontsize=7, **place, **look)
    _mark_stages(axes, layers, texts.stage)
    axes.set_ylabel(f"{texts.ylabel}\n(count, square-root scale)", fontsize=9)
    # Above the line of stage names.
    axes.set_title(texts.title, loc="left", fontsize=10.5, fontweight="bold", pad=32)


def name_layers(above: Axes, below: Axes, names: Sequence[str]) -> None:
    """Write the layers' names below the lower one of two panels."""
    above.tick_params(axis="x", length=0)
    below.set_xticks(range(len(names)), labels=names, rotation=90, fontsize=7.5)
    below.set_xlim(-0.6, len(names) - 0.4)


def _square_root_axis(axes: Axes, largest: float, text: Callable[[float], str]) -> None:
    axes.set_yscale("function", functions=(_signed_sqrt, _signed_square))
    axes.set_ylim(0, largest * _HEADROOM)
    axes.yaxis.set_major_locator(FixedLocator(_ticks(largest)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axes.tick_params(axis="y", labelsize=8.5)
    axes.grid(axis="y", color="#D5D5D5", linewidth=0.5, zorder=1)
    axes.spines[["top", "right"]].set_visible(False)


def _mark_stages(axes: Axes, layers: pd.DataFrame, text: Callable[[pd.DataFrame], str]) -> None:
    runs = (layers["stage"] != layers["stage"].shift()).cumsum().to_numpy()
    for index, run in enumerate(np.unique(runs)):
        rows = np.flatnonzero(runs == run)
        left, right = float(rows[0]) - 0.5, float(rows[-1]) + 0.5
        if index % 2 == 0:
            axes.axvspan(left, right, color=_STAGE_SHADE, linewidth=0, zorder=0)
        if index:
            axes.axvline(left, color="#666666", linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
        name = f"{layers['stage'].iloc[rows[0]]}\n{text(layers.iloc[rows])}"
        place: dict[str, Any] = {"xycoords": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        write_beside(axes, name, ((left + right) / 2, 1.0), (0, 3), fontsize=8.5, color="#222222", **place)


def _ticks(largest: float) -> list[float]:
    """Return zero and the numbers 1, 2, 5 times a power of ten that stand apart on a square-root axis up to ``largest``."""
    ticks = [0.0]
    for exponent in range(9, -1, -1):
        ticks += [d * 10.0**exponent for d in (5, 2, 1) if 0.03 * largest <= d * 10.0**exponent <= largest * _HEADROOM]
    return ticks


def count_text(value: float) -> str:
    """Write ``1500`` as ``1,500`` and ``2000000`` as ``2 M``."""
    return f"{value / 1e6:g} M" if value >= 1e5 else f"{value:,.0f}"


def _signed_sqrt(values: np.ndarray) -> np.ndarray:
    # matplotlib asks for values beyond the axis too: the function must be defined and monotone there.
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)))


def _signed_square(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(values) * np.square(values))
