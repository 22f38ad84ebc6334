"""The columns of a study's tables: one entry for every number that a run has.

A new number of a run is one entry of ``COLUMNS``. A metric of a task needs none: :func:`task_column` makes its entry of
``tasks/metric_info.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.metric_info import ARROWS, metric_info, metrics_of
from tasks.table import Task
from utils.numbers import fixed

TOGETHER, NETWORK, TRAINING = "All tasks together", "Network", "Training"
HEADINGS = (TOGETHER, NETWORK, TRAINING)
"""Headings of the numbers of a whole run in the table of every metric."""


@dataclass(frozen=True)
class SavedRun:
    """The files of a finished run that hold its numbers."""

    test: Mapping[str, Any]
    """Content of ``test.json``."""
    lines: Sequence[Mapping[str, Any]]
    """Lines of ``metrics.jsonl``, one per epoch."""


@dataclass(frozen=True)
class Column:
    """A number of a run, and how tables, figures and the page write it.

    The table of the runs has a row of each, with its name as ``metric``; the summary has ``<name>_mean`` and ``<name>_std``.
    """

    name: str
    title: str
    """Name for readers, without the unit."""
    unit: str = ""
    """``G`` and ``M`` are factors (10^9 and 10^6) of what the title names."""
    better: str = ""
    """``up`` or ``down``; empty where neither is better."""
    decimals: int | None = None
    """Digits behind the point; None: one, or none where all means are whole numbers."""
    group: str = NETWORK
    """Heading in the table of every metric: one of ``HEADINGS``, or the title of the task."""
    paper: int = 0
    """Place among the columns of the paper's table that follow the main metrics, from 1; 0: the table leaves it out."""
    change: bool = False
    """True for a change against a baseline: it has a sign, and the summary has ``_n``, ``_low`` and ``_high`` of it."""
    interval: str = ""
    """Title of its 95 % interval; empty where the text tables leave the interval out."""
    optional: bool = False
    """True if the mean is taken over the trials that have it; else a trial without it leaves the setting without a mean."""
    task: str = ""
    """Name of the task that it is a metric of; empty for a number of the whole run."""
    main: bool = False
    """True for the main metric of its task."""
    line: str = ""
    """Key of an epoch's line in ``metrics.jsonl`` that its learning curve is drawn of."""
    measure: Callable[[SavedRun], float | None] | None = None
    """Reads it from a run's files; None where the row of the test, the costs or the comparison with a baseline has it."""

    @property
    def judged(self) -> bool:
        """True if it says how well a task is done; what a network costs is no contest."""
        return bool(self.better) and bool(self.task or self.change)

    @property
    def heading(self) -> str:
        """Title, unit, and an arrow where it is judged."""
        unit = f" ({self.unit})" if self.unit and self.unit not in ("G", "M") else ""
        return f"{self.title}{unit}{f' {ARROWS[self.better]}' if self.judged else ''}"

    def axis_label(self, brief: bool = False) -> str:
        """Write title, unit and better direction for the axis of a figure; ``brief`` says the direction by an arrow alone."""
        name = f"{self.title} in {self.unit}" if self.unit else self.title
        if not self.better:
            return name
        return f"{name} {ARROWS[self.better]}" if brief else f"{name} ({ARROWS[self.better]} better)"

    def number(self, value: float) -> str:
        """Write a value as text; with its sign if it is a change."""
        return fixed(value, self.decimals or 0, signed=self.change)


def words(name: str) -> str:
    """Write a name with spaces, in one line."""
    return " ".join(name.replace("_", " ").split())


def _training_minutes(saved: SavedRun) -> float | None:
    seconds = sum(line.get("train_seconds", 0.0) + line.get("validation_seconds", 0.0) for line in saved.lines)
    return seconds / 60 if seconds else None


def _best_epoch(saved: SavedRun) -> float | None:
    epoch = saved.test.get("best_epoch")
    return None if epoch is None else float(epoch)


def _percentage(name: str, title: str, paper: int = 0, line: str = "") -> Column:
    return Column(name, title, "%", "up", 2, paper=paper, line=line)


def _delta(name: str, title: str, interval: str = "", paper: int = 0) -> Column:
    return Column(name, title, "%", "up", 2, TOGETHER, paper, change=True, interval=interval, optional=True)


def _sizes(end: str, title: str, unit: str, paper: int) -> Iterable[Column]:
    """Make the four sizes of one kind; the compacted whole network has a place in the paper's table."""
    for part in ("", ", backbone"):
        start = "backbone_" * bool(part)
        yield Column(f"{start}dense_{end}", f"{title}{part}, dense", unit, "down", 3)
        yield Column(f"{start}compact_{end}", f"{title}{part}", unit, "down", 3, paper=0 if part else paper)


LEADING = (
    _delta("delta_MTL", "Δ_MTL", interval="Δ_MTL, 95 % interval", paper=1),
    _delta("delta_MTL_all_metrics", "Δ_MTL, all metrics"),
    _percentage("group_sparsity", "group sparsity", paper=2, line="group_sparsity"),
    _percentage("parameter_sparsity", "parameter sparsity"),
    Column("zero_groups", "groups that are zero"),
    Column("groups", "groups"),
)
"""The columns that stand behind the tasks' metrics in the summary; the others follow in the order in which runs have them."""

SIZES = (*_sizes("GMACs", "GMACs", "G", 4), *_sizes("Mparameters", "parameters (M)", "M", 3))
"""The sizes of the whole network and of its backbone, as trained and compacted for the CPU."""

LATENCIES = (
    Column("folded_latency_ms", "latency, dense, batch norm folded", "ms", "down", 1, optional=True),
    Column("compact_latency_ms", "latency", "ms", "down", 1, paper=5, optional=True),
)

COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        *LEADING,
        *SIZES,
        *LATENCIES,
        _percentage("head_group_sparsity", "head group sparsity"),
        _percentage("unread_features", "unread features"),
        _percentage("joint_group_sparsity", "group sparsity with features"),
        Column("skipped_frames", "skipped frames"),
        Column("epochs", "epochs", group=TRAINING),
        Column("best_epoch", "best epoch", group=TRAINING, measure=_best_epoch),
        Column("training_minutes", "training time", "min", "down", 1, TRAINING, measure=_training_minutes),
    )
}
"""Every number of a whole run, by name."""

CURVES = {
    column.name: column
    for column in (
        Column("train_loss", "Training loss", better="down", line="train/loss/total"),
        Column("val_loss", "Validation loss", better="down", line="val/loss/total"),
        COLUMNS["group_sparsity"],
        Column("lambda", "λ", line="lambda"),
    )
}
"""The learning curves of a whole run, by name. Each task has one more: its main metric."""


def task_column(task: Task, metric: str, *, metres: bool = False) -> Column:
    """Make the column of a metric of a task.

    Args:
        task: that it is a metric of.
        metric: name of the metric within the task.
        metres: depth is in metres, and not relative to the largest of its frame.

    Raises:
        KeyError: the task has no such metric.
    """
    info = metric_info(task, metric, metres=metres)
    name, title = f"{task.name}_{metric}", info.title or words(metric)
    decimals = 2 if info.unit == "degrees" else 4
    main = metric == task.main_metric
    return Column(name, title, info.unit, info.better, decimals, task.title, task=task.name, main=main, line=f"val/{name}")


def main_column(task: Task) -> Column:
    """Make the column of the main metric of a task."""
    return task_column(task, task.main_metric)


def task_columns(tasks: Iterable[Task], *, metres: bool = False) -> dict[tuple[str, str], Column]:
    """Make the columns of all metrics of ``tasks``, by the names of task and metric."""
    return {(task.name, metric): task_column(task, metric, metres=metres) for task in tasks for metric in metrics_of(task)}


def run_columns(tasks: Iterable[Task], *, metres: bool = False) -> dict[str, Column]:
    """Return all columns that a run of ``tasks`` may have, by name."""
    return {column.name: column for column in task_columns(tasks, metres=metres).values()} | COLUMNS


def column_of(name: str, columns: Mapping[str, Column] | None = None) -> Column:
    """Return the column called ``name`` of ``columns`` (by default of ``COLUMNS``); a plain one where it has no entry."""
    return (COLUMNS if columns is None else columns).get(name) or Column(name, words(name))
