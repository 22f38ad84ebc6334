"""Loaders: which frames come, in which order and in which batches."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from datasets import eval_loader, train_loader
from datasets.batch_loader import BatchLoader
from datasets.sample import Sample
from settings.config import ExperimentConfig
from tests.configs import make_config
from tests.datasets.frames import write_nyu
from tests.equality import equal
from utils.errors import DataError

AUGMENTED = {"augmentation": {"hflip": True, "scale_crop": [1.0, 1.4]}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven training, three validation and two test frames."""
    root = tmp_path_factory.mktemp("nyu")
    write_nyu(root, size=(24, 32))
    return root


def _config(root: Path, **values: Any) -> ExperimentConfig:
    return make_config(**{"data_dir_NYU": root, "input_shape": [16, 24], "train_batch_size": 3, **values})


def _epoch(loader: Any, epoch: int) -> list[Sample]:
    loader.sampler.epoch = epoch
    return list(loader)


def _names(batches: Any) -> list[list[str]]:
    return [list(batch["name"]) for batch in batches]


def test_training_drops_the_last_incomplete_batch_and_over_the_epochs_every_frame_is_trained_on(root: Path) -> None:
    loader = train_loader(_config(root), seed=0)
    epochs = [_names(_epoch(loader, epoch)) for epoch in range(8)]
    assert all([len(batch) for batch in batches] == [3, 3] for batches in epochs)
    assert all(len({name for batch in batches for name in batch}) == 6 for batches in epochs)
    assert {name for batches in epochs for batch in batches for name in batch} == {f"a{number}" for number in range(7)}


def test_an_epoch_of_steps_of_two_batches_has_the_frames_of_batches_twice_as_large(root: Path) -> None:
    config = _config(root, train_batch_size=2, accumulate=2)
    small, large = train_loader(config, seed=0), train_loader(_config(root, train_batch_size=4), seed=0)
    assert (len(small), len(large)) == (2, 1), "batches that make no whole step are dropped"
    for epoch in range(3):
        (first, second), (both,) = _names(_epoch(small, epoch)), _names(_epoch(large, epoch))
        assert first + second == both
    with pytest.raises(
        DataError, match=r"^train_batch_size: 2 times accumulate: 4 is more than the 7 frames of the training split$"
    ):
        train_loader(_config(root, train_batch_size=2, accumulate=4), seed=0)


def test_evaluation_gives_every_frame_once_in_order_and_drops_none(root: Path) -> None:
    config = _config(root, val_batch_size=2, test_batch_size=5)
    assert _names(eval_loader(config, "val")) == [["b0", "b1"], ["b2"]]
    assert _names(eval_loader(config, "test")) == [["c0", "c1"]]
    assert _names(eval_loader(config, "train")) == [["a0", "a1"], ["a2", "a3"], ["a4", "a5"], ["a6"]]


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough of them for two loading processes."""
    monkeypatch.setattr("datasets.workers.cores", lambda: 4)


def _same(batches: list[Sample], expected: list[Sample]) -> bool:
    return len(batches) == len(expected) > 0 and all(map(equal, batches, expected))


@pytest.mark.parametrize("workers", [2])
@pytest.mark.parametrize("where", ["cache", "no cache"])
def test_workers_do_not_change_what_is_trained_on(where: str, workers: int, root: Path, tmp_path: Path, cores: None) -> None:
    """Processes without a cache, threads with it; the same to the last bit, epoch by epoch, however an epoch ends."""
    values = {**AUGMENTED, "cache": str(tmp_path) if where == "cache" else False}
    reference = train_loader(_config(root, **values), seed=1)
    expected = [_epoch(reference, epoch) for epoch in range(3)]
    assert not _same(expected[0], expected[1])
    loader = train_loader(_config(root, **values, num_workers=workers), seed=1)
    assert isinstance(loader, BatchLoader if where == "cache" else DataLoader)
    assert len(loader) == len(reference) == 2
    assert _same(_epoch(loader, 0), expected[0])
    loader.sampler.epoch = 1  # type: ignore[union-attr]
    for batch in loader:
        assert equal(batch, expected[1][0])
        break  # left early, and begun again
    assert _same(_epoch(loader, 1), expected[1])
    assert _same(_epoch(loader, 2), expected[2])
    assert _same(_epoch(loader, 0), expected[0])
    assert _same(_epoch(train_loader(_config(root, **values, num_workers=workers), seed=1), 2), expected[2]), "as if resumed"


@pytest.mark.parametrize("workers", [2])
@pytest.mark.parametrize("where", ["cache", "no cache"])
def test_evaluation_does_not_depend_on_workers(where: str, workers: int, root: Path, tmp_path: Path, cores: None) -> None:
    cache = str(tmp_path) if where == "cache" else False
    expected = list(eval_loader(_config(root, cache=cache), "train"))
    loader = eval_loader(_config(root, cache=cache, num_workers=workers), "train")
    for _ in range(2):
        assert _same(list(loader), expected)
    assert _names(expected) == [["a0", "a1"], ["a2", "a3"], ["a4", "a5"], ["a6"]]


@pytest.mark.parametrize("workers", [0, 2])
def test_after_an_error_in_a_batch_the_next_epoch_is_whole(workers: int, tmp_path: Path, cores: None) -> None:
    write_nyu(tmp_path, size=(24, 32))
    config = _config(tmp_path, num_workers=workers)
    expected = list(eval_loader(config, "train"))
    loader = eval_loader(config, "train")
    image = tmp_path / "images/a3.jpg"
    content = image.read_bytes()
    for _ in range(2):
        image.write_bytes(content[:200])
        seen = []
        with pytest.raises(DataError, match=r"a3\.jpg cannot be read"):
            for batch in loader:
                seen.append(batch)
        assert _same(seen, expected[:1])
        image.write_bytes(content)
        assert _same(list(loader), expected)


def test_augmentation_acts_in_training_only_and_changes_with_the_epoch(root: Path) -> None:
    augmented, plain = _config(root, **AUGMENTED), _config(root)
    assert _same(list(eval_loader(augmented, "train")), list(eval_loader(plain, "train")))
    for epoch in range(2):
        batches = [_epoch(train_loader(config, seed=1), epoch) for config in (augmented, plain)]
        assert _names(batches[0]) == _names(batches[1]) and not _same(*batches)


def test_too_few_frames_for_one_batch_is_an_error_with_the_key(root: Path) -> None:
    with pytest.raises(DataError, match=r"^train_batch_size: 8 is more than the 7 frames of the training split$"):
        train_loader(_config(root, train_batch_size=8), seed=0)
    assert len(train_loader(_config(root, train_batch_size=7), seed=0)) == 1


def test_processes_share_each_batch_and_each_split_in_parts_of_any_size(root: Path) -> None:
    config = _config(root, train_batch_size=5, augmentation={"hflip": True})
    whole = _epoch(train_loader(config, seed=0), 1)
    parts = [_epoch(train_loader(config, seed=0, part=(number, 3)), 1) for number in range(3)]
    assert [len(batch["name"]) for (batch,) in parts] == [1, 2, 2]
    assert equal(whole[0]["image"], torch.cat([batch["image"] for (batch,) in parts])), "augmented alike"
    for count in (2, 5):  # more processes than the three frames of the split
        batches = [batch for number in range(count) for batch in eval_loader(config, "val", part=(number, count))]
        names = [name for batch in (batches, eval_loader(config, "val")) for part in _names(batch) for name in part]
        assert names[:3] == names[3:]
