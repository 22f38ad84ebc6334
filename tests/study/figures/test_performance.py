"""Main metrics against sparsity: what is drawn is what the table says, with Student's intervals."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from study.figures.performance import draw_performance
from study.tables import StudyTables
from tests.study.figures.drawn_parts import band, bars, drawn, labels, legend_texts, line
from tests.study_tables import NYU, Setting, lambda_study, make_study, small_study

TARGETS = (0.3, 0.5, 0.7, 0.85, 0.95)


def _values(tables: StudyTables, setting: str, metric: str) -> np.ndarray:
    runs = tables.runs
    return runs.loc[(runs["setting"] == setting) & (runs["metric"] == metric), "value"].to_numpy()


def _half(values: np.ndarray) -> float:
    low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    return float(high - low) / 2


def test_points_are_the_means_of_the_trials() -> None:
    tables = small_study()
    (drawing,), missing = drawn(draw_performance, small_study)
    assert not missing
    assert drawing.name == "performance_seg_depth_sn"
    names = [f"seg_depth_sn_l1_l2_target{target:g}" for target in TARGETS]
    for axes, metric in zip(
        drawing.figure.axes, ("segmentsemantic_mIoU", "depth_euclidean_abs_err", "surface_normal_mean_cosine"), strict=True
    ):
        points = line(axes, "group lasso")
        assert points[:, 0] == pytest.approx([_values(tables, name, "group_sparsity").mean() for name in names])
        assert points[:, 1] == pytest.approx([_values(tables, name, metric).mean() for name in names])


def test_only_settings_of_several_trials_have_a_bar_and_it_is_students() -> None:
    tables = small_study()
    (drawing,), _ = drawn(draw_performance, small_study)
    values = _values(tables, "seg_depth_sn_l1_l2_target0.7", "depth_euclidean_abs_err")
    (bar,) = bars(drawing.figure.axes[1], "group lasso interval")
    assert bar[1:] == pytest.approx([values.mean() - _half(values), values.mean() + _half(values)])
    hollow = line(drawing.figure.axes[1], "group lasso n = 1")
    assert len(hollow) == 4
    assert values.mean() not in hollow[:, 1]
    (marker,) = [artist for artist in drawing.figure.axes[1].lines if artist.get_label() == "group lasso n = 1"]
    assert marker.get_markerfacecolor() == "white"
    assert "hollow: one trial" in legend_texts(drawing.figure)


def test_the_dense_model_is_a_line_in_its_interval_and_the_single_task_one_a_line() -> None:
    tables = small_study()
    (drawing,), _ = drawn(draw_performance, small_study)
    axes = drawing.figure.axes[2]
    values = _values(tables, "seg_depth_sn_dense", "surface_normal_mean_cosine")
    assert line(axes, "dense")[:, 1] == pytest.approx([values.mean()] * 2)
    assert band(axes, "dense interval") == pytest.approx((values.mean() - _half(values), values.mean() + _half(values)))
    single = _values(tables, "sn_dense", "surface_normal_mean_cosine")
    assert line(axes, "single-task dense")[:, 1] == pytest.approx([single.mean()] * 2)


def test_a_dense_model_of_one_trial_has_no_band() -> None:
    tables = small_study()
    first = tables.runs[(tables.runs["setting"] != "seg_depth_sn_dense") | (tables.runs["trial"] == 0)]
    (drawing,), _ = draw_performance(dataclasses.replace(tables, runs=first))
    assert "dense" in labels(drawing.figure.axes[0])
    assert "dense interval" not in labels(drawing.figure.axes[0])
    assert "95 % interval of dense mean" not in legend_texts(drawing.figure)


def test_each_panel_says_which_way_is_better() -> None:
    (drawing,), _ = drawn(draw_performance, small_study)
    assert [axes.get_ylabel() for axes in drawing.figure.axes] == [
        "mIoU (↑ better)",
        "absolute error (↓ better)",
        "mean cosine (↑ better)",
    ]
    assert [axes.get_title() for axes in drawing.figure.axes] == ["Semantic segmentation", "Depth", "Surface normals"]


def test_penalties_are_series_and_every_set_of_tasks_with_sparse_settings_a_figure() -> None:
    figures, _ = drawn(draw_performance, lambda_study)
    sets = ("seg", "depth", "sn", "seg_depth", "seg_sn", "depth_sn", "seg_depth_sn")
    assert [drawing.name for drawing in figures] == [f"performance_{tasks}" for tasks in sets]
    assert {"group lasso", "group MCP"} <= labels(figures[-1].figure.axes[0])
    # a single task's own dense model is not drawn twice
    assert "single-task dense" not in labels(figures[0].figure.axes[0])
    assert [len(drawing.figure.axes) for drawing in figures] == [1, 1, 1, 2, 2, 2, 3]


def test_a_setting_with_a_value_that_is_not_a_number_has_no_point_as_it_has_no_mean_in_the_table() -> None:
    tables = small_study()
    runs = tables.runs.copy()
    metric = f"{NYU[0]}_mIoU"
    runs.loc[(runs["setting"] == "seg_depth_sn_l1_l2_target0.5") & (runs["metric"] == metric), "value"] = np.nan
    cell = (runs["setting"] == "seg_depth_sn_l1_l2_target0.7") & (runs["metric"] == metric) & (runs["trial"] == 2)
    runs.loc[cell, "value"] = np.inf
    (drawing,), _ = draw_performance(dataclasses.replace(tables, runs=runs))
    points = line(drawing.figure.axes[0], "group lasso")
    others = [f"seg_depth_sn_l1_l2_target{target}" for target in (0.3, 0.85, 0.95)]
    assert points[:, 1] == pytest.approx([_values(tables, setting, metric).mean() for setting in others])
    assert len(line(drawing.figure.axes[1], "group lasso")) == 5


def test_a_task_without_a_value_gets_no_panel() -> None:
    tables = small_study()
    runs = tables.runs[~tables.runs["metric"].str.startswith("depth_euclidean")]
    (drawing,), _ = draw_performance(dataclasses.replace(tables, runs=pd.DataFrame(runs)))
    assert [axes.get_title() for axes in drawing.figure.axes] == ["Semantic segmentation", "Surface normals"]


@pytest.mark.parametrize("end", ["", "_long"])
def test_the_single_task_line_is_the_planned_baseline_s(end: str) -> None:
    """The baseline without a variant is not finished: no other one is drawn in its place."""
    singles = [Setting((task,), 1, variant="long") for task in NYU]
    tables = make_study("variants", [*singles, Setting(NYU, 1, "l1_l2", target=0.7), Setting(NYU, 1)])
    planned = tuple(f"{task}_dense{end}" for task in ("seg", "depth", "sn"))
    summary = tables.summary.assign(baseline_settings=[*[()] * 3, planned, planned])
    (drawing,), _ = draw_performance(dataclasses.replace(tables, summary=summary))
    drawn_lines = {text for text in labels(drawing.figure.axes[0]) if text.startswith("single-task")}
    assert drawn_lines == ({"single-task dense, variant long"} if end else set())
