"""894 labels, 40 classes."""

import csv

import pytest

from datasets.preparation.nyu_labels import TABLE, class_of_label
from utils.tasks import NYU_CLASSES


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


@pytest.mark.parametrize(
    ("label", "name", "number"),
    [(3, "cabinet", 3), (4, "ceiling", 22), (5, "chair", 5), (11, "floor", 2), (21, "wall", 1), (85, "books", 23)]
    + [(1, "book", 40), (119, "pillow", 18), (157, "bed", 4), (331, "person", 31), (894, "torah", 40)],
)
def test_entries_checked_by_hand(label: int, name: str, number: int, rows: list[dict[str, str]]) -> None:
    assert rows[label - 1] == {"label": str(label), "name": name, "class": str(number)}
    assert class_of_label()[label] == number


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
