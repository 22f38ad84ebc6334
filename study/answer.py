"""The answer of a study in plain words: what holds, by how much, at what cost, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from study.labels import is_missing, setting_label, value_text
from study.statistics import trials_to_decide
from study.tables import StudyTables
from study.text_tables import pairs_text, verdict
from utils.numbers import counted, fixed, percent

CLAIMS = ("holds", "fails", "undecided")

MOST_STEPS = 3
_MOST_TRIALS = 30
"""Trials beyond which more of them are no advice."""

_COSTS = (
    ("compact_GMACs", "dense_GMACs", "GMACs", 3),
    ("compact_Mparameters", "dense_Mparameters", "M parameters", 2),
    ("compact_latency_ms", "compact_latency_ms", "ms per image on the CPU", 1),
)
"""Per cost: its column, that of the dense network, words behind the number, and digits."""


@dataclass(frozen=True)
class Finding:
    """Result of the comparison of a sparse setting with its dense twin."""

    claim: str
    """``holds``, ``fails`` or ``undecided``."""
    setting: str
    pairs: str
    """Number of compared pairs of trials."""
    sparsity: float
    """Percentage of zero groups, or NaN."""
    mean: float
    low: float
    high: float
    margin: float
    row: Mapping[str, Any]
    """Its row of the summary."""

    @property
    def at(self) -> str:
        """Write what it has given up: ``with 70.0 % of the groups at zero, ``; empty where nobody knows."""
        return "" if math.isnan(self.sparsity) else f"with {percent(self.sparsity)} of the groups at zero, "

    @property
    def numbers(self) -> str:
        """Write the difference with its interval."""
        mean, low, high = (fixed(value, 2, signed=True) for value in (self.mean, self.low, self.high))
        return f"{mean} percentage points (n = {self.pairs} paired trials, 95 % interval {low} to {high})"


@dataclass(frozen=True)
class Answer:
    """Answer to the question of a study, for a reader of one paragraph."""

    lead: str
    counts: str
    """How many settings are judged how; empty for fewer than two."""
    steps: Sequence[str]
    """What to do next, the most useful first."""


def findings(tables: StudyTables) -> list[Finding]:
    """Return the result of each sparse setting that has an interval."""
    results = []
    for row in tables.rows:
        claim = verdict(row)
        if row["sparse"] and claim in CLAIMS:
            sparsity = float(row.get("group_sparsity_mean", math.nan))
            mean, low, high = (float(row[f"difference_{name}"]) for name in ("mean", "low", "high"))
            margin = float(row["margin"])
            results.append(Finding(claim, setting_label(tables, row), pairs_text(row), sparsity, mean, low, high, margin, row))
    return results


def answer(tables: StudyTables) -> Answer:
    """Answer whether the sparse networks of a study are as good as the dense ones."""
    results = findings(tables)
    if not tables.rows:
        lead = "No run of this study has finished: there is nothing to say yet."
    elif not any(row["sparse"] for row in tables.rows):
        lead = "This study has no finished sparse setting: there is nothing to compare with a dense network."
    elif not results:
        lead = "Not decided: no sparse setting has an interval of its difference from the dense one yet."
    else:
        lead = _sentence(_told(results), tables)
    return Answer(lead, _counts(results) if len(results) > 1 else "", _steps(tables, results)[:MOST_STEPS])


def _told(results: Sequence[Finding]) -> Finding:
    """Choose the setting to tell of: of most tasks, and of these one that holds at the least cost, else the closest one."""
    results = _of_most_tasks(results)
    claims = {result.claim for result in results}
    claim = next(claim for claim in ("holds", "undecided", "fails") if claim in claims)
    chosen = [result for result in results if result.claim == claim]
    return min(chosen, key=_expense) if claim == "holds" else max(chosen, key=lambda result: result.mean)


def _of_most_tasks(results: Sequence[Finding]) -> list[Finding]:
    most = max(len(result.row["tasks"]) for result in results)
    return [result for result in results if len(result.row["tasks"]) == most]


def _expense(result: Finding) -> tuple[float, float]:
    gmacs = result.row.get("compact_GMACs_mean")
    return (math.inf if is_missing(gmacs) else float(gmacs or 0), -result.sparsity)


def _sentence(told: Finding, tables: StudyTables) -> str:
    """Tell of one setting: the verdict, the difference, and the cost."""
    margin = f"{told.margin:g} percentage point{'' if told.margin == 1 else 's'}"
    verdicts = {
        "holds": f"Yes, up to the margin of {margin}: {told.at}“{told.setting}” is not worse than its dense twin by more",
        "undecided": f"Undecided: {told.at}“{told.setting}” may or may not be worse than its dense twin by more than {margin}",
        "fails": f"No: {told.at}“{told.setting}” is worse than its dense twin by more than {margin}",
    }
    cost = _cost(told.row, tables)
    return f"{verdicts[told.claim]}. Its Δ_MTL differs by {told.numbers}.{f' It needs {cost}.' if cost else ''}"


def _cost(row: Mapping[str, Any], tables: StudyTables) -> str:
    """Write what a compacted network needs, and the dense one in its place."""
    twin = next((other for other in tables.rows if other["setting"] == value_text(row.get("twin"))), {})
    parts = []
    for name, dense_name, words, decimals in _COSTS:
        cells = row.get(f"{name}_mean"), (twin if dense_name == name else row).get(f"{dense_name}_mean")
        if not any(map(is_missing, cells)):
            ours, dense = (float(cell or 0) for cell in cells)
            share = f" ({percent(ours, dense, decimals=0)})" if dense > 0 else ""
            parts.append(f"{fixed(ours, decimals)} instead of {fixed(dense, decimals)} {words}{share}")
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1] if parts else ""


def _counts(results: Sequence[Finding]) -> str:
    number = {claim: sum(result.claim == claim for result in results) for claim in CLAIMS}
    are = {claim: f"{count} {'is' if count == 1 else 'are'}" for claim, count in number.items()}
    return (
        f"Of {len(results)} sparse settings with an interval, {are['holds']} shown to be not worse than dense by more than the "
        f"margin, {are['fails']} shown to be worse by more than it, and {are['undecided']} undecided."
    )


def _steps(tables: StudyTables, results: Sequence[Finding]) -> list[str]:
    steps = []
    holding = [result for result in results if result.claim == "holds"]
    if holding:
        told = _told(results)
        steps.append(f"Use {told.row['setting']}: compact_model.py makes its small network.")
        strongest = max(results, key=lambda result: (len(result.row["tasks"]), result.sparsity))
        if strongest.claim == "holds":
            steps.append(f"Try a stronger target: even “{strongest.setting}” still holds.")
    undecided = [result for result in results if result.claim == "undecided"]
    if undecided:
        steps.append(_more_trials(undecided))
    if results and not holding and not undecided:
        steps.append("Try a weaker target, another penalty or a longer training: every setting with an interval fails.")
    sparse = [row for row in tables.rows if row["sparse"]]
    reasons = [verdict(row) for row in sparse]
    for reason in (reason for reason in _REMEDIES if reason in reasons):
        steps.append(_REMEDIES[reason].format(settings=counted(reasons.count(reason), "sparse setting")))
    if not tables.rows:
        steps.append("Run the study with main_multi_trials.py, and repeat this report.")
    elif not sparse:
        steps.append("Add a sparse setting (target_sparsity: 0.7 in axes), and run the study again: finished runs stay.")
    return steps


_REMEDIES = {
    "one trial: no interval": "Train {settings} with more seeds: trials: 3 gives a first interval.",
    "twin missing": "Finish the dense twin of {settings}: main_multi_trials.py with the same file does what is missing.",
    "single-task baseline missing": "Finish the single-task networks that {settings} need: main_multi_trials.py with the same "
    "file does what is missing.",
    "no dense twin is planned": "Plan a dense twin for {settings}: group_sparsity: [false, true] in axes.",
    "no single-task baseline is planned": "Plan the single-task networks that {settings} need: an entry of axes with "
    "tasks: singles.",
    "not sparse: no group is zero": "Use a stronger penalty, or a target, for {settings}: no group is zero.",
}
"""By the reason why nothing is claimed: what to do about it."""


def _more_trials(undecided: Sequence[Finding]) -> str:
    """Advise on the setting of most tasks that the fewest trials would decide."""
    undecided = _of_most_tasks(undecided)
    needed = {
        result.setting: trials_to_decide(result.mean, float(result.row["difference_std"]), result.margin, _MOST_TRIALS)
        for result in undecided
    }
    known = {setting: trials for setting, trials in needed.items() if trials is not None}
    if not known:
        return (
            f"Choose another target or a wider margin for {counted(len(undecided), 'undecided setting')}: "
            f"{_MOST_TRIALS} trials would not decide them, if means and spreads stay as they are."
        )
    setting = min(known, key=lambda name: known[name])
    return f"Train more seeds: about {known[setting]} trials would decide “{setting}”, if its mean and spread stay as they are."
