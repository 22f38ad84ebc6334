"""Colours: equal things look equal, and nothing invalid is shown as a value."""

import numpy as np
import pytest

from figures.colours import colourise, segmentation_palette, value_limits
from tests.figures.frames import DENSE, SIZE, random_frames
from tests.tasks.known import LABELLED, NYU


def _is_grey(colours: np.ndarray) -> np.ndarray:
    return np.ptp(colours, axis=-1) == 0


def test_palette_has_forty_different_colours_that_do_not_depend_on_the_number() -> None:
    palette = segmentation_palette(40)
    assert palette.shape == (40, 3)
    assert palette.min() >= 0
    assert palette.max() <= 1
    assert len(np.unique(palette, axis=0)) == 40
    assert not _is_grey(palette).any()  # grey says invalid
    np.testing.assert_array_equal(segmentation_palette(3), palette[:3])


@pytest.mark.parametrize("number", [0, 256])
def test_palette_refuses_other_numbers(number: int) -> None:
    with pytest.raises(ValueError, match=str(number)):
        segmentation_palette(number)


def test_labels_become_their_colours_and_ignored_ones_grey() -> None:
    labels = np.array([[0, 39], [7, 255]])
    colours = colourise(LABELLED["NYU"]["segmentsemantic"], labels, None)
    np.testing.assert_array_equal(colours.reshape(4, 3)[:3], segmentation_palette(40)[[0, 39, 7]])
    assert _is_grey(colours).tolist() == [[False, False], [False, True]]


def test_a_label_that_is_no_class_is_an_error_only_where_it_is_valid() -> None:
    labels = np.array([[0, 3]])
    with pytest.raises(ValueError, match=r"\[3\].*3 classes"):
        colourise(LABELLED["celebA"]["segmentsemantic"], labels, None)
    assert _is_grey(colourise(LABELLED["celebA"]["segmentsemantic"], labels, np.array([[True, False]]))).tolist() == [[0, 1]]


@pytest.mark.parametrize(("label_set", "classes"), [("NYU_MTAN", 13), ("celebA19", 19)])
def test_other_label_sets_have_their_own_number_of_colours(label_set: str, classes: int) -> None:
    labels = np.arange(classes)[None]
    colours = colourise(LABELLED[label_set]["segmentsemantic"], labels, None)
    np.testing.assert_array_equal(colours[0], segmentation_palette(classes))
    with pytest.raises(ValueError, match=rf"\[{classes}\].*{classes} classes"):
        colourise(LABELLED[label_set]["segmentsemantic"], labels + 1, None)


def test_normals_are_shown_as_half_of_n_plus_one() -> None:
    normals = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, -1]]).T.reshape(3, 1, 3)
    expected = [[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 0]]
    np.testing.assert_allclose(colourise(LABELLED["NYU"]["surface_normal"], normals, None)[0], expected)


def test_equal_depths_have_equal_colours_under_the_limits_of_the_target() -> None:
    target, prediction = np.array([[[1.0, 2.0, 3.0]]]), np.array([[[2.0, 3.0, 9.0]]])
    limits = value_limits(NYU["depth_euclidean"], target, None)
    shown = colourise(LABELLED["NYU"]["depth_euclidean"], target, None, limits)
    predicted = colourise(LABELLED["NYU"]["depth_euclidean"], prediction, None, limits)
    np.testing.assert_array_equal(shown[0, 1:], predicted[0, :2])
    np.testing.assert_array_equal(predicted[0, 2], predicted[0, 1])  # beyond the scale: its last colour


def test_limits_come_from_valid_pixels_and_are_never_equal() -> None:
    depth = np.array([[0.0, 2.0, 4.0, np.nan]])
    assert value_limits(NYU["depth_euclidean"], depth, depth > 0) == (2, 4)
    assert value_limits(NYU["edge_texture"], depth, depth > 0) == (0, 4)
    assert value_limits(NYU["depth_euclidean"], np.full((1, 2), 3.0), None) == (3, 4)
    assert value_limits(NYU["depth_euclidean"], depth, np.zeros((1, 4), bool)) == (0, 1)


@pytest.mark.parametrize("task", DENSE)
@pytest.mark.parametrize("shape", [(SIZE, SIZE), (1, SIZE, SIZE)])
def test_masked_pixels_are_striped_and_others_do_not_change(task: str, shape: tuple[int, ...]) -> None:
    frame = random_frames(np.random.default_rng(0), 1)[task][0]
    mask = np.ones(shape, bool)
    mask[..., :4] = False
    limits = (0.0, 5.0)
    masked = colourise(NYU[task], frame, mask, limits)
    assert masked.shape == (SIZE, SIZE, 3)
    assert _is_grey(masked[:, :4]).all()
    assert len(np.unique(masked[:, :4])) == 2  # the two greys of the stripes
    np.testing.assert_array_equal(masked[:, 4:], colourise(NYU[task], frame, None, limits)[:, 4:])


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="class_male"):
        colourise(LABELLED["celebA"]["class_male"], np.zeros(1), None)
    with pytest.raises(ValueError, match=r"\(3, H, W\)"):
        colourise(LABELLED["NYU"]["surface_normal"], np.zeros((4, 4)), None)
    with pytest.raises(KeyError):
        colourise(LABELLED["NYU"]["nothing"], np.zeros((4, 4)), None)
