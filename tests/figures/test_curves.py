"""Learning curves: one plot per quantity, one line per run, and nothing missing is hidden."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from figures.curves import learning_curves


def _run(epochs: int, **columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"epoch": range(1, epochs + 1), **columns})


def _texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_lines_are_the_recorded_values_and_gaps_are_skipped() -> None:
    runs = {"dense": _run(4, loss=[4.0, np.nan, 2.0, np.inf]), "sparse": _run(2, loss=[5.0, 3.0])}
    (axes,) = learning_curves(runs, ["loss"]).axes
    lines = {line.get_label(): np.asarray(line.get_xydata()).tolist() for line in axes.lines}
    assert lines == {"dense": [[1, 4], [3, 2]], "sparse": [[1, 5], [2, 3]]}


def test_a_quantity_that_no_run_has_is_said_to_be_missing() -> None:
    runs = {"dense": _run(2, loss=[2.0, 1.0], empty=[np.nan, np.nan])}
    loss, empty, absent = learning_curves(runs, ["loss", "empty", "absent"]).axes
    assert _texts(loss) == []
    assert _texts(empty) == _texts(absent) == ["not recorded"]
    assert not empty.lines
    assert not absent.lines


def test_a_run_that_lacks_a_quantity_is_named() -> None:
    runs = {"dense": _run(2, loss=[2.0, 1.0]), "sparse": _run(2, loss=[2.0, 1.0], sparsity=[0.0, 50.0])}
    loss, sparsity = learning_curves(runs, ["loss", "sparsity"]).axes
    assert "not recorded: dense" in sparsity.get_xlabel()
    assert loss.get_xlabel() == "epoch"
    assert [line.get_label() for line in sparsity.lines] == ["sparse"]


def test_a_run_has_one_colour_in_all_plots_and_one_entry_in_one_legend() -> None:
    runs = {"dense": _run(1, a=[1.0]), "sparse": _run(1, a=[2.0], b=[3.0])}
    figure = learning_curves(runs, ["a", "b"])
    first, second = figure.axes
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["dense", "sparse"]
    assert first.lines[1].get_color() == second.lines[0].get_color() == legend.get_lines()[1].get_color()
    assert first.lines[0].get_color() != first.lines[1].get_color()


def test_eight_runs_look_different() -> None:
    figure = learning_curves({str(i): _run(1, a=[float(i)]) for i in range(8)}, ["a"])
    assert len({(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}) == 8


def test_every_plot_spans_the_same_epochs_and_stands_at_most_three_to_a_row() -> None:
    runs = {"dense": _run(9, a=[1.0] * 9), "sparse": _run(5, a=[1.0] * 5, b=[1.0] * 5)}
    figure = learning_curves(runs, ["a", "b", "c", "d"])
    assert len(figure.axes) == 4
    assert {axes.get_xlim() for axes in figure.axes} == {(0.5, 9.5)}
    assert figure.axes[3].get_position().y1 < figure.axes[0].get_position().y0


def test_long_labels_stay_inside() -> None:
    runs = {f"sparse, λ = 1e-{i}, group_mcp, gamma 3, warm-up, $a$ very long label": _run(2, a=[2.0, 1.0]) for i in range(4)}
    figure = learning_curves(runs, ["a"])
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    assert box.y0 >= 0


def test_empty_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="a run and a column"):
        learning_curves({}, ["a"])
    with pytest.raises(ValueError, match="a run and a column"):
        learning_curves({"run": _run(1)}, [])
    with pytest.raises(ValueError, match="'run' has no column 'epoch'"):
        learning_curves({"run": pd.DataFrame({"a": [1.0]})}, ["a"])
