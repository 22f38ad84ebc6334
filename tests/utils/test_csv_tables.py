"""Tables as CSV: what comes from outside is text in a spreadsheet, and comes back as it was; numbers stay numbers."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from utils.csv_tables import read_csv, write_csv

FORMULAS = ["=1+1", "+1+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "  =1", "\n=1", "-x ± y", "＝1"]
PLAIN = ["a=1", "", "it's", "-1.5", "+2", "-.5e-3", "-0.1234 ± 0.0200", "-1.0000 ± n/a", 'a, "b"', "'quoted'"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_text(tmp_path: Path, text: str) -> None:
    write_csv(tmp_path / "a.csv", pd.DataFrame({"name": [text, "b"], "value": [-1.5, 2.0]}))
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [["'" + text, "-1.5"], ["b", "2"]]


@pytest.mark.parametrize("text", PLAIN)
def test_other_text_and_numbers_as_text_stay(tmp_path: Path, text: str) -> None:
    write_csv(tmp_path / "a.csv", pd.DataFrame({"name": [text, "b"]}))
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file))[1] == ([text] if text else [""])


@pytest.mark.parametrize("text", [*FORMULAS, *PLAIN, "'=1", "''=1"])
def test_text_comes_back_as_it_was(tmp_path: Path, text: str) -> None:
    write_csv(tmp_path / "a.csv", pd.DataFrame({"name": [text, "b"]}))
    table = read_csv(tmp_path / "a.csv", dtype=str, keep_default_na=False)
    assert table["name"].tolist() == [text, "b"]


def test_numbers_have_ten_digits_and_nothing_is_an_empty_cell(tmp_path: Path) -> None:
    table = pd.DataFrame({"i": [-3, 4], "f": [-1 / 3, np.nan], "yes": [True, False], "mixed": [-2, "x"]})
    write_csv(tmp_path / "a.csv", table)
    assert (tmp_path / "a.csv").read_text() == "i,f,yes,mixed\n-3,-0.3333333333,True,-2\n4,,False,x\n"
    write_csv(tmp_path / "a.csv", table[:0])
    assert (tmp_path / "a.csv").read_text() == "i,f,yes,mixed\n"


@pytest.mark.parametrize(
    ("name", "shown"), [(b"caf\xe9.jpg", "caf\\udce9.jpg"), (b"a\r=1.jpg", "a\\r=1.jpg"), (b"\r=1.jpg", "'\\r=1.jpg")]
)
def test_what_a_cell_cannot_hold_is_shown_with_escapes(tmp_path: Path, name: bytes, shown: str) -> None:
    write_csv(tmp_path / "a.csv", pd.DataFrame({"name": [name.decode("utf-8", "surrogateescape")]}))
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == f"name\n{shown}\n"
