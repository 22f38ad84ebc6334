"""Compact models on disk: whole, without a pickle, and refused in one sentence where something is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from models import CompactModel, build_model, compact, load_compact, save_compact
from settings.config import ExperimentConfig
from tests.configs import make_config
from tests.equality import equal
from tests.models.pruned import PATTERNS, generator, make_compact, outputs, prune, torch_path, wild_norms, worst
from tests.small import listing
from utils.errors import TrialError

WIDE = {"task_list": ("segmentsemantic", "depth_euclidean", "edge_texture"), "output_stride": 16}
FACES = {"dataset_name": "celebA", "output_stride": 16, "normalize": "none", "input_img_channels": 1}


def _make(seed: int = 0, pattern: str = "half", **values: Any) -> tuple[CompactModel, ExperimentConfig]:
    config = make_config(**(values or WIDE))
    torch.manual_seed(seed)
    model = build_model(config)
    wild_norms(model, "usual", seed)
    prune(model, pattern, seed)
    return make_compact(model)[0], config


@pytest.fixture(scope="module")
def made() -> tuple[CompactModel, ExperimentConfig]:
    return _make()


@pytest.fixture(scope="module")
def saved(made: tuple[CompactModel, ExperimentConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compact") / "compact.safetensors"
    save_compact(made[0], path, made[1])
    return path


def _images(channels: int = 3) -> Tensor:
    return torch.rand(2, channels, 33, 40, generator=generator(0))


@pytest.mark.parametrize("pattern", ["nothing", "layers", "everything", "branch and shortcut"])
def test_round_trip(pattern: str, tmp_path: Path) -> None:
    values = FACES if list(PATTERNS).index(pattern) % 2 else WIDE
    small, config = _make(1, pattern, **values)
    save_compact(small, tmp_path / "a.safetensors", config)
    loaded = load_compact(str(tmp_path / "a.safetensors"))
    assert loaded.config == config
    images = _images(config.input_img_channels)
    assert worst(outputs(loaded, images), outputs(small, images)) <= 1e-5
    assert equal(loaded.state_dict(), small.state_dict())
    assert list(loaded.state_dict()) == list(small.state_dict())
    assert not any(module.training for module in loaded.modules())
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    save_compact(loaded, tmp_path / "b.safetensors", config)
    assert load_compact(tmp_path / "b.safetensors").state_dict().keys() == small.state_dict().keys()


@pytest.mark.parametrize(
    "values", [{"channels_last": True}, {"backbone": "resnetd50", "output_stride": 8}, {"free_selects": False}]
)
def test_other_models(values: dict[str, Any], tmp_path: Path) -> None:
    free = values.get("free_selects", True)
    config = make_config(**{key: value for key, value in values.items() if key != "free_selects"})
    model = build_model(config)
    prune(model, "half", 2)
    small, _ = make_compact(model, free_selects=free)
    save_compact(small, tmp_path / "a.safetensors", config)
    loaded = load_compact(tmp_path / "a.safetensors")
    assert worst(outputs(loaded, _images()), outputs(small, _images())) <= 1e-5


def _reading(first: int, seed: int) -> CompactModel:
    """A convolution of it reads 20 channels of a map that others read whole, from the channel ``first`` on."""
    torch.manual_seed(seed)
    model = build_model(make_config())
    wild_norms(model, "usual", seed)
    with torch.no_grad():
        weight = model.backbone.get_submodule("layer2.0.conv1").weight
        weight[:, :first] = weight[:, first + 20 :] = 0
    return make_compact(model)[0]


@pytest.mark.parametrize(("before", "after", "assign"), [(0, 7, False), (7, 0, True), (7, 9, False), (7, 9, True)])
def test_another_compact_models_state_makes_it_that_model(before: int, after: int, assign: bool) -> None:
    """The state holds the channels that are read, for torch operations and for the kernel, which has packed the old ones."""
    model, other = _reading(before, 0), _reading(after, 1)
    expected = outputs(other, _images())
    assert worst(outputs(model, _images()), expected) > 0.01
    model.load_state_dict(other.state_dict(), assign=assign)
    assert model.backbone.get_submodule("layer2.0.conv1").reads == ("select" if after else "slice")
    assert worst(outputs(model, _images()), expected) <= 1e-5
    with torch_path():
        assert worst(outputs(model, _images()), expected) <= 1e-5


def test_the_kernel_sees_that_other_channels_are_read() -> None:
    model, other = _reading(7, 0), _reading(9, 0)
    outputs(model, _images())
    name = "layer2.0.conv1.index"
    model.backbone.get_buffer(name).copy_(other.backbone.get_buffer(name))
    actual = outputs(model, _images())
    with torch_path():
        assert worst(actual, outputs(model, _images())) <= 1e-5


def test_the_state_of_a_model_of_equal_shapes_and_another_structure_is_refused() -> None:
    """Strides and dilations are in no tensor's shape."""
    model, other = (compact(build_model(make_config(output_stride=stride)), image_size=(32, 32))[0] for stride in (8, 16))
    shapes = [{name: value.shape for name, value in network.state_dict().items()} for network in (model, other)]
    assert shapes[0] == shapes[1]
    with pytest.raises(RuntimeError, match="of a compact model of another structure"):
        model.load_state_dict(other.state_dict())
    small, _ = compact(build_model(make_config(output_stride=16)), image_size=(32, 32))
    small.backbone.widths = (*small.backbone.widths[:-1], 7)
    with pytest.raises(RuntimeError, match="backbone: is of a compact model of another structure"):
        other.load_state_dict(small.state_dict())


def test_a_file_holds_weights_and_which_channels_are_read(saved: Path) -> None:
    """Files of before the state told the structure are as those of today: their description has told it all the time."""
    with safe_open(saved, framework="pt") as file:
        ends = {name.rpartition(".")[2] for name in file.keys()}  # noqa: SIM118 - the file is no dict
    assert ends == {"weight", "bias", "index", "mean", "std"} or ends == {"weight", "bias", "index"}


def test_precision_is_kept(tmp_path: Path) -> None:
    small, config = _make()
    save_compact(small.double(), tmp_path / "a.safetensors", config)
    loaded, images = load_compact(tmp_path / "a.safetensors"), _images().double()
    assert worst(outputs(loaded, images), outputs(small, images)) <= 1e-14


def _refused(path: Path, *words: str) -> None:
    with pytest.raises(TrialError) as refused:
        load_compact(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_no_file(tmp_path: Path) -> None:
    _refused(tmp_path / "nothing.safetensors", "there is no such file")
    _refused(tmp_path, "there is no such file")


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_a_truncated_file(saved: Path, tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(saved.read_bytes()[:length])
    _refused(path)


def test_files_of_others(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.ones(2)}, path)
    _refused(path, "no compact model of this project")
    save_file({"x": torch.ones(2)}, path, {"format": "pt"})
    _refused(path, "no compact model of this project")
    torch.save({"model": torch.ones(2)}, path)
    _refused(path)


def _changed(saved: Path, path: Path, change: Callable[[dict[str, Tensor], dict[str, Any]], None]) -> None:
    """``saved`` with other tensors or another description."""
    with safe_open(saved, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no dict
        described: dict[str, Any] = {
            key: value if key == "format" else json.loads(value) for key, value in file.metadata().items()
        }
    change(tensors, described)
    save_file(tensors, path, {key: value if key == "format" else json.dumps(value) for key, value in described.items()})


CONV = "backbone.layer2.0.conv1"


def _index(tensors: dict[str, Tensor]) -> str:
    return next(name for name, value in tensors.items() if name.endswith("index") and len(value) > 1)


CHANGES: dict[str, Callable[[dict[str, Tensor], dict[str, Any]], Any]] = {
    "a weight is missing": lambda t, d: t.pop(f"{CONV}.weight"),
    "something more": lambda t, d: t.update(extra=torch.ones(1)),
    "a filter less": lambda t, d: t.update({f"{CONV}.weight": t[f"{CONV}.weight"][1:].clone()}),
    "a bias of another length": lambda t, d: t.update({f"{CONV}.bias": t[f"{CONV}.bias"][:1].clone()}),
    "another kernel": lambda t, d: t.update({f"{CONV}.weight": t[f"{CONV}.weight"][..., :1].clone()}),
    "a flat weight": lambda t, d: t.update({f"{CONV}.weight": t[f"{CONV}.weight"].flatten().clone()}),
    "a head of another shape": lambda t, d: t.update({"heads.depth_euclidean.4.weight": torch.ones(3, 8, 1, 1)}),
    "an index beyond": lambda t, d: t.update({_index(t): t[_index(t)] + 10**6}),
    "an index of floats": lambda t, d: t.update({_index(t): t[_index(t)].float()}),
    "an index of two dimensions": lambda t, d: t.update({_index(t): t[_index(t)][:, None].clone()}),
    "one wider input": lambda t, d: d["inputs"].update({_index(t)[:-6]: d["inputs"][_index(t)[:-6]] + 3}),
    "no inputs": lambda t, d: d.update(inputs={}),
    "inputs as a list": lambda t, d: d.update(inputs=[1, 2]),
    "a narrower end": lambda t, d: d["stream"].__setitem__(-1, 1),
    "a shorter stream": lambda t, d: d["stream"].pop(),
    "a stream of words": lambda t, d: d.update(stream=["a"] * len(d["stream"])),
    "no description": lambda t, d: d.pop("inputs"),
    "no config": lambda t, d: d.pop("config"),
    "an unknown key": lambda t, d: d["config"].update(nonsense=1),
    "another backbone": lambda t, d: d["config"].update(backbone="resnetd50"),
    "another version": lambda t, d: d.update(format="less-is-more compact model, version 99"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_does_not_fit_is_refused(saved: Path, tmp_path: Path, change: str) -> None:
    path = tmp_path / "a.safetensors"
    _changed(saved, path, lambda tensors, described: CHANGES[change](tensors, described))
    _refused(path)


def test_a_description_that_is_no_json(saved: Path, tmp_path: Path) -> None:
    with safe_open(saved, framework="pt") as file:
        described = {**file.metadata(), "config": "{"}
    save_file({"x": torch.ones(1)}, tmp_path / "a.safetensors", described)
    _refused(tmp_path / "a.safetensors", "damaged")


@pytest.mark.parametrize("where", ["write", "replace"])
def test_a_save_that_fails_leaves_the_old_file(made: tuple[CompactModel, ExperimentConfig], tmp_path: Path, where: str) -> None:
    path = tmp_path / "a.safetensors"
    save_compact(made[0], path, made[1])
    before = listing(tmp_path)

    def half(target: Path, content: bytes) -> None:
        with target.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError("no space left")

    full_disk = mock.patch.object(Path, "write_bytes", half)
    failing = full_disk if where == "write" else mock.patch("os.replace", side_effect=OSError("no space left"))
    with failing, pytest.raises(OSError, match="no space"):
        save_compact(made[0], path, made[1])
    assert listing(tmp_path) == before
    load_compact(path)


def test_a_model_that_trains_is_not_saved(tmp_path: Path) -> None:
    config = make_config()
    small, _ = compact(build_model(config), for_training=True, image_size=(32, 32))
    assert any(isinstance(module, nn.BatchNorm2d) for module in small.modules())
    with pytest.raises(ValueError, match="for_training"):
        save_compact(small, tmp_path / "a.safetensors", config)
    assert not list(tmp_path.iterdir())
