"""The tables say what the runs' files say; means, delta_MTL and the paired difference are computed here once more."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from engine.study.collect import study_tables, twin_of, undefined_deltas
from engine.study.costs import Costs, costs_of
from tests.engine.study.conftest import TrainedStudy
from tests.studies import DENSE_AND_SPARSE, fake_run, make_study
from utils import checkpoint as files
from utils.study.plan import Run, Study
from utils.study.tables import COLUMNS, StudyTables

SEG, DEPTH = "segmentsemantic_mIoU", "depth_euclidean_abs_err"
SPARSE = "seg_depth_l1_l2_target0.5"
PAIRED: list[dict[str, Any]] = [
    {"tasks": "singles", "group_sparsity": False, "trials": 3},
    {"tasks": "all", "group_sparsity": [False, True], "target_sparsity": 0.5, "trials": 3},
]

NO_COSTS = Costs({}, [], "", 0.0)


def tables_of(study: Study, metrics: Mapping[str, Mapping[str, float]]) -> StudyTables:
    """The tables of a study whose runs have these test metrics; a run without any is not finished."""
    finished = []
    for run in study.runs:
        if run.name in metrics:
            fake_run(run, metrics[run.name])
            finished.append(run)
    return study_tables(study, dict.fromkeys(finished, NO_COSTS))


def random_metrics(study: Study, seed: int = 0) -> dict[str, dict[str, float]]:
    """Of every run."""
    random = np.random.default_rng(seed)
    names = {"segmentsemantic": SEG, "depth_euclidean": DEPTH}
    return {run.name: {names[task]: random.uniform(0.2, 0.8) for task in run.config.task_list} for run in study.runs}


def values(tables: StudyTables, metric: str) -> dict[str, float]:
    """Of one metric, by run."""
    of = tables.runs[tables.runs["metric"] == metric]
    return {f"{row['setting']}_trial_{row['trial']}": row["value"] for _, row in of.iterrows()}


def change(ours: Mapping[str, float], seg: float, depth: float) -> float:
    """Delta_MTL in percent: higher is better for the first, lower for the second."""
    return 100 * ((ours[SEG] - seg) / seg - (ours[DEPTH] - depth) / depth) / 2


def row_of(tables: StudyTables, setting: str) -> dict[str, Any]:
    """A setting's row of the summary."""
    (row,) = tables.summary[tables.summary["setting"] == setting].to_dict("records")
    return {str(name): value for name, value in row.items()}


def test_the_long_table_is_what_the_tests_found(trained_study: TrainedStudy, work: Path) -> None:
    study = trained_study.study
    costs, damaged = costs_of(study.runs, [])
    assert not damaged
    study_tables(study, costs).write(work)
    runs = StudyTables.read(work, "tiny").runs
    assert list(runs.columns) == COLUMNS["runs"].split()
    assert list(dict.fromkeys(zip(runs["setting"], runs["trial"], strict=True))) == [
        (setting.name, trial) for setting in study.settings for trial in range(setting.trials)
    ]
    for run in study.runs:
        of = runs[(runs["setting"] == run.setting.name) & (runs["trial"] == run.trial)].set_index("metric")
        assert of.index.is_unique
        assert set(of["seed"]) == {run.trial}
        assert set(of["tasks"]) == {"+".join(run.config.task_list)}
        test = json.loads((run.folder / files.TEST).read_text())
        for name, value in test["row"].items():
            if name not in ("trial", "seed"):
                assert of.loc[name, "value"] == pytest.approx(value, rel=1e-9), name
        for name, value in costs[run].numbers.items():
            assert of.loc[name, "value"] == pytest.approx(value, rel=1e-9), name
        assert of.loc["best_epoch", "value"] == test["best_epoch"]
        seconds = [line["train_seconds"] + line["validation_seconds"] for line in files.read_lines(run.folder / files.METRICS)]
        assert of.loc["training_minutes", "value"] == pytest.approx(sum(seconds) / 60)
        mains = {"segmentsemantic": SEG, "depth_euclidean": DEPTH}
        assert set(of.index[of["main"]]) == {mains[task] for task in run.config.task_list}
    meaning = runs.drop_duplicates("metric").set_index("metric")[["unit", "better"]]
    assert tuple(meaning.loc[DEPTH]) == ("", "down")
    assert tuple(meaning.loc["group_sparsity"]) == ("%", "up")
    assert tuple(meaning.loc["GMACs"]) == ("G", "down")
    assert tuple(meaning.loc["epochs"]) == ("", "")
    sparse = runs[runs["setting"] == SPARSE].iloc[0]
    assert (sparse["sparse"], sparse["penalty"], sparse["target_sparsity"]) == (True, "l1_l2", 0.5)
    assert pd.isna(sparse["lambda"])
    dense = runs[runs["setting"] == "seg_depth_dense"].iloc[0]
    assert (dense["sparse"], dense["penalty"]) == (False, "")
    assert pd.isna(dense["target_sparsity"])


def test_curves_and_layers_are_what_the_runs_recorded(trained_study: TrainedStudy) -> None:
    study = trained_study.study
    costs, _ = costs_of(study.runs, [])
    tables = study_tables(study, costs)
    keys = {
        "train_loss": "train/loss/total",
        "val_loss": "val/loss/total",
        SEG: f"val/{SEG}",
        DEPTH: f"val/{DEPTH}",
        "group_sparsity": "group_sparsity",
        "lambda": "lambda",
    }
    for run in study.runs:
        of = tables.curves[(tables.curves["setting"] == run.setting.name) & (tables.curves["trial"] == run.trial)]
        wide = of.pivot(index="epoch", columns="metric", values="value")
        lines = files.read_lines(run.folder / files.METRICS)
        assert list(wide.index) == [1, 2]
        assert ("lambda" in wide) == run.config.group_sparsity
        for name in wide:
            assert list(wide[name]) == [line[keys[name]] for line in lines]
        layers = tables.layers[(tables.layers["setting"] == run.setting.name) & (tables.layers["trial"] == run.trial)]
        zero = 100 * (1 - layers["live_groups"].sum() / layers["groups"].sum())
        assert zero == pytest.approx(json.loads((run.folder / files.TEST).read_text())["row"]["group_sparsity"])
        assert layers["layer"].iloc[0] == "conv1"


def test_the_summary_is_mean_and_sample_deviation(work: Path) -> None:
    study = make_study(work, axes=PAIRED)
    metrics = random_metrics(study)
    tables = tables_of(study, metrics)
    assert list(tables.summary["setting"]) == [setting.name for setting in study.settings]
    for setting in study.settings:
        row = row_of(tables, setting.name)
        assert row["num_trials"] == 3
        for name in (SEG, DEPTH):
            of = [values[name] for run, values in metrics.items() if run.startswith(f"{setting.name}_trial") and name in values]
            if of:
                assert row[f"{name}_mean"] == pytest.approx(np.mean(of))
                assert row[f"{name}_std"] == pytest.approx(np.std(of, ddof=1))
            else:
                assert math.isnan(row[f"{name}_mean"])


def test_settings_are_listed_by_strength(work: Path) -> None:
    axes = [
        {"tasks": "all", "target_sparsity": [0.7, 0.3], "trials": 1},
        {"tasks": "all", "penalty": ["l1_l2", "group_mcp"], "lambda": [1e-2, 1e-4], "trials": 1},
        {"tasks": ["singles", "all"], "group_sparsity": False, "trials": 1},
        {"tasks": "all", "target_sparsity": 0.5, "trials": 1},
    ]
    study = make_study(work, axes=axes)
    assert list(tables_of(study, random_metrics(study)).summary["setting"]) == [
        *("seg_depth_dense", "seg_depth_l1_l2_target0.3", "seg_depth_l1_l2_target0.5", "seg_depth_l1_l2_target0.7"),
        *("seg_depth_l1_l2_lambda0.0001", "seg_depth_l1_l2_lambda0.01"),
        *("seg_depth_group_mcp_lambda0.0001", "seg_depth_group_mcp_lambda0.01", "seg_dense", "depth_dense"),
    ]


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


def test_numbers_that_are_none(work: Path) -> None:
    """A metric that was not a number is an empty cell, and takes what is computed from it along, but nothing else."""
    study = make_study(work, axes=PAIRED, comb_loss="wt_sum", loss_weights={"segmentsemantic": 1.0, "depth_euclidean": 2.0})
    metrics = random_metrics(study)
    metrics[f"{SPARSE}_trial_1"][DEPTH] = math.nan
    tables_of(study, metrics).write(work / "out")
    tables = StudyTables.read(work / "out", "tiny")
    found = values(tables, DEPTH)
    assert [name for name, value in found.items() if math.isnan(value)] == [f"{SPARSE}_trial_1"]
    row = row_of(tables, SPARSE)
    assert math.isnan(row[f"{DEPTH}_mean"])
    assert math.isnan(row["delta_MTL_mean"])
    assert row[f"{SEG}_mean"] == pytest.approx(np.mean([metrics[f"{SPARSE}_trial_{trial}"][SEG] for trial in range(3)]))
    assert (row["claim"], row["difference_n"]) == ("", 3)
    assert not math.isnan(row_of(tables, "seg_depth_dense")["delta_MTL_mean"])


def test_a_partial_study(work: Path) -> None:
    study = make_study(work, axes=PAIRED)
    metrics = random_metrics(study)
    some = {name: metrics[name] for name in ("seg_depth_dense_trial_1", f"{SPARSE}_trial_0", f"{SPARSE}_trial_1")}
    tables = tables_of(study, some)
    assert list(tables.summary["setting"]) == ["seg_depth_dense", SPARSE]
    assert list(tables.summary["num_trials"]) == [1, 2]
    assert math.isnan(row_of(tables, "seg_depth_dense")[f"{SEG}_std"])
    nothing = study_tables(study, {})
    nothing.write(work / "out")
    assert StudyTables.read(work / "out", "tiny").summary.empty


def test_latency_is_the_mean_of_the_runs_that_have_one(work: Path) -> None:
    study = make_study(work, axes=PAIRED)
    costs: dict[Run, Costs] = {}
    for run in study.runs:
        fake_run(run, random_metrics(study)[run.name])
        costs[run] = Costs({"latency_ms": 5.0} if run.trial == 0 else {}, [], "", 0.0)
    tables = study_tables(study, costs)
    assert set(values(tables, "latency_ms")) == {f"{setting.name}_trial_0" for setting in study.settings}
    assert set(tables.summary["latency_ms_mean"]) == {5.0}
    assert tables.summary["latency_ms_std"].isna().all()


def test_nothing_is_claimed_about_a_penalty_that_set_nothing_to_zero(work: Path) -> None:
    study = make_study(work, axes=PAIRED)
    metrics = random_metrics(study)
    assert row_of(tables_of(study, metrics), SPARSE)["claim"] in ("holds", "fails", "undecided")
    for run in study.runs:
        fake_run(run, metrics[run.name], sparsity=0.0)
    row = row_of(study_tables(study, dict.fromkeys(study.runs, NO_COSTS)), SPARSE)
    assert (row["difference_n"], row["claim"]) == (3, "")


def test_a_baseline_that_no_change_can_be_taken_of_is_named(work: Path) -> None:
    study = make_study(work, axes=PAIRED)
    metrics = random_metrics(study)
    metrics["depth_dense_trial_1"][DEPTH] = 0.0
    tables_of(study, metrics)
    (sentence,) = undefined_deltas(study, dict.fromkeys(study.runs, NO_COSTS))
    assert "depth_dense_trial_1: its depth_euclidean_abs_err is 0, and" in sentence
