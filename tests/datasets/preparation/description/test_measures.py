"""Numbers in files, and sizes of images, as they lie there."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.preparation.description.measures import PIXELS, measure, merged, picture_size


def test_a_file_is_measured_whole_but_for_a_sample_of_its_numbers(tmp_path: Path) -> None:
    numbers = np.arange(40_000, dtype=np.float32).reshape(200, 200)
    numbers[0, 0] = np.nan
    np.save(tmp_path / "a.npy", numbers)
    found = measure(tmp_path / "a.npy")
    assert (found.lowest, found.largest, found.marks, found.sizes) == (1, 39_999, {"nan"}, {(200, 200)})
    assert PIXELS / 2 < len(found.numbers) < 2 * PIXELS and np.isfinite(found.numbers).all()
    assert found.numbers.mean() == pytest.approx(20_000, rel=0.01) and found.counts is None


def test_files_together_are_those_that_can_be_read(tmp_path: Path) -> None:
    for number in range(2):
        Image.fromarray(np.full((4, 6), number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"")
    measures = [measure(tmp_path / f"{number}.png") for number in range(3)]
    assert "2.png cannot be read" in measures[2].problem
    together = merged(measures)
    assert together.counts == {0: 24, 1: 24} and together.types == {"uint8"} and not together.problem
    assert merged(measures[2:]).problem


def test_the_size_of_an_image_is_that_of_the_upright_one(tmp_path: Path) -> None:
    image = Image.fromarray(np.zeros((4, 6, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    image.save(tmp_path / "b.jpg")
    np.save(tmp_path / "c.npy", np.zeros((4, 6, 3)))
    (tmp_path / "d.jpg").write_bytes(b"")
    assert [picture_size(tmp_path / name) for name in ("a.jpg", "b.jpg", "c.npy", "d.jpg")] == [(6, 4), (4, 6), (4, 6), None]
