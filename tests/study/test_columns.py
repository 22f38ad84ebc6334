"""The columns of a study's tables: one entry says all that files, tables and figures need."""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from study.collect import study_tables
from study.columns import COLUMNS, TRAINING, column_of, run_columns, task_column, task_columns
from study.page import ReportInfo, html_page
from study.tables import StudyTables
from study.text_tables import full_tables, paper_table
from tasks.metric_info import metrics_of
from tests.studies import fake_run, make_study
from tests.study.tabled import NO_COSTS, PAIRED, SPARSE, random_metrics, row_of, values
from tests.tasks.known import EVERY, NYU
from tests.test_docs import run_page


@pytest.fixture(autouse=True)
def speed(work: Path) -> Iterator[None]:
    """The column of docs/add_a_column.md is in the registry during a test."""
    with mock.patch.dict(COLUMNS):
        run_page("add_a_column.md", work)
        yield


def test_a_new_number_of_a_run_is_one_entry(work: Path) -> None:
    study = make_study(work, axes=PAIRED)
    metrics = random_metrics(study)
    for run in study.runs:
        fake_run(run, metrics[run.name], lines=[{"epoch": e, "images_per_second": e + 2.0 * run.trial} for e in (1, 2, 3)])
    study_tables(study, dict.fromkeys(study.runs, NO_COSTS)).write(work / "out")
    tables = StudyTables.read(work / "out", "tiny")

    assert values(tables, "training_speed") == {run.name: 2.0 * (run.trial + 1) for run in study.runs}
    rows = tables.runs[tables.runs["metric"] == "training_speed"]
    assert set(zip(rows["unit"], rows["better"], rows["main"], strict=True)) == {("images/s", "up", False)}
    assert (row_of(tables, SPARSE)["training_speed_mean"], row_of(tables, SPARSE)["training_speed_std"]) == (4.0, 2.0)

    paper = paper_table(tables)
    assert paper.columns[-1] == ("", "training speed (images/s)")
    assert {cells[-1].text for section in paper.sections for cells in section.rows} == {"4.0 ± 2.0"}
    (whole,) = full_tables(tables, per_block=None)
    (training,) = [section for section in whole.sections if section.title == TRAINING]
    assert ["training speed (images/s)", "4.0 ± 2.0"] in [[cell.text for cell in cells[:2]] for cells in training.rows]
    page = html_page(tables, work, [], ReportInfo([], {}, {}, "", "2026-01-02")).replace("\N{NO-BREAK SPACE}", " ")
    assert "training speed (images/s)" in page and "4.0 ± 2.0" in page


def test_a_run_without_the_number_has_an_empty_cell(work: Path) -> None:
    study = make_study(work, axes=PAIRED)
    for run in study.runs:
        recorded = {"images_per_second": 1.0} if run.trial else {}
        fake_run(run, random_metrics(study)[run.name], lines=[{"epoch": 0, **recorded}])
    tables = study_tables(study, dict.fromkeys(study.runs, NO_COSTS))
    assert set(values(tables, "training_speed")) == {run.name for run in study.runs if run.trial}
    assert tables.summary["training_speed_mean"].isna().all()


def test_a_metric_is_looked_up_by_its_task_and_its_name() -> None:
    columns = task_columns([NYU["depth_euclidean"], NYU["edge_texture"]])
    assert list(columns) == [(task, metric) for task in ("depth_euclidean", "edge_texture") for metric in metrics_of(NYU[task])]
    assert columns["depth_euclidean", "abs_err"].heading == "absolute error ↓"
    assert columns["depth_euclidean", "abs_err"].main and not columns["depth_euclidean", "rmse"].main
    metres = task_column(NYU["depth_euclidean"], "abs_err", metres=True)
    assert (metres.heading, metres.axis_label(), metres.axis_label(brief=True)) == (
        "absolute error (m) ↓",
        "absolute error in m (↓ better)",
        "absolute error in m ↓",
    )
    with pytest.raises(KeyError):
        task_column(NYU["depth_euclidean"], "mIoU")


def test_no_two_columns_have_the_same_name() -> None:
    assert all(name == column.name for name, column in COLUMNS.items())
    assert len(run_columns(EVERY.values())) == len(task_columns(EVERY.values())) + len(COLUMNS)


def test_a_name_without_an_entry_is_its_words() -> None:
    assert column_of("delta_MTL").heading == "Δ_MTL (%) ↑"
    assert column_of("compact_Mparameters").heading == "parameters (M)"
    assert column_of("a_new_one").heading == "a new one"
