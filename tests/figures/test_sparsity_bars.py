"""The sparsity figure says what its table says."""

import itertools

import pandas as pd
import pytest
from matplotlib.axes import Axes

from figures.sparsity_bars import sparsity_figure


def _row(name: str, inputs: int, outputs: int, kernel: int, live: int) -> dict[str, object]:
    size = outputs * kernel**2
    return {
        "layer": name,
        "stage": name.split(".")[0],
        "groups": inputs,
        "live_groups": live,
        "parameters": inputs * size,
        "live_parameters": live * size,
    }


@pytest.fixture
def layers() -> pd.DataFrame:
    """Two stages; one layer dense, one dead, one with a single live group of 2048."""
    return pd.DataFrame(
        [
            _row("stem.0", 3, 32, 3, 3),
            _row("stem.1", 32, 64, 3, 8),
            _row("layer1.0.conv1", 64, 64, 1, 0),
            _row("layer1.0.downsample.0", 64, 256, 1, 16),
            _row("layer1.1.conv1", 2048, 512, 1, 1),
        ]
    )


def _resnet_50(live_share: float) -> pd.DataFrame:
    rows = [_row(f"stem.{i}", n, m, 3, n) for i, (n, m) in enumerate([(3, 64), (64, 64), (64, 128)])]
    channels = 128
    for stage, (blocks, width) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True), start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            convolutions = [("conv1", channels, width, 1), ("conv2", width, width, 3), ("conv3", width, 4 * width, 1)]
            convolutions += [("downsample.0", channels, 4 * width, 1)] if block == 0 else []
            rows += [_row(f"{name}.{part}", n, m, k, int(live_share * n)) for part, n, m, k in convolutions]
            channels = 4 * width
    return pd.DataFrame(rows)


def _texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def _heights(axes: Axes, label: str) -> list[float]:
    (bars,) = [container for container in axes.containers if container.get_label() == label]
    return [bar.get_height() for bar in bars]


def test_bars_are_the_columns_of_the_table(layers: pd.DataFrame) -> None:
    top, bottom = sparsity_figure(layers, "").axes
    assert _heights(top, "all") == layers["groups"].tolist()
    assert _heights(top, "live") == layers["live_groups"].tolist()
    assert _heights(bottom, "all") == layers["parameters"].tolist()
    assert _heights(bottom, "live") == layers["live_parameters"].tolist()


def test_totals_are_the_sums_of_the_table(layers: pd.DataFrame) -> None:
    top, bottom = sparsity_figure(layers, "").axes
    # 3 + 8 + 0 + 16 + 1 = 28 of 2,211 groups are live.
    assert "Group sparsity 98.73 %: 2,183 of 2,211 groups are zero" in top.get_title(loc="left")
    zero = int((layers["parameters"] - layers["live_parameters"]).sum())
    assert f"{zero:,} of {layers['parameters'].sum():,} parameters lie in zero groups" in bottom.get_title(loc="left")


def test_each_stage_has_its_own_sparsity(layers: pd.DataFrame) -> None:
    top, bottom = sparsity_figure(layers, "").axes
    assert "stem\n68.6 % zero" in _texts(top)  # 24 of 35 groups
    assert "layer1\n99.2 % zero" in _texts(top)  # 2159 of 2176 groups
    assert "stem\n71.6 % zero" in _texts(bottom)  # 13824 of 19296 parameters


def test_only_a_dead_layer_is_called_100_and_only_a_dense_one_0(layers: pd.DataFrame) -> None:
    (text, *_), _ = (_texts(axes) for axes in sparsity_figure(pd.DataFrame([_row("layer4", 2048, 8, 1, 2047)]), "").axes)
    assert text == "<1 %"
    top, _ = sparsity_figure(layers, "").axes
    assert _texts(top)[: len(layers)] == ["0 %", "75 %", "100 %", "75 %", ">99 %"]


def test_resnet_50_names_are_all_there_apart_and_inside() -> None:
    layers = _resnet_50(0.3)
    assert len(layers) == 55
    figure = sparsity_figure(layers, "NYU-v2: segmentsemantic, depth_euclidean, surface_normal; λ = 1e-4; " * 3)
    figure.draw_without_rendering()
    labels = figure.axes[1].get_xticklabels()
    assert [label.get_text() for label in labels] == layers["layer"].tolist()
    boxes = [label.get_window_extent() for label in labels]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert min(box.y0 for box in boxes) >= 0
    heading = figure._suptitle.get_window_extent()  # type: ignore[attr-defined]
    assert heading.x0 >= 0
    assert heading.x1 <= figure.bbox.width


def test_title_is_wrapped_but_complete(layers: pd.DataFrame) -> None:
    title = "CelebAMask-HQ: segmentsemantic, class_male, class_smile; $\\lambda$ = 1e-4, l1_l2; " * 3
    shown = sparsity_figure(layers, title).get_suptitle()
    assert "\n" in shown
    assert shown.split() == title.split()


def test_wrong_tables_are_refused(layers: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="live_groups"):
        sparsity_figure(layers.drop(columns="live_groups"), "")
    with pytest.raises(ValueError, match="no row"):
        sparsity_figure(layers.head(0), "")
    layers.loc[1, "live_parameters"] = layers.loc[1, "parameters"] + 1
    with pytest.raises(ValueError, match=r"live_parameters.*stem\.1"):
        sparsity_figure(layers, "")
