"""Training on what is left of a network is the training of the whole one."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from datasets import train_loader
from datasets.sample import Sample
from engine.saved_trial import load_trial
from engine.trainer import train_one_epoch
from engine.trial import Trial
from models import compact
from settings.config import ExperimentConfig
from tests.configs import make_config

STEPS_PER_EPOCH = 10


class Batches(list[Sample]):
    """Batches that every epoch has in the same order."""


def config_for(rooms: Path, **values: Any) -> ExperimentConfig:
    """Six epochs with a ramp from the second to the fourth."""
    selecting = {"penalty": "group_l0", "saliency": "taylor", "learning_rate": 1e-3}
    params = {"bb_optimizer_params": selecting} if "bb_optimizer_params" not in values else {}
    sparse = {"group_sparsity": True, "target_sparsity": 0.8, "sparsity_threshold": 1, "sparsity_until": 3}
    sparse |= {"input_shape": 64, "output_stride": 8, "train_batch_size": 4, "optimizer_params": {"learning_rate": 1e-4}}
    return make_config(data_dir_NYU=rooms, **{"epochs": 5, **sparse, **params, **values})


@pytest.fixture
def batches(rooms: Path) -> Batches:
    """Some batches in float64."""
    config = config_for(rooms)

    def double(batch: Sample) -> Sample:
        return Sample(
            image=batch["image"].double(),
            targets={task: target.double() if target.is_floating_point() else target for task, target in batch["targets"].items()},
            masks=batch["masks"],
            name=batch["name"],
        )

    loader = train_loader(config, 0)
    made = [double(batch) for batch in loader]
    return Batches((made * STEPS_PER_EPOCH)[:STEPS_PER_EPOCH])


def trained(config: ExperimentConfig, batches: Batches, folder: Path, epochs: int = 5) -> Trial:
    """A trial in float64 after some epochs."""
    trial = Trial(config, 0, torch.device("cpu"), folder)
    trial.model.double()
    trial.weighting.double()
    train(trial, batches, epochs)
    return trial


def train(trial: Trial, batches: Batches, epochs: int) -> None:
    """Train until some epochs are done."""
    while trial.epoch < epochs:
        train_one_epoch(trial, batches)  # type: ignore[arg-type]
        trial.epoch += 1


def largest_difference(one: Trial, other: Trial) -> float:
    """Of their networks' weights; statistics of filters that are gone do not count."""
    one.gather()
    other.gather()
    pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
    return max(float((first - second).abs().max()) for first, second in pairs)


PENALTIES = {
    "group_l0": {"penalty": "group_l0", "saliency": "adam"},
    "taylor": {"penalty": "group_l0", "saliency": "taylor"},
    "l1_l2": {"penalty": "l1_l2"},
}


@pytest.mark.parametrize("penalty", PENALTIES)
def test_fifty_steps_are_those_of_the_whole_network(batches: Batches, rooms: Path, tmp_path: Path, penalty: str) -> None:
    params = {**PENALTIES[penalty], "learning_rate": 1e-4}
    whole, small = (
        trained(config_for(rooms, shrink=shrink, bb_optimizer_params=params), batches, tmp_path) for shrink in (False, True)
    )
    assert whole.shrunk is None
    assert small.shrunk is not None
    print(largest_difference(whole, small))
    assert torch.equal(*(torch.cat([w.flatten() for w in t.model.parameters()]) != 0 for t in (whole, small)))
    assert largest_difference(whole, small) < 1e-9
    macs = compact(small.model, image_size=small.config.size)[1].totals["model"]["macs_left"]
    assert small.train_macs == pytest.approx(macs, rel=0.01)
    assert small.train_macs < 0.4 * small.costs.dense
