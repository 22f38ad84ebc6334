"""What all data sets share: the order of an epoch, the cache, and who is augmented."""

from pathlib import Path
from typing import Any

import pytest
import torch

from datasets.base import EpochSampler, MultiTaskDataset
from datasets.sample import Sample
from tests.configs import make_config
from tests.datasets.frames import DENSE, equal_samples, raw_sample


class _Frames(MultiTaskDataset):
    """Frames that are made and not read, and a record of which ones were asked for."""

    def __init__(self, training: bool, **values: Any) -> None:
        settings = {"task_list": list(DENSE), "input_shape": [20, 24], **values}
        super().__init__(make_config(**settings), [str(number) for number in range(5)], training)
        self.asked: list[str] = []

    def read(self, name: str) -> Sample:
        self.asked.append(name)
        sample = raw_sample(int(name), 24, 32)
        for part in (sample["targets"], sample["masks"]):
            del part["class_male"]
        return sample


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
        assert equal_samples(training[index], plain[index])
        assert equal_samples(evaluation[index, 123], plain[index])
    assert not all(equal_samples(training[index, 123], plain[index]) for index in range(5))
    assert equal_samples(training[2, 9], training[2, 9])


def test_without_augmentation_a_seed_changes_nothing() -> None:
    frames = _Frames(True)
    assert all(equal_samples(frames[index, seed], frames[index]) for index in range(5) for seed in (1, 2, 3))


def test_a_cached_data_set_gives_the_same_and_reads_each_frame_once() -> None:
    plain, cached = _Frames(True, **AUGMENTED), _Frames(True, cache=True, **AUGMENTED)
    for _ in range(2):
        for key in ((1, 11), (0, 12), (1, 13), 4):
            assert equal_samples(cached[key], plain[key])
    assert cached.asked == ["1", "0", "4"]
    assert len(plain.asked) == 8


def test_frames_have_the_input_size() -> None:
    sample = _Frames(True, **AUGMENTED)[0, 1]
    assert sample["image"].shape == (3, 20, 24)
    assert all(target.shape[-2:] == (20, 24) for target in sample["targets"].values())


def test_relative_depth_is_that_of_the_augmented_frame() -> None:
    frames = _Frames(True, **AUGMENTED)
    for seed in range(10):
        assert float(frames[0, seed]["targets"]["depth_euclidean"].max()) == 1


def test_a_data_set_that_cannot_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="MultiTaskDataset"):
        MultiTaskDataset(make_config(), ["a"], False)[0]
