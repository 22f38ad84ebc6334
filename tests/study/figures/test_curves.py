"""Learning curves: means and ranges over the trials, of not too many settings."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from study.figures.curves import MOST_LINES, chosen_settings, curve, draw_curves
from study.figures.plotted_settings import plotted_settings
from tests.study.figures.drawn_parts import drawn, labels, legend_texts, line
from tests.study_tables import NYU, Setting, make_study, pairs_study, small_study


def _wide(tables: pd.DataFrame, setting: str, metric: str) -> pd.DataFrame:
    mine = tables[(tables["setting"] == setting) & (tables["metric"] == metric)]
    return mine.pivot(index="epoch", columns="trial", values="value")


def test_lines_are_means_and_bands_ranges() -> None:
    tables = small_study()
    (drawing,), missing = drawn(draw_curves, small_study)
    assert (drawing.name, missing) == ("curves_seg_depth_sn", [])
    titles = [axes.get_title() for axes in drawing.figure.axes]
    tasks = ["Semantic segmentation", "Depth", "Surface normals"]
    assert titles == ["Training loss", "Validation loss", *tasks, "Group sparsity"]
    axes = drawing.figure.axes[1]
    wide = _wide(tables.curves, "seg_depth_sn_l1_l2_target0.7", "val_loss")
    points = line(axes, "target 70 %")
    assert points[:, 0].tolist() == list(range(1, 61))
    assert points[:, 1] == pytest.approx(wide.mean(axis=1).to_numpy())
    (shade,) = [artist for artist in axes.collections if artist.get_label() == "target 70 % range"]
    corners = np.concatenate([path.vertices for path in shade.get_paths()])
    at_ten = corners[corners[:, 0] == 10, 1]
    assert at_ten.min() == pytest.approx(wide.loc[10].min())
    assert at_ten.max() == pytest.approx(wide.loc[10].max())
    # one trial has no range
    assert "target 30 % range" not in labels(axes)
    assert "target 70 % (n = 5)" in legend_texts(drawing.figure)


def test_an_epoch_that_a_trial_did_not_reach_is_not_averaged() -> None:
    rows = pd.DataFrame({"trial": [0, 0, 0, 1, 1, 1], "epoch": [1, 2, 3, 1, 2, 3], "value": [1.0, 2.0, 3.0, 3.0, 4.0, np.nan]})
    mean_curve = curve(rows)
    assert mean_curve is not None
    assert (mean_curve.epochs.tolist(), mean_curve.mean.tolist(), mean_curve.trials) == ([1, 2], [2, 3], 2)
    assert (mean_curve.low.tolist(), mean_curve.high.tolist()) == ([1, 2], [3, 4])
    assert curve(rows.assign(value=np.nan)) is None


def test_of_many_strengths_a_spread_is_drawn_that_holds_both_ends() -> None:
    strengths = np.geomspace(1e-6, 1e-3, 20)
    tables = make_study("many", [Setting(NYU, 1), *(Setting(NYU, 1, "l1_l2", strength) for strength in strengths)])
    settings = plotted_settings(tables)
    chosen = chosen_settings(settings[:1], settings[1:])
    assert len(chosen) == MOST_LINES
    assert chosen[0].name == "seg_depth_sn_dense"
    assert [chosen[1].strength, chosen[-1].strength] == [strengths[0], strengths[-1]]
    gaps = np.diff([settings.index(setting) for setting in chosen[1:]])
    assert max(gaps) - min(gaps) <= 1
    (drawing,), _ = draw_curves(tables)
    assert len(drawing.figure.axes[0].lines) == MOST_LINES
    assert f"{21 - MOST_LINES} more settings" in drawing.caption


def test_each_penalty_has_its_figure_where_there_are_several() -> None:
    figures, _ = drawn(draw_curves, pairs_study)
    names = [drawing.name for drawing in figures]
    assert names[0] == "curves_seg_depth_l1_l2"
    assert names[-2:] == ["curves_seg_depth_sn_l1_l2", "curves_seg_depth_sn_group_mcp"]


def test_a_quantity_that_nobody_recorded_has_no_panel() -> None:
    tables = small_study()
    curves = tables.curves[tables.curves["metric"] != "val_loss"]
    (drawing,), _ = draw_curves(dataclasses.replace(tables, curves=curves))
    titles = [axes.get_title() for axes in drawing.figure.axes if axes.axison]
    assert "Validation loss" not in titles
    assert len(titles) == 5


def test_a_peak_of_one_epoch_does_not_flatten_the_others() -> None:
    tables = small_study()
    curves, name = tables.curves.copy(), "seg_depth_sn_dense"
    curves.loc[(curves["setting"] == name) & (curves["metric"] == "val_loss") & (curves["epoch"] == 22), "value"] = 150.0
    (whole,), _ = drawn(draw_curves, small_study)
    (drawing,), _ = draw_curves(dataclasses.replace(tables, curves=curves))
    before, after = (drawing.figure.axes[1].get_ylim() for drawing in (whole, drawing))
    assert after[1] < 1.5 * before[1]
    assert after[0] == pytest.approx(before[0], rel=0.05)
    peak = "Peaks of single epochs that are far from all others are cut."
    assert (peak in drawing.caption, peak in whole.caption) == (True, False)
    assert line(drawing.figure.axes[1], "dense")[:, 1].max() == 150, "it is in the picture, beyond the frame"
    for axes in (whole.figure.axes[0], whole.figure.axes[3]):
        low, high = axes.get_ylim()
        assert all(low <= value <= high for artist in axes.lines for value in artist.get_ydata())
