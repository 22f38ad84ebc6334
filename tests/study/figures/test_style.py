"""Style that all figures of a study share."""

import numpy as np
import pytest

from study.figures.style import fit_to_means, is_cut, new_figure
from study.statistics import estimate


def test_an_axis_holds_all_means_and_no_interval_of_two_trials_stretches_it() -> None:
    axes = new_figure(3.4, 2.4).subplots()
    three, two, single = estimate([1.0, 1.1, 1.2]), estimate([1.4, 1.6]), estimate([2.0])
    assert two.high - two.low > 2.5
    fit_to_means(axes, [three, single], [0.9])
    low, high = axes.get_ylim()
    assert low < three.low
    assert low < 0.9
    assert 2.0 < high < 2.2
    assert not is_cut(axes, [three, single])
    fit_to_means(axes, [three, two, single])
    assert np.ptp(axes.get_ylim()) < two.high - two.low
    low, high = axes.get_ylim()
    assert low < 1.4 < 1.6 < high, "both of the two trials are seen"
    assert is_cut(axes, [three, two, single])
    assert not is_cut(axes, [three, single])


@pytest.mark.parametrize("value", [0.0, -3.0, 5.0])
def test_equal_means_still_have_an_axis(value: float) -> None:
    axes = new_figure(3.4, 2.4).subplots()
    fit_to_means(axes, [estimate([value]), estimate([value, value])])
    low, high = axes.get_ylim()
    assert low < value < high


def test_no_interval_leads_an_axis_beyond_what_a_metric_can_be() -> None:
    axes = new_figure(3.4, 2.4).subplots()
    two = estimate([0.1, 0.9])
    fit_to_means(axes, [two], bounds=(0.0, 1.0))
    low, high = axes.get_ylim()
    assert -0.1 < low <= 0.0 and 1.0 <= high < 1.1
    assert is_cut(axes, [two])
    fit_to_means(axes, [estimate([0.4, 0.41])], bounds=(0.0, 1.0))
    low, high = axes.get_ylim()
    assert low > 0.3 and high < 0.5
