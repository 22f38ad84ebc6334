"""Learning curves say what the lines of ``metrics.jsonl`` say, gaps included."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from figures.learning_curves import learning_curves
from figures.saving import save_figure
from tasks.table import get_task

NAMES = ("segmentsemantic", "depth_euclidean")
TASKS = [get_task(name) for name in NAMES]


def _lines(epochs: int, **changes: Any) -> list[dict[str, Any]]:
    """Lines of ``metrics.jsonl`` of some epochs."""
    return [
        {
            "epoch": epoch,
            **{f"{split}/loss/{name}": 1.0 / (epoch + 1) for split in ("train", "val") for name in (*NAMES, "total")},
            **{f"val/{task.name}_{task.main_metric}": 0.1 * epoch for task in TASKS},
            "group_sparsity": 10.0 * epoch,
            **changes,
        }
        for epoch in range(epochs)
    ]


def _curves(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    return {str(line.get_label()): np.asarray(line.get_xydata()).tolist() for line in axes.lines[:-1]}


def test_a_row_of_panels_per_task_and_one_for_all() -> None:
    figure = learning_curves(_lines(3), TASKS, 2, "title", sparse=True)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        *("Semantic segmentation", "Semantic segmentation, validation", "Depth", "Depth, validation"),
        *("All tasks", "Sparsity"),
    ]
    assert _curves(figure.axes[0]) == {name: [[1, 1], [2, 1 / 2], [3, 1 / 3]] for name in ("training", "validation")}
    assert _curves(figure.axes[3]) == {"metric": [[1, 0], [2, 0.1], [3, 0.2]]}
    assert figure.axes[3].get_ylabel() == "absolute error (↓ better)"
    assert set(_curves(figure.axes[4])) == {"training, weighted", "validation, sum"}
    assert _curves(figure.axes[5]) == {"sparsity": [[1, 0], [2, 10], [3, 20]]}
    assert all(list(axes.lines[-1].get_xdata()) == [2, 2] for axes in figure.axes), "the best epoch is marked"
    assert [text.get_text().strip() for text in figure.axes[0].texts] == ["best: epoch 2"]
    assert len(learning_curves(_lines(3), TASKS, 2, "title", sparse=False).axes) == 5


def test_one_epoch_is_a_point(tmp_path: Path) -> None:
    figure = learning_curves(_lines(1), TASKS[:1], 1, "title", sparse=True)
    assert all(line.get_marker() == "." for axes in figure.axes for line in axes.lines[:-1])
    assert save_figure(figure, tmp_path / "curves", ("png",))[0].stat().st_size > 10_000


def test_what_an_epoch_lacks_is_a_gap(tmp_path: Path) -> None:
    lines = _lines(4)
    lines[1]["val/loss/depth_euclidean"] = None
    for line in lines[2:]:
        del line["train/loss/segmentsemantic"]  # its head is frozen
    for line in lines:
        line["val/segmentsemantic_mIoU"] = None
    figure = learning_curves(lines, TASKS, 4, "title", sparse=False)
    values = {name: np.array(points)[:, 1] for name, points in _curves(figure.axes[2]).items()}
    assert np.isnan(values["validation"]).tolist() == [False, True, False, False]
    assert np.isnan(np.array(_curves(figure.axes[0])["training"])[:, 1]).tolist() == [False, False, True, True]
    assert [text.get_text() for text in figure.axes[1].texts] == ["no value"]
    save_figure(figure, tmp_path / "curves", ("png",))


def test_no_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one epoch"):
        learning_curves([], TASKS, 1, "title", sparse=False)
