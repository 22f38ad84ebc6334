"""What the figures with a bar per layer share: colours, a square-root axis, names of the stages, percentages."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

LIVE = "#0072B2"
ZERO_FACE, ZERO_EDGE = "#DDDDDD", "#8A8A8A"
INCHES_PER_LAYER = 0.205
_STAGE_SHADE = "#FFF3DC"
_DEAD = "#B23A00"
_HEADROOM = 1.5
"""Top of the value axis over its largest bar: room for the upright percentages (a sixth of the axis's height)."""


def square_root_axis(axes: Axes, largest: float, text: Callable[[float], str]) -> None:
    """A value axis from a true zero to above its ``largest`` bar, on which small bars are seen beside large ones.

    Args:
        axes: of the bars.
        largest: value.
        text: what is written at a tick.
    """
    axes.set_yscale("function", functions=(_signed_sqrt, _signed_square))
    axes.set_ylim(0, largest * _HEADROOM)
    axes.yaxis.set_major_locator(FixedLocator(_ticks(largest)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axes.tick_params(axis="y", labelsize=8.5)
    axes.grid(axis="y", color="#D5D5D5", linewidth=0.5, zorder=1)
    axes.spines[["top", "right"]].set_visible(False)


def write_over(axes: Axes, position: float, height: float, text: str, *, strong: bool) -> None:
    """Upright text over a bar."""
    axes.annotate(
        text,
        (float(position), float(height)),
        xytext=(0, 2.5),
        textcoords="offset points",
        rotation=90,
        ha="center",
        va="bottom",
        fontsize=7,
        color=_DEAD if strong else "#333333",
        fontweight="bold" if strong else "normal",
    )


def mark_stages(axes: Axes, layers: pd.DataFrame, column: str, text: Callable[[pd.DataFrame], str]) -> None:
    """Shade every other stage, and write its name and a text over it.

    Args:
        axes: with a bar per row of ``layers``, at 0, 1, 2, ...
        layers: rows of a stage stand together.
        column: that names the stage.
        text: of the rows of a stage; the second line.
    """
    stages = layers[column].astype(str)
    runs = (stages != stages.shift()).cumsum().to_numpy()
    for index, run in enumerate(np.unique(runs)):
        rows = np.flatnonzero(runs == run)
        left, right = float(rows[0]) - 0.5, float(rows[-1]) + 0.5
        if index % 2 == 0:
            axes.axvspan(left, right, color=_STAGE_SHADE, linewidth=0, zorder=0)
        if index:
            axes.axvline(left, color="#666666", linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(
            f"{stages.iloc[rows[0]]}\n{text(layers.iloc[rows])}",
            ((left + right) / 2, 1.0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8.5,
            color="#222222",
        )


def percent(part: float, whole: float, decimals: int = 1) -> str:
    """A share as text that says 0 or 100 only if it is exactly that."""
    share, step = 100.0 * part / whole, 10.0**-decimals
    if part > 0 and share < step / 2:
        return f"<{step:.{decimals}f} %"
    if part != whole and share >= 100 - step / 2:
        return f">{100 - step:.{decimals}f} %"
    return f"{share:.{decimals}f} %"


def _ticks(largest: float) -> list[float]:
    """Zero and the numbers 1, 2, 5 times a power of ten that stand apart on a square-root axis up to ``largest``."""
    ticks = [0.0]
    for exponent in range(9, -1, -1):
        ticks += [d * 10.0**exponent for d in (5, 2, 1) if 0.03 * largest <= d * 10.0**exponent <= largest * _HEADROOM]
    return ticks


def short_number(value: float) -> str:
    """``1500`` as ``1,500`` and ``2000000`` as ``2 M``."""
    return f"{value / 1e6:g} M" if value >= 1e5 else f"{value:,.0f}"


def _signed_sqrt(values: np.ndarray) -> np.ndarray:
    # matplotlib asks for values beyond the axis too: the function must be defined and monotone there.
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)))


def _signed_square(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(values) * np.square(values))
