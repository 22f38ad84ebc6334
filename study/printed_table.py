"""The result of a study as a small table in the terminal."""

from __future__ import annotations

from study.columns import Column
from study.labels import kind_label, mean_text, study_columns
from study.tables import StudyTables
from study.text_tables import verdict
from tasks.table import get_task, is_task
from utils.console import show_table

MOST = 24
"""Settings that are shown; the report's page has all of them."""

_SHORT = {"group_sparsity": "zero %", "compact_GMACs": "GMACs", "compact_Mparameters": "params (M)", "compact_latency_ms": "ms"}


def show_summary(tables: StudyTables) -> None:
    """Print a row per setting: main metrics, change against single tasks, sparsity and costs; sparse ones below their twins."""
    columns = [column for column in study_columns(tables) if column.main or column.paper]
    order = list(dict.fromkeys(row["tasks"] for row in tables.rows))
    ordered = sorted(tables.rows, key=lambda row: (order.index(row["tasks"]), row["sparse"]))
    rows = []
    for row in ordered[:MOST]:
        name = f"{'+'.join(map(_short, row['tasks']))}: {kind_label(row)}"
        claim = [verdict(row)] if any(other["sparse"] for other in ordered) else []
        rows.append([name, f"{row['num_trials']}", *(mean_text(column, row) for column in columns), *claim])
    heads = [
        "setting",
        "n",
        *map(_head, columns),
        *(["not worse than dense"] if rows and len(rows[0]) > len(columns) + 2 else []),
    ]
    more = f"{len(ordered) - MOST} more settings are in the report; " if len(ordered) > MOST else ""
    caption = f"{more}mean ± standard deviation over n trials; costs are those of the compact network"
    show_table(f"Study {tables.name}", heads, rows, caption, wide=20 + 11 * len(heads))


def _short(task: str) -> str:
    return get_task(task).short if is_task(task) else task


def _head(column: Column) -> str:
    if column.main:
        return f"{_short(column.task)} {column.heading}"
    return _SHORT.get(column.name, column.heading)
