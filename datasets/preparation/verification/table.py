"""The table of problems: drawn on a terminal, plain aligned lines elsewhere; nothing is cut off."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from datasets.problems import Problem


def print_table(rows: Sequence[Problem]) -> None:
    """Print the rows on the standard output."""
    console = Console()
    cells = [[printable(cell) for cell in row] for row in (Problem._fields, *rows)]
    if not console.is_terminal:
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for row in cells:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            sys.stdout.write(f"{line.rstrip()}\n")
        return
    table = Table(show_lines=True)
    for title in cells[0]:
        table.add_column(title, overflow="fold")
    for row in cells[1:]:
        table.add_row(*map(Text, row))
    console.print(table)


def printable(text: str) -> str:
    """A name may hold a line break, or bytes that are no text: they are shown as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
