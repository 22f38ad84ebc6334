"""delta_MTL against cost: the front, and what stands on it."""

import dataclasses

import numpy as np
import pytest

from tests.study_tables import NYU, Setting, bare_study, celeba_study, lambda_study, make_study, small_study
from tests.utils.study.plots.drawn_parts import bars, drawn, line
from utils.study.plots.pareto import draw_pareto, on_front
from utils.study.tables import StudyTables


def crowded_study() -> StudyTables:
    """Two sets of several tasks, thirteen settings each."""
    tables, sets = lambda_study(), ["+".join(tasks) for tasks in (*((task,) for task in NYU), NYU[:2], NYU)]
    return dataclasses.replace(tables, summary=tables.summary[tables.summary["tasks"].isin(sets)])


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_what_no_point_dominates(seed: int) -> None:
    random = np.random.default_rng(seed)
    # few different values: ties in one coordinate and equal points are among them
    cost, gain = random.integers(0, 6, (2, 14)).astype(float)

    def dominated(one: int) -> bool:
        for other in range(len(cost)):
            cheaper, better = cost[other] < cost[one], gain[other] > gain[one]
            if cost[other] <= cost[one] and gain[other] >= gain[one] and (cheaper or better):
                return True
        return False

    assert on_front(cost, gain).tolist() == [not dominated(one) for one in range(len(cost))]


def test_points_and_bars_are_the_tables() -> None:
    tables = celeba_study()
    (one,), missing = drawn(draw_pareto, celeba_study)
    assert (one.name, missing) == ("pareto", [])
    (axes,) = one.figure.axes
    for _, row in tables.summary[tables.summary["tasks"].str.contains("+", regex=False)].iterrows():
        assert line(axes, row["setting"])[0] == pytest.approx([row["compact_GMACs_mean"], row["delta_MTL_mean"]])
        (bar,) = bars(axes, f"{row['setting']} interval")
        assert bar == pytest.approx([row["compact_GMACs_mean"], row["delta_MTL_low"], row["delta_MTL_high"]])
    assert line(axes, "zero")[:, 1].tolist() == [0, 0]


def test_the_stepped_line_says_what_a_budget_can_reach() -> None:
    tables = celeba_study()
    (axes,) = drawn(draw_pareto, celeba_study)[0][0].figure.axes
    rows = tables.summary[tables.summary["tasks"].str.contains("+", regex=False)]
    cost, gain = rows["compact_GMACs_mean"].to_numpy(), rows["delta_MTL_mean"].to_numpy()
    (front,) = [one for one in axes.lines if one.get_label() == "front"]
    corners = line(axes, "front")
    assert front.get_drawstyle() == "steps-post"
    for budget in np.linspace(cost.min(), corners[-1, 0], 50):
        reached = corners[corners[:, 0] <= budget + 1e-12][-1, 1]
        assert reached == pytest.approx(gain[cost <= budget + 1e-12].max())


def test_dominated_sparse_settings_are_paler_and_the_dense_one_never() -> None:
    tables = lambda_study()
    axes = drawn(draw_pareto, crowded_study)[0][0].figure.axes[0]
    rows = tables.summary[tables.summary["tasks"].str.count(r"\+") == 2]
    best = on_front(rows["compact_GMACs_mean"], rows["delta_MTL_mean"])
    colours = {str(one.get_label()): one.get_color() for one in axes.lines}
    for setting, penalty, front in zip(rows["setting"], rows["penalty"], best, strict=True):
        full = {"": "#000000", "l1_l2": "#0072B2", "group_mcp": "#E69F00"}[penalty]
        assert (colours[setting] == full) == (front or not penalty)
    assert not best.all()


def test_every_set_of_several_tasks_is_a_panel() -> None:
    (one,), _ = drawn(draw_pareto, crowded_study)
    assert [axes.get_title().count("+") for axes in one.figure.axes] == [2, 1]


def test_a_set_without_a_sparse_model_has_no_panel_of_its_own() -> None:
    dense = [Setting((task,), 2) for task in NYU] + [Setting(NYU[:2], 2), Setting(NYU, 2)]
    (one,), missing = draw_pareto(make_study("some", [*dense, Setting(NYU, 2, "l1_l2", target=0.5)]))
    (axes,) = one.figure.axes
    assert (" ".join(axes.get_title().split()), missing) == ("Semantic segmentation + depth + surface normals", [])
    one.figure.draw_without_rendering()
    assert axes.title.get_window_extent().x1 <= one.figure.bbox.x1, "it is not cut off"
    (one,), _ = draw_pareto(make_study("dense", dense))
    assert len(one.figure.axes) == 2, "where no set has one, all are shown"


def test_every_setting_has_its_label_and_no_label_covers_another_or_a_point() -> None:
    for study, number in ((small_study, 6), (celeba_study, 7), (crowded_study, 13)):
        figure = drawn(draw_pareto, study)[0][0].figure
        figure.draw_without_rendering()
        for axes in figure.axes:
            texts = [one for one in axes.texts if one.get_text()]
            assert len(texts) == number
            boxes = [one.get_window_extent() for one in texts]
            points = [axes.transData.transform(one.xy) for one in texts]
            frame = axes.get_window_extent()
            for index, box in enumerate(boxes):
                assert not any(box.overlaps(other) for other in boxes[index + 1 :])
                assert not any(box.contains(*point) for point in points)
                assert frame.x0 <= box.x0
                assert frame.x1 >= box.x1
                assert frame.y0 <= box.y0
                assert frame.y1 >= box.y1


def test_without_single_task_models_there_is_no_delta_and_it_is_said() -> None:
    figures, (reason,) = drawn(draw_pareto, bare_study)
    assert not figures
    assert "single-task dense model" in reason


def test_a_study_of_single_tasks_has_no_pareto_figure() -> None:
    tables = small_study()
    summary = tables.summary[~tables.summary["tasks"].str.contains("+", regex=False)]
    figures, (reason,) = draw_pareto(dataclasses.replace(tables, summary=summary))
    assert not figures
    assert "two or more tasks" in reason
