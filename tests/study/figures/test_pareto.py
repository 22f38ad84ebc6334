"""delta_MTL against cost: the front, and what stands on it."""

import dataclasses

import numpy as np
import pytest

from study.figures.pareto import draw_pareto, on_front
from study.tables import StudyTables
from tests.study.figures.drawn_parts import bars, drawn, legend_texts, line
from tests.study_tables import NYU, Setting, celeba_study, lambda_study, make_study, small_study


def crowded_study() -> StudyTables:
    """Two sets of several tasks, thirteen settings each."""
    tables, sets = lambda_study(), [*((task,) for task in NYU), NYU[:2], NYU]
    return dataclasses.replace(tables, summary=tables.summary[tables.summary["tasks"].isin(sets)])


def test_the_front_is_what_no_point_dominates() -> None:
    random = np.random.default_rng(0)

    def dominated(point: int) -> bool:
        for other in range(len(cost)):
            cheaper, better = cost[other] < cost[point], gain[other] > gain[point]
            if cost[other] <= cost[point] and gain[other] >= gain[point] and (cheaper or better):
                return True
        return False

    for _ in range(20):
        # few different values: ties in one coordinate and equal points are among them
        cost, gain = random.integers(0, 6, (2, 14)).astype(float)
        assert on_front(cost, gain).tolist() == [not dominated(point) for point in range(len(cost))]


def test_points_and_bars_are_the_tables() -> None:
    tables = celeba_study()
    (drawing,), missing = drawn(draw_pareto, celeba_study)
    assert (drawing.name, missing) == ("pareto", [])
    (axes,) = drawing.figure.axes
    for _, row in tables.summary[tables.summary["tasks"].map(len) > 1].iterrows():
        assert line(axes, row["setting"])[0] == pytest.approx([row["compact_GMACs_mean"], row["delta_MTL_mean"]])
        (bar,) = bars(axes, f"{row['setting']} interval")
        assert bar == pytest.approx([row["compact_GMACs_mean"], row["delta_MTL_low"], row["delta_MTL_high"]])
    assert line(axes, "zero")[:, 1].tolist() == [0, 0]


def test_the_stepped_line_says_what_a_budget_can_reach() -> None:
    tables = celeba_study()
    (axes,) = drawn(draw_pareto, celeba_study)[0][0].figure.axes
    rows = tables.summary[tables.summary["tasks"].map(len) > 1]
    cost, gain = rows["compact_GMACs_mean"].to_numpy(), rows["delta_MTL_mean"].to_numpy()
    (front,) = [artist for artist in axes.lines if artist.get_label() == "front"]
    corners = line(axes, "front")
    assert front.get_drawstyle() == "steps-post"
    for budget in np.linspace(cost.min(), corners[-1, 0], 50):
        reached = corners[corners[:, 0] <= budget + 1e-12][-1, 1]
        assert reached == pytest.approx(gain[cost <= budget + 1e-12].max())


def test_the_marker_says_the_series_and_the_colour_the_strength() -> None:
    """The same in every panel, and as the legend has it."""
    tables = lambda_study()
    figure = drawn(draw_pareto, crowded_study)[0][0].figure
    rows = tables.summary.set_index("setting")
    points = [point for axes in figure.axes for point in axes.lines if point.get_label() in rows.index]
    bars = [container for axes in figure.axes for container in axes.containers]
    markers = {(rows.at[bar.get_label().split(" ")[0], "penalty"], bar.lines[0].get_marker()) for bar in bars}
    assert len(markers) == len({penalty for penalty, _ in markers}) == len({marker for _, marker in markers}) == 3
    sparse = [point for point in points if rows.at[point.get_label(), "sparse"]]
    looks = {(rows.at[point.get_label(), "lambda"], point.get_color()) for point in sparse}
    assert len(looks) == len({strength for strength, _ in looks}) == len({colour for _, colour in looks}) == 6
    texts = legend_texts(figure)
    assert {"group lasso (n = 3)", "group MCP (n = 3)", "dense (n = 3)", "λ = 1e-6", "λ = 1e-3", "Pareto front"} <= set(texts)
    assert [axes.get_title().count("+") for axes in figure.axes] == [2, 1], "every set of several tasks is a panel"
    assert len(points) == 26


def test_a_set_without_a_sparse_model_has_no_panel_of_its_own() -> None:
    dense = [Setting((task,), 2) for task in NYU] + [Setting(NYU[:2], 2), Setting(NYU, 2)]
    (drawing,), missing = draw_pareto(make_study("some", [*dense, Setting(NYU, 2, "l1_l2", target=0.5)]))
    (axes,) = drawing.figure.axes
    assert (" ".join(axes.get_title().split()), missing) == ("Semantic segmentation + depth + surface normals", [])
    drawing.figure.draw_without_rendering()
    assert axes.title.get_window_extent().x1 <= drawing.figure.bbox.x1, "it is not cut off"
    (drawing,), _ = draw_pareto(make_study("dense", dense))
    assert len(drawing.figure.axes) == 2, "where no set has one, all are shown"


def test_a_study_of_single_tasks_has_no_pareto_figure() -> None:
    tables = small_study()
    summary = tables.summary[tables.summary["tasks"].map(len) == 1]
    figures, (reason,) = draw_pareto(dataclasses.replace(tables, summary=summary))
    assert not figures
    assert "two or more tasks" in reason
