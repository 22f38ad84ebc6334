"""An experiment: all trials of a configuration, their tests, and the result tables."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from datasets import Loaders, refuse_unlabelled
from engine import checkpoint as files
from engine.budget import check_budget
from engine.class_weights import with_class_weights
from engine.device import resolve
from engine.distributed import ranks, tensors_of
from engine.epoch_table import main_metrics
from engine.following import check_ranks
from engine.frames_record import check_frames, frames_of, keep_frames
from engine.optimizer import check_anatomy
from engine.pictures import draw_predictions
from engine.result_table import dense_twin, network_sizes, show_result
from engine.results import check_writable, result_paths, write_results
from engine.resuming import (
    check_begun,
    check_folders,
    continue_trial,
    drop_state,
    existing_trials,
    is_finished,
    remove_leftovers,
    saved_row,
)
from engine.saved_trial import evaluate_trial, load_trial, result_row
from engine.sparsity_numbers import warn_of_dead_layers
from engine.starting import check_kept, check_start, checkpoint_of, start_from
from engine.tracking import Tracker, make_tracker, tracking_mode
from engine.trainer import TrainingDivergedError, fit
from engine.trial import Trial
from engine.trial_record import EnvironmentRecord, TrialLog, trial_log
from figures.control import control_figure
from figures.learning_curves import learning_curves
from figures.saving import save_figure
from models import build_model
from settings.config import ExperimentConfig, unused_keys
from settings.messages import nearest
from settings.sections import OptimizerParams, Strength
from tasks.metric_info import metrics_of
from utils.errors import ConfigError
from utils.files import remove_folder, remove_unfinished
from utils.locks import experiment_lock, refuse_if_held
from utils.numbers import counted

log = logging.getLogger(__name__)


def expand_lambdas(config: ExperimentConfig) -> list[ExperimentConfig]:
    """One configuration per entry of ``lambda_list``, named after it; the configuration itself without one.

    Raises:
        ConfigError: the configuration can be read, but not be run.
    """
    if config.num_trials == 0:
        raise ConfigError("num_trials: is 0, so there is nothing to run; give the number of trials, such as num_trials=5")
    if config.lambda_list is None:
        if config.group_sparsity and config.bb_optimizer_params.lambda_ is None and config.target is None:
            raise ConfigError(
                "bb_optimizer_params.lambda: is None or missing, and group_sparsity is true; give a number (such as "
                "bb_optimizer_params.lambda=1e-5), several as lambda_list, or a target (such as target_sparsity)"
            )
        return [config]
    if not config.group_sparsity:
        raise ConfigError("lambda_list: needs group_sparsity: true, which is false")
    names = [f"{config.Experiment_name}_lambda{value:g}" for value in config.lambda_list]
    if len(set(names)) < len(names) or not names:
        raise ConfigError(f"lambda_list: {list(config.lambda_list)}; expected at least one number, and all different")
    return [
        config.model_copy(
            update={
                "Experiment_name": name,
                "lambda_list": None,
                "bb_optimizer_params": _with_lambda(config.bb_optimizer_params, value),
            }
        )
        for name, value in zip(names, config.lambda_list, strict=True)
    ]


def _with_lambda(params: OptimizerParams, value: float) -> OptimizerParams:
    """Return the same settings with another strength; a warm-up stays one."""
    strength = Strength(value) if params.lambda_ is None else params.lambda_.with_final(value)
    return params.model_copy(update={"lambda_": strength})


def run_experiment(
    config: ExperimentConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    out_dir: Path = Path("out_csv"),
    typed: Collection[str] = (),
) -> pd.DataFrame:
    """Train, test and tabulate every trial (for every lambda of ``lambda_list``).

    Writes the trials' folders below ``checkpoint_folder``, and ``<Experiment_name>.csv`` and ``<Experiment_name>_trials.csv``
    into ``out_dir``.

    Args:
        config: as ``settings.config.load_config`` gives it.
        resume: continue an interrupted experiment, which has to be there; finished trials are kept.
        overwrite: delete the experiment's trials first.
        out_dir: folder of the tables.
        typed: keys that were given on purpose for this one run: what they switch off is not warned about.

    Returns:
        One row per finished trial.

    Raises:
        UserError: a setting, a folder or the data is not as it should be.
        TrainingDivergedError: a trial met a loss that is not finite; the other trials are finished and tabulated.
    """
    check_ranks(config, ranks())
    runs = [resolve(single) for single in expand_lambdas(config)]
    # Whatever can be refused is refused here: before anything is written or removed, and not after hours of training.
    for single, _ in runs:
        refuse_if_held(single.trial_folder(0).parent, single.Experiment_name)
        check_folders(single, resume or config.checkpoint, overwrite, out_dir)
    if resume and not overwrite:
        check_begun([single for single, _ in runs])
    resume = resume or config.checkpoint
    check_writable(out_dir)
    # The runs differ in the penalty's strength only.
    loaders = check_inputs(*runs[0])
    frames = frames_of(loaders)
    for folder in (folder for single, _ in runs for folder in existing_trials(single) if not overwrite):
        check_frames(folder, frames)
    weighted = with_class_weights([single for single, _ in runs], loaders)
    runs = [(single, device) for single, (_, device) in zip(weighted, runs, strict=True)]
    unused = unused_keys(config, typed)
    if unused:
        log.warning("set, but without effect in this experiment: %s", ", ".join(unused))
    rows, failures = [], []
    for single, device in runs:
        finished, failed = _run_one(single, device, loaders, resume, overwrite, out_dir)
        name = {"Experiment_name": single.Experiment_name} if len(runs) > 1 else {}
        rows += [{**name, **row} for row in finished]
        failures += failed
    if failures:
        raise TrainingDivergedError("; ".join(failures))
    return pd.DataFrame(rows)


def _run_one(
    config: ExperimentConfig, device: torch.device, loaders: Loaders, resume: bool, overwrite: bool, out_dir: Path
) -> tuple[list[dict[str, Any]], list[str]]:
    """Run all trials of one configuration; return the rows of the finished ones, and what stopped the others."""
    root = config.trial_folder(0).parent
    with experiment_lock(root, config.Experiment_name):
        check_folders(config, resume, overwrite, out_dir)  # again: now nobody else changes them
        remove_leftovers(config, out_dir)
        if overwrite:
            check_kept(config, existing_trials(config))
            _remove_results(config, out_dir)
        log.info(
            "experiment %s: %s on %s (%s), trials in %s, tables in %s",
            *(config.Experiment_name, counted(config.num_trials, "trial"), device, config.precision, root, out_dir),
        )
        rows, failures = [], []
        for number in range(config.num_trials):
            folder = config.trial_folder(number)
            if resume and is_finished(folder, config):
                log.info("%s is finished: %s", folder.name, folder)
                drop_state(folder, config)  # a run that was killed before that left it
                rows.append(saved_row(folder))
                continue
            try:
                rows.append(run_trial(config, number, device, resume, loaders))
                # Whatever ends a later trial, the finished ones are in the tables.
                write_results(out_dir, config.Experiment_name, config.Experiment_name, rows)
            except TrainingDivergedError as error:
                failures.append(str(error))
        if rows:
            trials = write_results(out_dir, config.Experiment_name, config.Experiment_name, rows)
            saved = (load_trial(config.trial_folder(row["trial"])) for row in rows)
            sizes = [network_sizes(trial.model, trial.config) for trial in saved]
            path = result_paths(out_dir, config.Experiment_name)[0]
            show_result(config, trials, sizes, path, dense_twin(config, root, trials["seed"]))
    return rows, failures


def check_inputs(config: ExperimentConfig, device: torch.device) -> Loaders:
    """Refuse data that cannot be read or have no target, weights to start from that cannot be read, what :func:`check_network`
    refuses, and a tracker that is not installed; return the loaders of the data."""
    tracking_mode(config)
    # Before the loaders, which fill the cache.
    check_network(config)
    if config.init_weights is not None:
        build_model(config)
    check_start(config)
    loaders = Loaders(config, device.type == "cuda", ranks().part)
    training, validation, _ = loaders.training(config.seed), loaders.evaluation("val"), loaders.evaluation("test")
    refuse_unlabelled(training.dataset, "train")  # type: ignore[arg-type]
    refuse_unlabelled(validation.dataset, "val")  # type: ignore[arg-type]
    return loaders


def check_network(config: ExperimentConfig) -> None:
    """Refuse a main metric that there is not, a backbone that cannot do what is asked of it, and a budget that cannot be kept;
    reads no file."""
    for task in config.tasks.values():
        if task.main_metric not in (known := metrics_of(task)):
            key = f"main_metrics.{task.name}" if task.name in config.main_metrics else f"tasks.{task.name}.metric"
            metric = f"{key}: {task.main_metric!r}"
            raise ConfigError(f"{metric} is not valid; expected {', '.join(known)}{nearest(task.main_metric, known)}")
    check_anatomy(config)
    if config.target is not None and config.target.is_budget:
        check_budget(build_model(config.model_copy(update={"init_weights": None})), config)


def _remove_results(config: ExperimentConfig, out_dir: Path) -> None:
    """Delete the experiment's trials and tables."""
    for folder in existing_trials(config):
        remove_folder(folder)
    for path in result_paths(out_dir, config.Experiment_name):
        path.unlink(missing_ok=True)


def run_trial(
    config: ExperimentConfig,
    number: int,
    device: torch.device,
    resume: bool,
    loaders: Loaders | None = None,
    group: str | None = None,
) -> dict[str, Any]:
    """Train one trial (or what is left of it), test its best network once, and return its row.

    Args:
        config: with the precision resolved.
        number: of the trial, from 0.
        device: where to train.
        resume: continue what is there of the trial.
        loaders: of the experiment; None: the trial builds its own.
        group: of its run in the tracker; None: the experiment.
    """
    loaders = loaders or Loaders(config, device.type == "cuda")
    folder = config.trial_folder(number)
    folder.mkdir(parents=True, exist_ok=True)
    for place in (folder, folder / "predictions"):
        remove_unfinished(place)
    with trial_log() as kept_log:
        return _run_trial(config, number, device, resume, loaders, kept_log, group)


def _run_trial(
    config: ExperimentConfig,
    number: int,
    device: torch.device,
    resume: bool,
    loaders: Loaders,
    kept_log: TrialLog,
    group: str | None,
) -> dict[str, Any]:
    """Do what :func:`run_trial` does, in the trial's folder, which is there."""
    folder = config.trial_folder(number)
    frames = frames_of(loaders)
    if resume:
        check_frames(folder, frames)
    ranks().broadcast((config, number))
    trial = Trial(config, number, device, folder)
    run_id = continue_trial(trial) if resume else None
    report = getattr(trial.model.backbone, "init_report", None)
    if report and trial.saved is None:
        log.info("backbone: %s", report)
    if config.start_from is not None and trial.saved is None:
        log.info("%s starts from %s", trial.name, start_from(trial.model, config, number))
    if config.distill.from_ is not None:
        log.info("%s learns from %s", trial.name, checkpoint_of(config, "distill.from", number))
    if ranks().size > 1:
        ranks().broadcast(None if trial.saved is None else files.load_tensors(folder / files.LAST))
        ranks().spread(tensors_of(trial.model))
    # A test of fewer epochs goes first: a trial that has one counts as finished.
    (folder / files.TEST).unlink(missing_ok=True)
    config.save(folder / files.CONFIG)
    keep_frames(folder, frames)
    # Not before: a folder that holds other files and no configuration is refused as none of a trial.
    kept_log.open(folder / files.LOG)
    environment = EnvironmentRecord(folder / files.ENVIRONMENT)
    environment.begin(device, trial.epoch)
    tracker = make_tracker(config, folder.name, folder, run_id, group)
    summary: dict[str, Any] = {"status": "stopped"}
    try:
        with ranks().patience():
            fit(trial, tracker, loaders)
            draw_control(trial, tracker)
            row = final_test(trial, tracker, loaders)
        known = {name: row[name] for name in ("trial", "seed", "epochs")}
        tested = {f"test/{name}": value for name, value in row.items() if name not in known}
        summary = {"status": "finished", **known, **tested}
        drop_state(folder, config)
    except KeyboardInterrupt:
        _say_where(trial)
        raise
    except TrainingDivergedError as error:
        log.error("%s diverged: %s", trial.name, error)
        summary["status"] = str(error)
        raise
    finally:
        environment.end()
        for name in (files.LOG, files.ENVIRONMENT):
            tracker.file(name, folder / name)
        tracker.finish(summary)
    return row


def _say_where(trial: Trial) -> None:
    """Say where a trial was interrupted, and what is kept of it."""
    saved = trial.saved or 0
    trained = saved == trial.config.epochs or (trial.done and saved == trial.epoch)
    where = "its test" if trained else f"epoch {saved + 1}"
    state = (
        "nothing of it is saved" if trial.saved is None else f"its state after epoch {saved} is in {trial.folder / files.LAST}"
    )
    log.warning("%s was interrupted in %s; %s", trial.name, where, state)


def draw_control(trial: Trial, tracker: Tracker) -> None:
    """The figure of lambda and sparsity over the training of a sparse trial, ``sparsity_control.png``."""
    points = files.read_lines(trial.folder / files.STEPS)
    if points:
        figure = control_figure(points, f"{trial.config.Experiment_name}, trial {trial.number}: penalty and sparsity")
        path = save_figure(figure, trial.folder / "sparsity_control", ("png",))[0]
        tracker.image("sparsity_control", path, trial.epoch)


def draw_curves(trial: Trial, tracker: Tracker, best_epoch: int) -> None:
    """Draw the learning curves of a trial whose best network is that of ``best_epoch``, ``curves.png``."""
    config, lines = trial.config, files.read_lines(trial.folder / files.METRICS)
    if not lines:
        return
    figure = learning_curves(lines, config.tasks.values(), best_epoch, trial.name, sparse=config.group_sparsity)
    tracker.image("curves", save_figure(figure, trial.folder / "curves", ("png",))[0], trial.epoch)


def final_test(trial: Trial, tracker: Tracker, loaders: Loaders) -> dict[str, Any]:
    """Test the network that a trial has saved, once, and write ``test.json``; returns its row of the table."""
    folder, device, config = trial.folder, trial.device, trial.config
    saved = load_trial(folder, device)
    draw_curves(trial, tracker, saved.best_epoch)
    if config.wandb_img_log:
        dataset: Any = loaders.evaluation("val").dataset
        figure = draw_predictions(saved.model, dataset, config, device, f"best network (epoch {saved.best_epoch})")
        path = save_figure(figure, folder / "predictions" / "best", ("png",))[0]
        tracker.image("predictions_best", path, saved.epochs)
    ranks().spread(tensors_of(saved.model))
    evaluation = evaluate_trial(replace(saved, config=config), loaders, "test", device)
    row = result_row(saved, evaluation)
    warn_of_dead_layers(saved.model, config, f"{trial.name}, the network that is tested")
    files.save_json(
        folder / files.TEST,
        {
            "split": "test",
            "best_epoch": saved.best_epoch,
            "early_stopped": trial.done,
            "precision": config.precision,
            "device": str(device),
            **({"skipped": evaluation.skipped} if config.on_bad_sample == "skip" else {}),
            "losses": evaluation.losses,
            "metrics": evaluation.metrics,
            "row": row,
        },
    )
    tested = main_metrics(config.tasks.values(), evaluation.flat())
    log.info("%s: test of the network of epoch %d: %s", trial.name, saved.best_epoch, tested)
    return row
