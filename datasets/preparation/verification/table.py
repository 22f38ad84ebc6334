"""The table of problems: drawn on a terminal, plain aligned lines elsewhere; nothing is cut off."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from datasets.problems import Problem

HEAD = Problem._fields
FRAME = 3 * len(HEAD) + 1
"""Characters of a row of the drawn table that are lines and margins."""


def print_table(rows: Sequence[Problem]) -> None:
    """Print the rows on the standard output."""
    console = Console()
    if not console.is_terminal:
        sys.stdout.write("".join(f"{line}\n" for line in plain_lines(rows)))
        return
    table = Table(show_lines=True)
    cells = [[Text(printable(cell)) for cell in row] for row in (HEAD, *rows)]
    longest = [max(row[column].cell_len for row in cells) for column in range(len(HEAD))]
    for title, width in zip(HEAD, column_widths(longest, console.width - FRAME), strict=True):
        table.add_column(title, overflow="fold", width=width)
    for row in cells[1:]:
        table.add_row(*row)
    console.print(table)


def column_widths(longest: Sequence[int], width: int) -> list[int]:
    """Widths of columns that fill at most ``width``: as wide as their longest cell, the first up to half of it all."""
    widths, rest = [], width
    for place, wanted in enumerate(longest):
        last = place == len(longest) - 1
        # What the columns after this one do not need is there for this one.
        room = max(rest if last else rest // 2, rest - sum(longest[place + 1 :]))
        widths.append(max(1, min(wanted, room)))
        rest -= widths[-1]
    return widths


def plain_lines(rows: Sequence[Problem]) -> list[str]:
    """A line per row under a line of titles; columns are as wide as their longest cell, and two spaces apart."""
    cells = [[printable(cell) for cell in row] for row in (HEAD, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def printable(text: str) -> str:
    """A name may hold a line break, or bytes that are no text: they are shown as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
