"""Every loss against its definition, by hand on small tensors."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tasks.losses import SOFT_CROSS_ENTROPY, Loss, has_value
from tasks.objectives import build_losses
from tasks.table import IGNORE_INDEX, SEGMENTATION_LOSSES
from tests.tasks.batches import invalid_batch, random_batch
from tests.tasks.known import EVERY

NYU = ("segmentsemantic", "depth_euclidean", "surface_normal", "edge_texture")
CASES = [
    *(("segmentsemantic", name) for name in SEGMENTATION_LOSSES),
    *((task, "softCEloss") for task in NYU[1:]),
    ("class_male", "softCEloss"),
]


def loss_of(task: str, seg_loss_fn: str = "softCEloss", depth_target: str = "relative") -> Loss:
    """The loss that an experiment with this task uses."""
    return build_losses([EVERY[task]], seg_loss_fn, depth_target)[task]


def value(loss: Loss, *batch: torch.Tensor) -> torch.Tensor:
    """The loss of one batch."""
    return loss.value(loss.statistics(*batch))


def test_cross_entropy_of_one_pixel_by_hand() -> None:
    logits = torch.zeros(1, 4, 1, 2)
    logits[0, 2, 0, 0] = math.log(5.0)  # probabilities 1/8, 1/8, 5/8, 1/8; the other pixel is not labelled
    target = torch.tensor([[[2, IGNORE_INDEX]]])
    smoothed = 0.925 * math.log(8 / 5) + 3 * 0.025 * math.log(8)
    loss = SOFT_CROSS_ENTROPY
    assert float(value(loss, logits, target, target != IGNORE_INDEX)) == pytest.approx(smoothed, rel=1e-6)


def overlap_by_loops(logits: np.ndarray, target: np.ndarray, alpha: float, beta: float, gamma: float) -> float:
    """(1 - mean Tversky index over the classes present) ** gamma, one pixel after the other."""
    classes = logits.shape[1]
    true, false_positive, false_negative = np.zeros(classes), np.zeros(classes), np.zeros(classes)
    for frame, row, column in np.ndindex(*target.shape):
        label = target[frame, row, column]
        if label == IGNORE_INDEX:
            continue
        odds = np.exp(logits[frame, :, row, column])
        for k, probability in enumerate(odds / odds.sum()):
            if k == label:
                true[k] += probability
                false_negative[k] += 1 - probability
            else:
                false_positive[k] += probability
    present = np.unique(target[target != IGNORE_INDEX])
    index = [true[k] / (true[k] + alpha * false_positive[k] + beta * false_negative[k]) for k in present]
    return float((1 - np.mean(index)) ** gamma)


@pytest.mark.parametrize(("name", "settings"), [("dice", (0.5, 0.5, 1.0)), ("Tversky", (0.3, 0.7, 2.5))])
def test_overlap_losses_against_loops(name: str, settings: tuple[float, float, float]) -> None:
    logits, target, mask = random_batch("segmentsemantic", 2)
    expected = overlap_by_loops(logits.double().numpy(), target.numpy(), *settings)
    assert float(value(loss_of("segmentsemantic", name), logits, target, mask)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["dice", "Tversky"])
def test_overlap_losses_end_at_zero_and_one(name: str) -> None:
    _, target, mask = random_batch("segmentsemantic", 2)
    labels = torch.where(mask, target, 0)
    right, wrong = (100.0 * F.one_hot((labels + shift) % 40, 40).movedim(-1, 1) for shift in (0, 20))
    assert float(value(loss_of("segmentsemantic", name), right, target, mask)) == pytest.approx(0, abs=1e-6)
    assert float(value(loss_of("segmentsemantic", name), wrong, target, mask)) == pytest.approx(1, abs=1e-6)


def test_focal_loss_by_loops() -> None:
    logits, target, mask = random_batch("segmentsemantic", 2)
    terms = []
    for frame, row, column in np.ndindex(*target.shape):
        if mask[frame, row, column]:
            p = float(logits[frame, :, row, column].double().softmax(0)[target[frame, row, column]])
            terms.append(-((1 - p) ** 2.5) * math.log(p))
    expected = sum(terms) / len(terms)
    assert float(value(loss_of("segmentsemantic", "Focal"), logits, target, mask)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("depth_target", "scale"), [("relative", 1.0), ("metric", 10.0)])
def test_depth_is_the_squared_error_of_valid_pixels(depth_target: str, scale: float) -> None:
    logits, target, mask = random_batch("depth_euclidean", 3)
    prediction = scale / (1 + np.exp(-logits.double().numpy()))
    expected = np.mean((prediction - target.double().numpy())[mask.numpy()] ** 2)
    loss = loss_of("depth_euclidean", depth_target=depth_target)
    assert float(value(loss, logits, target, mask)) == pytest.approx(expected, rel=1e-5)


def test_normals_are_one_minus_the_cosine_of_valid_pixels() -> None:
    logits, target, mask = random_batch("surface_normal", 3)
    prediction, truth = np.tanh(logits.double().numpy()), target.double().numpy()
    cosine = (prediction * truth).sum(1) / np.maximum(np.linalg.norm(prediction, axis=1) * np.linalg.norm(truth, axis=1), 1e-12)
    expected = np.mean(1 - cosine[mask.numpy()[:, 0]])
    assert float(value(loss_of("surface_normal"), logits, target, mask)) == pytest.approx(expected, rel=1e-5)


def test_edges_are_hubers_loss_with_delta_a_fifth() -> None:
    logits, target, mask = random_batch("edge_texture", 3)
    error = np.abs(1 / (1 + np.exp(-logits.double().numpy())) - target.double().numpy())[mask.numpy()]
    expected = np.mean(np.where(error <= 0.2, error**2 / 2, 0.2 * (error - 0.1)))
    assert (error > 0.2).any()
    assert (error < 0.2).any()
    assert float(value(loss_of("edge_texture"), logits, target, mask)) == pytest.approx(expected, rel=1e-5)


def test_attributes_are_binary_cross_entropy_of_the_known() -> None:
    logits, target, mask = random_batch("class_male", 12)
    p = 1 / (1 + np.exp(-logits.double().numpy()))
    t = target.numpy()
    expected = np.mean(-(t * np.log(p) + (1 - t) * np.log(1 - p))[mask.numpy()])
    assert not mask.all()
    assert float(value(loss_of("class_male"), logits, target, mask)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("task", "name"), CASES)
def test_statistics_of_two_parts_add_up_to_those_of_the_whole(task: str, name: str) -> None:
    loss = loss_of(task, name)
    logits, target, mask = random_batch(task, 6)
    whole = loss.statistics(logits, target, mask)
    parts = [loss.statistics(logits[part], target[part], mask[part]) for part in (slice(1), slice(1, 6))]
    torch.testing.assert_close(parts[0] + parts[1], whole)
    mean_of_means = (loss.value(parts[0]) + loss.value(parts[1])) / 2
    assert not torch.isclose(mean_of_means, loss.value(whole), rtol=1e-4), "the sizes differ, so this would not do"


@pytest.mark.parametrize(("task", "name"), CASES)
def test_a_batch_without_any_valid_element_has_no_value_and_adds_nothing(task: str, name: str) -> None:
    loss = loss_of(task, name)
    nothing, something = loss.statistics(*invalid_batch(task)), loss.statistics(*random_batch(task, 3))
    assert not has_value(nothing)
    assert math.isnan(loss.value(nothing))
    assert has_value(something)
    assert torch.equal(loss.value(nothing + something), loss.value(something))


@pytest.mark.parametrize(("task", "name"), CASES)
def test_invalid_elements_have_no_part_in_loss_or_gradient(task: str, name: str) -> None:
    loss = loss_of(task, name)
    logits, target, mask = random_batch(task, 4)
    other = torch.where(mask if logits.ndim == target.ndim else mask[:, None], logits, 50 * torch.ones_like(logits))
    first, second = logits.clone().requires_grad_(), other.clone().requires_grad_()
    value(loss, first, target, mask).backward()
    value(loss, second, target, mask).backward()
    torch.testing.assert_close(value(loss, other, target, mask), value(loss, logits, target, mask))
    torch.testing.assert_close(first.grad, second.grad)
    assert first.grad is not None
    assert first.grad.any()


@pytest.mark.parametrize(("task", "name"), CASES)
def test_half_precision_logits_are_computed_in_single(task: str, name: str) -> None:
    loss = loss_of(task, name)
    logits, target, mask = random_batch(task, 4)
    half = logits.bfloat16()
    assert torch.equal(value(loss, half, target, mask), value(loss, half.float(), target, mask))


def test_every_task_of_the_experiment_has_its_loss() -> None:
    assert list(build_losses([EVERY[name] for name in NYU], "dice", "relative")) == list(NYU)
