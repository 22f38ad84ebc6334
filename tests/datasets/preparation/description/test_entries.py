"""Guesses of kinds and keys, from arrays in files and texts in cells."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets.preparation.description.entries import Entry, column_entry, folder_entry
from datasets.preparation.description.measures import measure, merged
from datasets.preparation.description.sources import Source
from utils.errors import DataError

SHAPE = (16, 16)
RNG = np.random.default_rng(0)


def unit_vectors() -> np.ndarray:
    vectors = RNG.normal(size=(*SHAPE, 3))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def entry_of(folder: Path, array: np.ndarray, ending: str = ".npy", kind: str | None = None) -> Entry:
    """The entry of a folder of two files with this array."""
    paths = [folder / f"{number}{ending}" for number in range(2)]
    for path in paths:
        if ending == ".npy":
            np.save(path, array)
        else:
            Image.fromarray(array).save(path)
    source = Source("it", folder="it", files={path.stem: [path] for path in paths})
    return folder_entry(source, merged([measure(path) for path in paths]), kind)


def labels(*numbers: int) -> np.ndarray:
    return np.resize(numbers, SHAPE)


SEGMENTATION, REGRESSION = {"kind": "segmentation"}, {"kind": "regression"}
TWO = ["class_0", "class_1"]
MASK = {0: "class_0", 255: "class_255"}
GUESSES: dict[str, tuple[Callable[[], np.ndarray], str, dict[str, Any]]] = {
    "labels": (lambda: labels(0, 1, 1, 0).astype(np.uint8), ".png", {**SEGMENTATION, "classes": TWO}),
    "void": (lambda: labels(0, 1, 255).astype(np.uint8), ".png", {**SEGMENTATION, "classes": TWO, "ignore": [255]}),
    "numbers": (lambda: labels(7, 9).astype(np.uint8), ".png", {**SEGMENTATION, "classes": {7: "class_7", 9: "class_9"}}),
    "mask": (lambda: labels(0, 255).astype(np.uint8), ".png", {**SEGMENTATION, "classes": MASK, "ignore": []}),
    "64 bits": (lambda: labels(0, 1, -1), ".npy", {**SEGMENTATION, "classes": TWO, "ignore": [-1]}),
    "16 bits": (lambda: labels(3, 5).astype(np.uint16), ".png", {**REGRESSION, "mean": 4.0, "std": 1.0}),
    "floats": (lambda: labels(1, 2, 2, 3) / 2, ".npy", {**REGRESSION, "mean": 1.0, "std": 0.3536}),
    "two channels": (
        lambda: np.stack([labels(0, 1) / 2] * 2, -1),
        ".npy",
        {**REGRESSION, "channels": 2, "mean": 0.25, "std": 0.25},
    ),
    "normals": (unit_vectors, ".npy", {"kind": "normals"}),
    "8-bit normals": (lambda: np.rint((unit_vectors() + 1) * 127.5).astype(np.uint8), ".png", {"kind": "normals"}),
    "edges": (lambda: RNG.integers(0, 256, SHAPE).astype(np.uint8), ".jpg", {"kind": "edges"}),
}


@pytest.mark.parametrize("case", GUESSES)
def test_a_kind_is_guessed_from_the_numbers(case: str, tmp_path: Path) -> None:
    array, ending, expected = GUESSES[case]
    entry = entry_of(tmp_path, array(), ending)
    assert entry.keys == {"folder": "it", **expected} and entry.frames == 2
    assert any("--task it=<kind> says another kind" in fact for fact in entry.facts)


@pytest.mark.parametrize(
    ("array", "ending", "said"),
    [
        (labels(3).astype(np.uint8), ".png", "the number 3 everywhere"),
        (labels(3) / 2, ".npy", "the same number everywhere"),
        (np.full(SHAPE, np.nan), ".npy", "no finite number"),
        (RNG.integers(0, 256, (*SHAPE, 3)).astype(np.uint8), ".png", "pictures in colour that are no normals"),
        (RNG.random(SHAPE) < 0.5, ".png", "a grey image of 1 bit"),
    ],
)
def test_what_holds_no_targets_is_refused(array: np.ndarray, ending: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        entry_of(tmp_path, array, ending)


def test_frequencies_are_of_labelled_pixels_and_uneven_ones_are_a_hint(tmp_path: Path) -> None:
    array = np.zeros((10, 10), np.uint8)
    array[0, :4], array[1, :] = 1, 255
    first, void, hint, _ = entry_of(tmp_path, array, ".png").facts
    assert first == "2 classes, % of the labelled pixels: class_0 95.6, class_1 4.44"
    assert void == "255 is taken as unlabelled: 10 % of all pixels"
    assert hint.startswith("class_0 has 21 times the pixels of class_1: try class_weights: balanced")


@pytest.mark.parametrize(
    ("low", "mark", "share", "invalid"),
    [(1.0, 0.0, 0.05, [0]), (1.0, 0.0, 0.001, []), (0.0, 0.0, 0.05, []), (1.0, -9999.0, 0.05, [-9999]), (2.0, 1.0, 0.05, [])],
)
def test_a_number_is_unknown_if_it_is_common_and_far_from_the_rest(
    low: float, mark: float, share: float, invalid: list[int], tmp_path: Path
) -> None:
    numbers = np.linspace(low, low + 3, 4000).reshape(50, 80)
    numbers.ravel()[:: round(1 / share)] = mark
    keys = entry_of(tmp_path, numbers).keys
    assert keys.get("invalid", []) == invalid
    known = numbers[~np.isin(numbers, invalid)]
    assert keys["mean"] == pytest.approx(known.mean(), rel=1e-3) and keys["std"] == pytest.approx(known.std(), rel=1e-3)


def test_marks_of_floats_are_unknown(tmp_path: Path) -> None:
    numbers = np.linspace(1, 2, 256).reshape(SHAPE)
    numbers[0, :3] = np.nan, np.inf, -np.inf
    assert entry_of(tmp_path, numbers).keys["invalid"] == ["-inf", "inf", "nan"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["yes", "No", "yes"], {"kind": "attribute"}),
        (["0", "1"], {"kind": "attribute"}),
        (["b", "a", "a", "b"], {"kind": "classification", "classes": ["a", "b"]}),
        (["1", "2.5", "nan"], {"kind": "regression", "invalid": ["nan"], "mean": 1.75, "std": 0.75}),
        (["a", "b", "c"], "3 different texts in 3 rows, which are no classes"),
        (["1", "2", "n/a"], "has numbers, and 'n/a'; leave the cell of an unknown number empty"),
        (["no", "No"], "is 'No' in every row"),
    ],
)
def test_a_column_is_guessed_from_its_cells(cells: list[str], expected: dict[str, Any] | str, tmp_path: Path) -> None:
    frames = {f"f{number}": cell for number, cell in enumerate(cells)}
    (tmp_path / "t.csv").write_text("frame,it\n" + "".join(f"{frame},{cell}\n" for frame, cell in frames.items()))
    source = Source("it", file="t.csv", column="it", cells=frames)
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            column_entry(source, tmp_path, None)
    else:
        assert column_entry(source, tmp_path, None).keys == {"file": "t.csv", "column": "it", **expected}


def test_a_kind_that_has_no_files_of_a_type_is_told_their_ending(tmp_path: Path) -> None:
    numbers = RNG.integers(0, 256, SHAPE).astype(np.uint8)
    assert entry_of(tmp_path, numbers, ".jpg", "regression").keys["ending"] == ".jpg"
    assert "ending" not in entry_of(tmp_path, numbers, ".jpg").keys
