"""A channel remains if somebody reads it: against a definition by reachability, by perturbation, and by hand."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models import MultiTaskModel
from models.compaction.anatomy import Anatomy, dissect
from models.compaction.layers import CompactConv2d
from models.compaction.liveness import Plan, plan_channels
from tests.models.pruned import PATTERNS, convs, density, full, generator, make_compact, outputs, prune, tiny, wild_norms

Node = tuple[str, int]
"""A channel of a map: of the image, of what a convolution gives (by its name), or of the stream ("point" and which)."""


def _edges(anatomy: Anatomy) -> dict[Node, set[Node]]:
    """Return which channels each channel is computed from: single weights that are not zero, identities and sums."""
    edges: dict[Node, set[Node]] = {}

    def convolve(name: str, weight: torch.Tensor, source: str, sums: str | None = None) -> None:
        for r, c in (weight != 0).any(-1).any(-1).nonzero().tolist():
            edges.setdefault((name, r), set()).add((source, c))
        for r in range(len(weight)):
            edges.setdefault((name, r), set())
            if sums is not None:
                edges.setdefault((sums, r), set()).add((name, r))

    source = "image"
    for unit in anatomy.stem:
        convolve(unit.name, unit.conv.weight, source, "point 0" if unit is anatomy.stem[-1] else None)
        source = unit.name
    for i, block in enumerate(anatomy.blocks):
        before, after = f"point {i}", f"point {i + 1}"
        source = before
        for unit in block.branch:
            convolve(unit.name, unit.conv.weight, source, after if unit is block.branch[-1] else None)
            source = unit.name
        if block.shortcut is not None:
            convolve(block.shortcut.name, block.shortcut.conv.weight, before, after)
        else:
            for c in range(len(block.branch[-1].conv.weight)):
                edges.setdefault((after, c), set()).add((before, c))
    return edges


def _reached(anatomy: Anatomy, model: MultiTaskModel) -> dict[str, set[int]]:
    """By breadth-first search from the features that a head reads: the channels that have an effect, per map."""
    edges = _edges(anatomy)
    readers = [conv.weight for name, conv in convs(model).items() if name.startswith("heads.")]
    features = {c for weight in readers for c in range(weight.shape[1]) if weight[:, c].any()}
    border: set[Node] = {(f"point {len(anatomy.blocks)}", c) for c in features}
    seen: set[Node] = set()
    while border:
        seen |= border
        border = {source for node in border for source in edges.get(node, ())} - seen
    alive: dict[str, set[int]] = {}
    for name, channel in seen:
        alive.setdefault(name, set()).add(channel)
    return alive


def _assert_plan(model: MultiTaskModel) -> Plan:
    anatomy = dissect(model.backbone)
    plan = plan_channels(anatomy, model.read_features())
    reached = _reached(anatomy, model)
    for i, point in enumerate(plan.points):
        assert len(set(point.tolist())) == len(point)
        assert set(point.tolist()) == reached.get(f"point {i}", set()), f"point {i}"
    last = {f"point {i + 1}": block for i, block in enumerate(anatomy.blocks)}
    for unit in anatomy.units():
        kept = plan.convs[unit.name]
        rows, columns = kept.rows.tolist(), kept.columns.tolist()
        assert set(rows) == reached.get(unit.name, set()), unit.name
        weight = unit.conv.weight.detach()
        assert set(columns) == {c for c in range(weight.shape[1]) if weight[rows, c].any()}, unit.name
        assert len(set(columns)) == len(columns)
    for (i, here), block in zip(itertools.pairwise(range(len(plan.points))), last.values(), strict=True):
        rows_after = plan.points[here].tolist()
        assert plan.convs[block.branch[-1].name].rows.tolist() == rows_after
        if block.shortcut is None:  # the stream loses its tail only
            assert plan.points[i].tolist()[: len(rows_after)] == rows_after
        else:
            assert plan.convs[block.shortcut.name].rows.tolist() == rows_after
    assert plan.convs[anatomy.stem[-1].name].rows.tolist() == plan.points[0].tolist()
    return plan


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_kept_is_what_reaches_an_output(pattern: str) -> None:
    model = tiny(("resnetd18", "resnetd50")[list(PATTERNS).index(pattern) % 2])
    prune(model, pattern, 1)
    _assert_plan(model)


@settings(max_examples=12)
@given(
    st.sampled_from(["resnetd18", "resnetd50"]),
    st.lists(st.integers(1, 3), min_size=4, max_size=4),
    st.floats(0, 1),
    st.sampled_from([0.0, 0.5, 0.9, 0.99]),
    st.integers(0, 10**6),
)
def test_any_pattern(kind: str, blocks: list[int], share: float, elements: float, seed: int) -> None:
    model = tiny(kind, blocks=blocks)
    prune(model, density(share), seed, elements=elements)
    _assert_plan(model)


def test_torchvisions_stream_starts_in_the_stem() -> None:
    model = full("resnet18")
    prune(model, "half", 1)
    plan = _assert_plan(model)
    assert plan.points[0].tolist()[: len(plan.points[1])] == plan.points[1].tolist()


# -- nothing that could go stays ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("free_selects", [True, False])
@pytest.mark.parametrize("pattern", ["nothing", "half", "most", "layers", "branches", "stem", "unread features"])
def test_no_input_that_is_zero_stays(pattern: str, free_selects: bool) -> None:
    """But where the report says that a layer keeps its width."""
    model = tiny()
    wild_norms(model, "usual", 2)
    prune(model, pattern, 2)
    small, report = make_compact(model, free_selects=free_selects)
    notes = {layer.layer: layer.note for layer in report.layers}
    for name, conv in small.named_modules():
        if isinstance(conv, CompactConv2d):
            zero = int((conv.weight == 0).all(-1).all(-1).all(0).sum()) if conv.out_channels else conv.in_channels
            assert zero == conv.kept_width, name
            copies = not free_selects or name.startswith("heads.")  # heads run in torch operations
            assert not conv.kept_width or (copies and "copying the others would cost more" in notes[name])
            index = conv.columns()
            assert len(index.unique()) == len(index)


@pytest.mark.parametrize("pattern", ["half", "layers", "branch and shortcut"])
def test_each_filter_that_stays_has_an_effect(pattern: str) -> None:
    """Positive weights, so that no ReLU hides it: another bias of any filter changes an output."""
    model = tiny().double().eval()
    wild_norms(model, "usual", 1)
    model.heads.pop("class_male")
    prune(model, pattern, 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
        for norm in [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]:
            norm.running_mean.zero_()
    small, _ = make_compact(model)
    images = torch.rand(1, 3, 9, 9, generator=generator(1)).double()
    expected = outputs(small, images)["depth_euclidean"]
    checked = 0
    for name, conv in small.backbone.named_modules():
        if not isinstance(conv, CompactConv2d) or conv.bias is None or not conv.in_channels:  # a constant has a note
            continue
        for r in range(conv.out_channels)[:: 1 + conv.out_channels // 8]:
            with torch.no_grad():
                before = conv.bias[r].clone()
                conv.bias[r] += 10 + 10 * before.abs()
                assert not torch.equal(outputs(small, images)["depth_euclidean"], expected), f"{name}, filter {r}"
                conv.bias[r] = before
            checked += 1
    assert checked


def _shapes(model: MultiTaskModel) -> dict[str, tuple[int, int, int]]:
    """Filters, inputs that are read, inputs that are there; per convolution that is left."""
    small, _ = make_compact(model)
    convs = {name: conv for name, conv in small.named_modules() if isinstance(conv, CompactConv2d)}
    return {name: (conv.out_channels, conv.in_channels, conv.width) for name, conv in convs.items()}


@pytest.fixture
def model() -> MultiTaskModel:
    """Stages of 20, 24, 28 and 36 channels, 5, 6, 7 and 9 inside; two blocks each, but one in the third."""
    torch.manual_seed(0)
    made = tiny()
    wild_norms(made, "usual", 0)
    return made


def _zero(model: MultiTaskModel, *names: str, channels: list[int] | slice = slice(None)) -> None:
    with torch.no_grad():
        for name in names:
            convs(model)[f"backbone.{name}" if not name.startswith("heads") else name].weight[:, channels] = 0


def test_a_dead_branch_of_an_identity_block_is_one_bias(model: MultiTaskModel) -> None:
    for name in ("layer1.1.conv3", "layer1.1.conv2"):
        dead = copy.deepcopy(model)
        _zero(dead, name)
        shapes = _shapes(dead)
        assert [name for name in shapes if "layer1.1." in name] == ["backbone.layer1.1.conv3"]
        assert shapes["backbone.layer1.1.conv3"][:2] == (20, 0)
    with torch.no_grad():
        norm = model.backbone.get_submodule("layer1.1.bn3")
        norm.get_parameter("bias").copy_(norm.get_buffer("running_mean") * norm.get_parameter("weight"))
        norm.get_buffer("running_mean").zero_()
        norm.get_parameter("bias").zero_()
    _zero(model, "layer1.1.conv3")
    assert not [name for name in _shapes(model) if "layer1.1." in name]


def test_a_dead_branch_beside_a_shortcut_joins_its_bias(model: MultiTaskModel) -> None:
    _zero(model, "layer2.0.conv3")
    shapes = _shapes(model)
    assert [name for name in shapes if "layer2.0." in name] == ["backbone.layer2.0.downsample.0"]
    assert shapes["backbone.layer2.0.downsample.0"] == (24, 20, 20)


def test_a_dead_first_convolution_leaves_a_map_with_a_border(model: MultiTaskModel) -> None:
    _zero(model, "layer2.1.conv1")
    shapes = _shapes(model)
    assert shapes["backbone.layer2.1.conv1"] == (6, 0, 24)
    assert shapes["backbone.layer2.1.conv2"] == (6, 6, 6)


def test_before_a_constant_stream_nothing_is_left(model: MultiTaskModel) -> None:
    _zero(model, "layer3.0.conv3", "layer3.0.downsample.0")
    shapes = _shapes(model)
    for name, (rows, columns, _) in shapes.items():
        if any(f".{part}" in name for part in ("stem.", "layer1.", "layer2.")):
            assert not rows, name
            assert not columns, name
    assert shapes["backbone.layer3.0.downsample.0"][:2] == (28, 0)
    assert shapes["backbone.layer4.0.conv1"][:2] == (9, 0)  # a 1x1 convolution of a constant
    assert shapes["backbone.layer4.0.conv2"][:2] == (9, 9)
    assert shapes["backbone.layer4.0.downsample.0"][:2] == (36, 0)


def test_a_constant_stream_stays_one_through_a_dead_block(model: MultiTaskModel) -> None:
    _zero(model, "layer1.0.conv3", "layer1.0.downsample.0", "layer1.1.conv3")
    shapes = _shapes(model)
    assert shapes["backbone.layer2.0.conv1"][:2] == (6, 0)
    assert shapes["backbone.layer2.0.downsample.0"][:2] == (24, 0)


def test_features_that_no_head_reads_go(model: MultiTaskModel) -> None:
    readers = [name for name in convs(model) if name.startswith("heads.")]
    _zero(model, *readers, channels=[0, 10, 35])
    _zero(model, readers[0], channels=[1])
    shapes = _shapes(model)
    assert shapes["backbone.layer4.1.conv3"][0] == 33
    assert shapes["backbone.layer4.0.conv3"][0] == 36  # layer4.1.conv1 still reads them
    assert {shapes[name][1:] for name in readers} == {(33, 33)}  # to leave one of 33 out costs more than it saves
    _zero(model, readers[1], channels=list(range(3, 33)))
    assert _shapes(model)[readers[1]][1:] == (4, 33)
    _zero(model, *readers)
    assert {shape[:2] for name, shape in _shapes(model).items() if name.startswith("backbone.")} == {(0, 0)}
