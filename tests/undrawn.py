"""Figures that a training or a compaction saves beside its results, for tests of all the rest: drawing them takes more time
than the training."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from deploy import trial_compaction
from engine import experiment, trainer
from figures.saving import save_figure
from utils.files import replacing

PLACES = (experiment, trainer, trial_compaction)
"""Modules that save a figure in passing."""


def save_undrawn(figure: Figure, stem: Path, formats: Sequence[str] = ("png",)) -> list[Path]:
    """As ``save_figure``, but what is in the file is one pixel."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{name}") for name in formats]
    for name, path in zip(formats, paths, strict=True):
        with replacing(path) as temporary:
            Image.new("RGB", (1, 1)).save(temporary, format=name)
    return paths


@pytest.fixture(autouse=True)
def undrawn_runs() -> Iterator[None]:
    """For all tests of the folder whose ``conftest.py`` imports this fixture, or of the module that does: figures of their own
    runs are not drawn. Those of a fixture that several tests share are."""
    with pytest.MonkeyPatch.context() as patch:
        for module in PLACES:
            patch.setattr(module, "save_figure", save_undrawn)
        yield


@pytest.fixture
def drawn_runs(undrawn_runs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that looks at them."""
    for module in PLACES:
        monkeypatch.setattr(module, "save_figure", save_figure)
