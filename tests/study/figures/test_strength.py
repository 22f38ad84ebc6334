"""Size against the penalty's strength."""

import dataclasses

import pytest

from study.figures.strength import draw_strength
from tests.study.figures.drawn_parts import bars, drawn, labels, line
from tests.study_tables import LAMBDAS, NYU, Setting, celeba_study, make_study, pairs_study, small_study


def test_against_lambda_the_axis_is_logarithmic_and_the_values_are_the_tables() -> None:
    tables = celeba_study()
    (drawing,), missing = drawn(draw_strength, celeba_study)
    assert (drawing.name, missing) == ("strength_lambda", [])
    sparsity, gmacs = drawing.figure.axes
    assert sparsity.get_xscale() == gmacs.get_xscale() == "log"
    sparse = tables.summary[tables.summary["sparse"]]
    for axes, what, column in (
        (sparsity, "group sparsity", "group_sparsity_mean"),
        (sparsity, "parameter sparsity", "parameter_sparsity_mean"),
        (gmacs, "GMACs", "compact_GMACs_mean"),
    ):
        points = line(axes, f"group lasso {what}")
        assert points[:, 0] == pytest.approx(LAMBDAS)
        assert points[:, 1] == pytest.approx(sparse[column].to_numpy())
    dense = tables.summary.loc[tables.summary["setting"] == "seg_male_smile_dense", "compact_GMACs_mean"].item()
    assert line(gmacs, "dense")[:, 1] == pytest.approx([dense] * 2)
    assert gmacs.get_ylim()[0] == 0
    assert gmacs.get_ylim()[1] > dense


def test_against_the_wanted_sparsity_there_is_the_identity() -> None:
    (drawing,), _ = drawn(draw_strength, small_study)
    assert drawing.name == "strength_target"
    sparsity, gmacs = drawing.figure.axes
    assert line(sparsity, "identity").tolist() == [[0, 0], [100, 100]]
    assert "identity" not in labels(gmacs)
    assert line(sparsity, "group lasso group sparsity")[:, 0] == pytest.approx([30, 50, 70, 85, 95])
    assert len(bars(gmacs, "group lasso GMACs interval")) == 1


def test_both_kinds_are_two_figures() -> None:
    settings = [Setting(NYU, 1, "l1_l2", target=0.5), *(Setting(NYU, 1, "l1_l2", strength) for strength in (1e-5, 1e-4))]
    figures, missing = draw_strength(make_study("both", settings))
    assert [drawing.name for drawing in figures] == ["strength_lambda", "strength_target"]
    assert not missing
    assert len(line(figures[0].figure.axes[0], "group lasso group sparsity")) == 2
    assert len(line(figures[1].figure.axes[0], "group lasso group sparsity")) == 1


def test_several_sets_of_tasks_are_several_figures_with_both_penalties() -> None:
    figures, _ = drawn(draw_strength, pairs_study)
    assert len(figures) == 2
    assert figures[-1].name == "strength_lambda_seg_depth_sn"
    assert {"group lasso GMACs", "group MCP GMACs"} <= labels(figures[-1].figure.axes[1])


def test_a_quantity_that_nobody_measured_has_no_panel() -> None:
    tables = celeba_study()
    (drawing,), _ = draw_strength(dataclasses.replace(tables, runs=tables.runs[tables.runs["metric"] != "compact_GMACs"]))
    assert [axes.get_ylabel() for axes in drawing.figure.axes] == ["sparsity (%)"]
    none = tables.runs[~tables.runs["metric"].isin(["compact_GMACs", "group_sparsity", "parameter_sparsity"])]
    figures, (reason,) = draw_strength(dataclasses.replace(tables, runs=none))
    assert not figures
    assert "neither sparsity nor GMACs" in reason


def test_a_lambda_of_zero_is_no_place_on_the_axis() -> None:
    tables = make_study("zero", [Setting(NYU, 1, "l1_l2", strength) for strength in (1e-5, 1e-4)])
    summary = tables.summary.copy()
    summary.loc[0, "lambda"] = 0.0
    (drawing,), _ = draw_strength(dataclasses.replace(tables, summary=summary))
    assert line(drawing.figure.axes[0], "group lasso group sparsity")[:, 0].tolist() == [1e-4]


def test_the_dense_line_is_the_twin_s_and_not_another_variant_s() -> None:
    """Without the twin there is none."""
    sparse, dense = Setting(NYU, 1, "l1_l2", 1e-4), Setting(NYU, 1, variant="long")
    (drawing,), _ = draw_strength(make_study("lonely", [sparse, dense]))
    assert not {text for text in labels(drawing.figure.axes[1]) if text.startswith("dense")}
    settings = [sparse, dense, Setting(NYU, 1, "l1_l2", 1e-4, variant="long"), Setting(NYU, 1)]
    (drawing,), _ = draw_strength(make_study("both", settings))
    assert {text for text in labels(drawing.figure.axes[1]) if text.startswith("dense")} == {"dense", "dense, variant long"}
