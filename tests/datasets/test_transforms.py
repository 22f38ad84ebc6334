"""Joint transforms: image and targets stay together, and every target keeps its meaning."""

import copy

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from datasets.sample import Sample
from datasets.transforms import augment, horizontal_flip, resize, scale_crop, unit_normals
from tests.datasets.frames import DENSE, raw_sample
from tests.equality import equal
from tests.tasks.known import EVERY, LABELLED


def _columns(height: int = 24, width: int = 32) -> Sample:
    """Every pixel says its column: image, labels and depth agree about where they are."""
    column = torch.arange(width).expand(1, height, width).contiguous()
    everywhere = torch.ones(1, height, width, dtype=torch.bool)
    return Sample(
        image=(column * 4).to(torch.uint8).repeat(3, 1, 1),
        targets={"segmentsemantic": column.to(torch.uint8), "depth_euclidean": column.float() + 1},
        masks={"segmentsemantic": everywhere, "depth_euclidean": everywhere},
        name="columns",
    )


# Flip


def test_a_flip_mirrors_everything_and_negates_the_normals_x_only() -> None:
    sample = raw_sample()
    flipped = horizontal_flip(sample, EVERY)
    assert torch.equal(flipped["image"], sample["image"].flip(-1))
    for task in DENSE:
        assert torch.equal(flipped["masks"][task], sample["masks"][task].flip(-1)), task
        mirrored = sample["targets"][task].flip(-1)
        if task == "surface_normal":
            mirrored = mirrored * torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
        assert torch.equal(flipped["targets"][task], mirrored), task
    assert torch.equal(flipped["targets"]["class_male"], sample["targets"]["class_male"])


def test_a_flip_swaps_the_labels_of_left_and_right_parts() -> None:
    """In CelebAMask-HQ's numbering: 4 and 5 are the eyes, 6 and 7 the brows, 8 and 9 the ears."""
    tasks = {**EVERY, **LABELLED["celebA19"]}
    sample = raw_sample()
    sample["targets"]["segmentsemantic"][0, 0, :12] = torch.tensor([1, 4, 5, 6, 7, 8, 9, 12, 18, 255, 0, 4], dtype=torch.uint8)
    flipped = horizontal_flip(sample, tasks)
    row = [1, 5, 4, 7, 6, 9, 8, 12, 18, 255, 0, 5]
    assert flipped["targets"]["segmentsemantic"][0, 0].flip(0)[:12].tolist() == row
    assert flipped["targets"]["segmentsemantic"].dtype == torch.uint8
    assert equal(horizontal_flip(flipped, tasks), sample)
    for task in DENSE[1:]:
        assert torch.equal(flipped["targets"][task], horizontal_flip(sample, EVERY)["targets"][task]), task


@pytest.mark.parametrize(
    "change",
    [lambda s: horizontal_flip(s, EVERY), lambda s: scale_crop(s, EVERY, 1.5, 0.2, 0.7), lambda s: resize(s, EVERY, (5, 9))],
)
def test_a_transform_leaves_its_input_alone(change: object) -> None:
    """The frame may be the cached one."""
    sample = raw_sample()
    before = copy.deepcopy(sample)
    change(sample)  # type: ignore[operator]
    assert equal(sample, before)


# Resize


@pytest.mark.parametrize("size", [(6, 8), (24, 32), (7, 13), (12, 16)])
def test_resizing_gives_everything_the_size_and_keeps_types(size: tuple[int, int]) -> None:
    sample = raw_sample()
    resized = resize(sample, EVERY, size)
    assert resized["image"].shape == (3, *size)
    assert resized["image"].dtype == torch.uint8
    for task in DENSE:
        assert resized["targets"][task].shape == (3 if task == "surface_normal" else 1, *size)
        assert resized["targets"][task].dtype == sample["targets"][task].dtype
        assert resized["masks"][task].shape == (1, *size)
        assert resized["masks"][task].dtype == torch.bool
    assert resized["targets"]["class_male"] == sample["targets"]["class_male"]
    assert resized["name"] == sample["name"]


@pytest.mark.parametrize("size", [(5, 7), (96, 96), (17, 64)])
def test_nearest_is_torchs_nearest_exact(size: tuple[int, int]) -> None:
    sample = raw_sample(height=24, width=33)
    resized = resize(sample, EVERY, size)
    for task in ("segmentsemantic", "depth_euclidean"):
        for part in ("targets", "masks"):
            old, new = sample[part][task], resized[part][task]  # type: ignore[literal-required]
            expected = interpolate(old[None].float(), list(size), mode="nearest-exact")[0]
            assert torch.equal(new, expected.to(old.dtype)), (task, part)


@pytest.mark.parametrize("size", [(5, 9), (24, 30)])
@pytest.mark.parametrize("task", ["surface_normal", "edge_texture"])
def test_averages_do_not_mix_invalid_values_in(task: str, size: tuple[int, int]) -> None:
    sample = raw_sample()
    garbage = raw_sample()
    invalid = ~sample["masks"][task].expand_as(sample["targets"][task])
    garbage["targets"][task][invalid] = 1e4
    clean, soiled = resize(sample, EVERY, size), resize(garbage, EVERY, size)
    torch.testing.assert_close(soiled["targets"][task], clean["targets"][task], rtol=0, atol=0)
    assert torch.equal(soiled["masks"][task], clean["masks"][task])
    garbage["targets"][task][invalid] = float("nan")
    assert resize(garbage, EVERY, size)["targets"][task].isfinite().all()


@pytest.mark.parametrize("size", [(5, 9), (24, 30)])
def test_a_constant_stays_that_constant_beside_holes(size: tuple[int, int]) -> None:
    sample = raw_sample()
    sample["targets"]["edge_texture"].fill_(0.7)
    sample["masks"]["edge_texture"][:, 2:9, 3:12] = False
    resized = resize(sample, EVERY, size)
    mask = resized["masks"]["edge_texture"]
    assert mask.any()
    assert not mask.all()
    torch.testing.assert_close(resized["targets"]["edge_texture"][mask], torch.full((int(mask.sum()),), 0.7))
    assert (resized["targets"]["edge_texture"][~mask] == 0).all()


def test_an_average_is_valid_where_most_of_it_is() -> None:
    sample = raw_sample(height=8, width=8)
    mask = torch.ones(1, 8, 8, dtype=torch.bool)
    mask[:, :, :4] = False
    sample["masks"]["edge_texture"] = mask
    resized = resize(sample, EVERY, (2, 2))["masks"]["edge_texture"]
    assert resized.tolist() == [[[False, True], [False, True]]]


@pytest.mark.parametrize("size", [(5, 9), (24, 30)])
def test_normals_keep_unit_length_where_they_are_valid(size: tuple[int, int]) -> None:
    resized = resize(raw_sample(), EVERY, size)
    lengths, mask = resized["targets"]["surface_normal"].norm(dim=0), resized["masks"]["surface_normal"][0]
    assert mask.any()
    assert not mask.all()
    torch.testing.assert_close(lengths[mask], torch.ones(int(mask.sum())))
    assert (lengths[~mask] == 0).all()


def test_opposite_normals_average_to_no_normal() -> None:
    sample = raw_sample(height=8, width=8)
    normals = torch.zeros(3, 8, 8)
    normals[0] = 1 - 2.0 * (torch.arange(8)[:, None] + torch.arange(8)).remainder(2)
    sample["targets"]["surface_normal"] = normals
    sample["masks"]["surface_normal"] = torch.ones(1, 8, 8, dtype=torch.bool)
    resized = resize(sample, EVERY, (4, 4))
    assert not resized["masks"]["surface_normal"].any()
    assert (resized["targets"]["surface_normal"] == 0).all()


def test_unit_normals_drops_zero_vectors_and_keeps_directions() -> None:
    normals = torch.tensor([[0.0, 2.0, 0.004, 0.0], [0.0, 0.0, 0.004, 0.3], [0.0, 0.0, -0.004, 0.4]])[:, None]
    units, mask = unit_normals(normals, torch.ones(1, 1, 4, dtype=torch.bool))
    assert mask.flatten().tolist() == [False, True, False, True]
    torch.testing.assert_close(units[:, 0].T, torch.tensor([[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0.6, 0.8]]))
    _, none = unit_normals(normals, torch.zeros(1, 1, 4, dtype=torch.bool))
    assert not none.any()


# Scale and crop


@pytest.mark.parametrize("scale", [1.25, 1.5, 2.0])
def test_enlarging_divides_depth_and_nothing_else(scale: float) -> None:
    sample = raw_sample(height=24, width=32)
    sample["targets"]["depth_euclidean"].fill_(3.0)
    sample["targets"]["edge_texture"].fill_(0.5)
    sample["targets"]["surface_normal"][:] = torch.tensor([0.0, 0.6, -0.8])[:, None, None]
    zoomed = scale_crop(sample, EVERY, scale, 0.5, 0.5)
    kept = round(24 / scale) * round(32 / scale)
    expected = {"depth_euclidean": torch.tensor([3.0 * (kept / (24 * 32)) ** 0.5]), "edge_texture": torch.tensor([0.5])}
    expected["surface_normal"] = torch.tensor([0.0, 0.6, -0.8])
    for task, value in expected.items():
        mask = zoomed["masks"][task][0]
        assert mask.any()
        values = zoomed["targets"][task][:, mask]
        torch.testing.assert_close(values, value[:, None].expand_as(values))
    assert zoomed["image"].shape == sample["image"].shape
    assert set(zoomed["targets"]["segmentsemantic"].unique().tolist()) <= set(
        sample["targets"]["segmentsemantic"].unique().tolist()
    )


@pytest.mark.parametrize("left", [0.0, 0.4, 1.0])
def test_image_and_targets_show_the_same_part(left: float) -> None:
    zoomed = scale_crop(_columns(), EVERY, 2.0, 0.0, left)
    labels = zoomed["targets"]["segmentsemantic"][0, 0].float()
    start = round(left * 16)
    assert labels.tolist() == [start + column // 2 for column in range(32)]
    image = zoomed["image"][0, 0].float() / 4
    assert (image - labels).abs().max() <= 0.5
    torch.testing.assert_close(zoomed["targets"]["depth_euclidean"][0, 0] * 2 - 1, labels)


def test_top_chooses_the_rows() -> None:
    sample = _columns(32, 32)
    turned = Sample(
        image=sample["image"].transpose(-1, -2).contiguous(),
        targets={task: target.transpose(-1, -2).contiguous() for task, target in sample["targets"].items()},
        masks=sample["masks"],
        name="rows",
    )
    zoomed = scale_crop(turned, EVERY, 2.0, 1.0, 0.0)
    assert zoomed["targets"]["segmentsemantic"][0, :, 0].tolist() == [16 + row // 2 for row in range(32)]


# Augmentation


def test_the_same_seed_makes_the_same_changes_and_other_seeds_others() -> None:
    sample = raw_sample(height=24, width=32)
    results = [augment(sample, EVERY, True, (1.0, 1.3, 1.7), seed) for seed in range(6)]
    for seed, result in enumerate(results):
        assert equal(augment(sample, EVERY, True, (1.0, 1.3, 1.7), seed), result)
    images = {bytes(result["image"].numpy().tobytes()) for result in results}
    assert len(images) > 3


def test_the_changes_do_not_depend_on_other_random_numbers() -> None:
    sample = raw_sample(height=24, width=32)
    torch.manual_seed(1)
    first = augment(sample, EVERY, True, (1.5,), 3)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert equal(augment(sample, EVERY, True, (1.5,), 3), first)
    assert torch.equal(torch.get_rng_state(), state)


def _is_flipped(result: Sample, sample: Sample) -> bool:
    assert equal(result, sample) or equal(result, horizontal_flip(sample, EVERY))
    return not equal(result, sample)


def test_half_of_the_frames_are_flipped_if_asked_for() -> None:
    sample = raw_sample(height=4, width=4)
    flipped = sum(_is_flipped(augment(sample, EVERY, True, (), seed), sample) for seed in range(200))
    assert 70 < flipped < 130
    assert not any(_is_flipped(augment(sample, EVERY, False, (1.0,), seed), sample) for seed in range(20))


def test_every_scale_is_drawn_and_flips_do_not_depend_on_it() -> None:
    sample = raw_sample(height=24, width=36)  # crops by 1.2 and 1.5 are whole
    sample["targets"]["depth_euclidean"].fill_(6.0)

    def scale(result: Sample) -> float:
        depth: Tensor = result["targets"]["depth_euclidean"][result["masks"]["depth_euclidean"]]
        return round(6.0 / float(depth.max()), 4)

    drawn = [scale(augment(sample, EVERY, False, (1.0, 1.2, 1.5), seed)) for seed in range(60)]
    assert set(drawn) == {1.0, 1.2, 1.5}
    assert all(drawn.count(value) > 8 for value in set(drawn))
