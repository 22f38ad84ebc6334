"""Logits become values and predictions."""

import pytest
import torch

from tasks.activations import activate
from tasks.objectives import predict
from tasks.table import get_task
from tests.tasks.batches import random_batch


def test_segmentation_predicts_the_class_of_the_largest_logit() -> None:
    logits = torch.zeros(2, 5, 3, 4)
    classes = torch.randint(5, (2, 3, 4), generator=torch.Generator().manual_seed(0))
    logits.scatter_(1, classes[:, None], 1.0)
    assert torch.equal(predict(get_task("segmentsemantic"), logits, "relative"), classes)


@pytest.mark.parametrize(("depth_target", "largest"), [("relative", 1.0), ("metric", 10.0)])
def test_depth_lies_between_zero_and_the_largest_depth(depth_target: str, largest: float) -> None:
    logits = torch.tensor([-200.0, 0.0, 200.0]).view(1, 1, 1, 3)
    expected = torch.tensor([0, largest / 2, largest]).view(1, 1, 1, 3)
    task = get_task("depth_euclidean")
    torch.testing.assert_close(activate(task, logits, depth_target), expected)
    torch.testing.assert_close(predict(task, logits, depth_target), expected)


def test_only_depth_is_in_metres() -> None:
    logits = torch.randn(2, 1, 3, 3)
    edges = get_task("edge_texture")
    assert torch.equal(predict(edges, logits, "metric"), torch.sigmoid(logits))
    male = get_task("class_male")
    assert torch.equal(predict(male, logits[:, 0, 0, 0], "metric"), torch.sigmoid(logits[:, 0, 0, 0]))


def test_normals_go_through_tanh_and_are_predicted_at_unit_length() -> None:
    logits, _, _ = random_batch("surface_normal", 2)
    task = get_task("surface_normal")
    assert torch.equal(activate(task, logits, "relative"), torch.tanh(logits))
    prediction = predict(task, logits, "relative")
    torch.testing.assert_close(prediction.norm(dim=1), torch.ones(2, *logits.shape[-2:]))
    torch.testing.assert_close(prediction * torch.tanh(logits).norm(dim=1, keepdim=True), torch.tanh(logits))
