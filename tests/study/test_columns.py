"""The columns of a study's tables: one entry says all that files, tables and figures need."""

from pathlib import Path

import pytest

from study.collect import study_tables
from study.columns import COLUMNS, TRAINING, Column, SavedRun, column_of, run_columns, task_column, task_columns
from study.page import ReportInfo, html_page
from study.tables import StudyTables
from study.text_tables import full_tables, paper_table
from tasks.metric_info import metrics_of
from tasks.table import TASKS
from tests.studies import fake_run, make_study
from tests.study.tabled import NO_COSTS, PAIRED, SPARSE, random_metrics, row_of, values


def kilowatt_hours(saved: SavedRun) -> float | None:
    """Sum the energy of a run's epochs."""
    joules = [line["joules"] for line in saved.lines if "joules" in line]
    return sum(joules) / 3.6e6 if joules else None


def test_a_new_number_of_a_run_is_one_entry(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Column("energy", "energy", "kWh", "down", 1, TRAINING, paper=6, measure=kilowatt_hours)
    monkeypatch.setitem(COLUMNS, "energy", entry)
    study = make_study(work, axes=PAIRED)
    metrics = random_metrics(study)
    for run in study.runs:
        fake_run(run, metrics[run.name], lines=[{"epoch": epoch, "joules": 3.6e6 * (run.trial + 1)} for epoch in (0, 1)])
    study_tables(study, dict.fromkeys(study.runs, NO_COSTS)).write(work / "out")
    tables = StudyTables.read(work / "out", "tiny")

    assert values(tables, "energy") == {run.name: 2.0 * (run.trial + 1) for run in study.runs}
    rows = tables.runs[tables.runs["metric"] == "energy"]
    assert set(zip(rows["unit"], rows["better"], rows["main"], strict=True)) == {("kWh", "down", False)}
    assert (row_of(tables, SPARSE)["energy_mean"], row_of(tables, SPARSE)["energy_std"]) == (4.0, 2.0)

    paper = paper_table(tables)
    assert paper.columns[-1] == ("", "energy (kWh)")
    assert {cells[-1].text for section in paper.sections for cells in section.rows} == {"4.0 ± 2.0"}
    (whole,) = full_tables(tables, per_block=None)
    (training,) = [section for section in whole.sections if section.title == TRAINING]
    assert ["energy (kWh)", "4.0 ± 2.0"] in [[cell.text for cell in cells[:2]] for cells in training.rows]
    page = html_page(tables, work, [], ReportInfo([], {}, {}, "", "2026-01-02"))
    assert "energy (kWh)" in page and "4.0 ± 2.0" in page


def test_a_run_without_the_number_has_an_empty_cell(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COLUMNS, "energy", Column("energy", "energy", "kWh", measure=kilowatt_hours))
    study = make_study(work, axes=PAIRED)
    for run in study.runs:
        fake_run(run, random_metrics(study)[run.name], lines=[{"epoch": 0, "joules": 1.0}] if run.trial else [{"epoch": 0}])
    tables = study_tables(study, dict.fromkeys(study.runs, NO_COSTS))
    assert set(values(tables, "energy")) == {run.name for run in study.runs if run.trial}
    assert tables.summary["energy_mean"].isna().all()


def test_a_metric_is_looked_up_by_its_task_and_its_name() -> None:
    columns = task_columns(["depth_euclidean", "edge_texture", "a_task_of_nobody"])
    assert list(columns) == [(task, metric) for task in ("depth_euclidean", "edge_texture") for metric in metrics_of(task)]
    assert columns["depth_euclidean", "abs_err"].heading == "absolute error ↓"
    assert columns["depth_euclidean", "abs_err"].main and not columns["depth_euclidean", "rmse"].main
    metres = task_column("depth_euclidean", "abs_err", metres=True)
    assert (metres.heading, metres.axis_label(), metres.axis_label(brief=True)) == (
        "absolute error (m) ↓",
        "absolute error in m (↓ better)",
        "absolute error in m ↓",
    )
    with pytest.raises(KeyError):
        task_column("depth_euclidean", "mIoU")


def test_no_two_columns_have_the_same_name() -> None:
    assert all(name == column.name for name, column in COLUMNS.items())
    assert len(run_columns(TASKS)) == len(task_columns(TASKS)) + len(COLUMNS)


def test_a_name_without_an_entry_is_its_words() -> None:
    assert column_of("delta_MTL").heading == "Δ_MTL (%) ↑"
    assert column_of("compact_Mparameters").heading == "parameters (M)"
    assert column_of("a_new_one").heading == "a new one"
