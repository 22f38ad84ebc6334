"""Train the runs of a study that have no row yet in a file of rows, and print what the rows say.

    python benchmarks/study_rows.py config/study_nyu_small_augmented.yaml docs/data/nyu_small_augmented.csv [key=value ...]
    python benchmarks/study_rows.py STUDY ROWS --add FOLDER ...     rows of trials that are trained already
    python benchmarks/study_rows.py STUDY ROWS --table              the table alone

A row is written when its run is finished, so that the work can stop anywhere, and go on where the folders of the runs are gone.
The command can run several times at once: a run that another process is at is left to it. A run is known by its digest: of all
keys that change its numbers, without its name, its number of trials and what depends on the machine. (A key that is younger
than the rows goes into ADDED; else all runs count as others, and are trained anew.) The table has per setting the means over
the seeds of the networks' metrics on the test split, and of delta_MTL against the dense run of the same seed, on the test split
and over the last epochs on validation, with its 95 % interval (Student's t). --metric class_Male=auroc judges a task by another
metric than its main one.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from filelock import FileLock

from engine import checkpoint as files
from engine.resuming import saved_row
from engine.saved_trial import load_trial
from engine.starting import checkpoint_of
from models import compact
from settings.config import ExperimentConfig, load_config
from settings.messages import nearest
from settings.targets import TARGETS
from study.launch import attempt
from study.plan import Setting, Study, load_study
from study.statistics import delta_mtl_all_metrics, estimate
from study.twins import twin_of
from tasks.objectives import metrics_of
from tasks.table import Task
from utils.cli import path_argument
from utils.console import run_script, setup_logging
from utils.errors import ConfigError, TrialError
from utils.files import write_text

LAST_EPOCHS = 5
"""Epochs at the end whose validation metrics are averaged: those of one epoch are noisy."""

ADDED = {
    **{"lr_schedule.step_size": 100, "distill.from": None, "distill.weight": 1.0, "class_weights": "none", "tasks": None},
    **{"images.folder": "images", "images.ending": None, "batch_norm": "local"},
    **dict.fromkeys(("split_files", "split_folders", "split_fractions")),
}
"""Keys that are younger than the first rows, and the value of each with which a training is what it was before."""

Row = dict[str, Any]


def digest(config: ExperimentConfig) -> str:
    """Return a short text that is the same for two configurations whose trials with one seed have the same numbers."""
    sparse = config.group_sparsity
    values = config.select(lambda nature: "numbers" in nature.alters and not nature.machine and (sparse or not nature.penalty))
    values |= {"bb_optimizer_params.penalty": config.penalty.name} if sparse else {}
    left_out = {"seed", "num_trials", "Experiment_name", "setup", "group_sparsity", *(() if sparse else TARGETS)}
    if values["distill.from"]:  # which network it is, wherever it lies
        taught = load_config(checkpoint_of(str(values["distill.from"]), "distill.from", 0).parent / files.CONFIG)
        values["distill.from"] = digest(taught)
    left_out |= {key for key, value in ADDED.items() if values.get(key) == value}
    kept = {key: value for key, value in values.items() if key not in left_out and "data_dir" not in key}
    return hashlib.sha256(json.dumps([sparse, kept], sort_keys=True).encode()).hexdigest()[:12]


Judged = Mapping[str, str]
"""Per task a metric in place of its main one."""


def judged_metrics(tasks: Mapping[str, Task], judged: Judged) -> dict[str, str]:
    """Return per task the metric by which it is judged."""
    return {name: judged.get(name, task.main_metric) for name, task in tasks.items()}


def read_judged(given: Iterable[str], tasks: Mapping[str, Task]) -> Judged:
    """Read ``task=metric`` from the command line.

    Raises:
        ConfigError: there is no such task, or it has no such metric.
    """
    judged = {task: metric for task, _, metric in (text.partition("=") for text in given)}
    for task, metric in judged.items():
        known = metrics_of(tasks[task]) if task in tasks else {}
        if metric not in known:
            raise ConfigError(
                f"--metric: {task}={metric}; expected task=metric, such as class_Male=auroc{nearest(metric, known)}"
            )
    return judged


def row_of(folder: Path, setting: Setting, commit: str, judged: Judged) -> Row:
    """Return the row of a finished trial, which was trained with the code of a commit."""
    trial = load_trial(folder)
    tested, lines = saved_row(folder), files.read_lines(folder / files.METRICS)
    mains = [f"{task}_{metric}" for task, metric in judged_metrics(trial.config.tasks, judged).items()]
    total = compact(trial.model, image_size=trial.config.size)[1].totals["model"]
    spent = [line["images_per_second"] * line["train_seconds"] * line.get("train_GMACs", total["macs"] / 1e9) for line in lines]
    return {
        "setting": setting.name,
        "seed": trial.seed,
        "digest": digest(trial.config),
        "commit": commit,
        "date": datetime.now(UTC).date().isoformat(),
        "precision": trial.config.precision,
        "best_epoch": trial.best_epoch,
        "group_sparsity": tested["group_sparsity"],
        "dense_GMACs": total["macs"] / 1e9,
        "compact_GMACs": total["macs_left"] / 1e9,
        "compact_Mparameters": total["parameters_left"] / 1e6,
        "training_minutes": sum(line["train_seconds"] + line["validation_seconds"] for line in lines) / 60,
        "training_TMACs": 3 * sum(spent) / 1e3,
        "val_loss": lines[trial.best_epoch - 1]["val/loss/total"],
        **{name: tested[name] for name in mains},
        **last_epochs(lines, mains),
    }


def last_epochs(lines: Sequence[Row], names: Iterable[str]) -> dict[str, float]:
    """Return the means of some validation metrics over the last epochs; NaN where one of these has no value."""
    values = {name: [line[f"val/{name}"] for line in lines[-LAST_EPOCHS:]] for name in names}
    return {f"val_{name}": math.nan if None in some else statistics.mean(some) for name, some in values.items()}


def current_commit() -> str:
    """Return the short name of the commit of the code, with a + where files differ from it.

    Raises:
        ConfigError: the code is in no repository.
    """
    folder = Path(__file__).resolve().parents[1]
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        raise ConfigError("--commit: is missing, and git does not tell the commit of this code; give it") from None


def read_rows(path: Path) -> list[Row]:
    """Return the rows of the file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def add_row(path: Path, row: Row) -> None:
    """Append a row, or put it in the place of that of the same run; columns that the file lacks are added to it."""
    short = {name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in row.items()}
    with FileLock(path.with_name(f"{path.name}.lock")):
        others = [each for each in read_rows(path) if key_of(each) != key_of(short)]
        rows, text = [*others, short], io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(name for each in rows for name in each)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, text.getvalue())


def key_of(row: Row) -> tuple[str, int]:
    """Return what tells a run from others: its digest and its seed."""
    return row["digest"], int(row["seed"])


def missing(study: Study, path: Path) -> list[Any]:
    """Return the runs that have no row."""
    known = {key_of(row) for row in read_rows(path)}
    return [run for run in study.runs if (digest(run.config), run.config.seed + run.trial) not in known]


def judged_values(row: Row, tasks: Mapping[str, Task], judged: Judged, split: str = "") -> dict[str, dict[str, float]]:
    """Return the metrics of a row by which its tasks are judged; ``split``: ``val_``, or empty for the test split."""
    return {task: {metric: float(row[f"{split}{task}_{metric}"])} for task, metric in judged_metrics(tasks, judged).items()}


def dense_like(setting: Setting, study: Study) -> Setting | None:
    """Return the dense setting that one is compared with: its twin, else that of the same tasks without a variant."""
    alike = [other for other in study.settings if not other.sparse and other.config.task_list == setting.config.task_list]
    return twin_of(setting, study.settings) or next((other for other in alike if not other.variant), None)


def told_difference(pairs: Sequence[float]) -> str:
    """Write the mean of the paired differences that have a value, with its 95 % interval (Student's t)."""
    known = [pair for pair in pairs if math.isfinite(pair)]
    difference, without = estimate(known), f"; {len(pairs) - len(known)} without a value" * (len(known) < len(pairs))
    if len(known) < 2:
        return f"{difference.mean:+.1f} (one pair{without})" if known else without.removeprefix("; ")
    return f"{difference.mean:+.1f} ({difference.low:+.1f} to {difference.high:+.1f}{without})"


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *lines))


def table(study: Study, rows: Sequence[Row], judged: Judged) -> str:
    """Write the means of each setting, and its paired difference from the dense runs, as a table in Markdown."""
    lines = []
    mains = [f"{task}_{metric}" for task, metric in judged_metrics(study.tasks, judged).items()]
    quantities = ("group_sparsity", "compact_GMACs", "training_minutes", "training_TMACs", *mains)
    for setting in study.settings:
        tasks = setting.config.tasks
        own = {int(row["seed"]): row for row in rows if row["digest"] == digest(setting.config)}
        twin = dense_like(setting, study)
        dense = {int(row["seed"]): row for row in rows if twin and row["digest"] == digest(twin.config)}
        known = {name: [float(row[name]) for row in own.values() if row.get(name)] for name in quantities}
        means = [f"{statistics.mean(values):.4g}" if values else "" for values in known.values()]
        pairs = [(row, dense[seed]) for seed, row in own.items() if seed in dense and twin is not setting]
        # One metric per task: the mean over them is delta_MTL.
        deltas = [
            [
                delta_mtl_all_metrics(
                    judged_values(own_row, tasks, judged, split), judged_values(dense_row, tasks, judged, split), tasks
                )
                for own_row, dense_row in pairs
            ]
            for split in ("", "val_")
        ]
        lines.append([setting.name, str(len(own)), *means, *map(told_difference, deltas)])
    return markdown(["setting", "seeds", *quantities, "delta_MTL against dense, test", "validation"], lines)


def add_folders(study: Study, path: Path, folders: Iterable[Path], commit: str, judged: Judged) -> None:
    """Add the rows of trials in folders, each of which has the numbers of one setting of the study."""
    by_digest = {digest(setting.config): setting for setting in study.settings}
    for folder in folders:
        setting = by_digest.get(digest(load_config(folder / files.CONFIG)))
        if setting is None:
            raise TrialError(f"{folder}: no setting of {study.name} has the configuration of this trial")
        add_row(path, row_of(folder, setting, commit, judged))


def main() -> int:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=path_argument)
    parser.add_argument("rows", type=path_argument)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument(
        "--add", type=path_argument, nargs="+", default=(), metavar="FOLDER", help="trials that are trained already"
    )
    parser.add_argument("--commit", type=str.strip, help="of the code that trained them (default: that of this code)")
    parser.add_argument(
        "--metric", nargs="+", default=(), metavar="TASK=METRIC", help="judges a task in place of its main metric"
    )
    parser.add_argument("--table", action="store_true", help="print the table alone")
    args = parser.parse_args()
    setup_logging()
    study = load_study(args.study, args.overrides)
    judged = read_judged(args.metric, study.tasks)
    commit = "" if args.table else args.commit or current_commit()
    add_folders(study, args.rows, args.add, commit, judged)
    failed = False
    if not args.table and not args.add:
        for run in study.runs:
            if run in missing(study, args.rows):
                outcome = attempt(run)
                failed |= outcome.status == "failed"
                if outcome.status == "finished":
                    add_row(args.rows, row_of(run.folder, run.setting, commit, judged))
    print(table(study, read_rows(args.rows), judged))
    return int(failed)


if __name__ == "__main__":
    run_script(main)
