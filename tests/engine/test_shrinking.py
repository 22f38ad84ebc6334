"""Training on what is left of a network is the training of the whole one."""

from pathlib import Path
from typing import Any

import pytest
import torch

from datasets import train_loader
from datasets.sample import Sample
from engine import checkpoint as files
from engine.sparsity_numbers import sparsity_numbers
from engine.trainer import train_one_epoch
from engine.trial import Trial
from models import build_model, compact, plan_removal
from optim import sparsity_report
from optim.groups import live_groups
from settings.config import ExperimentConfig
from tests.configs import CELEBA_TASKS, make_config
from tests.equality import equal

STEPS_PER_EPOCH = 3


class Batches(list[Sample]):
    """Batches that every epoch has in the same order."""


def config_for(rooms: Path, **values: Any) -> ExperimentConfig:
    """Five epochs, with a ramp in the second and the third."""
    selecting = {"penalty": "group_l0", "saliency": "taylor", "learning_rate": 1e-4}
    params = {"bb_optimizer_params": selecting} if "bb_optimizer_params" not in values else {}
    sparse = {"group_sparsity": True, "target_sparsity": 0.8, "sparsity_threshold": 1, "sparsity_until": 3}
    sparse |= {"output_stride": 8, "train_batch_size": 4, "optimizer_params": {"learning_rate": 1e-4}}
    folder = "data_dir_celebA" if values.get("dataset_name") == "celebA" else "data_dir_NYU"
    return make_config(**{folder: rooms, "epochs": 5, **sparse, **params, **values})


@pytest.fixture
def batches(rooms: Path) -> Batches:
    """Some batches in float64."""
    return batches_of(config_for(rooms))


def batches_of(config: ExperimentConfig) -> Batches:
    """Some batches of an experiment in float64."""

    def double(batch: Sample) -> Sample:
        return Sample(
            image=batch["image"].double(),
            targets={
                task: target.double() if target.is_floating_point() else target for task, target in batch["targets"].items()
            },
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


def interrupted(config: ExperimentConfig, batches: Batches, folder: Path, epochs: int) -> tuple[Trial, Trial]:
    """A training that goes on after some epochs, and one that is resumed there from its saved state."""
    straight = trained(config, batches, folder, epochs)
    files.save_tensors(folder / "state.pt", straight.state_dict(None))
    train(straight, batches, config.epochs)
    resumed = trained(config, batches, folder, epochs=0)
    resumed.load_state_dict(files.load_tensors(folder / "state.pt"))
    train(resumed, batches, config.epochs)
    return straight, resumed


def largest_difference(trial: Trial, other: Trial) -> float:
    """Compare their networks' weights; statistics of filters that are gone do not count."""
    trial.gather()
    other.gather()
    pairs = zip(trial.model.parameters(), other.model.parameters(), strict=True)
    return max(float((first - second).detach().abs().max()) for first, second in pairs)


PENALTIES = {
    "group_l0": {"penalty": "group_l0", "saliency": "adam"},
    "taylor": {"penalty": "group_l0", "saliency": "taylor"},
    "l1_l2": {"penalty": "l1_l2"},
}


@pytest.mark.parametrize("penalty", PENALTIES)
def test_fifty_steps_are_those_of_the_whole_network(batches: Batches, rooms: Path, tmp_path: Path, penalty: str) -> None:
    params, more = {**PENALTIES[penalty], "learning_rate": 1e-4}, Batches(4 * batches)
    assert 5 * len(more) >= 50
    whole, small = (
        trained(config_for(rooms, shrink=shrink, bb_optimizer_params=params), more, tmp_path) for shrink in (False, None)
    )
    assert whole.shrunk is None
    assert small.shrunk is not None
    assert largest_difference(whole, small) < 1e-9
    assert torch.equal(*(torch.cat([w.flatten() for w in trial.model.parameters()]) != 0 for trial in (whole, small)))
    report = compact(small.model, image_size=small.config.size)[1]
    assert small.train_macs == pytest.approx(report.totals["model"]["macs_left"], rel=0.01)
    assert small.train_macs < 0.5 * small.costs.dense
    assert sum(layer.zero_groups for layer in report.layers if not layer.part.startswith("heads")) == round(
        0.8 * sum(layer.groups for layer in report.layers if not layer.part.startswith("heads"))
    )


def test_groups_that_may_come_back_stay_until_they_are_fixed(batches: Batches, rooms: Path, tmp_path: Path) -> None:
    lasso = config_for(rooms, bb_optimizer_params={"penalty": "l1_l2", "learning_rate": 1e-4})
    trial = trained(lasso, batches, tmp_path, epochs=3)
    assert trial.shrunk is None
    train(trial, batches, 4)
    assert trial.shrunk is not None


def test_heads_whose_groups_may_come_back_keep_all_features(batches: Batches, rooms: Path, tmp_path: Path) -> None:
    heads = {"lambda": 2e-3, "learning_rate": 1e-4}
    lasso = {"penalty": "l1_l2", "learning_rate": 1e-4}
    config = config_for(rooms, sparsify="backbone_and_heads", optimizer_params=heads, bb_optimizer_params=lasso)
    whole = trained(config.with_values(shrink=False), batches, tmp_path)
    trial = trained(config, batches, tmp_path, epochs=3)
    assert trial.shrunk is None
    train(trial, batches, 5)
    assert trial.shrunk is not None
    assert largest_difference(whole, trial) < 1e-9


def test_a_group_whose_last_weights_go_with_a_filter_stays_zero(
    batches: Batches, rooms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.shrinking.REBUILDING", 0.0)
    params, trials = {"penalty": "sparse_group_lasso", "learning_rate": 1e-4}, []
    for shrink in (False, True):
        trial = trained(config_for(rooms, shrink=shrink, bb_optimizer_params=params), batches, tmp_path, epochs=0)
        trial.epoch = 3
        first, second = (trial.model.get_parameter(f"backbone.layer1.0.conv{number}.weight") for number in (1, 2))
        with torch.no_grad():
            second[:, 0] = 0.0  # nobody reads filter 0 of the first one
            first[1:, 2] = 0.0  # all others ignore channel 2
        train(trial, batches, 4)
        trial.gather()
        assert live_groups(first.detach())[1:4].tolist() == [True, False, True]
        trials.append(trial)
    assert trials[1].shrunk is not None
    assert largest_difference(*trials) < 1e-9


def features_of_readers(trial: Trial) -> torch.Tensor:
    """(readers, features) bool: which features each convolution of a head reads."""
    return torch.stack([live_groups(conv.weight.detach()) for _, conv in trial.model.feature_readers()])


@pytest.mark.parametrize("saliency", ["adam", "taylor"])
def test_features_that_die_for_all_heads_are_gone_from_the_ramp_on(
    batches: Batches, rooms: Path, tmp_path: Path, saliency: str
) -> None:
    params = {"penalty": "group_l0", "saliency": saliency, "learning_rate": 1e-4}
    config = config_for(rooms, sparsify="backbone_and_heads", bb_optimizer_params=params)
    whole = trained(config.with_values(shrink=False), batches, tmp_path)
    trial = trained(config, batches, tmp_path, epochs=3)
    assert trial.shrunk is not None, "in the ramp already"
    during = trial.train_macs
    train(trial, batches, 5)
    assert largest_difference(whole, trial) < 1e-9
    read = features_of_readers(trial)
    assert torch.equal(read, features_of_readers(whole))
    assert bool((read == read[0]).all())
    assert 0 < int(read[0].sum()) < read.shape[1]
    # The share is one of the backbone's groups and the features together, exactly.
    numbers, report = sparsity_numbers(trial.model, config), sparsity_report(trial.model)
    groups = report.groups + read.shape[1]
    assert report.zero_groups + int((~read[0]).sum()) == round(0.8 * groups)
    assert numbers["joint_group_sparsity"] == 100 * round(0.8 * groups) / groups
    assert numbers["head_group_sparsity"] == numbers["unread_features"] == 100 * float((~read[0]).double().mean())
    small, compaction = compact(trial.model, image_size=config.size)
    assert trial.train_macs == pytest.approx(compaction.totals["model"]["macs_left"], rel=0.01)
    assert trial.train_macs < during < trial.costs.dense
    assert len(small.read_features()) == int(read[0].sum())
    readers = [layer for layer in compaction.layers if layer.part.startswith("heads")]
    assert {layer.macs_left * read.shape[1] for layer in readers if layer.macs == readers[0].macs} == {
        readers[0].macs * int(read[0].sum())
    }
    for name, conv in trial.network.feature_readers():
        assert conv.weight.shape[1] < read.shape[1], name


def test_heads_for_maps_and_for_attributes_share_features(faces: Path, tmp_path: Path) -> None:
    config = config_for(faces, sparsify="backbone_and_heads", dataset_name="celebA")
    batches = batches_of(config)
    whole, trial = (trained(config.with_values(shrink=shrink), batches, tmp_path) for shrink in (False, None))
    read = features_of_readers(trial)
    assert {name.split(".")[0] for name, _ in trial.model.feature_readers()} == set(CELEBA_TASKS)
    assert bool((read == read[0]).all())
    assert 0 < int(read[0].sum()) < read.shape[1]
    assert trial.shrunk is not None
    assert largest_difference(whole, trial) < 1e-9


def test_features_that_a_stopped_head_reads_stay(batches: Batches, rooms: Path, tmp_path: Path) -> None:
    trials = []
    for shrink in (False, None):
        config = config_for(rooms, shrink=shrink, sparsify="backbone_and_heads", target_sparsity=0.9, keep_layers=0.01)
        trials.append(trained(config, batches, tmp_path, epochs=2))
        trials[-1].gather()
        before = features_of_readers(trials[-1])
        trials[-1].freeze_head("surface_normal")
        train(trials[-1], batches, 5)
        assert torch.equal(features_of_readers(trials[-1]), before)
        assert int(before[0].sum()) > 0
        expected = round(0.9 * (sparsity_report(trials[-1].model).groups + before.shape[1]))
        zeros = sparsity_report(trials[-1].model).zero_groups + int((~before[0]).sum())
        assert zeros == expected, "the backbone's groups die in their place"
    assert largest_difference(*trials) < 1e-9


def test_a_task_may_stop_on_the_way(batches: Batches, rooms: Path, tmp_path: Path) -> None:
    trials = []
    for shrink in (False, None):
        trials.append(trained(config_for(rooms, shrink=shrink), batches, tmp_path, epochs=3))
        trials[-1].freeze_head("surface_normal")
        train(trials[-1], batches, 5)
    assert largest_difference(*trials) < 1e-9
    assert trials[1].network.frozen == {"surface_normal"}


@pytest.mark.parametrize(("epochs", "sparsify"), [(2, "backbone_and_heads"), (3, "backbone"), (4, "backbone_and_heads")])
def test_a_resumed_training_is_the_same_to_the_bit(
    batches: Batches, rooms: Path, tmp_path: Path, epochs: int, sparsify: str
) -> None:
    config = config_for(rooms, lr_schedule={"name": "cosine"}, sparsify=sparsify)
    straight, resumed = interrupted(config, batches, tmp_path, epochs)
    assert resumed.shrunk is not None
    assert equal(resumed.state_dict(None), straight.state_dict(None))


def test_the_checkpoint_is_that_of_the_whole_network(batches: Batches, rooms: Path, tmp_path: Path) -> None:
    trial = trained(config_for(rooms), batches, tmp_path)
    network = build_model(trial.config).double()
    network.load_state_dict(trial.best_state(None)["model"])
    images = batches[0]["image"]
    expected = trial.network.eval()(images)
    for task, logits in network.eval()(images).items():
        torch.testing.assert_close(logits, expected[task], rtol=1e-9, atol=1e-9)


def test_what_saves_less_time_than_it_costs_is_left_alone(
    batches: Batches, rooms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.shrinking.REBUILDING", 1e9)
    trial = trained(config_for(rooms), batches, tmp_path)
    assert trial.shrunk is None
    maps = plan_removal(trial.model).maps(trial.model)
    unread = [parameter[maps[name].mask(parameter) == 0] for name, parameter in trial.model.named_parameters()]
    assert sum(map(len, unread)) > 0
    assert not any(bool(weights.any()) for weights in unread)
