"""Tables as CSV files (UTF-8) whose text a spreadsheet does not take for a formula."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from utils.files import replacing, text_of

_FORMULA = re.compile(r"'*\s*(?:[=+\-@\t\r\n＝＋－＠]|\\r)")
"""Pattern of the begin of a cell that a spreadsheet computes, or that :func:`guarded` has changed."""
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBERS = re.compile(rf"{_NUMBER}(?: ± (?:{_NUMBER}|n/a))?|-inf(?: ± n/a)?")


def write_csv(path: Path, table: pd.DataFrame, float_format: str = "%.10g") -> None:
    """Write a table without its index, whole or not at all.

    Args:
        path: path of the file, in a folder that exists.
        table: numbers, and text, which is :func:`guarded`.
        float_format: ten digits are what float32 arithmetic can tell apart, without the noise behind it.

    Raises:
        OSError: the system refused; the message is a sentence that names the file.
    """
    with replacing(path) as temporary:
        _changed(table, guarded).to_csv(temporary, index=False, float_format=float_format, encoding="utf-8")


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """Read what :func:`write_csv` wrote: ``pandas.read_csv`` with these options, and text as it was before it was guarded."""
    return _changed(pd.read_csv(path, **options), _unguarded)


def _changed(table: pd.DataFrame, change: Callable[[Any], Any]) -> pd.DataFrame:
    """Return a table with changed text in its cells; columns of numbers stay."""
    return table.assign(**{name: table[name].map(change) for name in table.select_dtypes(exclude=["number", "bool"])})


def guarded(cell: Any) -> Any:
    """Return a cell with ``'`` before text that a spreadsheet would run as a formula; numbers (also ``-1.5 ± 0.2``) stay.

    Bytes that are no text, in a file's name, are shown as escapes, and so are carriage returns, which would end the row.
    """
    if not isinstance(cell, str):
        return cell
    text = text_of(cell).replace("\r", "\\r")
    return f"'{text}" if _FORMULA.match(cell) and not _NUMBERS.fullmatch(cell) else text


def _unguarded(cell: Any) -> Any:
    """Return the cell that :func:`guarded` was given."""
    return cell[1:] if isinstance(cell, str) and cell.startswith("'") and _FORMULA.match(cell) else cell
