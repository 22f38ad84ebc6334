"""Delta_MTL, its baseline and the paired difference, computed here once more."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from engine import checkpoint as files
from study.collect import gaps, study_tables
from study.labels import NOTHING, is_missing
from study.plan import Study
from study.tables import StudyTables
from study.text_tables import comparison_table, paper_table
from tests.studies import DENSE_AND_SPARSE, fake_run, make_study
from tests.study.tabled import DEPTH, NO_COSTS, PAIRED, SEG, SPARSE, change, random_metrics, row_of, tables_of, values


def test_delta_and_difference_are_paired_by_seed(work: Path) -> None:
    study = make_study(work, axes=PAIRED)
    metrics = random_metrics(study)
    tables = tables_of(study, metrics)
    expected = {
        f"{name}_trial_{trial}": change(
            metrics[f"{name}_trial_{trial}"],
            metrics[f"seg_dense_trial_{trial}"][SEG],
            metrics[f"depth_dense_trial_{trial}"][DEPTH],
        )
        for name in ("seg_depth_dense", SPARSE)
        for trial in range(3)
    }
    assert values(tables, "delta_MTL") == pytest.approx(expected)
    deltas = np.array([expected[f"{SPARSE}_trial_{trial}"] for trial in range(3)])
    difference = deltas - [expected[f"seg_depth_dense_trial_{trial}"] for trial in range(3)]
    row = row_of(tables, SPARSE)
    assert (row["baseline"], row["twin"], row["difference_n"], row["margin"]) == ("the same seed", "seg_depth_dense", 3, 1.0)
    for name, numbers in (("delta_MTL", deltas), ("difference", difference)):
        half = stats.t.ppf(0.975, 2) * numbers.std(ddof=1) / math.sqrt(3)
        assert row[f"{name}_mean"] == pytest.approx(numbers.mean())
        assert row[f"{name}_std"] == pytest.approx(numbers.std(ddof=1))
        assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx((numbers.mean() - half, numbers.mean() + half))
    dense = row_of(tables, "seg_depth_dense")
    assert dense["twin"] == dense["claim"] == ""
    assert math.isnan(dense["difference_mean"])


@pytest.mark.parametrize(("better", "claim"), [(0.0, "holds"), (-0.05, "fails"), (-0.01, "undecided")])
def test_the_claim(better: float, claim: str, work: Path) -> None:
    """The sparse networks' mIoU differs by ``better`` (relative), give or take, and so delta_MTL by half of that."""
    study = make_study(work, axes=PAIRED)
    metrics = {run.name: {SEG: 0.5, DEPTH: 0.2} for run in study.runs}
    for trial, noise in enumerate((-0.01, 0.0, 0.01) if claim == "undecided" else (-0.001, 0.0, 0.001)):
        metrics[f"{SPARSE}_trial_{trial}"][SEG] *= 1 + better + noise
    row = row_of(tables_of(study, {name: {k: v for k, v in m.items() if _has(name, k)} for name, m in metrics.items()}), SPARSE)
    assert row["difference_mean"] == pytest.approx(50 * better, abs=1e-9)
    assert row["claim"] == claim


def _has(run: str, metric: str) -> bool:
    return (metric == SEG and run.startswith("seg")) or (metric == DEPTH and "depth" in run)


FEWER: list[dict[str, Any]] = [
    {"tasks": ["segmentsemantic"], "group_sparsity": False, "trials": 2},
    {"tasks": ["depth_euclidean"], "group_sparsity": False, "trials": 3},
    {"tasks": "all", "group_sparsity": [False, True], "target_sparsity": 0.5, "trials": 4},
]


@pytest.mark.parametrize(
    ("axes", "unfinished", "baseline"),
    [
        (FEWER, [], "the mean of 2 to 3 seeds"),
        (FEWER, ["depth_dense_trial_1"], "the mean of the seeds so far (4 of 5 runs)"),
        (DENSE_AND_SPARSE, [], "the mean of 1 seed"),
    ],
)
def test_with_fewer_baselines_planned_than_trials_their_mean_is_the_baseline(
    axes: list[dict[str, Any]], unfinished: list[str], baseline: str, work: Path
) -> None:
    """The same mean for all trials."""
    study = make_study(work, axes=axes)
    metrics = {name: run_metrics for name, run_metrics in random_metrics(study).items() if name not in unfinished}
    tables = tables_of(study, metrics)
    seg, depth = (
        np.mean([run_metrics[metric] for name, run_metrics in metrics.items() if name.startswith(f"{task}_dense")])
        for task, metric in (("seg", SEG), ("depth", DEPTH))
    )
    deltas = values(tables, "delta_MTL")
    assert deltas == pytest.approx({name: change(metrics[name], seg, depth) for name in deltas})
    assert len(deltas) == 2 * axes[-1]["trials"]
    assert row_of(tables, SPARSE)["baseline"] == row_of(tables, "seg_depth_dense")["baseline"] == baseline


def test_a_trial_whose_own_baseline_is_not_finished_has_no_delta(work: Path) -> None:
    """Another seed's takes its place neither there nor in the mean, whose number of trials is said."""
    study = make_study(work, axes=PAIRED)
    metrics = random_metrics(study)
    whole = values(tables_of(study, metrics), "delta_MTL")
    (study.folder / "depth_dense_trial_1" / files.TEST).unlink()
    del metrics["depth_dense_trial_1"]
    tables = tables_of(study, metrics)
    left = {name: value for name, value in whole.items() if not name.endswith("_1")}
    assert values(tables, "delta_MTL") == pytest.approx(left)
    row = row_of(tables, SPARSE)
    assert (row["num_trials"], row["delta_MTL_n"], row["difference_n"], row["difference_planned"]) == (3, 2, 2, 3)
    assert row["delta_MTL_mean"] == pytest.approx(np.mean([whole[f"{SPARSE}_trial_{trial}"] for trial in (0, 2)]))
    table = paper_table(tables)
    assert "(n = 2)" in str(table)
    assert "2 of 3" in str(comparison_table(tables))


def test_the_plan_decides_what_the_baseline_is_and_not_what_is_finished(work: Path) -> None:
    study = make_study(work, axes=DENSE_AND_SPARSE)
    metrics = random_metrics(study)
    del metrics[f"{SPARSE}_trial_1"]
    tables = tables_of(study, metrics)
    row = row_of(tables, SPARSE)
    assert row["baseline"] == row_of(tables, "seg_depth_dense")["baseline"] == "the mean of 1 seed"
    assert (row["difference_n"], row["difference_planned"], row["claim"]) == (1, 2, "")
    assert row["no_claim"] == "one trial: no interval"
    assert math.isnan(row["difference_low"])
    seg, depth = metrics["seg_dense_trial_0"][SEG], metrics["depth_dense_trial_0"][DEPTH]
    of_trial_0 = [change(metrics[f"{name}_trial_0"], seg, depth) for name in (SPARSE, "seg_depth_dense")]
    assert row["difference_mean"] == pytest.approx(of_trial_0[0] - of_trial_0[1])


def test_without_a_baseline_there_is_no_delta(work: Path) -> None:
    study = make_study(work, axes=PAIRED)
    metrics = {name: values for name, values in random_metrics(study).items() if not name.startswith("depth_dense")}
    tables = tables_of(study, metrics)
    assert not tables.runs["metric"].str.startswith("delta_MTL").any()
    assert not any(name.startswith("delta_MTL") for name in tables.summary)
    row = row_of(tables, SPARSE)
    assert (row["twin"], row["claim"], row["baseline"]) == ("seg_depth_dense", "", "missing")
    assert row["no_claim"] == "single-task baseline missing"
    assert math.isnan(row["difference_mean"])
    (note,) = [note for note in paper_table(tables).notes if "baseline" in note]
    assert note == (
        "Single-task baseline missing: Δ_MTL is not there for 2 of 2 settings, as what they are compared with is not finished "
        "(depth_dense)."
    )
    tables.write(work / "out")
    assert len(StudyTables.read(work / "out", "tiny").summary) == 3


def test_single_tasks_sparse_against_dense(work: Path) -> None:
    study = make_study(work, axes={"tasks": "singles", "group_sparsity": [False, True], "target_sparsity": 0.5, "trials": 2})
    metrics = random_metrics(study)
    tables = tables_of(study, metrics)
    sparse = "depth_l1_l2_target0.5"
    expected = {
        f"{sparse}_trial_{trial}": -100
        * (metrics[f"{sparse}_trial_{trial}"][DEPTH] / metrics[f"depth_dense_trial_{trial}"][DEPTH] - 1)
        for trial in range(2)
    }
    deltas = values(tables, "delta_MTL")
    assert {name: value for name, value in deltas.items() if name.startswith("depth")} == pytest.approx(expected)
    assert not [name for name in deltas if "_dense_" in name], "a baseline is not compared with itself"
    row = row_of(tables, sparse)
    assert row["twin"] == "depth_dense"
    assert row["difference_mean"] == pytest.approx(np.mean(list(expected.values())))


GRID: dict[str, Any] = {"tasks": "all", "group_sparsity": [False, True], "target_sparsity": 0.5, "trials": 3}
SINGLES: dict[str, Any] = {"tasks": "singles", "group_sparsity": False, "trials": 3}
LONG: dict[str, Any] = {"variant": "long", "set": {"epochs": 3}}
VARIANTS = [SINGLES, GRID, {**SINGLES, **LONG}, {**GRID, **LONG}]
"""The same with and without a variant; each has a dense twin and single tasks of its own."""


def without(study: Study, metrics: dict[str, dict[str, float]], *settings: str) -> StudyTables:
    """The tables, with the runs of some settings not finished."""
    return tables_of(
        study, {name: run_metrics for name, run_metrics in metrics.items() if name.rpartition("_trial_")[0] not in settings}
    )


@pytest.mark.parametrize("end", ["", "_long"])
def test_nothing_takes_the_place_of_a_twin_that_is_not_finished(end: str, work: Path) -> None:
    study = make_study(work, axes=VARIANTS)
    metrics = random_metrics(study)
    other = SPARSE if end else f"{SPARSE}_long"
    expected = row_of(tables_of(study, metrics), other)
    for run in study.runs:
        (run.folder / files.TEST).unlink()
    twin = f"seg_depth_dense{end}"
    tables = without(study, metrics, twin)
    row = row_of(tables, f"{SPARSE}{end}")
    assert (row["twin"], row["claim"], row["no_claim"]) == (twin, "", "twin missing")
    assert all(is_missing(row[f"difference_{name}"]) for name in ("n", "mean", "std", "low", "high"))
    assert not is_missing(row["delta_MTL_mean"]), "the baseline is there"
    table = comparison_table(tables)
    assert f"Twin missing for 1 of 2 settings: no run of the same seed is finished of {twin}." in table.notes
    (cells,) = [cells for section in table.sections for cells in section.rows if cells[-1].text == "twin missing"]
    assert {cell.text for cell in cells[1:-1]} == {NOTHING}
    again = row_of(tables, other)
    assert {name: again[name] for name in ("twin", "claim", "difference_mean")} == {
        name: expected[name] for name in ("twin", "claim", "difference_mean")
    }
    tables.write(work / "out")
    assert comparison_table(StudyTables.read(work / "out", "tiny")) == table


@pytest.mark.parametrize("end", ["", "_long"])
def test_nothing_takes_the_place_of_a_baseline_that_is_not_finished(end: str, work: Path) -> None:
    study = make_study(work, axes=VARIANTS)
    metrics = random_metrics(study)
    tables = without(study, metrics, f"depth_dense{end}")
    row = row_of(tables, f"{SPARSE}{end}")
    assert (row["baseline"], row["baseline_settings"]) == ("missing", (f"seg_dense{end}", f"depth_dense{end}"))
    assert (row["twin"], row["claim"]) == (f"seg_depth_dense{end}", "")
    assert row["no_claim"] == "single-task baseline missing"
    assert all(is_missing(row[name]) for name in ("delta_MTL_mean", "difference_n", "difference_mean", "margin"))
    other = "" if end else "_long"
    singles = (metrics[f"seg_dense{other}_trial_1"][SEG], metrics[f"depth_dense{other}_trial_1"][DEPTH])
    deltas = values(tables, "delta_MTL")
    assert deltas[f"{SPARSE}{other}_trial_1"] == pytest.approx(change(metrics[f"{SPARSE}{other}_trial_1"], *singles))
    assert not [name for name in deltas if ("_long" in name) == bool(end)]


def test_a_twin_of_other_seeds_is_missing(work: Path) -> None:
    study = make_study(work, axes=PAIRED)
    metrics = random_metrics(study)
    for name in (f"{SPARSE}_trial_0", "seg_depth_dense_trial_1", "seg_depth_dense_trial_2"):
        del metrics[name]
    row = row_of(tables_of(study, {**metrics}), SPARSE)
    assert (row["no_claim"], row["num_trials"]) == ("twin missing", 2)


def test_a_variant_without_single_tasks_of_its_own_is_measured_by_the_others(work: Path) -> None:
    study = make_study(work, axes=[SINGLES, {**GRID, **LONG}])
    row = row_of(tables_of(study, random_metrics(study)), f"{SPARSE}_long")
    assert (row["baseline"], row["twin"]) == ("the same seed, of the runs without the variant", "seg_depth_dense_long")


def test_that_a_twin_differs_in_more_than_the_penalty_is_said(work: Path) -> None:
    """Its own grid sets another learning rate; the sparse one's times of the penalty are no difference."""
    dense = {"tasks": "all", "group_sparsity": False, "set": {"bb_optimizer_params.learning_rate": 0.5}}
    sparse = {"tasks": "all", "target_sparsity": 0.5, "set": {"sparsity_until": 0.5}}
    study = make_study(work, axes=[SINGLES, dense, sparse])
    tables = tables_of(study, random_metrics(study))
    assert row_of(tables, SPARSE)["twin_differs_in"] == ("bb_optimizer_params.learning_rate",)
    assert comparison_table(tables).notes == [
        f"{SPARSE} and its dense twin seg_depth_dense differ in more than the penalty: in bb_optimizer_params.learning_rate."
    ]


def test_nothing_is_claimed_about_a_penalty_that_set_nothing_to_zero(work: Path) -> None:
    study = make_study(work, axes=PAIRED)
    metrics = random_metrics(study)
    assert row_of(tables_of(study, metrics), SPARSE)["claim"] in ("holds", "fails", "undecided")
    for run in study.runs:
        fake_run(run, metrics[run.name], sparsity=0.0)
    row = row_of(study_tables(study, dict.fromkeys(study.runs, NO_COSTS)), SPARSE)
    assert (row["difference_n"], row["claim"]) == (3, "")


@pytest.mark.parametrize(
    ("run", "bad", "sentence"),
    [
        (
            "depth_dense_trial_1",
            {DEPTH: 0.0},
            "delta_MTL is undefined for what is compared with depth_dense_trial_1: its depth_euclidean_abs_err is 0, and a "
            "relative change needs a baseline above 0.",
        ),
        (
            "seg_dense_trial_0",
            {"segmentsemantic_pixel_accuracy": 0.0, "segmentsemantic_IoU_micro_imagewise": math.nan},
            "delta_MTL_all_metrics is undefined for what is compared with seg_dense_trial_0: its "
            "segmentsemantic_pixel_accuracy is 0, segmentsemantic_IoU_micro_imagewise is nan, and a relative change needs a "
            "baseline above 0.",
        ),
        ("seg_depth_dense_trial_2", {SEG: 0.0}, ""),
        (
            "seg_depth_dense_trial_2",
            {SEG: math.nan},
            "delta_MTL is undefined for seg_depth_dense_trial_2: its segmentsemantic_mIoU is nan.",
        ),
    ],
)
def test_why_a_delta_is_undefined_is_said(work: Path, run: str, bad: dict[str, float], sentence: str) -> None:
    study = make_study(work, axes=PAIRED)
    metrics = random_metrics(study)
    metrics[run] |= bad
    tables_of(study, metrics)
    assert gaps(study, dict.fromkeys(study.runs, NO_COSTS)) == ([sentence] if sentence else [])


def test_of_a_run_that_is_compared_with_nothing_no_delta_is_missed(work: Path) -> None:
    study = make_study(work, axes=PAIRED[1:])
    metrics = random_metrics(study)
    metrics["seg_depth_dense_trial_2"][SEG] = math.nan
    tables_of(study, metrics)
    assert gaps(study, dict.fromkeys(study.runs, NO_COSTS)) == []


def test_a_run_that_lost_its_epochs_has_no_training_time(work: Path) -> None:
    """None is not 0 minutes."""
    study = make_study(work, axes=PAIRED)
    metrics = random_metrics(study)
    for run in study.runs:
        fake_run(run, metrics[run.name], lines=[{"epoch": 0, "train_seconds": 50.0, "validation_seconds": 10.0}])
    (study.runs[0].folder / files.METRICS).unlink()
    costs = dict.fromkeys(study.runs, NO_COSTS)
    tables = study_tables(study, costs)
    minutes = values(tables, "training_minutes")
    assert study.runs[0].name not in minutes
    assert set(minutes.values()) == {1.0}
    assert math.isnan(row_of(tables, study.runs[0].setting.name)["training_minutes_mean"]), "not that of the others"
    assert row_of(tables, SPARSE)["training_minutes_mean"] == 1.0
    assert gaps(study, costs) == [
        f"{files.METRICS} of {study.runs[0].name} holds no epoch: curves and training time are missing."
    ]
