"""Numbers as text."""

from __future__ import annotations

import math


def percent(part: float, whole: float = 100.0, decimals: int = 1) -> str:
    """Return a share as text that says 0 or 100 only if it is exactly that."""
    share, step = 100.0 * part / whole, 10.0**-decimals
    if part > 0 and share < step / 2:
        return f"<{step:.{decimals}f} %"
    if part != whole and share >= 100 - step / 2:
        return f">{100 - step:.{decimals}f} %"
    return f"{share:.{decimals}f} %"


def fixed(value: float, decimals: int, signed: bool = False) -> str:
    """Return a number as text with a true minus sign and no negative zero; if ``signed``, with ``+`` above zero."""
    text = f"{float(value):{'+' if signed else ''}z.{decimals}f}".replace("-", "−")
    return text.removeprefix("+") if not float(text.replace("−", "-")) else text


def fitted(value: float | None, width: int, decimals: int = 4) -> str:
    """Return a number in at most ``width`` (6 or more) characters, with as many decimals as there is room for; - for none."""
    if value is None or math.isnan(value):
        return "-"
    texts = (f"{value:.{places}f}" for places in range(decimals, -1, -1))
    return next((text for text in texts if len(text) <= width), f"{value:.0e}")


def short_number(value: float) -> str:
    """Return a number as ``1.5e-4``, ``5e-2`` or ``70``: strengths differ by powers of ten, which this way of writing shows."""
    if value and abs(value) < 0.1:
        digits, exponent = f"{value:e}".split("e")
        return f"{float(digits):g}e{int(exponent)}"
    return f"{value:g}"


def counted(number: int, noun: str) -> str:
    """Write a number of things, such as ``1 trial`` and ``3 trials``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
