"""The tables of a study, from the folders of its runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from engine.resuming import saved_row
from engine.study.costs import Costs
from utils import checkpoint as files
from utils.metric_info import METRICS, MetricInfo, metric_info
from utils.study.plan import Run, Setting, Study
from utils.study.statistics import delta_mtl, delta_mtl_all_metrics, estimate, judge
from utils.study.tables import COLUMNS, StudyTables
from utils.tasks import get_task

UNITS = {
    **dict.fromkeys(("group_sparsity", "parameter_sparsity", "head_group_sparsity", "unread_features"), MetricInfo("up", "%")),
    **dict.fromkeys(("delta_MTL", "delta_MTL_all_metrics"), MetricInfo("up", "%")),
    "training_minutes": MetricInfo("down", "min"),
    **dict.fromkeys(("dense_GMACs", "GMACs", "backbone_dense_GMACs", "backbone_GMACs"), MetricInfo("down", "G")),
    **dict.fromkeys(
        ("dense_Mparameters", "Mparameters", "backbone_dense_Mparameters", "backbone_Mparameters"), MetricInfo("down", "M")
    ),
    **dict.fromkeys(("dense_latency_ms", "latency_ms"), MetricInfo("down", "ms")),
}
"""Of the numbers of a run that are no task's."""

_NO_METRIC = ("trial", "seed")

Metrics = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Finished:
    """A finished run's numbers."""

    run: Run
    seed: int
    numbers: dict[str, float]
    """All of them, by the names of the tables."""
    metrics: Metrics
    """The test's, per task."""


def study_tables(study: Study, costs: Mapping[Run, Costs]) -> StudyTables:
    """What all finished runs measured.

    Args:
        study: whose runs are looked for.
        costs: of the finished runs, in the study's order.
    """
    compared = _compared([_finished(run, costs[run]) for run in costs])
    order = {setting.name: place for place, setting in enumerate(study.settings)}
    compared.sort(key=lambda one: (order[one.run.setting.name], one.run.trial))
    rows = [row for one in compared for row in _run_rows(study.name, one)]
    curves = [row for one in compared for row in _curve_rows(one.run)]
    layers = [
        {"setting": one.run.setting.name, "trial": one.run.trial, **layer}
        for one in compared
        for layer in costs[one.run].layers
    ]
    return StudyTables(
        study.name,
        pd.DataFrame(rows, columns=COLUMNS["runs"].split()),
        _summary(study, compared),
        pd.DataFrame(curves, columns=COLUMNS["curves"].split()),
        pd.DataFrame(layers, columns=COLUMNS["layers"].split()),
    )


def summary_of(study: Study, rows: Mapping[Run, Mapping[str, Any]]) -> pd.DataFrame:
    """The summary for other networks of the runs than those that they tested.

    Args:
        study: of the runs.
        rows: per run the row of numbers of its network, as ``engine.saved_trial.result_row`` makes it.
    """
    return _summary(study, _compared([_numbered(run, row) for run, row in rows.items()]))


def _compared(finished: Sequence[Finished]) -> list[Finished]:
    return [_with_delta(one, finished) for one in finished]


def _finished(run: Run, costs: Costs) -> Finished:
    one = _numbered(run, saved_row(run.folder))
    test = files.load_json(run.folder / files.TEST)
    lines = files.read_lines(run.folder / files.METRICS)
    seconds = sum(line.get("train_seconds", 0.0) + line.get("validation_seconds", 0.0) for line in lines)
    time = {"training_minutes": seconds / 60} if seconds else {}
    best = {"best_epoch": float(test["best_epoch"])} if test.get("best_epoch") is not None else {}
    return replace(one, numbers={**one.numbers, **best, **time, **costs.numbers})


def _numbered(run: Run, row: Mapping[str, Any]) -> Finished:
    metrics = {
        task: {name: float(row[f"{task}_{name}"]) for name in METRICS[get_task(task).kind] if f"{task}_{name}" in row}
        for task in run.config.task_list
    }
    numbers = {name: float(value) for name, value in row.items() if name not in _NO_METRIC}
    return Finished(run, run.config.seed + run.trial, numbers, metrics)


def baseline_of(one: Finished, finished: Sequence[Finished]) -> tuple[Metrics, str] | None:
    """The metrics of the single-task dense models of a run's tasks, and how they were chosen; None where one is missing.

    Those of the run's own variant where all of them are there, else those without a variant. If each task has a model of the
    run's own seed for every trial of the run's setting, the run is compared with that; else with the mean over the baseline's
    seeds, which is the same for all trials of the setting.
    """
    tasks = one.run.config.task_list
    for variant in dict.fromkeys((one.run.setting.variant, "")):
        singles = {task: _singles(task, variant, finished) for task in tasks}
        if not all(singles.values()):
            continue
        seeds_of_setting = {other.seed for other in finished if other.run.setting is one.run.setting}
        if all(seeds_of_setting <= set(of) for of in singles.values()):
            return {task: of[one.seed] for task, of in singles.items()}, "the same seed"
        counts = {len(of) for of in singles.values()}
        mean = {task: _mean(list(of.values())) for task, of in singles.items()}
        seeds = "1 seed" if counts == {1} else f"{min(counts)} seeds" if len(counts) == 1 else "the seeds there are"
        return mean, f"the mean of {seeds}"
    return None


def _singles(task: str, variant: str, finished: Sequence[Finished]) -> dict[int, dict[str, float]]:
    """By seed, the metrics of the dense models of ``task`` alone."""
    return {
        other.seed: other.metrics[task]
        for other in finished
        if not other.run.setting.sparse and other.run.setting.variant == variant and other.run.config.task_list == (task,)
    }


def _mean(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(one[name] for one in metrics) / len(metrics) for name in metrics[0]}


def _with_delta(one: Finished, finished: Sequence[Finished]) -> Finished:
    """With delta_MTL, if the run has a baseline that is not itself."""
    setting = one.run.setting
    found = baseline_of(one, finished)
    if found is None or (setting.config.setup == "singletask" and not setting.sparse):
        return one
    baseline = found[0]
    delta = {
        "delta_MTL": delta_mtl(one.metrics, baseline),
        "delta_MTL_all_metrics": delta_mtl_all_metrics(one.metrics, baseline),
    }
    return Finished(one.run, one.seed, {**one.numbers, **delta}, one.metrics)


def _run_rows(study: str, one: Finished) -> Iterable[dict[str, Any]]:
    """One row per number of a run."""
    config = one.run.config
    identity = {"study": study, **one.run.setting.identity(), "trial": one.run.trial, "seed": one.seed}
    known = {
        f"{task}_{name}": (metric_info(task, name, metres=config.depth_target == "metric"), name == get_task(task).main_metric)
        for task, values in one.metrics.items()
        for name in values
    }
    for name, value in one.numbers.items():
        info, main = known.get(name, (UNITS.get(name), False))
        unit, better = (info.unit, info.better) if info else ("", "")
        yield {**identity, "metric": name, "value": value, "unit": unit, "better": better, "main": main}


def _curve_rows(run: Run) -> Iterable[dict[str, Any]]:
    """Per epoch what the learning curves show."""
    names = {"train/loss/total": "train_loss", "val/loss/total": "val_loss", "group_sparsity": "group_sparsity"}
    names |= {
        f"val/{task}_{get_task(task).main_metric}": f"{task}_{get_task(task).main_metric}" for task in run.config.task_list
    }
    names |= {"lambda": "lambda"} if run.setting.sparse else {}
    for line in files.read_lines(run.folder / files.METRICS):
        for key, name in names.items():
            if line.get(key) is not None:
                yield {
                    "setting": run.setting.name,
                    "trial": run.trial,
                    "epoch": line["epoch"] + 1,
                    "metric": name,
                    "value": line[key],
                }


def _summary(study: Study, finished: Sequence[Finished]) -> pd.DataFrame:
    """One row per setting with a finished run."""
    names = _in_order(finished)
    rows = []
    for setting in _by_strength(study.settings):
        of = [one for one in finished if one.run.setting is setting]
        if not of:
            continue
        row: dict[str, Any] = {"study": study.name, **setting.identity(), "num_trials": len(of)}
        for name in names:
            values = [one.numbers[name] for one in of if name in one.numbers]
            found = estimate(values)
            row[f"{name}_mean"], row[f"{name}_std"] = found.mean, found.std
            if name.startswith("delta_MTL"):
                row[f"{name}_low"], row[f"{name}_high"] = found.low, found.high
        baseline = baseline_of(of[0], finished) if "delta_MTL" in of[0].numbers else None
        row["baseline"] = baseline[1] if baseline else ""
        rows.append(row | _difference(setting, of, finished, study.margin))
    first = COLUMNS["summary"].split()
    return pd.DataFrame(rows, columns=None if rows else first)


def _by_strength(settings: Sequence[Setting]) -> list[Setting]:
    """Tasks, penalties and variants in the study's order; dense before sparse, and the weaker before the stronger."""
    identities = {setting.name: setting.identity() for setting in settings}
    tasks = list(dict.fromkeys(one["tasks"] for one in identities.values()))
    kinds = list(dict.fromkeys((one["penalty"], one["variant"]) for one in identities.values()))

    def place(setting: Setting) -> tuple[Any, ...]:
        one = identities[setting.name]
        strength = (one["lambda"] or 0.0, one["target_sparsity"] or 0.0)
        return tasks.index(one["tasks"]), one["sparse"], kinds.index((one["penalty"], one["variant"])), *strength

    return sorted(settings, key=place)


def _is_sparse(of: Sequence[Finished]) -> bool:
    """False for a penalty too weak to set anything to zero: that its networks are as good as dense ones is no news."""
    return any(one.numbers["group_sparsity"] > 0 for one in of)


def gaps(costs: Mapping[Run, Costs]) -> list[str]:
    """Sentences on what finished runs do not tell: relative changes that are undefined, and epochs that nobody wrote down."""
    sentences = []
    for one in _compared([_finished(run, costs[run]) for run in costs]):
        main = [f"{task}_{get_task(task).main_metric}" for task in one.metrics]
        is_baseline = not one.run.setting.sparse and one.run.config.setup == "singletask"
        if not is_baseline and "delta_MTL" not in one.numbers:
            continue
        values = {f"{task}_{name}": value for task, of in one.metrics.items() for name, value in of.items()}
        bad = {name: value for name, value in values.items() if math.isnan(value) or (is_baseline and not value > 0)}
        for delta, names in (
            ("delta_MTL", [name for name in bad if name in main]),
            ("delta_MTL_all_metrics", [name for name in bad if name not in main]),
        ):
            if names:
                which = f"what is compared with {one.run.name}" if is_baseline else one.run.name
                what = ", ".join(f"{name} is {bad[name]:.3g}" for name in names)
                why = ", and a relative change needs a baseline above 0" if is_baseline else ""
                sentences.append(f"{delta} is undefined for {which}: its {what}{why}.")
    silent = [run.name for run in costs if not files.read_lines(run.folder / files.METRICS)]
    if silent:
        sentences.append(f"{files.METRICS} of {', '.join(silent)} holds no epoch: curves and training time are missing.")
    return sentences


def _in_order(finished: Sequence[Finished]) -> list[str]:
    """Names of all numbers: the tasks' metrics, delta_MTL, the sparsity, and the rest."""
    names = list(dict.fromkeys(name for one in finished for name in one.numbers))
    tasks = {f"{task}_{metric}" for one in finished for task, values in one.metrics.items() for metric in values}
    first = ("delta_MTL", "delta_MTL_all_metrics", "group_sparsity", "parameter_sparsity", "channels_removed", "channels")
    place = {name: index for index, name in enumerate(first)}
    return sorted(names, key=lambda name: (name not in tasks, place.get(name, len(first))))


def twin_of(setting: Setting, settings: Iterable[Setting]) -> Setting | None:
    """The dense setting that a sparse one is compared with: of the same tasks, and of the same variant where there is one."""
    dense = [other for other in settings if not other.sparse and other.config.task_list == setting.config.task_list]
    for variant in (setting.variant, ""):
        for other in dense:
            if other.variant == variant:
                return other
    return None


def _difference(setting: Setting, of: Sequence[Finished], finished: Sequence[Finished], margin: float) -> dict[str, Any]:
    """The comparison of a sparse setting with its dense twin, over the seeds that both have."""
    settings = {one.run.setting.name: one.run.setting for one in finished}  # a setting has no hash
    twin = twin_of(setting, settings.values()) if setting.sparse else None
    dense = {} if twin is None else {one.seed: one for one in finished if one.run.setting is twin}
    deltas = []
    for one in of:
        baseline = baseline_of(one, finished)
        if one.seed in dense and baseline is not None:
            # Both against the same baseline, which a single task's dense model is itself.
            pair = (one, dense[one.seed])
            sparse_delta, dense_delta = (delta_mtl(of_pair.metrics, baseline[0]) for of_pair in pair)
            deltas.append(sparse_delta - dense_delta)
    found = estimate(deltas)
    return {
        "twin": twin.name if twin is not None and deltas else "",
        "difference_n": found.n or None,
        "difference_mean": found.mean,
        "difference_std": found.std,
        "difference_low": found.low,
        "difference_high": found.high,
        "claim": (judge(found, margin) or "") if deltas and _is_sparse(of) else "",
        "margin": margin if deltas else None,
    }
