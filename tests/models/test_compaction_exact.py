"""A compact model gives the outputs of the dense one, whatever is zero, on every path and in every mode."""

import copy
import math
import pickle
import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18

from models import CompactModel, MultiTaskModel, build_model, compact, fold_batch_norm, save_compact
from models.compaction import runner
from tests.configs import make_config
from tests.equality import equal
from tests.models.pruned import (
    PATTERNS,
    assert_exact,
    convs,
    density,
    feature_numbers,
    full,
    generator,
    make_compact,
    outputs,
    prune,
    tiny,
    torch_path,
    wild_norms,
    worst,
)
from tests.small import snapshot

STATISTICS = ("usual", "signs", "shifts", "variances")
compiled = pytest.mark.skipif(runner.library() is None, reason="needs a C compiler")


def _pruned(pattern: str = "half", statistics: str = "usual", seed: int = 0, **values: Any) -> MultiTaskModel:
    torch.manual_seed(seed)
    model = tiny("resnetd50", **values)
    wild_norms(model, statistics, seed)
    prune(model, pattern, seed)
    return model.eval()


def _images(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(*(size or (2, 3, 33, 40)), generator=generator(seed))


# -- patterns ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_of_zero_groups(pattern: str) -> None:
    seed = list(PATTERNS).index(pattern)
    kind = ("resnetd18", "resnetd50", "resnetd50")[seed % 3]
    torch.manual_seed(seed)
    model = tiny(kind, stride=(8, 16)[seed % 2])
    wild_norms(model, STATISTICS[(seed + len(kind)) % 2], seed)
    prune(model, pattern, seed)
    assert_exact(model, _images(2, 3, 33, 40, seed=seed))


@settings(max_examples=12)
@given(
    st.sampled_from(["resnetd18", "resnetd50"]),
    st.sampled_from([8, 16]),
    st.lists(st.integers(1, 3), min_size=4, max_size=4),
    st.sampled_from(STATISTICS),
    st.sampled_from([0.0, 0.2, 0.5, 0.8, 0.95]),
    st.sampled_from([0.0, 0.1, 0.4]),
    st.sampled_from([0.0, 0.6, 0.97]),
    st.tuples(st.integers(1, 5), st.sampled_from([1, 3, 4]), st.integers(1, 48), st.integers(1, 48)),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_any_network(
    kind: str,
    stride: int,
    blocks: list[int],
    statistics: str,
    share: float,
    layers: float,
    elements: float,
    size: tuple[int, int, int, int],
    channels_last: bool,
    seed: int,
) -> None:
    def pattern(name: str, conv: nn.Conv2d, g: torch.Generator) -> Tensor:
        return density(1.1 if torch.rand((), generator=g) < layers else share)(name, conv, g)

    torch.manual_seed(seed)
    model = tiny(kind, stride=stride, channels=size[1], blocks=blocks)
    wild_norms(model, statistics, seed)
    prune(model, pattern, seed, elements=elements)
    images = _images(*size, seed=seed)
    if channels_last:
        model, images = model.to(memory_format=torch.channels_last), images.contiguous(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert_exact(model, images)


@pytest.mark.parametrize(("backbone", "stride"), [("resnet18", 16), ("resnetd50", 8)])
def test_whole_networks_with_every_head(backbone: str, stride: int) -> None:
    model = full(backbone, stride, faces=stride == 16)
    wild_norms(model, "signs" if stride == 16 else "usual", 1)
    prune(model, "half" if "d" in backbone else "layers", 1, heads=stride == 8)
    assert_exact(model, _images(1, 3, 33, 40))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "stride", "statistics"),
    [
        *(("resnet18", 8, "usual"), ("resnet18", 16, "variances"), ("resnetd18", 8, "signs"), ("resnetd18", 16, "shifts")),
        *(("resnet50", 8, "shifts"), ("resnet50", 16, "signs"), ("resnetd50", 8, "variances"), ("resnetd50", 16, "usual")),
        *(("resnet101", 16, "usual"), ("resnetd101", 8, "signs")),
    ],
)
def test_whole_networks_with_more_patterns(backbone: str, stride: int, statistics: str) -> None:
    for seed, pattern in enumerate(
        ["nothing", "half", "most", "everything", "layers", "conv2", "shortcuts", "branch and shortcut"]
    ):
        model = full(backbone, stride, faces=seed % 2 == 0)
        wild_norms(model, statistics, seed)
        prune(model, pattern, seed, heads=seed % 3 > 0)
        assert_exact(model, _images(2, 3, 33, 40, seed=seed))


def test_a_model_without_heads_keeps_all_features() -> None:
    model = MultiTaskModel(_pruned("half").backbone, {})
    assert_exact(model, _images())
    assert make_compact(model)[0].backbone.out_channels == model.backbone.out_channels


# -- images -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (17, 64)])
def test_image_sizes(size: tuple[int, int]) -> None:
    assert_exact(_pruned("half"), _images(2, 3, *size))


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.contiguous(memory_format=torch.channels_last),
        lambda x: x[1::2, :, 3:20, 5::2],
        lambda x: x[:, [2, 1, 0]].permute(0, 1, 3, 2),
        lambda x: x[:, :1].expand(-1, 3, -1, -1),
        nn.Parameter,
    ],
)
def test_images_in_any_layout(view: Callable[[Tensor], Tensor]) -> None:
    images = view(_images(4, 3, 33, 40))
    model = _pruned("half")
    assert_exact(model, images)
    small, _ = make_compact(model)
    assert equal(outputs(small, images), outputs(small, images.detach().contiguous()))


def test_no_image() -> None:
    """A batch of none, as the dense network takes it."""
    model = _pruned("half")
    dense, actual = outputs(model, torch.zeros(0, 3, 32, 32)), outputs(make_compact(model)[0], torch.zeros(0, 3, 32, 32))
    assert all(actual[task].shape == dense[task].shape for task in model.heads)


@pytest.mark.parametrize("shape", [(2, 4, 32, 32), (2, 2, 32, 32), (3, 32, 32)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    small, _ = make_compact(_pruned("stem start"))
    with pytest.raises(ValueError, match=r"images are .*expected \(B, 3, H, W\)"):
        outputs(small, torch.rand(shape))
    with torch_path(), pytest.raises(ValueError, match=r"images are .*expected \(B, 3, H, W\)"):
        outputs(small, torch.rand(shape))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("path", [pytest.param("kernel", marks=compiled), "torch"])
def test_numbers_that_are_not_finite(value: float, path: str) -> None:
    """They spread as in the dense network if nothing is removed; a removed channel spreads none."""
    images = _images(2, 3, 33, 640)
    images[0, 1, 30, 11] = value
    images[1, 2, 0, 0] = value
    for pattern in ("nothing", "half"):
        torch.manual_seed(0)
        model = tiny(blocks=(1, 1, 1, 1), stride=16)
        prune(model, pattern)
        small, report = make_compact(model)
        dense = outputs(model, images, feature_numbers(model, report))
        if path == "torch":
            with torch_path():
                actual = outputs(small, images)
        else:
            actual = outputs(small, images)
        assert 0 < dense["features"].isnan().float().mean() < 1
        assert worst(actual, dense) <= 1e-5  # where the dense network is finite
        if pattern == "nothing" and math.isnan(value):
            assert all(torch.equal(actual[name].isnan(), dense[name].isnan()) for name in dense)


# -- modes ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> MultiTaskModel:
    return _pruned("half")


@pytest.fixture
def small(model: MultiTaskModel) -> CompactModel:
    return make_compact(model)[0]


def test_a_model_in_training_mode_stays_so_and_gives_a_model_in_eval_mode() -> None:
    model = _pruned("half").train()
    model.heads["class_male"].eval()
    before, modes = snapshot(model), [module.training for module in model.modules()]
    grads = [parameter.requires_grad for parameter in model.parameters()]
    small, _ = make_compact(model)
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == grads
    assert equal(before, snapshot(model))
    assert not any(module.training for module in small.modules())
    assert not any(parameter.requires_grad for parameter in small.parameters())
    assert worst(outputs(small, _images()), {k: v for k, v in outputs(model, _images()).items()} | _features(model)) <= 1e-5


def _features(model: MultiTaskModel) -> dict[str, Tensor]:
    kept = feature_numbers(model, make_compact(model)[1])
    return {"features": outputs(model, _images(), kept)["features"]}


def test_the_compact_model_shares_no_memory_with_the_dense_one() -> None:
    model = _pruned("nothing")
    small, _ = make_compact(model)
    expected = outputs(small, _images())
    with torch.no_grad():
        for value in model.state_dict().values():
            value.zero_()
    with torch_path():
        assert worst(outputs(small, _images()), expected) <= 1e-5
    assert equal(outputs(small, _images()), expected)


def test_gradients_of_images_are_the_dense_ones(model: MultiTaskModel, small: CompactModel) -> None:
    gradients = []
    for network in (model, small):
        images = _images().requires_grad_()
        sum(out.square().sum() for out in network(images).values()).backward()
        assert images.grad is not None
        gradients.append(images.grad)
    assert gradients[0].abs().max() > 0
    assert (gradients[0] - gradients[1]).abs().max() <= 1e-4 * gradients[0].abs().max()


def test_autocast_is_close(model: MultiTaskModel, small: CompactModel) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        dense, actual = model(_images()), small(_images())
    for task in dense:
        assert actual[task].dtype == dense[task].dtype
        assert (actual[task] - dense[task]).abs().max() <= 0.05 * dense[task].abs().max()


def test_converted_to_float64_and_back(model: MultiTaskModel, small: CompactModel) -> None:
    dense = outputs(copy.deepcopy(model).double(), _images().double())
    expected = outputs(small, _images())
    small.double()
    double = outputs(small, _images().double())
    assert {value.dtype for value in double.values()} == {torch.float64}
    assert all((double[task] - dense[task]).abs().max() <= 1e-5 * dense[task].abs().max() for task in model.heads)
    assert equal(outputs(small.float(), _images()), expected)


@compiled
def test_the_default_dtype_does_not_matter(model: MultiTaskModel, small: CompactModel) -> None:
    expected = outputs(small, _images())
    torch.set_default_dtype(torch.float64)
    try:
        made, _ = make_compact(model)
        compact(model, image_size=(32, 32))
        assert equal(outputs(made, _images().float()), outputs(made, _images().float()))
        images = _images().float()
        actual = outputs(made, images)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {value.dtype for value in actual.values()} == {torch.float32}
    assert worst(actual, outputs(small, images)) == 0
    assert equal(outputs(small, _images()), expected)


# -- the runner's memory ----------------------------------------------------------------------------------------------------


def _assert_fresh(small: CompactModel, images: Tensor | None = None) -> None:
    """The kernel has seen the weights as they are now."""
    images = _images() if images is None else images
    actual = outputs(small, images)
    with torch_path():
        assert worst(actual, outputs(small, images)) <= 1e-5


@compiled
def test_changed_weights_are_packed_again(small: CompactModel) -> None:
    images, backbone = _images(), small.backbone
    before = outputs(small, images)
    with torch.no_grad():
        backbone.get_parameter("layer2.0.conv2.weight").mul_(3)
    _assert_fresh(small)
    with torch.no_grad():
        backbone.get_parameter("layer4.0.conv3.bias").add_(1)
    _assert_fresh(small)
    conv = backbone.get_submodule("layer1.0.conv3")
    conv.weight = nn.Parameter(2 * conv.get_parameter("weight").detach(), requires_grad=False)
    _assert_fresh(small)
    state = {name: value * 2 if value.is_floating_point() else value for name, value in small.state_dict().items()}
    small.load_state_dict(state)
    _assert_fresh(small)
    small.load_state_dict(state, assign=True)
    _assert_fresh(small)
    small.load_state_dict(
        {name: value / 2 if value.is_floating_point() else value for name, value in state.items()}, assign=True
    )
    _assert_fresh(small)
    assert worst(outputs(small, images), before) > 1e-3


@compiled
def test_rounded_weights_are_packed_again(small: CompactModel) -> None:
    """Converted there and back, they could lie where the old ones lay, were those not kept."""
    before = outputs(small, _images())
    conv = small.backbone.get_submodule("layer1.0.conv1")
    old = StorageWeakRef(conv.get_parameter("weight").untyped_storage())
    small.to(torch.bfloat16)
    assert not old.expired()
    for _ in range(3):
        small.to(torch.bfloat16).float()
        _assert_fresh(small)
    assert worst(outputs(small, _images()), before) > 1e-5


def test_copies_and_state_dicts(model: MultiTaskModel, small: CompactModel) -> None:
    expected = outputs(small, _images())
    copied = copy.deepcopy(small)
    pickled = pickle.loads(pickle.dumps(small))
    other, _ = make_compact(model)
    with torch.no_grad():
        for parameter in [*other.parameters(), *copied.parameters()]:
            parameter.add_(0.1)
    outputs(other, _images())
    assert worst(outputs(copied, _images()), expected) > 1e-3
    assert equal(outputs(small, _images()), expected)
    assert equal(outputs(pickled, _images()), expected)
    assert not other.load_state_dict(small.state_dict(), strict=True).missing_keys
    assert equal(outputs(other, _images()), expected)


def test_results_are_not_overwritten_by_the_next_call(small: CompactModel) -> None:
    first = outputs(small, _images(seed=1))
    kept = {name: value.clone() for name, value in first.items()}
    outputs(small, _images(seed=2))
    assert equal(first, kept)


def test_threads_that_call_one_model(small: CompactModel) -> None:
    images = [_images(1 + i % 3, 3, 32, 32 + i % 5, seed=i) for i in range(10)]
    expected = [outputs(small, image) for image in images]
    wrong: list[int] = []

    def work(start: int) -> None:
        for i in range(10):
            number = (i + start) % 10
            if not equal(outputs(small, images[number]), expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# -- what watches or traces -------------------------------------------------------------------------------------------------


def test_the_kernel_leaves_it_to_torch_where_torch_watches(small: CompactModel) -> None:
    images, expected = _images(), outputs(small, _images())
    can_run = small.backbone.runner.can_run
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        assert not can_run(small.backbone, images)
        small(images)
    assert counter.get_flop_counts()["CompactModel.backbone"]
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
        assert not can_run(small.backbone, torch.rand(1, 3, 32, 32))
    with torch.no_grad():
        one_by_one = torch.vmap(lambda image: small(image[None])["class_male"][0])(images)
        _, tangent = torch.func.jvp(lambda x: small(x)["depth_euclidean"], (images,), (torch.ones_like(images),))
        assert tangent.abs().max() > 0
        with forward_ad.dual_level():
            assert not can_run(small.backbone, forward_ad.make_dual(images, torch.ones_like(images)))
        with torch.autocast("cpu", torch.bfloat16):
            assert not can_run(small.backbone, images)
        assert not can_run(small.backbone, images.double())
        assert can_run(small.backbone, images) == (runner.library() is not None)
    assert (one_by_one - expected["class_male"]).abs().max() <= 1e-5


def test_export() -> None:
    model = _pruned("branch and shortcut")
    small, _ = make_compact(model, free_selects=False)
    batch = torch.export.Dim("batch", min=1, max=16)
    program = torch.export.export(small, (_images(2, 3, 33, 40),), dynamic_shapes={"images": {0: batch}})
    for size in (2, 5):
        images = _images(size, 3, 33, 40, seed=size)
        actual, expected = program.module()(images), small(images)
        assert all((actual[task] - expected[task]).abs().max() <= 1e-5 * expected[task].abs().max() for task in expected)


@pytest.mark.slow
def test_compile() -> None:
    model = _pruned("half")
    small, _ = make_compact(model)
    with torch.no_grad():
        actual, expected = torch.compile(small, fullgraph=True)(_images()), small(_images())
    assert all((actual[task] - expected[task]).abs().max() <= 1e-5 * expected[task].abs().max() for task in expected)


# -- what cannot be compacted -----------------------------------------------------------------------------------------------


FOREIGN: dict[str, Any] = {
    "a network of torchvision": resnet18,
    "a backbone": lambda: build_model(make_config()).backbone,
    "nothing": lambda: None,
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("function", [compact, fold_batch_norm])
def test_what_is_no_multi_task_model_is_refused_in_one_sentence(name: str, function: Callable[[Any], Any]) -> None:
    foreign = FOREIGN[name]()
    kind = type(foreign).__name__
    expected = rf"{function.__name__}\(\) expects a MultiTaskModel, such as models.build_model\(config\) gives, got {kind}$"
    with pytest.raises(TypeError, match=expected):
        function(foreign)
    with pytest.raises(TypeError, match=rf"expects what compact\(model\) gives, got {kind}$"):
        save_compact(foreign, "nowhere.safetensors", make_config())


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_of_a_wrapped_model_the_inner_one_is_asked_for(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = build_model(make_config())
    wrapped = wrap(model)
    with pytest.raises(TypeError, match=rf"got {type(wrapped).__name__} around one; give it the model inside") as refused:
        compact(wrapped)  # type: ignore[arg-type]
    name = str(refused.value).rpartition("(.")[2].rstrip(")")
    assert getattr(wrapped, name) is model


def test_other_networks_are_refused() -> None:
    with pytest.raises(TypeError, match="only the project's ResNets"):
        compact(MultiTaskModel(nn.Sequential(nn.Conv2d(3, 4, 1)), {}))
    model = _pruned()
    model.heads["depth_euclidean"] = nn.Conv2d(36, 1, 1)
    with pytest.raises(TypeError, match="Conv2d"):
        compact(model)
    model = _pruned()
    model.backbone.stem[1] = nn.GroupNorm(1, 64)
    with pytest.raises(TypeError, match=r"stem\.1"):
        compact(model)


def test_batch_norm_without_statistics_is_refused() -> None:
    model = _pruned()
    norm = model.backbone.get_submodule("layer1.0.bn1")
    norm.running_mean = norm.running_var = None
    with pytest.raises(ValueError, match="running statistics"):
        compact(model)


def test_all_of_a_models_convolutions_are_pruned_by_these_tests() -> None:
    """The helper reaches every convolution of the backbone, and each reader of the features."""
    model = _pruned("everything")
    names = {name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    assert {name for name in names if name.startswith("backbone.")} < set(convs(model)) < names
    assert not any(conv.weight.any() for conv in convs(model).values())
    with mock.patch.object(runner, "library", lambda: None):
        assert_exact(model, _images())
