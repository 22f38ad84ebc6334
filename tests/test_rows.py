"""Files of rows: nothing is lost, nothing damaged is read, and a mean is of all the seeds that it stands beside."""

import json
from pathlib import Path

import pytest

from benchmarks.rows import add_row, mean, read_rows, told
from benchmarks.study_rows import digest
from engine import checkpoint as files
from settings.config import ExperimentConfig, load_config
from study.plan import load_study
from utils.errors import UserError

HEADER = "setting,seed,digest,GMACs\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of two rows."""
    path = tmp_path / "rows.csv"
    path.write_text(f"{HEADER}dense,0,a,0.9\nsparse,0,b,0.2\n")
    return path


def test_a_row_takes_the_place_of_that_of_the_same_run(path: Path) -> None:
    add_row(path, {"setting": "sparse", "seed": 1, "digest": "b", "GMACs": 0.25})
    add_row(path, {"setting": "sparse", "seed": 0, "digest": "b", "GMACs": 0.25, "mIoU": 1 / 3})
    rows = read_rows(path)
    assert [(row["digest"], row["seed"], row["GMACs"], row["mIoU"]) for row in rows] == [
        ("a", "0", "0.9", ""),
        ("b", "0", "0.25", "0.333333"),
        ("b", "1", "0.25", ""),
    ]


def test_another_ending_of_lines_and_a_byte_order_mark_change_nothing(path: Path) -> None:
    rows = read_rows(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_rows(path) == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dense;0;a\n", "line 1: expected the names of the columns; setting, seed, digest"),
        (f"{HEADER}dense,0,a,0.9\nsparse,0,b,0", "its last line is not finished"),
        (f"{HEADER}dense,0,a\n", "line 2: has not a cell for each column"),
        (f"{HEADER}dense,0,a,0,9\n", "line 2: has not a cell for each column"),
        (f"{HEADER}<<<<<<< HEAD\n", "line 2: has not a cell for each column"),
        (f"{HEADER}dense,0.0,a,0.9\n", "line 2: expected a digest, and a whole number as the seed, got 'a' and '0.0'"),
        (f"{HEADER}dense,0,,0.9\n", "line 2: expected a digest"),
        (f"{HEADER}dense,0,a,much\n", "line 2: GMACs: expected a number, or nothing where there is none, got 'much'"),
        (f"{HEADER}dense,0,a,inf\n", "line 2: GMACs: expected a number"),
        (f"{HEADER}dense,0,a,0.9\ndense,1,a,0.9\nnew,0,a,0.9\n", "line 4: is the same run as line 2"),
        (f'{HEADER}dense,0,a,"0.9\n', "after line 1: unexpected end of data"),
    ],
)
def test_a_damaged_file_is_refused_and_stays(text: str, said: str, path: Path) -> None:
    path.write_text(text)
    for action in (lambda: read_rows(path), lambda: add_row(path, {"setting": "dense", "seed": 5, "digest": "a"})):
        with pytest.raises(UserError) as caught:
            action()
        assert said in str(caught.value)
    assert path.read_text() == text


def test_a_missing_file_is_empty_only_where_rows_are_added(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "none.csv") == []
    with pytest.raises(UserError, match="there is no such file"):
        read_rows(tmp_path / "none.csv", must_exist=True)


def test_a_mean_is_of_all_rows_or_of_none() -> None:
    assert mean([{"GMACs": "1"}, {"GMACs": "2"}], "GMACs") == 1.5
    assert str(mean([{"GMACs": "1"}, {"GMACs": ""}], "GMACs")) == "nan"
    assert told([1.0, 2.0, float("nan")]) == "1 of 3 without a value"
    assert (told([]), told([2.0]), told([1.0, 3.0])) == ("", "+2.0 (one pair)", "+2.0 [-10.7, +14.7]")


def test_where_data_lie_is_not_what_a_run_is_known_by(tmp_path: Path) -> None:
    base = Path(__file__).parents[1] / "config/celeba_small.yaml"
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"train": [1], "val": [2], "test": [3]}))
    known = {
        digest(load_config(base, [f"data_dir_celebA={tmp_path}", *more, "num_workers=1"]))
        for more in ([], [f"data_split_file={tmp_path / 'a.json'}"], [f"data_split_file={tmp_path / 'b.json'}"])
    }
    assert len(known) == 1 != len(known | {digest(load_config(base, ["epochs=3"]))})


def test_a_network_of_the_study_that_teaches_is_known_before_it_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(__file__).parents[1] / "config/study_celeba_small.yaml"
    monkeypatch.chdir(tmp_path)
    study = load_study(path)
    dense, taught = (next(s.config for s in study.settings if s.name.endswith(end)) for end in ("hat_dense", "_distilled"))
    known = digest(taught, study)
    with pytest.raises(UserError, match=r"distill.from: .*: expected a finished trial's folder, or its checkpoint"):
        digest(taught)

    def finish(config: ExperimentConfig, seed: int) -> None:
        folder = dense.trial_folder(0)
        folder.mkdir(parents=True, exist_ok=True)
        config.save(folder / files.CONFIG)
        (folder / files.BEST).touch()
        files.save_json(folder / files.TEST, {"row": {"trial": 0, "seed": seed}})

    finish(dense, 0)
    assert digest(taught) == known != digest(dense, study)
    assert digest(taught.with_values(seed=1)) != known, "the other network has another seed than its own"
    fixed = taught.with_values(distill={"from": str(dense.trial_folder(0))})
    assert digest(fixed) == digest(fixed, study) != known, "one network for all seeds"
    finish(dense.with_values(epochs=3), 0)
    assert digest(taught) != known == digest(taught, study)
