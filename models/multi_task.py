"""The multi-task model: one shared backbone, one head per task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.heads import ClassificationHead, DeepLabHead, feature_convs
from optim.groups import Convolution, live_groups
from settings.config import ExperimentConfig
from settings.registries import BACKBONES
from utils.places import load

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalize(nn.Module):
    """(x - mean) / std per colour channel, inside the model, so that a checkpoint knows its own input range."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Iterable[float], std: Iterable[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean)).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std)).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, C, H, W), about standard normal."""
        return (images - self.mean) / self.std


class MultiTaskModel(nn.Module):
    """Runs the backbone once and every head on its features.

    Args:
        backbone: images (B, C, H, W) -> features (B, F, h, w).
        heads: per task, features -> dense logits (B, K, h, w), or one logit per image (B,).
        normalize: applied to the images first.
    """

    def __init__(self, backbone: nn.Module, heads: Mapping[str, nn.Module], normalize: nn.Module | None = None) -> None:
        super().__init__()
        self.normalize = normalize if normalize is not None else nn.Identity()
        self.backbone = backbone
        self.heads = nn.ModuleDict(heads)
        self.frozen: set[str] = set()

    def forward(self, images: Tensor, tasks: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Return logits per task, without the tasks' activations.

        Args:
            images: (B, C, H, W) float in [0, 1].
            tasks: only these; default all.

        Returns:
            per task (B, K, H, W) at the input's size (bilinear), or (B,) for attributes.
        """
        return self.logits(self.features(images), images.shape[-2:], tasks)

    def features(self, images: Tensor) -> Tensor:
        """Return the shared features (B, F, h, w) of images (B, C, H, W), float in [0, 1]."""
        features: Tensor = self.backbone(self.normalize(images))
        return features

    def logits(self, features: Tensor, size: Sequence[int], tasks: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Return what the heads of ``tasks`` (default: all) make of the features, dense logits at ``size`` (height, width)."""
        logits = {}
        for task in self.heads if tasks is None else tasks:
            out = self.heads[task](features)
            if out.ndim == 4:
                # At least in float32, also under autocast: bf16 would round every pixel to 8 bits.
                out = out.to(torch.promote_types(out.dtype, torch.float32))
                out = F.interpolate(out, size=list(size), mode="bilinear", align_corners=False)
            logits[task] = out
        return logits

    def freeze_head(self, task: str) -> None:
        """Stop a task: its head learns no more (no gradient) and stays in eval mode from now on."""
        self.frozen.add(task)
        self.heads[task].requires_grad_(False)
        for parameter in self.heads[task].parameters():
            parameter.grad = None
        self.heads[task].eval()

    def feature_readers(self) -> list[tuple[str, nn.Conv2d | Convolution]]:
        """The convolutions of all heads that read the shared features directly, called "<task>.<name in the head>"."""
        return [(f"{task}.{name}", conv) for task, head in self.heads.items() for name, conv in feature_convs(head)]

    def read_features(self) -> Tensor:
        """(F,) bool: the channels of the shared features that some head does not ignore."""
        return torch.stack([live_groups(conv.weight.detach()) for _, conv in self.feature_readers()]).any(0)

    def train(self, mode: bool = True) -> MultiTaskModel:
        """As for any module, but frozen heads stay in eval mode."""
        super().train(mode)
        for task in self.frozen:
            self.heads[task].eval()
        return self


def build_backbone(config: ExperimentConfig) -> Any:
    """Build the shared network that ``config.backbone`` names, with ``config.init_weights`` loaded."""
    entry = BACKBONES[config.backbone]
    more = {"init_weights": config.init_weights} if entry.takes_weights else {}
    return load(entry.place)(config.backbone, config.input_img_channels, config.output_stride, **more)


def build_model(config: ExperimentConfig) -> MultiTaskModel:
    """The model of an experiment, on the CPU, in channels-last layout if the configuration says so."""
    backbone = build_backbone(config)
    heads: dict[str, nn.Module] = {}
    for name, task in config.tasks.items():
        if task.is_dense:
            heads[name] = DeepLabHead(backbone.out_channels, task.outputs, config.head_width, config.aspp_rates)
        else:
            heads[name] = ClassificationHead(backbone.out_channels, task.outputs)
    normalize = Normalize(IMAGENET_MEAN, IMAGENET_STD) if config.normalize == "imagenet" else None
    model = MultiTaskModel(backbone, heads, normalize)
    if config.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model
