"""A network that learns from another one's predictions beside the data."""

from pathlib import Path

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, kl_divergence

from datasets import Loaders
from engine import checkpoint as files
from engine import run_experiment
from engine.saved_trial import load_trial
from engine.tracking import Tracker
from engine.trainer import fit_one_epoch, forward_losses
from settings.config import unused_keys
from tasks.objectives import imitation
from tasks.table import get_task
from tests.configs import make_config
from tests.equality import equal
from tests.small import make_trial, small_config
from utils.errors import UserError

CHANNELS = {"segmentsemantic": 40, "depth_euclidean": 1, "surface_normal": 3, "edge_texture": 1}
TASKS = (*CHANNELS, "class_male")


def logits_of(task: str, seed: int) -> torch.Tensor:
    """Random logits of two images."""
    shape = (2, CHANNELS[task], 5, 6) if task in CHANNELS else (2,)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("depth_target", ["relative", "metric"])
def test_only_another_prediction_costs_something(task: str, depth_target: str) -> None:
    own = logits_of(task, 0).requires_grad_()
    same = imitation(get_task(task), own, own.detach(), depth_target)
    assert float(same.detach()) == pytest.approx(0, abs=1e-6)
    (gradient,) = torch.autograd.grad(same, own)
    assert float(gradient.abs().max()) < 1e-6
    other = imitation(get_task(task), own, logits_of(task, 1), depth_target)
    assert float(other.detach()) > 0.01
    assert float(torch.autograd.grad(other, own)[0].abs().max()) > 1e-4


def test_classes_and_answers_are_compared_by_their_divergence() -> None:
    own, given = logits_of("segmentsemantic", 0), logits_of("segmentsemantic", 1)
    first, second = (Categorical(logits=values.movedim(1, -1)) for values in (given, own))
    expected = kl_divergence(first, second).mean()
    assert torch.allclose(imitation(get_task("segmentsemantic"), own, given, "relative"), expected)
    own, given = logits_of("class_male", 0), logits_of("class_male", 1)
    expected = kl_divergence(Bernoulli(logits=given), Bernoulli(logits=own)).mean()
    assert torch.allclose(imitation(get_task("class_male"), own, given, "relative"), expected)


@pytest.fixture
def teacher(rooms: Path, work: Path) -> Path:
    """The folder of a trial of one epoch."""
    config = small_config(rooms, work, Experiment_name="teacher", epochs=1)
    run_experiment(config, out_dir=work / "out")
    return config.trial_folder(0)


def test_a_tasks_loss_has_the_distance_from_the_other_network_by_its_weight(rooms: Path, work: Path, teacher: Path) -> None:
    config = small_config(rooms, work, seed=3)
    distill = {"from": str(teacher.parent / "teacher_trial_{trial}"), "weight": 2.5}
    plain, taught = make_trial(config), make_trial(config.with_values(distill=distill))
    for trial in (plain, taught):
        trial.model.eval()  # without dropout
    batch = next(iter(Loaders(config).training(3)))
    given, own = (network(batch["image"]) for network in (load_trial(teacher).model, taught.model))
    without = forward_losses(plain, batch).losses
    for task, loss in forward_losses(taught, batch).losses.items():
        distance = imitation(get_task(task), own[task], given[task], config.depth_target)
        assert float(loss.detach()) == pytest.approx(float((without[task] + 2.5 * distance).detach()), rel=1e-4)


def test_a_resumed_trial_goes_on_as_if_nothing_had_been(rooms: Path, work: Path, teacher: Path) -> None:
    ends = []
    for interrupted in (False, True):
        folder = str(work / f"runs{interrupted}")
        config = small_config(rooms, work, distill={"from": str(teacher)}, checkpoint_folder=folder)
        if interrupted:
            trial = make_trial(config)
            loaders = Loaders(trial.config)
            fit_one_epoch(trial, loaders.training(trial.seed), loaders.evaluation("val"), Tracker())
            config.save(trial.folder / files.CONFIG)
        run_experiment(config, resume=interrupted, out_dir=work / "out", overwrite=not interrupted)
        ends.append(files.load_tensors(config.trial_folder(0) / files.LAST)["model"])
    assert equal(*ends)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"distill": {"from": "nowhere"}}, "distill.from: nowhere: there is no such file"),
        (
            {"task_list": ["edge_texture"], "setup": "singletask"},
            "does not predict edge_texture; expected a trial of all tasks",
        ),
        ({"depth_target": "metric"}, "has depth_target 'relative', and this trial has 'metric'"),
    ],
)
def test_a_network_that_predicts_something_else_is_refused_before_anything_is_written(
    rooms: Path, work: Path, teacher: Path, values: dict[str, object], said: str
) -> None:
    config = small_config(rooms, work, **{"distill": {"from": str(teacher)}, **values})
    with pytest.raises(UserError, match=said):
        run_experiment(config, out_dir=work / "out")
    assert not config.trial_folder(0).exists()


def test_a_weight_without_a_network_is_named_as_unused() -> None:
    assert unused_keys(make_config(distill={"weight": 2})) == ["distill.weight (distill.from is not given)"]


def test_overwriting_the_network_that_a_trial_learns_from_is_refused(rooms: Path, work: Path, teacher: Path) -> None:
    config = small_config(rooms, work, Experiment_name="teacher", distill={"from": str(teacher)})
    with pytest.raises(UserError, match=r"distill.from: .*checkpoint.pt would be deleted by --overwrite"):
        run_experiment(config, out_dir=work / "out", overwrite=True)
    assert (teacher / files.BEST).is_file() and (teacher / files.TEST).is_file()
