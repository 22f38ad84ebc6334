"""All figures of a study: complete, legible, the same each time, and drawn whatever is missing."""

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

from study.figures import KINDS, draw_all
from study.figures.live_channels import draw_live_channels
from study.figures.pareto import draw_pareto
from study.figures.performance import draw_performance
from study.figures.plotted_settings import Series
from study.figures.strength import draw_strength
from study.figures.style import LOOKS, SMALL, legend_below, line_handle, new_figure
from study.tables import StudyTables, empty
from tests.study.figures.drawn_parts import all_drawn, drawn, legend_texts, texts
from tests.study_tables import NYU, Setting, bare_study, celeba_study, make_study, pairs_study, small_study


def varied_study() -> StudyTables:
    """Variants, three penalties, lambdas and targets in one study; epochs and layers of one penalty are figures enough."""
    sparse = [Setting(NYU, 2, "l1_l2", target=target, variant=word) for word in ("", "augmented") for target in (0.3, 0.9)]
    others = [Setting(NYU, 1, "group_mcp", 1e-4), Setting(NYU, 1, "sparse_group_lasso", 1e-5)]
    singles = [Setting((task,), 1) for task in NYU]
    tables = make_study("varied", [*singles, Setting(NYU, 2), Setting(NYU, 2, variant="augmented"), *sparse, *others])
    lasso = [setting.name for setting in sparse]
    curves, layers = (table[table["setting"].isin(lasso)] for table in (tables.curves, tables.layers))
    return dataclasses.replace(tables, curves=curves, layers=layers)


def test_names_differ_and_each_figure_has_a_caption() -> None:
    figures, missing = all_drawn(pairs_study)
    names = [drawing.name for drawing in figures]
    assert len(set(names)) == len(names) == 2 + 2 + 1 + 4 + 4
    assert not missing
    for drawing in figures:
        assert drawing.title
        assert drawing.caption.endswith(".")
        assert drawing.caption[0].isupper()
        assert "2 trials" in drawing.caption


@pytest.mark.parametrize("study", [small_study, celeba_study, bare_study, varied_study])
def test_no_text_covers_another_or_leaves_the_figure(study: Callable[[], StudyTables]) -> None:
    for drawing in all_drawn(study)[0]:
        seen = texts(drawing.figure)
        width, height = drawing.figure.bbox.size
        for index, (text, box) in enumerate(seen):
            assert box.x0 >= -1, (drawing.name, text)
            assert box.y0 >= -1, (drawing.name, text)
            assert box.x1 <= width + 1, (drawing.name, text)
            assert box.y1 <= height + 1, (drawing.name, text)
            for other, other_box in seen[index + 1 :]:
                # a pixel of a hundredth of an inch is the air within a line of text
                apart = box.x1 - other_box.x0 < 1 or other_box.x1 - box.x0 < 1
                apart |= box.y1 - other_box.y0 < 1 or other_box.y1 - box.y0 < 1
                assert apart, (drawing.name, text, other)


def crowded_study() -> StudyTables:
    """Lambdas that are closer than their labels are wide."""
    sparse = [Setting(NYU, 2, "l1_l2", strength) for strength in (1e-4, 1.1e-4, 1.25e-4, 1.5e-4, 2e-4, 2.1e-4, 9e-4)]
    return make_study("crowded", [*(Setting((task,), 1) for task in NYU), Setting(NYU, 2), *sparse])


@pytest.mark.parametrize("study", [small_study, celeba_study, varied_study, crowded_study])
def test_labels_of_neighbouring_ticks_never_read_as_one(study: Callable[[], StudyTables]) -> None:
    for drawing in all_drawn(study)[0]:
        drawing.figure.draw_without_rendering()
        for axes in drawing.figure.axes:
            for axis, side in ((axes.xaxis, "x"), (axes.yaxis, "y")):
                low, high = sorted(axis.get_view_interval())
                ticks = [tick for tick in axis.get_major_ticks() + axis.get_minor_ticks() if low <= tick.get_loc() <= high]
                labels = [tick.label1 for tick in ticks if tick.label1.get_visible() and tick.label1.get_text()]
                boxes = [label.get_window_extent() for label in labels]
                ends = sorted((getattr(box, f"{side}0"), getattr(box, f"{side}1")) for box in boxes)
                # a third of a letter's size; lines of text have air of their own
                gap = SMALL / 3 / 72 * drawing.figure.dpi if side == "x" else -0.5
                assert all(end + gap <= start for (_, end), (start, _) in pairwise(ends)), (drawing.name, side)


def test_crowded_ticks_stay_without_their_labels() -> None:
    (figure,), _ = drawn(draw_strength, crowded_study)
    axis = figure.figure.axes[-1].xaxis
    labels = [label.get_text() for label in axis.get_majorticklabels()]
    assert len(labels) == 7
    assert labels[0] == "1e-4" and labels[-1] == "9e-4" and labels.count("") >= 2


@pytest.mark.parametrize("study", [small_study, varied_study])
def test_figures_have_the_width_of_a_paper_and_no_smaller_text_than_seven_points(study: Callable[[], StudyTables]) -> None:
    for drawing in all_drawn(study)[0]:
        assert drawing.figure.get_figwidth() in (3.4, 7.0)
        assert drawing.figure.get_figheight() < 9
        assert min(text.get_fontsize() for text in drawing.figure.findobj(Text) if text.get_text()) >= 7


@pytest.mark.parametrize(
    ("part", "reasons"),
    [
        ("curves", {"curves": "no epoch was recorded"}),
        ("layers", {"layers": "no layer was recorded"}),
        ("runs", {"performance": "no sparse setting has both", "strength": "neither sparsity nor GMACs", "pareto": "has both"}),
    ],
)
def test_a_table_without_rows_is_said_and_the_rest_is_drawn(part: str, reasons: dict[str, str]) -> None:
    figures, missing = draw_all(dataclasses.replace(small_study(), **{part: empty(part)}))
    # which metric is a task's main one, the runs say
    assert {drawing.name.split("_")[0] for drawing in figures} == KINDS.keys() - reasons.keys()
    for sentence, reason in zip(missing, reasons.values(), strict=True):
        assert reason in sentence and sentence.endswith(".")


@pytest.mark.parametrize(
    ("draw", "reason"),
    [
        (draw_performance, "no sparse setting"),
        (draw_strength, "no setting has a positive lambda"),
        (draw_pareto, "single-task dense model"),
        (draw_live_channels, "no sparse setting"),
    ],
)
def test_a_dense_setting_alone_is_drawn_over_its_epochs_only_and_it_is_said(draw: Any, reason: str) -> None:
    figures, (sentence,) = drawn(draw, bare_study)
    assert not figures
    assert reason in sentence


def test_a_study_without_a_run_says_so() -> None:
    figures, (reason,) = draw_all(StudyTables("none", empty("runs"), empty("summary")))
    assert not figures
    assert "no finished run" in reason


def test_a_study_of_nothing_but_nan_is_no_crash() -> None:
    tables = small_study()
    nothing = dataclasses.replace(
        tables,
        runs=tables.runs.assign(value=np.nan),
        curves=tables.curves.assign(value=np.nan),
        layers=tables.layers.assign(live_groups=np.nan),
    )
    figures, missing = draw_all(nothing)
    assert not figures
    assert len(missing) == 5


def test_names_with_signs_of_formulas_are_shown_as_they_are() -> None:
    settings = [Setting(NYU, 1, "l1_l2", 1e-4, variant="a_$b$_c%"), Setting(NYU, 1)]
    figures, _ = draw_all(make_study("signs", [*(Setting((task,), 1) for task in NYU), *settings]))
    assert len(figures) == 5
    for drawing in figures:
        drawing.figure.draw_without_rendering()
    assert any("a_$b$_c%" in text for text in legend_texts(figures[0].figure))
    label = figures[2].figure.axes[0].yaxis.label
    assert label.get_parse_math()
    assert not figures[2].figure.axes[0].xaxis.label.get_parse_math()


def test_a_series_is_told_by_colour_by_marker_and_by_dashes() -> None:
    for part in ("colour", "marker", "dashes"):
        assert len({str(getattr(look, part)) for look in LOOKS}) == len(LOOKS)
    assert Series("l1_l2", "").label != Series("group_mcp", "").label


def test_a_legend_stays_within_its_figure() -> None:
    for number in (1, 2, 3, 5, 8, 11):
        figure = new_figure(3.4, 1.0)
        figure.subplots()
        legend_below(figure, [line_handle("W" * (3 + index), color="black") for index in range(number)])
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
