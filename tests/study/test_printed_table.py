"""The table of a study in the terminal."""

import pytest

from study.labels import kind_label, mean_text, study_columns
from study.printed_table import MOST, show_summary
from study.tables import StudyTables
from tests.study.sample_studies import STUDIES
from tests.study_tables import NYU, celeba_study, lambda_study, small_study


def printed(tables: StudyTables, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int) -> list[str]:
    """Lines of the printed table."""
    monkeypatch.setenv("COLUMNS", str(width))
    show_summary(tables)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("study", [small_study, celeba_study])
def test_three_tasks_fit_80_columns_and_no_number_is_cut(
    study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = printed(study(), capsys, monkeypatch, 80)
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)


def test_sparse_settings_stand_below_their_dense_twin_with_the_reports_numbers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = small_study()
    lines = printed(tables, capsys, monkeypatch, 200)
    start = lines.index(" seg+depth+sn")
    rows = [row for row in tables.rows if row["tasks"] == NYU]
    assert [line[1:].split("   ")[0].strip() for line in lines[start + 1 :][: len(rows)]] == list(map(kind_label, rows))
    for line, row in zip(lines[start + 1 :], rows, strict=False):
        for column in study_columns(tables):
            if column.main or column.name == "delta_MTL":
                assert f" {mean_text(column, row)} " in f"{line} "
    assert lines[start + 1 + [row["target_sparsity"] for row in rows].index(0.7)].endswith("holds")


def test_a_large_study_is_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(lambda_study(), capsys, monkeypatch, 200)
    assert f"{len(lambda_study().rows) - MOST} more settings are in the report" in lines
    assert len(lines) < MOST + 20


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_every_study_can_be_shown(study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(study(), capsys, monkeypatch, 80)[0].startswith("Study ")
