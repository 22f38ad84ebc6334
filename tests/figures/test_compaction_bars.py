"""The figure of a compaction shows the report's numbers."""

from typing import Any

import pandas as pd
import pytest
from matplotlib.axes import Axes

from figures.compaction_bars import compaction_figure

LAYERS = pd.DataFrame(
    [
        ("backbone.conv1", "stem", 3, 3, 3, 900_000, 900_000),
        ("backbone.layer1.0.conv1", "layer1", 64, 60, 20, 40_000_000, 8_000_000),
        ("backbone.layer1.0.conv2", "layer1", 64, 0, 0, 40_000_000, 0),
        ("heads.depth_euclidean.0.convs.1.0", "heads.depth_euclidean", 512, 512, 512, 2_000_000_000, 2_000_000_000),
    ],
    columns=["layer", "part", "groups", "channels_there", "channels_read", "macs", "macs_left"],
)
TOTAL = {"macs": 2e9, "macs_left": 1e9, "parameters": 4e6, "parameters_left": 1e6}
TIMES = {"dense": 20.0, "folded": 16.0, "compact": 5.0}


def report(**changes: Any) -> dict[str, Any]:
    """Part of a report that the figure reads."""
    sizes = {"dense": 16.0, "folded": 16.0, "compact": 4.0}
    return {
        "backbone": TOTAL,
        "model": TOTAL,
        "file_MB": {"backbone": sizes, "model": sizes},
        "latency": [{"part": part, "batch": 1, "milliseconds": TIMES} for part in ("backbone", "model")],
        "memory": {"model": [{"batch": 1, "megabytes": TIMES}]},
        **changes,
    }


def heights(axes: Axes, label: str) -> list[float]:
    """Heights of the bars with a label in the legend."""
    handles, labels = axes.get_legend_handles_labels()
    return [bar.get_height() for bar in handles[labels.index(label)]]


def test_bars_are_the_tables_numbers() -> None:
    macs, channels, *_ = compaction_figure(LAYERS, report(), "title").axes
    assert heights(macs, "gone") == list(LAYERS["macs"])
    assert heights(macs, "left") == list(LAYERS["macs_left"])
    assert heights(channels, "removed") == list(LAYERS["groups"])
    assert heights(channels, "kept for other layers") == list(LAYERS["channels_there"])
    assert heights(channels, "read by the layer") == list(LAYERS["channels_read"])
    assert [text.get_text() for text in channels.get_xticklabels()] == [
        *("conv1", "layer1.0.conv1", "layer1.0.conv2", "depth_euclidean 0.convs.1.0")
    ]


def test_totals_are_in_percent_of_the_dense_network() -> None:
    *_, backbone, whole = compaction_figure(LAYERS, report(), "title").axes
    assert [bar.get_width() for bar in backbone.patches] == [*(100, 50), *(100, 25), *(100, 25), *(100, 80, 25)]
    assert [text.get_text() for text in whole.get_yticklabels()] == [
        *("MACs", "parameters", "weights on disk", "latency, batch 1", "memory, batch 1")
    ]
    texts = [text.get_text() for text in backbone.texts]
    assert "1 G  (2.0 × less)" in texts
    assert "5 ms  (4.0 × less)" in texts


def test_texts_beside_bars_end_within_their_axes() -> None:
    slow = {"dense": 20.0, "folded": 26.0, "compact": 19.0}
    latency = [{"part": part, "batch": 1, "milliseconds": slow} for part in ("backbone", "model")]
    figure = compaction_figure(LAYERS, report(latency=latency, memory={"model": [{"batch": 8, "megabytes": slow}]}), "title")
    figure.draw_without_rendering()
    for axes in figure.axes[-2:]:
        for text in axes.texts:
            assert text.get_window_extent().x1 <= axes.bbox.x1, text.get_text()


@pytest.mark.parametrize("memory", [[], [{"batch": 1, "megabytes": TIMES}]])
def test_it_can_be_drawn(memory: list[dict[str, Any]]) -> None:
    compaction_figure(LAYERS, report(memory={"model": memory}), "a $title_ " * 30).draw_without_rendering()


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no row"):
        compaction_figure(LAYERS.iloc[:0], report(), "title")
