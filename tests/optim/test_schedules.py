"""The penalty's strength over the epochs: given, or found for a wanted sparsity."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from optim import (
    BudgetController,
    GroupL0,
    GroupLasso,
    GroupMCP,
    LambdaSchedule,
    Penalty,
    ProxAdam,
    SparseGroupLasso,
    SparsityController,
    TwoControls,
    strength_of,
)
from optim.groups import OUTPUT_CHANNELS, live_groups
from optim.selection import Count


def test_strength_is_zero_before_its_first_epoch_and_full_from_it_on() -> None:
    schedule = LambdaSchedule(1e-3, start=2)
    assert [schedule.at(epoch) for epoch in range(4)] == [0, 0, 1e-3, 1e-3]
    assert [schedule.is_full(epoch) for epoch in range(4)] == [False, False, True, True]
    assert LambdaSchedule(0.0, start=2).is_full(0), "of a dense run"


def test_a_warmup_rises_from_zero_on_a_straight_line() -> None:
    schedule = LambdaSchedule(1e-3, start=2, warmup=4)
    assert [schedule.at(epoch) for epoch in (0, 1.9, 2, 3, 4.5, 6, 100)] == pytest.approx(
        [0, 0, 0, 0.25e-3, 0.625e-3, 1e-3, 1e-3]
    )
    assert not schedule.is_full(5)
    assert schedule.is_full(6)


def test_points_are_joined_by_straight_lines_and_two_of_one_epoch_are_a_jump() -> None:
    schedule = LambdaSchedule([(2, 1e-4), (4, 3e-4), (4, 1e-3), (6, 0.0)])
    assert [schedule.at(epoch) for epoch in (0, 2, 3, 3.999999, 4, 5, 6, 9)] == pytest.approx(
        [1e-4, 1e-4, 2e-4, 3e-4, 1e-3, 5e-4, 0, 0], rel=1e-5
    )
    assert not schedule.is_full(5)
    assert schedule.is_full(6)


def test_a_start_cuts_points_off() -> None:
    assert LambdaSchedule([(0, 1.0), (10, 2.0)], start=5).at(4.9) == 0
    assert LambdaSchedule([(0, 1.0), (10, 2.0)], start=5).at(5) == pytest.approx(1.5)


@pytest.mark.parametrize("points", [[], [(2, 1.0), (1, 1.0)], [(0, -1.0)]])
def test_points_that_make_no_schedule_are_refused(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="expected pairs"):
        LambdaSchedule(points)


@pytest.mark.parametrize("penalty", [GroupLasso(0.5), GroupMCP(0.5, gamma=7.0)])
def test_penalties_of_an_optimizer_get_the_strength_and_keep_the_rest(penalty: GroupLasso | GroupMCP) -> None:
    conv, linear = nn.Conv2d(2, 2, 1, bias=False), nn.Linear(2, 2)
    groups = [{"params": [conv.weight], "penalty": penalty}, {"params": list(linear.parameters())}]
    optimizer = ProxAdam(groups, lr=0.1)
    schedule = LambdaSchedule(0.25, start=1)
    schedule.apply(optimizer, 0)
    assert optimizer.param_groups[0]["penalty"] == penalty.with_strength(0.0)
    schedule.apply(optimizer, 1)
    assert optimizer.param_groups[0]["penalty"] == penalty.with_strength(0.25)
    assert optimizer.param_groups[1]["penalty"] is None
    assert schedule.strength(optimizer) == 0.25


# From here on: several layers of random weights, and gradients that pull some groups more than others.

SHAPES = ((8, 30, 3, 3), (20, 8, 1, 1), (6, 50, 1, 1))


def _problem(penalty: Penalty, kernel: str = "auto", dtype: torch.dtype = torch.float32, axis: int = 1) -> ProxAdam:
    torch.manual_seed(0)
    weights = [nn.Parameter((0.1 * torch.randn(shape)).to(dtype)) for shape in SHAPES]
    return ProxAdam(weights, lr=1e-2, penalty=penalty, kernel=kernel, axis=axis)  # type: ignore[arg-type]


def _step(optimizer: ProxAdam, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for weight in optimizer.param_groups[0]["params"]:
        pull = torch.linspace(0.0, 1.0, weight.shape[1])[:, None, None]
        target = pull * torch.ones(weight.shape)
        weight.grad = (weight.detach().float() - target + 0.3 * torch.randn(weight.shape, generator=generator)).to(weight.dtype)
    optimizer.step()


def _zero_groups(optimizer: ProxAdam) -> int:
    group = optimizer.param_groups[0]
    return sum(int((~live_groups(weight.detach(), group["axis"])).sum()) for weight in group["params"])


PENALTIES = [GroupLasso(0.0), GroupMCP(0.0, gamma=3.0), SparseGroupLasso(0.0, l1_ratio=0.2)]


@pytest.mark.parametrize("kernel", ["auto", "torch"])
@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda penalty: penalty.name)
def test_a_step_sets_exactly_the_wanted_share_of_all_groups_to_zero(penalty: Penalty, kernel: str) -> None:
    groups = sum(shape[1] for shape in SHAPES)
    optimizer = _problem(penalty, kernel, torch.float32 if kernel == "auto" else torch.float64)
    for seed, share in enumerate((0.0, 0.01, 0.3, 0.31, 0.7, 0.5, 0.95, 0.0)):
        optimizer.zero_share = share
        _step(optimizer, seed)
        assert _zero_groups(optimizer) == round(share * groups)


def test_the_wanted_share_holds_for_output_channels_too() -> None:
    optimizer = _problem(GroupLasso(0.0), axis=OUTPUT_CHANNELS)
    optimizer.zero_share = 0.5
    _step(optimizer, 0)
    assert _zero_groups(optimizer) == round(0.5 * sum(shape[0] for shape in SHAPES))


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda penalty: penalty.name)
def test_the_lambda_that_was_found_does_the_same_when_it_is_given(penalty: Penalty) -> None:
    searched, given = _problem(penalty), _problem(penalty)
    searched.zero_share = 0.4
    _step(searched, 0)
    given.param_groups[0]["penalty"] = penalty.with_strength(float(searched.found_lambda))  # type: ignore[arg-type]
    _step(given, 0)
    for left, right in zip(searched.param_groups[0]["params"], given.param_groups[0]["params"], strict=True):
        assert torch.equal(left, right)


def _train(optimizer: ProxAdam, controller: SparsityController | LambdaSchedule, epochs: range, steps: int = 10) -> list[int]:
    zeros = []
    for epoch in epochs:
        for index in range(steps):
            controller.apply(optimizer, epoch + index / steps, 1 / steps)
            _step(optimizer, epoch * steps + index)
            zeros.append(_zero_groups(optimizer))
    return zeros


@pytest.mark.parametrize("target", [0.1, 0.9])
def test_the_controller_reaches_its_target_and_the_zeros_stay(target: float) -> None:
    optimizer, groups = _problem(GroupLasso(0.0)), sum(shape[1] for shape in SHAPES)
    zeros = _train(optimizer, SparsityController(target, start=1, until=6), range(9))
    assert zeros[:10] == [0] * 10
    assert zeros == sorted(zeros)
    assert zeros[55:] == [round(target * groups)] * 35


def test_in_the_debias_phase_the_live_groups_train_as_adamw_does() -> None:
    """The penalty is off: live groups take the step that AdamW takes."""
    optimizer = _problem(GroupLasso(0.0))
    controller = SparsityController(0.5, start=0, until=3)
    _train(optimizer, controller, range(3))
    plain = torch.optim.AdamW([nn.Parameter(w.detach().clone()) for w in optimizer.param_groups[0]["params"]], lr=1e-2)
    plain.load_state_dict(copy.deepcopy(optimizer.state_dict()) | {"param_groups": plain.state_dict()["param_groups"]})
    live = [live_groups(weight.detach()) for weight in optimizer.param_groups[0]["params"]]
    controller.apply(optimizer, 3)
    _step(optimizer, 99)
    for weight, twin in zip(optimizer.param_groups[0]["params"], plain.param_groups[0]["params"], strict=True):
        twin.grad = weight.grad
    plain.step()
    for weight, twin, mask in zip(optimizer.param_groups[0]["params"], plain.param_groups[0]["params"], live, strict=True):
        assert torch.equal(weight[:, mask], twin[:, mask])
        assert not torch.equal(weight[:, ~mask], twin[:, ~mask])
        assert (weight[:, ~mask] == 0).all()


def test_debias_ends_a_schedule_too() -> None:
    optimizer = _problem(GroupLasso(0.0))
    schedule = LambdaSchedule(0.5, debias_from=3)
    zeros = _train(optimizer, schedule, range(5))
    assert 0 < zeros[29] < sum(shape[1] for shape in SHAPES)
    assert zeros[29:] == [zeros[29]] * 21
    assert schedule.strength(optimizer) == 0
    assert [schedule.is_full(epoch) for epoch in (0, 2, 3)] == [False, False, True]


@pytest.mark.parametrize("cut", [2, 4])
def test_a_training_that_was_saved_and_loaded_goes_on_as_if_it_had_not_been(cut: int) -> None:
    through, stopped = _problem(GroupLasso(0.0)), _problem(GroupLasso(0.0))
    _train(through, SparsityController(0.6, start=1, until=4), range(6))
    controller = SparsityController(0.6, start=1, until=4)
    _train(stopped, controller, range(cut))
    again = _problem(GroupLasso(0.0))
    again.load_state_dict(stopped.state_dict())
    for weight, saved in zip(again.param_groups[0]["params"], stopped.param_groups[0]["params"], strict=True):
        weight.data.copy_(saved)
    resumed = SparsityController(0.6, start=1, until=4)
    resumed.load_state_dict(controller.state_dict())
    _train(again, resumed, range(cut, 6))
    for left, right in zip(again.param_groups[0]["params"], through.param_groups[0]["params"], strict=True):
        assert torch.equal(left, right)


Control = LambdaSchedule | SparsityController | TwoControls


def _control(kind: str, end: float) -> Control:
    """A control whose zeros are fixed at ``end``."""
    if kind == "controller":
        return SparsityController(0.5, start=0, until=end)
    schedule = LambdaSchedule(0.03, debias_from=end)
    return schedule if kind == "schedule" else TwoControls(_control("controller", end), schedule)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["controller", "schedule", "two"])
@pytest.mark.parametrize("fixed", [True, False])
def test_a_resumed_control_keeps_the_time_of_zeros_that_are_fixed_and_takes_the_new_one_otherwise(
    kind: str, fixed: bool
) -> None:
    """With more epochs a share of them is later; zeros that were fixed in epoch 2 stay so in a run that would fix them in 5."""
    optimizer, control = _problem(GroupLasso(0.0)), _control(kind, 2)
    for epoch in range(3 if fixed else 2):
        control.apply(optimizer, epoch, 1.0)
    again = _control(kind, 5)
    again.load_state_dict(control.state_dict())
    assert again.debiasing == fixed
    assert [again.is_full(epoch) for epoch in (1, 2, 4, 5)] == ([False, True, True, True] if fixed else [False] * 3 + [True])
    again.apply(optimizer, 3, 1.0)
    assert (strength_of(optimizer) > 0 or optimizer.zero_share is not None) != fixed
    if isinstance(again, TwoControls):
        assert (again.others.at(3) > 0) != fixed


@pytest.mark.parametrize(("target", "start", "until"), [(0.0, 0, 1), (1.0, 0, 1), (0.5, 2, 2), (0.5, 3, 2)])
def test_a_controller_that_cannot_work_is_refused(target: float, start: float, until: float) -> None:
    with pytest.raises(ValueError, match="must"):
        SparsityController(target, start, until)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_the_target_is_met_however_few_steps_there_are(steps: int) -> None:
    optimizer, groups = _problem(GroupLasso(0.0)), sum(shape[1] for shape in SHAPES)
    assert _train(optimizer, SparsityController(0.5, start=0, until=1), range(2), steps)[-1] == round(0.5 * groups)


def _two_groups(penalty: Penalty) -> ProxAdam:
    """Two penalised parameter groups of (4, 10, 3, 3), of which the second one is not steered."""
    torch.manual_seed(0)
    weights = [nn.Parameter(0.1 * torch.randn(4, 10, 3, 3)) for _ in range(2)]
    return ProxAdam([{"params": [weight], "penalty": penalty, "steered": weight is weights[0]} for weight in weights], lr=1e-2)


def _weights(optimizer: ProxAdam) -> list[nn.Parameter]:
    return [group["params"][0] for group in optimizer.param_groups]


def _zeros(optimizer: ProxAdam) -> list[int]:
    """Zero groups of each of the two."""
    return [int((~live_groups(weight.detach())).sum()) for weight in _weights(optimizer)]


def _noise_step(optimizer: ProxAdam, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for weight in _weights(optimizer):
        weight.grad = torch.randn(weight.shape, generator=generator)
    optimizer.step()


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda penalty: penalty.name)
def test_a_wanted_share_is_one_of_the_steered_weights_and_the_others_keep_their_lambda(penalty: Penalty) -> None:
    both, alone = _two_groups(penalty), _two_groups(penalty)
    both.zero_share = 0.4
    both.param_groups[1]["penalty"] = alone.param_groups[1]["penalty"] = penalty.with_strength(0.7)
    for seed in range(3):
        _noise_step(both, seed)
        _noise_step(alone, seed)
    assert _zeros(both)[0] == 4
    assert torch.equal(_weights(both)[1], _weights(alone)[1])
    assert 0 < float(both.found_lambda) != 0.7  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["schedule", "controller"])
def test_two_controls_are_each_alone_until_both_end_in_one_debias_phase(kind: str) -> None:
    def steered() -> LambdaSchedule | SparsityController:
        return LambdaSchedule(0.5, start=1, debias_from=4) if kind == "schedule" else SparsityController(0.5, 1, 4)

    others = LambdaSchedule(0.9, start=1, warmup=2, debias_from=4)
    optimizer, first, second = (_two_groups(GroupLasso(0.0)) for _ in range(3))
    control, alone = TwoControls(steered(), others), steered()
    second.param_groups[1]["steered"] = True
    strengths, zeros = [], []
    for step in range(60):
        now = step / 10
        for target, what in ((optimizer, control), (first, alone), (second, LambdaSchedule(0.9, 1, 2, 4))):
            what.apply(target, now, 0.1)
            _noise_step(target, step)
        assert control.strength(optimizer) == alone.strength(first)
        assert control.wanted(now) == alone.wanted(now)
        strengths.append(strength_of(optimizer, steered=False))
        zeros.append(_zeros(optimizer))
        assert control.debiasing == (step >= 40)
    assert torch.equal(_weights(optimizer)[0], _weights(first)[0])
    assert torch.equal(_weights(optimizer)[1], _weights(second)[1])
    assert strengths == pytest.approx([others.at(step / 10) for step in range(60)])
    assert [strengths[step] for step in (0, 20, 35, 40)] == pytest.approx([0, 0.45, 0.9, 0])
    assert all(counts == zeros[39] for counts in zeros[39:])
    assert min(zeros[39]) > 0
    assert [control.is_full(epoch) for epoch in (3.9, 4)] == [False, True]


def test_two_controls_are_full_when_both_are() -> None:
    late, early = LambdaSchedule(1.0, warmup=5), LambdaSchedule(1.0, warmup=2)
    for control in (TwoControls(late, early), TwoControls(early, late)):
        assert [control.is_full(epoch) for epoch in (2, 4.9, 5)] == [False, False, True]


def test_a_steered_weight_stays_one_when_an_older_state_does_not_say_so() -> None:
    optimizer = _two_groups(GroupLasso(0.0))
    _noise_step(optimizer, 0)
    state = copy.deepcopy(optimizer.state_dict())
    assert [group.pop("steered") for group in state["param_groups"]] == [True, False]
    optimizer.load_state_dict(state)
    assert [group["steered"] for group in optimizer.param_groups] == [True, False]


@pytest.mark.parametrize(("ramp", "half"), [("smooth", 0.5), ("cubic", 0.875)])
def test_a_ramp_rises_from_nothing_to_the_target_and_is_held(ramp: Any, half: float) -> None:
    controller = SparsityController(0.6, start=2, until=12, ramp=ramp, held=0.2)
    wanted = [controller.wanted(2 + 0.8 * step) for step in range(11)]
    assert wanted[0] == 0.0
    assert wanted[5] == pytest.approx(half * 0.6)
    assert wanted == sorted(wanted)
    assert controller.wanted(10) == controller.wanted(11.9) == pytest.approx(0.6)
    assert [controller.is_full(epoch) for epoch in (0, 11, 12)] == [False, False, True]
    assert SparsityController(0.6, start=2, until=12, ramp=ramp, held=0.0).wanted(11.9) < 0.6


@pytest.mark.parametrize("wrong", [{"ramp": "linear"}, {"held": 1.0}, {"held": -0.1}])
def test_an_impossible_ramp_is_refused_with_its_value(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be .*{next(iter(wrong.values()))}"):
        SparsityController(0.6, 2, 12, **wrong)


@pytest.mark.parametrize(
    ("steps", "expected"), [(24, range(24, 72)), (600, [*range(600, 1200, 10), *range(1200, 1800, 10), 1799])]
)
def test_a_budget_is_counted_in_some_steps_of_an_epoch_and_in_the_last(steps: int, expected: Sequence[int]) -> None:
    control = BudgetController(0.4, 1, 3, lambda weights: Count(lambda dead: 1.0, [1.0]))
    optimizer = ProxAdam([nn.Parameter(torch.ones(2, 2, 1, 1))], penalty=GroupL0(0.0))
    due = []
    for step in range(4 * steps):
        control.apply(optimizer, step / steps, 1 / steps)
        if optimizer.budget is not None:
            due.append((step, optimizer.budget.share))
    assert [step for step, _ in due] == [*expected]
    shares = [share for _, share in due]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] < 1
    assert shares[-1] == pytest.approx(0.4)
    assert control.debiasing
