"""The result of an experiment as a small table: its main metrics, beside its dense twin's, and what the network costs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from engine import checkpoint as files
from engine.results import mean_and_std, trials_table
from engine.resuming import saved_row
from models import MultiTaskModel, compact
from models.compaction.runner import library
from settings.config import ExperimentConfig, load_config
from settings.nature import Nature
from tasks.metric_info import ARROWS, metric_info
from utils.console import listed, show_table
from utils.errors import UserError
from utils.numbers import counted, fixed

log = logging.getLogger(__name__)

Numbers = Mapping[str, Any]

_COSTS = {"GMACs": "GMACs per image", "Mparameters": "parameters in millions", "latency_ms": "milliseconds per image"}
"""What a network costs, by the ends of the names of columns."""


@dataclass(frozen=True)
class DenseTwin:
    """A dense experiment that a sparse one is compared with."""

    name: str
    trials: pd.DataFrame
    """One row per finished trial."""


def show_result(
    config: ExperimentConfig,
    trials: pd.DataFrame,
    sizes: Sequence[Numbers],
    path: Path,
    twin: DenseTwin | None = None,
    split: str = "test",
) -> None:
    """Print the result of an experiment.

    Args:
        config: of the experiment.
        trials: one row per trial.
        sizes: per trial the columns that :func:`network_sizes` gives, and latencies where they were measured.
        path: of the file that has every metric, which is called as the evaluation.
        twin: what it is compared with.
        split: that the metrics are of.
    """
    costs, tables = pd.DataFrame(list(sizes)), [trials, *([twin.trials] if twin else [])]
    rows = []
    for task in config.tasks.values():
        info = metric_info(task, task.main_metric, metres=config.depth_target == "metric")
        unit = f" in {info.unit}" if info.unit else ""
        name = f"{task.short} {task.main_metric}{unit} {ARROWS[info.better]}"
        decimals = 2 if info.unit == "degrees" else 4
        rows.append([name, *(_mean(table[f"{task.name}_{task.main_metric}"], decimals) for table in tables)])
    if config.group_sparsity:
        rows.append(["zero groups in %", *(_mean(table["group_sparsity"], 2) for table in tables)])
    rows += list(_cost_rows(config, costs, twin is not None))
    heads = ["", f"{path.stem} ({counted(len(trials), 'trial')})"]
    heads += [f"dense: {twin.name} ({counted(len(twin.trials), 'trial')})"] if twin else []
    captions = ["mean ± standard deviation over the trials"] * (len(trials) > 1)
    captions += ["costs without the zeros, which compact_model.py removes"] * (config.group_sparsity and not costs.empty)
    show_table(f"Result on the {split} split", heads, rows, "\n".join([*captions, f"every metric: {path}"]))


def _cost_rows(config: ExperimentConfig, costs: pd.DataFrame, has_twin: bool) -> Iterable[list[str]]:
    """Yield a row per cost that is known: of the compact network of a sparse experiment, beside the dense one's."""
    for end, title in _COSTS.items():
        if f"dense_{end}" not in costs:
            continue
        dense = _mean(costs[f"dense_{end}"], 3)
        if not config.group_sparsity:
            yield [title, dense]
            continue
        left = _mean(costs[f"compact_{end}"], 3)
        yield [title, left, dense] if has_twin else [title, f"{left} of {dense}"]


def _mean(values: pd.Series, decimals: int) -> str:
    """Write the mean and, where it varies, the standard deviation of some trials' values."""
    mean, std = mean_and_std(pd.to_numeric(values))
    if pd.isna(mean):
        return "-"
    return fixed(mean, decimals) + (f" ± {fixed(std, decimals)}" if std > 0 else "")


def network_sizes(model: MultiTaskModel, config: ExperimentConfig) -> dict[str, float]:
    """Count multiply-adds and parameters of a network, as it is and without its zeros; nothing of a foreign backbone."""
    if not hasattr(model.backbone, "anatomy"):
        return {}
    return compact(model, free_selects=library() is not None, image_size=config.size)[1].sizes("model")


def dense_twin(config: ExperimentConfig, root: Path, seeds: Iterable[int]) -> DenseTwin | None:
    """Find the dense experiment beside a sparse one that was trained alike but for the penalty.

    None where there is none with a finished trial; a line of the log then says in what the nearest one differs. Of several, it
    is the one with most of them.

    Args:
        config: of the sparse experiment.
        root: the folder of the trials' folders.
        seeds: of the trials that are compared; others of the dense experiment are left out.
    """
    if not config.group_sparsity:
        return None
    needed = {f"{task.name}_{task.main_metric}" for task in config.tasks.values()} | {"group_sparsity", "seed"}
    seeds, twins, others = set(seeds), [], dict[str, list[str]]()
    for name in files.experiments(root):
        rows = []
        for folder in files.numbered(root, f"{name}_trial_").values():
            try:
                other = load_config(folder / files.CONFIG)
                if other.group_sparsity or not (folder / files.TEST).is_file():
                    continue
                if keys := differing_keys(config, other):
                    others[folder.name] = keys
                else:
                    rows.append(saved_row(folder))
            except (UserError, OSError):  # a damaged trial is no twin
                continue
        rows = [row for row in rows if needed <= row.keys() and row["seed"] in seeds]
        if rows:
            twins.append(DenseTwin(name, trials_table(rows)))
    near = {name: keys for name, keys in others.items() if not {"task_list", "dataset_name"} & {*keys}}
    if near and not twins:
        name, keys = min(near.items(), key=lambda item: len(item[1]))
        log.info("there is no dense network to compare with: %s was trained with another value of %s", name, listed(keys, 4))
    return max(twins, key=lambda twin: len(twin.trials), default=None)


def differing_keys(config: ExperimentConfig, other: ExperimentConfig) -> list[str]:
    """Return the keys in which two experiments are trained differently: not the penalty's, ``distill``, or the machine's."""

    def matters(nature: Nature) -> bool:
        return "numbers" in nature.alters and not nature.penalty and not nature.machine

    own, others = (which.select(matters) for which in (config, other))
    return [key for key in own if own[key] != others[key] and not key.startswith("distill.")]
