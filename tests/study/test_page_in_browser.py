"""The page of a study in a real browser: no message on the console, and its script sorts, filters and folds."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from study.figures.inline import inline_svg
from study.figures.pareto import draw_pareto
from study.page import ReportFigure, html_page
from study.tables import StudyTables
from tests.study.figures.drawn_parts import drawn
from tests.study.test_page import INFO
from tests.study_tables import NYU, Setting, lambda_study, make_study, small_study

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--v=0", "--virtual-time-budget=5000"),
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
]


def page(tables: StudyTables) -> str:
    (figure,), _ = drawn(draw_pareto, lambda_study)
    svg = inline_svg(figure.figure, figure.name)
    return html_page(
        tables, Path("report"), [ReportFigure(figure.title, figure.caption, svg, Path("a.png"), Path("a.pdf"))], INFO
    )


def seen(text: str, work: Path, script: str, width: int = 1280) -> tuple[dict[str, object], list[str]]:
    """What ``script``, a body of a function that runs at the end, returns of a page; and the lines on the console."""
    path, profile = work / "page.html", work / "profile"
    probe = f"document.body.dataset.seen = JSON.stringify((() => {{ {script} }})());"
    path.write_text(text.replace("</body>", f"<script>{probe}</script></body>"), encoding="utf-8")
    command = [str(BROWSER), *OPTIONS, f"--user-data-dir={profile}", f"--window-size={width},900", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert found, done.stderr
    return json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&")), re.findall(r".*CONSOLE.*", done.stderr)


SORT = """
  const table = document.querySelector("#results details[open] table");
  const headings = [...table.querySelectorAll("thead tr:last-child th")];
  const column = headings.findIndex((cell) => cell.textContent.startsWith("GMACs"));
  const button = headings[column].querySelector("button");
  const read = () => [...table.tBodies[0].rows].map((row) => parseFloat(row.cells[column].textContent));
  const before = read();
  button.click(); const down = read(); button.click(); const up = read(); button.click();
  return { before, down, up, after: read() };
"""

FILTER = """
  const input = document.querySelector("#filter");
  const count = () => [...document.querySelectorAll("#results tbody tr")].filter((row) => row.checkVisibility()).length;
  const type = (text) => { input.value = text; input.dispatchEvent(new Event("input")); return count(); };
  const open = count();
  const counts = () => [...document.querySelectorAll("#results .fold .count")].map((count) => count.textContent).join(" ");
  return { bar: input.checkVisibility(), open, all: type("mcp 1e-4"), counts: counts(), none: type("nothing of this"),
    said: document.querySelector("output").textContent, again: type(""), before: counts() };
"""

WIDTH = """
  const boxes = [...document.querySelectorAll(".plot text")].filter((text) => text.checkVisibility());
  return { page: document.documentElement.scrollWidth, window: document.documentElement.clientWidth,
    letters: Math.min(...boxes.map((text) => text.getBoundingClientRect().height)) };
"""


def test_a_faulty_script_would_be_on_the_console(tmp_path: Path) -> None:
    _, console = seen("<!DOCTYPE html><html><body><script>nothing.here();</script></body></html>", tmp_path, "return {};")
    assert len(console) == 1 and "nothing is not defined" in console[0]


def wordy_study() -> StudyTables:
    """The answer names a setting in one word that is longer than a small window is wide."""
    settings = [Setting(NYU, 3, *kind, variant="x" * 60) for kind in ((), ("l1_l2", 1e-5))]
    return make_study("wordy", [*(Setting((task,), 3) for task in NYU), *settings])


@pytest.mark.parametrize("study", [small_study, lambda_study, wordy_study])
@pytest.mark.parametrize("width", [500, 1280, 1920])
def test_the_console_stays_empty_and_the_page_is_no_wider_than_the_window(study, width: int, tmp_path: Path) -> None:
    found, console = seen(page(study()), tmp_path, WIDTH, width)
    assert console == []
    assert width - 20 < float(str(found["window"])) <= width
    assert found["page"] == found["window"]
    assert float(str(found["letters"])) >= 8


def test_a_click_on_a_heading_sorts_down_then_up_then_as_before(tmp_path: Path) -> None:
    found, console = seen(page(lambda_study()), tmp_path, SORT)
    assert console == []
    before = found["before"]
    assert isinstance(before, list) and len(before) == 13
    assert found["down"] == sorted(before, reverse=True) != before
    assert found["up"] == sorted(before)
    assert found["after"] == before


def test_the_filter_shows_the_settings_with_all_words_also_where_they_are_folded(tmp_path: Path) -> None:
    found, console = seen(page(lambda_study()), tmp_path, FILTER)
    assert console == []
    # the folded tables of four sets of tasks have group MCP, and each of them one setting with this lambda
    assert found == {
        **{"bar": True, "open": 13, "all": 4, "none": 0, "again": 13},
        **{"said": "No setting has these words.", "counts": "0 0 0 1 1 1 1", "before": "7 7 7 13 13 13 13"},
    }
