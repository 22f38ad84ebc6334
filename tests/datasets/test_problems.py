"""Faults of a data set, in a sentence."""

import re
import shlex
from pathlib import Path

import pytest

from datasets import Loaders
from datasets.problems import Problem, refuse
from tests.configs import make_config
from tests.datasets.preparation.command import exit_code
from utils.errors import DataError

PROBLEM = Problem("a.txt:3", "is 'x y'", "one name")


def test_the_first_problem_is_the_sentence_and_the_others_are_counted() -> None:
    refuse([])
    with pytest.raises(DataError, match=r"^a\.txt:3 is 'x y'; expected one name$"):
        refuse([PROBLEM])
    with pytest.raises(DataError, match=r"^a\.txt:3 is 'x y'; expected one name \(1 of 3 problems\)$"):
        refuse([PROBLEM, PROBLEM, PROBLEM])


@pytest.mark.parametrize("dataset", ["NYU", "celebA"])
def test_the_command_in_the_error_about_a_missing_folder_makes_it(dataset: str, tmp_path: Path) -> None:
    config = make_config(dataset_name=dataset, data_dir=tmp_path / "a set", **{f"data_dir_{dataset}": None})
    with pytest.raises(DataError, match=r"^data_dir: .*docs/data\.md says how .*, and `python") as refusal:
        Loaders(config).evaluation("val")
    command = re.findall("`python prepare_data.py (.*)`", str(refusal.value))[0]
    assert exit_code(*shlex.split(command), "--frames=6", "--size=32") == 0
    assert len(Loaders(config).evaluation("val")) == 1
