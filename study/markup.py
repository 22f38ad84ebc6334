"""A table of a study (:class:`study.text_tables.TextTable`) as Markdown and as LaTeX."""

from __future__ import annotations

import re
import textwrap

import pandas as pd

from deploy.markdown import markdown_table, markdown_text
from study.text_tables import TextTable

LATEX_COMMENT = """\
% Tables of the study {name}, made of its CSV files by make_report.py.
% Needs \\usepackage{{booktabs}}, and \\usepackage{{graphicx}} for the \\resizebox around tables that are wider than the text.
"""

_HEADING = 14
"""Characters after which a heading goes on in a further line."""

_LATEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "{}$&#%_"},
        **{character: f"${character}$" for character in "<>|"},
        **{"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "\u00a0": "~", "…": r"\ldots{}"},
        **{"±": r"$\pm$", "−": "$-$", "—": "---", "–": "--", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "×": r"$\times$"},
        **{
            "λ": r"$\lambda$",
            "Δ": r"$\Delta$",
            "°": r"$^\circ$",
            "≥": r"$\geq$",
            "≤": r"$\leq$",
            "\0": r"$\Delta_{\mathrm{MTL}}$",
        },
        **{"“": "``", "”": "''", "‘": "`", "’": "'", '"': "''", "\0": r"$\Delta_{\mathrm{MTL}}$"},
    }
)


def markdown(table: TextTable) -> str:
    """Make the table in Markdown; above it the caption, below it what is missing."""
    rows: list[list[str]] = []
    for section in table.sections:
        if section.title:
            rows.append([f"**{markdown_text(section.title)}**", *[""] * (len(table.columns) - 1)])
        for cells in section.rows:
            rows.append([f"**{markdown_text(cell.text)}**" if cell.best else markdown_text(cell.text) for cell in cells])
    head = [markdown_text(table.joint.join(filter(None, lines))) for lines in table.columns]
    parts = [markdown_text(table.caption), *([markdown_table(head, rows)] if rows else [])]
    return "\n\n".join([*parts, *map(markdown_text, table.notes)]) + "\n"


def latex(table: TextTable, study: str) -> str:
    """Make the table as a floating one with rules of booktabs."""
    width = len(table.columns)
    rows: list[list[str]] = []
    for section in table.sections:
        if section.title:
            rows.append([f"\\addlinespace\\rlap{{\\textit{{{latex_text(section.title)}}}}}", *[""] * (width - 1)])
        for cells in section.rows:
            rows.append([f"\\textbf{{{latex_text(cell.text)}}}" if cell.best else latex_text(cell.text) for cell in cells])
    spans = dict(table.heads)
    columns = pd.MultiIndex.from_tuples(
        [(_stacked(shared, _HEADING * spans[shared]), _stacked(own, _HEADING)) for shared, own in table.columns]
    )
    style = pd.DataFrame(rows, columns=columns if len(spans) > 1 else columns.get_level_values(1)).style.hide(axis="index")
    tabular = style.to_latex(hrules=True, column_format=f"l{'r' * (width - 1)}", multicol_align="c").rstrip()
    label = re.sub(r"[^A-Za-z0-9-]+", "-", f"{study}-{table.name}")
    caption = " ".join(latex_text(text) for text in (table.caption, *table.notes))
    return "\n".join(
        [
            "\\begin{table}[htbp]",
            "\\centering",
            "\\small",
            "\\setlength{\\belowcaptionskip}{6pt}",
            f"\\caption{{{caption}}}",
            f"\\label{{tab:{label}}}",
            "\\setlength{\\tabcolsep}{4pt}",
            f"\\resizebox{{\\ifdim\\width>\\textwidth\\textwidth\\else\\width\\fi}}{{!}}{{%\n{tabular}}}",
            "\\end{table}",
            "",
        ]
    )


def latex_text(text: str) -> str:
    """Escape a text for LaTeX; what its usual fonts lack is a question mark."""
    text = " ".join(text.split(" ")).replace("\n", " ").replace("Δ_MTL", "\0").translate(_LATEX)
    return text.encode("latin-1", "replace").decode("latin-1")


def _stacked(text: str, width: int) -> str:
    """Stack the lines of a heading; an arrow stays with the word before it."""
    lines = textwrap.wrap(re.sub(r" ([↑↓])", "\u00a0\\1", text), width)
    stack = r" \\ ".join(map(latex_text, lines))
    return f"\\shortstack[r]{{{stack}}}" if len(lines) > 1 else stack
