"""Markdown: text and tables."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence


def markdown_table(head: Sequence[object], rows: Iterable[Sequence[object]], texts: Collection[str] = ()) -> str:
    """Make a table with pipes, as GitHub reads it, aligned in the source too.

    All columns but the first are numbers, and stand to the right; those with a heading in ``texts`` stand to the left.
    """
    left = {place for place, name in enumerate(head) if not place or name in texts}
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width if place in left else "-" * (width - 1) + ":" for place, width in enumerate(widths)])
    line = " | ".join(f"{{:{'<' if place in left else '>'}{width}}}" for place, width in enumerate(widths))
    return "\n".join(f"| {line.format(*row)} |" for row in cells)


def markdown_text(text: str) -> str:
    """Escape a text so that Markdown takes nothing of it for its own, in a table or outside."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # a bracket means something only where a link may follow
    return re.sub(r"\](?=[(\[:])", r"\\]", re.sub(r"([\\`*_|~$#])", r"\\\1", text))
