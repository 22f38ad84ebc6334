"""The text of a configuration: what is read back is what was written."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from datasets.preparation.description.document import WIDTH, batch_size, document, experiment_name, input_shape
from datasets.preparation.description.entries import Entry

ODD = ["yes", "1", "a, b", "c: d", "# e", "'", "é", "null", "1_0", " f "]


def test_a_text_is_read_back_as_the_values_and_comments_keep_to_their_lines() -> None:
    keys = {"kind": "classification", "file": "a\nb.csv", "column": "kind of: crop", "classes": [*ODD, *"abcdefghijklmnop" * 4]}
    short = {"kind": "attribute", "file": "{x}.csv", "column": "[y]"}
    entries = [Entry("one", keys, 3, ["a\nkind: nothing", "b " * 100]), Entry("two", short, 4, ["c"])]
    tasks = {"one": keys, "two": short}
    raw = {"Experiment_name": "it", "data_dir": "a # b", "tasks": tasks, "epochs": 1}
    text = document(raw, entries, 5, {"": ["top"], "epochs": ["x\ny: 1"]}, ["python a.py"])
    assert yaml.safe_load(text) == raw
    assert "  # one: 3 of 5 frames; a\\nkind: nothing\n" in text and '  two: {kind: attribute, file: "{x}' not in text
    assert all(len(line) <= WIDTH + 10 for line in text.splitlines())


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((480, 640), [192, 256]),
        ((1024, 2048), [128, 256]),
        ((512, 512), 256),
        ((96, 96), 96),
        ((20, 30), [16, 32]),
        ((4, 4), 16),
    ],
)
def test_the_input_has_the_proportions_of_most_images(size: tuple[int, int], shape: int | list[int]) -> None:
    assert input_shape(Counter({size: 3, (100, 10): 2})) == shape


@pytest.mark.parametrize(("frames", "size"), [(2, 2), (8, 4), (31, 8), (32, 16), (10_000, 16)])
def test_an_epoch_has_two_batches(frames: int, size: int) -> None:
    assert batch_size(frames) == size and (frames < 4 or 2 * size <= frames)


def test_an_experiment_is_called_like_its_folder() -> None:
    assert experiment_name(Path("data/My fields (2)/")) == "My_fields__2"
    assert experiment_name(Path("/")) == "own_data"
