"""The page of a study: one HTML file that needs no server and no network, and its tables as Markdown and LaTeX."""

from __future__ import annotations

import base64
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape
from PIL import Image

from deploy.markdown import markdown_text
from figures.saving import PNG_DPI
from study.labels import main_metrics, setting_label
from study.markup import LATEX_COMMENT, latex, markdown
from study.tables import StudyTables
from study.text_tables import comparison_table, full_tables, pairs_text, paper_table, verdict
from utils.errors import UserError
from utils.files import write_text
from utils.numbers import fixed, percent

CLAIMS = ("holds", "fails", "undecided")

TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the page."""

    title: str
    caption: str
    png: Path
    pdf: Path


@dataclass(frozen=True)
class ReportInfo:
    """Facts about a study that are not in its tables."""

    commands: Sequence[str]
    """Commands that make the study again, in order."""
    configs: Mapping[str, str]
    """YAML text by title."""
    status: Mapping[str, Sequence[str]]
    """Runs by their state: ``finished``, ``failed``, ``missing``; with the reason where there is one."""
    machine: str
    date: str
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Finding:
    """Result of the comparison of a sparse setting with its dense twin."""

    claim: str
    """``holds``, ``fails`` or ``undecided``."""
    setting: str
    pairs: str
    """Number of compared pairs of trials."""
    sparsity: float
    """Percentage of zero groups, or NaN."""
    mean: float
    low: float
    high: float
    margin: float


def write_report(
    tables: StudyTables, folder: Path, figures: Sequence[ReportFigure], info: ReportInfo, latex: bool
) -> list[Path]:
    """Write ``report.html``, ``tables.md`` and with ``latex`` ``tables.tex`` into ``folder``; their paths.

    Equal arguments give equal files.

    Raises:
        UserError: a figure is not there, or is no PNG.
        OSError: the system refused, such as for want of room; the message is a sentence that names the file.
    """
    texts = {"report.html": html_page(tables, folder, figures, info), "tables.md": markdown_file(tables)}
    if latex:
        texts["tables.tex"] = latex_file(tables)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def markdown_file(tables: StudyTables) -> str:
    """Make all tables of a study, with headings."""
    parts = [f"# Tables of the study {markdown_text(tables.name)}\n"]
    for table in (paper_table(tables), comparison_table(tables), *full_tables(tables)):
        parts.append(f"## {markdown_text(table.title)}\n\n{markdown(table)}")
    return "\n".join(parts)


def latex_file(tables: StudyTables) -> str:
    """Make all tables of a study as floating ones, to be read with ``\\input``."""
    parts = (paper_table(tables), comparison_table(tables), *full_tables(tables))
    name = " ".join(tables.name.split())
    return "\n".join([LATEX_COMMENT.format(name=name), *(latex(table, tables.name) for table in parts if table.sections)])


def html_page(tables: StudyTables, folder: Path, figures: Sequence[ReportFigure], info: ReportInfo) -> str:
    """Make the page that lies in ``folder``: figures and style are in it, links to the figures' PDFs are relative.

    Raises:
        UserError: a figure is not there, or is no PNG.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["rich"] = _rich
    environment.filters["percent"] = percent
    environment.filters["signed"] = lambda value: fixed(value, 2, signed=True)
    results, rows = findings(tables), tables.rows
    claims = [verdict(row) for row in rows if row["sparse"]]
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        study=tables.name,
        claims=CLAIMS,
        counts={claim: claims.count(claim) for claim in CLAIMS},
        sparse=len(claims),
        unclaimed={reason: claims.count(reason) for reason in claims if reason not in CLAIMS},
        findings=[(finding, _picture(finding, results)) for finding in results],
        settings=[(setting_label(row), str(row["setting"]), int(row["num_trials"])) for row in rows],
        runs=len(tables.runs[["setting", "trial"]].drop_duplicates()),
        paper=paper_table(tables),
        comparison=comparison_table(tables),
        full=full_tables(tables, per_block=None),
        figures=[_embedded(figure, folder) for figure in figures],
        main_metrics=main_metrics(tables),
        info=info,
    )


def findings(tables: StudyTables) -> list[Finding]:
    """Return the result of each sparse setting that has an interval."""
    results = []
    for row in tables.rows:
        claim = verdict(row)
        if row["sparse"] and claim in CLAIMS:
            sparsity = float(row.get("group_sparsity_mean", math.nan))
            numbers = (float(row[name]) for name in ("difference_mean", "difference_low", "difference_high", "margin"))
            results.append(Finding(claim, setting_label(row), pairs_text(row), sparsity, *numbers))
    return results


def _picture(finding: Finding, results: Sequence[Finding]) -> dict[str, float]:
    """Return the positions of the finding's numbers in percent of a line that is the same for all findings.

    An interval that is far wider than what is compared ends at the end of the line.
    """
    margin = max(result.margin for result in results)
    start = min(*(result.mean for result in results), -margin) - 3 * margin
    end = max(*(result.mean for result in results), 0.0) + 3 * margin
    values = {"zero": 0.0, "margin": -finding.margin, "mean": finding.mean, "low": finding.low, "high": finding.high}
    return {name: round(100 * min(max((value - start) / (end - start), 0.0), 1.0), 2) for name, value in values.items()}


def _embedded(figure: ReportFigure, folder: Path) -> dict[str, Any]:
    """Return a figure for the template: its picture as a text, and its size on the page in pixels."""
    try:
        data = figure.png.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
    except OSError as error:
        raise UserError(f"{figure.png}: is no figure that can be read ({error.strerror or 'not a PNG'})") from None
    return {
        "title": figure.title,
        "caption": figure.caption,
        "source": f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}",
        # what makes its letters as large as those of the page
        "width": round(width * 96 / PNG_DPI),
        "height": round(height * 96 / PNG_DPI),
        "pdf": quote(Path(os.path.relpath(figure.pdf, folder)).as_posix()),
    }


def _rich(text: str) -> Markup:
    """Mark a text up for the page, with the index of Δ_MTL as an index; an arrow stays with what it belongs to."""
    text = str(escape(text)).replace("Δ_MTL", "Δ<sub>MTL</sub>")
    return Markup(text.replace(" ↑", "\u00a0↑").replace(" ↓", "\u00a0↓"))
