"""One training in several processes: its numbers are those of one process with the same batches."""

import copy
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import nn

from datasets import Loaders
from datasets.loaders import share
from datasets.sample import Sample, finish
from datasets.synthetic.rooms import write_rooms
from engine import checkpoint as files
from engine.distributed import RankError, ranks
from engine.evaluation import evaluate
from engine.tracking import Tracker
from engine.trainer import fit_one_epoch, training_step
from settings.config import ExperimentConfig
from tasks.table import Task
from tests.ranks import results
from tests.small import SIZE, make_trial, narrow_resnetd, small_config, unlabelled

FRAMES = {"train": 71, "val": 5, "test": 4}
BATCH_NORM = nn.BatchNorm2d.forward
TIMES = ("images_per_second", "train_seconds", "data_seconds", "validation_seconds")

NONLINEAR: dict[str, Any] = {"comb_loss": "uncertainty", "seg_loss_fn": "Tversky"}
DENSE: dict[str, Any] = {**NONLINEAR, "epochs": 2}
SPARSE: dict[str, Any] = {
    **NONLINEAR,
    "epochs": 4,
    "group_sparsity": True,
    "target_sparsity": 0.5,
    "sparsity_until": 2,
    "accumulate": 2,
    "augmentation": {"hflip": True, "scale_crop": [1.0, 1.5]},
}


@pytest.fixture(scope="module")
def rooms_in_part(scratch: Path) -> Path:
    """Return rooms of which few training frames, and one validation frame, have a depth."""
    write_rooms(scratch / "many", FRAMES, SIZE)
    return unlabelled(scratch / "many", scratch / "in_part", ["depth_euclidean"], train=25, val=1)


def ghost_batch_norm(self: nn.BatchNorm2d, parts: int, x: torch.Tensor) -> torch.Tensor:
    """Normalise each part of a batch alone."""
    if not self.training:
        return BATCH_NORM(self, x)
    places = [share(len(x), (number, parts)) for number in range(parts)]
    others = copy.deepcopy(self)
    others.weight, others.bias = self.weight, self.bias
    return torch.cat([BATCH_NORM(others if place.start else self, x[place.start : place.stop]) for place in places])


def in_float64(sample: Sample, tasks: Mapping[str, Task], depth_target: str) -> Sample:
    """Finish a batch, and let all its numbers have one type."""
    batch = finish(sample, tasks, depth_target)
    batch["targets"] = {
        task: target.double() if target.is_floating_point() else target for task, target in batch["targets"].items()
    }
    return batch


def compute_in_float64() -> None:
    """Let this process compute in float64, and without dropout."""
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    nn.Dropout.forward = lambda self, x: x  # type: ignore[method-assign]


def train(config: ExperimentConfig, ghosts: int = 1) -> dict[str, Any]:
    """Train in float64 and without dropout; return the lines of the epochs, the network, and its test.

    Args:
        config: of the training.
        ghosts: parts of each batch that batch norm sees one by one, the first of which moves its running statistics.
    """
    compute_in_float64()
    if ghosts > 1:
        nn.BatchNorm2d.forward = lambda self, x: ghost_batch_norm(self, ghosts, x)  # type: ignore[method-assign]
    with (
        narrow_resnetd(),
        mock.patch("engine.shrinking.REBUILDING", 0.0),
        mock.patch("datasets.base.finish", in_float64),
    ):
        trial = make_trial(config)
        loaders = Loaders(config, part=ranks().part)
        training, validation = loaders.training(trial.seed), loaders.evaluation("val")
        lines = [fit_one_epoch(trial, training, validation, Tracker())[0] for _ in range(config.epochs)]
        tested = evaluate(trial.model, loaders.evaluation("test"), trial.losses, config, trial.device)
    return {
        "lines": [{name: value for name, value in line.items() if name not in TIMES} for line in lines],
        "model": trial.model.state_dict(),
        "weighting": trial.weighting.state_dict(),
        "test": {**tested.flat(), **{f"loss/{task}": value for task, value in tested.losses.items()}},
        "shrunk": trial.shrunk is not None,
    }


def gradients(config: ExperimentConfig) -> dict[str, Any]:
    """Return the gradients of the first step, by parameter."""
    compute_in_float64()
    with narrow_resnetd(), mock.patch("datasets.base.finish", in_float64):
        trial = make_trial(config)
        batches = itertools.islice(iter(Loaders(config, part=ranks().part).training(0)), config.accumulate)
        named = {**dict(trial.network.named_parameters()), **dict(trial.weighting.named_parameters())}
        taken: dict[str, Any] = {}
        trial.optimizer.register_step_pre_hook(
            lambda *_: taken.update({name: None if value.grad is None else value.grad.clone() for name, value in named.items()})
        )
        training_step(trial, list(batches), 0.0, 1.0)
    return taken


def untrained_metrics(config: ExperimentConfig) -> dict[str, float]:
    """Return the metrics of a network that has learned nothing."""
    with narrow_resnetd():
        trial = make_trial(config)
        loader = Loaders(config, part=ranks().part).evaluation("test")
        return evaluate(trial.model, loader, trial.losses, config, trial.device).flat()


def check_close(ours: Any, theirs: Any, where: str = "") -> None:
    """Numbers in nested containers differ by rounding only."""
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), where
        for name in ours:
            check_close(ours[name], theirs[name], f"{where} {name}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs)
        for number, pair in enumerate(zip(ours, theirs, strict=True)):
            check_close(*pair, f"{where} {number}")
    elif isinstance(ours, torch.Tensor):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9, msg=lambda text: f"{where}: {text}")
    elif isinstance(ours, float) and isinstance(theirs, float):
        assert math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(ours) and math.isnan(theirs)), where
    else:
        assert ours == theirs, where


@pytest.mark.slow
@pytest.mark.parametrize(("size", "values"), [(2, DENSE), (3, SPARSE)], ids=["dense", "sparse"])
def test_several_processes_with_a_batch_norm_in_common_are_one(
    rooms_in_part: Path, work: Path, size: int, values: dict[str, Any]
) -> None:
    """Parts of a batch of 7 have different sizes, and some have no label of a task."""
    config = small_config(rooms_in_part, work, backbone="resnetd18", train_batch_size=7, batch_norm="sync", **values)
    (alone,) = results(work / "alone", 1, train, config)
    for rank in results(work / "together", size, train, config):
        check_close(rank, alone)
    assert alone["lines"][-1]["step"] == 20 and alone["shrunk"] == ("target_sparsity" in values)


@pytest.mark.slow
def test_gradients_are_those_of_the_whole_batch(rooms_in_part: Path, work: Path) -> None:
    """AdamW would hide a factor: a loss weight's gradient that counts three times, for example."""
    values = {"backbone": "resnetd18", "train_batch_size": 7, "batch_norm": "sync", "accumulate": 2, **NONLINEAR}
    with narrow_resnetd():
        teacher = make_trial(small_config(rooms_in_part, work / "teacher", **values))
        files.save_tensors(teacher.folder / files.BEST, teacher.best_state(None))
    config = small_config(
        rooms_in_part, work, distill={"from": str(teacher.folder / files.BEST), "weight": 2.0}, seed=1, **values
    )
    (alone,) = results(work / "alone", 1, gradients, config)
    assert {"log_variances.depth_euclidean", "backbone.layer1.0.conv1.weight"} <= alone.keys()
    for rank in results(work / "together", 3, gradients, config):
        check_close(rank, alone)


@pytest.mark.slow
def test_metrics_of_attributes_are_those_of_one_process(faces: Path, work: Path) -> None:
    config = small_config(faces, work, dataset_name="celebA", data_dir_celebA=faces, backbone="resnetd18", test_batch_size=1)
    (alone,) = results(work / "alone", 1, untrained_metrics, config)
    for rank in results(work / "together", 3, untrained_metrics, config):
        assert rank == pytest.approx(alone, nan_ok=True, rel=1e-6)


@pytest.mark.slow
def test_several_processes_are_one_whose_batch_norm_sees_each_part_alone(rooms_in_part: Path, work: Path) -> None:
    config = small_config(rooms_in_part, work, backbone="resnetd18", train_batch_size=7, **DENSE)
    (alone,) = results(work / "alone", 1, train, config, 2)
    for rank in results(work / "together", 2, train, config):
        check_close(rank, alone)


def compare_weights() -> str:
    """Compare weights that are the same, and then weights that are not."""
    rank = ranks().rank
    ranks().check_equal([torch.ones(3), torch.zeros(2)], "after epoch 1")
    try:
        ranks().check_equal([torch.ones(3), torch.full((2,), 1e-9 * (rank == 1))], "after epoch 2")
    except (RankError, SystemExit) as error:
        return str(error)
    return ""


@pytest.mark.slow
def test_weights_that_differ_in_the_last_bit_are_one_sentence(work: Path) -> None:
    said = results(work / "differ", 2, compare_weights)
    assert said[0].startswith("rank 1: has other weights than rank 0 after epoch 2, ") and said[1] == "1"
