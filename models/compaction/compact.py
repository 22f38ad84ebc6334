"""``compact(model)``: the network without its zeros."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from models.compaction.anatomy import Anatomy
from models.compaction.heads import compact_head
from models.compaction.inference import build_backbone
from models.compaction.layers import CompactBackbone, CompactConv2d
from models.compaction.removal import Removal, plan_removal
from models.compaction.report import CompactReport, LayerReport, count_macs, count_parameters
from models.compaction.training import build_trainable
from models.heads import feature_convs
from models.multi_task import MultiTaskModel
from optim.groups import group_count, live_groups
from optim.sparsity import stage_of
from settings.config import ExperimentConfig


class CompactModel(MultiTaskModel):
    """A multi-task model without the channels that its convolutions ignore; ``forward`` is that of the dense model.

    Attributes:
        config: the experiment that it comes from, where that is known (``load_compact``).
    """

    config: ExperimentConfig | None = None

    def read_features(self) -> Tensor:
        """(F,) bool: the features that are left and that some head does not ignore."""
        assert isinstance(self.backbone, CompactBackbone)
        read = torch.zeros(self.backbone.out_channels, dtype=torch.bool)
        for _, conv in self.feature_readers():
            assert isinstance(conv, CompactConv2d)
            read[conv.columns()[live_groups(conv.weight.detach())].cpu()] = True
        return read


def compact(
    model: MultiTaskModel, *, for_training: bool = False, free_selects: bool = True, image_size: tuple[int, int] = (256, 256)
) -> tuple[CompactModel, CompactReport]:
    """Remove every channel that only zero groups read; ``model`` itself is left alone.

    For inference (the default) the outputs are those of ``model`` in eval mode, to rounding: batch norm is folded and what
    has become constant joins a bias. With ``for_training`` the compact model trains on as the dense one would with
    everything that is gone held at zero (docs/compact.md says exactly how).

    Args:
        model: with zeros, in any mode, on any device.
        for_training: keep batch norm, and everything that still learns.
        free_selects: True where reading some channels of a map costs nothing, as in the project's kernel for CPUs: then every
            layer of the backbone reads what it uses. False keeps a layer's width where a copy of its channels would cost
            more than it saves (``selects_pay``), as for a GPU and for ONNX. Heads run in torch operations and always ask.
        image_size: height and width for which multiply-adds are counted.

    Returns:
        The compact model (inference: in eval mode, without gradients; training: with the modes, the frozen heads and the
        ``requires_grad`` of the dense model), and what was done.

    Raises:
        TypeError: ``model`` is no dense MultiTaskModel, or its backbone, or a head, is none of the project's.
    """
    removal = plan_removal(model)
    result = build_compact(model, removal, for_training=for_training, free_selects=free_selects)
    return result, _report(model, result, removal, image_size)


def build_compact(
    model: MultiTaskModel, removal: Removal, *, for_training: bool = False, free_selects: bool = True
) -> CompactModel:
    """Build the network that a removal leaves of ``model``, which is left alone; arguments as for :func:`compact`."""
    anatomy, plan = removal.anatomy, removal.plan
    with torch.no_grad():
        backbone = build_trainable(anatomy, plan) if for_training else build_backbone(anatomy, plan, free_selects=free_selects)
        heads = {
            task: compact_head(head, plan.points[-1], removal.heads[task], for_training=for_training)
            for task, head in model.heads.items()
        }
        result = CompactModel(backbone, heads, copy.deepcopy(model.normalize))
    if for_training:
        result.frozen = set(model.frozen)
        for name, parameter in result.named_parameters():
            parameter.requires_grad_(model.get_parameter(name).requires_grad)
        for name, module in result.named_modules():
            module.training = model.get_submodule(name).training
    else:
        result.eval()
    return result


def _report(model: MultiTaskModel, result: CompactModel, removal: Removal, image_size: tuple[int, int]) -> CompactReport:
    """Counts both networks."""
    anatomy = removal.anatomy
    channels = anatomy.stem[0].conv.in_channels
    dense_macs, macs = count_macs(model, channels, image_size), count_macs(result, channels, image_size)
    layers = []
    for name, conv, part in _grouped_convs(model, anatomy):
        left = dict(result.named_modules()).get(name)
        assert left is None or isinstance(left, CompactConv2d)
        zero = group_count(conv.weight) - int(live_groups(conv.weight.detach()).sum())
        layers.append(
            LayerReport(
                layer=name,
                part=part,
                groups=group_count(conv.weight),
                zero_groups=zero,
                channels_there=0 if left is None else left.width,
                channels_read=0 if left is None else left.in_channels,
                filters=conv.out_channels,
                filters_removed=conv.out_channels - (0 if left is None else left.out_channels),
                reads="nothing" if left is None else left.reads,
                parameters=count_parameters(conv),
                parameters_left=0 if left is None else count_parameters(left),
                macs=dense_macs.get(name, 0),
                macs_left=macs.get(name, 0),
                note=_note(conv, left, in_head=part.startswith("heads.")),
            )
        )
    totals = {
        name: {
            "groups": sum(layer.groups for layer in layers if layer.layer.startswith(key)),
            "zero_groups": sum(layer.zero_groups for layer in layers if layer.layer.startswith(key)),
            "parameters": count_parameters(model.get_submodule(key)),
            "parameters_left": count_parameters(result.get_submodule(key)),
            "macs": dense_macs.get(key, 0),
            "macs_left": macs.get(key, 0),
        }
        for name, key in (("backbone", "backbone"), ("model", ""))
    }
    return CompactReport(tuple(layers), image_size, totals, removal.maps(model))


def _grouped_convs(model: MultiTaskModel, anatomy: Anatomy) -> Iterable[tuple[str, nn.Conv2d, str]]:
    """Name, dense convolution and part of the network, of every convolution that has groups."""
    for unit in anatomy.units():
        yield f"backbone.{unit.name}", unit.conv, stage_of(unit.name, anatomy.stage_names)
    for task, head in model.heads.items():
        for name, conv in feature_convs(head):
            assert isinstance(conv, nn.Conv2d), "the model is dense"
            yield f"heads.{task}.{name}", conv, f"heads.{task}"


def _note(dense: nn.Conv2d, left: CompactConv2d | None, *, in_head: bool) -> str:
    """Say why something stayed, or what became of a layer."""
    if left is None:
        return "its result is constant or read by nobody: gone, with a bias in its place"
    if not left.in_channels:
        if not left.out_channels:
            return "nobody reads its result: gone"
        return "a constant per channel: its biases are left, without a multiply-add"
    notes = []
    ignored = left.width - left.in_channels
    if ignored and left.reads != "all":
        ones = "channel that it ignores stays" if ignored == 1 else "channels that it ignores stay"
        notes.append(f"{ignored} {ones} for other readers; it reads the rest by {left.reads}")
    if left.kept_width:
        notes.append(f"keeps {left.kept_width} channels that it ignores: copying the others would cost more than it saves")
    if in_head:
        if left.in_channels == dense.in_channels:
            notes.append("has no zero group: the features are read whole")
    elif left.out_channels == dense.out_channels:
        notes.append("each of its filters has a later reader")
    return "; ".join(notes)
