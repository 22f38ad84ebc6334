"""The epochs of a training as rows of a table that fits a terminal of 80 columns, and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from settings.config import ExperimentConfig
from tasks.table import Task
from utils.console import MESSAGE_WIDTH, brief
from utils.numbers import fitted

ROWS = 20
"""Rows between two headers: about a screenful."""

Line = Mapping[str, Any]
"""One epoch: a line of ``metrics.jsonl``."""


class EpochClock:
    """Clock of a training, which foresees its end from the time that its epochs have taken so far.

    Args:
        begin: epochs that were done before.
        end: epochs at which the training ends at the latest.
    """

    def __init__(self, begin: int, end: int) -> None:
        self.begin, self.end = begin, end
        self.start = time.perf_counter()

    def left(self, epoch: float) -> str:
        """Write the time that is left after ``epoch`` epochs; a part of an epoch counts."""
        return brief((time.perf_counter() - self.start) / (epoch - self.begin) * (self.end - epoch))


@dataclass(frozen=True)
class _Column:
    """A column of the table."""

    head: str
    width: int
    text: Callable[[Line], str]


class EpochTable:
    """Rows of a training's epochs, with a header at the beginning and after every ``ROWS`` rows.

    Metrics are the main ones of the tasks, as many as there is room for; ``metrics.jsonl`` has all of them.

    Args:
        config: of the training.
        name: of the training, such as that of its folder.
        seed: of the training.
    """

    def __init__(self, config: ExperimentConfig, name: str, seed: int) -> None:
        tasks = config.tasks
        shown, strength = list(tasks), _strength_means_something(config)
        while _width(self._columns(config, tasks, shown, strength)) > MESSAGE_WIDTH and (strength or shown):
            strength, shown = False, shown if strength else shown[:-1]
        self.columns = self._columns(config, tasks, shown, strength)
        metrics = [f"{tasks[task].short} {tasks[task].main_metric}" for task in shown]
        others = [f"{len(tasks) - len(shown)} more in metrics.jsonl"] if len(shown) < len(tasks) else []
        self.title = f"{name}, seed {seed}: {', '.join([*metrics, *others])}; * best"
        self.rows = 0

    @staticmethod
    def _columns(config: ExperimentConfig, tasks: Mapping[str, Task], shown: list[str], strength: bool) -> list[_Column]:
        epochs = config.epochs
        metrics = [
            _Column(tasks[name].short, max(6, len(tasks[name].short)), _value(f"val/{name}_{tasks[name].main_metric}"))
            for name in shown
        ]
        zeros = [_Column("zero%", 5, lambda line: f"{line['group_sparsity']:.1f}")] if config.group_sparsity else []
        lambdas = [_Column("lambda", 7, lambda line: f"{line['lambda']:.1e}" if line["lambda"] else "-")] if strength else []
        return [
            _Column("epoch", max(5, 2 * len(str(epochs)) + 1), lambda line: f"{line['epoch'] + 1}/{epochs}"),
            _Column("train", 6, _value("train/loss/total")),
            _Column("val ", 7, lambda line: _value("val/loss/total")(line) + ("*" if line["best"] else " ")),
            *metrics,
            *zeros,
            *lambdas,
            _Column("img/s", 5, lambda line: fitted(line["images_per_second"], 5, decimals=1)),
            _Column("left", 6, lambda line: line["left"]),
        ]

    def lines(self, line: Line, best: bool, left: str) -> list[str]:
        """Return the row of an epoch, after the header where one is due.

        Args:
            line: of ``metrics.jsonl``.
            best: the network is the best so far.
            left: time that is left of the training.
        """
        header = [self.title, self._row([column.head for column in self.columns])] if self.rows % ROWS == 0 else []
        self.rows += 1
        return [*header, self._row([column.text({**line, "best": best, "left": left}) for column in self.columns])]

    def _row(self, cells: list[str]) -> str:
        return " ".join(f"{cell:>{column.width}}" for cell, column in zip(cells, self.columns, strict=True))


def _width(columns: list[_Column]) -> int:
    return sum(column.width for column in columns) + len(columns) - 1


def _strength_means_something(config: ExperimentConfig) -> bool:
    """Return whether lambda is the strength of a penalty, and not the limit of a score that a target happens to need."""
    return config.group_sparsity and (config.target is None or not config.penalty.selects)


def _value(key: str) -> Callable[[Line], str]:
    return lambda line: fitted(line[key], 6)


def main_metrics(tasks: Iterable[Task], values: Mapping[str, float | None], before: str = "") -> str:
    """Write the main metric of each task.

    Args:
        tasks: of an experiment.
        values: a metric by ``<task>_<metric>``.
        before: what stands before these names: ``val/`` in a line of ``metrics.jsonl``.
    """
    names = [(task.short, task.main_metric, f"{before}{task.name}_{task.main_metric}") for task in tasks]
    return ", ".join(f"{short} {metric} {fitted(values.get(key), 6)}" for short, metric, key in names)
