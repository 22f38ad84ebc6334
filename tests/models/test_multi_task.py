"""The multi-task model: one pass through the backbone, one head per task, frozen heads that stay as they are."""

import pytest
import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor, nn

from models import MultiTaskModel, build_model
from models.resnetd import ResNetD
from models.torchvision_resnet import TorchvisionResNet
from tests.configs import CELEBA_TASKS, NYU_TASKS, make_config

OUTPUTS = {"segmentsemantic": 40, "depth_euclidean": 1, "surface_normal": 3, "edge_texture": 1}


@pytest.fixture
def model() -> MultiTaskModel:
    torch.manual_seed(0)
    return build_model(make_config())


def _images(size: tuple[int, int] = (32, 48)) -> Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("tasks", [NYU_TASKS, NYU_TASKS[:1]])
def test_the_backbone_runs_exactly_once_per_forward(tasks: tuple[str, ...]) -> None:
    model = build_model(make_config(task_list=tasks))
    calls = []
    first = next(module for module in model.backbone.modules() if isinstance(module, nn.Conv2d))
    model.backbone.register_forward_hook(lambda *_: calls.append("backbone"))
    first.register_forward_hook(lambda *_: calls.append("convolution"))
    model(_images())
    assert calls == ["convolution", "backbone"]


def test_dense_logits_have_the_size_of_the_input() -> None:
    model = build_model(make_config(task_list=list(OUTPUTS)))
    logits = model(_images())
    assert {task: tuple(out.shape) for task, out in logits.items()} == {
        task: (2, channels, 32, 48) for task, channels in OUTPUTS.items()
    }


def test_logits_are_the_heads_of_the_features_upsampled_bilinearly(model: MultiTaskModel) -> None:
    model.eval()
    images = _images()
    features = model.backbone(images)
    assert features.shape[-2:] == (4, 6)
    for task, logits in model(images).items():
        small = model.heads[task](features)
        expected = nn.functional.interpolate(small, size=(32, 48), mode="bilinear", align_corners=False)
        torch.testing.assert_close(logits, expected)


def test_a_float64_model_gives_float64_logits_and_bfloat16_heads_float32(model: MultiTaskModel) -> None:
    model.double().eval()
    images = _images().double()
    small = model.heads["surface_normal"](model.backbone(images))
    expected = nn.functional.interpolate(small, size=(32, 48), mode="bilinear", align_corners=False)
    assert torch.equal(model(images)["surface_normal"], expected)
    assert {out.dtype for out in model.bfloat16()(_images().bfloat16()).values()} == {torch.float32}


def test_attributes_have_one_logit_per_image_and_celeba_three_classes() -> None:
    logits = build_model(make_config(dataset_name="celebA"))(_images())
    assert {task: tuple(out.shape) for task, out in logits.items()} == dict(
        zip(CELEBA_TASKS, [(2, 3, 32, 48), (2,), (2,)], strict=True)
    )


def test_only_the_tasks_asked_for_are_computed(model: MultiTaskModel) -> None:
    model.heads["surface_normal"].register_forward_hook(lambda *_: pytest.fail("this head was not asked for"))
    assert list(model(_images(), ["depth_euclidean", "segmentsemantic"])) == ["depth_euclidean", "segmentsemantic"]


def test_imagenet_normalisation_is_part_of_the_model(model: MultiTaskModel) -> None:
    normalized = build_model(make_config(normalize="imagenet"))
    assert {"normalize.mean", "normalize.std"} <= set(normalized.state_dict())
    normalized.load_state_dict({**normalized.state_dict(), **model.state_dict()})
    images = _images()
    expected = model.eval()(F.normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    for task, logits in normalized.eval()(images).items():
        torch.testing.assert_close(logits, expected[task])


def _step(model: MultiTaskModel, tasks: list[str] | None = None) -> None:
    """One training step with weight decay and momentum, which move whatever still has a gradient."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    logits = model(_images(), tasks)
    sum(out.square().mean() for out in logits.values()).backward()
    optimizer.step()


@pytest.mark.parametrize("only_active", [True, False])
def test_a_frozen_head_is_not_changed_by_training_and_the_others_are(model: MultiTaskModel, only_active: bool) -> None:
    model.train()
    _step(model)  # leaves gradients in every head
    model.freeze_head("depth_euclidean")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()
    active = [task for task in NYU_TASKS if task != "depth_euclidean"]
    _step(model, active if only_active else None)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert not {key for key in changed if key.startswith("heads.depth_euclidean.")}
    for part in ("backbone.", "heads.segmentsemantic.", "heads.surface_normal."):
        moved = {key for key in before if key.startswith(part)}
        assert moved <= changed, sorted(moved - changed)


def test_a_frozen_head_stays_in_eval_mode_and_has_no_gradient(model: MultiTaskModel) -> None:
    model.train()
    _step(model)
    model.freeze_head("depth_euclidean")
    assert all(parameter.grad is None for parameter in model.heads["depth_euclidean"].parameters())
    for _ in range(2):
        model.eval()
        model.train()
        assert not any(module.training for module in model.heads["depth_euclidean"].modules())
        assert all(module.training for module in model.heads["surface_normal"].modules())
        assert model.training
        assert model.backbone.training
    model(_images())["depth_euclidean"].sum().backward()
    assert all(parameter.grad is None for parameter in model.heads["depth_euclidean"].parameters())


def test_the_papers_three_task_model_has_72_million_parameters() -> None:
    config = make_config(backbone="resnetd50", head_width=256, aspp_rates=[12, 24, 36])
    with torch.device("meta"):
        model = build_model(config)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert round(parameters / 1e6, 1) == 72.0
    heads = sum(parameter.numel() for parameter in model.heads.parameters())
    assert round(heads / 1e6) == 48


@pytest.mark.parametrize(("name", "kind"), [("resnet18", TorchvisionResNet), ("resnetd18", ResNetD)])
@pytest.mark.parametrize("stride", [8, 16])
def test_the_configuration_chooses_backbone_stride_and_channels(name: str, kind: type[nn.Module], stride: int) -> None:
    model = build_model(make_config(backbone=name, output_stride=stride, input_img_channels=1))
    assert type(model.backbone) is kind
    assert model.backbone(torch.rand(2, 1, 64, 32)).shape == (2, 512, 64 // stride, 32 // stride)


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_configuration_chooses_the_memory_layout(channels_last: bool) -> None:
    model = build_model(make_config(channels_last=channels_last))
    weights = [p for p in model.backbone.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert weights
    assert {weight.is_contiguous(memory_format=torch.channels_last) for weight in weights} == {channels_last}
