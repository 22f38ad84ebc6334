"""Labels lie where it is seen whose they are."""

import numpy as np
import pytest
from matplotlib.text import Text

from utils.study.plots.label_placement import Label, place_labels
from utils.study.plots.style import new_figure


@pytest.mark.parametrize("gap", [0.05, 0.06, 0.08])
def test_a_label_is_nearer_to_its_own_point_than_to_its_neighbours(gap: float) -> None:
    figure = new_figure(3.4, 2.4)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 20))
    # the right one chooses first, and above to the left, where a label usually goes, is its neighbour
    labels = [Label(0.5 + gap, 10.0, "70 %", "#000000"), Label(0.5, 10.0, "95 %", "#000000")]
    place_labels(figure, axes, labels)
    points = np.array([axes.transData.transform((label.x, label.y)) for label in labels])
    for own, label in enumerate(labels):
        (text,) = [one for one in axes.findobj(Text) if one.get_text() == label.text]
        box = text.get_window_extent().extents
        distances = [np.hypot(*np.maximum(np.maximum(box[:2] - point, point - box[2:]), 0)) for point in points]
        assert distances[own] < 0.9 * distances[1 - own]
