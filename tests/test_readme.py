"""The README and the pages of docs/ say what is there."""

import re
from pathlib import Path

from settings.key_table import key_table
from study.config import Axes, StudyFile

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tables_of_keys_are_the_schemas() -> None:
    assert key_table() in (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    assert key_table(StudyFile) in page
    assert key_table(Axes) in page


def test_the_house_is_the_one_that_is_there() -> None:
    """Every room and script has its line, and what a line names is there."""
    room, named = ROOT, set()
    for indent, line in re.findall(r"^    ( *)(\S.*)$", README.split("## The house")[1].split("\nImports")[0], re.MULTILINE):
        place = line.split()[0]
        if not indent:
            room = ROOT / place if place.endswith("/") else ROOT
        for name in re.findall(r"[\w./]+\.(?:py|md|sh)\b", line) + [place] * (len(indent) <= 2):
            entry = next((folder / name.strip(",") for folder in (room, ROOT) if (folder / name.strip(",")).exists()), None)
            assert entry is not None, f"{name}: {line}"
            named.add(entry.relative_to(ROOT))
    rooms = {path.parent.relative_to(ROOT) for path in ROOT.glob("*/__init__.py")} | {Path("config"), Path("docs")}
    assert rooms | {path.relative_to(ROOT) for path in ROOT.glob("*.py")} <= named


def test_every_link_leads_somewhere() -> None:
    """A relative link or picture names a file that exists, and one of its headings; the index names every page."""
    paths = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    pages = {
        path: re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL) for path in paths
    }
    titles = {path: re.findall(r"^#+ (.*)$", text, re.MULTILINE) for path, text in pages.items()}
    links = [
        (path, *link.partition("#")[::2]) for path in paths for link in re.findall(r"\]\((?!https?:)([^)]+)\)", pages[path])
    ]
    for path, name, anchor in links:
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{path.name}: {name}"
        anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles.get(target, [])]
        assert not anchor or anchor in anchors, f"{path.name}: {name}#{anchor}"
    assert {name for path, name, _ in links if path.name == "index.md"} >= {path.name for path in paths[1:]} - {"index.md"}
    assert len(README.splitlines()) <= 200
