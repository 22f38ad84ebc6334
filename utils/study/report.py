"""The page of a study: one HTML file that needs no server and no network, and its tables as Markdown and LaTeX."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import pandas as pd
from markupsafe import Markup, escape
from PIL import Image

from utils.errors import UserError
from utils.files import write_text
from utils.study.labels import fixed, is_sparse, main_metrics, setting_label
from utils.study.markup import LATEX_COMMENT, latex, markdown, markdown_text
from utils.study.tables import StudyTables
from utils.study.text_tables import comparison_table, full_tables, pairs_text, paper_table, verdict

CLAIMS = ("holds", "fails", "undecided")

TEMPLATE = Path(__file__).with_name("report.html")

WIDEST = 1800
"""Pixels of a figure in the page; the PDF beside it has every detail."""

PNG_DPI = 150
"""Dots per inch of the project's figures: what makes their letters as large as those of the page."""


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the page."""

    name: str
    """What its anchor is made of."""
    title: str
    caption: str
    png: Path
    pdf: Path


@dataclass(frozen=True)
class ReportInfo:
    """What the tables do not know of a study."""

    commands: Sequence[str]
    """What to type, in order, to get the study again."""
    configs: Mapping[str, str]
    """YAML text by title."""
    status: Mapping[str, Sequence[str]]
    """Runs by what became of them: ``finished``, ``failed``, ``missing``; with the reason where there is one."""
    machine: str
    date: str
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Finding:
    """What the comparison of a sparse setting with its dense twin says."""

    claim: str
    """``holds``, ``fails`` or ``undecided``."""
    setting: str
    sentence: str
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
    """All tables of a study, with headings."""
    parts = [f"# Tables of the study {markdown_text(tables.name)}\n"]
    for table in (paper_table(tables), comparison_table(tables), *full_tables(tables)):
        parts.append(f"## {markdown_text(table.title)}\n\n{markdown(table)}")
    return "\n".join(parts)


def latex_file(tables: StudyTables) -> str:
    """All tables of a study as floating ones, to be read with ``\\input``."""
    parts = (paper_table(tables), comparison_table(tables), *full_tables(tables))
    name = " ".join(tables.name.split())
    return "\n".join([LATEX_COMMENT.format(name=name), *(latex(table, tables.name) for table in parts if table.sections)])


def html_page(tables: StudyTables, folder: Path, figures: Sequence[ReportFigure], info: ReportInfo) -> str:
    """The page that lies in ``folder``: figures and style are in it, links to the figures' PDFs are relative.

    Raises:
        UserError: a figure is not there, or is no PNG.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["rich"] = _rich
    found = findings(tables)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        study=tables.name,
        answer=answer(tables, found),
        findings=[(finding, _picture(finding, found)) for finding in found],
        settings=_settings(tables),
        runs=len(tables.runs[["setting", "trial"]].drop_duplicates()),
        paper=paper_table(tables),
        comparison=comparison_table(tables),
        full=full_tables(tables, per_block=None),
        figures=[_embedded(figure, folder) for figure in figures],
        main_metrics=main_metrics(tables),
        info=info,
    )


# What the study says


def findings(tables: StudyTables) -> list[Finding]:
    """Per sparse setting that has an interval what it says, as a sentence with its numbers."""
    found = []
    for row in _rows(tables.summary):
        claim = verdict(row)
        if is_sparse(row) and claim in CLAIMS:
            mean, low, high, margin = (float(row[name]) for name in _numbers("mean", "low", "high"))
            found.append(Finding(claim, setting_label(row), _sentence(row, claim), mean, low, high, margin))
    return found


def answer(tables: StudyTables, found: Sequence[Finding]) -> list[str]:
    """What comes first on the page: how many settings the claim holds for, and what there is no interval of."""
    sparse = [row for row in _rows(tables.summary) if is_sparse(row)]
    if tables.summary.empty:
        return ["No run of this study has finished: there is nothing to say yet."]
    if not sparse:
        return ["This study has no finished sparse setting: there is nothing to compare with a dense network."]
    sentences = [_lead(found)]
    if len(found) > 1:
        sentences.append(
            "Each interval is for its own setting: of twenty, one on average misses the true difference, so the best of many "
            "settings looks better than it is."
        )
    reasons = [verdict(row) for row in sparse]
    others = [reason for reason in reasons if reason not in CLAIMS]
    for reason in dict.fromkeys(others):
        number = others.count(reason)
        which = "the sparse setting" if len(sparse) == 1 else f"{number} of {len(sparse)} sparse settings"
        sentences.append(f"Nothing is claimed about {which}: {_REASONS.get(reason, reason)}.")
    return sentences


def _lead(found: Sequence[Finding]) -> str:
    """The answer in one sentence."""
    if not found:
        return "Nobody knows yet: no sparse setting has an interval of its difference to the dense one."
    claims = [finding.claim for finding in found]
    if len(found) == 1:
        return {
            "holds": "Yes, up to the margin: the one sparse setting with an interval is not worse than its dense twin.",
            "fails": "No: the one sparse setting with an interval is worse than its dense twin by more than the margin.",
            "undecided": "Undecided: the interval of the one sparse setting that has one is too wide for an answer.",
        }[claims[0]]
    holds, fails, open_ = (f"{number} {'is' if number == 1 else 'are'}" for number in map(claims.count, CLAIMS))
    return (
        f"Of {len(found)} sparse settings with an interval, {holds} shown to be not worse than dense by more than the margin, "
        f"{fails} shown to be worse by more than it, and {open_} undecided."
    )


_REASONS = {
    "one trial: no interval": "one pair of trials is too few for an interval",
    "twin missing": "the dense twin is missing, as no run of it with the same seed is finished",
    "single-task baseline missing": "the single-task baseline is missing, as it is not finished",
}


def _numbers(*names: str) -> tuple[str, ...]:
    return (*(f"difference_{name}" for name in names), "margin")


def _sentence(row: Mapping[str, Any], claim: str) -> str:
    mean, low, high, margin = (float(row[name]) for name in _numbers("mean", "low", "high"))
    sparsity = row.get("group_sparsity_mean", float("nan"))
    with_zeros = f"With {fixed(sparsity, 1)} % of the groups at zero, " if not pd.isna(sparsity) else ""
    subject = "the sparse network" if with_zeros else "The sparse network"
    numbers = (
        f"{with_zeros}{subject}'s Δ_MTL differs from the dense one's by {fixed(mean, 2, signed=True)} percentage points "
        f"(n = {pairs_text(row)} paired trials, 95 % interval {fixed(low, 2, signed=True)} to "
        f"{fixed(high, 2, signed=True)})."
    )
    limit = fixed(-margin, 2, signed=True)
    says = {
        "holds": f"The whole interval is above {limit}: it is not worse than the dense network by more than the margin.",
        "fails": f"The whole interval is below {limit}: it is worse than the dense network by more than the margin.",
        "undecided": f"The interval has {limit} inside: whether it is worse by more than the margin stays open.",
    }
    also = ""
    if low > 0:
        also = " It is even better: the whole interval is above zero."
    elif claim == "holds" and high < 0:
        also = " It is worse, though by less than the margin: the whole interval is below zero."
    return f"{numbers} {says[claim]}{also}"


def _picture(finding: Finding, found: Sequence[Finding]) -> dict[str, float]:
    """Positions of the finding's numbers in percent of a line that is the same for all findings.

    An interval that is far wider than what is compared ends at the end of the line.
    """
    margin = max(one.margin for one in found)
    start = min(*(one.mean for one in found), -margin) - 3 * margin
    end = max(*(one.mean for one in found), 0.0) + 3 * margin
    values = {"zero": 0.0, "margin": -finding.margin, "mean": finding.mean, "low": finding.low, "high": finding.high}
    return {name: round(100 * min(max((value - start) / (end - start), 0.0), 1.0), 2) for name, value in values.items()}


# What the page shows


def _settings(tables: StudyTables) -> list[tuple[str, str, int]]:
    """Per setting its label, its name in the files and the number of its trials."""
    return [(setting_label(row), str(row["setting"]), int(row["num_trials"])) for row in _rows(tables.summary)]


def _rows(summary: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in summary.to_dict("records")]


def _embedded(figure: ReportFigure, folder: Path) -> dict[str, Any]:
    """A figure as the template wants it: its picture as a text, and its size on the page in pixels."""
    try:
        data = figure.png.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            if width > WIDEST:
                height = round(height * WIDEST / width)
                data, shown = _smaller(image, (WIDEST, height)), WIDEST
            else:
                shown = width
    except OSError as error:
        raise UserError(f"{figure.png}: is no figure that can be read ({error.strerror or 'not a PNG'})") from None
    return {
        "name": figure.name,
        "title": figure.title,
        "caption": figure.caption,
        "source": f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}",
        "width": round(shown * 96 / PNG_DPI),
        "height": round(height * 96 / PNG_DPI),
        "pdf": quote(Path(os.path.relpath(figure.pdf, folder)).as_posix()),
    }


def _smaller(image: Image.Image, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _rich(text: str) -> Markup:
    """Text for the page, with the index of Δ_MTL where an index belongs; an arrow stays with what it belongs to."""
    text = str(escape(text)).replace("Δ_MTL", "Δ<sub>MTL</sub>")
    return Markup(text.replace(" ↑", "\u00a0↑").replace(" ↓", "\u00a0↓"))
