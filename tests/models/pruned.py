"""Networks with zero groups, wild batch norms, and the comparison of a compact network with the dense one."""

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from unittest import mock

import torch
from torch import Tensor, nn

from models import CompactModel, CompactReport, MultiTaskModel, build_model, compact
from models.compaction import runner
from models.heads import ClassificationHead, DeepLabHead, feature_convs
from models.resnetd import ResNetD
from tests.configs import make_config
from tests.equality import equal
from tests.narrow import resnet18_narrow
from tests.small import snapshot

DENSE_TASKS = ("segmentsemantic", "depth_euclidean", "surface_normal", "edge_texture")
FACE_TASKS = ("segmentsemantic", "class_male", "class_smile")


def generator(seed: int) -> torch.Generator:
    """Random numbers that are the same on every run."""
    return torch.Generator().manual_seed(seed)


def tiny(
    kind: str = "resnetd50", *, stride: int = 8, channels: int = 3, blocks: Sequence[int] = (2, 2, 1, 2)
) -> MultiTaskModel:
    """A narrow ResNet-D (real stem, stages of a few channels, of odd numbers) with a dense head and one for attributes."""
    with mock.patch.multiple("models.resnetd", STAGE_WIDTHS=(5, 6, 7, 9), STAGE_BLOCKS={kind: tuple(blocks)}):
        backbone = ResNetD(kind, channels, stride)
    width = backbone.out_channels
    return MultiTaskModel(
        backbone, {"depth_euclidean": DeepLabHead(width, 2, 4, [1, 3]), "class_male": ClassificationHead(width)}
    )


@functools.cache
def _full(backbone: str, stride: int, channels: int, faces: bool) -> MultiTaskModel:
    data = {"dataset_name": "celebA", "task_list": FACE_TASKS} if faces else {"task_list": DENSE_TASKS}
    config = make_config(backbone=backbone, output_stride=stride, input_img_channels=channels, normalize="none", **data)
    torch.manual_seed(0)
    return build_model(config)


def full(backbone: str, stride: int = 8, channels: int = 3, *, faces: bool = False) -> MultiTaskModel:
    """A network of the project as it is, with small heads."""
    return copy.deepcopy(_full(backbone, stride, channels, faces))


def narrow() -> MultiTaskModel:
    """A ResNet-18 with few channels behind its first stage, with all dense heads."""
    torch.manual_seed(0)
    with resnet18_narrow():
        return build_model(make_config(backbone="resnet18", output_stride=8, normalize="none", task_list=DENSE_TASKS))


def convs(model: MultiTaskModel) -> dict[str, nn.Conv2d]:
    """All convolutions of the backbone and those of the heads that read the features, by name in the model."""
    named = {f"backbone.{name}": conv for name, conv in model.backbone.named_modules() if isinstance(conv, nn.Conv2d)}
    for task, head in model.heads.items():
        named |= {f"heads.{task}.{name}": conv for name, conv in feature_convs(head)}
    return named


@torch.no_grad()
def wild_norms(model: nn.Module, kind: str, seed: int) -> None:
    """Arbitrary statistics: usual ones, ``signs`` (and zero gammas), ``shifts`` of a thousand, ``variances`` of any size."""
    g = generator(seed)
    for norm in [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]:
        size = norm.num_features

        def uniform(low: float, high: float, size: int = size) -> Tensor:
            return torch.empty(size).uniform_(low, high, generator=g)

        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(uniform(-0.3, 0.3))
        norm.running_var.copy_(uniform(0.1, 0.5))
        norm.weight.copy_(uniform(0.2, 1.2))
        norm.bias.copy_(uniform(-0.3, 0.6))
        if kind == "signs":
            norm.weight.mul_(torch.randint(-1, 2, (size,), generator=g))
        elif kind == "shifts":
            norm.running_mean.copy_(uniform(-1e3, 1e3))
            norm.bias.copy_(uniform(-1e3, 1e3))
        elif kind == "variances":  # gamma makes up for it: else nothing finite is left after a few layers
            norm.running_var.copy_(10 ** uniform(-12, 9) * uniform(-0.2, 1).ge(0))
            scale = (norm.running_var + norm.eps).sqrt()
            norm.weight.copy_(uniform(-1.5, 1.5) * scale)
            norm.running_mean.copy_(uniform(-1, 1) * scale)


Pattern = Callable[[str, nn.Conv2d, torch.Generator], Tensor]
"""Name, convolution and random numbers -> (groups,) bool: which groups become zero."""


def density(share: float) -> Pattern:
    """Each group with this probability."""
    return lambda name, conv, g: torch.rand(conv.in_channels, generator=g) < share


def dead(*parts: str, share: float = 0.4) -> Pattern:
    """Whole layers whose name ends with, or contains, one of ``parts``; of the others a share."""

    def pattern(name: str, conv: nn.Conv2d, g: torch.Generator) -> Tensor:
        rest = density(share)(name, conv, g)
        return torch.ones_like(rest) if any(part in f"{name}." for part in parts) else rest

    return pattern


def _one_left(name: str, conv: nn.Conv2d, g: torch.Generator) -> Tensor:
    zero = torch.ones(conv.in_channels, dtype=torch.bool)
    zero[torch.randint(conv.in_channels, (), generator=g)] = False
    return zero


def _layers(name: str, conv: nn.Conv2d, g: torch.Generator) -> Tensor:
    return torch.ones(conv.in_channels, dtype=torch.bool) if torch.rand((), generator=g) < 0.3 else density(0.3)(name, conv, g)


def _colour(name: str, conv: nn.Conv2d, g: torch.Generator) -> Tensor:
    zero = density(0.5)(name, conv, g)
    if name in ("backbone.stem.0", "backbone.conv1"):
        zero[:] = torch.arange(len(zero)) == 1
    return zero


def _unread(name: str, conv: nn.Conv2d, g: torch.Generator) -> Tensor:
    zero = density(0.3)(name, conv, g)
    if name.startswith("heads."):
        zero[: 3 * len(zero) // 4] = True
    return zero


PATTERNS: dict[str, Pattern] = {
    "nothing": density(0.0),
    "a tenth": density(0.1),
    "half": density(0.5),
    "most": density(0.9),
    "nearly all": density(0.99),
    "everything": density(1.1),
    "one group left": _one_left,
    "one layer alone": lambda name, conv, g: torch.full((conv.in_channels,), "layer2.0.conv2" not in name),
    "layers": _layers,
    "conv1": dead("conv1."),
    "conv2": dead("conv2."),
    "conv3": dead("conv3."),
    "branches": dead("conv1.", "conv2.", "conv3."),
    "shortcuts": dead("downsample"),
    "branch and shortcut": dead("layer2.0.", "layer3.0.", "layer4.1."),
    "branch and shortcut, the rest alive": dead("layer2.0.", share=0.0),
    "last stage": dead("layer4."),
    "stem start": dead("stem.0.", "backbone.conv1."),
    "stem middle": dead("stem.3."),
    "stem end": dead("stem.6."),
    "stem": dead("stem.", "backbone.conv1.", share=0.1),
    "colour": _colour,
    "unread features": _unread,
    "one head": dead("heads.depth_euclidean", "heads.class_male"),
    "all heads": dead("heads."),
}


@torch.no_grad()
def prune(model: MultiTaskModel, pattern: str | Pattern, seed: int = 0, *, heads: bool = True, elements: float = 0.0) -> None:
    """Sets groups to zero (those of the heads too, or not), and of what is left a share of the single weights."""
    g = generator(seed)
    chosen = PATTERNS[pattern] if isinstance(pattern, str) else pattern
    for name, conv in convs(model).items():
        if heads or name.startswith("backbone."):
            conv.weight[:, chosen(name, conv, g)] = 0
            conv.weight.mul_(torch.rand(conv.weight.shape, generator=g) >= elements)


@contextmanager
def torch_path() -> Iterator[None]:
    """Without the compiled kernel."""
    with mock.patch.object(runner.Runner, "can_run", lambda *_: False):
        yield


@contextmanager
def _uncounted() -> Iterator[None]:
    with mock.patch("models.compaction.compact.count_macs", lambda *_: {}):
        yield


def make_compact(
    model: MultiTaskModel, *, free_selects: bool = True, counted: bool = False
) -> tuple[CompactModel, CompactReport]:
    """``compact(model)``; without counting MACs it takes a tenth of the time."""
    with nullcontext() if counted else _uncounted():
        return compact(model, free_selects=free_selects)


def worst(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """The largest difference, relative to the largest number of ``theirs``, over the tasks; only where ``theirs`` is finite."""
    assert ours.keys() == theirs.keys()
    errors = [0.0]
    for task, b in theirs.items():
        a, b = ours[task].double(), b.double()
        assert a.shape == b.shape
        finite = b.isfinite()
        if finite.any():
            assert a[finite].isfinite().all(), task
            scale = b[finite].abs().max().clamp(min=1e-30)
            if (
                b.ndim == 1 and "features" in theirs and theirs["features"].numel()
            ):  # one number alone may be about zero, as a difference of large ones
                scale = torch.maximum(scale, 0.01 * theirs["features"].double().nan_to_num(0, 0, 0).abs().max())
            errors.append(float((a - b)[finite].abs().max() / scale))
    return max(errors)


def outputs(model: nn.Module, images: Tensor, channels: Tensor | None = None) -> dict[str, Tensor]:
    """Logits per task, and the features (or some of their channels), without gradients, in eval mode."""
    with torch.no_grad():
        logits: dict[str, Tensor] = dict(model.eval()(images))
        features = model.get_submodule("backbone")(model.get_submodule("normalize")(images))
    return logits | {"features": features if channels is None else features[:, channels]}


def feature_numbers(model: MultiTaskModel, report: CompactReport) -> Tensor:
    """Return which channels of the dense features are left, in the compact model's order."""
    last = [name for name in convs(model) if name.startswith("backbone.") and "downsample" not in name][-1]
    rows = report.maps[f"{last}.weight"].rows
    assert rows is not None
    return rows


def _typical_error(model: MultiTaskModel, images: Tensor, kept: Tensor, dense64: dict[str, Tensor]) -> float:
    """The dense model's own error where it matters: the largest of some, since one number's may be small by luck."""
    near = [images * (1 + step * 2**-23) for step in range(-2, 3)]
    return max(worst(outputs(model, x, kept), dense64) for x in near)


def assert_exact(model: MultiTaskModel, images: Tensor) -> None:
    """The promise, on all paths: kernel, torch operations, with selects that must pay, and float64; ``model`` is untouched."""
    before, model64 = snapshot(model), copy.deepcopy(model).double()
    kept = feature_numbers(model, make_compact(model)[1])
    dense, dense64 = outputs(model, images, kept), outputs(model64, images.double(), kept)
    own_error = worst(dense, dense64)
    for free_selects in (True, False):
        small, _ = make_compact(model, free_selects=free_selects)
        paths = {"torch": torch_path()}
        if runner.library() is not None:
            paths["kernel"] = nullcontext()
            with torch.no_grad():
                assert small.backbone.runner.can_run(small.backbone, images) or not small.backbone.out_channels
        for path, context in paths.items():
            with context:
                actual = outputs(small, images)
            error = worst(actual, dense)
            detail = f"{path}, free_selects={free_selects}: {error}, {worst(actual, dense64)} against the dense {own_error}"
            assert error <= 1e-5 or worst(actual, dense64) <= 4 * _typical_error(model, images, kept, dense64), detail
        small64, _ = make_compact(model64, free_selects=free_selects)
        # where float32 loses many digits, so does float64: eps differs by 5e8
        error = worst(outputs(small64, images.double()), dense64)
        assert error <= max(1e-12, 4 * own_error / 5e8), f"float64: {error} (float32: {own_error})"
    assert equal(before, snapshot(model))
