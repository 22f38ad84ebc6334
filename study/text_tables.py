"""The tables of a study as plain text: what a paper prints, every metric, and sparse against dense.

They are made of the study's summary; :mod:`study.markup` and the page of :mod:`study.page` say them in their
own characters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from study.columns import HEADINGS, LATENCIES, SIZES, Column
from study.labels import (
    NOTHING,
    interval,
    is_missing,
    kind_label,
    mean_text,
    strength_label,
    study_columns,
    tasks_label,
    value_text,
)
from study.tables import StudyTables
from utils.console import listed
from utils.numbers import fixed

Tasks = tuple[str, ...]
Row = dict[str, Any]

PER_BLOCK = 6
"""Settings side by side in a table of every metric that is to fit on a sheet of paper."""
TOGETHER_UP_TO = 12
"""Settings that a reader of a page still overlooks; where there are more, tables are divided by tasks, and fold."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table."""

    text: str
    best: bool = False
    """True for the best among the settings of the same tasks."""


@dataclass(frozen=True)
class Section:
    """Rows with a heading of their own; the first cell of a row is its name."""

    title: str
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are plain text."""

    name: str
    """Part of its label and of its anchor, such as ``paper``."""
    title: str
    caption: str
    columns: Sequence[tuple[str, str]]
    """Two lines per heading; where neighbours have the same first line, they share it."""
    sections: Sequence[Section]
    notes: Sequence[str] = ()
    """Sentences about what is missing."""
    joint: str = " "
    """Text between the two lines of a heading where they must be one."""

    @property
    def heads(self) -> list[tuple[str, int]]:
        """First lines of the headings, each with the number of columns that share it."""
        heads: list[tuple[str, int]] = []
        for text, _ in self.columns:
            if heads and heads[-1][0] == text:
                heads[-1] = (text, heads[-1][1] + 1)
            else:
                heads.append((text, 1))
        return heads


def paper_table(tables: StudyTables) -> TextTable:
    """Make the table with settings as rows: trials, main metric of each task, Δ_MTL with its interval, sparsity and cost."""
    summary = tables.summary
    columns = study_columns(tables)
    shown = _paper_columns(columns)
    heads = [("", "setting"), ("", "n")]
    for column in shown:
        heads.append((column.group if column.task else "", column.heading))
        if _shows_interval(column, summary):
            heads.append(("", "95 % interval"))
    sections = []
    for tasks, rows in _by_tasks(tables):
        best = {column.name: _best(rows, column) for column in shown}
        section = []
        for row in rows:
            cells = [Cell(kind_label(row)), Cell(f"{int(row['num_trials'])}")]
            for column in shown:
                cells.append(_cell(column, row, best[column.name]))
                if _shows_interval(column, summary):
                    cells.append(Cell(_interval_of(column, row)))
            section.append(cells)
        sections.append(Section(tasks_label(tables, tasks), section))
    bold = any(cell.best for section in sections for row in section.rows for cell in row)
    sentences = [f"Study {tables.name}: {_spread(summary)}, test split."]
    if bold:
        sentences.append("Bold: the best mean among the settings of the same tasks.")
    if any(column.name == "delta_MTL" for column in columns):
        sentences.append("Δ_MTL: against dense networks of one task each.")
    if any(column.name == cost.name for column in shown for cost in (*SIZES, *LATENCIES)):
        sentences.append("Parameters, MACs and latency are of the compacted network, with its heads.")
    caption = " ".join(sentences)
    return TextTable("paper", "Results", caption, heads, sections, _missing_notes(tables, {column.name for column in columns}))


def full_tables(tables: StudyTables, per_block: int | None = PER_BLOCK) -> list[TextTable]:
    """Make tables with quantities as rows, settings as columns: ``per_block`` of them a table, or with None a table per set of
    tasks where there are more than ``TOGETHER_UP_TO`` settings, else one."""
    by_tasks = per_block is None and len(tables.summary) > TOGETHER_UP_TO
    groups_of_settings = _by_tasks(tables)
    parts = [[group] for group in groups_of_settings] if by_tasks else [groups_of_settings]
    blocks = [block for part in parts for block in _blocks(part, per_block)]
    columns = study_columns(tables)
    groups = [*dict.fromkeys(column.group for column in columns if column.task), *HEADINGS]
    result = []
    for number, block in enumerate(blocks, start=1):
        sections = [Section("", [[Cell("trials"), *(Cell(f"{int(row['num_trials'])}") for _, row in block)]])]
        for group in groups:
            rows = []
            for column in (column for column in columns if column.group == group):
                rows.append([Cell(column.heading), *(Cell(mean_text(column, row)) for _, row in block)])
                if _shows_interval(column, tables.summary):
                    rows.append([Cell(column.interval), *(Cell(_interval_of(column, row)) for _, row in block)])
            rows = [row for row in rows if any(cell.text != NOTHING for cell in row[1:])]
            if rows:
                sections.append(Section(group, rows))
        heads = [("", "metric"), *((tasks_label(tables, tasks), kind_label(row)) for tasks, row in block)]
        part = f", part {number} of {len(blocks)}" if len(blocks) > 1 else ""
        name = f"full-{number}" if len(blocks) > 1 else "full"
        caption = f"Study {tables.name}, every metric: {_spread(tables.summary)}{part}."
        result.append(TextTable(name, f"Every metric{part}", caption, heads, sections, joint=", "))
    return result


def methods_table(tables: StudyTables) -> TextTable:
    """Make the table of the methods that a study knows, side by side at the same strength.

    A section has the dense networks of the same tasks (one for each, and one for all), and then penalties and variants at the
    same target, or variants of a penalty at the same lambda. Without two sparse methods at one strength there is no section.
    """
    shown = _paper_columns(study_columns(tables))
    rows_of = {value_text(row["setting"]): row for row in tables.rows}
    sections = []
    for tasks, rows in _by_tasks(tables):
        by_strength = _by_strength(rows)
        if not by_strength:
            continue
        planned = {name for _, methods in by_strength for row in methods for name in row.get("baseline_settings", ())}
        alone = [row for name, row in rows_of.items() if name in planned and not value_text(row["variant"])]
        cells = [_singles_row(alone, shown)] if len(alone) == len(tasks) > 1 else []
        cells += [_method_row(kind_label(row), row, shown, {}) for row in rows if not row["sparse"]]
        for strength, methods in by_strength:
            best = {column.name: _best(methods, column) for column in shown}
            for row in methods:
                name = kind_label(row).replace(f", {strength}", "", 1)
                cells.append(_method_row(f"{strength}, {name}", row, shown, best))
        sections.append(Section(tasks_label(tables, tasks), cells))
    heads = [("", "method"), ("", "n"), *((column.group if column.task else "", column.heading) for column in shown)]
    caption = (
        f"Study {tables.name}, methods at the same strength: {_spread(tables.summary)}. Bold: the best of the methods at one "
        "strength. One dense network per task: the main metric of each is that of a network of its own, costs are their sums. "
        "The claim is against the dense twin."
    )
    return TextTable("methods", "Methods side by side", caption, [*heads, ("", "claim")], sections)


_SUMMED = ("compact_GMACs", "compact_Mparameters", "compact_latency_ms")
"""Costs of several networks that are run one after the other."""


def _paper_columns(columns: Sequence[Column]) -> list[Column]:
    """Return the columns of the paper's table: the main metric of each task, and what follows them."""
    followers = sorted((column for column in columns if column.paper), key=lambda column: column.paper)
    return [column for column in columns if column.main] + followers


def _by_strength(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Group sparse settings of the same tasks that aim at the same; without groups of one."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in (row for row in rows if row["sparse"]):
        # a lambda means something else for each penalty
        penalty = value_text(row["penalty"]) if not is_missing(row["lambda"]) else ""
        groups.setdefault((strength_label(row), penalty), []).append(row)
    return [(strength, group) for (strength, _), group in groups.items() if len(group) > 1]


def _method_row(name: str, row: Row, shown: Sequence[Column], best: Mapping[str, str | None]) -> list[Cell]:
    cells = [Cell(name), Cell(f"{int(row['num_trials'])}"), *(_cell(column, row, best.get(column.name)) for column in shown)]
    return [*cells, Cell(verdict(row) if row["sparse"] else NOTHING)]


def _cell(column: Column, row: Row, best: str | None) -> Cell:
    text = mean_text(column, row)
    return Cell(text, best=text != NOTHING and column.number(row[f"{column.name}_mean"]) == best)


def _singles_row(alone: Sequence[Row], shown: Sequence[Column]) -> list[Cell]:
    """Write what dense networks of one task each reach and cost together."""
    cells = [Cell("one dense network per task"), Cell("/".join(dict.fromkeys(f"{int(row['num_trials'])}" for row in alone)))]
    for column in shown:
        means = [row[f"{column.name}_mean"] for row in alone]
        if column.name in _SUMMED and not any(map(is_missing, means)):
            cells.append(Cell(column.number(sum(map(float, means)))))
        else:
            texts = [mean_text(column, row) for row in alone] if column.task else []
            cells.append(Cell(next((text for text in texts if text != NOTHING), NOTHING)))
    return [*cells, Cell(NOTHING)]


def comparison_table(tables: StudyTables) -> TextTable:
    """Make the table of sparse settings: their paired differences of Δ_MTL to the dense twins, and the claims."""
    columns = [("", name) for name in ("setting", "n", "difference of Δ_MTL (points)", "95 % interval", "margin", "claim")]
    rows_of = {value_text(row["setting"]): row for _, rows in _by_tasks(tables) for row in rows}
    sections = []
    for tasks, rows in _by_tasks(tables):
        cells = [_comparison_row(row, rows_of) for row in rows if row["sparse"]]
        if cells:
            sections.append(Section(tasks_label(tables, tasks), cells))
    caption = (
        f"Study {tables.name}, sparse against dense: differences of Δ_MTL, sparse minus dense, paired by trial; mean ± sample "
        "standard deviation, and the 95 % interval of the mean (Student's t). The claim is that the sparse network is not "
        "worse than the dense one by more than the margin: it holds where the whole interval is above minus the margin, and "
        "fails where it is wholly below."
    )
    if not sections:
        notes = ["The study has no finished sparse setting: there is nothing to compare."]
        return TextTable("comparison", "Sparse against dense", caption, columns, sections, notes)
    notes = []
    sparse = [row for _, rows in _by_tasks(tables) for row in rows if row["sparse"]]
    lonely = [row for row in sparse if value_text(row.get("no_claim")) == "twin missing"]
    if lonely:
        twins = ", ".join(dict.fromkeys(value_text(row["twin"]) for row in lonely))
        notes.append(
            f"Twin missing for {len(lonely)} of {len(sparse)} settings: no run of the same seed is finished of {twins}."
        )
    notes += [
        f"{value_text(row['setting'])} and its dense twin {value_text(row['twin'])} differ in more than the penalty: in "
        f"{', '.join(row['twin_differs_in'])}."
        for row in sparse
        if row["twin_differs_in"]
    ]
    return TextTable("comparison", "Sparse against dense", caption, columns, sections, notes)


def verdict(row: Mapping[str, Any]) -> str:
    """Return the claim about a sparse setting: holds, fails or undecided; or the reason why there is none."""
    return value_text(row.get("claim")) or value_text(row.get("no_claim"))


def _comparison_row(row: Mapping[str, Any], rows_of: Mapping[str, Mapping[str, Any]]) -> list[Cell]:
    twin = rows_of.get(value_text(row.get("twin")))
    # which dense network it is goes without saying, unless there are variants
    against = f", against {kind_label(twin)}" if twin is not None and value_text(row["variant"]) else ""
    texts = [f"{kind_label(row)}{against}", NOTHING, NOTHING, NOTHING, NOTHING, verdict(row)]
    if not is_missing(row.get("difference_n")):
        mean, std, margin = (row.get(name) for name in ("difference_mean", "difference_std", "margin"))
        texts[1] = pairs_text(row)
        if not is_missing(mean):
            texts[2] = fixed(float(mean or 0), 2, signed=True) + ("" if is_missing(std) else f" ± {fixed(float(std or 0), 2)}")
        texts[3] = interval(row.get("difference_low"), row.get("difference_high"))
        texts[4] = NOTHING if is_missing(margin) else fixed(float(margin or 0), 2)
    return [Cell(text) for text in texts]


def pairs_text(row: Mapping[str, Any]) -> str:
    """Write the number of compared pairs of trials: ``3``, or ``2 of 3`` where the study plans more."""
    number, planned = row["difference_n"], row.get("difference_planned")
    return f"{int(number)}" if is_missing(planned) or planned == number else f"{int(number)} of {int(planned or 0)}"


def _shows_interval(column: Column, summary: pd.DataFrame) -> bool:
    low = f"{column.name}_low"
    return bool(column.interval) and low in summary and bool(summary[low].notna().any())


def _interval_of(column: Column, row: Mapping[str, Any]) -> str:
    return interval(row[f"{column.name}_low"], row[f"{column.name}_high"], column.decimals or 0)


def _blocks(groups: Sequence[tuple[Tasks, Sequence[Row]]], size: int | None) -> list[list[tuple[Tasks, Row]]]:
    """Split the settings into lists of at most ``size``; settings of the same tasks stay together where they can."""
    blocks: list[list[tuple[Tasks, Row]]] = []
    for tasks, rows in groups:
        step = size or len(rows)
        for start in range(0, len(rows), step):
            part = [(tasks, row) for row in rows[start : start + step]]
            if blocks and (size is None or (not start and len(blocks[-1]) + len(rows) <= size)):
                blocks[-1] += part
            else:
                blocks.append(part)
    return blocks


def _by_tasks(tables: StudyTables) -> list[tuple[Tasks, list[Row]]]:
    """Group the rows of the summary by tasks: dense settings first, else in the summary's order."""
    groups: dict[Tasks, list[Row]] = {tasks: [] for tasks in tables.summary["tasks"]}
    for row in sorted(tables.rows, key=lambda row: row["sparse"]):
        groups[row["tasks"]].append(row)
    return list(groups.items())


def _best(rows: Sequence[Mapping[str, Any]], column: Column) -> str | None:
    """Write the best mean of a column as the table writes it; None where settings are not compared by it."""
    values = [float(row[f"{column.name}_mean"]) for row in rows if not is_missing(row[f"{column.name}_mean"])]
    if len(values) < 2 or not column.judged:
        return None
    return column.number(max(values) if column.better == "up" else min(values))


def _spread(summary: pd.DataFrame) -> str:
    """Explain the numbers of a cell."""
    several = bool((summary["num_trials"] > 1).any())
    return "mean ± sample standard deviation over n trials" if several else "one trial per setting"


def _missing_notes(tables: StudyTables, names: set[str]) -> list[str]:
    """Tell what is missing in the paper's table."""
    summary = tables.summary
    if summary.empty:
        return ["No run of the study has finished: there is nothing to show."]
    notes = _delta_notes(tables)
    if "compact_latency_ms" not in names:
        notes.append("No latency was measured.")
    single = int((summary["num_trials"] == 1).sum())
    if single:
        which = "Every setting was" if single == len(summary) else f"{single} of {len(summary)} settings were"
        notes.append(
            f"{which} trained once only: there is no standard deviation and no interval for {'them' if single > 1 else 'it'}."
        )
    return notes + _dead_notes(tables)


def _delta_notes(tables: StudyTables) -> list[str]:
    """Tell which settings lack Δ_MTL and why, and what the others are compared with."""
    rows: list[dict[str, Any]] = [row for _, rows in _by_tasks(tables) for row in rows]
    judged = [row for row in rows if value_text(row.get("baseline"))]
    unplanned = [row for row in judged if row["baseline"] == "not planned"]
    missing = [row for row in judged if row["baseline"] == "missing"]
    compared = [row for row in judged if row["baseline"] not in ("not planned", "missing")]
    defined = [row for row in compared if not is_missing(row.get("delta_MTL_mean"))]
    undefined = "it is undefined where a metric of the baseline is not above 0"
    notes = []
    if missing:
        lacking = dict.fromkeys(name for row in missing for name in _unfinished(row, tables))
        notes.append(
            f"Single-task baseline missing: Δ_MTL is not there for {len(missing)} of {len(judged)} settings, as what they are "
            f"compared with is not finished ({', '.join(lacking)})."
        )
    if unplanned:
        sets = dict.fromkeys(tasks_label(tables, row["tasks"]) for row in unplanned)
        notes.append(
            f"Δ_MTL is not there for settings of {'; '.join(sets)}: the study plans no dense networks of one task for them."
        )
    if len(defined) < len(compared):
        notes.append(f"Δ_MTL is not there for {len(compared) - len(defined)} of {len(judged)} settings: {undefined}.")
    if any(is_missing(row.get("delta_MTL_all_metrics_mean")) for row in defined):
        notes.append(f"Δ_MTL over all metrics is not there for some settings: {undefined}.")
    fewer = [row for row in defined if not is_missing(row.get("delta_MTL_n")) and row["delta_MTL_n"] != row["num_trials"]]
    if fewer:
        notes.append(
            f"Δ_MTL of {len(fewer)} of {len(judged)} settings is that of fewer trials (n): the others' single-task baseline is "
            "missing."
        )
    baselines = [value_text(row["baseline"]) for row in defined]
    if baselines:
        counts = [f"{text} ({baselines.count(text)} of {len(baselines)} settings)" for text in dict.fromkeys(baselines)]
        notes.append(f"The dense networks of one task that Δ_MTL compares with: {'; '.join(counts)}.")
    return notes


def _unfinished(row: Mapping[str, Any], tables: StudyTables) -> Sequence[str]:
    """Return the settings of a row's baseline without a finished run; all of them if each has one."""
    needed = row["baseline_settings"]
    return [name for name in needed if name not in tables.settings] or needed


def _dead_notes(tables: StudyTables) -> list[str]:
    """Name the settings with a layer that no input passes any more."""
    layers = tables.layers
    dead = layers[(layers["live_groups"] == 0) & (layers["groups"] > 0)]
    notes = []
    for setting, rows in dead.groupby("setting", sort=False):
        names, trials = list(dict.fromkeys(rows["layer"])), rows["trial"].nunique()
        all_layers = layers.loc[layers["setting"] == setting, "layer"].nunique()
        which = f"all {all_layers}" if len(names) == all_layers else f"{len(names)} of {all_layers} ({listed(names)})"
        of_trials = layers.loc[layers["setting"] == setting, "trial"].nunique()
        notes.append(f"Layers without any live group in {trials} of {of_trials} trials of {setting}: {which}.")
    return notes
