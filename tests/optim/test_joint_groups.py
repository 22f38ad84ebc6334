"""Joint groups: column c of several weights is one group, which lives or dies as a whole."""

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optim import GroupL0, GroupLasso, ProxAdam
from optim.groups import INPUT_CHANNELS, OUTPUT_CHANNELS, as_columns, live_groups
from optim.penalties import Saliency

FEATURES = 12
READERS = [(6, FEATURES, 3, 3), (4, FEATURES, 1, 1), (9, FEATURES, 3, 3)]
OTHER = (5, 20, 3, 3)
SALIENCIES: list[Saliency] = ["adam", "fisher", "taylor"]
LR = 1e-2


def weights_of(shapes: list[tuple[int, ...]], seed: int = 0, dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    """Random weights."""
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(0.1 * torch.randn(shape, generator=generator, dtype=dtype)) for shape in shapes]


def joint_optimizer(readers: list[nn.Parameter], others: list[nn.Parameter], penalty: GroupL0, **options: Any) -> ProxAdam:
    """Readers with joint groups, and weights with groups of their own."""
    floors = options.pop("floors", None)
    joint = {"params": readers, "joint": True, "penalty": penalty, "floors": floors, "axis": options.get("axis", 1)}
    groups = [joint, *([{"params": others, "penalty": penalty}] if others else [])]
    return ProxAdam(groups, **{"lr": LR, "weight_decay": 0.1, **options})


def union(weights: list[nn.Parameter] | list[Tensor], axis: int = INPUT_CHANNELS) -> Tensor:
    """All columns of all weights below each other, as one weight (rows, groups, 1, 1): the readable form of joint groups."""
    columns = torch.cat([as_columns(weight.detach(), axis) for weight in weights])
    return columns[:, :, None, None]


def step(optimizer: ProxAdam, number: int, without: tuple[int, ...] = ()) -> None:
    """A step on random gradients, which some of the first parameter group's weights do not get."""
    generator = torch.Generator().manual_seed(100 + number)
    for group in optimizer.param_groups:
        for place, weight in enumerate(group["params"]):
            gradient = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
            weight.grad = None if group is optimizer.param_groups[0] and place in without else gradient
    optimizer.step()


def dead_features(readers: list[nn.Parameter]) -> Tensor:
    """(features,) bool; asserts that the readers agree."""
    dead = torch.stack([~live_groups(weight.detach()) for weight in readers])
    assert bool((dead == dead[0]).all()), "a feature is dead in one reader and alive in another"
    return dead[0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("saliency", SALIENCIES)
def test_readers_train_as_the_one_weight_that_has_all_their_columns(saliency: Saliency, dtype: torch.dtype) -> None:
    """Against groups of one stacked weight, beside weights that compete with them; in float32 with the batched kernels."""
    readers, others = weights_of(READERS, dtype=dtype), weights_of([OTHER], 1, dtype)
    stacked, same = nn.Parameter(union(readers).clone()), copy.deepcopy(others)
    penalty = GroupL0(0.0, saliency)
    ours = joint_optimizer(readers, others, penalty, floors=[2] * 3)
    parts = [{"params": [stacked], "penalty": penalty, "floors": [2]}, {"params": same, "penalty": penalty}]
    theirs = ProxAdam(parts, lr=LR, weight_decay=0.1, kernel="torch")
    for number, share in enumerate([None, 0.1, 0.3, 0.3, 0.7, 0.7, None]):
        ours.zero_share = theirs.zero_share = share
        step(ours, number)
        stacked.grad = union([weight.grad for weight in readers if weight.grad is not None])
        for one, other in zip(same, others, strict=True):
            one.grad = None if other.grad is None else other.grad.clone()
        theirs.step()
        assert torch.equal(live_groups(stacked.detach()), ~dead_features(readers))
        torch.testing.assert_close(union(readers), stacked.detach())
        torch.testing.assert_close(others, same)
        if share is not None:
            torch.testing.assert_close(ours.found_lambda, theirs.found_lambda)
    assert int(dead_features(readers).sum()) + int((~live_groups(others[0].detach())).sum()) == round(0.7 * (FEATURES + 20))
    assert 0 < int(dead_features(readers).sum()) < FEATURES


@pytest.mark.parametrize("saliency", ["adam", "fisher"])
def test_the_threshold_minimises_over_the_union_of_all_columns(saliency: Saliency) -> None:
    """By brute force over every set of features that could be zero: what lives is best left as it is."""
    shapes, size, lr = [(2, 5, 3, 3), (3, 5, 1, 1)], 2 * 9 + 3, 0.05
    copies = weights_of(shapes)
    plain = joint_optimizer(copies, [], GroupL0(0.0, saliency), lr=lr)
    step(plain, 0)
    power = {"adam": 1, "fisher": 2}[saliency]
    x, metric = union(copies), union([((plain.state[w]["exp_avg_sq"] / 0.001).sqrt() + 1e-8) ** power for w in copies])
    second, third = (metric * x**2).sum((0, 2, 3)).sort().values[1:3]
    lambda_ = float(second + third) / 4 / (lr * size**0.5)  # two features are cheaper than this
    readers = weights_of(shapes)
    step(joint_optimizer(readers, [], GroupL0(lambda_, saliency), lr=lr), 0)
    values = {}
    for zeros in itertools.product([False, True], repeat=5):
        z = torch.where(torch.tensor(zeros)[None, :, None, None], 0.0, x)
        values[zeros] = float(0.5 * (metric * (z - x) ** 2).sum()) + lr * lambda_ * size**0.5 * (5 - sum(zeros))
    best = min(values, key=lambda zeros: values[zeros])
    assert sum(best) == 2
    assert tuple(dead_features(readers).tolist()) == best
    kept = ~torch.tensor(best)
    assert torch.equal(union(readers)[:, kept], union(copies)[:, kept])


def test_taylor_squares_the_sum_of_the_products_of_all_readers() -> None:
    readers = weights_of(READERS)
    optimizer = joint_optimizer(readers, [], GroupL0(0.0, "taylor"))
    mean = torch.zeros(FEATURES, dtype=torch.float64)
    for number in range(4):
        before = [weight.detach().clone() for weight in readers]
        optimizer.zero_share = 0.4 if number == 3 else None
        step(optimizer, number)
        gradients = [weight.grad for weight in readers if weight.grad is not None]
        products = [(g * w).sum((0, 2, 3)) for g, w in zip(gradients, before, strict=True)]
        mean = 0.99 * mean + 0.01 * torch.stack(products).sum(0) ** 2
    dead = dead_features(readers)
    assert int(dead.sum()) == round(0.4 * FEATURES)
    assert float(mean[dead].max()) < float(mean[~dead].min())


@pytest.mark.parametrize("saliency", SALIENCIES)
def test_the_order_of_the_readers_and_how_their_filters_are_divided_change_nothing(saliency: Saliency) -> None:
    results = []
    for divide in (False, True):
        (wide,) = weights_of([(10, FEATURES, 3, 3)])
        readers = [nn.Parameter(part.detach().clone()) for part in wide.split([3, 7])][::-1] if divide else [wide]
        optimizer = joint_optimizer(readers, [], GroupL0(0.0, saliency))
        optimizer.zero_share = 0.5
        for number in range(3):
            gradient = torch.randn(wide.shape, generator=torch.Generator().manual_seed(number), dtype=wide.dtype)
            for weight, part in zip(readers, gradient.split([3, 7])[::-1] if divide else [gradient], strict=True):
                weight.grad = part.clone()
            optimizer.step()
        results.append(dead_features(readers))
    assert torch.equal(*results)
    assert int(results[0].sum()) == 6


@pytest.mark.parametrize("saliency", SALIENCIES)
def test_what_a_frozen_reader_reads_stays_and_others_die_in_its_place(saliency: Saliency) -> None:
    readers, others = weights_of(READERS), weights_of([OTHER], 1)
    read = torch.arange(FEATURES) % 3 == 0
    with torch.no_grad():
        readers[1][:, ~read] = 0.0
    optimizer = joint_optimizer(readers, others, GroupL0(0.0, saliency), floors=[2] * 3)
    step(optimizer, 0, without=(1,))
    readers[1].requires_grad_(False)
    frozen = readers[1].detach().clone()
    for number, share in enumerate([0.3, 0.6, 0.6, 0.99]):
        optimizer.zero_share = share
        step(optimizer, 1 + number, without=(1,))
        # By the definition of dead: those that the frozen one does not read were zero in it before.
        dead = torch.stack([~live_groups(weight.detach()) for weight in (readers[0], readers[2])])
        assert torch.equal(dead[0], dead[1])
        assert not bool((dead[0] & read).any())
        assert torch.equal(readers[1].detach(), frozen)
        zeros = int(dead[0].sum()) + int((~live_groups(others[0].detach())).sum())
        assert zeros == min(round(share * (FEATURES + 20)), FEATURES + 20 - int(read.sum()))


@pytest.mark.parametrize("saliency", SALIENCIES)
def test_a_reader_without_a_gradient_in_a_step_is_measured_and_set_to_zero_like_the_others(saliency: Saliency) -> None:
    readers = weights_of(READERS)
    optimizer = joint_optimizer(readers, [], GroupL0(0.0, saliency))
    step(optimizer, 0)
    optimizer.zero_share = 0.5
    step(optimizer, 1, without=(0, 2))
    assert int(dead_features(readers).sum()) == FEATURES // 2
    for number in range(2, 5):
        optimizer.zero_share = None
        step(optimizer, number, without=(number % 3,))
        assert int(dead_features(readers).sum()) == FEATURES // 2
        for weight in readers:
            moments = [value for value in optimizer.state[weight].values() if value.shape == weight.shape]
            assert moments
            assert not any(bool(value[:, dead_features(readers)].any()) for value in moments)


@pytest.mark.parametrize("saliency", SALIENCIES)
def test_a_reader_that_never_had_a_gradient_keeps_its_features(saliency: Saliency) -> None:
    readers, others = weights_of(READERS), weights_of([OTHER], 1)
    optimizer = joint_optimizer(readers, others, GroupL0(0.0, saliency))
    optimizer.zero_share = 0.6
    step(optimizer, 0, without=(0,))
    assert not dead_features(readers).any()
    assert int((~live_groups(others[0].detach())).sum()) == round(0.6 * (FEATURES + 20))
    optimizer.zero_share = 0.9
    step(optimizer, 1)
    assert dead_features(readers).any()


def test_a_step_without_any_gradient_changes_nothing() -> None:
    readers, others = weights_of(READERS), weights_of([OTHER], 1)
    optimizer = joint_optimizer(readers, others, GroupL0(0.0, "taylor"))
    step(optimizer, 0)
    before, state = copy.deepcopy([readers, others]), copy.deepcopy(optimizer.state_dict()["state"])
    for weight in (*readers, *others):
        weight.grad = None
    optimizer.zero_share = 0.5
    optimizer.step()
    torch.testing.assert_close([readers, others], before, rtol=0, atol=0)
    torch.testing.assert_close(optimizer.state_dict()["state"], state, rtol=0, atol=0)


def test_the_mean_of_the_products_counts_the_steps_of_all_readers() -> None:
    """A task without targets in some steps: what is measured is the mean over the steps that any reader took."""
    readers = weights_of(READERS)
    optimizer = joint_optimizer(readers, [], GroupL0(0.0, "taylor"))
    total = torch.zeros(FEATURES, dtype=torch.float64)
    weight = 0.0
    for number in range(5):
        before = [reader.detach().clone() for reader in readers]
        missing = (number % 3,)
        step(optimizer, number, without=missing)
        product = sum((r.grad * w).sum((0, 2, 3)) for r, w in zip(readers, before, strict=True) if r.grad is not None)
        total, weight = 0.99 * total + 0.01 * product**2, 0.99 * weight + 0.01  # type: ignore[operator]
    ((_, critical, spared),) = optimizer._measure_joint(optimizer.param_groups[0])
    size = sum(reader[:, 0].numel() for reader in readers)
    torch.testing.assert_close(critical, total / weight / (2 * LR * size**0.5))
    assert spared == 0


@pytest.mark.parametrize("saliency", SALIENCIES)
def test_zeros_are_kept_as_a_whole(saliency: Saliency) -> None:
    """Also where a column happens to be zero in one reader only: it is no zero group."""
    readers = weights_of(READERS)
    optimizer = joint_optimizer(readers, [], GroupL0(0.0, saliency))
    optimizer.zero_share = 0.25
    step(optimizer, 0)
    dead = dead_features(readers)
    with torch.no_grad():
        readers[0][:, ~dead] = 0.0
    optimizer.zero_share = None
    optimizer.keep_zeros()
    step(optimizer, 1)
    assert torch.equal(dead_features(readers), dead)


@pytest.mark.parametrize("saliency", SALIENCIES)
def test_a_training_that_is_saved_in_the_middle_goes_on_as_if_nothing_had_happened(saliency: Saliency) -> None:
    ends = []
    for saved in (False, True):
        readers, others = weights_of(READERS), weights_of([OTHER], 1)
        optimizer = joint_optimizer(readers, others, GroupL0(0.0, saliency), floors=[1, 1, 1])
        for number in range(6):
            if saved and number == 3:
                state = copy.deepcopy(optimizer.state_dict())
                readers, others = ([nn.Parameter(w.detach().clone()) for w in part] for part in (readers, others))
                optimizer = joint_optimizer(readers, others, GroupL0(1.0))
                optimizer.load_state_dict(state)
            optimizer.zero_share = 0.15 * number
            step(optimizer, number, without=(number % 2,))
        ends.append([*readers, *others])
    assert all(one.equal(other) for one, other in zip(*ends, strict=True))


def test_rows_of_linear_layers_and_filters_can_be_joint_too() -> None:
    weights = [nn.Parameter(0.1 * torch.randn(8, 5)), nn.Parameter(0.1 * torch.randn(8, 3, 3, 3))]
    optimizer = joint_optimizer(weights, [], GroupL0(0.0), axis=OUTPUT_CHANNELS)
    optimizer.zero_share = 0.5
    step(optimizer, 0)
    live = [live_groups(weight.detach(), OUTPUT_CHANNELS) for weight in weights]
    assert torch.equal(*live)
    assert int(live[0].sum()) == 4


@pytest.mark.parametrize(
    ("shapes", "penalty", "said"),
    [
        (READERS, GroupLasso(0.0), "a penalty that selects, got l1_l2"),
        ([(2, 3, 1, 1), (2, 4, 1, 1)], GroupL0(0.0), r"one number of groups .* got weights with \[3, 4\] groups"),
    ],
)
def test_what_cannot_be_joint_is_refused(shapes: list[tuple[int, ...]], penalty: Any, said: str) -> None:
    optimizer = ProxAdam([nn.Parameter(torch.ones(1))])
    with pytest.raises(ValueError, match=said):
        optimizer.add_param_group({"params": weights_of(shapes), "penalty": penalty, "joint": True})
    assert len(optimizer.param_groups) == 1
