"""Figures as part of a page: SVG with text that can be selected, and with colours that follow the page's light and dark."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterable
from io import StringIO

import matplotlib
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

DARK_PAPER, DARK_INK = "#15181b", "#e6e9ec"
"""Background and text of a dark page."""

_COLOUR = re.compile(r"(fill|stroke|stop-color): #([0-9a-f]{6})\b")
_REST = (
    (re.compile(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", re.DOTALL), ""),
    (re.compile(r' xmlns(?::xlink)?="[^"]*"| version="[^"]*"'), ""),
    (re.compile(r"<g id=\"[^\"]*\""), "<g"),
    (re.compile(r"xlink:href"), "href"),
    # the page names the family
    (re.compile(r"(font: [^;\"]*?[\d.]+px) [^;\"]*"), r"\1 var(--plot)"),
    # a hundredth of a point is less than a pixel
    (re.compile(r"(\d\.\d\d)\d+(?=[^<>]*>)"), r"\1"),
    (re.compile(r"\s*\n\s*"), "\n"),
)
"""What is not for a page, and what stands in its place."""


def inline_svg(figure: Figure, name: str) -> str:
    """Draw a figure as an ``<svg>`` element, to stand in a page; equal figures and names give equal texts.

    Colours are variables of CSS, such as ``var(--c0072b2)``, which :func:`page_colours` lists; black text and markers take the
    colour around them.

    Args:
        figure: that is drawn; it is not changed.
        name: which no other figure of the page has.
    """
    file = StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "figure"}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    for pattern, new in _REST:
        text = pattern.sub(new, text)
    numbers = {label: str(number) for number, label in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]*)"', text)))}
    text = re.sub(r'(\bid="|href="#|url\(#)([^")]*)', lambda match: f"{match[1]}{name}-{numbers[match[2]]}", text)
    width = figure.get_figwidth()
    text = re.sub(r'<svg width="[^"]*" height="[^"]*"', f'<svg class="plot" style="--inches: {width:g}"', text, count=1)
    return _COLOUR.sub(r"\1: var(--c\2)", text).strip()


def page_colours(figures: Iterable[str]) -> list[tuple[str, str, str]]:
    """List the colours of figures by :func:`inline_svg`: name of the variable, on a light page, on a dark one."""
    colours = sorted({colour for text in figures for colour in re.findall(r"var\(--c([0-9a-f]{6})\)", text)})
    return [(f"--c{colour}", f"#{colour}", dark_colour(f"#{colour}")) for colour in colours]


def dark_colour(colour: str) -> str:
    """Return the colour of the same hue for dark paper: what stands out on white paper does so there.

    White becomes the paper, black the ink, and a grey keeps its contrast. Colours that are pale on white keep at least the
    contrast of 3 that a line needs to be seen, and their order.
    """
    if colour == "#ffffff":
        return DARK_PAPER
    hue, _, saturation = colorsys.rgb_to_hls(*to_rgb(colour))
    contrast = 1.05 / (_luminance(to_rgb(colour)) + 0.05)
    wanted = (contrast if saturation == 0 else 3 + 0.7 * contrast) * (_luminance(to_rgb(DARK_PAPER)) + 0.05) - 0.05
    if wanted >= _luminance(to_rgb(DARK_INK)):
        return DARK_INK
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        darker = _luminance(colorsys.hls_to_rgb(hue, middle, saturation)) < wanted
        low, high = (middle, high) if darker else (low, middle)
    return to_hex(colorsys.hls_to_rgb(hue, high, saturation))


def _luminance(colour: tuple[float, float, float]) -> float:
    """Compute the relative luminance of an sRGB colour, as the accessibility guidelines of the web define it."""
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
