"""What is wrong with a data set, in a sentence."""

import pytest

from datasets.problems import SHOWN, Problem, refuse, some
from utils.errors import DataError

PROBLEM = Problem("a.txt:3", "is 'x y'", "one name")


def test_the_first_problem_is_the_sentence_and_the_others_are_counted() -> None:
    refuse([])
    with pytest.raises(DataError, match=r"^a\.txt:3 is 'x y'; expected one name$"):
        refuse([PROBLEM])
    with pytest.raises(DataError, match=r"^a\.txt:3 is 'x y'; expected one name \(1 of 3 problems\)$"):
        refuse([PROBLEM, PROBLEM, PROBLEM])


def test_of_many_names_the_first_are_told() -> None:
    names = [str(number) for number in range(SHOWN + 2)]
    assert some(names[:2]) == "0, 1"
    assert some(names) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"
