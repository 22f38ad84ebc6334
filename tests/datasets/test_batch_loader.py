"""Batches by threads: the same ones in the same order as without, whatever happens between."""

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

from datasets.base import EpochSampler, Key, MultiTaskDataset
from datasets.batch_loader import BatchLoader
from datasets.sample import Sample
from tests.configs import make_config
from utils.errors import DataError

THREADS = (0, 2)
COUNT = 23


class _Numbers(MultiTaskDataset):
    """Frames that hold their own number; the first batches take the longest, so that threads finish out of order."""

    def __init__(self, broken: int | None = None) -> None:
        super().__init__(make_config(), [str(number) for number in range(COUNT)], True, {})
        self.broken, self.asked = broken, 0

    def __getitems__(self, keys: Sequence[Key]) -> Sample:
        self.asked += 1
        time.sleep(max(0.0, 0.02 - 0.005 * self.asked))
        numbers = [key[0] if isinstance(key, tuple) else key for key in keys]
        if self.broken in numbers:
            raise DataError(f"frame {self.broken} cannot be read")
        value = torch.tensor(numbers, dtype=torch.float32)
        targets, masks = {"depth_euclidean": value + 100}, {"depth_euclidean": value > 0}
        return Sample(image=value, targets=targets, masks=masks, name=list(map(str, numbers)))  # type: ignore[typeddict-item]


def _loader(threads: int, size: int = 4, drop_last: bool = False, dataset: _Numbers | None = None) -> BatchLoader:
    dataset = dataset or _Numbers()
    return BatchLoader(dataset, SequentialSampler(dataset), size, drop_last=drop_last, threads=threads)


def _names(batches: Any) -> list[list[str]]:
    return [list(batch["name"]) for batch in batches]


def _expected(size: int) -> list[list[str]]:
    return [[str(number) for number in range(COUNT)][start : start + size] for start in range(0, COUNT, size)]


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """Threads end with their epoch, also with one that is left early or fails."""
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("size", [1, 4, COUNT + 1])
def test_batches_come_in_the_samplers_order(threads: int, size: int) -> None:
    loader = _loader(threads, size)
    for _ in range(2):
        batches = list(loader)
        assert _names(batches) == _expected(size)
        assert len(loader) == len(batches)
        assert [batch["image"].tolist() for batch in batches] == [list(map(float, names)) for names in _expected(size)]
    dropped = _loader(threads, size, drop_last=True)
    assert _names(dropped) == [names for names in _expected(size) if len(names) == size]
    assert len(dropped) == COUNT // size


@pytest.mark.parametrize("threads", THREADS)
def test_an_epoch_that_is_left_early_or_fails_leaves_nothing_behind(threads: int) -> None:
    dataset = _Numbers(broken=9)
    loader = _loader(threads, dataset=dataset)
    assert list(next(iter(loader))["name"]) == _expected(4)[0]
    seen = []
    with pytest.raises(DataError, match=r"^frame 9 cannot be read$"):
        for batch in loader:
            seen.append(list(batch["name"]))
    assert seen == _expected(4)[:2]
    dataset.broken = None
    assert _names(loader) == _expected(4)


def test_without_threads_a_batch_is_made_when_it_is_asked_for() -> None:
    dataset = _Numbers()
    batches = iter(_loader(0, dataset=dataset))
    assert dataset.asked == 0
    next(batches)
    assert dataset.asked == 1


def test_the_sampler_says_the_epoch() -> None:
    sampler = EpochSampler(COUNT, 3)
    loader = BatchLoader(_Numbers(), sampler, 4)
    assert loader.sampler is sampler
    orders = []
    for epoch in (0, 1, 0):
        sampler.epoch = epoch
        orders.append([int(name) for batch in loader for name in batch["name"]])
        assert orders[-1] == [index for index, _ in sampler]
    assert orders[0] == orders[2] != orders[1]


def test_threads_of_a_loader_leave_the_others_their_cores() -> None:
    """torch counts its threads per thread: those that make batches take one each, training keeps its own."""
    before = torch.get_num_threads()
    used = []

    class Counting(_Numbers):
        def __getitems__(self, keys: Sequence[Key]) -> Sample:
            used.append(torch.get_num_threads())
            return super().__getitems__(keys)

    try:
        torch.set_num_threads(3)
        list(_loader(2, dataset=Counting()))
        assert set(used) == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("threads", THREADS)
def test_every_tensor_is_pinned_if_asked_for(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pinning itself needs a GPU; here it adds a thousand."""
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor.float() + 1000)
    dataset = _Numbers()
    (batch,) = BatchLoader(dataset, SequentialSampler(dataset), COUNT, threads=threads, pin_memory=True)
    assert batch["image"].tolist() == [1000.0 + number for number in range(COUNT)]
    assert batch["targets"]["depth_euclidean"].tolist() == [1100.0 + number for number in range(COUNT)]
    assert batch["masks"]["depth_euclidean"].tolist() == [1000.0, *[1001.0] * (COUNT - 1)]
    assert list(batch["name"]) == [str(number) for number in range(COUNT)]
