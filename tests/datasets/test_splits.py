"""Rules of all splits; validation cut from the training frames: a partition, in runs of neighbours."""

from hypothesis import given
from hypothesis import strategies as st

from datasets.problems import Problem
from datasets.splits import RUN_LENGTH, cut_validation, split_problems


def _runs(held_out: list[int]) -> list[int]:
    """Lengths of the runs of neighbours in a sorted list."""
    lengths: list[int] = []
    for position, index in enumerate(held_out):
        if position and index == held_out[position - 1] + 1:
            lengths[-1] += 1
        else:
            lengths.append(1)
    return lengths


@given(total=st.integers(2, 1500), fraction=st.floats(0.001, 0.999))
def test_it_is_a_partition_of_the_right_size_in_the_old_order(total: int, fraction: float) -> None:
    names = [f"{index:04d}" for index in range(total)]
    train, val = cut_validation(names, fraction)
    assert sorted(train + val) == names
    assert train == sorted(train)
    assert val == sorted(val)
    assert train
    assert val
    assert len(val) == min(max(1, round(fraction * total)), total - 1)


@given(total=st.integers(20, 1500), fraction=st.floats(0.001, 0.4))
def test_it_holds_few_runs_of_up_to_ten_neighbours(total: int, fraction: float) -> None:
    _, val = cut_validation([str(index) for index in range(total)], fraction)
    lengths = _runs([int(name) for name in val])
    assert max(lengths) <= RUN_LENGTH == 10
    assert len(lengths) == -(-len(val) // 10)


def test_the_runs_are_spread_over_the_whole_list() -> None:
    _, val = cut_validation([str(index) for index in range(800)], 0.1)
    held_out = [int(name) for name in val]
    assert len(held_out) == 80
    for hundred in range(8):
        assert sum(100 * hundred <= index < 100 * (hundred + 1) for index in held_out) == 10


def test_the_same_names_give_the_same_cut() -> None:
    names = [str(index) for index in range(123)]
    assert cut_validation(names, 0.2) == cut_validation(tuple(names), 0.2)


PLACES = {"train": "a.txt", "val": "b.txt", "test": "c.txt", "all": "d.txt"}


def test_lists_without_doubles_and_overlaps_have_no_problem() -> None:
    """A list of another name may be made of the others."""
    assert split_problems({"train": ["1", "2"], "val": ["3"], "test": ["4"], "all": ["1", "2", "3"]}, PLACES) == []


def test_every_double_and_every_overlap_is_one_problem() -> None:
    problems = split_problems({"train": ["1", "2", "2"], "val": ["3", "1"], "test": ["3", "2", "3", "1"], "all": []}, PLACES)
    assert problems == [
        Problem("a.txt", "names 2 more than once for train", "every frame once"),
        Problem("c.txt", "names 3 more than once for test", "every frame once"),
        Problem("d.txt", "names 0 frames for all", "at least 1"),
        Problem("b.txt", "names 1 for val, which train has too", "every frame in one split"),
        Problem("c.txt", "names 2, 1 for test, which train has too", "every frame in one split"),
        Problem("c.txt", "names 3, 1 for test, which val has too", "every frame in one split"),
    ]


def test_training_needs_two_frames() -> None:
    assert split_problems({"train": ["1"], "test": ["2"]}, PLACES) == [
        Problem("a.txt", "names 1 frame for train", "at least 2")
    ]
