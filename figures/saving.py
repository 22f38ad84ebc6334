"""Figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from utils.files import replacing

PNG_DPI = 150

_SETTINGS: dict[str, dict[str, Any]] = {"png": {"dpi": PNG_DPI}, "pdf": {"metadata": {"CreationDate": None}}}
"""Per format what is said to ``savefig``. Without a date, equal figures are equal files."""


def save_figure(figure: Figure, stem: Path, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Write ``<stem>.<format>`` per format and return the paths in that order.

    A PNG has 150 dots per inch; in a PDF text stays text. A dot in the last part of ``stem`` belongs to the name. The
    folder is made if it is missing.

    Raises:
        ValueError: a format that is neither ``png`` nor ``pdf``; nothing is written then.
    """
    stem = Path(stem)
    unknown = [name for name in formats if name not in _SETTINGS]
    if unknown:
        raise ValueError(f"formats: {unknown[0]!r} is not valid; expected some of {', '.join(_SETTINGS)}")
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{name}") for name in formats]
    # Type 42 embeds the font as it is, so that a PDF can be searched.
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        for name, path in zip(formats, paths, strict=True):
            # To an open file and not to a path: where the disk is full, matplotlib's PDF writer leaves its own file open.
            with replacing(path) as temporary, temporary.open("wb") as file:
                figure.savefig(file, format=name, **_SETTINGS[name])
    return paths
