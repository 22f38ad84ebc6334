"""torchvision's ResNets, dilated, and the weights they start from."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50

from models.torchvision_resnet import PARTS, TorchvisionResNet
from utils.errors import UserError


def _features(network: nn.Module, images: Tensor) -> Tensor:
    for part in PARTS:
        images = getattr(network, part)(images)
    return images


def _shaken(network: nn.Module) -> nn.Module:
    """Batch norm statistics and weights that are not 0 and 1, so that nothing cancels."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
    return network.eval()


def _with_weights_of(network: nn.Module, backbone: TorchvisionResNet) -> TorchvisionResNet:
    state = {key: value for key, value in network.state_dict().items() if not key.startswith("fc.")}
    backbone.load_state_dict(state)  # strict: the names are torchvision's
    return backbone.eval()


@pytest.mark.parametrize(("stride", "dilate"), [(8, [False, True, True]), (16, [False, False, True])])
@torch.no_grad()
def test_dilated_resnet50_is_torchvisions_own(stride: int, dilate: list[bool]) -> None:
    theirs = _shaken(resnet50(weights=None, replace_stride_with_dilation=dilate))
    ours = _with_weights_of(theirs, TorchvisionResNet("resnet50", output_stride=stride))
    images = torch.randn(1, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    assert ours(images).shape == (1, 2048, 64 // stride, 48 // stride)
    torch.testing.assert_close(ours(images), _features(theirs, images))


@pytest.mark.parametrize("stride", [8, 16])
@torch.no_grad()
def test_dilated_resnet18_is_the_strided_one_seen_more_finely(stride: int) -> None:
    """torchvision dilates no basic blocks. What dilation means: the original's features, and new ones between them."""
    theirs = _shaken(resnet18(weights=None))
    ours = _with_weights_of(theirs, TorchvisionResNet("resnet18", output_stride=stride))
    images = torch.randn(1, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    features = ours(images)
    assert features.shape == (1, 512, 96 // stride, 64 // stride)
    step = 32 // stride
    torch.testing.assert_close(features[:, :, ::step, ::step], _features(theirs, images))


@pytest.fixture(scope="module")
def weights() -> "OrderedDict[str, Tensor]":
    torch.manual_seed(5)
    return OrderedDict(_shaken(resnet18(weights=None)).state_dict())


def _save(tmp_path: Path, content: object) -> str:
    torch.save(content, tmp_path / "weights.pt")
    return str(tmp_path / "weights.pt")


def _below(prefix: str, weights: "OrderedDict[str, Tensor]") -> dict[str, Tensor]:
    return {prefix + key: value for key, value in weights.items()}


WRAPPED: dict[str, Callable[["OrderedDict[str, Tensor]"], dict[str, object]]] = {
    "": dict,
    **{
        f"{word}.": lambda weights, word=word: {word: weights, "epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(1)}}}}
        for word in ("state_dict", "ema")
    },
    **{prefix: lambda weights, prefix=prefix: _below(prefix, weights) for prefix in ("module.encoder.", "_orig_mod.")},
    "checkpoint.model.state_dict.": lambda weights: {"checkpoint": {"model": {"state_dict": weights}}},
    "model.backbone.": lambda weights: {"model": {**_below("backbone.", weights), "heads.a.weight": torch.ones(1)}},
    "model.module.": lambda weights: {"model_ema": _below("module.", weights), "model": _below("module.", weights)},
}
"""By what the names of the weights begin with: how people save them."""


@pytest.mark.parametrize("prefix", WRAPPED)
def test_a_local_file_is_loaded_whole_whatever_it_is_wrapped_in(
    weights: "OrderedDict[str, Tensor]", prefix: str, tmp_path: Path
) -> None:
    backbone = TorchvisionResNet("resnet18", init_weights=_save(tmp_path, WRAPPED[prefix](weights)))
    assert (f"(below {prefix!r})" in backbone.init_report) == bool(prefix)
    state = backbone.state_dict()
    assert set(state) == {key for key in weights if not key.startswith("fc.")}
    for key, value in state.items():
        assert torch.equal(value, weights[key]), key


@pytest.mark.parametrize("names", [("student", "teacher"), ("model", "net")])
def test_of_several_networks_none_is_taken_for_the_one_that_is_meant(
    weights: "OrderedDict[str, Tensor]", names: tuple[str, str], tmp_path: Path
) -> None:
    content = {name: {key: value + 0 for key, value in weights.items()} for name in names}
    said = rf"holds several networks, below '{names[0]}\.', '{names[1]}\.'; save the one that is meant alone$"
    with pytest.raises(UserError, match=said):
        TorchvisionResNet("resnet18", init_weights=_save(tmp_path, content))


def test_names_of_another_kind_are_shown(weights: "OrderedDict[str, Tensor]", tmp_path: Path) -> None:
    content = {"state_dict": {f"0.{place}": value for place, value in enumerate(weights.values())}}
    with pytest.raises(UserError, match=r"holds no ResNet with torchvision's names .*; its first names are state_dict\.0\.0, "):
        TorchvisionResNet("resnet18", init_weights=_save(tmp_path, content))


def test_the_report_says_what_was_loaded_and_what_was_left_out(weights: "OrderedDict[str, Tensor]", tmp_path: Path) -> None:
    path = _save(tmp_path, weights)
    numbers = sum(value.numel() for key, value in weights.items() if not key.startswith("fc."))
    expected = f"{path}: loaded {len(weights) - 2} tensors ({numbers:,} numbers) into resnet18; left out fc.bias, fc.weight"
    assert TorchvisionResNet("resnet18", init_weights=path).init_report == expected
    assert TorchvisionResNet("resnet18").init_report == "random initialisation"


def test_a_file_without_classifier_and_counters_is_enough(weights: "OrderedDict[str, Tensor]", tmp_path: Path) -> None:
    kept = {key: value for key, value in weights.items() if not key.startswith("fc.") and "num_batches" not in key}
    backbone = TorchvisionResNet("resnet18", init_weights=_save(tmp_path, kept))
    assert torch.equal(backbone.layer4[1].conv2.weight, weights["layer4.1.conv2.weight"])
    assert "left out" not in backbone.init_report


def test_a_missing_key_is_named(weights: "OrderedDict[str, Tensor]", tmp_path: Path) -> None:
    part = {key: value for key, value in weights.items() if key != "layer2.0.conv1.weight"}
    with pytest.raises(UserError, match=r"init_weights.*'resnet18': lacks layer2\.0\.conv1\.weight$"):
        TorchvisionResNet("resnet18", init_weights=_save(tmp_path, part))


def test_a_wrong_shape_is_named_with_both_shapes(weights: "OrderedDict[str, Tensor]", tmp_path: Path) -> None:
    wrong = {**weights, "conv1.weight": torch.zeros(64, 1, 7, 7)}
    message = r"conv1\.weight is \(64, 1, 7, 7\), expected \(64, 3, 7, 7\)$"
    with pytest.raises(UserError, match=message):
        TorchvisionResNet("resnet18", init_weights=_save(tmp_path, wrong))


def test_weights_of_another_network_are_refused_with_the_first_problems(
    weights: "OrderedDict[str, Tensor]", tmp_path: Path
) -> None:
    extra = {**weights, "stem.weight": torch.zeros(1)}
    with pytest.raises(UserError, match=r"has stem\.weight, which resnet18 has not$"):
        TorchvisionResNet("resnet18", init_weights=_save(tmp_path, extra))
    with pytest.raises(UserError, match=r"'resnet50': lacks .*; lacks .*; lacks .*, and \d+ more$"):
        TorchvisionResNet("resnet50", init_weights=_save(tmp_path, weights))


@pytest.mark.parametrize("content", [b"not a file of tensors", b""])
def test_a_file_of_something_else_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"init_weights: .*weights\.pt' is not a file of tensors"):
        TorchvisionResNet("resnet18", init_weights=str(path))


@pytest.mark.parametrize("content", [{}, [1, 2], {"epoch": 3}])
def test_a_file_without_a_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no state dict"):
        TorchvisionResNet("resnet18", init_weights=_save(tmp_path, content))


def test_neither_a_file_nor_a_name_says_what_there_is() -> None:
    with pytest.raises(UserError, match=r"'IMAGENET1K_V9' is neither a file nor weights .*'resnet18'.*IMAGENET1K_V1"):
        TorchvisionResNet("resnet18", init_weights="IMAGENET1K_V9")
