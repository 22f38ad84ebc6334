"""A compact model for training: step by step what the dense one does with everything that is gone held at zero."""

import copy
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.optimizer import build_optimizer, build_scheduler
from engine.sparsity_numbers import sparsity_numbers
from engine.weighting import build_weighting
from models import (
    CompactReport,
    MultiTaskModel,
    build_model,
    carry_optimizer_state,
    compact,
    mask_dense,
    narrowed_optimizer,
    plan_removal,
    put_back,
    return_optimizer_state,
)
from models.compaction.layers import CompactConv2d
from models.compaction.report import ParameterMap
from models.heads import ClassificationHead, DeepLabHead
from models.resnetd import STAGE_BLOCKS, ResNetD
from models.torchvision_resnet import TorchvisionResNet
from optim import GroupL0, GroupLasso, GroupMCP, Penalty, ProxAdam, SparseGroupLasso, live_mask, sparsity_report
from optim.groups import grouped_weights, keep_group_size, live_groups, penalised_group_size
from tests.configs import make_config
from tests.equality import equal
from tests.narrow import counted_by_computing, make_resnet18_narrow

__all__ = ["counted_by_computing"]

Maps = Mapping[str, ParameterMap]
LASSO, MCP, SPARSE = GroupLasso(3e-5), GroupMCP(1e-3, gamma=3.0), SparseGroupLasso(3e-5, l1_ratio=0.3)
L0 = [(GroupL0(0.0, "adam"), "auto"), (GroupL0(0.0, "fisher"), "torch"), (GroupL0(0.0, "taylor"), "auto")]
STEPS = 5


def small_model(name: str = "resnetd50", stride: int = 16, eps: float = 0.5) -> MultiTaskModel:
    """Two heads on a narrow backbone, in float64, batch norm with all kinds of numbers.

    Batch norm on a map that a dead layer made constant multiplies gradients, and what is rounded off them, by 1 / sqrt(eps):
    with the usual 1e-5 the dense network's own gradients are noise behind a dead stage.
    """
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.resnetd.STAGE_WIDTHS", (6, 8, 10, 12))
        patch.setitem(STAGE_BLOCKS, "resnetd50", (2, 3, 2, 2))
        make_resnet18_narrow(patch)
        backbone = ResNetD(name, 3, stride) if name.startswith("resnetd") else TorchvisionResNet(name, 3, stride)
    features = backbone.out_channels
    model = MultiTaskModel(backbone, {"map": DeepLabHead(features, 3, 6, [2], 0.2), "flag": ClassificationHead(features)})
    # Of pixels that are equal but for rounding, a max-pool gives one the gradient: where features are constant, any.
    model.heads["flag"].set_submodule("2", nn.AvgPool2d(2, ceil_mode=True))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.momentum = eps, 0.3
            module.weight.data.normal_(1.0, 0.5)
            module.bias.data.normal_(0.2, 0.5)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    return model.double()


def pruned(model: MultiTaskModel, zero: Callable[[MultiTaskModel], None]) -> tuple[MultiTaskModel, CompactReport]:
    """Set groups of a model to zero and compact it for training."""
    with torch.no_grad():
        zero(model)
    return compact(model, for_training=True, image_size=(32, 32))


def make_optimizer(model: MultiTaskModel, penalty: Penalty, heads: bool = True, **options: Any) -> ProxAdam:
    """Penalties on the backbone's convolutions and, unsteered, on the heads' readers; the rest without."""
    convs = [weight for _, weight in grouped_weights(model.backbone)]
    readers = [conv.weight for _, conv in model.feature_readers()] if heads else []
    taken = {id(weight) for weight in (*convs, *readers)}
    groups = [
        {"params": convs, "penalty": penalty, "lr": 3e-3},
        {
            "params": readers,
            "penalty": penalty.with_strength(2 * float(penalty.lambda_)),
            "steered": False,
            "weight_decay": 0.2,
        },
        {"params": [p for p in model.parameters() if id(p) not in taken], "weight_decay": 0.05},
    ]
    return ProxAdam([group for group in groups if group["params"]], lr=2e-3, weight_decay=0.1, **options)


def batch_loss(model: MultiTaskModel, step: int) -> Tensor:
    """The loss of batch number ``step``, with that step's dropout."""
    random = torch.Generator().manual_seed(step)
    images = torch.rand(3, 3, 32, 32, generator=random, dtype=torch.float64)
    torch.manual_seed(step)
    outputs = model(images)
    targets = {task: torch.randn(out.shape, generator=random, dtype=out.dtype) for task, out in outputs.items()}
    return 5 * torch.stack([(out - targets[task]).square().mean() for task, out in outputs.items()]).sum()


def masks_of(model: nn.Module, maps: Maps) -> dict[str, Tensor]:
    """1 where a dense parameter is left, else 0: written out from the numbers, apart from the maps' own method."""
    masks = {}
    for name, parameter in model.named_parameters():
        rows = maps[name].rows
        columns = maps[name].columns
        mask = torch.zeros_like(parameter)
        for i in range(len(parameter)) if rows is None else rows.tolist():
            mask[i, ... if columns is None else columns] = 1.0
        masks[name] = mask
    return masks


def step_of(model: MultiTaskModel, optimizer: ProxAdam, step: int, masks: Mapping[str, Tensor] | None = None) -> float:
    """One step of training; with ``masks`` the masked dense step: mask the gradients, clip, step, mask again."""
    loss = batch_loss(model, step)
    loss.backward()
    if masks is not None:
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(masks[name])
    trained = [parameter for parameter in model.parameters() if parameter.grad is not None]
    norm = nn.utils.clip_grad_norm_(trained, 0.1)
    assert norm > 0.1, "the gradient is clipped in this test"
    optimizer.step()
    optimizer.zero_grad()
    if masks is not None:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.mul_(masks[name])
    return float(loss.detach())


@dataclass
class Pair:
    """The masked dense training, and the compact one."""

    dense: MultiTaskModel
    dense_optimizer: ProxAdam
    model: MultiTaskModel
    optimizer: ProxAdam
    maps: Maps
    masks: dict[str, Tensor]

    def step(self, step: int) -> None:
        """One step of both: with one loss, and with equal results."""
        expected = step_of(self.dense, self.dense_optimizer, step, self.masks)
        actual = step_of(self.model, self.optimizer, step)
        assert actual == pytest.approx(expected, rel=1e-9, abs=1e-9)
        self.check(f"after step {step}")

    def check(self, when: str) -> None:
        """Parameters, moments, batch norm's statistics, and which groups live."""
        dense, left = dict(self.dense.named_parameters()), dict(self.model.named_parameters())
        for name, part in self.maps.items():
            taken = part.take(dense[name].detach())
            assert (name in left) == (taken.numel() > 0), name
            if name not in left:
                continue
            close(left[name], taken, f"{when}: {name}")
            if left[name].ndim == 4:
                assert live_groups(left[name]).tolist() == live_groups(taken).tolist(), f"{when}: the zero groups of {name}"
            ours, theirs = self.optimizer.state.get(left[name], {}), self.dense_optimizer.state.get(dense[name], {})
            assert ours.keys() == theirs.keys()
            for moment in ours:
                value = theirs[moment]
                if moment == "products":  # one number per group
                    value = value if part.columns is None else value[part.columns]
                elif moment != "step":
                    value = part.take(value)
                size = float(value.abs().max())  # moments are small numbers
                close(ours[moment] / (size + 1e-6), value / (size + 1e-6), f"{when}: {moment} of {name}")
        buffers = dict(self.dense.named_buffers())
        for name, buffer in self.model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                part = self.maps[f"{name.rpartition('.')[0]}.weight"]
                close(buffer, part.take(buffers[name]), f"{when}: {name}")


def outputs_of(model: MultiTaskModel) -> dict[str, Tensor]:
    """One forward pass in eval mode and one in train mode; the model stays as it is."""
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    copied, outputs = copy.deepcopy(model), {}
    for mode in (False, True):
        torch.manual_seed(7)
        with torch.no_grad():
            outputs |= {f"{task}, train={mode}": out for task, out in copied.train(mode)(images).items()}
    return outputs


def outputs_agree(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Equal to 1e-9 in both modes."""
    for name, out in expected.items():
        close(actual[name], out, name)


def close(actual: Tensor, expected: Tensor, what: str) -> None:
    """Equal to 1e-9."""
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9, msg=lambda text: f"{what}: {text}")


def start(
    model: MultiTaskModel,
    penalty: Penalty,
    zero: Callable[[MultiTaskModel], None],
    warm: int = 2,
    heads: bool = True,
    **options: Any,
) -> Pair:
    """Some dense steps, zeros, and from there two trainings: the masked dense one and the compact one."""
    optimizer = make_optimizer(model, penalty, heads, **options)
    for step in range(warm):
        step_of(model, optimizer, 100 + step)
    small, report = pruned(model, zero)
    small_optimizer = make_optimizer(small, penalty, heads, **options)
    carry_optimizer_state(optimizer, model, small_optimizer, small, report.maps)
    masks = masks_of(model, report.maps)
    pair = Pair(model, optimizer, small, small_optimizer, report.maps, masks)
    actual = outputs_of(small)
    outputs_agree(actual, outputs_of(model))  # nothing that is gone had an effect
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(masks[name])
            for key in ("exp_avg", "exp_avg_sq"):
                if parameter in optimizer.state:
                    optimizer.state[parameter][key].mul_(masks[name])
    outputs_agree(actual, outputs_of(model))
    pair.check("at the start")
    return pair


def train(pair: Pair) -> None:
    """Some steps in train mode, some in eval mode, and what comes out."""
    for step in range(STEPS):
        pair.step(step)
    for model in (pair.dense, pair.model):
        model.eval()
    for step in range(STEPS, STEPS + 2):
        pair.step(step)
    outputs_agree(outputs_of(pair.model), outputs_of(pair.dense))


def dead(*names: str, share: float = 0.5) -> Callable[[MultiTaskModel], None]:
    """Zeroes the convolutions whose names begin so, and a random share of all other groups."""

    def zero(model: MultiTaskModel) -> None:
        random = torch.Generator().manual_seed(3)
        for name, weight in grouped_weights(model.backbone):
            gone = torch.rand(weight.shape[1], generator=random) < share
            weight[:, gone | any(f"{name}.".startswith(f"{start}.") for start in names)] = 0

    return zero


def unread(share: float, backbone: float = 0.3) -> Callable[[MultiTaskModel], None]:
    """Zeroes a share of the features in all heads, and more of them in single convolutions."""

    def zero(model: MultiTaskModel) -> None:
        dead(share=backbone)(model)
        random = torch.Generator().manual_seed(4)
        ignored: Tensor | None = None
        for _, conv in model.feature_readers():
            draw = torch.rand(conv.weight.shape[1], generator=random)
            ignored = draw < share if ignored is None else ignored
            conv.weight[:, ignored | (torch.rand(len(draw), generator=random) < 0.3)] = 0

    return zero


def zeros_left(pair: Pair) -> int:
    """Zero groups of the compact backbone."""
    return int((~live_mask(pair.model)).sum())


BOTTLENECK = {
    "nothing": dead(share=0.0),
    "random": dead(share=0.7),
    "conv1": dead("layer2.1.conv1"),
    "conv3": dead("layer2.1.conv3"),
    "branch": dead("layer2.2", share=0.2),
    "both": dead("layer2.0.conv3", "layer2.0.downsample"),
    "stem 3": dead("stem.6", share=0.3),
    "all but one block": dead("stem", "layer1", "layer2", "layer3", "layer4.0", share=0.0),
    "everything": dead(share=1.1),
    "unread features": unread(0.5),
    "no feature is read": unread(1.1),
}


@pytest.mark.parametrize("pattern", BOTTLENECK)
def test_a_compact_bottleneck_network_trains_as_the_masked_dense_one(pattern: str) -> None:
    penalty = (LASSO, MCP, SPARSE)[list(BOTTLENECK).index(pattern) % 3]
    pair = start(small_model(), penalty, BOTTLENECK[pattern], warm=0 if pattern == "nothing" else 2)
    gone = sum(int((mask == 0).sum()) for mask in pair.masks.values())
    assert (gone > 0) == (pattern != "nothing")
    train(pair)
    if pattern not in ("everything", "no feature is read"):
        assert zeros_left(pair) > 0, "groups died on the way, at the same step in both"


BASIC = {
    "random": dead(share=0.6),
    "convolutions": dead("layer1.0.conv1", "layer2.0.downsample", "layer2.1.conv2"),
    "blocks": dead("layer1.0", "layer1.1", "layer3.1"),
    "the stem's stream": dead("layer1", "layer2.0.conv1", share=0.4),
}


@pytest.mark.parametrize(
    ("name", "stride", "penalty", "pattern"),
    [
        ("resnetd18", 8, SPARSE, "random"),
        ("resnetd18", 16, MCP, "blocks"),
        ("resnet18", 16, LASSO, "convolutions"),
        ("resnet18", 8, MCP, "the stem's stream"),
    ],
)
def test_a_compact_network_of_basic_blocks_trains_as_the_masked_dense_one(
    name: str, stride: int, penalty: Penalty, pattern: str
) -> None:
    train(start(small_model(name, stride), penalty, BASIC[pattern]))


@pytest.mark.parametrize("name", ["resnetd50", "resnet18"])
def test_with_the_usual_batch_norm_as_well(name: str) -> None:
    pair = start(small_model(name, stride=8, eps=1e-5), LASSO, dead(share=0.3), warm=4)
    pair.step(0)
    outputs_agree(outputs_of(pair.model), outputs_of(pair.dense))


@pytest.mark.parametrize(("penalty", "kernel"), [(LASSO, "auto"), (MCP, "torch"), *L0])
def test_a_share_of_zeros_is_that_of_the_dense_networks_groups(penalty: Penalty, kernel: str) -> None:
    model = small_model("resnetd18")
    pair = start(model, penalty.with_strength(0.0), dead(share=0.5), heads=False, kernel=kernel)
    groups = len(live_mask(pair.dense))
    pair.dense_optimizer.zero_share = 0.6
    assert len(live_mask(pair.model)) < 0.5 * groups
    for step in range(STEPS):
        pair.optimizer.zero_share = pair.dense_optimizer.zero_share
        pair.step(step)
        actual, expected = pair.optimizer.found_lambda, pair.dense_optimizer.found_lambda
        assert actual is not None
        assert expected is not None
        close(actual, expected, "lambda")
        removed = groups - len(live_mask(pair.model))
        assert zeros_left(pair) + removed == round(pair.dense_optimizer.zero_share * groups)
        pair.dense_optimizer.zero_share += 0.05
    pair.dense_optimizer.zero_share = pair.optimizer.zero_share = 0.1  # less than is gone
    pair.step(STEPS)


def test_a_share_of_zeros_and_what_was_removed_are_carried() -> None:
    model = small_model("resnetd18")
    optimizer = make_optimizer(model, LASSO)
    step_of(model, optimizer, 0)
    with torch.no_grad():
        dead(share=0.5)(model)
    optimizer.zero_share = 0.7
    small, report = compact(model, for_training=True, image_size=(32, 32))
    carried = make_optimizer(small, LASSO)
    carry_optimizer_state(optimizer, model, carried, small, report.maps)
    assert carried.zero_share == 0.7
    dense = [sum(weight.shape[1] for weight in group["params"]) for group in optimizer.param_groups[:2]]
    left = [sum(weight.shape[1] for weight in group["params"]) for group in carried.param_groups[:2]]
    gone = [a - b for a, b in zip(dense, left, strict=True)]
    assert [group["removed_groups"] for group in carried.param_groups] == [*gone, 0]
    assert gone[0] > 0
    again = make_optimizer(small, LASSO)
    again.load_state_dict(carried.state_dict())
    assert [group["removed_groups"] for group in again.param_groups] == [*gone, 0]
    plain = torch.optim.AdamW([{"params": group["params"]} for group in carried.param_groups])
    again.load_state_dict(plain.state_dict())
    assert [group["removed_groups"] for group in again.param_groups] == [*gone, 0], "it does not say: they stay"


@pytest.mark.parametrize(("penalty", "kernel"), L0)
def test_what_goes_into_a_compact_network_comes_back_as_it_was(penalty: Penalty, kernel: str) -> None:
    model = small_model("resnetd18")
    optimizer = make_optimizer(model, penalty, heads=False, kernel=kernel)
    optimizer.zero_share = 0.6
    for step in range(3):
        step_of(model, optimizer, step)
    small, report = compact(model, for_training=True, image_size=(32, 32))
    mask_dense(model, report.maps, optimizer)
    optimizer.keep_zeros()
    weights, state = copy.deepcopy(dict(model.named_parameters())), copy.deepcopy(optimizer.state_dict())
    narrow = narrowed_optimizer(optimizer, model, small, report.maps)
    assert narrow.param_groups[0]["removed_groups"] > 0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7)
    for values in optimizer.state.values():
        values["exp_avg"].fill_(7)
    optimizer.param_groups[0]["keep"] = None
    put_back(small, model, report.maps)
    return_optimizer_state(narrow, small, optimizer, model, report.maps)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, weights[name]), name
    returned = optimizer.state_dict()
    assert equal(returned["param_groups"], state["param_groups"])
    for number, values in returned["state"].items():
        assert equal(values, state["state"][number]), number
    gone = set(state["state"]) - set(returned["state"])
    assert all(not state["state"][number]["exp_avg"].any() for number in gone)


def test_a_frozen_head_stays_as_it_is() -> None:
    model = small_model("resnetd18")
    model.freeze_head("map")
    pair = start(model, LASSO, unread(0.4))
    assert pair.model.frozen == {"map"}
    assert not any(parameter.requires_grad for parameter in pair.model.heads["map"].parameters())
    before = copy.deepcopy(pair.model.heads["map"].state_dict())
    train(pair)
    assert all(torch.equal(value, before[name]) for name, value in pair.model.heads["map"].state_dict().items())


def test_modes_and_what_learns_are_those_of_the_dense_model() -> None:
    model = small_model("resnetd18").train()
    model.backbone.get_submodule("layer2.0.bn1").eval()
    model.backbone.get_submodule("layer3").eval()
    for name in ("backbone.layer1.0.conv1.weight", "backbone.layer1.0.bn1.bias", "heads.flag.0.weight"):
        model.get_parameter(name).requires_grad_(False)
    pair = start(model, LASSO, dead(share=0.3))
    for name, module in pair.model.named_modules():
        assert module.training == model.get_submodule(name).training, name
    for name, parameter in pair.model.named_parameters():
        assert parameter.requires_grad == model.get_parameter(name).requires_grad, name
    pair.step(0)
    pair.step(1)


def test_with_the_size_that_is_left_the_training_would_be_another_one() -> None:
    pair = start(small_model("resnetd18"), LASSO, dead(share=0.6))
    for _, weight in grouped_weights(pair.model.backbone):
        keep_group_size(weight, weight[:, 0].numel())
    with pytest.raises(AssertionError, match=r"Tensor-likes are not close|zero groups"):
        train(pair)


def test_without_the_moments_the_training_would_be_another_one() -> None:
    pair = start(small_model("resnetd18"), LASSO, dead(share=0.6))
    pair.optimizer.state.clear()
    with pytest.raises(AssertionError, match=r"Tensor-likes are not close|zero groups"):
        pair.step(0)


def _pickled(model: nn.Module) -> nn.Module:
    copied: nn.Module = pickle.loads(pickle.dumps(model))
    return copied


def _assigned(model: nn.Module) -> nn.Module:
    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()}, assign=True)
    return model


def _with_new_parameters(model: nn.Module) -> nn.Module:
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        return model.float()
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)


COPIES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "new parameters": _with_new_parameters,
    "meta": lambda model: model.to("meta"),
    "channels last": lambda model: model.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
    "all": lambda model: _assigned(copy.deepcopy(_pickled(model).float()).double()),
}


@pytest.mark.parametrize("way", COPIES)
def test_a_copied_model_keeps_the_size_of_its_groups(way: str) -> None:
    model = small_model("resnetd18")
    with torch.no_grad():
        dead(share=0.6)(model)
    small = COPIES[way](compact(model, for_training=True, image_size=(32, 32))[0])
    assert isinstance(small, MultiTaskModel)
    dense = dict(model.named_parameters())
    weights = [(f"backbone.{name}.weight", weight) for name, weight in grouped_weights(small.backbone)]
    weights += [(f"heads.{name}.weight", conv.weight) for name, conv in small.feature_readers()]
    assert len(weights) > 20
    assert {id(weight) for _, weight in weights} <= {id(weight) for weight in small.parameters()}
    for name, weight in weights:
        assert penalised_group_size(weight) == dense[name][:, 0].numel(), name
    assert any(weight[:, 0].numel() < penalised_group_size(weight) for _, weight in weights)


def test_the_batched_kernel_counts_the_original_group_size_too() -> None:
    model = small_model("resnetd18").float()
    with torch.no_grad():
        dead(share=0.6)(model)
    results = []
    for kernel in ("auto", "torch"):
        small, _ = compact(model, for_training=True, image_size=(32, 32))
        optimizer = make_optimizer(small, GroupLasso(2e-2), kernel=kernel)
        for weight in small.parameters():
            weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * 1e-2
        optimizer.step()
        results.append((live_mask(small), [weight.detach() for weight in small.parameters()]))
    assert 0 < int((~results[0][0]).sum()) < len(results[0][0])
    assert torch.equal(results[0][0], results[1][0])
    for first, second in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(first, second)


def test_zeros_that_are_kept_stay_kept() -> None:
    """Debiasing: lambda 0, and what is zero stays zero; also what became zero, and is there, in the compact model."""
    model = small_model("resnetd18")
    optimizer = make_optimizer(model, LASSO)
    for step in range(3):
        step_of(model, optimizer, step)
    with torch.no_grad():
        dead(share=0.4)(model)
    optimizer.keep_zeros()
    names = ("layer2.0.conv1", "layer3.1.conv2")
    with torch.no_grad():  # groups that the mask holds although something revived them: they stay in the compact model
        for name in names:
            model.backbone.get_parameter(f"{name}.weight")[:, :2] = 1e-3
    for group in optimizer.penalised():
        group["penalty"] = group["penalty"].with_strength(0.0)
    small, report = compact(model, for_training=True, image_size=(32, 32))
    small_optimizer = make_optimizer(small, LASSO)
    carry_optimizer_state(optimizer, model, small_optimizer, small, report.maps)
    masks = masks_of(model, report.maps)
    mask_dense(model, report.maps, optimizer)
    pair = Pair(model, optimizer, small, small_optimizer, report.maps, masks)
    for step in range(STEPS):
        pair.step(step)
    assert 0 < zeros_left(pair) < 20, "what was revived is zero again; nothing else died"


def test_options_follow_their_parameters_and_foreign_parameters_keep_their_state() -> None:
    model = small_model("resnetd18")
    weight = nn.Parameter(torch.zeros((), dtype=torch.float64))
    optimizer = make_optimizer(model, LASSO)
    optimizer.add_param_group({"params": [weight], "lr": 0.5, "name": "loss weights"})
    weight.grad = torch.ones_like(weight)
    step_of(model, optimizer, 0)
    optimizer.param_groups[0].update(lr=7e-4, weight_decay=0.3, penalty=LASSO.with_strength(0.125), initial_lr=1e-3)
    small, report = pruned(model, dead(share=0.5))
    carried = make_optimizer(small, MCP)
    carried.add_param_group({"params": [weight], "lr": 0.1})
    carry_optimizer_state(optimizer, model, carried, small, report.maps)
    for old, new in zip(optimizer.param_groups, carried.param_groups, strict=True):
        left_out = ("params", "removed_groups")
        assert {k: v for k, v in new.items() if k not in left_out} == {k: v for k, v in old.items() if k not in left_out}
    assert carried.param_groups[0]["penalty"] == GroupLasso(0.125)
    assert carried.state[weight].keys() == optimizer.state[weight].keys() != set()
    for name, value in optimizer.state[weight].items():
        assert torch.equal(carried.state[weight][name], value)
        assert carried.state[weight][name] is not value, "the two do not share memory"
    before = copy.deepcopy(optimizer.state_dict())
    step_of(small, carried, 1)
    after = optimizer.state_dict()
    assert before["param_groups"] == after["param_groups"]
    for number, state in before["state"].items():
        assert all(torch.equal(value, after["state"][number][name]) for name, value in state.items())


def test_an_optimizer_with_other_groups_is_refused() -> None:
    model = small_model("resnetd18")
    small, report = compact(model, for_training=True, image_size=(32, 32))
    optimizer = make_optimizer(model, LASSO)
    with pytest.raises(ValueError, match="parameter group 0 of the compact model's optimizer has no counterpart"):
        carry_optimizer_state(optimizer, model, ProxAdam(small.parameters()), small, report.maps)
    extra = make_optimizer(small, LASSO)
    extra.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    with pytest.raises(ValueError, match="parameter group 3 "):
        carry_optimizer_state(optimizer, model, extra, small, report.maps)


def test_other_optimizers_carry_their_state_as_well() -> None:
    model = small_model("resnetd18")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    batch_loss(model, 0).backward()
    optimizer.step()
    small, report = pruned(model, dead(share=0.5))
    carried = torch.optim.SGD(small.parameters(), lr=0.1, momentum=0.9)
    carry_optimizer_state(optimizer, model, carried, small, report.maps)
    for name, parameter in small.named_parameters():
        old = optimizer.state[model.get_parameter(name)]["momentum_buffer"]
        assert torch.equal(carried.state[parameter]["momentum_buffer"], report.maps[name].take(old))


def test_the_dense_model_is_masked_by_its_maps() -> None:
    model = small_model("resnetd18")
    optimizer = make_optimizer(model, LASSO)
    step_of(model, optimizer, 0)
    _, report = pruned(model, unread(0.5))
    masks = masks_of(model, report.maps)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    state = {name: copy.deepcopy(optimizer.state[parameter]) for name, parameter in model.named_parameters()}
    mask_dense(model, report.maps)
    for name, parameter in model.named_parameters():
        assert torch.equal(report.maps[name].mask(parameter), masks[name])
        assert torch.equal(parameter, before[name] * masks[name])
        assert torch.equal(optimizer.state[parameter]["exp_avg"], state[name]["exp_avg"])
    mask_dense(model, report.maps, optimizer)
    for name, parameter in model.named_parameters():
        for moment in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(optimizer.state[parameter][moment], state[name][moment] * masks[name])
        assert torch.equal(optimizer.state[parameter]["step"], state[name]["step"])


def test_a_compact_models_groups_are_those_that_are_left() -> None:
    model = small_model("resnetd18")
    small, report = pruned(model, unread(0.5))
    left = sparsity_report(small)
    assert left.zero_groups == 0
    by_name = {layer.layer: layer for layer in left.layers}
    for layer in report.layers:
        name = layer.layer.removeprefix("backbone.")
        if layer.part.startswith("heads"):
            assert layer.layer.removeprefix("heads.") in dict(small.feature_readers())
        elif layer.channels_read * (layer.filters - layer.filters_removed) == 0:
            assert name not in by_name
        else:
            assert by_name[name].groups == layer.channels_read
            assert by_name[name].parameters == layer.parameters_left
    assert [name for name, _ in grouped_weights(small.backbone)] == [
        name for name, _ in grouped_weights(model.backbone) if name in by_name
    ]
    assert int(model.read_features().sum()) == int(small.read_features().sum()) == len(small.read_features())
    first, *others = small.feature_readers()
    with torch.no_grad():
        for _, conv in (first, *others):
            assert isinstance(conv, CompactConv2d)
            conv.weight[:, conv.columns() == 1] = 0
    assert small.read_features().tolist() == [True, False] + [True] * (len(small.read_features()) - 2)
    assert len(live_mask(small)) == left.groups


@pytest.mark.parametrize("pattern", [unread(0.5, 0.5), unread(1.1, 1.1)], ids=["some", "everything"])
def test_an_experiments_optimizer_trains_a_compact_model(pattern: Callable[[MultiTaskModel], None]) -> None:
    config = make_config(
        backbone="resnetd18",
        output_stride=16,
        sparsify="backbone_and_heads",
        group_sparsity=True,
        comb_loss="uncertainity",
        bb_optimizer_params={"learning_rate": 1e-3, "penalty": "l1_l2", "lambda": 1e-4},
        optimizer_params={"learning_rate": 1e-3, "penalty": "l1_l2", "lambda": 1e-4},
        lr_schedule={"name": "cosine", "min_lr": 0.0},
    )
    torch.manual_seed(0)
    model, weighting = build_model(config), build_weighting(config)
    optimizer = build_optimizer(model, weighting, config)
    scheduler = build_scheduler(optimizer, config)
    images = torch.rand(2, 3, 32, 32)

    def train_a_step(network: MultiTaskModel, by: ProxAdam) -> None:
        losses = {task: out.square().mean() for task, out in network.train()(images).items()}
        weighting(losses).backward()
        by.step()
        by.zero_grad(set_to_none=True)

    train_a_step(model, optimizer)
    scheduler.step()
    with torch.no_grad():
        pattern(model)
    small, report = compact(model, for_training=True)
    small_optimizer = build_optimizer(small, weighting, config)
    small_scheduler = build_scheduler(small_optimizer, config)
    carry_optimizer_state(optimizer, model, small_optimizer, small, report.maps)
    small_scheduler.load_state_dict(scheduler.state_dict())
    names = [group["name"] for group in small_optimizer.param_groups]
    everything_dead = "backbone_convs" not in names
    assert names == (["heads", "loss_weights"] if everything_dead else [group["name"] for group in optimizer.param_groups])
    assert small_optimizer.param_groups[0]["lr"] == pytest.approx(0.5e-3)
    before = {name: parameter.detach().clone() for name, parameter in small.named_parameters()}
    for _ in range(2):
        train_a_step(small, small_optimizer)
    small_scheduler.step()
    assert small_optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-9)
    assert not [name for name, parameter in small.named_parameters() if torch.equal(parameter, before[name])]
    if not everything_dead:
        numbers = sparsity_numbers(small, config)
        assert 0 <= numbers["group_sparsity"] <= 100
        assert numbers["unread_features"] == 0


def test_where_a_feature_is_one_group_a_column_that_is_zero_in_one_head_alone_stays() -> None:
    model = small_model("resnetd18")
    readers = [conv.weight for _, conv in model.feature_readers()]
    with torch.no_grad():
        for weight in readers:
            weight[:, :3] = 0.0
        readers[0][:, 3:5] = 0.0
    removal, apart = plan_removal(model, whole_features=True), plan_removal(model)
    left = list(range(3, readers[0].shape[1]))
    read, alone = ([numbers for part in plan.heads.values() for numbers in part.values()] for plan in (removal, apart))
    assert [sorted(numbers.tolist()) for numbers in read] == [left] * len(readers)
    assert sorted(alone[0].tolist()) == left[2:]


def test_a_compact_model_is_not_compacted_again() -> None:
    small, _ = compact(small_model("resnetd18"), for_training=True, image_size=(32, 32))
    with pytest.raises(TypeError, match=r"compact\(\) expects a dense MultiTaskModel; this CompactModel is a compact"):
        compact(small, for_training=True)
