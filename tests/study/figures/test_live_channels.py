"""The heat map: live channels over all channels, and dead layers."""

import dataclasses

import numpy as np
import pytest

from study.figures.live_channels import draw_live_channels
from tests.study.figures.drawn_parts import drawn, legend_texts, line
from tests.study_tables import RESNET18, pairs_study, small_study


def test_cells_are_the_mean_live_share_in_network_order() -> None:
    tables = small_study()
    (drawing,), missing = drawn(draw_live_channels, small_study)
    assert (drawing.name, missing) == ("layers_seg_depth_sn_l1_l2", [])
    axes = drawing.figure.axes[0]
    (image,) = axes.images
    cells = np.asarray(image.get_array())
    settings = [f"seg_depth_sn_l1_l2_target{target:g}" for target in (0.3, 0.5, 0.7, 0.85, 0.95)]
    assert cells.shape == (5, 20)
    for row, setting in zip(cells, settings, strict=True):
        mine = tables.layers[tables.layers["setting"] == setting]
        for cell, (layer, _, groups) in zip(row, RESNET18, strict=True):
            live = mine.loc[mine["layer"] == layer, "live_groups"].to_numpy()
            assert cell == pytest.approx(100 * live.mean() / groups)
    assert image.get_clim() == (0, 100)
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["target 30 % (n = 1)", "target 50 % (n = 1)", "target 70 % (n = 5)"] + [
        f"target {target} % (n = 1)" for target in (85, 95)
    ]


def test_a_layer_without_a_live_group_is_crossed_out_and_no_other() -> None:
    drawing = drawn(draw_live_channels, small_study)[0][0]
    sparsity = small_study().summary.query("sparse")["group_sparsity_mean"]
    seen = {text.get_text() for text in drawing.figure.axes[0].texts}
    assert {f"{100 - value:.1f} %" for value in sparsity} | {"all", "stem", "layer1", "layer4"} <= seen
    assert line(drawing.figure.axes[0], "dead").tolist() == [[18, 4], [19, 4]]
    assert legend_texts(drawing.figure) == ["no live channel in any trial"]


def test_a_layer_that_lives_in_one_trial_is_not_dead() -> None:
    tables = small_study()
    layers = tables.layers.copy()
    mine = (layers["setting"] == "seg_depth_sn_l1_l2_target0.7") & (layers["layer"] == "layer2.0.conv1")
    layers.loc[mine, "live_groups"] = [0, 0, 0, 0, 1]
    drawing = draw_live_channels(dataclasses.replace(tables, layers=layers))[0][0]
    assert [5, 2] not in line(drawing.figure.axes[0], "dead").tolist()
    layers.loc[mine, "live_groups"] = 0
    drawing = draw_live_channels(dataclasses.replace(tables, layers=layers))[0][0]
    assert [5, 2] in line(drawing.figure.axes[0], "dead").tolist()


def test_a_figure_per_set_of_tasks_and_penalty() -> None:
    figures, _ = drawn(draw_live_channels, pairs_study)
    assert len(figures) == 2 * 2
    assert figures[-1].name == "layers_seg_depth_sn_group_mcp"
    assert [text.get_text() for text in figures[-1].figure.axes[0].get_yticklabels()] == [
        f"λ = {text}" for text in ("1e-5", "1e-4")
    ]
