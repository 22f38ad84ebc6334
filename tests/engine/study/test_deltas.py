"""Delta_MTL, its baseline and the paired difference, computed here once more."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from engine.study.collect import gaps, study_tables, twin_of
from tests.engine.study.tabled import DEPTH, NO_COSTS, PAIRED, SEG, SPARSE, change, random_metrics, row_of, tables_of, values
from tests.studies import DENSE_AND_SPARSE, fake_run, make_study
from utils import checkpoint as files
from utils.study.tables import StudyTables


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
    of = np.array([expected[f"{SPARSE}_trial_{trial}"] for trial in range(3)])
    difference = of - [expected[f"seg_depth_dense_trial_{trial}"] for trial in range(3)]
    row = row_of(tables, SPARSE)
    assert (row["baseline"], row["twin"], row["difference_n"], row["margin"]) == ("the same seed", "seg_depth_dense", 3, 1.0)
    for name, numbers in (("delta_MTL", of), ("difference", difference)):
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


def test_with_fewer_baselines_than_trials_their_mean_is_the_baseline(work: Path) -> None:
    """Two seeds of one single task and three of the other, for three trials: the same mean for all of them."""
    study = make_study(work, axes=PAIRED)
    metrics = random_metrics(study)
    del metrics["depth_dense_trial_1"]
    tables = tables_of(study, metrics)
    seg = np.mean([metrics[f"seg_dense_trial_{trial}"][SEG] for trial in range(3)])
    depth = np.mean([metrics[f"depth_dense_trial_{trial}"][DEPTH] for trial in (0, 2)])
    found = values(tables, "delta_MTL")
    assert found == pytest.approx({name: change(metrics[name], seg, depth) for name in found})
    assert len(found) == 6
    assert row_of(tables, SPARSE)["baseline"] == "the mean of the seeds there are"


def test_one_seed_of_the_baseline_for_all_trials(work: Path) -> None:
    study = make_study(work, axes=DENSE_AND_SPARSE)
    metrics = random_metrics(study)
    tables = tables_of(study, metrics)
    seg, depth = metrics["seg_dense_trial_0"][SEG], metrics["depth_dense_trial_0"][DEPTH]
    found = values(tables, "delta_MTL")
    assert found == pytest.approx({name: change(metrics[name], seg, depth) for name in found})
    assert len(found) == 4
    assert row_of(tables, "seg_depth_dense")["baseline"] == "the mean of 1 seed"


def test_a_setting_with_a_trial_alone_is_paired_though_another_is_not(work: Path) -> None:
    """What there is of the baseline is enough for trial 0, and each setting is judged by itself."""
    study = make_study(work, axes=DENSE_AND_SPARSE)
    metrics = random_metrics(study)
    del metrics[f"{SPARSE}_trial_1"]
    tables = tables_of(study, metrics)
    assert row_of(tables, SPARSE)["baseline"] == "the same seed"
    assert row_of(tables, "seg_depth_dense")["baseline"] == "the mean of 1 seed"
    row = row_of(tables, SPARSE)
    assert (row["difference_n"], row["claim"]) == (1, "")
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
    assert (row["twin"], row["claim"], row["baseline"]) == ("", "", "")
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
    found = values(tables, "delta_MTL")
    assert {name: value for name, value in found.items() if name.startswith("depth")} == pytest.approx(expected)
    assert not [name for name in found if "_dense_" in name], "a baseline is not compared with itself"
    row = row_of(tables, sparse)
    assert row["twin"] == "depth_dense"
    assert row["difference_mean"] == pytest.approx(np.mean(list(expected.values())))


def test_a_variant_is_compared_with_its_own_kind_where_that_is_whole(work: Path) -> None:
    grid = {"tasks": "all", "group_sparsity": [False, True], "target_sparsity": 0.5}
    singles = {"tasks": "singles", "group_sparsity": False}
    changes = {"variant": "long", "set": {"epochs": 3}}
    study = make_study(work, axes=[singles, grid, {**singles, **changes}, {**grid, **changes}])
    metrics = random_metrics(study)
    name, plain = f"{SPARSE}_long_trial_0", f"{SPARSE}_trial_0"
    for own in (True, False):
        if not own:  # one of the variant's two is not finished
            del metrics["depth_dense_long_trial_0"]
            (study.folder / "depth_dense_long_trial_0" / files.TEST).unlink()
        tables = tables_of(study, metrics)
        end = "_long" if own else ""
        singles_of = metrics[f"seg_dense{end}_trial_0"][SEG], metrics[f"depth_dense{end}_trial_0"][DEPTH]
        found = values(tables, "delta_MTL")
        assert found[name] == pytest.approx(change(metrics[name], *singles_of))
        assert found[plain] == pytest.approx(
            change(metrics[plain], metrics["seg_dense_trial_0"][SEG], metrics["depth_dense_trial_0"][DEPTH])
        )
        assert row_of(tables, f"{SPARSE}_long")["twin"] == "seg_depth_dense_long"
        assert row_of(tables, SPARSE)["twin"] == "seg_depth_dense"


def test_which_twin_a_sparse_setting_has(work: Path) -> None:
    grid = {"tasks": "all", "group_sparsity": [False, True], "target_sparsity": 0.5}
    lonely = {"tasks": "all", "target_sparsity": 0.5, "variant": "lonely", "set": {"epochs": 4}}
    changes = {"variant": "long", "set": {"epochs": 3}}
    study = make_study(work, axes=[{"tasks": "singles", "group_sparsity": False}, {**grid, **changes}, lonely, grid])
    by_name = {setting.name: setting for setting in study.settings}

    def twin(name: str, *without: str) -> str | None:
        found = twin_of(by_name[name], [setting for setting in study.settings if setting.name not in without])
        return found.name if found else None

    assert twin(f"{SPARSE}_long") == "seg_depth_dense_long"
    assert twin(f"{SPARSE}_long", "seg_depth_dense_long") == "seg_depth_dense"
    assert twin(f"{SPARSE}_lonely") == "seg_depth_dense"
    assert twin(SPARSE) == "seg_depth_dense"
    assert twin(SPARSE, "seg_depth_dense") is None, "another variant's is none"


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
    assert gaps(dict.fromkeys(study.runs, NO_COSTS)) == ([sentence] if sentence else [])


def test_of_a_run_that_is_compared_with_nothing_no_delta_is_missed(work: Path) -> None:
    study = make_study(work, axes=PAIRED[1:])
    metrics = random_metrics(study)
    metrics["seg_depth_dense_trial_2"][SEG] = math.nan
    tables_of(study, metrics)
    assert gaps(dict.fromkeys(study.runs, NO_COSTS)) == []


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
    assert row_of(tables, study.runs[0].setting.name)["training_minutes_mean"] == 1.0
    assert gaps(costs) == [f"{files.METRICS} of {study.runs[0].name} holds no epoch: curves and training time are missing."]
