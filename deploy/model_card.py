"""The model card of a compact model: what it predicts, how well, at what size, from which data, and what it does not know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2

from datasets.preparation.synthetic import drawn_title
from deploy.markdown import markdown_table, markdown_text
from deploy.meaning import unit
from engine import checkpoint as files
from engine.saved_trial import SavedTrial
from settings.config import ExperimentConfig
from tasks.metric_info import ARROWS, metric_info
from tasks.table import Task

TEMPLATE = Path(__file__).with_name("model_card.md.jinja")


def model_card(trial: SavedTrial, report: Mapping[str, Any], file: str) -> str:
    """Write the card in Markdown.

    Args:
        trial: that the model comes from.
        report: of the compaction, as in ``compact_report.json``.
        file: name of the model's file.
    """
    config = trial.config
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=markdown_text(f"{config.Experiment_name}, trial {trial.number}"),
        network=config.backbone,
        output_stride=config.output_stride,
        tasks=config.task_list,
        made=_made(config, report),
        file=file,
        table=markdown_table,
        predictions=[(task.title, markdown_text(_prediction(task, config))) for task in config.tasks.values()],
        best_epoch=trial.best_epoch,
        epochs=trial.epochs,
        seed=trial.seed,
        metrics=list(_metrics(trial)),
        sizes=list(_sizes(report)),
        terms=markdown_text(_terms(config)),
        size=" x ".join(map(str, config.size)),
        doubt=report["doubt"],
        half=report["half"],
        source=report["check"]["source"],
        precision=_tested(trial).get("precision", config.precision),
    )


def _terms(config: ExperimentConfig) -> str:
    drawn = drawn_title(config)
    known = f"{drawn} that prepare_data.py draws; MIT licence, as this project" if drawn else config.data_set.terms
    return config.data_terms or known or f"{config.data_title}; no terms are known"


def _made(config: ExperimentConfig, report: Mapping[str, Any]) -> str:
    if not config.group_sparsity:
        return "trained dense"
    share = 100 * report["backbone"]["zero_groups"] / report["backbone"]["groups"]
    return f"trained with {config.penalty.title} until {share:.1f} % of the input channels of its convolutions were zero"


def _prediction(task: Task, config: ExperimentConfig) -> str:
    if task.classes:
        return f"one of {len(task.classes)} classes{' per pixel' * task.is_dense}: {', '.join(task.classes)}"
    return unit(task, config)


def _tested(trial: SavedTrial) -> dict[str, Any]:
    """Return what is known of the trial's test; nothing where there was none."""
    path = trial.folder / files.TEST
    return files.load_json(path) if path.is_file() else {}


def _metrics(trial: SavedTrial) -> Iterator[tuple[object, ...]]:
    if tested := _tested(trial):
        for name, values in tested["metrics"].items():
            task = trial.config.tasks[name]
            for metric, value in values.items():
                info = metric_info(task, metric, metres=trial.config.depth_target == "metric")
                told = "n/a" if value is None else f"{value:.4f}"
                unit = f" in {info.unit}" if info.unit else ""
                yield task.title, f"{info.title or metric.replace('_', ' ')}{unit} {ARROWS[info.better]}", told


def _sizes(report: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    total, sizes = report["model"], report["file_MB"]["model"]
    yield "parameters", f"{total['parameters'] / 1e6:.2f} M", f"{total['parameters_left'] / 1e6:.2f} M"
    yield "multiply-adds per image", f"{total['macs'] / 1e9:.3g} G", f"{total['macs_left'] / 1e9:.3g} G"
    yield "file", f"{sizes['dense']:.1f} MB", f"{sizes['compact']:.1f} MB"
    if report["half"]:
        yield "file, half precision", "", f"{report['half']['file_MB']:.1f} MB"
    for row in report["latency"]:
        if row["part"] == "model":
            times = row["milliseconds"]
            yield f"time of a batch of {row['batch']}", f"{times['dense']:.1f} ms", f"{times['compact']:.1f} ms"
