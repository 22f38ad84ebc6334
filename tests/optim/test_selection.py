"""Aiming at a share of zero groups: who is selected, what stays, and that zeros of a penalty that selects are final."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optim import GroupL0, GroupLasso, GroupMCP, Penalty, ProxAdam, SparseGroupLasso
from optim.groups import INPUT_CHANNELS, OUTPUT_CHANNELS, group_norms, group_weight, least_groups, live_groups
from optim.penalties import Saliency
from optim.selection import Budget, Count

SHAPES = [(6, 3, 3, 3), (8, 20, 1, 1), (4, 33, 3, 3)]
SALIENCIES: list[Saliency] = ["adam", "fisher", "taylor"]
NORMS = [GroupLasso(0.0), GroupMCP(0.0, 3.0), SparseGroupLasso(0.0, 0.2)]
L0 = [GroupL0(0.0, saliency) for saliency in SALIENCIES]


def _weights(axis: int = INPUT_CHANNELS, seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(0.1 * torch.randn(shape, generator=generator)) for shape in SHAPES]


def _optimizer(weights: list[nn.Parameter], penalty: Penalty, **options: Any) -> ProxAdam:
    group = {"params": weights, "penalty": penalty, **{k: options.pop(k) for k in ("floors", "normalised") if k in options}}
    return ProxAdam([group], **{"lr": 1e-2, "weight_decay": 0.1, **options})


def _step(optimizer: ProxAdam, step: int) -> None:
    generator = torch.Generator().manual_seed(100 + step)
    for weight in optimizer.param_groups[0]["params"]:
        weight.grad = torch.randn(weight.shape, generator=generator)
    optimizer.step()


def _dead(optimizer: ProxAdam) -> Tensor:
    group = optimizer.param_groups[0]
    return torch.cat([~live_groups(weight.detach(), group["axis"]) for weight in group["params"]])


@pytest.mark.parametrize("axis", [INPUT_CHANNELS, OUTPUT_CHANNELS])
@pytest.mark.parametrize("kernel", ["auto", "torch"])
@pytest.mark.parametrize("penalty", L0, ids=str)
def test_the_wanted_number_of_groups_is_zero_and_stays_zero(penalty: Penalty, kernel: Any, axis: int) -> None:
    """Also while gradients and momentum pull, and where a lower share is asked for later."""
    optimizer = _optimizer(_weights(), penalty, kernel=kernel, axis=axis)
    dead = _dead(optimizer)
    for step, share in enumerate([0.1, 0.1, 0.35, 0.6, 0.2, None, None]):
        optimizer.zero_share = share
        _step(optimizer, step)
        now = _dead(optimizer)
        assert bool((now | ~dead).all()), "a zero group came back"
        if share is not None:
            assert int(now.sum()) == max(int(dead.sum()), round(share * len(now)))
        dead = now
    for weight, keep in zip(optimizer.param_groups[0]["params"], optimizer.param_groups[0]["keep"], strict=True):
        assert torch.equal(keep > 0, live_groups(weight.detach(), axis))
        for value in optimizer.state[weight].values():
            if value.shape == weight.shape:
                assert not value.movedim(axis, 0)[keep == 0].any(), "moments of zero groups are zero"


def test_zeros_are_final_without_an_eps_too() -> None:
    optimizer = _optimizer(_weights(), L0[0], eps=0.0)
    for step, share in enumerate([0.5, 0.5, None]):
        optimizer.zero_share = share
        _step(optimizer, step)
        assert int(_dead(optimizer).sum()) == 28
        assert all(bool(weight.isfinite().all()) for weight in optimizer.param_groups[0]["params"])


@pytest.mark.parametrize("penalty", L0, ids=str)
def test_those_that_live_are_what_adamw_makes_of_them(penalty: Penalty) -> None:
    ours, theirs = _weights(), _weights()
    optimizer, adamw = _optimizer(ours, penalty), torch.optim.AdamW(theirs, lr=1e-2, weight_decay=0.1)
    optimizer.zero_share = 0.5
    for step in range(5):
        _step(optimizer, step)
        generator = torch.Generator().manual_seed(100 + step)
        for right in theirs:
            right.grad = torch.randn(right.shape, generator=generator)
        adamw.step()
    for left, right in zip(ours, theirs, strict=True):
        live = live_groups(left.detach())
        assert 0 < int(live.sum()) < len(live) or len(live) == 3
        assert left.detach()[:, live].equal(right.detach()[:, live])


@pytest.mark.parametrize("penalty", L0[:2], ids=str)
def test_the_groups_with_the_least_saliency_per_root_of_size_are_selected(penalty: GroupL0) -> None:
    weights, copies = _weights(), _weights()
    optimizer, plain = _optimizer(weights, penalty), _optimizer(copies, penalty.with_strength(0.0))
    optimizer.zero_share = 0.4
    _step(plain, 0)
    _step(optimizer, 0)
    scores = []
    for weight in copies:
        metric = (plain.state[weight]["exp_avg_sq"] / (1 - 0.999)).sqrt() + 1e-8
        power = 1 if penalty.saliency == "adam" else 2
        scores.append((metric**power * weight.detach() ** 2).sum((0, 2, 3)) / (weight[:, 0].numel()) ** 0.5)
    score = torch.cat(scores)
    dead = _dead(optimizer)
    assert float(score[dead].max()) < float(score[~dead].min())
    assert float(optimizer.found_lambda) == pytest.approx(float(score[dead].max()) / (2 * 1e-2), rel=1e-3)  # type: ignore[arg-type]


def test_taylor_goes_by_the_mean_of_gradient_times_weight_squared_before_the_step() -> None:
    weights = _weights()
    optimizer = _optimizer(weights, L0[2])
    mean = torch.zeros(sum(shape[1] for shape in SHAPES))
    for step in range(4):
        before = [weight.detach().clone() for weight in weights]
        optimizer.zero_share = 0.3 if step == 3 else None
        _step(optimizer, step)
        products = [(w * weight.grad).sum((0, 2, 3)) ** 2 for w, weight in zip(before, weights, strict=True)]
        mean = 0.99 * mean + 0.01 * torch.cat(products)
    score = mean / torch.cat([torch.full((shape[1],), float(shape[0] * shape[2] * shape[3])) for shape in SHAPES]).sqrt()
    dead = _dead(optimizer)
    assert int(dead.sum()) == round(0.3 * len(dead))
    assert float(score[dead].max()) < float(score[~dead].min())


@pytest.mark.parametrize("penalty", L0, ids=str)
def test_groups_that_are_alike_to_the_last_bit_are_not_all_selected(penalty: Penalty) -> None:
    weight = nn.Parameter(torch.ones(4, 10, 1, 1))
    optimizer = _optimizer([weight], penalty)
    optimizer.zero_share = 0.3
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert int(_dead(optimizer).sum()) == 3


@pytest.mark.parametrize("penalty", [*NORMS, *L0], ids=str)
def test_each_layer_keeps_the_groups_of_its_floor_and_the_others_make_up_for_it(penalty: Penalty) -> None:
    weights = _weights()
    with torch.no_grad():
        weights[1].mul_(1e-3)  # without a floor, this layer dies first
    for floors, alive in ((None, 0), ([1, 4, 2], 4)):
        copies = copy.deepcopy(weights)
        optimizer = _optimizer(copies, penalty, floors=floors, lr=1e-4)
        optimizer.zero_share = 0.6
        for step in range(3):
            _step(optimizer, step)
            live = live_groups(copies[1].detach())
            assert int(_dead(optimizer).sum()) == round(0.6 * 56)
            assert int(live.sum()) == alive


def test_what_the_floor_spares_is_left_as_it_is() -> None:
    """The largest groups of a layer that the prox would have emptied; a norm's penalty shrinks the others."""
    weights = _weights()
    with torch.no_grad():
        weights[1].mul_(1e-3)
    copies = copy.deepcopy(weights)
    optimizer, adamw = _optimizer(weights, NORMS[0], floors=[1, 4, 2], lr=1e-4), _optimizer(copies, NORMS[0], lr=1e-4)
    optimizer.zero_share = 0.6
    _step(optimizer, 0)
    _step(adamw, 0)
    for i, spared in ((0, False), (1, True), (2, False)):
        live = live_groups(weights[i].detach())
        assert int(live.sum()) >= (1, 4, 2)[i]
        assert weights[i].detach()[:, live].equal(copies[i].detach()[:, live]) == spared


def test_more_than_the_floors_allow_is_not_to_be_had() -> None:
    optimizer = _optimizer(_weights(), L0[0], floors=[3, 5, 2])
    optimizer.zero_share = 0.99
    _step(optimizer, 0)
    assert [int(live_groups(weight.detach()).sum()) for weight in optimizer.param_groups[0]["params"]] == [3, 5, 2]


@pytest.mark.parametrize(("share", "counts"), [(0.0, [0, 0, 0]), (0.02, [1, 1, 1]), (0.1, [1, 2, 4]), (0.05, [1, 1, 2])])
def test_a_floor_is_a_share_of_the_groups_rounded_up_and_at_least_one(share: float, counts: list[int]) -> None:
    assert [least_groups(shape[1], share) for shape in SHAPES] == counts


@pytest.mark.parametrize("penalty", NORMS, ids=str)
@pytest.mark.parametrize("aimed", [True, False], ids=["target", "own lambda"])
def test_before_batch_norm_what_lives_keeps_its_norm_and_the_same_groups_are_zero(penalty: Penalty, aimed: bool) -> None:
    penalty = penalty if aimed else penalty.with_strength(8.0)
    results = []
    for normalised in (None, [True, False, True]):
        weights, unchanged = _weights(), _weights()
        optimizer = _optimizer(weights, penalty, normalised=normalised)
        before = _optimizer(unchanged, penalty.with_strength(0.0))
        optimizer.zero_share = 0.5 if aimed else None
        _step(optimizer, 0)
        _step(before, 0)
        results.append((weights, _dead(optimizer)))
    (plain, dead), (kept, same) = results
    assert torch.equal(dead, same)
    assert 0 < int(dead.sum()) < len(dead)
    assert kept[1].equal(plain[1]), "no batch norm, no change"
    for i in (0, 2):
        live = live_groups(kept[i].detach())
        norm = group_norms(kept[i].detach().double())[live].norm()
        wanted = group_norms(unchanged[i].detach().double())[live].norm()
        assert float(norm) == pytest.approx(float(wanted), rel=1e-6)
        ratio = kept[i].detach()[plain[i] != 0] / plain[i].detach()[plain[i] != 0]
        torch.testing.assert_close(ratio, ratio[0].expand_as(ratio), rtol=1e-5, atol=0)
        assert ratio.numel() == 0 or float(ratio[0]) > 1


@pytest.mark.parametrize("penalty", L0, ids=str)
def test_a_training_that_is_saved_in_the_middle_goes_on_as_if_nothing_had_happened(penalty: Penalty) -> None:
    ends = []
    for saved in (False, True):
        weights = _weights()
        optimizer = _optimizer(weights, penalty, floors=[1, 1, 1])
        for step in range(6):
            if saved and step == 3:
                state = copy.deepcopy(optimizer.state_dict())
                weights = [nn.Parameter(weight.detach().clone()) for weight in weights]
                optimizer = _optimizer(weights, GroupLasso(1.0))
                optimizer.load_state_dict(state)
            optimizer.zero_share = 0.1 * step
            _step(optimizer, step)
        ends.append(weights)
    assert all(left.equal(right) for left, right in zip(*ends, strict=True))


def test_with_a_lambda_of_its_own_zeros_are_not_final() -> None:
    weight = nn.Parameter(torch.full((2, 3, 1, 1), 1e-3))
    optimizer = _optimizer([weight], GroupL0(0.01, "adam"), weight_decay=0.0, lr=0.1)
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    assert not weight.any()
    weight.grad = torch.ones_like(weight)
    for _ in range(3):
        optimizer.step()
    assert bool(weight.all())


@pytest.mark.parametrize("kernel", ["auto", "torch"])
def test_a_group_that_is_zero_goes_first_whatever_its_products_were(kernel: str) -> None:
    """It is zero by another hand than the optimizer's, whose running mean still speaks of a group that lived."""
    weight = nn.Parameter(torch.ones(4, 5, 3, 3))
    optimizer = _optimizer([weight], GroupL0(0.0, "taylor"), weight_decay=0.0, kernel=kernel)
    for _ in range(3):
        weight.grad = torch.ones_like(weight) * torch.tensor([1.0, 9.0, 2.0, 3.0, 4.0])[:, None, None]
        optimizer.step()
    with torch.no_grad():
        weight[:, 1] = 0
    optimizer.state[weight]["exp_avg"][:, 1] = 0
    weight.grad = torch.ones_like(weight)
    weight.grad[:, 1] = 0
    optimizer.zero_share = 0.2
    optimizer.step()
    assert live_groups(weight).tolist() == [True, False, True, True, True]


def test_the_mean_of_the_products_is_unbiased_after_steps_of_adamw_too() -> None:
    weight = nn.Parameter(torch.ones(2, 3, 1, 1))
    adamw = torch.optim.AdamW([weight], lr=1e-6)
    weight.grad = torch.ones_like(weight)
    for _ in range(200):
        adamw.step()
    optimizer = _optimizer([weight], GroupL0(0.0, "taylor"))
    optimizer.load_state_dict(adamw.state_dict())
    optimizer.zero_share = 1 / 3
    optimizer.step()  # (gradient . weight)^2 = 4
    assert float(optimizer.found_lambda) == pytest.approx(4 / (2 * 1e-6 * 2**0.5), rel=1e-3)  # type: ignore[arg-type]


def test_weights_without_a_gradient_are_left_alone() -> None:
    weights = _weights()
    optimizer = _optimizer(weights, L0[0])
    optimizer.zero_share = 0.5
    before = weights[2].detach().clone()
    for weight in weights[:2]:
        weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    optimizer.step()
    assert weights[2].equal(before)
    assert [int((~live_groups(weight.detach())).sum()) for weight in weights[:2]].count(0) < 2
    weights[2].grad = torch.ones_like(weights[2])
    optimizer.step()
    assert int(_dead(optimizer).sum()) == 28


def test_a_closure_is_called_once_and_its_gradients_count() -> None:
    weights = _weights()
    optimizer, calls = _optimizer(weights, L0[2]), []
    optimizer.zero_share = 0.25

    def closure() -> Tensor:
        calls.append(1)
        optimizer.zero_grad()
        loss = sum((weight.sum() - 1) ** 2 for weight in weights)
        loss.backward()  # type: ignore[union-attr]
        return loss  # type: ignore[return-value]

    assert float(optimizer.step(closure).detach()) > 0
    assert len(calls) == 1
    assert int(_dead(optimizer).sum()) == 14


PRICES = [torch.tensor([3.0, 1.0, 2.0]), torch.ones(20), 0.5 * torch.ones(33)]
"""Costs of the groups of ``SHAPES``."""


def _share_of_prices(weights: Sequence[Tensor]) -> Count:
    """Count the prices of the groups that live; what a step is told of them is as without a budget."""
    prices = [PRICES[[tuple(weight.shape) for weight in weights].index(shape)] for shape in SHAPES]

    def left(dead: Sequence[Tensor]) -> float:
        return float(sum(price[~mask].sum() for price, mask in zip(prices, dead, strict=True)) / sum(p.sum() for p in prices))

    return Count(left, [group_weight(weight) for weight in weights])


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_the_fewest_groups_die_that_keep_a_budget(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of their scores, as for a share of zeros."""
    monkeypatch.setattr("optim.selection.BUDGET_TOLERANCE", 1.0)  # nobody is spared
    by_budget, by_count = (_optimizer(_weights(), L0[0]) for _ in range(2))
    by_budget.budget = Budget(share, _share_of_prices)
    _step(by_budget, 0)
    count = int(_dead(by_budget).sum())
    left = _share_of_prices(by_budget.param_groups[0]["params"]).left
    assert left(_dead(by_budget).split([3, 20, 33])) <= share
    by_count.zero_share = count / 56
    _step(by_count, 0)
    assert torch.equal(_dead(by_budget), _dead(by_count))
    fewer = _optimizer(_weights(), L0[0])
    fewer.zero_share = (count - 1) / 56
    _step(fewer, 0)
    assert left(_dead(fewer).split([3, 20, 33])) > share


def test_a_group_that_saves_far_too_much_is_spared() -> None:
    def left(dead: Sequence[Tensor]) -> float:
        lost = sum(int(mask.sum()) for mask in dead)
        return 1 - lost / 56 - 0.4 * bool(dead[0].any())

    optimizer = _optimizer(_weights(), L0[0])
    optimizer.budget = Budget(0.5, lambda weights: Count(left, [1.0] * len(weights)))
    _step(optimizer, 0)
    assert int(_dead(optimizer).sum()) == 28
    assert not _dead(optimizer)[:3].any()


@pytest.mark.parametrize("penalty", L0, ids=lambda penalty: penalty.saliency)
def test_under_a_budget_groups_die_in_the_order_of_saliency_per_price(penalty: Penalty) -> None:
    prices = [7.0, 0.5, 3.0]
    optimizer, plain = (_optimizer(_weights(), penalty) for _ in range(2))
    optimizer.budget = Budget(0.6, lambda weights: Count(lambda dead: 1 - sum(int(mask.sum()) for mask in dead) / 56, prices))
    _step(plain, 0)
    measured = plain._measure(plain.param_groups[0])
    weights = plain.param_groups[0]["params"]
    scores = [values * group_weight(weight) / price for values, weight, price in zip(measured, weights, prices, strict=True)]
    _step(optimizer, 0)
    assert set(_dead(optimizer).nonzero().flatten().tolist()) == set(torch.cat(scores).argsort()[:23].tolist())
    assert float(optimizer.found_lambda or 0) == pytest.approx(float(torch.cat(scores).sort().values[22]), rel=1e-3)


def test_a_budget_out_of_reach_leaves_the_floor() -> None:
    optimizer = _optimizer(_weights(), L0[0], floors=[1, 2, 3])
    optimizer.budget = Budget(0.0, _share_of_prices)
    _step(optimizer, 0)
    assert [int(part.sum()) for part in (~_dead(optimizer)).split([3, 20, 33])] == [1, 2, 3]


def test_a_budget_needs_final_zeros() -> None:
    optimizer = _optimizer(_weights(), NORMS[0])
    optimizer.budget = Budget(0.5, _share_of_prices)
    with pytest.raises(ValueError, match="zeros are final"):
        _step(optimizer, 0)
