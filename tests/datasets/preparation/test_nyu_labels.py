"""894 labels, 40 classes."""

import csv

import numpy as np
import pytest

from datasets.preparation.nyu_frames import classes_of
from datasets.preparation.nyu_labels import TABLE, class_of_label
from datasets.preparation.official_nyu import Frame
from tasks.data_sets import NYU_CLASSES
from utils.errors import DataError


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def test_entries_checked_by_hand(rows: list[dict[str, str]]) -> None:
    for label, name, number in (
        *((3, "cabinet", 3), (4, "ceiling", 22), (5, "chair", 5), (11, "floor", 2), (21, "wall", 1), (85, "books", 23)),
        *((1, "book", 40), (119, "pillow", 18), (157, "bed", 4), (331, "person", 31), (894, "torah", 40)),
    ):
        assert rows[label - 1] == {"label": str(label), "name": name, "class": str(number)}
        assert class_of_label()[label] == number


def test_a_label_that_is_not_in_the_table_is_named() -> None:
    empty = np.zeros((2, 2))
    frame = Frame(3, empty, np.array([[0, 894], [895, 1]], np.uint16), empty, empty)
    with pytest.raises(DataError, match=r"--mat: frame 3 has the label 895; expected 0 \(unlabelled\) or 1 to 894"):
        classes_of(frame)


def test_unlabelled_stays_unlabelled_and_every_class_occurs() -> None:
    table = class_of_label()
    assert table.shape == (895,)
    assert table.dtype == "uint8"
    assert table[0] == 0
    assert set(table[1:].tolist()) == set(range(1, 41))


def test_a_label_called_like_a_class_is_of_that_class(rows: list[dict[str, str]]) -> None:
    named = {row["name"].replace(" ", "_"): int(row["class"]) for row in rows}
    both = [name for name in NYU_CLASSES if name in named]
    assert len(both) > 30
    assert [named[name] for name in both] == [NYU_CLASSES.index(name) + 1 for name in both]
