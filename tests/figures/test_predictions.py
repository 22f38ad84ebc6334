"""Pictures of predictions: everything is there, in its place, and named."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from figures.colours import colourise, segmentation_palette
from figures.predictions import PredictedFrames, prediction_figure
from tasks.data_sets import CELEBA_CLASSES, NYU_CLASSES
from tests.figures.frames import DENSE, SIZE, random_frames
from tests.tasks.known import LABELLED

BLACK = np.zeros((1, 3, SIZE, SIZE))


def _all_texts(figure: Figure) -> list[str]:
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    texts += [text for legend in figure.legends for text in (legend.get_title(), *legend.get_texts())]
    return [text.get_text() for text in texts]


def _pictures(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def _inside(figure: Figure) -> bool:
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    return box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


@pytest.mark.parametrize(("tasks", "channels"), [(DENSE[:1], 1), (DENSE, 3)])
def test_one_row_per_image_with_target_and_prediction_of_each_task(tasks: tuple[str, ...], channels: int) -> None:
    rng = np.random.default_rng(0)
    targets, predictions = ({task: random_frames(rng, 2)[task] for task in tasks} for _ in range(2))
    images = rng.uniform(size=(2, channels, SIZE, SIZE))
    figure = prediction_figure(
        PredictedFrames(images, predictions, targets, names=["one.png", "two.png"]), LABELLED["NYU"], "title"
    )
    pictures = _pictures(figure)
    per_row = 1 + 2 * len(tasks)
    assert len(pictures) == 2 * per_row
    np.testing.assert_allclose(pictures[0], np.broadcast_to(np.moveaxis(images[0], 0, -1), (SIZE, SIZE, 3)))
    np.testing.assert_array_equal(pictures[1], segmentation_palette(40)[targets["segmentsemantic"][0]])
    np.testing.assert_array_equal(pictures[per_row + 2], segmentation_palette(40)[predictions["segmentsemantic"][1]])
    assert [label for axes in figure.axes if (label := axes.get_ylabel())] == ["one.png", "two.png"]
    assert _all_texts(figure).count("prediction") == len(tasks)
    assert "no valid target" not in _all_texts(figure)
    assert _inside(figure)


@pytest.mark.parametrize("shape", [(2, 64), (64, 2)])
def test_without_targets_there_is_one_column_per_task(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(1, 3, *shape))
    predictions = {
        "segmentsemantic": rng.integers(0, 40, (1, *shape)),
        "depth_euclidean": rng.uniform(2, 3, (1, 1, *shape)),
        "surface_normal": normals / np.linalg.norm(normals, axis=1, keepdims=True),
        "edge_texture": rng.uniform(0, 0.5, (1, 1, *shape)),
    }
    figure = prediction_figure(PredictedFrames(rng.uniform(size=(1, 3, *shape)), predictions), LABELLED["NYU"], "title")
    pictures = _pictures(figure)
    assert len(pictures) == 1 + len(predictions)
    for picture, (task, prediction) in zip(pictures[1:], predictions.items(), strict=True):
        np.testing.assert_array_equal(picture, colourise(LABELLED["NYU"][task], prediction[0], None))
    texts = _all_texts(figure)
    assert not {"target", "prediction", "no valid target", "strongest of the target"} & set(texts)
    assert {"input", "Depth", "Surface normals", "strongest"} <= set(texts)
    assert _inside(figure)


def test_without_targets_attributes_are_probabilities() -> None:
    figure = prediction_figure(PredictedFrames(BLACK, {"class_male": np.array([0.93])}), LABELLED["celebA"], "")
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["Male 0.93"]
    assert _inside(figure)


def test_legend_names_the_classes_that_occur_in_their_colours() -> None:
    target, prediction = np.full((1, SIZE, SIZE), 5), np.full((1, SIZE, SIZE), 21)
    target[0, 0], prediction[0, 0] = 255, 5
    frames = PredictedFrames(BLACK, {"segmentsemantic": prediction}, {"segmentsemantic": target})
    figure = prediction_figure(frames, LABELLED["NYU"], "")
    handles = figure.legends[0].get_patches()
    assert [handle.get_label() for handle in handles] == [NYU_CLASSES[5], NYU_CLASSES[21]]
    colours = [to_rgb(handle.get_facecolor()) for handle in handles]
    np.testing.assert_allclose(colours, segmentation_palette(40)[[5, 21]])
    assert "no valid target" in _all_texts(figure)


def test_legend_of_very_many_classes_says_how_many_it_leaves_out() -> None:
    labels = np.sort(np.arange(SIZE * SIZE) % 40).reshape(1, SIZE, SIZE)
    figure = prediction_figure(PredictedFrames(BLACK, *[{"segmentsemantic": labels}] * 2), LABELLED["NYU"], "")
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == [*NYU_CLASSES[:24], "+ 16 rarer"]
    assert _inside(figure)


@pytest.mark.parametrize("label_set", ["celebA19", "NYU_MTAN"])
def test_legend_names_all_classes_of_other_label_sets(label_set: str) -> None:
    classes = LABELLED[label_set]["segmentsemantic"].classes
    labels = (np.arange(SIZE * SIZE) % len(classes)).reshape(1, SIZE, SIZE)
    figure = prediction_figure(
        PredictedFrames(BLACK, {"segmentsemantic": labels}), LABELLED[label_set], "all the classes there are"
    )
    handles = figure.legends[0].get_patches()
    assert [handle.get_label() for handle in handles] == list(classes)
    np.testing.assert_allclose([to_rgb(handle.get_facecolor()) for handle in handles], segmentation_palette(len(classes)))
    assert _inside(figure)


@pytest.mark.parametrize(("label_set", "first"), [("NYU", "+x right"), ("NYU_MTAN", "+x")])
def test_legend_says_where_axes_point_only_where_that_is_known(label_set: str, first: str) -> None:
    normals = {"surface_normal": random_frames(np.random.default_rng(0), 1)["surface_normal"]}
    figure = prediction_figure(PredictedFrames(BLACK, normals), LABELLED[label_set], "")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[0] == first
    assert len(labels) == 6


def test_depth_bar_has_the_range_of_the_frame_and_the_heading_its_unit() -> None:
    target = np.linspace(1, 3, SIZE * SIZE).reshape(1, 1, SIZE, SIZE)
    frames = PredictedFrames(BLACK, {"depth_euclidean": target * 2}, {"depth_euclidean": target})
    figure = prediction_figure(frames, LABELLED["NYU"], "", {"depth_euclidean": "m"})
    assert "Depth (m)" in _all_texts(figure)
    assert [label.get_text() for label in figure.axes[-1].get_yticklabels()] == ["1.00", "2.00", "3.00"]


def test_attributes_say_target_probability_and_whether_they_agree() -> None:
    rng = np.random.default_rng(0)
    labels = random_frames(rng, 3, len(CELEBA_CLASSES))["segmentsemantic"]
    targets = {"segmentsemantic": labels, "class_male": np.array([1.0, 0, 1]), "class_smile": np.array([0.0, 1, 1])}
    predictions = {"segmentsemantic": labels, "class_male": np.array([0.93, 0.8, 0.1])}
    predictions["class_smile"] = np.array([0.2, 0.5, 0.4])
    masks = {"class_male": np.array([True, True, False])}
    images = rng.uniform(size=(3, 3, SIZE, SIZE))
    figure = prediction_figure(PredictedFrames(images, predictions, targets, masks), LABELLED["celebA"], "")
    lines = [text for axes in figure.axes for text in axes.texts]
    assert [line.get_text() for line in lines] == [
        "Male 1 → 0.93 ✓",
        "Smiling 0 → 0.20 ✓",
        "Male 0 → 0.80 ✗",
        "Smiling 1 → 0.50 ✓",
        "Male ? → 0.10",
        "Smiling 1 → 0.40 ✗",
    ]
    right, wrong, unknown = lines[0].get_color(), lines[2].get_color(), lines[4].get_color()
    assert len({right, wrong, unknown}) == 3
    assert [line.get_color() for line in lines] == [right, right, wrong, right, unknown, wrong]
    assert _inside(figure)


def test_only_attributes_stand_side_by_side() -> None:
    truth = {"class_male": np.ones(6)}
    figure = prediction_figure(
        PredictedFrames(BLACK.repeat(6, axis=0), truth, truth), LABELLED["celebA"], "only attributes " * 20
    )
    positions = [axes.get_position() for axes in figure.axes]
    assert len(positions) == 6
    assert len({round(position.x0, 6) for position in positions}) == 4
    assert len({round(position.y0, 6) for position in positions}) == 2
    assert _inside(figure)


def test_inputs_that_do_not_belong_together_are_refused() -> None:
    images, truth = np.zeros((2, 3, SIZE, SIZE)), {"depth_euclidean": np.ones((2, 1, SIZE, SIZE))}
    with pytest.raises(ValueError, match="edge_texture"):
        PredictedFrames(images, {"edge_texture": truth["depth_euclidean"]}, truth)
    with pytest.raises(ValueError, match="1 frames, images 2"):
        PredictedFrames(images, {"depth_euclidean": np.ones((1, 1, SIZE, SIZE))}, truth)
    with pytest.raises(ValueError, match="1 names for 2 images"):
        PredictedFrames(images, truth, truth, names=["one"])
    labels = {"segmentsemantic": np.full((2, SIZE, SIZE), 40)}
    with pytest.raises(ValueError, match=r"\[40\].*40 classes"):
        prediction_figure(PredictedFrames(images, labels, labels), LABELLED["NYU"], "")
    with pytest.raises(ValueError, match="N > 0"):
        PredictedFrames(images[:0], {}, {})
