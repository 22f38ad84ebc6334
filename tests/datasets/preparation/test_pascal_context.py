"""Targets of PASCAL-Context that are made of its MATLAB files. tests/datasets/test_layouts.py reads them."""

from pathlib import Path

import numpy as np
import pytest

from datasets.preparation.pascal_context import edges, human_parts, write_targets
from tests.datasets.official_layouts import PERSON, rectangle, thing, write_parts, write_pascal
from utils.errors import DataError


def test_an_edge_is_where_the_next_pixel_has_another_class() -> None:
    classes = np.array([[1, 1, 2], [1, 1, 2], [3, 3, 3]])
    assert np.array_equal(edges(classes) // 255, [[0, 1, 0], [1, 1, 1], [0, 0, 0]])


def test_a_part_that_is_not_known_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "frame.mat"
    write_parts(path, thing(PERSON, rectangle(0, 9, 0, 9), {"tail": rectangle(0, 2, 0, 2)}))
    with pytest.raises(DataError, match=r"frame\.mat has the part 'tail' of a person; expected one of hair, head"):
        human_parts(path)


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "frame.mat").write_bytes(b"no MATLAB")
    with pytest.raises(DataError, match=r"frame\.mat cannot be read as an annotation of PASCAL-Part"):
        human_parts(tmp_path / "frame.mat")


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.txt: there is no such file; expected the folder of PASCAL_MT"):
        write_targets(tmp_path)
    assert not list(tmp_path.iterdir())


def test_targets_are_whole_or_not_there_and_never_overwritten(tmp_path: Path) -> None:
    write_pascal(tmp_path)
    broken = tmp_path / "human_parts" / "2010_000001.mat"
    whole = broken.read_bytes()
    broken.write_bytes(b"")
    with pytest.raises(DataError):
        write_targets(tmp_path)
    assert not (tmp_path / "targets").exists()
    broken.write_bytes(whole)
    write_targets(tmp_path)
    with pytest.raises(DataError, match="targets is there already; remove it"):
        write_targets(tmp_path)
    assert not (tmp_path / ".targets").exists()
