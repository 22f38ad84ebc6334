"""The tables of a study as text: their numbers, their names, and what Markdown and LaTeX make of odd characters."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.study_tables import NYU, Setting, bare_study, celeba_study, lambda_study, make_study, small_study
from utils.study.tables import StudyTables, empty
from utils.study.text import (
    NOTHING,
    Section,
    TextTable,
    comparison_table,
    fixed,
    full_tables,
    interval,
    kind_label,
    latex,
    latex_text,
    markdown,
    markdown_text,
    metric_label,
    paper_table,
    setting_label,
    short_number,
    verdict,
)

STUDIES = {"small": small_study, "lambdas": lambda_study, "celeba": celeba_study, "bare": bare_study}
ODD = "a_b & 50 % <script> | {x} $y$ #1"
MTL = "+".join(NYU)


def row(**values: object) -> dict[str, object]:
    dense = {"tasks": MTL, "sparse": False, "penalty": "", "lambda": np.nan, "target_sparsity": np.nan, "variant": ""}
    return {**dense, **values}


def odd_study() -> StudyTables:
    return make_study("odd_&", [Setting(NYU, 2), Setting(NYU, 2, "l1_l2", target=0.7, variant=ODD)])


def texts(table: TextTable, section: str, name: str) -> dict[str, str]:
    """Cells of a row by the second line of their headings."""
    (found,) = [one for one in table.sections if one.title == section]
    (cells,) = [cells for cells in found.rows if cells[0].text == name]
    return {" ".join(filter(None, head)): cell.text for head, cell in zip(table.columns, cells, strict=True)}


def numbers(text: str) -> list[float]:
    return [float(part.replace("−", "-")) for part in re.findall(r"[+−]?\d+(?:\.\d+)?", text)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "Semantic segmentation + depth + surface normals, dense"),
        ({"tasks": "class_male", "variant": "augmented"}, "Male, dense, variant augmented"),
        ({"tasks": "", "variant": np.nan}, ", dense"),
        (
            {"tasks": "depth_euclidean", "sparse": True, "penalty": "l1_l2", "target_sparsity": 0.7},
            "Depth, group lasso, target 70 %",
        ),
        (
            {"tasks": "my_task", "sparse": "True", "penalty": "group_mcp", "lambda": 1.5e-4, "variant": "x  y\n"},
            "my task, group MCP, λ = 1.5e-4, variant x y",
        ),
    ],
)
def test_a_setting_is_called_after_its_columns(values: dict[str, object], expected: str) -> None:
    assert setting_label(row(**values)) == expected


def test_no_two_settings_of_a_study_have_the_same_label() -> None:
    for study in STUDIES.values():
        labels = [setting_label(one) for one in study().summary.to_dict("records")]
        assert len(set(labels)) == len(labels)


def test_a_metric_belongs_to_the_longest_task_that_it_begins_with() -> None:
    tasks = ["class_Male", "class_Male_Big", "depth_euclidean"]
    assert metric_label("class_Male_Big_accuracy", tasks) == ("class Male Big", "accuracy")
    assert metric_label("depth_euclidean_abs_err", tasks) == ("Depth", "absolute error")
    assert metric_label("delta_MTL", tasks) == ("", "Δ_MTL (%)")
    assert metric_label("a_new_one", tasks) == ("", "a new one")


def test_numbers_have_true_signs() -> None:
    assert [fixed(value, 2, signed=True) for value in (0.5, -0.5, -0.001, 0.0)] == ["+0.50", "−0.50", "0.00", "0.00"]
    assert [short_number(value) for value in (1e-6, 1.5e-4, 0.05, 70.0, 0.0)] == ["1e-6", "1.5e-4", "0.05", "70", "0"]
    assert interval(-0.3, 1.25) == "[−0.30, +1.25]"
    assert interval(float("nan"), 1.0) == NOTHING


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_the_papers_table_has_the_numbers_of_the_summary(study) -> None:
    tables = study()
    table = paper_table(tables)
    sections = {section.title: section for section in table.sections}
    main = {"Semantic segmentation mIoU ↑": "segmentsemantic_mIoU", "Depth absolute error ↓": "depth_euclidean_abs_err"}
    main |= {"Δ_MTL (%) ↑": "delta_MTL", "group sparsity (%)": "group_sparsity", "GMACs": "GMACs", "latency (ms)": "latency_ms"}
    digits = {"Δ_MTL (%) ↑": 2, "group sparsity (%)": 2, "GMACs": 3, "latency (ms)": 1}
    assert sum(len(section.rows) for section in sections.values()) == len(tables.summary)
    for values in tables.summary.to_dict("records"):
        cells = texts(table, setting_label(values).removesuffix(f", {kind_label(values)}"), kind_label(values))
        assert cells["n"] == str(values["num_trials"])
        for head, metric in main.items():
            mean, std = (values.get(f"{metric}_{end}", np.nan) for end in ("mean", "std"))
            if head not in cells or np.isnan(mean):
                assert cells.get(head, NOTHING) == NOTHING
                continue
            places = digits.get(head, 4)
            found = numbers(cells[head])
            assert found[0] == pytest.approx(mean, abs=0.5001 * 10**-places)
            if len(found) == 1:
                assert np.isnan(std) or std < 0.5 * 10**-places
            else:
                assert found[1] == pytest.approx(std, abs=0.5001 * 10**-places)
        if "95 % interval" in cells and not np.isnan(values["delta_MTL_low"]):
            assert numbers(cells["95 % interval"]) == pytest.approx(
                [values["delta_MTL_low"], values["delta_MTL_high"]], abs=0.00501
            )


def test_the_best_of_the_same_tasks_is_bold_and_a_lower_error_is_better() -> None:
    table = paper_table(small_study())
    summary = small_study().summary.query("tasks == @MTL")
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
    (whole,) = full_tables(study(), per_block=None)
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
    found = [(tables := make_study("x", settings)).summary.to_dict("records")[0] for settings in studies]
    assert [verdict(one, make_study("x", of).summary) for one, of in zip(found, studies, strict=True)] == [
        "no dense setting of the same tasks",
        "no Δ_MTL to compare",
        "one trial: no interval",
    ]
    assert tables.name == "x"
    none = pd.DataFrame([row(difference_n=0, claim=np.nan)]).iloc[0].to_dict()
    assert verdict(none, pd.DataFrame([row()])) == "no pair of trials with Δ_MTL"


def test_a_comparison_names_the_dense_twin_where_there_are_variants() -> None:
    tables = odd_study()
    summary = tables.summary.assign(twin=["", tables.settings[0]], difference_n=[np.nan, 2])
    table = comparison_table(replace(tables, summary=summary))
    assert table.sections[0].rows[0][0].text.endswith(", against dense")


def test_what_is_missing_is_said_in_words() -> None:
    notes = " ".join(paper_table(bare_study()).notes)
    assert "Δ_MTL is not there" in notes and "Depth" in notes and "trained once" in notes
    assert "latency" not in notes
    without = bare_study().summary.drop(columns=["latency_ms_mean", "latency_ms_std"])
    assert "No latency was measured." in paper_table(replace(bare_study(), summary=without)).notes
    assert comparison_table(bare_study()).notes == ["The study has no finished sparse setting: there is nothing to compare."]
    nothing = StudyTables("none", empty("runs"), empty("summary"))
    for table in (paper_table(nothing), comparison_table(nothing)):
        assert table.notes and not table.sections
    assert full_tables(nothing) == []


def test_what_delta_is_measured_against_is_said() -> None:
    summary = small_study().summary.assign(baseline=[*[""] * 3, *["the mean of 1 seed"] * 6])
    assert any(
        "the mean of 1 seed (6 of 6 settings)" in note for note in paper_table(replace(small_study(), summary=summary)).notes
    )


@pytest.mark.parametrize("study", [*STUDIES.values(), odd_study], ids=[*STUDIES, "odd"])
def test_markdown_tables_are_whole_and_aligned(study) -> None:
    for table in (paper_table(study()), comparison_table(study()), *full_tables(study())):
        lines = [line for line in markdown(table).splitlines() if line.startswith("|")]
        assert len({len(line) for line in lines}) <= 1
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} <= {len(table.columns) + 1}
        assert len(lines) == (2 + sum(len(one.rows) + bool(one.title) for one in table.sections)) * bool(table.sections)


@pytest.mark.parametrize("study", [*STUDIES.values(), odd_study], ids=[*STUDIES, "odd"])
def test_latex_tables_are_balanced(study) -> None:
    for table in (paper_table(study()), comparison_table(study()), *full_tables(study())):
        text = latex(table, study().name)
        bare = re.sub(r"\\[{}$&#%_]", "", text)
        assert bare.count("{") == bare.count("}")
        assert bare.count("$") % 2 == 0
        assert re.findall(r"\\begin\{(\w+)\}", text) == re.findall(r"\\end\{(\w+)\}", text)[::-1]
        assert [text.count(f"\\{rule}") for rule in ("toprule", "midrule", "bottomrule", "caption{", "label{")] == [1] * 5
        body = bare[bare.index("\\toprule") : bare.index("\\bottomrule")]
        for line in (line for line in body.splitlines() if line.endswith("\\\\")):
            more = sum(int(span) - 1 for span in re.findall(r"\\multicolumn\{(\d+)\}", line))
            assert line.count("&") + 1 + more == len(table.columns), line
        assert text.isascii()


def test_odd_names_are_text_in_markdown_and_latex() -> None:
    assert markdown_text(ODD) == r"a\_b &amp; 50 % &lt;script&gt; \| {x} \$y\$ \#1"
    assert latex_text(ODD) == r"a\_b \& 50 \% $<$script$>$ $|$ \{x\} \$y\$ \#1"
    assert (
        latex_text("\\x^~ λ ± − ↑ “é” 中 ő")
        == r"\textbackslash{}x\textasciicircum{}\textasciitilde{} $\lambda$ $\pm$ $-$ $\uparrow$ ``é'' ? o"
    )
    assert markdown_text("[a](b) [1, 2]") == r"[a\](b) [1, 2]"
    assert markdown_text(ODD) in markdown(paper_table(odd_study()))
    assert latex_text(ODD) in latex(paper_table(odd_study()), "odd")


def test_a_row_that_begins_with_a_bracket_is_no_option_of_the_row_before() -> None:
    table = paper_table(bare_study())
    cells = table.sections[0].rows[0]
    first = replace(cells[0], text="[x] *")
    assert "\n{}[x] * & 1 &" in latex(replace(table, sections=[Section("", [[first, *cells[1:]]])]), "bare")


def test_nan_is_no_number_in_a_table() -> None:
    summary = small_study().summary.assign(segmentsemantic_mIoU_mean=np.nan, segmentsemantic_mIoU_std=np.nan)
    text = markdown(paper_table(replace(small_study(), summary=summary)))
    assert "nan" not in text.lower().replace("nano", "") and "mIoU" not in text


def test_tables_that_were_written_and_read_give_the_same_text(tmp_path) -> None:
    for study in (lambda_study(), odd_study()):
        study.write(tmp_path)
        again = StudyTables.read(tmp_path, study.name)
        for make in (paper_table, comparison_table):
            assert markdown(make(again)) == markdown(make(study))
