"""Saved trials, evaluated again: the same tables as at the end of their training."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from datasets import Loaders
from deploy.compact_evaluation import compact_row
from engine import checkpoint as files
from engine.device import resolve
from engine.result_table import dense_twin, network_sizes, show_result
from engine.results import check_writable, result_paths, write_results
from engine.saved_trial import SavedTrial, evaluate_trial, load_trial, result_row
from engine.sparsity_numbers import warn_of_dead_layers
from settings.config import ExperimentConfig
from tasks.data_sets import DATA_SETS
from utils.errors import TrialError
from utils.numbers import counted

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of an evaluation of saved networks."""

    split: str = "test"
    """One of train, val and test."""
    data_dir: Path | None = None
    """Folder in place of the configuration's."""
    device: str | None = None
    """Device in place of the configuration's."""
    compact: bool = False
    """Evaluate the trials' compact models, made anew from their checkpoints, and compare them with the trained ones."""
    last: bool = False
    """Evaluate the networks after the trials' last epochs, and not the best ones on validation."""

    @property
    def name_end(self) -> str:
        """End of the names of the tables, so that they replace no others."""
        return f"_{self.split}" * (self.split != "test") + "_compact" * self.compact + "_last" * self.last

    def moved(self, config: ExperimentConfig) -> ExperimentConfig:
        """Return a configuration for the folder, device and precision of the evaluation."""
        config = config.with_data_dir(self.data_dir) if self.data_dir else config
        precision = {"precision": "fp32"} if self.compact else {}
        return config.model_copy(update=precision | ({"device": self.device} if self.device else {}))


def evaluate_experiment(
    exp_name: str,
    num_trials: int | None,
    results_dir: Path,
    dataset_name: str,
    out_dir: Path = Path("out_csv"),
    options: EvaluationOptions = EvaluationOptions(),
) -> pd.DataFrame:
    """Evaluate an experiment's saved networks again and write the same tables as its training did.

    The tables are called after the experiment; those of another split than the test split ``<name>_<split>``, and those of
    fewer trials than are there ``<name>_first_<n>``, those of compact models ``<name>_compact`` and those of the last networks
    ``<name>_last``, so that they replace nothing. One trial's folder gives its own name.

    Args:
        exp_name: experiment or trial, as :func:`engine.checkpoint.find_trials` takes it.
        num_trials: how many trials, from 0; None: all that are there.
        results_dir: folder of the trials' folders.
        dataset_name: the data set that the experiment must be of, or another that the same script is for.
        out_dir: folder of the tables.
        options: what is evaluated, and where.

    Raises:
        UserError: there is no such experiment or trial, it cannot be evaluated, or ``out_dir`` cannot be written.
    """
    check_writable(out_dir)
    folders = files.find_trials(results_dir, exp_name)
    exact = files.trial_at(Path(exp_name), results_dir) is not None
    complete = [number for number, folder in folders.items() if (folder / files.TEST).is_file()] or list(folders)
    left_out = [number for number in folders if number not in complete]
    if num_trials is None and left_out:
        log.warning("left out, as they are not finished (no %s): trials %s", files.TEST, ", ".join(map(str, left_out)))
    wanted = complete if num_trials is None else _first(num_trials, folders, f"{exp_name!r} in {results_dir}")
    rows: list[dict[str, Any]] = []
    sizes: list[dict[str, Any]] = []
    loaders = None
    for number in wanted:
        log.info("trial %d: %s", number, folders[number])
        trial = _load(folders[number], dataset_name, files.LAST if options.last else files.BEST)
        config, device = resolve(options.moved(trial.config))
        trial.model.to(device)
        warn_of_dead_layers(trial.model, config, f"trial {number}")
        if loaders is None or loaders.config != config:
            loaders = Loaders(config, device.type == "cuda")
        if options.compact:
            rows.append(compact_row(trial, loaders, options.split, device))
            sizes.append(rows[-1])
        else:
            sizes.append(network_sizes(trial.model, config))
            rows.append(result_row(trial, evaluate_trial(replace(trial, config=config), loaders, options.split, device)))
    name = trial.folder.name if exact else trial.config.Experiment_name
    name += f"_first_{len(rows)}" * (len(rows) < len(complete)) + options.name_end
    table = write_results(out_dir, name, trial.config.Experiment_name, rows)
    # The twin's rows are those of its own test.
    same_frames = options.name_end in ("", "_compact") and options.data_dir is None
    twin = dense_twin(trial.config, trial.folder.parent, table["seed"]) if same_frames else None
    show_result(trial.config, table, sizes, result_paths(out_dir, name)[0], twin, options.split)
    return table


def _first(num_trials: int, folders: dict[int, Path], where: str) -> list[int]:
    """Return the numbers of the first trials, all of which have a folder."""
    missing = [number for number in range(num_trials) if number not in folders]
    if missing:
        raise TrialError(
            f"--num_trials {num_trials}: {where} has {counted(len(folders), 'trial')} "
            f"(numbers {', '.join(map(str, folders))}); trial {missing[0]} is missing"
        )
    return list(range(num_trials))


def _load(folder: Path, dataset_name: str, network: str) -> SavedTrial:
    """Load a trial of the script's data set; warn if it is not finished."""
    trial = load_trial(folder, network=network)
    trained = trial.config.data_set
    if trained.script != DATA_SETS[dataset_name].script:
        raise TrialError(
            f"{folder} was trained on dataset_name: {trained.name!r}, and this script is for {dataset_name!r}; "
            f"use {trained.script}"
        )
    if not (folder / files.TEST).is_file():
        which = "last" if network == files.LAST else "best"
        log.warning("trial %d is not finished (no %s): its %s network so far is evaluated", trial.number, files.TEST, which)
    return trial
