"""The answer of a study: what holds, by how much, at what cost, and what to do next."""

from dataclasses import replace

import pytest

from study.answer import MOST_STEPS, answer, findings
from study.tables import StudyTables, empty
from tests.study_tables import NYU, Setting, bare_study, lambda_study, make_study, small_study

ALL = {"claim": "holds", "difference_mean": 0.25, "difference_low": -0.5, "difference_high": 1.0, "no_claim": ""}


def judged(**values: object) -> StudyTables:
    """A study of one sparse setting of three tasks, at 70 %, with these values of its comparison."""
    tables = make_study("one", [*(Setting((task,), 3) for task in NYU), Setting(NYU, 3), Setting(NYU, 3, "l1_l2", target=0.7)])
    summary = tables.summary.copy()
    for name, value in {**ALL, **values}.items():
        summary[name] = summary[name].astype(object)
        summary.loc[summary["sparse"], name] = value
    return replace(tables, summary=summary)


def test_the_lead_says_what_holds_by_how_much_and_at_what_cost() -> None:
    tables = judged(compact_GMACs_mean=0.25, dense_GMACs_mean=1.0, compact_Mparameters_mean=5.0, dense_Mparameters_mean=20.0)
    lead = answer(tables).lead
    assert lead.startswith("Yes, up to the margin of 1 percentage point: with 70.")
    assert (
        "“Semantic segmentation + depth + surface normals, group lasso, target 70 %” is not worse than its dense twin" in lead
    )
    assert "differs by +0.25 percentage points (n = 3 paired trials, 95 % interval −0.50 to +1.00)" in lead
    assert "0.250 instead of 1.000 GMACs (25 %), 5.00 instead of 20.00 M parameters (25 %) and " in lead
    twin = tables.summary[~tables.summary["sparse"] & (tables.summary["setup"] == "multitask")].iloc[0]
    assert f"instead of {twin['compact_latency_ms_mean']:.1f} ms per image" in lead


@pytest.mark.parametrize(
    ("claim", "mean", "lead", "step"),
    [
        ("holds", 0.25, "Yes, up to", "compact_model.py makes its small network"),
        ("holds", 0.25, "Yes, up to", "Try a stronger target: even "),
        ("undecided", -0.5, "Undecided: ", "Train more seeds: about 9 trials would decide"),
        ("undecided", -1.0, "Undecided: ", "30 trials would not decide them"),
        ("fails", -3.0, "No: ", "Try a weaker target"),
    ],
)
def test_each_verdict_has_a_next_step(claim: str, mean: float, lead: str, step: str) -> None:
    said = answer(judged(claim=claim, difference_mean=mean, difference_std=0.6))
    assert said.lead.startswith(lead)
    assert any(step in text for text in said.steps), said.steps
    assert said.counts == ""


@pytest.mark.parametrize(
    ("reason", "step"),
    [
        ("one trial: no interval", "Train 1 sparse setting with more seeds: trials: 3"),
        ("twin missing", "Finish the dense twin of 1 sparse setting"),
        ("single-task baseline missing", "Finish the single-task networks"),
        ("no dense twin is planned", "group_sparsity: [false, true]"),
        ("no single-task baseline is planned", "tasks: singles"),
        ("not sparse: no group is zero", "Use a stronger penalty"),
    ],
)
def test_without_a_verdict_the_reason_says_what_to_do(reason: str, step: str) -> None:
    said = answer(judged(claim="", no_claim=reason))
    assert said.lead.startswith("Not decided: no sparse setting")
    (text,) = said.steps
    assert step in text


def test_of_many_the_cheapest_of_most_tasks_that_holds_is_told() -> None:
    tables = lambda_study()
    holding = [result for result in findings(tables) if result.claim == "holds" and len(result.row["tasks"]) == 3]
    cheapest = min(holding, key=lambda result: result.row["compact_GMACs_mean"])
    said = answer(tables)
    assert cheapest.setting in said.lead
    assert said.counts.startswith(f"Of {len(findings(tables))} sparse settings with an interval, ")
    assert 0 < len(said.steps) <= MOST_STEPS
    assert cheapest.row["setting"] in said.steps[0]


def test_studies_without_what_is_compared() -> None:
    assert answer(StudyTables("none", empty("runs"), empty("summary"))).lead.startswith("No run of this study has finished")
    assert "no finished sparse setting" in answer(bare_study()).lead
    assert any("Add a sparse setting" in step for step in answer(bare_study()).steps)
    assert any("trials: 3" in step for step in answer(small_study()).steps)
