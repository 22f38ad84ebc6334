"""Figures in a page: text is text, colours follow the page, nothing collides with another figure."""

import re

import numpy as np
import pytest

from study.figures.inline import DARK_INK, DARK_PAPER, dark_colour, inline_svg, page_colours
from study.figures.pareto import draw_pareto
from study.figures.style import strength_colours
from tests.study.figures.drawn_parts import drawn, texts
from tests.study_tables import small_study


def _contrast(colour: str) -> float:
    """Contrast to dark paper, as the accessibility guidelines of the web define it."""

    def luminance(of: str) -> float:
        parts = np.array([int(of[at : at + 2], 16) / 255 for at in (1, 3, 5)])
        return float(np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])

    return (luminance(colour) + 0.05) / (luminance(DARK_PAPER) + 0.05)


@pytest.fixture(scope="module")
def svg() -> str:
    (figure,), _ = drawn(draw_pareto, small_study)
    return inline_svg(figure.figure, "pareto")


def test_what_is_written_in_a_figure_can_be_selected(svg: str) -> None:
    (figure,), _ = drawn(draw_pareto, small_study)
    said = {re.sub(r"<[^>]+>", "", text).strip() for text in re.findall(r"<text.*?</text>", svg, flags=re.DOTALL)}
    plain = {text for text, _ in texts(figure.figure) if "$" not in text}
    assert plain <= said


def test_nothing_is_loaded_and_no_name_is_that_of_another_figure(svg: str) -> None:
    assert svg.startswith('<svg class="plot" style="--inches: 3.4" viewBox="0 0 ')
    assert svg.endswith("</svg>")
    assert "http" not in svg and "<style" not in svg and "xmlns" not in svg
    ids = re.findall(r'\bid="([^"]*)"', svg)
    assert len(set(ids)) == len(ids)
    assert all(name.startswith("pareto-") for name in ids)
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', svg)) <= set(ids)


def test_equal_figures_give_equal_texts(svg: str) -> None:
    (figure,), _ = drawn(draw_pareto, small_study)
    assert inline_svg(figure.figure, "pareto") == svg
    assert inline_svg(figure.figure, "other") == svg.replace("pareto-", "other-")


def test_every_colour_is_a_variable_that_the_page_defines(svg: str) -> None:
    assert not re.search(r"#[0-9a-f]{6}\b(?!-)", re.sub(r'(href="|url\()#[^")]*|id="[^"]*"', "", svg))
    names = {name for name, _, _ in page_colours([svg])}
    assert names == set(re.findall(r"var\((--c\w+)\)", svg))


def test_a_dark_colour_keeps_hue_and_contrast() -> None:
    assert (dark_colour("#ffffff"), dark_colour("#000000")) == (DARK_PAPER, DARK_INK)
    greys = [int(dark_colour(f"#{level:02x}" + f"{level:02x}" * 2)[1:3], 16) for level in (0x33, 0x55, 0x99, 0xE0)]
    assert greys == sorted(greys, reverse=True)
    assert all(_contrast(dark_colour(colour)) >= 3 for colour in strength_colours("abcdef").values())
    red, green, blue = (int(dark_colour("#0072b2")[at : at + 2], 16) for at in (1, 3, 5))
    assert red < green < blue
