"""The README says what is there."""

import re
from pathlib import Path

from settings.key_table import key_table
from study.config import Axes, StudyFile

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_keys_is_the_schema() -> None:
    assert key_table() in README


def test_the_tables_of_a_study_s_keys_are_the_schema() -> None:
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
            found = next((folder / name.strip(",") for folder in (room, ROOT) if (folder / name.strip(",")).exists()), None)
            assert found is not None, f"{name}: {line}"
            named.add(found.relative_to(ROOT))
    rooms = {path.parent.relative_to(ROOT) for path in ROOT.glob("*/__init__.py")} | {Path("config"), Path("docs")}
    assert rooms | {path.relative_to(ROOT) for path in ROOT.glob("*.py")} <= named


def test_every_picture_is_there() -> None:
    pictures = [line.split("](")[1].split(")")[0] for line in README.splitlines() if line.startswith("![")]
    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)
