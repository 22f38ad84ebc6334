"""All data sets share the order of an epoch, batches, and augmentation."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from datasets.base import EpochSampler, MultiTaskDataset
from datasets.sample import Sample, stack
from tests.configs import make_config
from tests.datasets.frames import DENSE, raw_sample
from tests.equality import equal


class _Frames(MultiTaskDataset):
    """Frames that are made and not read, and a record of which ones were asked for."""

    def __init__(self, training: bool, **values: Any) -> None:
        settings = {"task_list": list(DENSE), "input_shape": [20, 24], **values}
        super().__init__(make_config(**settings), [str(number) for number in range(5)], training, {})
        self.asked: list[str] = []

    def read(self, name: str) -> Sample:
        self.asked.append(name)
        sample = raw_sample(int(name), 24, 32)
        for part in (sample["targets"], sample["masks"]):
            for task in part.keys() - self.tasks.keys():
                del part[task]
        return sample


class _Kept:
    """Raw samples in memory, and a record of which ones were asked for."""

    def __init__(self, dataset: _Frames) -> None:
        self.samples = [dataset.load(index) for index in range(len(dataset))]
        self.asked: list[int] = []

    def batch(self, indices: Sequence[int]) -> Sample:
        self.asked += indices
        return stack([self.samples[index] for index in indices])


def _order(sampler: EpochSampler, epoch: int) -> list[tuple[int, int]]:
    sampler.epoch = epoch
    return list(sampler)


def test_an_epoch_visits_every_frame_once_in_its_own_order() -> None:
    sampler = EpochSampler(50, seed=3)
    orders = [[index for index, _ in _order(sampler, epoch)] for epoch in range(3)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != list(range(50))
    assert len(sampler) == 50


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    sampler = EpochSampler(50, seed=3)
    torch.manual_seed(0)
    expected = _order(sampler, 7)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert list(sampler) == expected  # asked twice
    _order(sampler, 2)
    assert _order(sampler, 7) == expected  # other epochs between
    assert _order(EpochSampler(50, seed=3), 7) == expected  # as after a restart
    assert _order(EpochSampler(50, seed=4), 7) != expected
    assert torch.equal(torch.get_rng_state(), state)


def test_augmentation_seeds_differ_between_frames_and_epochs() -> None:
    sampler = EpochSampler(50, seed=0)
    first, second = (dict(_order(sampler, epoch)) for epoch in range(2))
    assert len(set(first.values()) | set(second.values())) == 100


AUGMENTED = {"augmentation": {"hflip": True, "scale_crop": [1.0, 1.5]}}


def test_only_training_frames_with_a_seed_are_augmented() -> None:
    training, evaluation = _Frames(True, **AUGMENTED), _Frames(False, **AUGMENTED)
    plain = [evaluation[index] for index in range(5)]
    for index in range(5):
        assert equal(training[index], plain[index])
        assert equal(evaluation[index, 123], plain[index])
    assert not all(equal(training[index, 123], plain[index]) for index in range(5))
    assert equal(training[2, 9], training[2, 9])


def test_without_augmentation_a_seed_changes_nothing() -> None:
    frames = _Frames(True)
    assert all(equal(frames[index, seed], frames[index]) for index in range(5) for seed in (1, 2, 3))


KEYS = [(1, 11), (0, 12), (1, 13), 4, (3, 14)]


@pytest.mark.parametrize("values", [{}, AUGMENTED, {"augmentation": {"hflip": True}}, {"depth_target": "metric"}], ids=str)
def test_kept_frames_give_the_same_samples_and_batches_and_are_not_read(values: dict[str, Any]) -> None:
    plain, kept = _Frames(True, **values), _Frames(True, **values)
    kept.kept = frames = _Kept(_Frames(True, **values))
    for _ in range(2):  # what is kept does not change
        for key in KEYS:
            assert equal(kept[key], plain[key])
        assert equal(kept.__getitems__(KEYS), plain.__getitems__(KEYS))
    assert frames.asked == [1, 0, 1, 4, 3] * 4
    assert not kept.asked
    assert len(plain.asked) == 20


@pytest.mark.parametrize("keep", [False, True])
def test_a_batch_is_its_finished_samples_stacked(keep: bool) -> None:
    """Relative depth too: each frame is divided by its own largest."""
    frames = _Frames(True, **AUGMENTED)
    frames.kept = _Kept(_Frames(True, **AUGMENTED)) if keep else None
    assert equal(frames.__getitems__(KEYS), stack([frames[key] for key in KEYS]))


def test_fewer_tasks_of_kept_frames_are_read_from_their_files() -> None:
    frames = _Frames(False)
    frames.kept = _Kept(_Frames(False))
    other = frames.only(["depth_euclidean"])
    other.load(2)
    assert frames.asked == ["2"]
    assert (tuple(other.tasks), tuple(frames.tasks)) == (("depth_euclidean",), DENSE)
    assert other.kept is None
    assert frames.kept is not None


def test_dropped_frames_are_gone_and_listed_in_the_order_of_the_frames() -> None:
    frames = _Frames(False)
    frames.drop({"3": "why", "1": "so", "9": "not one of these"})
    assert frames.names == ["0", "2", "4"]
    assert list(frames.skipped.items()) == [("1", "so"), ("3", "why")]
    assert len(frames) == 3
    frames.drop({"4": "late"})
    assert frames.skipped == {"1": "so", "3": "why", "4": "late"}
    assert frames[1]["name"] == "2"


def test_relative_depth_is_that_of_the_augmented_frame() -> None:
    frames = _Frames(True, **AUGMENTED)
    for seed in range(10):
        assert float(frames[0, seed]["targets"]["depth_euclidean"].max()) == 1
