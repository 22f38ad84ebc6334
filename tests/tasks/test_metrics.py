"""Every metric against loops, numpy or scikit-learn, and its independence of the batches."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, roc_auc_score

from tasks.metric_info import metric_info
from tasks.objectives import SplitMetrics, build_metrics, predict
from tasks.table import IGNORE_INDEX, get_task
from tests.tasks.batches import invalid_batch, random_batch
from tests.tasks.known import EVERY

NYU = ("segmentsemantic", "depth_euclidean", "surface_normal", "edge_texture")
ALL = (*NYU, "class_male")
FRAMES = 14


def split_metrics(*tasks: str, depth_target: str = "relative") -> SplitMetrics:
    """Metrics of an experiment with these tasks."""
    return SplitMetrics([EVERY[task] for task in tasks], depth_target)


def metrics_of(task: str, *batch: torch.Tensor, depth_target: str = "relative") -> dict[str, float]:
    """Metrics of one batch of logits, targets and masks."""
    metrics = split_metrics(task, depth_target=depth_target)
    metrics.update(task, *batch)
    return metrics.compute()[task]


def test_segmentation_against_scikit_learn() -> None:
    logits, target, mask = random_batch("segmentsemantic", FRAMES)
    predicted, truth = logits.argmax(1)[mask].numpy(), target[mask].numpy()
    metrics = metrics_of("segmentsemantic", logits, target, mask)
    present = np.unique(truth)
    assert metrics["mIoU"] == pytest.approx(jaccard_score(truth, predicted, labels=present, average="macro"))
    assert metrics["pixel_accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    frames = [
        jaccard_score(t[m].numpy(), p[m].numpy(), average="micro")
        for p, t, m in zip(logits.argmax(1), target, mask, strict=True)
    ]
    assert metrics["IoU_micro_imagewise"] == pytest.approx(np.mean(frames))


def test_perfect_segmentation_is_one_though_most_classes_are_absent() -> None:
    _, target, mask = random_batch("segmentsemantic", 2)
    logits = torch.nn.functional.one_hot(torch.where(mask, target, 0), 40).movedim(-1, 1).float()
    metrics = metrics_of("segmentsemantic", logits, target, mask)
    assert metrics == {"mIoU": 1.0, "pixel_accuracy": 1.0, "IoU_micro_imagewise": 1.0}


def test_a_frame_without_labels_is_not_counted_imagewise() -> None:
    logits, target, mask = random_batch("segmentsemantic", 3)
    expected = metrics_of("segmentsemantic", logits[:2], target[:2], mask[:2])
    mask[2] = False
    assert metrics_of("segmentsemantic", logits, torch.where(mask, target, IGNORE_INDEX), mask) == expected


@pytest.mark.parametrize(("depth_target", "scale"), [("relative", 1.0), ("metric", 10.0)])
def test_depth_against_numpy(depth_target: str, scale: float) -> None:
    logits, target, mask = random_batch("depth_euclidean", FRAMES)
    valid = mask.numpy()
    p = (scale / (1 + np.exp(-logits.double().numpy())))[valid]
    t = scale * target.double().numpy()[valid]
    metrics = metrics_of("depth_euclidean", logits, scale * target, mask, depth_target=depth_target)
    assert metrics == pytest.approx(
        {
            "abs_err": np.mean(np.abs(p - t)),
            "rel_err": np.mean(np.abs(p - t) / t),
            "rmse": np.sqrt(np.mean((p - t) ** 2)),
            "delta_1.25": np.mean(np.maximum(p / t, t / p) < 1.25),
        },
        rel=1e-5,
    )


def test_normals_against_numpy() -> None:
    logits, target, mask = random_batch("surface_normal", FRAMES)
    p = np.tanh(logits.double().numpy()).transpose(0, 2, 3, 1)[mask.numpy()[:, 0]]
    t = target.double().numpy().transpose(0, 2, 3, 1)[mask.numpy()[:, 0]]
    cosine = (p * t).sum(1) / np.linalg.norm(p, axis=1) / np.linalg.norm(t, axis=1)
    angles = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    assert metrics_of("surface_normal", logits, target, mask) == pytest.approx(
        {
            "mean_cosine": cosine.mean(),
            "mean_angle": angles.mean(),
            "median_angle": np.median(angles),
            "within_11.25": (angles < 11.25).mean(),
            "within_22.5": (angles < 22.5).mean(),
            "within_30": (angles < 30).mean(),
        },
        rel=1e-5,
    )


def test_angles_of_known_rotations() -> None:
    degrees = torch.tensor([0.01, 1.0, 11.0, 22.0, 90.0, 180.0], dtype=torch.float64)
    radians = torch.deg2rad(degrees)
    target = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 1, 6).float()
    turned = torch.stack([radians.cos(), radians.sin(), torch.zeros(6)]).view(1, 3, 1, 6).float()
    metrics = build_metrics(get_task("surface_normal"))
    metrics.update(turned, target, torch.ones(1, 1, 1, 6, dtype=torch.bool))
    values = metrics.compute()
    assert values["mean_angle"] == pytest.approx(float(degrees.mean()), rel=1e-6)
    assert values["median_angle"] == pytest.approx((11.0 + 22.0) / 2, rel=1e-6)
    assert (values["within_11.25"], values["within_22.5"], values["within_30"]) == (0.5, 4 / 6, 4 / 6)


def test_a_zero_vector_is_at_right_angles_to_every_normal() -> None:
    target = torch.tensor([0.0, 0.6, 0.8]).view(1, 3, 1, 1)
    metrics = metrics_of("surface_normal", torch.zeros(1, 3, 1, 1), target, torch.ones(1, 1, 1, 1, dtype=torch.bool))
    shares = dict.fromkeys(("within_11.25", "within_22.5", "within_30"), 0.0)
    assert metrics == {"mean_cosine": 0.0, "mean_angle": 90.0, "median_angle": 90.0, **shares}


def test_edges_against_numpy() -> None:
    logits, target, mask = random_batch("edge_texture", FRAMES)
    error = np.abs(1 / (1 + np.exp(-logits.double().numpy())) - target.double().numpy())[mask.numpy()]
    assert metrics_of("edge_texture", logits, target, mask) == pytest.approx({"abs_err": error.mean()}, rel=1e-5)


def test_attributes_against_scikit_learn() -> None:
    logits, target, mask = random_batch("class_male", 60)
    truth, score = target[mask].numpy(), torch.sigmoid(logits[mask]).numpy()
    assert not mask.all()
    assert metrics_of("class_male", logits, target, mask) == pytest.approx(
        {
            "accuracy": accuracy_score(truth, score > 0.5),
            "f1": f1_score(truth, score > 0.5),
            "f1_weighted": f1_score(truth, score > 0.5, average="weighted"),
            "auroc": roc_auc_score(truth, score),
        },
        rel=1e-6,
    )


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_auroc_of_one_class_is_not_a_number(label: float) -> None:
    logits = torch.tensor([3.0, 2.0, -1.0])
    metrics = metrics_of("class_male", logits, torch.full((3,), label), torch.ones(3, dtype=torch.bool))
    assert math.isnan(metrics["auroc"])
    assert metrics["accuracy"] == pytest.approx(2 / 3 if label else 1 / 3)
    others = {name: value for name, value in metrics.items() if name != "auroc"}
    assert all(math.isfinite(value) for value in others.values())


@pytest.mark.parametrize(
    ("logits", "labels", "f1"),
    [([-1, -2], [0, 0], math.nan), ([-1, 2], [0, 0], 0.0), ([-1, -2], [0, 1], 0.0), ([1, -2], [1, 0], 1.0)],
)
def test_f1_has_no_value_where_nothing_is_positive(logits: list[float], labels: list[float], f1: float) -> None:
    """2 TP / (2 TP + FP + FN)."""
    known = torch.ones(2, dtype=torch.bool)
    metrics = metrics_of("class_male", torch.tensor(logits).float(), torch.tensor(labels).float(), known)
    assert metrics["f1"] == pytest.approx(f1, nan_ok=True)
    assert metrics["f1_weighted"] == pytest.approx(f1_score(labels, np.array(logits) > 0, average="weighted"))


def in_batches(task: str, size: int) -> dict[str, float]:
    """Metrics of the same fourteen frames, some of them without any valid element, in batches of ``size``."""
    logits, target, mask = random_batch(task, FRAMES, seed=3)
    _, nothing, _ = invalid_batch(task, 1)
    for frame in (0, 5, 13):
        mask[frame] = False
        target[frame] = nothing[0]
    metrics = split_metrics(task)
    for first in range(0, FRAMES, size):
        part = slice(first, first + size)
        metrics.update(task, logits[part], target[part], mask[part])
    return metrics.compute()[task]


@pytest.mark.parametrize("task", ALL)
@pytest.mark.parametrize("size", [1, 3])
def test_the_batch_size_makes_no_difference(task: str, size: int) -> None:
    metrics, expected = in_batches(task, size), in_batches(task, FRAMES)
    assert all(math.isfinite(value) for value in expected.values())
    assert metrics == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("task", ALL)
def test_a_split_without_any_valid_element_has_no_number(task: str) -> None:
    metrics = metrics_of(task, *invalid_batch(task))
    assert metrics
    assert all(math.isnan(value) for value in metrics.values())
    never = split_metrics(task).compute()[task]
    assert list(never) == list(metrics)
    assert all(math.isnan(value) for value in never.values())


@pytest.mark.parametrize("task", ALL)
def test_one_valid_element_is_enough_for_numbers(task: str) -> None:
    logits, target, mask = random_batch(task, 2, valid=2.0)
    only = torch.zeros_like(mask)
    only.view(-1)[0] = True
    target = torch.where(only, target, IGNORE_INDEX) if task == "segmentsemantic" else target
    metrics = metrics_of(task, logits, target, only)
    assert all(math.isfinite(value) for name, value in metrics.items() if name not in ("auroc", "f1"))
    # The one attribute is a true negative: no class to tell apart, and no positive of any kind.
    assert [math.isnan(metrics[name]) for name in ("auroc", "f1") if name in metrics] == [True, True][
        : 2 * (task == "class_male")
    ]


@pytest.mark.parametrize("task", ALL)
def test_invalid_elements_change_no_metric(task: str) -> None:
    logits, target, mask = random_batch(task, 4)
    changed = torch.where(mask if logits.ndim == mask.ndim else mask[:, None], logits, -7.0)
    assert metrics_of(task, changed, target, mask) == metrics_of(task, logits, target, mask)


@pytest.mark.parametrize("task", ALL)
def test_the_main_metric_exists_and_is_better_for_the_better_prediction(task: str) -> None:
    spec = get_task(task)
    logits, target, mask = random_batch(task, 20)
    values = []
    for prediction in (target, predict(spec, logits, "relative")):  # the truth, and something worse
        metrics = build_metrics(spec)
        metrics.update(prediction, target, mask)
        values.append(metrics.compute()[spec.main_metric])
    goes_up = metric_info(spec, spec.main_metric).better == "up"
    assert (values[0] > values[1]) == goes_up
    assert values[0] == pytest.approx(1.0 if goes_up else 0.0, abs=1e-6)


def test_half_precision_logits_are_judged_in_single() -> None:
    for task in ALL:
        logits, target, mask = random_batch(task, 4)
        half = logits.bfloat16()
        assert metrics_of(task, half, target, mask) == metrics_of(task, half.float(), target, mask)


@pytest.mark.parametrize("task", ALL)
@pytest.mark.parametrize("sizes", [(6, 0, 8), (0, 14), (5, 4, 5)])
def test_metrics_of_parts_that_are_merged_are_those_of_the_whole(task: str, sizes: tuple[int, ...]) -> None:
    """A part may have no frame."""
    logits, *truth = batch = random_batch(task, FRAMES)
    parts = []
    for frames in zip(*(values.split(sizes) for values in (predict(get_task(task), logits, "relative"), *truth)), strict=True):
        parts.append(build_metrics(get_task(task)))
        if len(frames[0]):
            parts[-1].update(*frames)
    for other in parts[1:]:
        parts[0].merge(other)
    assert parts[0].compute() == pytest.approx(metrics_of(task, *batch), nan_ok=True, rel=1e-12)
