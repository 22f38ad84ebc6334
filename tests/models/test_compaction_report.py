"""The report of a compaction: its numbers, counted in another way."""

import json

import pytest
import torch
from torch import Tensor, nn

from models import MultiTaskModel, compact
from models.compaction.layers import CompactConv2d
from models.heads import AtrousConv2d
from optim import sparsity_report
from optim.groups import live_groups
from tests.models.pruned import convs, full, generator, prune, tiny, wild_norms


def _macs(model: nn.Module, images: Tensor) -> dict[str, int]:
    """Per convolution and linear layer: outputs times what each sums up, without taps that only see padding."""
    macs: dict[str, int] = {}

    def note(name: str) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor], out: Tensor) -> None:
            weight = module.get_buffer("weight") if "weight" in dict(module.named_buffers()) else module.get_parameter("weight")
            taps = weight.shape[2:].numel()
            if isinstance(module, AtrousConv2d) or getattr(module, "atrous", False):
                rate = module.dilation[0]  # type: ignore[index]
                taps = (3 if rate < out.shape[-2] else 1) * (3 if rate < out.shape[-1] else 1)
            macs[name] = out.numel() // len(out) * weight.shape[1] * taps

        return hook

    kinds = (nn.Conv2d, nn.Linear, CompactConv2d)
    handles = [m.register_forward_hook(note(name)) for name, m in model.named_modules() if isinstance(m, kinds)]  # type: ignore[arg-type]
    model.eval()(images.requires_grad_())  # in torch operations: the kernel has no hooks
    for handle in handles:
        handle.remove()
    return macs


@pytest.mark.parametrize("pattern", ["nothing", "half", "layers", "all heads", "everything"])
def test_numbers(pattern: str) -> None:
    model = tiny()
    wild_norms(model, "usual", 5)
    prune(model, pattern, 5)
    small, report = compact(model, image_size=(40, 33))
    images = torch.rand(2, 3, 40, 33, generator=generator(0))
    _assert_numbers(model, small, report, _macs(model, images), _macs(small, images))
    zeros = {f"backbone.{layer.layer}": layer for layer in sparsity_report(model.backbone).layers}
    for layer in report.layers:
        if layer.part.startswith("layer") or layer.part == "stem":
            assert (layer.groups, layer.zero_groups) == (zeros[layer.layer].groups, zeros[layer.layer].zero_groups)
            assert layer.part == zeros[layer.layer].stage
    total = sparsity_report(model.backbone)
    assert report.totals["backbone"]["groups"] == total.groups
    assert report.totals["backbone"]["zero_groups"] == total.zero_groups


def _assert_numbers(
    model: MultiTaskModel, small: nn.Module, report: object, dense_macs: dict[str, int], macs: dict[str, int]
) -> None:
    left = {name: module for name, module in small.named_modules() if isinstance(module, CompactConv2d)}
    assert [layer.layer for layer in report.layers] == list(convs(model))  # type: ignore[attr-defined]
    for layer in report.layers:  # type: ignore[attr-defined]
        conv = convs(model)[layer.layer]
        assert layer.filters == conv.out_channels
        assert layer.parameters == sum(p.numel() for p in conv.parameters())
        assert layer.macs == dense_macs[layer.layer]
        assert layer.macs_left == macs.get(layer.layer, 0), layer.layer
        if layer.layer not in left:
            assert layer.parameters_left == layer.channels_there == layer.channels_read == 0
            assert layer.filters_removed == layer.filters
            assert layer.reads == "nothing"
            continue
        kept = left[layer.layer]
        assert layer.parameters_left == kept.weight.numel() + (0 if kept.bias is None else kept.bias.numel())
        assert layer.filters_removed == conv.out_channels - kept.weight.shape[0]
        assert (layer.channels_there, layer.channels_read) == (kept.width, kept.weight.shape[1])
        assert layer.channels_read <= layer.channels_there
        first = torch.equal(kept.columns(), torch.arange(layer.channels_read))
        how = "all" if layer.channels_read == layer.channels_there and first else "slice" if first else "select"
        assert layer.reads == (how if kept.weight.numel() else "nothing")
    totals = report.totals  # type: ignore[attr-defined]
    for part, dense, less in (("backbone", model.backbone, small.get_submodule("backbone")), ("model", model, small)):
        assert totals[part]["parameters"] == sum(p.numel() for p in dense.parameters())
        assert totals[part]["parameters_left"] == sum(p.numel() for p in less.parameters())
        prefix = "backbone" if part == "backbone" else ""
        assert totals[part]["macs"] == sum(n for name, n in dense_macs.items() if name.startswith(prefix))
        assert totals[part]["macs_left"] == sum(n for name, n in macs.items() if name.startswith(prefix))
    assert report.filters_removed == sum(layer.filters_removed for layer in report.layers)  # type: ignore[attr-defined]


def test_a_whole_network_of_known_size() -> None:
    """ResNet-50-D's 23.6 M parameters; the same numbers for a model of float64."""
    model = full("resnetd50")
    prune(model, "half", 1, heads=False)
    _, report = compact(model)
    assert report.image_size == (256, 256)
    assert report.totals["backbone"]["parameters"] == sum(p.numel() for p in model.backbone.parameters())
    assert abs(report.totals["backbone"]["macs"] / 26.7e9 - 1) < 0.01  # counted by hand
    assert report.totals["backbone"]["macs_left"] < 0.4 * report.totals["backbone"]["macs"]
    assert compact(model.double())[1].rows() == report.rows()


@pytest.mark.parametrize("pattern", ["nothing", "half", "everything", "layers", "branches", "stem", "unread features"])
def test_notes_and_rows(pattern: str) -> None:
    model = tiny()
    wild_norms(model, "usual", 5)
    prune(model, pattern, 5)
    small, report = compact(model, image_size=(32, 32), free_selects=False)
    modules = dict(small.named_modules())
    for row, layer in zip(json.loads(json.dumps(report.rows())), report.layers, strict=True):
        assert row["layer"] == layer.layer
        conv = modules.get(layer.layer)
        note = row["note"]
        if conv is None:
            assert "gone, with a bias in its place" in note
        elif not conv.in_channels:
            assert note == "nobody reads its result: gone" if not conv.out_channels else "constant per channel" in note
        else:
            assert ("by select" in note) == (layer.reads == "select")
            assert ("by slice" in note) == (layer.reads == "slice" and layer.channels_read < layer.channels_there)
            assert ("copying the others would cost more" in note) == (conv.kept_width > 0)
            in_head = layer.part.startswith("heads.")
            assert ("each of its filters has a later reader" in note) == (not layer.filters_removed and not in_head)
            assert ("has no zero group" in note) == (in_head and layer.channels_read == layer.groups)
    assert json.loads(json.dumps(report.summary()))["model"] == report.totals["model"]
    assert report.summary()["layers_that_select"] == sum(layer.reads == "select" for layer in report.layers)


def test_maps_take_what_is_left() -> None:
    """For a model without batch norm's effect, the compact weights are the mapped part of the dense ones."""
    model = tiny()
    prune(model, "half", 3)
    with torch.no_grad():
        for norm in [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]:
            norm.eps = 1e-30  # 0 is refused by older versions of torch
    small, report = compact(model, image_size=(32, 32))
    assert report.maps.keys() == dict(model.named_parameters()).keys()
    left = dict(small.named_modules())
    for name, conv in convs(model).items():
        mapped = report.maps[f"{name}.weight"]
        part = mapped.take(conv.weight.detach())
        assert torch.equal(mapped.mask(conv.weight) * conv.weight != 0, mapped.mask(conv.weight) * (conv.weight != 0) != 0)
        assert int(mapped.mask(conv.weight).sum()) == part.numel()
        if name in left and left[name].weight.numel():  # type: ignore[union-attr]
            weight = left[name].weight.detach()  # type: ignore[union-attr, operator]
            assert torch.equal(part, weight[:, live_groups(weight)])  # a head may keep its width
