"""The page of a study: one HTML file that needs no server and no network, and its tables as Markdown and LaTeX."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape

from deploy.markdown import markdown_text
from study.answer import CLAIMS, Finding, answer, findings
from study.figures.inline import DARK_INK, DARK_PAPER, page_colours
from study.labels import main_metrics, setting_label, tasks_label
from study.markup import LATEX_COMMENT, latex, markdown
from study.tables import StudyTables
from study.text_tables import TOGETHER_UP_TO, comparison_table, full_tables, methods_table, paper_table, verdict
from utils.files import write_text
from utils.numbers import fixed

TEMPLATE, SCRIPT = (Path(__file__).with_name(name) for name in ("page.html", "page.js"))


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the page."""

    title: str
    """What is before a colon is the title of a group of figures."""
    caption: str
    svg: str
    """As :func:`study.figures.inline.inline_svg` makes it."""
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
    methods: Sequence[tuple[str, str]] = ()
    """Kinds of settings, each with sentences on how it is trained."""


class Picture(NamedTuple):
    """Places of a finding's numbers in percent of a line."""

    zero: float
    margin: float
    mean: float
    low: float
    high: float
    cut_low: bool
    """True if the interval goes on beyond the line's beginning."""
    cut_high: bool


def write_report(
    tables: StudyTables, folder: Path, figures: Sequence[ReportFigure], info: ReportInfo, latex: bool
) -> list[Path]:
    """Write ``report.html``, ``tables.md`` and with ``latex`` ``tables.tex`` into ``folder``; their paths.

    Equal arguments give equal files.

    Raises:
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
    """Make the page that lies in ``folder``: figures, style and script are in it, links to the figures' files are relative."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["rich"] = _rich
    environment.filters["signed"] = lambda value: fixed(value, 2, signed=True)
    results, rows = findings(tables), tables.rows
    claims = [verdict(row) for row in rows if row["sparse"]]
    widest: tuple[str, ...] = max((row["tasks"] for row in rows), key=len, default=())
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        study=tables.name,
        answer=answer(tables),
        claims=CLAIMS,
        sparse=len(claims),
        unclaimed={reason: claims.count(reason) for reason in claims if reason not in CLAIMS},
        findings=[(finding, _picture(finding, results)) for finding in results],
        settings=[(setting_label(tables, row), str(row["setting"]), int(row["num_trials"])) for row in rows],
        many=len(rows) > TOGETHER_UP_TO,
        widest=tasks_label(tables, widest),
        runs=len(tables.runs[["setting", "trial"]].drop_duplicates()),
        paper=paper_table(tables),
        methods=methods_table(tables),
        comparison=comparison_table(tables),
        full=full_tables(tables, per_block=None),
        figures=_grouped(figures, folder),
        colours=page_colours(figure.svg for figure in figures),
        dark={"paper": DARK_PAPER, "ink": DARK_INK},
        main_metrics=main_metrics(tables),
        info=info,
        script=Markup(SCRIPT.read_text(encoding="utf-8").strip()),
    )


def _picture(finding: Finding, results: Sequence[Finding]) -> Picture:
    """Place a finding's numbers on a line that is the same for all findings.

    An interval that is far wider than what is compared is cut at the end of the line.
    """
    margin = max(result.margin for result in results)
    start = min(*(result.mean for result in results), -margin) - 3 * margin
    end = max(*(result.mean for result in results), 0.0) + 3 * margin

    def place(value: float) -> float:
        return round(100 * min(max((value - start) / (end - start), 0.0), 1.0), 2)

    return Picture(
        zero=place(0.0),
        margin=place(-finding.margin),
        mean=place(finding.mean),
        low=place(finding.low),
        high=place(finding.high),
        cut_low=finding.low < start,
        cut_high=finding.high > end,
    )


def _grouped(figures: Sequence[ReportFigure], folder: Path) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return figures for the template, by the beginnings of their titles."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for figure in figures:
        group, _, rest = figure.title.partition(": ")
        files = {"PDF": figure.pdf, "PNG": figure.png}
        links = {name: quote(Path(os.path.relpath(path, folder)).as_posix()) for name, path in files.items()}
        shown = {"title": rest or group, "name": figure.title, "caption": figure.caption, "svg": Markup(figure.svg)}
        groups.setdefault(group, []).append({**shown, "links": links})
    return list(groups.items())


def _rich(text: str) -> Markup:
    """Mark a text up for the page, with the index of Δ_MTL as an index; signs stay with what they belong to."""
    text = str(escape(text)).replace("Δ_MTL", "Δ<sub>MTL</sub>").replace("λ = ", "λ\u00a0=\u00a0")
    return Markup(re.sub(r" (?=[↑↓%±])|(?<=[±]) ", "\u00a0", text))
