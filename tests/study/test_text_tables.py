"""The tables of a study as text: the numbers of its summary, what is compared, and what is missing."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from study.labels import NOTHING, kind_label, setting_label, tasks_label
from study.tables import StudyTables, empty
from study.text_tables import TextTable, comparison_table, full_tables, methods_table, paper_table, verdict
from tests.study.sample_studies import STUDIES, odd_study, summary_row
from tests.study_tables import NYU, Setting, bare_study, celeba_study, lambda_study, make_study, small_study


def texts(table: TextTable, section: str, name: str) -> dict[str, str]:
    """Cells of a row by the second line of their headings."""
    (part,) = [part for part in table.sections if part.title == section]
    (cells,) = [cells for cells in part.rows if cells[0].text == name]
    return {" ".join(filter(None, head)): cell.text for head, cell in zip(table.columns, cells, strict=True)}


def numbers(text: str) -> list[float]:
    return [float(part.replace("−", "-")) for part in re.findall(r"[+−]?\d+(?:\.\d+)?", text)]


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_the_papers_table_has_the_numbers_of_the_summary(study) -> None:
    tables = study()
    table = paper_table(tables)
    sections = {section.title: section for section in table.sections}
    main = {"Semantic segmentation mIoU ↑": "segmentsemantic_mIoU", "Depth absolute error ↓": "depth_euclidean_abs_err"}
    main |= {"Δ_MTL (%) ↑": "delta_MTL", "group sparsity (%)": "group_sparsity", "GMACs": "compact_GMACs"}
    main |= {"latency (ms)": "compact_latency_ms"}
    digits = {"Δ_MTL (%) ↑": 2, "group sparsity (%)": 2, "GMACs": 3, "latency (ms)": 1}
    assert sum(len(section.rows) for section in sections.values()) == len(tables.summary)
    for values in tables.summary.to_dict("records"):
        cells = texts(table, setting_label(tables, values).removesuffix(f", {kind_label(values)}"), kind_label(values))
        assert cells["n"] == str(values["num_trials"])
        for head, metric in main.items():
            mean, std = (values.get(f"{metric}_{end}", np.nan) for end in ("mean", "std"))
            if head not in cells or np.isnan(mean):
                assert cells.get(head, NOTHING) == NOTHING
                continue
            places = digits.get(head, 4)
            shown = numbers(cells[head])
            assert shown[0] == pytest.approx(mean, abs=0.5001 * 10**-places)
            if len(shown) == 1:
                assert np.isnan(std) or std < 0.5 * 10**-places
            else:
                assert shown[1] == pytest.approx(std, abs=0.5001 * 10**-places)
        if "95 % interval" in cells and not np.isnan(values["delta_MTL_low"]):
            assert numbers(cells["95 % interval"]) == pytest.approx(
                [values["delta_MTL_low"], values["delta_MTL_high"]], abs=0.00501
            )


def test_the_best_of_the_same_tasks_is_bold_and_a_lower_error_is_better() -> None:
    table = paper_table(small_study())
    summary = small_study().summary
    summary = summary[summary["tasks"] == NYU]
    heads = [" ".join(filter(None, head)) for head in table.columns]
    best = {
        head: [cells[0].text for section in table.sections for cells in section.rows if cells[index].best]
        for index, head in enumerate(heads)
    }
    for head, metric, wins in (
        ("Semantic segmentation mIoU ↑", "segmentsemantic_mIoU", "idxmax"),
        ("Depth absolute error ↓", "depth_euclidean_abs_err", "idxmin"),
        ("Δ_MTL (%) ↑", "delta_MTL", "idxmax"),
    ):
        winner = summary.loc[getattr(summary[f"{metric}_mean"], wins)()]
        assert best[head] == [kind_label(winner)]
    # a network that is alone with its tasks wins nothing, and costs are no contest
    assert not any(best[head] for head in ("n", "95 % interval", "GMACs", "latency (ms)", "group sparsity (%)"))


def test_dense_settings_come_first_of_their_tasks() -> None:
    study = make_study("x", [Setting(NYU, 1, "l1_l2", target=0.5), Setting(NYU[:1], 1), Setting(NYU, 1)])
    table = paper_table(study)
    assert [[cells[0].text for cells in section.rows] for section in table.sections] == [
        ["dense", "group lasso, target 50 %"],
        ["dense"],
    ]


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_every_metric_of_every_setting_is_in_the_full_tables(study) -> None:
    summary = study().summary
    blocks = full_tables(study())
    assert all(len(block.columns) <= 7 for block in blocks)
    assert sum(len(block.columns) - 1 for block in blocks) == len(summary)
    parts = full_tables(study(), per_block=None)
    assert len(parts) == (len(set(summary["tasks"])) if len(summary) > 12 else 1)
    whole = parts[0]
    if len(parts) > 1:
        assert [part.columns[1][0] for part in parts] == list(
            dict.fromkeys(tasks_label(study(), tasks) for tasks in summary["tasks"])
        )
        assert [len(part.heads) for part in parts] == [2] * len(parts)
        return
    means = [name for name in summary if name.endswith("_mean") and name != "difference_mean"]
    rows = [cells for section in whole.sections for cells in section.rows]
    # beside the metrics: trials, and the interval of Δ_MTL
    assert len(rows) == len(means) + 1 + ("delta_MTL_low" in summary)
    filled = sum(cell.text != NOTHING for cells in rows for cell in cells[1:])
    expected = summary[means].notna().to_numpy().sum() + len(summary)
    assert filled == expected + (summary["delta_MTL_low"].notna().sum() if "delta_MTL_low" in summary else 0)


def test_the_comparison_says_what_the_summary_claims() -> None:
    tables = celeba_study()
    table = comparison_table(tables)
    (section,) = table.sections
    for values in tables.summary.query("sparse").to_dict("records"):
        cells = texts(table, section.title, kind_label(values))
        assert cells["claim"] == values["claim"] != ""
        assert numbers(cells["difference of Δ_MTL (points)"]) == pytest.approx(
            [values["difference_mean"], values["difference_std"]], abs=0.00501
        )
        assert numbers(cells["95 % interval"]) == pytest.approx(
            [values["difference_low"], values["difference_high"]], abs=0.00501
        )
        assert (cells["n"], cells["margin"]) == ("2", "1.00")


def test_why_there_is_no_claim_is_said() -> None:
    sparse = Setting(NYU, 1, "l1_l2", target=0.7)
    studies = [[sparse], [sparse, Setting(NYU, 1)], [sparse, Setting(NYU, 1), *(Setting((task,), 1) for task in NYU)]]
    rows = [make_study("x", settings).summary.to_dict("records")[0] for settings in studies]
    assert list(map(verdict, rows)) == [
        "no dense twin is planned",
        "no single-task baseline is planned",
        "one trial: no interval",
    ]
    undefined = summary_row(difference_n=3, difference_mean=np.nan, claim=np.nan, no_claim="Δ_MTL is undefined")
    assert verdict(undefined) == "Δ_MTL is undefined"


def test_a_comparison_names_the_dense_twin_where_there_are_variants() -> None:
    tables = odd_study()
    summary = tables.summary.assign(twin=["", tables.settings[0]], difference_n=[np.nan, 2])
    table = comparison_table(replace(tables, summary=summary))
    assert table.sections[0].rows[0][0].text.endswith(", against dense")


def test_what_is_missing_is_said_in_words() -> None:
    notes = " ".join(paper_table(bare_study()).notes)
    assert "Δ_MTL is not there for settings of Semantic segmentation + depth" in notes and "trained once" in notes
    assert "latency" not in notes
    without = bare_study().summary.drop(columns=["compact_latency_ms_mean", "compact_latency_ms_std"])
    assert "No latency was measured." in paper_table(replace(bare_study(), summary=without)).notes
    assert comparison_table(bare_study()).notes == ["The study has no finished sparse setting: there is nothing to compare."]
    nothing = StudyTables("none", empty("runs"), empty("summary"))
    for table in (paper_table(nothing), comparison_table(nothing)):
        assert table.notes and not table.sections
    assert full_tables(nothing) == []


def test_settings_without_a_defined_delta_are_counted_and_compared_with_nothing() -> None:
    study = small_study()
    whole, all_metrics = "delta_MTL_mean", "delta_MTL_all_metrics_mean"
    last = study.summary.index[-1]
    summary = study.summary.assign(baseline=[*[""] * 3, *["the mean of 1 seed"] * 6], **{all_metrics: study.summary[whole]})

    def notes(frame: pd.DataFrame) -> list[str]:
        return [note for note in paper_table(replace(study, summary=frame)).notes if "Δ_MTL" in note]

    compares = "The dense networks of one task that Δ_MTL compares with: the mean of 1 seed (6 of 6 settings)."
    assert notes(summary) == [compares]
    undefined = "it is undefined where a metric of the baseline is not above 0."
    without = summary.copy()
    without.loc[last, all_metrics] = np.nan
    assert notes(without) == [f"Δ_MTL over all metrics is not there for some settings: {undefined}", compares]
    without.loc[last, whole] = np.nan
    fewer = compares.replace("6 of 6", "5 of 5")
    assert notes(without) == [f"Δ_MTL is not there for 1 of 6 settings: {undefined}", fewer]


def test_nan_is_no_number_in_a_table() -> None:
    summary = small_study().summary.assign(segmentsemantic_mIoU_mean=np.nan, segmentsemantic_mIoU_std=np.nan)
    text = str(paper_table(replace(small_study(), summary=summary)))
    assert "nan" not in text.lower().replace("nano", "") and "mIoU" not in text


def test_tables_that_were_written_and_read_give_the_same_text(tmp_path) -> None:
    for study in (lambda_study(), odd_study()):
        study.write(tmp_path)
        again = StudyTables.read(tmp_path, study.name)
        for make in (paper_table, comparison_table):
            assert make(again) == make(study)


def test_methods_stand_side_by_side_at_the_same_strength() -> None:
    dense = [Setting(("depth_euclidean",), 2), Setting(("surface_normal",), 2), Setting(NYU[1:], 2)]
    sparse = [Setting(NYU[1:], 2, penalty, target=0.7) for penalty in ("l1_l2", "group_mcp")]
    variant = Setting(NYU[1:], 2, "l1_l2", target=0.7, variant="plain")
    alone = [
        Setting(NYU[1:], 2, "l1_l2", target=0.9),
        Setting(NYU[1:], 2, "group_mcp", 1e-4),
        Setting(NYU[1:], 2, "l1_l2", 1e-4),
    ]
    tables = make_study("methods", [*dense, *sparse, variant, *alone])
    table = methods_table(tables)
    (section,) = table.sections
    assert section.title == "Depth + surface normals"
    assert [cells[0].text for cells in section.rows] == [
        *("one dense network per task", "dense"),
        *("target 70 %, group lasso", "target 70 %, group MCP", "target 70 %, group lasso, variant plain"),
    ]
    means = tables.summary.set_index("setting")
    row = texts(table, section.title, "one dense network per task")
    assert row["GMACs"] == f"{means.loc[['depth_dense', 'sn_dense'], 'compact_GMACs_mean'].sum():.3f}"
    assert row["Depth absolute error ↓"].startswith(f"{means.loc['depth_dense', 'depth_euclidean_abs_err_mean']:.4f}")
    assert row["Surface normals mean cosine ↑"].startswith(f"{means.loc['sn_dense', 'surface_normal_mean_cosine_mean']:.4f}")
    assert row["Δ_MTL (%) ↑"] == row["claim"] == NOTHING
    own = texts(table, section.title, "target 70 %, group MCP")
    assert own["claim"] == verdict(means.loc["depth_sn_group_mcp_target0.7"].to_dict())
    bold = [[cell.best for cell in cells] for cells in section.rows]
    assert not any(map(any, bold[:2]))
    assert [sum(column) for column in zip(*bold[2:], strict=True)][2:4] == [1, 1]


def test_without_two_methods_at_one_strength_nothing_is_put_side_by_side() -> None:
    assert methods_table(small_study()).sections == []
    # the same lambda means something else for each penalty
    assert methods_table(lambda_study()).sections == []
