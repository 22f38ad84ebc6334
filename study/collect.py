"""The tables of a study, from the folders of its runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from engine import checkpoint as files
from engine.results import mean_and_std
from engine.resuming import saved_row
from settings.targets import TARGETS
from study.columns import COLUMNS, CURVES, LEADING, SavedRun, column_of, main_column, run_columns, task_column, task_columns
from study.costs import Costs
from study.plan import Run, Setting, Study
from study.statistics import Estimate, delta_mtl, delta_mtl_all_metrics, estimate, judge
from study.tables import HEADS, StudyTables
from study.twins import baseline_of, other_keys, seeds_of, twin_of

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
    """Make the tables of all finished runs.

    Args:
        study: whose runs are looked for.
        costs: of the finished runs, in the study's order.
    """
    compared = _compared(study, [_finished(run, costs[run]) for run in costs])
    order = {setting.name: place for place, setting in enumerate(study.settings)}
    compared.sort(key=lambda finished: (order[finished.run.setting.name], finished.run.trial))
    rows = [row for finished in compared for row in _run_rows(study.name, finished)]
    budgets = [key for key, kind in TARGETS.items() if kind.cost and any(key in row for row in rows)]
    curves = [row for finished in compared for row in _curve_rows(finished.run)]
    layers = [
        {"setting": finished.run.setting.name, "trial": finished.run.trial, **layer}
        for finished in compared
        for layer in costs[finished.run].layers
    ]
    return StudyTables(
        study.name,
        pd.DataFrame(rows, columns=[*HEADS["runs"], *budgets]),
        _summary(study, compared),
        pd.DataFrame(curves, columns=HEADS["curves"]),
        pd.DataFrame(layers, columns=HEADS["layers"]),
        study.tasks,
    )


def summary_of(study: Study, rows: Mapping[Run, Mapping[str, Any]]) -> pd.DataFrame:
    """Make the summary for other networks of the runs than those that they tested.

    Args:
        study: of the runs.
        rows: per run the row of numbers of its network, as ``engine.saved_trial.result_row`` makes it.
    """
    return _summary(study, _compared(study, [_numbered(run, row) for run, row in rows.items()]))


def _compared(study: Study, finished: Sequence[Finished]) -> list[Finished]:
    """Add delta_MTL to the runs whose baseline is finished."""
    yardsticks: dict[str, Yardstick | None] = {}
    compared = []
    for result in finished:
        setting = result.run.setting
        if setting.name not in yardsticks:
            yardsticks[setting.name] = _yardstick(study, setting, finished)
        baseline = _baseline(yardsticks[setting.name], result.seed)
        compared.append(result if baseline is None or _is_baseline(setting) else _with_delta(result, baseline))
    return compared


def _finished(run: Run, costs: Costs) -> Finished:
    """Read the numbers of a run from its files."""
    finished = _numbered(run, saved_row(run.folder))
    saved = SavedRun(files.load_json(run.folder / files.TEST), files.read_lines(run.folder / files.METRICS))
    measured = {name: column.measure(saved) for name, column in COLUMNS.items() if column.measure}
    known = {name: value for name, value in measured.items() if value is not None}
    return replace(finished, numbers={**finished.numbers, **known, **costs.numbers})


def _numbered(run: Run, row: Mapping[str, Any]) -> Finished:
    """Take the numbers of a run from the row of its test."""
    metrics: Metrics = {task: {} for task in run.config.task_list}
    for (task, metric), column in task_columns(run.config.tasks.values()).items():
        if column.name in row:
            metrics[task][metric] = float(row[column.name])
    numbers = {name: float(value) for name, value in row.items() if name not in _NO_METRIC}
    return Finished(run, run.config.seed + run.trial, numbers, metrics)


@dataclass(frozen=True)
class Yardstick:
    """The single-task dense models that the study plans as the baseline of a setting, as far as they are finished."""

    planned: Mapping[str, Setting]
    """Per task."""
    by_seed: Mapping[int, Metrics]
    """The metrics of all tasks, of the seeds of which all tasks are finished."""
    mean: Metrics | None
    """Their means over the seeds, which all trials of the setting are compared with; None if each has its own seed's, or if a
    task has none."""
    how: str
    """The cell of the summary's column ``baseline``."""


def _yardstick(study: Study, setting: Setting, finished: Sequence[Finished]) -> Yardstick | None:
    """Find what a setting is compared with; None where the study plans no such baseline.

    If the study plans for each task a model of every seed of the setting, a run is compared with that of its own seed; else
    with the mean over the baseline's seeds, which is the same for all trials of the setting.
    """
    planned = baseline_of(setting, study.settings)
    if planned is None:
        return None
    alone = {
        task: {result.seed: result.metrics[task] for result in finished if result.run.setting.name == single.name}
        for task, single in planned.items()
    }
    seeds = set.intersection(*map(set, alone.values()))
    by_seed = {seed: {task: metrics[seed] for task, metrics in alone.items()} for seed in seeds}
    if all(set(seeds_of(setting)) <= set(seeds_of(single)) for single in planned.values()):
        paired = any(result.seed in by_seed for result in finished if result.run.setting.name == setting.name)
        how, mean = ("the same seed" if paired else "missing"), None
    elif all(alone.values()):
        how = _mean_of(planned, sum(map(len, alone.values())))
        mean = {task: _mean(list(metrics.values())) for task, metrics in alone.items()}
    else:
        how, mean = "missing", None
    other = how != "missing" and any(single.variant != setting.variant for single in planned.values())
    return Yardstick(planned, {} if mean else by_seed, mean, how + ", of the runs without the variant" * other)


def _mean_of(planned: Mapping[str, Setting], done: int) -> str:
    """Return ``the mean of 2 seeds``, or how many of the planned runs are ``done``."""
    wanted, number = {single.trials for single in planned.values()}, sum(single.trials for single in planned.values())
    if done < number:
        return f"the mean of the seeds so far ({done} of {number} runs)"
    seeds = f"{min(wanted)} to {max(wanted)}" if len(wanted) > 1 else f"{min(wanted)}"
    return f"the mean of {seeds} seed{'s' * (seeds != '1')}"


def _mean(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: mean_and_std(values[name] for values in metrics)[0] for name in metrics[0]}


def _baseline(yardstick: Yardstick | None, seed: int) -> Metrics | None:
    """Return what the trial of a seed is compared with; None where that is not finished."""
    if yardstick is None:
        return None
    return yardstick.mean if yardstick.mean is not None else yardstick.by_seed.get(seed)


def _is_baseline(setting: Setting) -> bool:
    """Return whether a setting is a dense model of one task, which is compared with nothing."""
    return setting.config.setup == "singletask" and not setting.sparse


def _with_delta(finished: Finished, baseline: Metrics) -> Finished:
    delta = {
        "delta_MTL": delta_mtl(finished.metrics, baseline, finished.run.config.tasks),
        "delta_MTL_all_metrics": delta_mtl_all_metrics(finished.metrics, baseline, finished.run.config.tasks),
    }
    return replace(finished, numbers={**finished.numbers, **delta})


def _run_rows(study: str, finished: Finished) -> Iterable[dict[str, Any]]:
    """Yield one row per number of a run."""
    config = finished.run.config
    identity = {"study": study, **finished.run.setting.identity(), "trial": finished.run.trial, "seed": finished.seed}
    known = run_columns(config.tasks.values(), metres=config.depth_target == "metric")
    for name, value in finished.numbers.items():
        column = column_of(name, known)
        about = {"unit": column.unit, "better": column.better, "main": column.main}
        yield {**identity, "metric": name, "value": value, **about}


def _curve_rows(run: Run) -> Iterable[dict[str, Any]]:
    """Yield one row per epoch and learning curve of a run."""
    run_curves = [column for name, column in CURVES.items() if name != "lambda"]
    strength = [CURVES["lambda"]] if run.setting.sparse else []
    columns = [*run_curves, *map(main_column, run.config.tasks.values()), *strength]
    for line in files.read_lines(run.folder / files.METRICS):
        for column in columns:
            if line.get(column.line) is not None:
                place = {"setting": run.setting.name, "trial": run.trial, "epoch": line["epoch"] + 1}
                yield {**place, "metric": column.name, "value": line[column.line]}


def _summary(study: Study, finished: Sequence[Finished]) -> pd.DataFrame:
    """Make the summary: one row per setting with a finished run."""
    names = _in_order(finished)
    rows = []
    for setting in _by_strength(study.settings):
        trials = [result for result in finished if result.run.setting is setting]
        if not trials:
            continue
        row: dict[str, Any] = {"study": study.name, **setting.identity(), "num_trials": len(trials)}
        for name in names:
            mean = estimate(_values(name, trials))
            row[f"{name}_mean"], row[f"{name}_std"] = mean.mean, mean.std
            if column_of(name).change:
                row[f"{name}_n"] = mean.n or None
                row[f"{name}_low"], row[f"{name}_high"] = mean.low, mean.high
        yardstick = _yardstick(study, setting, finished)
        if _is_baseline(setting):
            row["baseline"], row["baseline_settings"] = "", ()
        else:
            row["baseline"] = yardstick.how if yardstick else "not planned"
            row["baseline_settings"] = tuple(single.name for single in yardstick.planned.values()) if yardstick else ()
        rows.append(row | _difference(study, setting, yardstick, finished))
    return pd.DataFrame(rows, columns=None if rows else HEADS["summary"])


def _values(name: str, trials: Sequence[Finished]) -> list[float]:
    """Return a number of a setting's trials; NaN for a trial without it, unless the column is optional."""
    if column_of(name).optional:
        return [trial.numbers[name] for trial in trials if name in trial.numbers]
    return [trial.numbers.get(name, math.nan) for trial in trials]


def _by_strength(settings: Sequence[Setting]) -> list[Setting]:
    """Sort by tasks, penalties and variants in the study's order; dense before sparse, the weaker before the stronger."""
    identities = {setting.name: setting.identity() for setting in settings}
    tasks = list(dict.fromkeys(identity["tasks"] for identity in identities.values()))
    kinds = list(dict.fromkeys((identity["penalty"], identity["variant"]) for identity in identities.values()))

    def place(setting: Setting) -> tuple[Any, ...]:
        identity = identities[setting.name]
        kind = kinds.index((identity["penalty"], identity["variant"]))
        strength = (identity["lambda"] or 0.0, *(_strictness(key, identity.get(key)) for key in TARGETS))
        return tasks.index(identity["tasks"]), identity["sparse"], kind, *strength

    return sorted(settings, key=place)


def _strictness(key: str, share: float | None) -> float:
    """Return a number that rises with what a target asks for: more zeros, or less of a cost."""
    return 0.0 if share is None else 1 - share if TARGETS[key].cost else share


def gaps(study: Study, costs: Mapping[Run, Costs]) -> list[str]:
    """Say what finished runs do not tell: relative changes that are undefined, and epochs without a record."""
    sentences = []
    for finished in _compared(study, [_finished(run, costs[run]) for run in costs]):
        is_baseline = _is_baseline(finished.run.setting)
        if not is_baseline and "delta_MTL" not in finished.numbers:
            continue
        bad = [
            (task_column(finished.run.config.tasks[task], name), value)
            for task, metrics in finished.metrics.items()
            for name, value in metrics.items()
            if math.isnan(value) or (is_baseline and not value > 0)
        ]
        for delta, main in (("delta_MTL", True), ("delta_MTL_all_metrics", False)):
            what = ", ".join(f"{column.name} is {value:.3g}" for column, value in bad if column.main is main)
            if what:
                which = f"what is compared with {finished.run.name}" if is_baseline else finished.run.name
                why = ", and a relative change needs a baseline above 0" if is_baseline else ""
                sentences.append(f"{delta} is undefined for {which}: its {what}{why}.")
    silent = [run.name for run in costs if not files.read_lines(run.folder / files.METRICS)]
    if silent:
        sentences.append(f"{files.METRICS} of {', '.join(silent)} holds no epoch: curves and training time are missing.")
    return sentences


def _in_order(finished: Sequence[Finished]) -> list[str]:
    """Sort the names of all numbers: the tasks' metrics, delta_MTL, the sparsity, and the rest."""
    names = list(dict.fromkeys(name for result in finished for name in result.numbers))
    tasks = {name: task for result in finished for name, task in result.run.config.tasks.items()}
    metrics = {column.name for column in task_columns(tasks.values()).values()}
    place = {column.name: index for index, column in enumerate(LEADING)}
    return sorted(names, key=lambda name: (name not in metrics, place.get(name, len(place))))


def _difference(study: Study, setting: Setting, yardstick: Yardstick | None, finished: Sequence[Finished]) -> dict[str, Any]:
    """Compare a sparse setting with its dense twin, over the seeds that both have; or say why that is not possible."""
    twin = twin_of(setting, study.settings) if setting.sparse else None
    trials = [result for result in finished if result.run.setting.name == setting.name]
    dense = {result.seed: result for result in finished if twin and result.run.setting.name == twin.name}
    pairs = [(result, dense[result.seed]) for result in trials if result.seed in dense]
    deltas = []
    for pair in pairs:
        # Both against the same baseline, which a single task's dense model is itself.
        baseline = _baseline(yardstick, pair[0].seed)
        if baseline is not None:
            sparse_delta, dense_delta = (delta_mtl(result.metrics, baseline, setting.config.tasks) for result in pair)
            deltas.append(sparse_delta - dense_delta)
    difference = estimate(deltas)
    why = _no_claim(trials, twin, len(pairs), yardstick, difference) if setting.sparse else ""
    return {
        "twin": twin.name if twin else "",
        "twin_differs_in": tuple(other_keys(setting, twin)) if twin else (),
        "difference_n": difference.n or None,
        "difference_planned": len(set(seeds_of(setting)) & set(seeds_of(twin))) if twin else None,
        "difference_mean": difference.mean,
        "difference_std": difference.std,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "claim": (judge(difference, study.margin) or "") if setting.sparse and not why else "",
        "no_claim": why,
        "margin": study.margin if deltas else None,
    }


def _no_claim(
    trials: Sequence[Finished], twin: Setting | None, pairs: int, yardstick: Yardstick | None, difference: Estimate
) -> str:
    """Return why nothing can be claimed about a sparse setting; empty if something can."""
    if not any(trial.numbers["group_sparsity"] > 0 for trial in trials):
        # That networks whose penalty was too weak to set anything to zero are as good as dense ones is no news.
        return "not sparse: no group is zero"
    if twin is None:
        return "no dense twin is planned"
    if not pairs:
        return "twin missing"
    if yardstick is None:
        return "no single-task baseline is planned"
    if not difference.n:
        return "single-task baseline missing"
    if math.isnan(difference.mean):
        return "Δ_MTL is undefined"
    return "one trial: no interval" if difference.n < 2 else ""
