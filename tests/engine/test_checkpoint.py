"""Files of a trial: whole or not at all, safe to read, found by name."""

import json
import math
from pathlib import Path

import pytest
import torch

from engine import checkpoint as files
from tests.disks import small_disk
from utils.errors import TrialError


def make_trials(folder: Path, *names: str) -> None:
    """Folders with a configuration file."""
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / files.CONFIG).touch()


def test_tensors_survive_and_are_read_without_unpickling(tmp_path: Path) -> None:
    state = {"model": {"weight": torch.randn(3, 2)}, "epochs": 3, "config": {"a": [1, None, "x"]}}
    files.save_tensors(tmp_path / "x.pt", state)
    loaded = files.load_tensors(tmp_path / "x.pt")
    assert torch.equal(loaded["model"].pop("weight"), state["model"].pop("weight"))
    assert loaded == state
    torch.load(tmp_path / "x.pt", weights_only=True)
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


def test_a_cut_checkpoint_a_missing_one_and_another_programs_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with pytest.raises(TrialError, match=r"x\.pt: there is no such file"):
        files.load_tensors(path)
    files.save_tensors(path, {"model": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TrialError, match="is not a checkpoint"):
        files.load_tensors(path)
    torch.save({"weights": 1}, path)
    with pytest.raises(TrialError, match="holds no 'model'"):
        files.load_tensors(path)


@pytest.mark.parametrize("room", [10, 200_000, 399_000])
def test_a_checkpoint_that_finds_no_room_is_a_sentence_and_the_old_one_stays(tmp_path: Path, room: int) -> None:
    """Wherever torch is: at the begin of its file, between two tensors, or at the table at its end."""
    path = tmp_path / "x.pt"
    files.save_tensors(path, {"model": 1})
    state = {"model": {str(number): torch.zeros(10_000) for number in range(10)}}
    with (
        pytest.raises(OSError, match=r"^\S*x\.pt cannot be written \(File too large\); what was there before is unchanged$"),
        small_disk(room),
    ):
        files.save_tensors(path, state)
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.pt"]
    assert files.load_tensors(path) == {"model": 1}
    files.save_tensors(path, state)
    assert path.stat().st_size > 399_000


def test_json_has_null_where_a_number_is_not_finite(tmp_path: Path) -> None:
    files.save_json(tmp_path / "x.json", {"a": math.nan, "b": {"c": [math.inf, 1.5]}, "d": (1, "é")})
    expected = {"a": None, "b": {"c": [None, 1.5]}, "d": [1, "é"]}
    assert files.load_json(tmp_path / "x.json") == expected
    assert json.loads((tmp_path / "x.json").read_text()) == expected


@pytest.mark.parametrize("content", ["", "{", "[1]", "3"])
def test_json_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    with pytest.raises(TrialError, match=r"x\.json: cannot be read"):
        files.load_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(TrialError, match=r"x\.json"):
        files.load_json(tmp_path / "x.json")


def test_lines_are_appended_and_cut_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert files.read_lines(path) == []
    for epoch in range(4):
        files.append_lines(path, [{"epoch": epoch, "loss": 0.1 * epoch, "bad": math.nan}])
    files.append_lines(path, [])
    with path.open("a") as file:
        file.write('{"epoch": 4, "lo')  # a crash
    assert [line["epoch"] for line in files.read_lines(path)] == [0, 1, 2, 3]
    files.keep_lines(path, 2)
    files.append_lines(path, [{"epoch": 2}])
    assert path.read_text().splitlines() == [
        *('{"epoch": 0, "loss": 0.0, "bad": null}', '{"epoch": 1, "loss": 0.1, "bad": null}', '{"epoch": 2}')
    ]


def test_lines_that_find_no_room_are_taken_back(tmp_path: Path) -> None:
    """Else half a line would be in the way of the next one."""
    path, other = tmp_path / "metrics.jsonl", tmp_path / "steps.jsonl"
    files.append_lines(path, [{"epoch": 0}])
    before = path.read_bytes()
    for target in (path, other):
        match = rf"{target.name} cannot be written \(File too large\); what was there before is unchanged$"
        with pytest.raises(OSError, match=match), small_disk(1000):
            files.append_lines(target, [{"epoch": 1, "text": "long" * 1000}])
    assert path.read_bytes() == before
    assert not other.exists() or not other.read_bytes()
    files.append_lines(path, [{"epoch": 1}, {"epoch": 2}])
    assert [line["epoch"] for line in files.read_lines(path)] == [0, 1, 2]


@pytest.mark.parametrize("end", [b'{"epoch": 2, "x": "\xc3', b"\0\0\0\0", b"7\n", b"[" * 100_000])
def test_records_are_read_up_to_the_first_that_is_none(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"epoch": 0}\n{"epoch": 1}\n' + end)
    assert files.read_lines(path) == [{"epoch": 0}, {"epoch": 1}]
    files.keep_lines(path, 5)
    assert path.read_bytes() == b'{"epoch": 0}\n{"epoch": 1}\n'


def test_trials_are_found_with_and_without_the_underscore(tmp_path: Path) -> None:
    make_trials(tmp_path, *(f"with__trial_{i}" for i in (10, 0, 2)), "without_trial_0", "without_more_trial_0")
    with_ = {i: tmp_path / f"with__trial_{i}" for i in (0, 2, 10)}
    for name in ("with_", "with"):
        trials = files.find_trials(tmp_path, name)
        assert trials == with_
        assert list(trials) == [0, 2, 10]
    for name in ("without", "without_"):
        assert files.find_trials(tmp_path, name) == {0: tmp_path / "without_trial_0"}


def test_the_name_as_it_is_wins(tmp_path: Path) -> None:
    make_trials(tmp_path, "x_trial_0", "x__trial_0", "x__trial_1")
    assert files.find_trials(tmp_path, "x") == {0: tmp_path / "x_trial_0"}
    assert list(files.find_trials(tmp_path, "x_")) == [0, 1]
    assert files.find_trials(tmp_path, "x__trial_1") == {0: tmp_path / "x__trial_1"}


def test_only_folders_of_trials_count(tmp_path: Path) -> None:
    make_trials(tmp_path, "x_trial_0", "x_trial_1b", "x_trial_01", "xy_trial_2", "a.c_trial_0", "abc_trial_3")
    (tmp_path / "x_trial_4").mkdir()
    (tmp_path / "x_trial_5").touch()
    assert list(files.find_trials(tmp_path, "x")) == [0]
    assert list(files.find_trials(tmp_path, "a.c")) == [0]


@pytest.mark.parametrize("name", ["y", "", "..", "/", "x_trial_*", "[x]"])
def test_an_unknown_name_lists_what_is_there(tmp_path: Path, name: str) -> None:
    make_trials(tmp_path / "runs", "x_trial_0", "x_trial_1", "b__trial_0")
    (tmp_path / "runs" / files.CONFIG).touch()
    with pytest.raises(TrialError, match=r"no trial of that name in .*runs .*experiments there: b_, x$"):
        files.find_trials(tmp_path / "runs", name)


def test_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="no experiment is there"):
        files.find_trials(tmp_path / "nowhere", "x")


def test_a_trial_is_found_by_its_path_its_checkpoint_and_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_trials(files.RUNS, "one_trial_0", "two_trial_0", "two_trial_1")
    make_trials(tmp_path / "elsewhere", "three_trial_5")
    one = files.RUNS / "one_trial_0"
    for name in (one, one / files.BEST, Path("one_trial_0"), Path("one"), files.RUNS / "one"):
        assert files.find_trial("--model", name) == one
    assert files.find_trial("--model", Path("elsewhere/three")) == Path("elsewhere/three_trial_5")
    with pytest.raises(TrialError, match=r"--model two: has 2 trials; name one: \S+two_trial_0, \S+two_trial_1$"):
        files.find_trial("--model", Path("two"))
    with pytest.raises(TrialError, match=r"--model 'four': no trial of that name in results/runs .*: one, two$"):
        files.find_trial("--model", Path("four"))
    monkeypatch.chdir(one)
    assert files.find_trial("--model", Path(".")) == tmp_path / one
