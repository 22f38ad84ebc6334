"""Faults of a data set, in a sentence."""

import pytest

from datasets.problems import Problem, refuse
from utils.errors import DataError

PROBLEM = Problem("a.txt:3", "is 'x y'", "one name")


def test_the_first_problem_is_the_sentence_and_the_others_are_counted() -> None:
    refuse([])
    with pytest.raises(DataError, match=r"^a\.txt:3 is 'x y'; expected one name$"):
        refuse([PROBLEM])
    with pytest.raises(DataError, match=r"^a\.txt:3 is 'x y'; expected one name \(1 of 3 problems\)$"):
        refuse([PROBLEM, PROBLEM, PROBLEM])
