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

KINDS = ("performance", "strength", "pareto", "layers", "curves")
"""Beginnings of the names of the figures, up to the first underscore."""

_FIGURES = (draw_performance, draw_strength, draw_pareto, draw_live_channels, draw_curves)


def draw_all(tables: StudyTables) -> tuple[list[DrawnFigure], list[str]]:
    """All figures that ``tables`` hold the numbers of, and sentences on what could not be drawn and why.

    Names of figures differ from each other. Equal tables give equal figures. Nothing is written:
    ``figures.saving.save_figure`` does that.
    """
    if tables.summary.empty:
        return [], ["Figures: the study has no finished run yet."]
    drawn = [draw(tables) for draw in _FIGURES]
    return [figure for figures, _ in drawn for figure in figures], [reason for _, reasons in drawn for reason in reasons]
