"""torchvision's own ResNets as dense backbones, and the weights they may start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torchvision
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from models.compaction.anatomy import Anatomy, conv_unit, residual_anatomy
from models.taps import DilatedConv2d
from utils.errors import UserError
from utils.paths import expanded
from utils.tensor_files import ForeignFileError, misfits, read_tensors

PARTS = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
"""Parts of torchvision's network that a dense backbone keeps, in order."""

OUT_CHANNELS = {"resnet18": 512, "resnet50": 2048, "resnet101": 2048}


def dilate_stage(stage: nn.Sequential, dilation: int, previous: int) -> None:
    """Turn the stride of a ResNet stage into dilation, as torchvision does for bottlenecks, also for basic blocks.

    The 3x3 convolution that had the stride still reads the ``previous`` stage's grid and takes its dilation; all later
    ones take ``dilation``. With the same weights, the features at the strided network's pixels are then its own.
    """
    rate = previous
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
            if module.kernel_size == (3, 3):
                module.dilation = module.padding = (rate, rate)
                module.__class__ = DilatedConv2d
                rate = dilation


class TorchvisionResNet(nn.Module):
    """``resnet18``, ``resnet50`` or ``resnet101`` without its classifier, at output stride 8 or 16.

    Args:
        name: torchvision's name.
        in_channels: colour channels.
        output_stride: 8 or 16.
        init_weights: a torchvision weights name (``IMAGENET1K_V1``), a local file with a state dict, or None.

    Attributes:
        init_report: one line that says what was loaded.

    Raises:
        UserError: ``init_weights`` names nothing that can be loaded, or it does not fit.
    """

    stage_names: ClassVar[dict[str, str]] = {"conv1": "stem"}

    def __init__(self, name: str, in_channels: int = 3, output_stride: int = 8, init_weights: str | None = None) -> None:
        super().__init__()
        network = get_model(name, weights=None)
        self.init_report = load_init_weights(network, name, init_weights) if init_weights else "random initialisation"
        if in_channels != 3:
            network.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        if output_stride == 8:
            dilate_stage(network.layer3, dilation=2, previous=1)
            dilate_stage(network.layer4, dilation=4, previous=2)
        else:
            dilate_stage(network.layer4, dilation=2, previous=1)
        self.out_channels = OUT_CHANNELS[name]
        for part in PARTS:
            self.add_module(part, getattr(network, part))

    def anatomy(self) -> Anatomy:
        """Return which convolution feeds which."""
        return residual_anatomy(self, (conv_unit(self, "conv1", "bn1", relu=True),))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out_channels, ~H / output_stride, ~W / output_stride)."""
        x = images
        for part in PARTS:
            x = getattr(self, part)(x)
        return x


def load_init_weights(network: nn.Module, name: str, init_weights: str) -> str:
    """Load ``init_weights`` into torchvision's ``network`` strictly and say in one line what was loaded.

    A file may hold the weights in a larger network or below other names (:func:`_find_network`). It may lack the classifier
    (``fc.*``), which is not used; every other weight must be there and fit, and the network that it holds may have no others.
    torch's bookkeeping ``num_batches_tracked`` is optional, as in files of old versions.
    """
    tensors = _read_tensors(name, init_weights)
    prefix = _find_network(tensors, init_weights)
    state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    own = {key: value for key, value in network.state_dict().items() if not key.startswith("fc.")}
    given = {key: value for key, value in state.items() if not key.startswith("fc.")}
    problems = misfits(own, given, name)
    where = f" (below {prefix!r})" if prefix else ""
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(
            f"init_weights: {init_weights!r}{where} does not fit backbone {name!r}: {'; '.join(problems[:3])}{more}"
        )
    network.load_state_dict(given, strict=False)
    count = sum(value.numel() for value in given.values())
    left = sorted(set(state) - set(given))
    beside = len(tensors) - len(state)
    return (
        f"{init_weights}{where}: loaded {len(given)} tensors ({count:,} numbers) into {name}"
        + (f"; left out {', '.join(left)}" if left else "")
        + (f"; left out {beside} tensors beside it" if beside else "")
    )


_LANDMARK = "layer1.0.conv1.weight"
"""A weight that every ResNet has, and that ends like no other of its weights."""

_ORDINARY = {"state_dict", "model_state_dict", "model", "net", "network", "module", "backbone", "encoder"}
"""Usual names of a network that somebody trained; another one beside it is its moving average, or its teacher."""


def _find_network(tensors: dict[str, Tensor], init_weights: str) -> str:
    """Return the beginning of the names of a ResNet's weights in a file, such as ``model_state_dict.module.``; often nothing.

    Raises:
        UserError: there is no ResNet, or there are several, none of which has an ordinary name alone.
    """
    prefixes = [key.removesuffix(_LANDMARK) for key in tensors if key == _LANDMARK or key.endswith(f".{_LANDMARK}")]
    if not prefixes:
        raise UserError(
            f"init_weights: {init_weights!r} holds no ResNet with torchvision's names (such as {_LANDMARK}); its first names "
            f"are {', '.join(list(tensors)[:3])}"
        )
    ordinary = [prefix for prefix in prefixes if set(prefix.split(".")[:-1]) <= _ORDINARY]
    if len(prefixes) > 1 and len(ordinary) != 1:
        raise UserError(
            f"init_weights: {init_weights!r} holds several networks, below {', '.join(map(repr, prefixes))}; save the one "
            "that is meant alone"
        )
    return ordinary[0] if ordinary else prefixes[0]


def _read_tensors(name: str, init_weights: str) -> dict[str, Tensor]:
    """All tensors of a file, or of torchvision's weights, by name; those of a mapping in a mapping are ``outer.inner``."""
    path = expanded(init_weights, "init_weights")
    if path.is_file():
        try:
            tensors = _named_tensors(read_tensors(path))
        except ForeignFileError as error:
            raise UserError(f"init_weights: {init_weights!r} is not a file of tensors: it {error}") from None
        if not tensors:
            raise UserError(f"init_weights: {init_weights!r} holds no state dict (names with tensors)")
        return tensors
    known = get_model_weights(name).__members__
    if init_weights not in known:
        raise UserError(
            f"init_weights: {init_weights!r} is neither a file nor weights that torchvision {torchvision.__version__} "
            f"has for {name!r}; expected a path or one of {', '.join(known)}"
        )
    try:
        return known[init_weights].get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise UserError(
            f"init_weights: {init_weights!r} could not be downloaded ({error}); download the file and give its path"
        ) from error


def _named_tensors(content: Any) -> dict[str, Tensor]:
    """The tensors of nested mappings, each mapping once; their names are joined by points."""
    tensors: dict[str, Tensor] = {}
    seen, waiting = set(), [("", content)]
    for before, mapping in waiting:
        if id(mapping) in seen or not isinstance(mapping, Mapping):
            continue
        seen.add(id(mapping))
        tensors |= {f"{before}{key}": value for key, value in mapping.items() if isinstance(value, Tensor)}
        waiting += [(f"{before}{key}.", value) for key, value in mapping.items()]
    return tensors
