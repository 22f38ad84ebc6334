"""Figures as files: the formats that were asked for, in that order."""

import resource
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from figures.saving import save_figure


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


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_a_figure_that_finds_no_room_is_a_sentence_and_the_old_one_stays(tmp_path: Path, kind: str) -> None:
    figure = Figure()
    (path,) = save_figure(figure, tmp_path / "figure", (kind,))
    before = path.read_bytes()
    figure.add_subplot().plot(range(10))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(OSError, match=rf"figure\.{kind} cannot be written \(File too large\); what was there before"):
            save_figure(figure, tmp_path / "figure", (kind,))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_equal_figures_are_equal_files(tmp_path: Path) -> None:
    """So that a resumed run ends with the bytes of an uninterrupted one."""
    for stem in ("one", "other"):
        figure = Figure()
        figure.add_subplot().plot([1, 3, 2])
        save_figure(figure, tmp_path / stem)
    for kind in ("png", "pdf"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"other.{kind}").read_bytes()


def test_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'svg'.*png, pdf"):
        save_figure(Figure(), tmp_path / "figure", ("png", "svg"))
    assert not list(tmp_path.iterdir())
