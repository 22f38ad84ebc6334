"""Patience."""

import json
import math

from engine.monitor import Patience


def test_exhausted_after_that_many_updates_without_a_new_lowest_value() -> None:
    patience = Patience(2)
    seen = [(patience.update(value), patience.exhausted) for value in (3.0, 2.0, 2.0, 1.0, 1.5, 1.0, 0.5)]
    assert seen == [
        *((True, False), (True, False), (False, False)),  # an equal value is no improvement
        *((True, False), (False, False), (False, True)),
        (True, False),
    ]


def test_a_loss_that_is_no_number_is_no_improvement() -> None:
    patience = Patience(1)
    assert not patience.update(math.nan)
    assert patience.exhausted
    assert patience.update(1.0)
    assert patience.best == 1.0


def test_no_value_is_neither_an_improvement_nor_waited_for() -> None:
    patience = Patience(2)
    seen = [(patience.update(value), patience.waited) for value in (None, 2.0, None, 3.0, None, None)]
    assert seen == [(False, 0), (True, 0), (False, 0), (False, 1), (False, 1), (False, 1)]
    assert not patience.exhausted


def test_goes_on_from_its_saved_state() -> None:
    patience = Patience(3)
    for value in (2.0, 3.0, 3.0):
        patience.update(value)
    again = Patience(3)
    again.load_state_dict(json.loads(json.dumps(patience.state_dict())))
    assert not again.exhausted
    assert not again.update(2.5)
    assert again.exhausted
