"""Result tables."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.results import check_writable, result_paths, summary_table, trials_table, write_results
from study.statistics import estimate
from tests.disks import small_disk
from utils.errors import UserError

ROWS = [
    {"trial": 1, "seed": 8, "epochs": 5, "task_error": 0.25, "group_sparsity": 60.0},
    {"trial": 0, "seed": 7, "epochs": 9, "task_error": 0.5, "group_sparsity": 70.0},
    {"trial": 2, "seed": 9, "epochs": 7, "task_error": 0.75, "group_sparsity": 80.0},
]


def test_trials_are_in_their_order() -> None:
    table = trials_table(ROWS)
    assert table["trial"].tolist() == [0, 1, 2]
    assert table["seed"].tolist() == [7, 8, 9]
    assert list(table.columns) == list(ROWS[0])


def test_summary_has_mean_sample_deviation_and_text_of_every_metric() -> None:
    (row,) = summary_table("mine", trials_table(ROWS)).to_dict("records")
    assert row == {
        **{"Experiment_name": "mine", "num_trials": 3},
        **{"task_error_mean": 0.5, "task_error_std": pytest.approx(0.25), "task_error": "0.5000 ± 0.2500"},
        **{"group_sparsity_mean": 70.0, "group_sparsity_std": pytest.approx(10.0), "group_sparsity": "70.0000 ± 10.0000"},
    }


def test_one_trial_has_no_deviation() -> None:
    (row,) = summary_table("mine", trials_table(ROWS[:1])).to_dict("records")
    assert row["task_error_mean"] == 0.25
    assert math.isnan(row["task_error_std"])
    assert row["task_error"] == "0.2500 ± n/a"


@pytest.mark.parametrize("lost", [math.nan, math.inf, None])
def test_a_trial_without_a_value_takes_the_mean_along(lost: float | None) -> None:
    """In an experiment as in a study: the mean of the others would be that of the trials that went well."""
    rows: list[dict[str, Any]] = [{**row, "group_sparsity": lost} if row["trial"] == 1 else row for row in ROWS]
    (row,) = summary_table("mine", trials_table(rows)).to_dict("records")
    assert math.isnan(row["group_sparsity_mean"]) and math.isnan(row["group_sparsity_std"])
    assert (row["group_sparsity"], row["num_trials"], row["task_error_mean"]) == ("n/a", 3, 0.5)
    result = estimate([60.0, math.nan if lost is None else lost, 80.0])
    assert result.n == 3
    assert all(math.isnan(value) for value in (result.mean, result.std, result.low, result.high))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6))
def test_an_experiment_and_a_study_have_the_same_means(values: list[float]) -> None:
    table = pd.DataFrame({"trial": range(len(values)), "x": values})
    (row,) = summary_table("mine", table).to_dict("records")
    result = estimate(values)
    assert (row["x_mean"], row["x_std"]) == pytest.approx((result.mean, result.std), rel=0, abs=0, nan_ok=True)


def test_written_tables_are_what_was_returned(tmp_path: Path) -> None:
    rows = [{**row, "third": row["trial"] / 3, "missing": math.nan} for row in ROWS]
    table = write_results(tmp_path / "new" / "out", "name_val", "name", rows)
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == ["name_val.csv", "name_val_trials.csv"]
    summary, trials = (pd.read_csv(path) for path in result_paths(tmp_path / "new" / "out", "name_val"))
    pd.testing.assert_frame_equal(trials, table, rtol=1e-9, check_dtype=False)
    assert trials["missing"].isna().all()
    assert summary["Experiment_name"].item() == "name"
    assert summary["third_mean"].item() == pytest.approx(1 / 3, rel=1e-9)
    assert np.isnan(summary["missing_mean"].item())


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match=r"^[^\n]*file[^\n]*$"):
            write_results(folder, "x", "x", ROWS)
        with pytest.raises(UserError, match=r"file.*the results cannot be written"):
            check_writable(folder)


def test_tables_that_find_no_room_leave_the_old_ones(tmp_path: Path) -> None:
    write_results(tmp_path, "x", "x", ROWS[:1])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    refusal = r"x\.csv cannot be written \(File too large\); what was there before is unchanged$"
    with pytest.raises(OSError, match=refusal), small_disk(40):
        write_results(tmp_path, "x", "x", ROWS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_asking_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, tmp_path / "a" / "b", Path("out_csv")):
        check_writable(folder)
    assert not list(tmp_path.iterdir())
