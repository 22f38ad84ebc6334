"""The tasks' losses become one, as the configuration says."""

import math

import pytest
import torch

from engine.optimizer import build_optimizer
from engine.weighting import UncertaintyWeighting, build_weighting
from models import build_model
from tests.configs import NYU_TASKS, make_config

LOSSES = {"segmentsemantic": 3.0, "depth_euclidean": 0.5, "surface_normal": 1.0}


def losses() -> dict[str, torch.Tensor]:
    """Three scalar losses."""
    return {task: torch.tensor(value) for task, value in LOSSES.items()}


def test_sum_adds_the_losses() -> None:
    weighting = build_weighting(make_config(comb_loss="sum"))
    assert float(weighting(losses())) == 4.5
    assert weighting.weights() == dict.fromkeys(NYU_TASKS, 1.0)


def test_weighted_sum_uses_the_given_weights_scaled_to_one() -> None:
    given = {"segmentsemantic": 1, "depth_euclidean": 2, "surface_normal": 5}
    weighting = build_weighting(make_config(comb_loss="wt_sum", loss_weights=given))
    assert weighting.weights() == {"segmentsemantic": 0.125, "depth_euclidean": 0.25, "surface_normal": 0.625}
    assert float(weighting(losses())) == pytest.approx(3 / 8 + 0.5 / 4 + 5 / 8)
    assert not list(weighting.parameters())


@pytest.mark.parametrize("spelling", ["uncertainity", "uncertainty"])
def test_uncertainty_is_the_sum_of_exp_minus_s_times_the_loss_plus_s(spelling: str) -> None:
    weighting = build_weighting(make_config(comb_loss=spelling))
    assert isinstance(weighting, UncertaintyWeighting)
    assert all(float(s.detach()) == 1 for s in weighting.log_variances.values())
    with torch.no_grad():
        weighting.log_variances["segmentsemantic"].fill_(-0.5)
    expected = 3 * math.exp(0.5) - 0.5 + (0.5 + 1.0) * math.exp(-1) + 2
    assert float(weighting(losses()).detach()) == pytest.approx(expected, rel=1e-6)
    assert weighting.weights() == pytest.approx(
        {"segmentsemantic": math.exp(0.5), "depth_euclidean": math.exp(-1), "surface_normal": math.exp(-1)}
    )


@pytest.mark.parametrize("combination", ["sum", "wt_sum", "uncertainity"])
def test_a_stopped_task_leaves_the_sum(combination: str) -> None:
    given = {"loss_weights": dict.fromkeys(NYU_TASKS, 1)} if combination == "wt_sum" else {}
    weighting = build_weighting(make_config(comb_loss=combination, **given))
    left = {task: loss for task, loss in losses().items() if task != "segmentsemantic"}
    alone = sum(weighting({task: loss}) for task, loss in left.items())
    torch.testing.assert_close(weighting(left), alone)


def test_learned_weights_move_in_a_step_towards_their_optimum() -> None:
    """d/ds (exp(-s) L + s) = 0 at s = log L: a large loss raises its s, a small one lowers it."""
    config = make_config(comb_loss="uncertainity", loss_weight_lr=0.03)
    model, weighting = build_model(config), build_weighting(config)
    optimizer = build_optimizer(model, weighting, config)
    weighting({task: torch.tensor(value) for task, value in zip(NYU_TASKS, (20.0, 0.1, 1.0), strict=True)}).backward()
    optimizer.step()
    assert isinstance(weighting, UncertaintyWeighting)
    moved = [float(weighting.log_variances[task].detach()) - 1 for task in NYU_TASKS]
    # Adam's first step is the learning rate, its own: the heads' is 1e-4.
    assert moved == pytest.approx([0.03, -0.03, -0.03], rel=1e-3)
    for _ in range(400):
        optimizer.zero_grad()
        weighting(losses()).backward()
        optimizer.step()
    learned = {task: float(s.detach()) for task, s in weighting.log_variances.items()}
    assert learned == pytest.approx({task: math.log(value) for task, value in LOSSES.items()}, abs=0.05)


def test_fixed_weights_are_equal_where_none_are_given() -> None:
    weighting = build_weighting(make_config(task_list=list(NYU_TASKS), comb_loss="wt_sum"))
    assert weighting.weights() == pytest.approx(dict.fromkeys(NYU_TASKS, 1 / len(NYU_TASKS)))
