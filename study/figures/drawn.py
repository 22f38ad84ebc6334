"""A figure with what a paper says under it, and its legend."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from study.figures.style import finish_text, interval_handles, legend_below
from study.statistics import Estimate


@dataclass(frozen=True)
class DrawnFigure:
    """A figure of a study."""

    name: str
    """Name of its file, without ending."""
    title: str
    """Title of its section on a page; it is not in the picture."""
    caption: str
    """Text that says what is shown, of how many trials, and what bars and bands are."""
    figure: Figure


Drawn = tuple[list[DrawnFigure], list[str]]
"""Figures, and sentences on what could not be drawn and why."""


@dataclass
class Legend:
    """Legend of a figure: each kind of mark once, with its number of trials."""

    handles: dict[str, Artist] = field(default_factory=dict)
    counts: dict[str, list[int]] = field(default_factory=dict)
    marked: list[int] = field(default_factory=list)
    """Trials behind each marker."""

    def add(self, handle: Artist, means: Iterable[Estimate] = (), markers: bool = False) -> None:
        """Add what ``handle`` shows, by its label.

        Args:
            handle: of the first that is so called.
            means: that were drawn so; without any, the legend says no number of trials.
            markers: they are markers with bars.
        """
        label = str(handle.get_label())
        self.handles.setdefault(label, handle)
        numbers = [mean.n for mean in means]
        self.counts.setdefault(label, []).extend(numbers)
        self.marked += numbers if markers else []

    @property
    def trials(self) -> list[int]:
        """Numbers of trials of all means in the figure."""
        return [count for counts in self.counts.values() for count in counts]

    def write(self, figure: Figure) -> None:
        """Write the legend, with what a bar and a hollow marker are, below a figure in which all else is drawn."""
        for label, handle in self.handles.items():
            if self.counts[label]:
                handle.set_label(f"{label} ({n_text(self.counts[label])})")
        several, once = any(count > 1 for count in self.marked), any(count == 1 for count in self.marked)
        legend_below(figure, [*self.handles.values(), *interval_handles(several, once)])
        finish_text(figure)


def trials_text(counts: Iterable[int]) -> str:
    """Write ``3 trials``, or ``1 to 5 trials`` where settings differ in their number."""
    low, high = min(numbers := list(counts)), max(numbers)
    return f"{low} to {high} trials" if low != high else f"{low} trial{'s' * (low != 1)}"


def bars_text(cut: bool, what: str = "bars") -> str:
    """Explain the bars of a figure, and those that the frame cuts."""
    text = f"{what} are 95 % intervals of the mean (Student's t)"
    return f"{text}; those that reach the frame go on beyond it" if cut else text


def n_text(counts: Iterable[int]) -> str:
    """Write ``n = 3``, or ``n = 1–5`` where settings differ in their number."""
    low, high = min(numbers := list(counts)), max(numbers)
    return f"n = {low}" if low == high else f"n = {low}–{high}"
