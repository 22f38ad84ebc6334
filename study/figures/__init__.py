"""The figures of a study, made from its tables alone, at the size at which a two-column paper prints them."""

from __future__ import annotations

from study.figures.curves import draw_curves
from study.figures.drawn import DrawnFigure
from study.figures.live_channels import draw_live_channels
from study.figures.pareto import draw_pareto
from study.figures.performance import draw_performance
from study.figures.strength import draw_strength
from study.tables import StudyTables

__all__ = ["KINDS", "DrawnFigure", "draw_all"]

KINDS = {
    "performance": draw_performance,
    "strength": draw_strength,
    "pareto": draw_pareto,
    "layers": draw_live_channels,
    "curves": draw_curves,
}
"""Beginnings of the names of the figures, up to the first underscore, and the functions that draw them."""


def draw_all(tables: StudyTables) -> tuple[list[DrawnFigure], list[str]]:
    """Draw all figures that ``tables`` hold the numbers of; return them, and sentences on those that could not be drawn.

    Names of figures differ from each other. Equal tables give equal figures. Nothing is written:
    ``figures.saving.save_figure`` does that.
    """
    if tables.summary.empty:
        return [], ["Figures: the study has no finished run yet."]
    drawn = [draw(tables) for draw in KINDS.values()]
    return [figure for figures, _ in drawn for figure in figures], [reason for _, reasons in drawn for reason in reasons]
