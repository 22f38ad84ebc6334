"""delta_MTL, intervals and the verdict, by their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from study.statistics import (
    Estimate,
    Metrics,
    delta_mtl,
    delta_mtl_all_metrics,
    estimate,
    judge,
    relative_change,
    trials_to_decide,
)
from tests.tasks.known import EVERY

NAN = math.nan
SEG, DEPTH, NORMALS = "segmentsemantic", "depth_euclidean", "surface_normal"
SINGLE: Metrics = {
    SEG: {"mIoU": 0.4, "pixel_accuracy": 0.5},
    DEPTH: {"abs_err": 0.2, "rmse": 0.5},
    NORMALS: {"mean_cosine": 0.8, "mean_angle": 20.0},
}
MULTI: Metrics = {
    SEG: {"mIoU": 0.5, "pixel_accuracy": 0.45},  # +25 %, -10 %
    DEPTH: {"abs_err": 0.15, "rmse": 0.6},  # +25 %, -20 %
    NORMALS: {"mean_cosine": 0.72, "mean_angle": 25.0},  # -10 %, -25 %
}

# delta_MTL


@pytest.mark.parametrize(
    ("task", "metric", "value", "baseline", "change"),
    [
        (SEG, "mIoU", 0.5, 0.4, 25),
        (SEG, "mIoU", 0.4, 0.5, -20),
        (DEPTH, "abs_err", 0.15, 0.2, 25),
        (DEPTH, "delta_1.25", 0.6, 0.5, 20),
        (NORMALS, "mean_angle", 25, 20, -25),
        ("class_male", "accuracy", 0.9, 0.9, 0),
        ("edge_texture", "abs_err", 0, 0.1, 100),
        (SEG, "mIoU", 0.5, 0, NAN),
        (NORMALS, "mean_cosine", 0.5, -0.1, NAN),
        (NORMALS, "mean_cosine", -0.1, 0.5, -120),
        (SEG, "mIoU", NAN, 0.5, NAN),
        (SEG, "mIoU", 0.5, NAN, NAN),
    ],
)
def test_a_change_is_relative_to_the_baseline_and_positive_where_it_is_better(
    task: str, metric: str, value: float, baseline: float, change: float
) -> None:
    assert relative_change(EVERY[task], metric, value, baseline) == pytest.approx(change, nan_ok=True)


def test_delta_mtl_by_hand() -> None:
    assert delta_mtl(MULTI, SINGLE, EVERY) == pytest.approx((25 + 25 - 10) / 3)
    assert delta_mtl({SEG: MULTI[SEG]}, SINGLE, EVERY) == pytest.approx(25)
    assert delta_mtl({DEPTH: MULTI[DEPTH], NORMALS: MULTI[NORMALS]}, SINGLE, EVERY) == pytest.approx((25 - 10) / 2)


def test_delta_mtl_of_all_metrics_by_hand() -> None:
    assert delta_mtl_all_metrics(MULTI, SINGLE, EVERY) == pytest.approx(((25 - 10) / 2 + (25 - 20) / 2 + (-10 - 25) / 2) / 3)


def test_a_task_with_more_metrics_counts_no_more_than_another() -> None:
    single = {SEG: {"mIoU": 0.5}, DEPTH: {"abs_err": 0.1, "rmse": 0.1, "rel_err": 0.1}}
    model = {SEG: {"mIoU": 0.6}, DEPTH: {"abs_err": 0.11, "rmse": 0.11, "rel_err": 0.11}}
    assert delta_mtl_all_metrics(model, single, EVERY) == pytest.approx((20 - 10) / 2)


POSITIVE = st.floats(0.01, 100)
VALUES = st.fixed_dictionaries(
    {task: st.fixed_dictionaries(dict.fromkeys(metrics, POSITIVE)) for task, metrics in SINGLE.items()}
)
QUICK = settings(max_examples=50)
BOTH = pytest.mark.parametrize("delta", [delta_mtl, delta_mtl_all_metrics])


@BOTH
def test_an_equal_model_has_a_delta_of_0(delta: type) -> None:
    @QUICK
    @given(VALUES)
    def every(metrics: Metrics) -> None:
        assert delta(metrics, metrics, EVERY) == 0

    every()


@BOTH
def test_the_unit_of_a_metric_does_not_matter(delta: type) -> None:
    @QUICK
    @given(VALUES, VALUES, POSITIVE)
    def every(model: Metrics, single: Metrics, unit: float) -> None:
        def scaled(metrics: Metrics) -> Metrics:
            return {**metrics, DEPTH: {name: unit * value for name, value in metrics[DEPTH].items()}}

        assert delta(scaled(model), scaled(single), EVERY) == pytest.approx(delta(model, single, EVERY))

    every()


def test_only_the_main_metrics_count_in_delta_mtl() -> None:
    other = {
        task: {name: value if name in ("mIoU", "abs_err", "mean_cosine") else NAN for name, value in metrics.items()}
        for task, metrics in MULTI.items()
    }
    assert delta_mtl(other, SINGLE, EVERY) == delta_mtl(MULTI, SINGLE, EVERY)
    assert math.isnan(delta_mtl_all_metrics(other, SINGLE, EVERY))


@BOTH
@pytest.mark.parametrize("value", [NAN, 0, -0.2])
def test_no_task_is_left_out_of_the_mean_silently(delta: type, value: float) -> None:
    damaged = {**SINGLE, NORMALS: {**SINGLE[NORMALS], "mean_cosine": value}}
    assert math.isnan(delta(MULTI, damaged, EVERY))
    assert math.isnan(delta({**MULTI, NORMALS: {**MULTI[NORMALS], "mean_cosine": NAN}}, SINGLE, EVERY))


@BOTH
def test_a_baseline_that_is_missing_is_named(delta: type) -> None:
    with pytest.raises(ValueError, match="no single-task baseline of depth_euclidean, surface_normal"):
        delta(MULTI, {SEG: SINGLE[SEG]}, EVERY)
    with pytest.raises(ValueError, match="no task"):
        delta({}, SINGLE, EVERY)


# Means and intervals


def test_an_estimate_is_scipy_s() -> None:
    rng = np.random.default_rng(0)
    for n in (2, 3, 5, 30):
        values = rng.normal(3, 2, n)
        mean = estimate(list(values))
        low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
        test = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert (mean.n, mean.mean, mean.std) == pytest.approx((n, values.mean(), np.std(values, ddof=1)))
        assert (mean.low, mean.high) == pytest.approx((low, high))
        assert (mean.low, mean.high) == pytest.approx((test.low, test.high))


def test_one_number_has_no_interval_and_none_no_mean() -> None:
    single, none = estimate([3.5]), estimate([])
    assert (single.n, single.mean, none.n) == (1, 3.5, 0)
    assert all(math.isnan(value) for value in (single.std, single.low, single.high, none.mean, none.std, none.low, none.high))


def test_equal_numbers_have_an_interval_of_no_width() -> None:
    mean = estimate([2.0, 2.0, 2.0])
    assert (mean.mean, mean.std, mean.low, mean.high) == (2, 0, 2, 2)


# The verdict


@pytest.mark.parametrize(
    ("low", "high", "margin", "claim"),
    [
        (-0.99, 0.5, 1, "holds"),
        (0.1, 0.5, 0, "holds"),
        (-1, 0.5, 1, "undecided"),
        (-1.01, -0.99, 1, "undecided"),
        (-2, -1, 1, "undecided"),
        (-2, -1.01, 1, "fails"),
        (-2, -1.01, 2.5, "holds"),
        (-0.2, -0.1, 0, "fails"),
        (0, 0, 0, "undecided"),
        (NAN, NAN, 1, None),
    ],
)
def test_the_whole_interval_decides(low: float, high: float, margin: float, claim: str | None) -> None:
    assert judge(Estimate(5, (low + high) / 2, 1.0, low, high), margin) == claim


def test_one_pair_decides_nothing() -> None:
    assert judge(estimate([5.0]), 1) is None
    assert judge(estimate([]), 1) is None
    assert judge(estimate([5.0, NAN, 5.0]), 1) is None
    assert judge(estimate([5.0, 5.1, 5.0]), 1) == "holds"


@pytest.mark.parametrize(("mean", "std", "margin"), [(0.0, 1.0, 1.0), (-3.0, 1.2, 1.0), (0.5, 3.0, 1.0), (-1.5, 0.9, 1.0)])
def test_so_many_trials_decide_and_one_less_does_not(mean: float, std: float, margin: float) -> None:
    trials = trials_to_decide(mean, std, margin, most=200)
    assert trials is not None and trials > 2
    for n, decided in ((trials, True), (trials - 1, False)):
        # numbers with just this mean and this sample standard deviation
        values = np.linspace(-1, 1, n)
        values = mean + std * (values - values.mean()) / values.std(ddof=1)
        assert (judge(estimate(list(values)), margin) != "undecided") is decided


def test_a_mean_on_the_margin_is_never_decided() -> None:
    assert trials_to_decide(-1.0, 0.5, 1.0, most=1000) is None
    assert trials_to_decide(0.5, 3.0, 1.0, most=5) is None
