"""The result of a study as a small table in the terminal."""

from __future__ import annotations

from study.columns import Column, words
from study.labels import NOTHING, is_missing, kind_label, mean_text, short_name, study_columns, value_text
from study.tables import StudyTables
from tasks.metric_info import ARROWS
from utils.console import show_table

MOST = 24
"""Settings that are shown; the report's page has all of them."""

_COSTS = {"group_sparsity": "zero%", "compact_GMACs": "GMACs", "compact_latency_ms": "ms"}
"""Headings of what is shown as a mean alone: zero groups, and the costs of the compact network."""


def show_summary(tables: StudyTables) -> None:
    """Print a row per setting, sparse ones below their dense twins: main metrics, Δ_MTL, costs, and the claim."""
    known = {column.name: column for column in study_columns(tables)}
    judged = [column for column in known.values() if column.main or column.name == "delta_MTL"]
    costs = [known[name] for name in _COSTS if name in known]
    order = list(dict.fromkeys(row["tasks"] for row in tables.rows))
    ordered = sorted(tables.rows, key=lambda row: (order.index(row["tasks"]), row["sparse"]))
    claims = any(row["sparse"] for row in ordered)
    rows: list[list[str]] = []
    for row, before in zip(ordered[:MOST], [None, *ordered], strict=False):
        if before is None or before["tasks"] != row["tasks"]:
            rows.append(["+".join(short_name(tables, task) for task in row["tasks"])])
        means = [row[f"{column.name}_mean"] for column in costs]
        numbers = [NOTHING if is_missing(mean) else column.number(mean) for column, mean in zip(costs, means, strict=True)]
        claim = [value_text(row.get("claim")) or (NOTHING if row["sparse"] else "")] * claims
        rows.append(
            [f" {kind_label(row)}", f"{row['num_trials']}", *(mean_text(column, row) for column in judged), *numbers, *claim]
        )
    heads = [
        "setting",
        "n",
        *(_head(tables, column) for column in judged),
        *(_COSTS[column.name] for column in costs),
        *["claim"] * claims,
    ]
    captions = [f"{len(ordered) - MOST} more settings are in the report"] * (len(ordered) > MOST)
    captions += ["mean ± standard deviation over n trials; costs are those of the compact network"]
    captions += ["claim: not worse than the dense twin by more than the margin"] * claims
    show_table(f"Study {tables.name}", heads, rows, "\n".join(captions))


def _head(tables: StudyTables, column: Column) -> str:
    if not column.main:
        return "Δ_MTL %"
    return f"{short_name(tables, column.task)} {words(column.name.removeprefix(column.task)).strip()} {ARROWS[column.better]}"
