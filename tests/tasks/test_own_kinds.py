"""Regression, classification and weighted classes, by their definitions."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, f1_score

from tasks.data_sets import LabelSet
from tasks.losses import has_value
from tasks.metric_info import metric_info
from tasks.objectives import build_losses, build_metrics, imitation, predict
from tasks.table import IGNORE_INDEX, Task, make_task

CLASSES = LabelSet(("good", "poor", "dead"))
WEIGHTS = (0.5, 2.0, 0.0)


def numbers(channels: int = 1, loss: str = "", dense: bool = True) -> Task:
    """A regression around 300 with a spread of 20."""
    head = {} if dense else {"head": "classification"}
    return make_task("n", "regression", "N", "n", channels=channels, loss=loss, unit="t", mean=300.0, std=20.0, **head)


def batch(task: Task, frames: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random logits, targets and masks, with NaN in the targets that are not valid."""
    generator = torch.Generator().manual_seed(0)
    size = (frames, task.channels, 4, 3) if task.is_dense else (frames,)
    mask = torch.rand(size[:1] + (1, 4, 3) if task.is_dense else size, generator=generator) < 0.6
    target = 300 + 20 * torch.randn(size, generator=generator)
    return torch.randn(size, generator=generator), torch.where(mask, target, torch.nan), mask


@pytest.mark.parametrize("task", [numbers(), numbers(3), numbers(dense=False)], ids=["map", "vectors", "per image"])
@pytest.mark.parametrize("loss", ["", "l1", "l2", "huber"])
def test_a_regression_is_learned_in_units_of_its_spread_and_judged_in_its_own(task: Task, loss: str) -> None:
    task = numbers(task.channels, loss, task.is_dense)
    logits, target, mask = batch(task)
    where = mask.expand_as(target).numpy()
    z = ((logits.double() - (target.double() - 300) / 20).numpy())[where]
    pointwise = {"l2": z**2, "huber": np.where(abs(z) < 1, z**2 / 2, abs(z) - 0.5)}.get(loss, abs(z))
    learned = build_losses([task], "softCEloss", "relative")["n"]
    value = learned.value(learned.statistics(logits, target, mask))
    assert float(value) == pytest.approx(pointwise.mean(), rel=1e-5)
    prediction = predict(task, logits, "relative")
    torch.testing.assert_close(prediction, 300 + 20 * logits)
    metrics = build_metrics(task)
    other = build_metrics(task)
    for part, taker in ((slice(1), metrics), (slice(1, 3), other), (slice(3, None), other)):
        taker.update(prediction[part], target[part], mask[part])
    metrics.merge(other)
    computed = metrics.compute()
    assert computed["abs_err"] == pytest.approx(20 * abs(z).mean(), rel=1e-4)
    assert computed["rmse"] == pytest.approx(20 * math.sqrt((z**2).mean()), rel=1e-4)
    assert metric_info(task, "abs_err").unit == metric_info(task, "rmse", metres=True).unit == "t"
    assert float(imitation(task, logits, logits, "relative")) == 0


@pytest.mark.parametrize("weights", [(), WEIGHTS])
def test_a_classification_is_the_weighted_cross_entropy_of_the_known(weights: tuple[float, ...]) -> None:
    task = make_task("c", "classification", "C", "c", labels=CLASSES)
    generator = torch.Generator().manual_seed(1)
    logits, target = torch.randn(40, 3, generator=generator), torch.randint(3, (40,), generator=generator)
    mask = torch.rand(40, generator=generator) < 0.7
    loss = build_losses([task], "softCEloss", "relative", {"c": weights})["c"]
    weight = torch.tensor(weights) if weights else None
    expected = F.cross_entropy(logits[mask], target[mask], weight=weight)
    whole = loss.statistics(logits, target, mask)
    torch.testing.assert_close(loss.value(whole), expected)
    parts = [loss.statistics(logits[part], target[part], mask[part]) for part in (slice(7), slice(7, None))]
    torch.testing.assert_close(parts[0] + parts[1], whole)
    assert not has_value(loss.statistics(logits, target, torch.zeros_like(mask)))
    prediction = predict(task, logits, "relative")
    metrics = build_metrics(task)
    assert all(math.isnan(value) for value in metrics.compute().values())
    other = build_metrics(task)
    for part, taker in ((slice(9), metrics), (slice(9, None), other)):
        taker.update(prediction[part], target[part], mask[part])
    metrics.merge(other)
    truth, told = target[mask].numpy(), prediction[mask].numpy()
    assert metrics.compute() == pytest.approx(
        {"accuracy": accuracy_score(truth, told), "macro_f1": f1_score(truth, told, average="macro")}
    )


def test_macro_f1_counts_the_classes_that_occur() -> None:
    metrics = build_metrics(make_task("c", "classification", "C", "c", labels=CLASSES))
    everything = torch.ones(3, dtype=torch.bool)
    metrics.update(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), everything)
    assert metrics.compute()["macro_f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)


@pytest.mark.parametrize(("seg_loss", "smoothing"), [("softCEloss", 0.1), ("Focal", 0.0)])
def test_weights_of_a_segmentation_weigh_its_pixels(seg_loss: str, smoothing: float) -> None:
    task = make_task("s", "segmentation", "S", "s", labels=CLASSES)
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 3, 4, 5, generator=generator)
    mask = torch.rand(2, 4, 5, generator=generator) < 0.7
    target = torch.where(mask, torch.randint(3, (2, 4, 5), generator=generator), IGNORE_INDEX)
    plain, weighted = (build_losses([task], seg_loss, "relative", {"s": some})["s"] for some in ((), WEIGHTS))
    total, number = 0.0, 0.0
    for place in map(tuple, mask.nonzero().tolist()):
        one = torch.zeros_like(mask)
        one[place] = True
        weight = WEIGHTS[int(target[place])]
        total += weight * float(plain.value(plain.statistics(logits, torch.where(one, target, IGNORE_INDEX), one)))
        number += weight
    assert float(weighted.value(weighted.statistics(logits, target, mask))) == pytest.approx(total / number, rel=1e-5)


def test_weights_of_an_attribute_are_those_of_no_and_of_yes() -> None:
    task = make_task("a", "attribute", "A", "a")
    logits, target = torch.tensor([0.3, -0.7, 2.0]), torch.tensor([1.0, 0.0, 1.0])
    loss = build_losses([task], "softCEloss", "relative", {"a": (1.0, 3.0)})["a"]
    weight = torch.tensor([3.0, 1.0, 3.0])
    expected = F.binary_cross_entropy_with_logits(logits, target, weight=weight, reduction="sum") / weight.sum()
    torch.testing.assert_close(loss.value(loss.statistics(logits, target, torch.ones(3, dtype=torch.bool))), expected)


def test_more_classes_than_a_byte_tells_apart_are_no_task() -> None:
    with pytest.raises(ValueError, match="300 classes are more than 255"):
        make_task("s", "segmentation", "S", "s", labels=LabelSet(tuple(f"c{number}" for number in range(300))))
