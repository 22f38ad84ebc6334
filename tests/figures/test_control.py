"""The figure of a training's penalty says what its lines say: lambda, sparsity, and when zeros are fixed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from figures.control import control_figure

Points = list[dict[str, Any]]


def _points(
    epochs: float,
    lambda_: Callable[[float], float] = lambda time: 1e-4,
    sparsity: Callable[[float], float] = lambda time: 10 * time,
    wanted: Callable[[float], float | None] = lambda time: None,
    debias_from: float = float("inf"),
) -> Points:
    """Lines of ``steps.jsonl``, ten an epoch."""
    times = [index / 10 for index in range(round(10 * epochs) + 1)]
    return [
        {
            "step": index + 1,
            "time": time,
            "epoch": int(time),
            "lambda": 0.0 if time >= debias_from else lambda_(time),
            "group_sparsity": sparsity(min(time, debias_from)),
            "wanted_sparsity": wanted(time),
            "debiasing": time >= debias_from,
        }
        for index, time in enumerate(times)
    ]


@pytest.fixture
def steered() -> Points:
    """No penalty in the first epoch, a target of 70 % in the fourth, zeros fixed in the sixth, ten epochs in all."""
    return _points(
        10,
        lambda time: 0.0 if time < 1 else 10 ** (time - 7),
        lambda time: 69.5 * min(1.0, max(0.0, time - 1) / 3),
        lambda time: 70 * min(1.0, max(0.0, time - 1) / 3),
        debias_from=6,
    )


def _texts(axes: Axes) -> list[str]:
    return [text.get_text().strip() for text in axes.texts]


def _lines(axes: Axes) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_xydata()) for line in axes.lines}


def _shaded(axes: Axes) -> list[tuple[float, float]]:
    """Spans of time with a background of their own."""
    spans = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    return [(span.get_x(), span.get_x() + span.get_width()) for span in spans]


def test_lambda_stands_above_the_measured_and_the_wanted_sparsity(steered: Points) -> None:
    figure = control_figure(steered, "the title")
    above, below = figure.axes
    assert figure.get_suptitle() == "the title"
    assert (above.get_ylabel(), below.get_ylabel(), below.get_xlabel()) == ("λ", "zero groups in %", "trained epochs")
    assert above.get_position().y0 >= below.get_position().y1
    sparsity = _lines(below)
    assert set(sparsity) == {"measured", "wanted"}
    for label, key in (("measured", "group_sparsity"), ("wanted", "wanted_sparsity")):
        expected = [[point["time"], point[key]] for point in steered]
        np.testing.assert_allclose(sparsity[label], expected)
    legend = below.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["measured", "wanted"]
    assert above.get_xlim() == below.get_xlim() == (0, 10)
    assert below.get_ylim() == (0, 100)


def test_lambda_is_drawn_where_it_acts_on_a_logarithmic_scale(steered: Points) -> None:
    above, _ = control_figure(steered, "").axes
    (line,) = _lines(above).values()
    drawn = line[np.isfinite(line[:, 1])]
    np.testing.assert_allclose(drawn, [[point["time"], point["lambda"]] for point in steered if point["lambda"] > 0])
    assert above.get_yscale() == "log"
    low, high = above.get_ylim()
    assert 0 < low <= drawn[:, 1].min() < drawn[:, 1].max() <= high


def test_where_features_are_groups_too_the_share_of_all_groups_is_drawn(steered: Points) -> None:
    for point in steered:
        point["joint_group_sparsity"] = 0.5 * point["group_sparsity"]
    _, below = control_figure(steered, "").axes
    (measured,) = (line for line in below.lines if line.get_label() == "measured")
    np.testing.assert_allclose(measured.get_ydata(), [point["joint_group_sparsity"] for point in steered])


def test_the_time_in_which_zeros_are_fixed_is_shaded_and_said(steered: Points) -> None:
    for axes in control_figure(steered, "").axes:
        assert _shaded(axes) == [(6, 10)]
        assert "zeros fixed,\n penalty off" in _texts(axes)


def test_a_lambda_that_never_acted_is_said_in_words() -> None:
    above, below = control_figure(_points(3, lambda_=lambda time: 0.0, sparsity=lambda time: 0.0), "").axes
    assert set(_lines(below)) == {"measured"}
    assert _shaded(above) == _shaded(below) == []
    assert _texts(above) == ["λ = 0 throughout"]
    assert len(above.get_yticks()) == 0
    assert _texts(below) == ["0.0 %"]


def test_numbers_that_json_could_not_hold_are_gaps(steered: Points) -> None:
    """A number that is not finite is null in the file."""
    for point in steered[30:40]:
        point["lambda"] = point["group_sparsity"] = None
    above, below = control_figure(steered, "").axes
    (strength,) = _lines(above).values()
    assert np.isnan(strength[30:40, 1]).all()
    assert np.isfinite(strength[40:60, 1]).all()
    assert np.isnan(_lines(below)["measured"][30:40, 1]).all()


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(_points(0), id="one point"),
        pytest.param(_points(0.1, debias_from=0.1), id="fixed at the last of two"),
        pytest.param(_points(1000, debias_from=1), id="a thousand epochs"),
        pytest.param(_points(2, lambda_=lambda time: 1e-30 * 10 ** (15 * time)), id="many decades"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_everything_stays_inside_the_figure(points: Points) -> None:
    figure = control_figure(points, "exp_three_dense_tasks_with_a_rather_long_name_lambda1e-05, trial 0: penalty and sparsity")
    figure.draw_without_rendering()
    for axes in figure.axes:
        for text in axes.texts:
            box = text.get_window_extent()
            assert box.x0 >= 0
            assert box.x1 <= figure.bbox.width
            assert box.y0 >= 0
            assert box.y1 <= figure.bbox.height
        assert axes.get_xlim()[1] >= max(1.0, points[-1]["time"])


def test_the_size_of_what_lives_is_drawn_in_total_and_per_stage_from_the_start_of_the_ramp(steered: Points) -> None:
    for point in steered[10:]:
        values = {"live_rms": 0.9, "live_rms/stem": 1.0, "live_rms/layer1": point["time"] / 100, "groups_at_floor": 7}
        point.update(values)
    steered[-1]["live_rms/layer1"] = None  # no group of it lives
    figure = control_figure(steered, "")
    _, below, sizes = figure.axes
    assert "7 groups kept by the floor" in _texts(below)
    lines = _lines(sizes)
    assert {"stem", "layer1", "all layers"} <= set(lines)
    assert np.isnan(lines["layer1"][:10, 1]).all() and np.isnan(lines["layer1"][-1, 1])
    np.testing.assert_allclose(lines["layer1"][10:-1], [[point["time"], point["time"] / 100] for point in steered[10:-1]])
    assert sizes.get_xlabel() == "trained epochs"
    assert sizes.get_yscale() == "log"
    assert _shaded(sizes) == [(6, 10)]


def test_no_points_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one point"):
        control_figure([], "")


def test_a_budget_stands_beside_the_zero_groups_wanted_and_reached() -> None:
    points = [
        {**point, "wanted_sparsity": None, "wanted_cost": 100 - 10 * point["time"], "macs_left": 99 - 10 * point["time"]}
        for point in _points(5, lambda time: 1e-4, lambda time: 5 * time)
    ]
    lines = _lines(control_figure(points, "a budget").axes[1])
    assert set(lines) == {"zero groups", "MACs left", "wanted"}
    assert lines["MACs left"][:, 1].tolist() == [point["macs_left"] for point in points]
    assert lines["wanted"][:, 1].tolist() == [point["wanted_cost"] for point in points]
