"""Train the runs of a study that have no row yet in a file of rows, and print what the rows say.

    python benchmarks/study_rows.py config/study_nyu_small_augmented.yaml docs/data/nyu_small_augmented.csv [key=value ...]
    python benchmarks/study_rows.py STUDY ROWS --add FOLDER ...     rows of trials that are trained already
    python benchmarks/study_rows.py STUDY ROWS --table              the table alone

A row is written when its run is finished, so that the work can stop anywhere, and go on where the folders of the runs are gone.
The command can run several times at once: a run that another process is at is left to it. A run is known by its digest: of all
keys that change its numbers, without its name, its number of trials and what depends on the machine. (A key that is younger
than the rows goes into ADDED; else all runs count as others, and are trained anew.) The table has per setting the means over
the seeds of the networks' metrics on the test split, and of delta_MTL against the dense run of the same seed, on the test split
and over the last epochs on validation, with its 95 % interval (Student's t). A task is judged
by its main metric (main_metrics). Where the data lie is not in the digest: a file of rows is for one data set and its splits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import statistics
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.methods import macs_of
from benchmarks.rows import (
    Row,
    add_row,
    by_seed,
    changes,
    check_rows,
    key_of,
    main_metrics,
    markdown,
    mean,
    read_rows,
    short_commit,
    told,
)
from engine import checkpoint as files
from engine.checkpoint import find_trial
from engine.device import resolve
from engine.experiment import check_inputs
from engine.resuming import saved_row
from engine.saved_trial import load_trial
from engine.starting import checkpoint_of
from models import build_model, compact
from settings.config import ExperimentConfig, load_config
from settings.sections import TRIAL
from settings.targets import TARGETS
from study.launch import attempt
from study.plan import Run, Setting, Study, load_study
from study.twins import twin_of
from utils.cli import path_argument
from utils.console import run_script, setup_logging
from utils.errors import ConfigError, TrialError

LAST_EPOCHS = 5
"""Epochs at the end whose validation metrics are averaged: those of one epoch are noisy."""

ADDED = {
    **{"lr_schedule.step_size": 100, "distill.from": None, "distill.weight": 1.0, "class_weights": "none", "tasks": None},
    **{"images.folder": "images", "images.ending": None, "batch_norm": "local"},
    **dict.fromkeys(("split_files", "split_folders", "split_fractions")),
}
"""Keys that are younger than the first rows, and the value of each with which a training is what it was before."""


def digest(config: ExperimentConfig, study: Study | None = None) -> str:
    """Return a short text that is the same for two configurations whose trials with one seed have the same numbers.

    Args:
        config: the configuration.
        study: some of whose runs it may start or learn from; other networks have to be there.
    """
    sparse = config.group_sparsity
    values = config.select(lambda nature: "numbers" in nature.alters and not nature.machine and (sparse or not nature.penalty))
    values |= {"bb_optimizer_params.penalty": config.penalty.name} if sparse else {}
    left_out = {"seed", "num_trials", "Experiment_name", "setup", "group_sparsity", *(() if sparse else TARGETS)}
    for key, text in config.networks.items():  # which network it is, wherever it lies
        source, seed = source_of(config, key, study)
        values[key] = [digest(source, study), seed - config.seed if TRIAL in text else f"seed {seed}"]
    if config.distill.from_ is None:
        left_out.add("distill.weight")
    values |= {"data_split_file": None} if "data_split_file" in values else {}
    left_out |= {key for key, value in ADDED.items() if values.get(key) == value}
    kept = {key: value for key, value in values.items() if key not in left_out and "data_dir" not in key}
    return hashlib.sha256(json.dumps([sparse, kept], sort_keys=True).encode()).hexdigest()[:12]


def source_of(config: ExperimentConfig, key: str, study: Study | None) -> tuple[ExperimentConfig, int]:
    """Return the configuration and the seed of the network that a key names for trial 0: of a run of the study, else of what is
    there.

    Raises:
        ConfigError: it is no finished trial.
    """
    if study is not None and (place := study.sources(config, 0).get(key)) is not None:
        setting, number = place
        return setting.config, setting.config.seed + number
    text = config.networks[key]
    path = checkpoint_of(config, key, 0)
    folder = path.parent
    if not all(some.is_file() for some in (path, folder / files.CONFIG, folder / files.TEST)):
        raise ConfigError(f"{config.Experiment_name}: {key}: {text}: expected a finished trial's folder, or its checkpoint")
    return load_config(folder / files.CONFIG), saved_row(folder)["seed"]


def row_of(folder: Path, setting: Setting, study: Study, commit: str | None = None) -> Row:
    """Return the row of a finished trial.

    Args:
        folder: of the trial.
        setting: of the study, that it has the numbers of.
        study: the study.
        commit: of the code that trained it (default: what the trial says).

    Raises:
        TrialError: it is not finished, or what it holds does not fit together.
    """
    trial, tested, lines = load_trial(folder), test_of(folder), files.read_lines(folder / files.METRICS)
    if len(lines) < max(trial.best_epoch, 1):
        raise TrialError(f"{folder / files.METRICS}: has {len(lines)} epochs, and the network is of epoch {trial.best_epoch}")
    mains = main_metrics(setting.config.tasks)
    if lacking := [name for name in mains if name not in tested]:
        raise TrialError(
            f"{folder / files.TEST}: has no {', '.join(lacking)}; delete the file and resume the trial to test it again"
        )
    total = compact(trial.model, image_size=trial.config.size)[1].totals["model"]
    images = [line["images_per_second"] * line["train_seconds"] for line in lines]
    spent = [3 * line.get("train_GMACs", total["macs"] / 1e9) * count for line, count in zip(lines, images, strict=True)]
    if trial.config.distill.from_ is not None:  # the network that is learned from runs forward beside
        teacher, _ = source_of(trial.config, "distill.from", study)
        its = {"init_weights": None, "task_list": trial.config.task_list}  # of its heads, those of other tasks do not run
        macs = macs_of(build_model(teacher.model_copy(update=its)), trial.config)
        spent += [macs / 1e9 * count for count in images]
    trained_by, date = origin(folder)
    return {
        "setting": setting.name,
        "seed": trial.seed,
        "digest": digest(trial.config, study),
        "commit": commit or trained_by,
        "date": date,
        "precision": trial.config.precision,
        "best_epoch": trial.best_epoch,
        "group_sparsity": tested["group_sparsity"],
        "dense_GMACs": total["macs"] / 1e9,
        "compact_GMACs": total["macs_left"] / 1e9,
        "compact_Mparameters": total["parameters_left"] / 1e6,
        "training_minutes": sum(line["train_seconds"] + line["validation_seconds"] for line in lines) / 60,
        "training_TMACs": sum(spent) / 1e3,
        "val_loss": lines[trial.best_epoch - 1]["val/loss/total"],
        **{name: tested[name] for name in mains},
        **last_epochs(lines, mains),
    }


def test_of(folder: Path) -> Row:
    """Return the row of results of a finished trial.

    Raises:
        TrialError: it is not finished, or its files are not complete.
    """
    if not (folder / files.TEST).is_file():
        raise TrialError(f"{folder}: has no {files.TEST}, so this trial is not finished; resume it first")
    try:
        return saved_row(folder)
    except TrialError as error:  # its advice is for those who train
        raise TrialError(error.fact) from None


def origin(folder: Path) -> tuple[str, str]:
    """Return the commit of the code that trained a trial last, with a + where files differed from it, and the day (UTC).

    Raises:
        TrialError: its record of them is damaged. (One without a commit gives an empty text.)
    """
    path = folder / files.ENVIRONMENT
    try:
        last = files.load_json(path)["starts"][-1]
        day = datetime.fromisoformat(last["end"] or last["start"]).astimezone(UTC).date().isoformat()
        return short_commit(last), day
    except (KeyError, IndexError, TypeError, ValueError):
        raise TrialError(f"{path}: does not say which code trained the trial, and when; restore it") from None


def last_epochs(lines: Sequence[Row], names: Iterable[str]) -> dict[str, float]:
    """Return the means of some validation metrics over the last epochs; NaN where one of these has no value."""
    values = {name: [line[f"val/{name}"] for line in lines[-LAST_EPOCHS:]] for name in names}
    return {f"val_{name}": math.nan if None in some else statistics.mean(some) for name, some in values.items()}


def missing(study: Study, path: Path) -> list[Run]:
    """Return the runs that have no row."""
    known = {key_of(row) for row in read_rows(path)}
    return [run for run in study.runs if (digest(run.config, study), run.config.seed + run.trial) not in known]


def dense_like(setting: Setting, study: Study) -> Setting | None:
    """Return the dense setting that one is compared with: its twin, else that of the same tasks without a variant."""
    alike = [other for other in study.settings if not other.sparse and other.config.task_list == setting.config.task_list]
    return twin_of(setting, study.settings) or next((other for other in alike if not other.variant), None)


def table(study: Study, rows: Sequence[Row]) -> str:
    """Write the means of each setting, and its paired difference from the dense runs, as a table in Markdown.

    Raises:
        ConfigError: no row is of the study, or one lacks a metric.
    """
    lines = []
    mains = main_metrics(study.tasks)
    quantities = ("group_sparsity", "compact_GMACs", "training_minutes", "training_TMACs", *mains)
    known = [by_seed(rows, digest(setting.config, study)) for setting in study.settings]
    if rows and not any(known):
        raise ConfigError(f"{study.name}: none of the {len(rows)} rows is of it; expected a file of its rows")
    for setting, own in zip(study.settings, known, strict=True):
        tasks, twin = setting.config.tasks, dense_like(setting, study)
        its = {*quantities[:4], *main_metrics(tasks)} if own else {}
        means = [f"{mean(own.values(), name):.4g}" if name in its else "" for name in quantities]
        dense = by_seed(rows, digest(twin.config, study)) if twin and twin is not setting else {}
        deltas = [changes(own, dense, tasks, split) for split in ("", "val_")]
        lines.append([setting.name, str(len(own)), *means, *(told(list(some.values())) for some in deltas)])
    return markdown(["setting", "seeds", *quantities, "delta_MTL against dense, test", "validation"], lines)


def rows_of(study: Study, folders: Iterable[Path], commit: str | None) -> list[Row]:
    """Return the rows of trials, each of which has the numbers of one setting of the study.

    Raises:
        TrialError: one has not, or is not finished.
    """
    by_digest = {digest(setting.config, study): setting for setting in study.settings}
    rows = []
    for folder in (find_trial("--add", given) for given in folders):
        setting = by_digest.get(digest(load_config(folder / files.CONFIG), study))
        if setting is None:
            raise TrialError(f"{folder}: no setting of {study.name} has the configuration of this trial")
        rows.append(row_of(folder, setting, study, commit))
    return rows


def main() -> int:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=path_argument)
    parser.add_argument("rows", type=path_argument)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--add", type=path_argument, nargs="+", default=(), metavar="FOLDER", help="trials that are trained already"
    )
    what.add_argument("--table", action="store_true", help="print the table alone")
    parser.add_argument("--commit", type=str.strip, help="of the code that trained them (default: what each trial says)")
    args = parser.parse_intermixed_args()
    setup_logging()
    study = load_study(args.study, args.overrides)
    failed = False
    if not args.table:
        check_rows(args.rows)
    for row in rows_of(study, args.add, args.commit):
        add_row(args.rows, row)
    if not args.table and not args.add:
        for config in {run.setting.name: run.own_config for run in missing(study, args.rows)}.values():
            check_inputs(*resolve(config))
        for run in study.runs:
            if run in missing(study, args.rows):
                outcome = attempt(run)
                failed |= outcome.status == "failed"
                if outcome.status == "finished":
                    add_row(args.rows, row_of(run.folder, run.setting, study, args.commit))
    print(table(study, read_rows(args.rows, must_exist=args.table)))
    return int(failed)


if __name__ == "__main__":
    run_script(main)
