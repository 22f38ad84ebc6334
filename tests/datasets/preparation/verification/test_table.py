"""Nothing of the table is cut off, on narrow terminals and in files."""

import io

import pytest
from rich.console import Console

from datasets.preparation.verification import table
from datasets.problems import Problem

ROWS = [
    Problem("data/NYUD_MT/" + 30 * "long/" + "0001.jpg", "cannot be read [bold]as an image[/bold]", "a whole image file"),
    Problem("x.png", "is missing", "a file, as train.txt names " + 30 * "x " + "end"),
]


@pytest.mark.parametrize("width", [30, 80, 400])
def test_a_terminal_of_any_width_shows_every_character(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(table, "Console", lambda: Console(file=screen, width=width, force_terminal=True, color_system=None))
    table.print_table(ROWS)
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    cells: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("├"):
            cells.append([])
        elif line.startswith("│"):
            cells[-1].append(line)
    for row, drawn in zip(ROWS, cells, strict=True):
        for column, cell in enumerate(row):
            parts = [line.split("│")[1 + column] for line in drawn]
            assert "".join("".join(parts).split()) == "".join(cell.split())
    assert "…" not in screen.getvalue()


def test_in_a_file_every_row_is_one_aligned_line(capsys: pytest.CaptureFixture[str]) -> None:
    table.print_table(ROWS)
    head, *lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ROWS)
    starts = [head.index(title) for title in ("path", "problem", "expected")]
    for row, line in zip(ROWS, lines, strict=True):
        assert [line[start:].startswith(cell) for start, cell in zip(starts, row, strict=True)] == [True] * 3


@pytest.mark.parametrize(
    ("name", "shown"), [("a\nb", "a\\nb"), ("a\x1b[2Jb", "a\\x1b[2Jb"), ("a\udcffb", "a\\udcffb"), ("ä b", "ä b")]
)
def test_names_that_would_break_a_line_are_escaped(name: str, shown: str) -> None:
    assert table.printable(name) == shown
