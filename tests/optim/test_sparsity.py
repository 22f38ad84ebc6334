"""Sparsity is counted in groups and in the parameters that lie in them."""

import math

import pytest
import torch
from torch import nn

from models.resnetd import ResNetD
from models.torchvision_resnet import TorchvisionResNet
from optim import count_groups, group_squares, live_mask, live_rms, sparsity_report


class _Model(nn.Module):
    """A backbone of two convolutions, and a head that must not be counted."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential()
        self.backbone.stem = nn.Conv2d(3, 4, 3)
        self.backbone.layer1 = nn.Sequential(nn.Conv2d(4, 5, 1, bias=False))
        self.heads = nn.ModuleDict({"task": nn.Conv2d(5, 7, 3)})
        for parameter in self.parameters():
            nn.init.ones_(parameter)


def test_the_papers_backbone_has_the_papers_counts() -> None:
    report = sparsity_report(ResNetD("resnetd50"))
    assert (len(report.layers), report.groups, report.parameters) == (55, 22_787, 23_578_304)
    assert (report.zero_groups, report.zero_parameters) == (0, 0)
    stages = [layer.stage for layer in report.layers]
    assert {stage: stages.count(stage) for stage in dict.fromkeys(stages)} == {
        "stem": 3,
        "layer1": 10,
        "layer2": 13,
        "layer3": 19,
        "layer4": 10,
    }


def test_zero_groups_are_counted_per_layer_and_in_total() -> None:
    model = _Model()
    with torch.no_grad():
        model.backbone.stem.weight[:, 1] = 0
        model.backbone.layer1[0].weight[:, [0, 3]] = 0
        model.backbone.layer1[0].weight[1:, 2] = 0  # one of its weights still lives
        model.heads["task"].weight.zero_()
    report = sparsity_report(model)
    stem, layer1 = report.layers
    assert (stem.layer, stem.groups, stem.zero_groups, stem.live_groups) == ("stem", 3, 1, 2)
    assert (stem.parameters, stem.zero_parameters) == (3 * 36, 36)
    assert (layer1.layer, layer1.stage) == ("layer1.0", "layer1")
    assert (layer1.groups, layer1.zero_groups, layer1.parameters, layer1.zero_parameters) == (4, 2, 20, 10)
    assert (report.groups, report.zero_groups) == (7, 3)
    assert (report.parameters, report.zero_parameters) == (128, 46)
    assert report.group_sparsity == pytest.approx(100 * 3 / 7)
    assert report.parameter_sparsity == pytest.approx(100 * 46 / 128)


def test_a_share_of_no_groups_is_no_number() -> None:
    assert math.isnan(count_groups([]).group_sparsity)
    assert math.isnan(count_groups([]).parameter_sparsity)


def test_a_zero_output_filter_is_no_zero_group() -> None:
    model = _Model()
    with torch.no_grad():
        model.backbone.stem.weight[0] = 0
    assert sparsity_report(model).zero_groups == 0


def test_rows_are_the_columns_of_the_csv() -> None:
    model = _Model()
    with torch.no_grad():
        model.backbone.stem.weight[:, :2] = 0
    first = sparsity_report(model).rows()[0]
    assert first == {
        "layer": "stem",
        "stage": "stem",
        "groups": 3,
        "live_groups": 1,
        "parameters": 108,
        "live_parameters": 36,
        "group_sparsity": pytest.approx(200 / 3),
    }


def test_torchvisions_first_convolution_is_the_stem() -> None:
    stages = [layer.stage for layer in sparsity_report(TorchvisionResNet("resnet18")).layers]
    assert list(dict.fromkeys(stages)) == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert stages.count("stem") == 1


def test_a_backbone_without_convolutions_is_refused() -> None:
    with pytest.raises(ValueError, match="Linear holds no convolution"):
        sparsity_report(nn.Linear(2, 2))


def test_the_mask_says_of_all_groups_in_network_order_which_live() -> None:
    model = _Model()
    assert live_mask(model).tolist() == [True] * 7
    with torch.no_grad():
        model.backbone.stem.weight[:, 0] = 0
        model.backbone.layer1[0].weight[:, [1, 3]] = 0
        model.heads["task"].weight.zero_()
    assert live_mask(model).tolist() == [False, True, True] + [True, False, True, False]
    assert live_mask(model.backbone).tolist() == live_mask(model).tolist()
    assert int((~live_mask(model)).sum()) == sparsity_report(model).zero_groups
    assert not live_mask(model).requires_grad


def test_stages_divide_the_report() -> None:
    backbone = ResNetD("resnetd18")
    with torch.no_grad():
        backbone.layer1[1].conv2.weight[:, :5] = 0
        backbone.layer3[0].conv1.weight[:, 7] = 0
    report = sparsity_report(backbone)
    stages = report.stages()
    assert list(stages) == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert tuple(layer for stage in stages.values() for layer in stage.layers) == report.layers
    assert {name: stage.zero_groups for name, stage in stages.items() if stage.zero_groups} == {"layer1": 5, "layer3": 1}
    assert sum(stage.parameters for stage in stages.values()) == report.parameters
    assert stages["layer1"].zero_parameters == 5 * 64 * 9
    assert stages["layer1"].group_sparsity == pytest.approx(500 / stages["layer1"].groups)


def test_dead_layers_are_those_without_a_live_group() -> None:
    model = _Model()
    assert sparsity_report(model).dead_layers() == []
    with torch.no_grad():
        model.backbone.layer1[0].weight[:, 1:] = 0
    assert sparsity_report(model).dead_layers() == []
    with torch.no_grad():
        model.backbone.layer1[0].weight.zero_()
    assert sparsity_report(model).dead_layers() == ["layer1.0"]
    with torch.no_grad():
        model.backbone.stem.weight.zero_()
    assert sparsity_report(model).dead_layers() == ["stem", "layer1.0"]


def test_the_size_of_what_lives_is_relative_to_the_same_groups_before() -> None:
    network = nn.ModuleDict({"conv1": nn.Conv2d(3, 4, 3), "layer1": nn.Conv2d(4, 5, 1)})
    network.stage_names = {"conv1": "stem"}
    before = group_squares(network)
    with torch.no_grad():
        network["conv1"].weight[:, 1] *= 3
        network["conv1"].weight[:, 2] = 0
        network["layer1"].weight *= 0.1
    rms = live_rms(network, before)
    live = before["conv1"][:2]
    assert rms["stem"] == pytest.approx(float(((live * torch.tensor([1.0, 9.0])).sum() / live.sum()).sqrt()))
    assert rms["layer1"] == pytest.approx(0.1)
    assert 0.1 < rms[""] < rms["stem"]
    with torch.no_grad():
        network["layer1"].weight.fill_(1)
        same = group_squares(network)
        network["layer1"].weight[:3] = 0
    assert live_rms(network, same)["layer1"] == pytest.approx(1), "filters that are gone shrink nothing"
    with torch.no_grad():
        network["layer1"].weight.zero_()
    assert math.isnan(live_rms(network, before)["layer1"])


def test_layers_at_the_floor_are_those_that_may_lose_no_more() -> None:
    weights = {"conv1": torch.ones(2, 3, 1, 1), "layer1": torch.ones(2, 50, 1, 1), "layer2": torch.ones(2, 50, 1, 1)}
    weights["conv1"][:, 1:] = 0
    weights["layer1"][:, 2:] = 0
    weights["layer2"][:, 1:] = 0
    names = [layer.layer for layer in count_groups(weights.items()).at_floor(0.03)]
    assert names == ["conv1", "layer1", "layer2"]
    assert [layer.layer for layer in count_groups(weights.items()).at_floor(0.02)] == ["conv1", "layer2"]
    assert count_groups(weights.items()).at_floor(0.0) == []
