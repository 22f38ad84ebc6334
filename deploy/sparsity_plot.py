"""The sparsity of a trained model as a figure and a table, beside its checkpoint."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from datasets.preparation.synthetic import drawn_title
from engine.saved_trial import SavedTrial, load_trial
from engine.tracking import make_tracker
from figures.saving import save_figure
from figures.sparsity_bars import sparsity_figure
from utils.csv_tables import write_csv

log = logging.getLogger(__name__)


def figure_title(trial: SavedTrial) -> str:
    """Name the data set, tasks, penalty and network of a figure."""
    config = trial.config
    tasks = ", ".join(task.title for task in config.tasks.values())
    if config.target is not None:
        strength = f"for {100 * config.target.share:g} % {config.target.kind.phrase}"
    else:
        strength = f"with λ={config.penalty_lambda:g}"
    penalty = f"{config.penalty.name} {strength}" if config.group_sparsity else "dense (λ=0)"
    data = drawn_title(config) or config.data_title
    return f"{data}: {tasks} · {config.backbone} · {penalty} · {trial.folder.name}"


def plot_trial(folder: Path, tracking: str | None = None) -> list[Path]:
    """Write ``sparsity_plot.png``, ``sparsity_plot.pdf`` and ``sparsity.csv`` into a trial's folder.

    Args:
        folder: of a trained trial.
        tracking: in place of the configuration's.

    Returns:
        The written files.

    Raises:
        TrialError: ``folder`` holds no trained trial.
    """
    trial = load_trial(folder)
    report = trial.sparsity
    layers = pd.DataFrame(report.rows())
    table = folder / "sparsity.csv"
    write_csv(table, layers, "%.4f")
    paths = [*save_figure(sparsity_figure(layers, figure_title(trial)), folder / "sparsity_plot"), table]
    for path in paths:
        log.info("wrote %s", path)
    config = trial.config.model_copy(update={"tracking": tracking}) if tracking else trial.config
    tracker = make_tracker(config, f"{folder.name}_sparsity", folder)
    sparsity = {"best/group_sparsity": report.group_sparsity, "best/parameter_sparsity": report.parameter_sparsity}
    tracker.image("sparsity_plot", paths[0], trial.best_epoch)
    tracker.finish({"epochs": trial.best_epoch, **sparsity})
    log.info(
        "%d of %d groups are zero (%.2f %%), with %.2f %% of the parameters of the shared convolutions",
        *(report.zero_groups, report.groups, report.group_sparsity, report.parameter_sparsity),
    )
    return paths
