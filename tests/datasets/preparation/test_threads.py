"""Work in threads: results in order, few items ahead, nothing begun after an error."""

import time
from collections.abc import Iterator

import pytest

from datasets.preparation.threads import in_threads


def test_items_are_made_only_a_few_ahead_of_the_results() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            made.append(item)
            yield item

    for result in in_threads(lambda item: item, items(), 2):
        assert len(made) - result <= 6


def test_an_error_comes_out_and_what_waits_is_not_begun() -> None:
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 0:
            raise KeyError("zero")
        time.sleep(0.2)

    with pytest.raises(KeyError, match="zero"):
        list(in_threads(work, range(100), 1))
    assert begun in ([0], [0, 1])
