"""The README says what is there."""

from pathlib import Path

from utils.config_table import key_table
from utils.study.config import Axes, StudyFile

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_keys_is_the_schema() -> None:
    assert key_table() in README


def test_the_tables_of_a_study_s_keys_are_the_schema() -> None:
    page = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    assert key_table(StudyFile) in page
    assert key_table(Axes) in page


def test_every_module_has_its_line_in_the_tree() -> None:
    tree = README.split("## The tree")[1].split("\n## ")[0]
    layers = ("models", "datasets", "optim", "engine", "utils")
    modules = [*ROOT.glob("*.py"), *(path for layer in layers for path in (ROOT / layer).glob("*.py"))]
    missing = [path.name for path in modules if path.name != "__init__.py" and f"{path.name} " not in tree]
    assert not missing


def test_every_picture_is_there() -> None:
    pictures = [line.split("](")[1].split(")")[0] for line in README.splitlines() if line.startswith("![")]
    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)
