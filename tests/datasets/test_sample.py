"""Samples of a loader, by the table of ``datasets/sample.py``."""

import copy

import pytest
import torch

from datasets.sample import finish, labelled_tasks, stack
from tests.datasets.frames import DENSE, raw_sample
from tests.equality import equal
from tests.tasks.known import EVERY


def test_types_and_shapes_are_those_of_the_contract() -> None:
    sample = finish(raw_sample(), EVERY, "metric")
    shapes = {
        "segmentsemantic": (torch.int64, (12, 16)),
        "depth_euclidean": (torch.float32, (1, 12, 16)),
        "surface_normal": (torch.float32, (3, 12, 16)),
        "edge_texture": (torch.float32, (1, 12, 16)),
        "class_male": (torch.float32, ()),
    }
    assert {task: (target.dtype, tuple(target.shape)) for task, target in sample["targets"].items()} == shapes
    for task, mask in sample["masks"].items():
        assert mask.dtype == torch.bool
        expected = {"segmentsemantic": (12, 16), "class_male": ()}.get(task, (1, 12, 16))
        assert tuple(mask.shape) == expected


def test_the_image_is_divided_by_255() -> None:
    raw = raw_sample()
    raw["image"][0, 0, :2] = torch.tensor([0, 255])
    image = finish(raw, EVERY, "metric")["image"]
    assert image.dtype == torch.float32
    assert image[0, 0, :2].tolist() == [0, 1]


def test_unlabelled_pixels_are_255_and_others_keep_their_class() -> None:
    raw = raw_sample()
    raw["targets"]["segmentsemantic"].fill_(7)
    sample = finish(raw, EVERY, "metric")
    mask = raw["masks"]["segmentsemantic"][0]
    assert (sample["targets"]["segmentsemantic"] == torch.where(mask, 7, 255)).all()
    assert torch.equal(sample["masks"]["segmentsemantic"], mask)


def test_relative_depth_is_divided_by_the_largest_valid_one() -> None:
    raw = raw_sample()
    mask = raw["masks"]["depth_euclidean"]
    raw["targets"]["depth_euclidean"][~mask] = 1e3  # invalid: must not count
    metric, relative = (finish(raw, EVERY, target)["targets"]["depth_euclidean"] for target in ("metric", "relative"))
    assert float(relative.max()) == 1
    torch.testing.assert_close(relative[mask] * float(metric[mask].max()), metric[mask])
    assert torch.equal(metric[mask], raw["targets"]["depth_euclidean"][mask])


@pytest.mark.parametrize("target", ["relative", "metric"])
@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), -5.0])
def test_invalid_pixels_are_zero_whatever_the_file_had(target: str, garbage: float) -> None:
    raw = raw_sample()
    for task in DENSE[1:]:
        raw["targets"][task][~raw["masks"][task].expand_as(raw["targets"][task])] = garbage
    sample = finish(raw, EVERY, target)
    for task in DENSE[1:]:
        assert (sample["targets"][task][~sample["masks"][task].expand_as(sample["targets"][task])] == 0).all()
        assert sample["targets"][task].isfinite().all()


def test_a_frame_without_any_valid_depth_is_zero_and_not_nan() -> None:
    raw = raw_sample()
    raw["masks"]["depth_euclidean"].fill_(False)
    assert (finish(raw, EVERY, "relative")["targets"]["depth_euclidean"] == 0).all()


def test_finishing_leaves_its_input_alone() -> None:
    raw = raw_sample()
    before = copy.deepcopy(raw)
    finish(raw, EVERY, "relative")
    assert equal(raw, before)


def test_one_valid_element_of_a_batch_makes_a_task_a_labelled_one() -> None:
    samples = [raw_sample(seed) for seed in range(3)]
    for sample in samples:
        for mask in sample["masks"].values():
            mask.fill_(False)
    tasks = list(samples[0]["masks"])
    assert labelled_tasks(samples[0], tasks) == labelled_tasks(stack(samples), tasks) == []
    samples[2]["masks"]["surface_normal"][0, -1, -1] = True
    samples[2]["masks"]["class_male"].fill_(True)
    for batch in (samples[2], finish(samples[2], EVERY, "metric"), stack(samples), finish(stack(samples), EVERY, "metric")):
        assert labelled_tasks(batch, tasks) == ["surface_normal", "class_male"]
        assert labelled_tasks(batch, ["class_male", "segmentsemantic"]) == ["class_male"]
