"""The tables of a study as text: what a paper prints, every metric, and sparse against dense; in Markdown and in LaTeX.

A table is first plain text in cells (:class:`TextTable`), made from the study's summary; then :func:`markdown`, :func:`latex`
or the page of :mod:`utils.study.report` say it in their own characters.
"""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from utils.study.tables import StudyTables
from utils.tasks import get_task

NOTHING = "—"
"""What a cell says that does not apply."""

PER_BLOCK = 6
"""Settings side by side in a table of every metric that is to fit on a sheet of paper."""

ARROWS = {"up": "↑", "down": "↓"}

_PENALTIES = {"l1_l2": "group lasso", "group_mcp": "group MCP", "sparse_group_lasso": "sparse group lasso"}

_METRICS = {
    "abs_err": "absolute error",
    "rel_err": "relative error",
    "rmse": "RMSE",
    "delta_1.25": "share within a factor of 1.25",
    "IoU_micro_imagewise": "IoU per image",
    "within_11.25": "share within 11.25°",
    "within_22.5": "share within 22.5°",
    "within_30": "share within 30°",
    "f1": "F1",
    "f1_weighted": "F1, weighted",
    "auroc": "AUROC",
}
"""Names of metrics of tasks, where they are more than their words."""

_NETWORK = {
    "delta_MTL": "Δ_MTL (%)",
    "delta_MTL_all_metrics": "Δ_MTL, all metrics (%)",
    "group_sparsity": "group sparsity (%)",
    "parameter_sparsity": "parameter sparsity (%)",
    "channels": "input channels",
    "channels_removed": "input channels that are zero",
    "GMACs": "GMACs",
    "dense_GMACs": "GMACs, dense",
    "backbone_GMACs": "GMACs, backbone",
    "backbone_dense_GMACs": "GMACs, backbone, dense",
    "Mparameters": "parameters (M)",
    "dense_Mparameters": "parameters (M), dense",
    "backbone_Mparameters": "parameters (M), backbone",
    "backbone_dense_Mparameters": "parameters (M), backbone, dense",
    "latency_ms": "latency (ms)",
    "dense_latency_ms": "latency (ms), dense",
    "training_minutes": "training time (min)",
}
"""Names of quantities of a whole run."""

_COSTS = ("group_sparsity", "Mparameters", "GMACs", "latency_ms")
"""What the paper's table says of a network beside how well it does."""

_DECIMALS = {"%": 2, "degrees": 2, "G": 3, "M": 3, "ms": 1, "min": 1}
"""Digits behind the point, by unit; a metric of a task without a unit (0..1) has four."""

_SIGNED = ("delta_MTL", "delta_MTL_all_metrics")


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
    """What its label and its anchor are made of, such as ``paper``."""
    title: str
    caption: str
    columns: Sequence[tuple[str, str]]
    """Two lines per heading; where neighbours have the same first line, they share it."""
    sections: Sequence[Section]
    notes: Sequence[str] = ()
    """What is missing, in words."""
    joint: str = " "
    """What comes between the two lines of a heading where they must be one."""

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


# Names


def tasks_label(tasks: str) -> str:
    """``Semantic segmentation + depth`` of ``segmentsemantic+depth_euclidean``."""
    titles = [task_title(name) for name in tasks.split("+") if name]
    return " + ".join(title if index == 0 else title[:1].lower() + title[1:] for index, title in enumerate(titles))


def task_title(name: str) -> str:
    """What the table of tasks calls a task; its own name with spaces if that has none such."""
    try:
        return get_task(name).title
    except KeyError:
        return words(name)


def kind_label(row: Mapping[str, Any]) -> str:
    """What is done to the tasks of a setting: ``dense``, or ``group lasso, target 70 %``; with the variant if it has one."""
    penalty, variant = _text(row["penalty"]), " ".join(_text(row["variant"]).split())
    parts = [_PENALTIES.get(penalty, words(penalty)) or "sparse" if is_sparse(row) else "dense"]
    if is_sparse(row) and not _missing(row["target_sparsity"]):
        parts.append(f"target {100 * float(row['target_sparsity']):.6g} %")
    if is_sparse(row) and not _missing(row["lambda"]):
        parts.append(f"λ = {short_number(float(row['lambda']))}")
    return ", ".join([*parts, f"variant {variant}"] if variant else parts)


def setting_label(row: Mapping[str, Any]) -> str:
    """What a reader calls the setting of a row of the summary or of the runs: its tasks, and what is done to them."""
    return f"{tasks_label(_text(row['tasks']))}, {kind_label(row)}"


def metric_label(name: str, tasks: Iterable[str]) -> tuple[str, str]:
    """The task that a metric is of (empty for one of the whole run) and what the metric is called there.

    Args:
        name: such as ``depth_euclidean_abs_err`` or ``group_sparsity``.
        tasks: names of the study's tasks.
    """
    # the longest name: class_Male_x is not a metric of a task that is called class
    for task in sorted(tasks, key=len, reverse=True):
        if name.startswith(f"{task}_"):
            metric = name.removeprefix(f"{task}_")
            return task_title(task), _METRICS.get(metric, words(metric))
    return "", _NETWORK.get(name, words(name))


def words(name: str) -> str:
    """A name with spaces, in one line."""
    return " ".join(name.replace("_", " ").split())


def short_number(value: float) -> str:
    """``1.5e-4``, ``0.05``, ``70``."""
    if value and abs(value) < 0.01:
        digits, exponent = f"{value:e}".split("e")
        return f"{float(digits):g}e{int(exponent)}"
    return f"{value:g}"


def is_sparse(row: Mapping[str, Any]) -> bool:
    """Whether a row's setting has a penalty."""
    return str(row["sparse"]) == "True"


def _text(value: Any) -> str:
    return "" if _missing(value) else str(value)


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


# Numbers


@dataclass(frozen=True)
class _Metric:
    """A quantity that the study has."""

    name: str
    task: str
    title: str
    better: str
    main: bool
    decimals: int

    @property
    def arrow(self) -> str:
        """Which way is better, where that is a matter of doing well; what a network costs is seen without."""
        return "" if self.better not in ARROWS or not (self.task or self.name in _SIGNED) else f" {ARROWS[self.better]}"

    def number(self, value: float) -> str:
        return fixed(value, self.decimals, signed=self.name in _SIGNED)

    def mean(self, row: Mapping[str, Any]) -> str:
        """``mean ± std`` of a row of the summary; the mean alone where there is no deviation."""
        mean, std = row[f"{self.name}_mean"], row.get(f"{self.name}_std")
        if _missing(mean):
            return NOTHING
        # what is the same in every trial (MACs of a dense network) needs no ± 0
        spread = "" if _missing(std) else fixed(float(std or 0), self.decimals)
        return f"{self.number(mean)} ± {spread}" if spread and (self.task or float(spread)) else self.number(mean)


def fixed(value: float, decimals: int, signed: bool = False) -> str:
    """A number with a true minus sign, never a negative zero; ``+`` before what is above zero if ``signed``."""
    text = f"{float(value):{'+' if signed else ''}z.{decimals}f}".replace("-", "−")
    return text.removeprefix("+") if not float(text.replace("−", "-")) else text


def interval(low: Any, high: Any, decimals: int = 2) -> str:
    """``[−0.30, +1.20]``; nothing where there is none."""
    if _missing(low) or _missing(high):
        return NOTHING
    return f"[{fixed(low, decimals, signed=True)}, {fixed(high, decimals, signed=True)}]"


def _metrics(tables: StudyTables) -> list[_Metric]:
    """Every quantity of the summary that at least one setting has, in its order."""
    summary, tasks = tables.summary, study_tasks(tables)
    known = tables.runs.drop_duplicates("metric").set_index("metric")
    mains = set(tables.runs.loc[tables.runs["main"].astype(str) == "True", "metric"])
    names = [name.removesuffix("_mean") for name in summary if name.endswith("_mean") and name != "difference_mean"]
    result = []
    for name in names:
        means = summary[f"{name}_mean"]
        if means.isna().all():
            continue
        unit, better = (_text(known.at[name, column]) if name in known.index else "" for column in ("unit", "better"))
        task, title = metric_label(name, tasks)
        stds = summary[f"{name}_std"] if f"{name}_std" in summary else pd.Series(dtype=float)
        decimals = _DECIMALS[unit] if unit in _DECIMALS else 4 if task else _decimals([*means, *stds])
        if unit and "(" not in title and unit not in ("G", "M"):
            title = f"{title} ({unit})"
        result.append(_Metric(name, task, title, better, name in mains, decimals))
    return result


def _decimals(values: Iterable[float]) -> int:
    """None for counts that are whole on average too, else one."""
    return int(any(float(value) != int(value) for value in values if math.isfinite(value)))


def study_tasks(tables: StudyTables) -> list[str]:
    """Names of all tasks that some setting of the study has."""
    return list(dict.fromkeys(task for tasks in tables.summary["tasks"] for task in _text(tasks).split("+") if task))


def main_metrics(tables: StudyTables) -> list[tuple[str, str]]:
    """Per task of the study its title and its main metric, with an arrow that says which way is better."""
    return [(metric.task, f"{metric.title} {metric.arrow.strip()}".strip()) for metric in _metrics(tables) if metric.main]


# The three tables


def paper_table(tables: StudyTables) -> TextTable:
    """Settings as rows: trials, the main metric of each task, Δ_MTL with its interval, sparsity and cost."""
    summary = tables.summary
    metrics = {metric.name: metric for metric in _metrics(tables)}
    shown = [metric for metric in metrics.values() if metric.main]
    shown += [metrics[name] for name in ("delta_MTL", *_COSTS) if name in metrics]
    columns = [("", "setting"), ("", "n")]
    for metric in shown:
        columns.append((metric.task, f"{metric.title}{metric.arrow}"))
        if metric.name == "delta_MTL" and _has(summary, "delta_MTL_low"):
            columns.append(("", "95 % interval"))
    sections = []
    for tasks, rows in _by_tasks(summary):
        best = {metric.name: _best(rows, metric) for metric in shown}
        section = []
        for row in rows:
            cells = [Cell(kind_label(row)), Cell(f"{int(row['num_trials'])}")]
            for metric in shown:
                text = metric.mean(row)
                cells.append(
                    Cell(text, best=text != NOTHING and metric.number(row[f"{metric.name}_mean"]) == best[metric.name])
                )
                if metric.name == "delta_MTL" and _has(summary, "delta_MTL_low"):
                    cells.append(Cell(interval(row["delta_MTL_low"], row["delta_MTL_high"], metric.decimals)))
            section.append(cells)
        sections.append(Section(tasks_label(tasks), section))
    bold = any(cell.best for section in sections for row in section.rows for cell in row)
    sentences = [f"Study {tables.name}: {_spread(summary)}, test split."]
    if bold:
        sentences.append("Bold: the best mean among the settings of the same tasks.")
    if "delta_MTL" in metrics:
        sentences.append("Δ_MTL: against dense networks of one task each.")
    if set(_COSTS[1:]) & set(metrics):
        sentences.append("Parameters, MACs and latency are of the compacted network, with its heads.")
    caption = " ".join(sentences)
    return TextTable("paper", "Results", caption, columns, sections, _missing_notes(tables, set(metrics)))


def full_tables(tables: StudyTables, per_block: int | None = PER_BLOCK) -> list[TextTable]:
    """Every quantity of the summary as a row, settings as columns: ``per_block`` of them a table, or all in one with None."""
    blocks = _blocks(_by_tasks(tables.summary), per_block)
    metrics = _metrics(tables)
    groups = [*dict.fromkeys(metric.task for metric in metrics if metric.task), *_GROUPS]
    result = []
    for number, block in enumerate(blocks, start=1):
        sections = [Section("", [[Cell("trials"), *(Cell(f"{int(row['num_trials'])}") for _, row in block)]])]
        for group in groups:
            rows = []
            for metric in (metric for metric in metrics if (metric.task or _group(metric.name)) == group):
                rows.append([Cell(f"{metric.title}{metric.arrow}"), *(Cell(metric.mean(row)) for _, row in block)])
                if metric.name == "delta_MTL" and _has(tables.summary, "delta_MTL_low"):
                    intervals = (interval(row["delta_MTL_low"], row["delta_MTL_high"]) for _, row in block)
                    rows.append([Cell("Δ_MTL, 95 % interval"), *map(Cell, intervals)])
            rows = [row for row in rows if any(cell.text != NOTHING for cell in row[1:])]
            if rows:
                sections.append(Section(group, rows))
        columns = [("", "metric"), *((tasks_label(tasks), kind_label(row)) for tasks, row in block)]
        part = f", part {number} of {len(blocks)}" if len(blocks) > 1 else ""
        name = f"full-{number}" if len(blocks) > 1 else "full"
        caption = f"Study {tables.name}, every metric: {_spread(tables.summary)}{part}."
        result.append(TextTable(name, f"Every metric{part}", caption, columns, sections, joint=", "))
    return result


def comparison_table(tables: StudyTables) -> TextTable:
    """Sparse settings as rows: the paired difference of Δ_MTL to the dense setting of the same tasks, and what it says."""
    columns = [("", name) for name in ("setting", "n", "difference of Δ_MTL (points)", "95 % interval", "margin", "claim")]
    rows_of = {_text(row["setting"]): row for _, rows in _by_tasks(tables.summary) for row in rows}
    sections = []
    for tasks, rows in _by_tasks(tables.summary):
        sparse = [_comparison_row(row, tables.summary, rows_of) for row in rows if is_sparse(row)]
        if sparse:
            sections.append(Section(tasks_label(tasks), sparse))
    caption = (
        f"Study {tables.name}, sparse against dense: differences of Δ_MTL, sparse minus dense, paired by trial; mean ± sample "
        "standard deviation, and the 95 % interval of the mean (Student's t). The claim is that the sparse network is not "
        "worse than the dense one by more than the margin: it holds where the whole interval is above minus the margin, and "
        "fails where it is wholly below."
    )
    notes = [] if sections else ["The study has no finished sparse setting: there is nothing to compare."]
    return TextTable("comparison", "Sparse against dense", caption, columns, sections, notes)


def verdict(row: Mapping[str, Any], summary: pd.DataFrame) -> str:
    """What the comparison of a sparse setting says: holds, fails or undecided; or why there is none."""
    trials: Any = row.get("difference_n")
    if _missing(trials):
        same = summary[(summary["tasks"] == row["tasks"]) & ~summary.apply(is_sparse, axis=1)]
        if same.empty:
            return "no dense setting of the same tasks"
        return "no Δ_MTL to compare" if _missing(row.get("delta_MTL_mean")) else "no comparison with a dense setting"
    if trials < 2:
        return "one trial: no interval" if trials else "no pair of trials with Δ_MTL"
    return _text(row.get("claim")) or "no interval"


def _comparison_row(row: Mapping[str, Any], summary: pd.DataFrame, rows_of: Mapping[str, Mapping[str, Any]]) -> list[Cell]:
    twin = rows_of.get(_text(row.get("twin")))
    # which dense network it is goes without saying, unless there are variants
    against = f", against {kind_label(twin)}" if twin is not None and _text(row["variant"]) else ""
    texts = [f"{kind_label(row)}{against}", NOTHING, NOTHING, NOTHING, NOTHING, verdict(row, summary)]
    if not _missing(row.get("difference_n")):
        mean, std, margin = (row.get(name) for name in ("difference_mean", "difference_std", "margin"))
        texts[1] = f"{int(row['difference_n'])}"
        if not _missing(mean):
            texts[2] = fixed(float(mean or 0), 2, signed=True) + ("" if _missing(std) else f" ± {fixed(float(std or 0), 2)}")
        texts[3] = interval(row.get("difference_low"), row.get("difference_high"))
        texts[4] = NOTHING if _missing(margin) else fixed(float(margin or 0), 2)
    return [Cell(text) for text in texts]


_GROUPS = ("All tasks together", "Network", "Training")


def _group(metric: str) -> str:
    """Which of ``_GROUPS`` a quantity of a whole run belongs to."""
    return _GROUPS[0] if metric.startswith("delta_MTL") else _GROUPS[2 if "epoch" in metric or "training" in metric else 1]


def _blocks(groups: Sequence[tuple[str, Sequence[dict[str, Any]]]], size: int | None) -> list[list[tuple[str, dict[str, Any]]]]:
    """The settings in lists of at most ``size``; settings of the same tasks stay together where they can."""
    blocks: list[list[tuple[str, dict[str, Any]]]] = []
    for tasks, rows in groups:
        step = size or len(rows)
        for start in range(0, len(rows), step):
            part = [(tasks, row) for row in rows[start : start + step]]
            if blocks and (size is None or (not start and len(blocks[-1]) + len(rows) <= size)):
                blocks[-1] += part
            else:
                blocks.append(part)
    return blocks


def _by_tasks(summary: pd.DataFrame) -> list[tuple[str, list[dict[str, Any]]]]:
    """Rows of the summary by tasks; of the same tasks dense ones first, else in the study's order."""
    rows: list[dict[str, Any]] = [{str(key): value for key, value in row.items()} for row in summary.to_dict("records")]
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=is_sparse):
        groups.setdefault(_text(row["tasks"]), []).append(row)
    order = list(dict.fromkeys(_text(tasks) for tasks in summary["tasks"]))
    return [(tasks, groups[tasks]) for tasks in order]


def _best(rows: Sequence[Mapping[str, Any]], metric: _Metric) -> str | None:
    """The best mean of a metric as the table writes it; None where nothing is compared."""
    values = [float(row[f"{metric.name}_mean"]) for row in rows if not _missing(row[f"{metric.name}_mean"])]
    if len(values) < 2 or not metric.arrow:
        return None
    return metric.number(max(values) if metric.better == "up" else min(values))


def _has(summary: pd.DataFrame, column: str) -> bool:
    return column in summary and bool(summary[column].notna().any())


def _spread(summary: pd.DataFrame) -> str:
    """What the numbers of a cell are."""
    several = bool((summary["num_trials"] > 1).any())
    return "mean ± sample standard deviation over n trials" if several else "one trial per setting"


def _missing_notes(tables: StudyTables, there: set[str]) -> list[str]:
    """What a reader may look for in the paper's table in vain."""
    summary = tables.summary
    if summary.empty:
        return ["No run of the study has finished: there is nothing to show."]
    notes = []
    if "delta_MTL" not in there:
        dense = {_text(row["tasks"]) for row in summary.to_dict("records") if not is_sparse(row)}
        lacking = [task_title(task) for task in study_tasks(tables) if task not in dense]
        reason = f", since dense networks of one task are missing for: {', '.join(lacking)}" if lacking else ""
        notes.append(f"Δ_MTL is not there{reason}.")
    if "latency_ms" not in there:
        notes.append("No latency was measured.")
    baselines = [text for text in map(_text, summary.get("baseline", [])) if text]
    if baselines:
        counts = [f"{text} ({baselines.count(text)} of {len(baselines)} settings)" for text in dict.fromkeys(baselines)]
        notes.append(f"The dense networks of one task that Δ_MTL compares with: {'; '.join(counts)}.")
    single = int((summary["num_trials"] == 1).sum())
    if single:
        which = "Every setting was" if single == len(summary) else f"{single} of {len(summary)} settings were"
        notes.append(
            f"{which} trained once only: there is no standard deviation and no interval for {'them' if single > 1 else 'it'}."
        )
    return notes


# Markdown


def markdown(table: TextTable) -> str:
    """The table with pipes, as GitHub reads it, aligned in the source too; above it the caption, below it what is missing."""
    rows = [[markdown_text(table.joint.join(filter(None, lines))) for lines in table.columns]]
    for section in table.sections:
        if section.title:
            rows.append([f"**{markdown_text(section.title)}**", *[""] * (len(table.columns) - 1)])
        for cells in section.rows:
            rows.append([f"**{markdown_text(cell.text)}**" if cell.best else markdown_text(cell.text) for cell in cells])
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(table.columns))]
    lines = [
        "| " + " | ".join(_pad(text, width, index) for index, (text, width) in enumerate(zip(row, widths, strict=True))) + " |"
        for row in rows
    ]
    rule = (
        "|"
        + "|".join(f":{'-' * (width + 1)}" if not index else f"{'-' * (width + 1)}:" for index, width in enumerate(widths))
        + "|"
    )
    parts = [markdown_text(table.caption)]
    if table.sections:
        parts.append("\n".join([lines[0], rule, *lines[1:]]))
    return "\n\n".join([*parts, *map(markdown_text, table.notes)]) + "\n"


def markdown_text(text: str) -> str:
    """Text of which Markdown takes nothing for its own, in a table or outside."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # a bracket means something only where a link may follow
    return re.sub(r"\](?=[(\[:])", r"\\]", re.sub(r"([\\`*_|~$#])", r"\\\1", text))


def _pad(text: str, width: int, column: int) -> str:
    return text.ljust(width) if not column else text.rjust(width)


# LaTeX

LATEX_COMMENT = """\
% Tables of the study {name}, made of its CSV files by make_report.py.
% Needs \\usepackage{{booktabs}}, and \\usepackage{{graphicx}} for the \\resizebox around tables that are wider than the text.
"""

_WIDE = 84
"""Characters side by side that fit into the text of an article at \\small, about; what is wider is shrunk if it has to be."""

_HEADING = 14
"""Characters after which a heading goes on in a further line."""

_LATEX = {
    **{"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": "$<$", ">": "$>$", "|": "$|$"},
    **{character: f"\\{character}" for character in "{}$&#%_"},
    **{"±": r"$\pm$", "−": "$-$", "—": "---", "–": "--", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "×": r"$\times$"},
    **{"λ": r"$\lambda$", "Δ": r"$\Delta$", "°": r"$^\circ$", "≥": r"$\geq$", "≤": r"$\leq$", "…": r"\ldots{}", '"': "''"},
    **{"“": "``", "”": "''", "‘": "`", "’": "'"},
}


def latex(table: TextTable, study: str) -> str:
    """The table as a floating one with rules of booktabs; headings are broken into lines of their own."""
    width = len(table.columns)
    body = [*_latex_headings(table), "\\midrule"]
    for number, section in enumerate(table.sections):
        if number:
            body.append("\\addlinespace")
        if section.title:
            body.append(f"\\multicolumn{{{width}}}{{l}}{{\\textit{{{latex_text(section.title)}}}}} \\\\")
        for cells in section.rows:
            texts = [latex_text(cell.text) for cell in cells]
            body.append(
                _latex_row([f"\\textbf{{{text}}}" if cell.best else text for text, cell in zip(texts, cells, strict=True)])
            )
    label = re.sub(r"[^A-Za-z0-9-]+", "-", f"{study}-{table.name}")
    tabular = [f"\\begin{{tabular}}{{l{'r' * (width - 1)}}}", "\\toprule", *body, "\\bottomrule", "\\end{tabular}"]
    if _characters(table) > _WIDE:
        tabular = [
            "\\setlength{\\tabcolsep}{4pt}",
            "\\resizebox{\\ifdim\\width>\\textwidth\\textwidth\\else\\width\\fi}{!}{%",
            *tabular[:-1],
            f"{tabular[-1]}}}",
        ]
    caption = " ".join(latex_text(text) for text in (table.caption, *table.notes))
    return "\n".join(
        [
            "\\begin{table}[htbp]",
            "\\centering",
            "\\small",
            "\\setlength{\\belowcaptionskip}{6pt}",
            f"\\caption{{{caption}}}",
            f"\\label{{tab:{label}}}",
            *tabular,
            "\\end{table}",
            "",
        ]
    )


def latex_text(text: str) -> str:
    """Text of which LaTeX takes nothing for its own; what its usual fonts lack is a question mark."""
    text = " ".join(text.split()).replace("Δ_MTL", "\0")
    characters = (_LATEX.get(character) or _latin(character) for character in text)
    return "".join(characters).replace("\0", r"$\Delta_{\mathrm{MTL}}$")


def _latin(character: str) -> str:
    """The character, if it is one of Western Europe's (or our mark); else what is left of it without its accents."""
    if character == "\0" or ("\x20" <= character < "\x7f") or "À" <= character <= "ÿ":
        return character
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return "".join(_LATEX.get(letter, letter) for letter in plain if letter.isprintable()) or "?"


def _latex_headings(table: TextTable) -> list[str]:
    """Rows of the table's head: what columns share with a line below it, then what each has of its own."""
    rows = []
    if any(text for text, _ in table.heads):
        shared = [_wrapped(text, _HEADING * span) for text, span in table.heads]
        for texts in _at_the_bottom(shared):
            cells = [
                f"\\multicolumn{{{span}}}{{c}}{{{latex_text(text)}}}" if text else " & " * (span - 1)
                for text, (_, span) in zip(texts, table.heads, strict=True)
            ]
            rows.append(_latex_row(cells))
        ends = [sum(span for _, span in table.heads[: index + 1]) for index in range(len(table.heads))]
        lines = [f"{end - span + 1}-{end}" for (text, span), end in zip(table.heads, ends, strict=True) if text]
        rows.append("".join(f"\\cmidrule(lr){{{line}}}" for line in lines))
    own = [_wrapped(text, _HEADING) for _, text in table.columns]
    return rows + [_latex_row([latex_text(text) for text in texts]) for texts in _at_the_bottom(own)]


def _at_the_bottom(columns: Sequence[list[str]]) -> list[tuple[str, ...]]:
    """Rows of columns of different height, which end together."""
    height = max(map(len, columns))
    return list(zip(*([""] * (height - len(column)) + column for column in columns), strict=True))


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines; those of a list break after its commas, and an arrow stays with the word before it."""
    text = re.sub(r" ([↑↓])", "\u00a0\\1", text)
    pieces = [text] if len(text) <= width else re.split(r"(?<=,) ", text)
    return [line for piece in pieces for line in textwrap.wrap(piece, width)]


def _latex_row(texts: Sequence[str]) -> str:
    # after the end of a row, [ and * would be taken for its options
    first = f"{{}}{texts[0]}" if texts[0][:1] in ("[", "*") else texts[0]
    return f"{' & '.join([first, *texts[1:]])} \\\\"


def _characters(table: TextTable) -> int:
    """How wide the table is, about."""
    rows = [row for section in table.sections for row in section.rows]
    heads = [max([0, *map(len, _wrapped(own, _HEADING))]) for _, own in table.columns]
    return sum(max([head, *(len(row[index].text) for row in rows)]) + 2 for index, head in enumerate(heads))
