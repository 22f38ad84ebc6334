"""A figure with what a paper says under it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class DrawnFigure:
    """A figure of a study."""

    name: str
    """Of its file, without ending."""
    title: str
    """Of its section on a page; it is not in the picture."""
    caption: str
    """What is shown, of how many trials, and what bars and bands are."""
    figure: Figure


Drawn = tuple[list[DrawnFigure], list[str]]
"""Figures, and sentences on what could not be drawn and why."""


def trials_text(counts: Iterable[int]) -> str:
    """``3 trials``, or ``1 to 5 trials`` where settings differ in their number."""
    low, high = min(numbers := list(counts)), max(numbers)
    return f"{low} to {high} trials" if low != high else f"{low} trial{'s' * (low != 1)}"


def bars_text(cut: bool, what: str = "bars") -> str:
    """What bars are, and where one ends that is ``cut``."""
    text = f"{what} are 95 % intervals of the mean (Student's t)"
    return f"{text}; those that reach the frame go on beyond it" if cut else text


def n_text(counts: Iterable[int]) -> str:
    """``n = 3``, or ``n = 1–5`` where settings differ in their number."""
    low, high = min(numbers := list(counts)), max(numbers)
    return f"n = {low}" if low == high else f"n = {low}–{high}"
