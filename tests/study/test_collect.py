"""The tables say what the runs' files say; means and deviations are computed here once more."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine import checkpoint as files
from study.collect import study_tables
from study.costs import Costs, costs_of
from study.plan import Run
from study.tables import HEADS, StudyTables
from tests.studies import fake_run, make_study
from tests.study.conftest import TrainedStudy
from tests.study.tabled import DEPTH, PAIRED, SEG, SPARSE, random_metrics, row_of, tables_of, values


def test_the_long_table_is_what_the_tests_found(trained_study: TrainedStudy, work: Path) -> None:
    study = trained_study.study
    costs, damaged = costs_of(study.runs, [])
    assert not damaged
    study_tables(study, costs).write(work)
    runs = StudyTables.read(work, "tiny").runs
    assert list(runs.columns) == HEADS["runs"]
    assert list(dict.fromkeys(zip(runs["setting"], runs["trial"], strict=True))) == [
        (setting.name, trial) for setting in study.settings for trial in range(setting.trials)
    ]
    for run in study.runs:
        rows = runs[(runs["setting"] == run.setting.name) & (runs["trial"] == run.trial)].set_index("metric")
        assert rows.index.is_unique
        assert set(rows["seed"]) == {run.trial}
        assert set(rows["tasks"]) == {tuple(run.config.task_list)}
        test = json.loads((run.folder / files.TEST).read_text())
        for name, value in test["row"].items():
            if name not in ("trial", "seed"):
                assert rows.loc[name, "value"] == pytest.approx(value, rel=1e-9), name
        for name, value in costs[run].numbers.items():
            assert rows.loc[name, "value"] == pytest.approx(value, rel=1e-9), name
        assert rows.loc["best_epoch", "value"] == test["best_epoch"]
        seconds = [line["train_seconds"] + line["validation_seconds"] for line in files.read_lines(run.folder / files.METRICS)]
        assert rows.loc["training_minutes", "value"] == pytest.approx(sum(seconds) / 60)
        mains = {"segmentsemantic": SEG, "depth_euclidean": DEPTH}
        assert set(rows.index[rows["main"]]) == {mains[task] for task in run.config.task_list}
    meaning = runs.drop_duplicates("metric").set_index("metric")[["unit", "better"]]
    assert tuple(meaning.loc[DEPTH]) == ("", "down")
    assert tuple(meaning.loc["group_sparsity"]) == ("%", "up")
    assert tuple(meaning.loc["compact_GMACs"]) == ("G", "down")
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
        rows = tables.curves[(tables.curves["setting"] == run.setting.name) & (tables.curves["trial"] == run.trial)]
        wide = rows.pivot(index="epoch", columns="metric", values="value")
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
            trials = [
                values[name] for run, values in metrics.items() if run.startswith(f"{setting.name}_trial") and name in values
            ]
            if trials:
                assert row[f"{name}_mean"] == pytest.approx(np.mean(trials))
                assert row[f"{name}_std"] == pytest.approx(np.std(trials, ddof=1))
            else:
                assert math.isnan(row[f"{name}_mean"])


def test_a_study_goes_by_the_main_metrics_of_its_file(work: Path) -> None:
    study = make_study(work, axes=PAIRED, main_metrics={"depth_euclidean": "rmse"})
    metrics = {
        run: {**values, "depth_euclidean_rmse": 2.0 if run.startswith("depth_dense") else 1.0}
        for run, values in random_metrics(study).items()
    }
    for run in metrics:
        metrics[run] |= {SEG: 0.5} if SEG in metrics[run] else {}
    assert row_of(tables_of(study, metrics), SPARSE)["delta_MTL_mean"] == pytest.approx(25)  # half of the error, the same mIoU


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


def test_numbers_that_are_none(work: Path) -> None:
    """A metric that was not a number is an empty cell, and takes what is computed from it along, but nothing else."""
    study = make_study(work, axes=PAIRED, comb_loss="wt_sum", loss_weights={"segmentsemantic": 1.0, "depth_euclidean": 2.0})
    metrics = random_metrics(study)
    metrics[f"{SPARSE}_trial_1"][DEPTH] = math.nan
    tables_of(study, metrics).write(work / "out")
    tables = StudyTables.read(work / "out", "tiny")
    errors = values(tables, DEPTH)
    assert [name for name, value in errors.items() if math.isnan(value)] == [f"{SPARSE}_trial_1"]
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
        costs[run] = Costs({"compact_latency_ms": 5.0} if run.trial == 0 else {}, [])
    tables = study_tables(study, costs)
    assert set(values(tables, "compact_latency_ms")) == {f"{setting.name}_trial_0" for setting in study.settings}
    assert set(tables.summary["compact_latency_ms_mean"]) == {5.0}
    assert tables.summary["compact_latency_ms_std"].isna().all()
