"""Figures as files: the formats that were asked for, in that order."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from utils.figures import save_figure


@pytest.mark.parametrize("stem", ["run", "trial_0.best"])
def test_png_and_pdf_are_written_beside_each_other(tmp_path: Path, stem: str) -> None:
    paths = save_figure(Figure(figsize=(2, 1)), tmp_path / "new" / stem)
    assert [path.name for path in paths] == [f"{stem}.png", f"{stem}.pdf"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert paths[1].read_bytes().startswith(b"%PDF")


def test_png_has_150_dots_per_inch(tmp_path: Path) -> None:
    png, _ = save_figure(Figure(figsize=(2, 1)), tmp_path / "figure")
    width, height = np.frombuffer(png.read_bytes()[16:24], dtype=">u4")
    assert (width, height) == (300, 150)


def test_only_the_formats_asked_for_are_written_in_their_order(tmp_path: Path) -> None:
    assert save_figure(Figure(), tmp_path / "one", ("png",)) == [tmp_path / "one.png"]
    assert not (tmp_path / "one.pdf").exists()
    assert save_figure(Figure(), tmp_path / "two", ("pdf", "png")) == [tmp_path / "two.pdf", tmp_path / "two.png"]


def test_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'svg'.*png, pdf"):
        save_figure(Figure(), tmp_path / "figure", ("png", "svg"))
    assert not list(tmp_path.iterdir())
