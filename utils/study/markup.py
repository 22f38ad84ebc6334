"""A table of a study (:class:`utils.study.text_tables.TextTable`) as Markdown and as LaTeX."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Sequence

from utils.study.text_tables import TextTable

LATEX_COMMENT = """\
% Tables of the study {name}, made of its CSV files by make_report.py.
% Needs \\usepackage{{booktabs}}, and \\usepackage{{graphicx}} for the \\resizebox around tables that are wider than the text.
"""

_HEADING = 14
"""Characters after which a heading goes on in a further line."""

_LATEX = {
    **{"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": "$<$", ">": "$>$", "|": "$|$"},
    **{character: f"\\{character}" for character in "{}$&#%_"},
    **{"±": r"$\pm$", "−": "$-$", "—": "---", "–": "--", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "×": r"$\times$"},
    **{"λ": r"$\lambda$", "Δ": r"$\Delta$", "°": r"$^\circ$", "≥": r"$\geq$", "≤": r"$\leq$", "…": r"\ldots{}", '"': "''"},
    **{"“": "``", "”": "''", "‘": "`", "’": "'"},
}


# Markdown


def markdown(table: TextTable) -> str:
    """The table with pipes, as GitHub reads it, aligned in the source too; above it the caption, below it what is missing."""
    rows = [[markdown_text(table.joint.join(filter(None, lines))) for lines in table.columns]]
    for section in table.sections:
        if section.title:
            rows.append([f"**{markdown_text(section.title)}**", *[""] * (len(table.columns) - 1)])
        for cells in section.rows:
            rows.append([f"**{markdown_text(cell.text)}**" if cell.best else markdown_text(cell.text) for cell in cells])
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(table.columns))]
    lines = [
        "| " + " | ".join(_pad(text, width, index) for index, (text, width) in enumerate(zip(row, widths, strict=True))) + " |"
        for row in rows
    ]
    rule = (
        "|"
        + "|".join(f":{'-' * (width + 1)}" if not index else f"{'-' * (width + 1)}:" for index, width in enumerate(widths))
        + "|"
    )
    parts = [markdown_text(table.caption)]
    if table.sections:
        parts.append("\n".join([lines[0], rule, *lines[1:]]))
    return "\n\n".join([*parts, *map(markdown_text, table.notes)]) + "\n"


def markdown_text(text: str) -> str:
    """Text of which Markdown takes nothing for its own, in a table or outside."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # a bracket means something only where a link may follow
    return re.sub(r"\](?=[(\[:])", r"\\]", re.sub(r"([\\`*_|~$#])", r"\\\1", text))


def _pad(text: str, width: int, column: int) -> str:
    return text.ljust(width) if not column else text.rjust(width)


# LaTeX


def latex(table: TextTable, study: str) -> str:
    """The table as a floating one with rules of booktabs; headings are broken into lines of their own."""
    width = len(table.columns)
    body = [*_latex_headings(table), "\\midrule"]
    for number, section in enumerate(table.sections):
        if number:
            body.append("\\addlinespace")
        if section.title:
            body.append(f"\\multicolumn{{{width}}}{{l}}{{\\textit{{{latex_text(section.title)}}}}} \\\\")
        for cells in section.rows:
            texts = [latex_text(cell.text) for cell in cells]
            body.append(
                _latex_row([f"\\textbf{{{text}}}" if cell.best else text for text, cell in zip(texts, cells, strict=True)])
            )
    label = re.sub(r"[^A-Za-z0-9-]+", "-", f"{study}-{table.name}")
    tabular = [
        "\\setlength{\\tabcolsep}{4pt}",
        "\\resizebox{\\ifdim\\width>\\textwidth\\textwidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{l{'r' * (width - 1)}}}",
        *("\\toprule", *body, "\\bottomrule"),
        "\\end{tabular}}",
    ]
    caption = " ".join(latex_text(text) for text in (table.caption, *table.notes))
    return "\n".join(
        [
            "\\begin{table}[htbp]",
            "\\centering",
            "\\small",
            "\\setlength{\\belowcaptionskip}{6pt}",
            f"\\caption{{{caption}}}",
            f"\\label{{tab:{label}}}",
            *tabular,
            "\\end{table}",
            "",
        ]
    )


def latex_text(text: str) -> str:
    """Text of which LaTeX takes nothing for its own; what its usual fonts lack is a question mark."""
    text = " ".join(text.split()).replace("Δ_MTL", "\0")
    characters = (_LATEX.get(character) or _latin(character) for character in text)
    return "".join(characters).replace("\0", r"$\Delta_{\mathrm{MTL}}$")


def _latin(character: str) -> str:
    """The character, if it is one of Western Europe's (or our mark); else what is left of it without its accents."""
    if character == "\0" or ("\x20" <= character < "\x7f") or "À" <= character <= "ÿ":
        return character
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return "".join(_LATEX.get(letter, letter) for letter in plain if letter.isprintable()) or "?"


def _latex_headings(table: TextTable) -> list[str]:
    """Rows of the table's head: what columns share with a line below it, then what each has of its own."""
    rows = []
    if any(text for text, _ in table.heads):
        shared = [_wrapped(text, _HEADING * span) for text, span in table.heads]
        for texts in _at_the_bottom(shared):
            cells = [
                f"\\multicolumn{{{span}}}{{c}}{{{latex_text(text)}}}" if text else " & " * (span - 1)
                for text, (_, span) in zip(texts, table.heads, strict=True)
            ]
            rows.append(_latex_row(cells))
        ends = [sum(span for _, span in table.heads[: index + 1]) for index in range(len(table.heads))]
        lines = [f"{end - span + 1}-{end}" for (text, span), end in zip(table.heads, ends, strict=True) if text]
        rows.append("".join(f"\\cmidrule(lr){{{line}}}" for line in lines))
    own = [_wrapped(text, _HEADING) for _, text in table.columns]
    return rows + [_latex_row([latex_text(text) for text in texts]) for texts in _at_the_bottom(own)]


def _at_the_bottom(columns: Sequence[list[str]]) -> list[tuple[str, ...]]:
    """Rows of columns of different height, which end together."""
    height = max(map(len, columns))
    return list(zip(*([""] * (height - len(column)) + column for column in columns), strict=True))


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines; those of a list break after its commas, and an arrow stays with the word before it."""
    text = re.sub(r" ([↑↓])", "\u00a0\\1", text)
    pieces = [text] if len(text) <= width else re.split(r"(?<=,) ", text)
    return [line for piece in pieces for line in textwrap.wrap(piece, width)]


def _latex_row(texts: Sequence[str]) -> str:
    # after the end of a row, [ and * would be taken for its options
    first = f"{{}}{texts[0]}" if texts[0][:1] in ("[", "*") else texts[0]
    return f"{' & '.join([first, *texts[1:]])} \\\\"
