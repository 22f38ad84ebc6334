"""The page of a study: one file, whole HTML, nothing loaded from elsewhere, the sentences that its numbers allow."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from study.figures.inline import inline_svg
from study.figures.style import new_figure
from study.page import SCRIPT, ReportFigure, ReportInfo, findings, html_page, write_report
from study.tables import StudyTables, empty
from study.text_tables import paper_table
from tests.study.sample_studies import ODD, STUDIES, odd_study
from tests.study_tables import NYU, Setting, bare_study, celeba_study, lambda_study, make_study, small_study

VOID = {"meta", "br", "img", "hr", "input", "link", "rect", "line", "circle", "mspace", "path", "use", "image"}
INFO = ReportInfo(
    commands=["python main_multi_trials.py --config_exp config/<x>.yaml", "python make_report.py --study a&b"],
    configs={"config/x.yaml": "Experiment_name: <b>x</b>\nnum_trials: 2\n"},
    status={"finished": ["one, trial 0"], "failed": ["two, trial 1: the loss is <NaN>"], "missing": []},
    machine="a machine",
    date="2026-01-02",
    notes=["A note."],
)


class Page(HTMLParser):
    """Checks on the way that what is opened is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


def words(tables: StudyTables) -> str:
    """Text that a reader of the page sees."""
    return Page(html_page(tables, Path("report"), [], INFO)).words


def figure(folder: Path) -> ReportFigure:
    drawn = new_figure(3.4, 2.0)
    drawn.subplots().plot([0, 1], [0, 1], color="#0072B2")
    title = 'A "figure" & <more>'
    return ReportFigure(title, "What it shows.", inline_svg(drawn, "name"), folder / "a b.png", folder / "a b.pdf")


@pytest.mark.parametrize("study", [*STUDIES.values(), odd_study], ids=[*STUDIES, "odd"])
def test_the_page_is_whole_and_loads_nothing(study, tmp_path: Path) -> None:
    text = html_page(study(), tmp_path / "report", [figure(tmp_path / "figures")], INFO)
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    assert ("html", {"lang": "en"}) in page.elements
    assert not {"link", "iframe", "object", "base", "img"} & {tag for tag, _ in page.elements}
    assert [attributes for tag, attributes in page.elements if tag == "script"] == [{}]
    assert "@import" not in text and "url(" not in text.replace("url(#", "")
    assert "http://" not in text and "https://" not in text
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for tag, attributes in page.elements:
        if tag == "a":
            target = str(attributes["href"])
            assert target in ("../figures/a%20b.pdf", "../figures/a%20b.png") or target.removeprefix("#") in ids
        if tag == "use":
            assert str(attributes["href"]).removeprefix("#") in ids
    assert sum(tag == "svg" and attributes["class"] == "plot" for tag, attributes in page.elements) == 1
    assert "nan" not in re.findall(r"[a-z]+", page.words.lower().replace("<nan>", ""))


def test_every_row_of_a_table_has_the_tables_columns(tmp_path: Path) -> None:
    text = html_page(lambda_study(), tmp_path, [], INFO)
    for table in re.findall(r"<table.*?</table>", text, flags=re.S):
        widths = set()
        for row in re.findall(r"<tr.*?</tr>", table, flags=re.S):
            cells = re.findall(r"<t[hd]\b([^>]*)>", row)
            spans = [re.search(r'colspan="(\d+)"', cell) for cell in cells]
            widths.add(sum(int(span[1]) if span else 1 for span in spans))
        assert len(widths) == 1


def test_numbers_and_what_was_run_are_on_the_page(tmp_path: Path) -> None:
    page = Page(html_page(small_study(), tmp_path, [], INFO))
    for section in paper_table(small_study()).sections:
        for cell in (cell for cells in section.rows for cell in cells):
            assert cell.text in page.words
    texts = ("num_trials: 2", "<b>x</b>", "1 failed", "the loss is <NaN>", "0 missing", "a machine", "2026-01-02")
    for text in (*INFO.commands, *texts):
        assert text in page.words
    assert "9 settings, 17 finished runs" in page.words


def test_odd_names_are_text_on_the_page(tmp_path: Path) -> None:
    text = html_page(odd_study(), tmp_path, [], INFO)
    assert text.count("<script") == 1 and "<b>" not in text
    assert f"variant {ODD}" in Page(text).words


@pytest.mark.parametrize(
    ("mean", "low", "high", "claim", "says"),
    [
        (0.5, -0.5, 1.5, "holds", "The whole interval is above −1.00"),
        (0.5, 0.1, 0.9, "holds", "It is even better: the whole interval is above zero."),
        (-0.5, -0.9, -0.1, "holds", "It is worse, though by less than the margin"),
        (-2.0, -2.5, -1.5, "fails", "The whole interval is below −1.00: it is worse than the dense network by more"),
        (-0.5, -1.5, 0.5, "undecided", "The interval has −1.00 inside"),
    ],
)
def test_a_claim_is_a_sentence_with_its_numbers(mean: float, low: float, high: float, claim: str, says: str) -> None:
    summary = celeba_study().summary.iloc[[3, 4]].copy()
    columns = ["difference_n", "difference_planned", "difference_mean", "difference_low", "difference_high", "margin", "claim"]
    summary[columns] = summary[columns].astype(object)
    summary.loc[summary["sparse"], columns] = [5, 5, mean, low, high, 1.0, claim]
    (finding,) = findings(replace(celeba_study(), summary=summary))
    assert finding.claim == claim
    text = words(replace(celeba_study(), summary=summary))
    assert says in text
    assert ("even better" in text, "worse, though" in text) == (low > 0, claim == "holds" and high < 0)
    signed = [f"{value:+.2f}".replace("-", "−") for value in (mean, low, high)]
    assert f"by {signed[0]} percentage points (n = 5 paired trials, 95 % interval {signed[1]} to {signed[2]})" in text
    assert {"holds": "Yes, up to the margin of 1", "fails": "No: with", "undecided": "Undecided: with"}[claim] in text


def test_the_answer_counts_the_claims_and_says_what_has_none() -> None:
    tables = lambda_study()
    claims = tables.summary["claim"].value_counts()
    assert len(findings(tables)) == sum(claims[name] for name in ("holds", "fails", "undecided"))
    text = words(tables)
    assert f"Of {len(findings(tables))} sparse settings" in text
    assert f"{claims['holds']} are shown to be not worse" in text
    assert "of twenty, one on average misses" in text
    assert "Nothing is claimed about 4 of 5 sparse settings: one pair" in words(small_study())


def test_where_there_is_no_interval_nothing_is_claimed() -> None:
    once = make_study("once", [*(Setting((task,), 1) for task in NYU), Setting(NYU, 1), Setting(NYU, 1, "l1_l2", target=0.7)])
    assert findings(once) == []
    assert "Not decided: no sparse setting" in words(once) and "one pair of trials is too few" in words(once)
    weak = once.summary.assign(group_sparsity_mean=0.0, no_claim=[*[""] * 4, "not sparse: no group is zero"])
    assert "about the sparse setting: not sparse: no group is zero" in words(replace(once, summary=weak))
    assert "no finished sparse setting" in words(bare_study())
    assert "No run of this study has finished" in words(StudyTables("none", empty("runs"), empty("summary")))


def test_the_picture_of_an_interval_keeps_its_order(tmp_path: Path) -> None:
    text = html_page(celeba_study(), tmp_path, [], INFO)
    results = findings(celeba_study())
    interval = r'x1="([\d.]+)" y1="28" x2="([\d.]+)" y2="28" class="interval"'
    bars = [(float(low), float(high)) for low, high in re.findall(interval, text)]
    means = [float(mean) for mean in re.findall(r'<circle cx="([\d.]+)"', text)]
    assert len(bars) == len(means) == len(results)
    assert all(0 <= low <= mean <= high <= 240 for (low, high), mean in zip(bars, means, strict=True))
    limits = {float(at) for at in re.findall(r'x1="([\d.]+)"[^>]*class="limit"', text)}
    zeros = {float(at) for at in re.findall(r'x1="([\d.]+)" y1="16"[^>]*class="axis"', text)}
    assert len(limits) == len(zeros) == 1 and min(limits) < min(zeros)
    assert all((mean > min(zeros)) == (finding.mean > 0) for mean, finding in zip(means, results, strict=True))
    assert np.array_equal(np.argsort(means), np.argsort([finding.mean for finding in results]))


def test_an_interval_that_is_cut_says_so() -> None:
    summary = celeba_study().summary.copy()
    assert "An arrow at the end of a line" not in words(lambda_study())
    claimed = summary["claim"] != ""
    summary.loc[claimed, "difference_high"] = 90.0
    text = html_page(replace(celeba_study(), summary=summary), Path("report"), [], INFO)
    assert text.count('class="cut"') >= claimed.sum()
    assert "An arrow at the end of a line: the interval is wider than the line" in Page(text).words


def test_the_two_numbers_below_a_picture_never_read_as_one() -> None:
    """The margin's stands above the line and that of zero below, whatever their distance."""
    summary = celeba_study().summary.assign(margin=0.001)
    text = html_page(replace(celeba_study(), summary=summary), Path("report"), [], INFO)
    heights = [(int(y), label) for y, label in re.findall(r'<text x="[^"]+" y="(\d+)"[^>]*>([^<]+)</text>', text)]
    assert {label for _, label in heights} == {"−0.001", "0"}
    margin, zero = ({y for y, label in heights if (label == "0") is of_zero} for of_zero in (False, True))
    assert max(margin) + 11 < min(zero) - 11


def test_a_study_of_many_settings_folds_and_can_be_filtered() -> None:
    page, little = (
        Page(html_page(lambda_study(), Path("report"), [], INFO)),
        Page(html_page(small_study(), Path("r"), [], INFO)),
    )
    folds = [attributes for tag, attributes in page.elements if tag == "details" and attributes.get("class") == "fold"]
    assert len(folds) >= 2 * 7
    assert 0 < sum("open" in attributes for attributes in folds) < len(folds) / 2
    (bar,) = [attributes for tag, attributes in page.elements if attributes.get("class") == "filter"]
    assert "hidden" in bar
    assert not [attributes for _, attributes in little.elements if attributes.get("class") in ("fold", "filter")]


def test_the_script_reads_what_the_page_has() -> None:
    text = html_page(lambda_study(), Path("report"), [], INFO)
    assert SCRIPT.read_text().strip() in text
    for selector in ('class="rows', 'class="settings', 'class="names rows"', 'class="filter"', 'class="finding '):
        assert selector in text


def test_figures_stand_in_groups_with_links_to_their_files(tmp_path: Path) -> None:
    one, two = (replace(figure(tmp_path), title=f"Learning curves: {tasks}") for tasks in ("depth", "normals"))
    text = html_page(small_study(), tmp_path, [one, replace(two, svg=two.svg.replace("name-", "other-"))], INFO)
    assert "<h3>Learning curves: depth</h3>" in text and "<h3>Learning curves: normals</h3>" in text
    folded = html_page(lambda_study(), tmp_path, [one, replace(two, svg=two.svg.replace("name-", "other-"))], INFO)
    assert "Learning curves 2" in Page(folded).words
    assert "<h3>depth</h3>" in folded and "<h3>normals</h3>" in folded
    assert text.count('<a href="a%20b.pdf">PDF</a> <a href="a%20b.png">PNG</a>') == 2


def test_a_kind_of_settings_is_described(tmp_path: Path) -> None:
    info = replace(INFO, methods=[("group <L0>", "A proximal step & more.")])
    assert (
        "How the networks were trained group <L0>A proximal step & more."
        in Page(html_page(small_study(), tmp_path, [], info)).words
    )
    assert "How the networks were trained" not in words(small_study())


def test_files_are_written_and_equal_arguments_give_equal_files(tmp_path: Path) -> None:
    picture = figure(tmp_path / "figures")
    first = write_report(small_study(), tmp_path / "deep" / "report", [picture], INFO, latex=True)
    assert [path.name for path in first] == ["report.html", "tables.md", "tables.tex"]
    contents = [path.read_bytes() for path in first]
    assert write_report(small_study(), tmp_path / "deep" / "report", [picture], INFO, latex=True) == first
    assert [path.read_bytes() for path in first] == contents
    assert sorted((tmp_path / "deep" / "report").iterdir()) == sorted(first)
    tex = first[2].read_text(encoding="utf-8")
    assert tex.startswith("%") and "\\usepackage{booktabs}" in tex.split("\\begin")[0]
    labels = re.findall(r"\\label\{([^}]*)\}", tex)
    assert len(labels) == len(set(labels)) == tex.count("\\begin{table}")
    without = write_report(bare_study(), tmp_path / "x", [], INFO, latex=False)
    assert [path.name for path in without] == ["report.html", "tables.md"]
