"""Texts in a figure."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes


def write_beside(axes: Axes, text: str, position: tuple[float, float], offset: tuple[float, float], **style: Any) -> None:
    """Write a text ``offset`` points from a position; ``style`` is that of ``Axes.annotate``."""
    axes.annotate(text, position, xytext=offset, textcoords="offset points", **style)
