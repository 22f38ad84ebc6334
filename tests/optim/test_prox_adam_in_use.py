"""ProxAdam among everything else that trains a network: torch's own tools must find nothing unusual about it."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, ReduceLROnPlateau, StepLR

import models.resnetd
from models.resnetd import ResNetD
from optim import GroupLasso, GroupMCP, Penalty, ProxAdam, SparseGroupLasso
from optim.groups import INPUT_CHANNELS, OUTPUT_CHANNELS, live_groups
from tests.optim.elsewhere import Elsewhere

SETTINGS: dict[str, Any] = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}
PENALTIES = [GroupLasso(0.01), GroupMCP(0.03, gamma=3.0)]
WAYS = [{"fused": True}, {"foreach": True}, {"foreach": False}]


def _network(seed: int = 0) -> nn.Sequential:
    """No batch norm: a batch is the sum of its images."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 6, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )


def _optimizer(network: nn.Module, penalty: Penalty | None = PENALTIES[0], **settings: Any) -> ProxAdam:
    """Convolutions with the penalty, all else without."""
    convs = [parameter for parameter in network.parameters() if parameter.ndim == 4]
    others = [parameter for parameter in network.parameters() if parameter.ndim != 4]
    return ProxAdam([{"params": convs, "penalty": penalty}, {"params": others}], **{**SETTINGS, **settings})


def _batch(step: int, size: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    strong_and_weak = torch.tensor([9.0, 6.0, 1.0])[:, None, None]
    return strong_and_weak * torch.randn(size, 3, 6, 6, generator=generator), torch.randint(4, (size,), generator=generator)


def _loss(network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(network(batch[0]), batch[1])


def _train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        _loss(network, _batch(step)).backward()
        optimizer.step()


def _snapshot(network: nn.Module, optimizer: ProxAdam | None = None) -> dict[str, Tensor]:
    """Weights, and the optimizer's running means and step counts."""
    values = dict(network.state_dict())
    for index, state in (optimizer.state_dict()["state"] if optimizer else {}).items():
        values |= {f"{index}.{name}": value for name, value in state.items()}
    return {name: value.clone() for name, value in values.items()}


def _assert_equal(actual: dict[str, Tensor], expected: dict[str, Tensor], **tolerance: float) -> None:
    assert actual.keys() == expected.keys()
    for name, value in actual.items():
        torch.testing.assert_close(
            value, expected[name], **(tolerance or {"rtol": 0.0, "atol": 0.0}), msg=lambda text, n=name: f"{n}: {text}"
        )


def _alive(network: nn.Module) -> list[bool]:
    return torch.cat([live_groups(p.detach()) for p in network.parameters() if p.ndim == 4]).tolist()


def _assert_some_dead(network: nn.Module) -> None:
    alive = _alive(network)
    assert any(alive)
    assert not all(alive)


# (a) without a penalty


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_steps_of_a_resnet_without_strength_are_adamws_to_the_last_bit(
    way: dict[str, bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Through a file in the middle; both get the same gradients."""
    monkeypatch.setattr(models.resnetd, "STAGE_WIDTHS", (8, 16, 24, 32))  # the real one takes minutes
    torch.manual_seed(0)
    ours = ResNetD("resnetd18")
    theirs = copy.deepcopy(ours)
    optimizer, plain = _optimizer(ours, GroupLasso(0.0), **way), torch.optim.AdamW(theirs.parameters(), **SETTINGS, **way)
    for step in range(20):
        if step == 10:
            torch.save({"network": ours.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
            state = torch.load(tmp_path / "state.pt", weights_only=True)
            ours = ResNetD("resnetd18")
            ours.load_state_dict(state["network"])
            optimizer = _optimizer(ours, GroupLasso(1.0), lr=1.0)
            optimizer.load_state_dict(state["optimizer"])
        optimizer.zero_grad()
        images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(step))
        (ours(images) - 0.1).square().mean().backward()
        for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert left.grad is not None
            right.grad = left.grad.clone()
        optimizer.step()
        plain.step()
        for (name, left), right in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            assert torch.equal(left, right), f"{name} in step {step}"


# (b) a convex problem


def _regression(outputs: int, seed: int = 0) -> tuple[Tensor, Tensor, np.ndarray]:
    """Inputs (n, 20), targets (n, outputs), and which inputs matter."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(200, 20)) @ (np.eye(20) + 0.3 * rng.normal(size=(20, 20)) / 20**0.5)
    matters = np.zeros(20, dtype=bool)
    matters[[1, 4, 7, 11, 18]] = True
    truth = np.where(matters[:, None], rng.choice([-1, 1], (20, outputs)) * rng.uniform(0.5, 1.5, (20, outputs)), 0.0)
    targets = inputs @ truth + 0.3 * rng.normal(size=(200, outputs))
    return torch.from_numpy(inputs), torch.from_numpy(targets), matters


def _descend(layer: nn.Module, optimizer: ProxAdam, inputs: Tensor, targets: Tensor, steps: int = 800) -> None:
    """Full gradients of 1/2 the mean squared norm; the learning rate falls to nothing, as constant ones never settle."""
    schedule = LambdaLR(optimizer, lambda step: max(1e-6, (1 - step / steps)) ** 3)
    for _ in range(steps):
        optimizer.zero_grad()
        ((layer(inputs).flatten(1) - targets) ** 2).sum(1).mean().div(2).backward()
        optimizer.step()
        schedule.step()


def test_a_convex_problem_is_solved_to_the_support_and_the_optimum_of_another_solver() -> None:
    """Fixed points are those of the objective, whatever the metric: 0 is in the subgradient. Groups are input channels."""
    from sklearn.linear_model import MultiTaskLasso  # takes a second, also in the processes below

    outputs, lambda_ = 4, 0.2
    inputs, targets, matters = _regression(outputs)
    layer = nn.Conv2d(20, outputs, 1, bias=False).double()
    optimizer = ProxAdam(layer.parameters(), lr=0.03, betas=(0.9, 0.999), weight_decay=0.0, penalty=GroupLasso(lambda_))
    _descend(layer, optimizer, inputs[:, :, None, None], targets)
    weights = layer.weight.detach()[:, :, 0, 0].numpy().T

    other = MultiTaskLasso(alpha=lambda_ * outputs**0.5, fit_intercept=False, tol=1e-12, max_iter=100_000)
    expected = other.fit(inputs.numpy(), targets.numpy()).coef_.T

    def objective(w: np.ndarray) -> float:
        fit = ((inputs.numpy() @ w - targets.numpy()) ** 2).sum(1).mean() / 2
        return float(fit + lambda_ * outputs**0.5 * np.linalg.norm(w, axis=1).sum())

    assert (np.any(expected != 0, axis=1) == matters).all()  # the problem is such that the support can be recovered
    assert (np.any(weights != 0, axis=1) == matters).all()
    assert objective(weights) <= objective(expected) * (1 + 1e-4)
    np.testing.assert_allclose(weights, expected, atol=2e-3)


# (c) torch's tools


@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
@pytest.mark.parametrize("way", WAYS[::2], ids=str)
def test_a_scaled_loss_changes_nothing(way: dict[str, bool], penalty: Penalty) -> None:
    ours, theirs = _network(), _network()
    scaled, plain = _optimizer(ours, penalty, **way), _optimizer(theirs, penalty, **way)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
    for step in range(8):
        scaled.zero_grad()
        scaler.scale(_loss(ours, _batch(step))).backward()
        scaler.step(scaled)
        scaler.update()
        _train(theirs, plain, range(step, step + 1))
    assert scaler.get_scale() > 2.0**10
    _assert_equal(_snapshot(ours, scaled), _snapshot(theirs, plain), rtol=1e-5, atol=1e-7)
    _assert_some_dead(ours)


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("warm", [0, 3])
def test_a_step_with_an_infinite_gradient_leaves_weights_and_state_as_they_were(
    warm: int, way: dict[str, bool], bad: float
) -> None:
    """Also the very first one: a scale that starts too high makes it bad."""
    network = _network()
    optimizer = _optimizer(network, **way)
    _train(network, optimizer, range(warm))
    optimizer.keep_zeros()
    before = _snapshot(network, optimizer)
    scaler = torch.amp.GradScaler("cpu")
    optimizer.zero_grad()
    scaler.scale(_loss(network, _batch(99))).backward()
    network[2].weight.grad[0, 0] = bad
    scaler.step(optimizer)
    scaler.update()
    after = _snapshot(network, optimizer)
    assert scaler.get_scale() == 2.0**15
    if warm == 0:  # the state has come into being
        assert all((value == 0).all() for name, value in after.items() if name not in before)
        after = {name: after[name] for name in before}
    _assert_equal(after, before)
    _train(network, optimizer, range(3, 5))
    assert not torch.equal(network[0].weight, before["0.weight"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
@pytest.mark.parametrize("kernel", ["auto", "torch"])
@pytest.mark.parametrize("warm", [0, 3])
def test_on_a_gpu_a_step_with_an_infinite_gradient_leaves_the_weights_as_they_were(
    warm: int, kernel: str, penalty: Penalty
) -> None:
    """There nobody looks whether it was one."""
    network = _network().cuda()
    optimizer = _optimizer(network, penalty, fused=True, kernel=kernel)
    scaler = torch.amp.GradScaler("cuda")
    for step in range(warm + 1):
        optimizer.zero_grad()
        images, labels = _batch(step)
        scaler.scale(_loss(network, (images.cuda(), labels.cuda()))).backward()
        if step == warm:
            before = _snapshot(network)
            network[2].weight.grad[0, 0] = torch.inf
        scaler.step(optimizer)
        scaler.update()
    _assert_equal(_snapshot(network), before)


@pytest.mark.parametrize("metric", [1e-8, 1e-3, 1.0, float("nan")])
@pytest.mark.parametrize("penalty", [GroupLasso(0.1), GroupMCP(0.1, gamma=3.0), SparseGroupLasso(0.1)], ids=str)
def test_a_bad_step_on_a_gpu_changes_no_weight(penalty: Penalty, metric: float) -> None:
    """There it is a step with lr 0, and nobody looks; in the first step t is still 0, and the metric 0 / 0."""
    weight = torch.randn(4, 7, 1, 1) * torch.logspace(-3, 2, 7)[:, None, None]
    with Elsewhere():
        assert torch.equal(penalty.prox(weight, torch.full_like(weight, metric), torch.zeros(())), weight)


def _step_and_expected(optimizer: ProxAdam, weight: nn.Parameter, gradient: Tensor, rate: float) -> Tensor:
    """Take a step; return what AdamW makes of the same state, and then the prox in Adam's metric, at least in float32."""
    copied = nn.Parameter(weight.detach().clone())
    plain = torch.optim.AdamW([copied], **SETTINGS)
    plain.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    plain.param_groups[0]["lr"] = rate
    weight.grad, copied.grad = gradient, gradient.clone()
    plain.step()
    optimizer.step()
    solved_in = torch.promote_types(weight.dtype, torch.float32)
    group, state = optimizer.param_groups[0], optimizer.state[weight]
    metric = (state["exp_avg_sq"].to(solved_in) / (1 - 0.99 ** float(state["step"]))).sqrt() + group["eps"]
    return group["penalty"].prox(copied.detach().to(solved_in), metric, rate).to(weight.dtype)


@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_step_of_weights_of_another_type_is_rounded_once(dtype: torch.dtype, penalty: Penalty) -> None:
    """AdamW's step is torch's; halves have too few digits for the prox, which is solved in float32."""
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter((0.1 * torch.randn(6, 12, 3, 3, generator=generator)).to(dtype))
    settings = {**SETTINGS, "eps": 1e-3}  # 1e-8 is 0 in float16
    penalty = penalty.with_strength(0.1)
    optimizer = ProxAdam([weight], penalty=penalty, **settings)
    for _ in range(3):
        gradient = torch.logspace(-2, 1, 12)[:, None, None] * torch.randn(weight.shape, generator=generator)
        expected = _step_and_expected(optimizer, weight, gradient.to(dtype), SETTINGS["lr"])
        torch.testing.assert_close(weight.detach(), expected, rtol=1.01 * torch.finfo(dtype).eps, atol=0)
    assert weight.dtype == optimizer.state[weight]["exp_avg_sq"].dtype == dtype
    alive = live_groups(weight.detach())
    assert alive.any()
    assert not alive.all()


SCHEDULERS: dict[str, Callable[[ProxAdam], Any]] = {
    "StepLR": lambda optimizer: StepLR(optimizer, 2, 0.1),
    "CosineAnnealingLR": lambda optimizer: CosineAnnealingLR(optimizer, 6),
    "ReduceLROnPlateau": lambda optimizer: ReduceLROnPlateau(optimizer, factor=0.3, patience=0),
}


@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_schedulers_learning_rate_is_that_of_the_prox(name: str, tensor: bool) -> None:
    """Each step equals AdamW's with the scheduled rate, and then the prox with the scheduled rate."""
    penalty = PENALTIES[tensor]
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(0.1 * torch.randn(4, 9, 3, 3, generator=generator))
    settings = {**SETTINGS, "lr": torch.tensor(SETTINGS["lr"]) if tensor else SETTINGS["lr"]}
    optimizer = ProxAdam([weight], penalty=penalty, **settings)
    scheduler = SCHEDULERS[name](optimizer)
    rates = []
    for _ in range(7):
        rate = float(optimizer.param_groups[0]["lr"])
        gradient = torch.logspace(-2, 0, 9)[:, None, None] * torch.randn(weight.shape, generator=generator)
        expected = _step_and_expected(optimizer, weight, gradient, rate)
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-5, atol=1e-8)
        rates.append(rate)
        scheduler.step(*([1.0] if name == "ReduceLROnPlateau" else []))
    assert len(set(rates)) > 2
    assert min(rates) < 0.2 * SETTINGS["lr"]


@pytest.mark.parametrize("way", [{"fused": True}, {"foreach": False}, {}], ids=str)
def test_a_learning_rate_may_be_a_tensor(way: dict[str, bool]) -> None:
    ours, theirs = _network(), _network()
    with_tensor = _optimizer(ours, **{**way, "lr": torch.tensor(1e-2)})
    with_number = _optimizer(theirs, **{**way, "lr": 1e-2})
    _train(ours, with_tensor, range(4))
    _train(theirs, with_number, range(4))
    with torch.no_grad():
        with_tensor.param_groups[0]["lr"].mul_(0.1)
        with_tensor.param_groups[1]["lr"] = with_tensor.param_groups[0]["lr"]
    for group in with_number.param_groups:
        group["lr"] = 1e-3
    _train(ours, with_tensor, range(4, 8))
    _train(theirs, with_number, range(4, 8))
    _assert_equal(_snapshot(ours), _snapshot(theirs), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("way", WAYS[::2], ids=str)
def test_a_weight_without_gradient_is_left_alone_in_that_step(way: dict[str, bool], set_to_none: bool) -> None:
    """Penalised or not, in its first step or later; a gradient of zero is another thing: it decays and is penalised."""
    network = _network()
    optimizer = _optimizer(network, GroupLasso(1e3), **way)
    unused = nn.Parameter(torch.ones(2, 2, 1, 1))
    optimizer.add_param_group({"params": [unused], "penalty": GroupLasso(1e3)})
    for parameter in network[0].parameters():
        parameter.requires_grad_(False)
    before = _snapshot(network)
    _train(network, optimizer, range(2))
    assert torch.equal(network[0].weight, before["0.weight"])
    assert torch.equal(network[0].bias, before["0.bias"])
    assert (network[2].weight == 0).all()
    assert (unused == 1).all()
    assert unused not in optimizer.state or not optimizer.state[unused]
    with torch.no_grad():
        network[2].weight.fill_(0.5)
    optimizer.zero_grad(set_to_none=set_to_none)
    assert (network[2].weight.grad is None) == set_to_none
    state = copy.deepcopy(optimizer.state[network[2].weight])
    optimizer.step()
    assert (network[2].weight == (0.5 if set_to_none else 0)).all()
    assert (optimizer.state[network[2].weight]["step"] == state["step"]) == set_to_none


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["deepcopy", "pickle"])
def test_a_copy_goes_on_as_the_original_does(copied: Callable[[Any], Any]) -> None:
    network = _network()
    optimizer = _optimizer(network, fused=True)
    _train(network, optimizer, range(4))
    optimizer.keep_zeros()
    other, its_optimizer = copied((network, optimizer))
    before = _snapshot(other, its_optimizer)
    _train(network, optimizer, range(4, 8))
    _assert_equal(_snapshot(other, its_optimizer), before)  # nothing is shared
    _train(other, its_optimizer, range(4, 8))
    _assert_equal(_snapshot(other, its_optimizer), _snapshot(network, optimizer))
    assert repr(its_optimizer) == repr(optimizer)


@pytest.mark.parametrize("penalty", [None, *PENALTIES], ids=str)
def test_training_goes_on_from_a_saved_state_whatever_the_new_optimizer_was_made_with(
    penalty: Penalty | None, tmp_path: Path
) -> None:
    network = _network()
    optimizer = _optimizer(network, penalty)
    _train(network, optimizer, range(5))
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    assert optimizer.param_groups[0]["penalty"] == penalty, "saving changes nothing"
    _train(network, optimizer, range(5, 10))
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    again = _network(seed=1)
    resumed = _optimizer(again, GroupLasso(77.0), lr=1.0)
    again.load_state_dict(state["network"])
    resumed.load_state_dict(state["optimizer"])
    assert resumed.param_groups[0]["penalty"] == penalty
    _train(again, resumed, range(5, 10))
    _assert_equal(_snapshot(again, resumed), _snapshot(network, optimizer))


@pytest.mark.slow
def test_a_network_compiled_to_code_trains_as_it_does_otherwise() -> None:
    ours, theirs = _network(), _network()
    compiled = torch.compile(ours)
    _train(compiled, _optimizer(compiled), range(8))
    _train(theirs, _optimizer(theirs), range(8))
    _assert_equal(_snapshot(ours), _snapshot(theirs), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("axis", [INPUT_CHANNELS, OUTPUT_CHANNELS])
@pytest.mark.parametrize("penalty", [GroupLasso(0.03), GroupMCP(0.05, gamma=3.0)], ids=str)
def test_kept_zeros_stay_while_everything_else_trains_without_a_penalty(penalty: Penalty, axis: int, tmp_path: Path) -> None:
    """Also in another process; without them, dead groups come back to life at once."""

    def optimizer_of(network: nn.Module, strength: Tensor | float) -> ProxAdam:
        return _optimizer(network, penalty.with_strength(strength), axis=axis)

    network = _network()
    optimizer = optimizer_of(network, penalty.lambda_)
    _train(network, optimizer, range(6))
    convs = [network[0].weight, network[2].weight]
    alive = [live_groups(weight.detach(), axis) for weight in convs]
    assert not all(values.all() for values in alive)
    assert any(values.any() for values in alive)
    free, its_optimizer = copy.deepcopy((network, optimizer))
    for part in (optimizer, its_optimizer):
        part.param_groups[0]["penalty"] = penalty.with_strength(0.0)
    optimizer.keep_zeros()
    before = _snapshot(network)
    _train(network, optimizer, range(6, 12))
    _train(free, its_optimizer, range(6, 12))
    assert any(live_groups(weight.detach(), axis).all() for weight in (free[0].weight, free[2].weight))
    for name, weight, values in zip(("0.weight", "2.weight"), convs, alive, strict=True):
        assert torch.equal(live_groups(weight.detach(), axis), values)
        moved = (weight != before[name]).movedim(axis, 0).flatten(1).all(1)
        assert torch.equal(moved, values)  # every weight of every live group has moved
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    other = _network(1)
    resumed = optimizer_of(other, 0.5)
    other.load_state_dict(state["network"])
    resumed.load_state_dict(state["optimizer"])
    _train(other, resumed, range(12, 16))
    _train(network, optimizer, range(12, 16))
    _assert_equal(_snapshot(other, resumed), _snapshot(network, optimizer))
    assert [live_groups(weight.detach(), axis).tolist() for weight in convs] == [values.tolist() for values in alive]


# (d) several processes


def _one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    results = []
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    try:
        for penalty in PENALTIES:
            network = nn.parallel.DistributedDataParallel(_network(seed=rank))  # it starts as rank 0's
            optimizer = _optimizer(network, penalty, fused=True)
            for step in range(8):
                images, labels = (tensor.chunk(2)[rank] for tensor in _batch(step))
                optimizer.zero_grad()
                _loss(network, (images, labels)).backward()
                optimizer.step()
            results.append(_snapshot(network.module, optimizer))
        torch.save(results, f"{folder}/rank{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without torch.distributed")
def test_two_processes_train_as_one_does_with_both_their_batches(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_one_of_two, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    for penalty, left, right in zip(PENALTIES, first, second, strict=True):
        _assert_equal(left, right)
        network = _network()
        optimizer = _optimizer(network, penalty, fused=True)
        _train(network, optimizer, range(8))
        _assert_equal(left, _snapshot(network, optimizer), rtol=1e-4, atol=1e-6)
        _assert_some_dead(network)
        assert [live_groups(left[name]).tolist() for name in ("0.weight", "2.weight")] == [
            live_groups(network[layer].weight.detach()).tolist() for layer in (0, 2)
        ]
