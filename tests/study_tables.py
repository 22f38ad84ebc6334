"""Tables of studies that were never trained: seeded random numbers of the size that real ones have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from study.statistics import estimate, judge
from study.tables import HEADS, StudyTables
from tasks.metric_info import metric_info
from tasks.table import get_task

EPOCHS = 60
MARGIN = 1.0
SHORT = {
    "segmentsemantic": "seg",
    "depth_euclidean": "depth",
    "surface_normal": "sn",
    "class_male": "male",
    "class_smile": "smile",
}
NYU = ("segmentsemantic", "depth_euclidean", "surface_normal")
CELEBA = ("segmentsemantic", "class_male", "class_smile")
LAMBDAS = (1e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3)

RESNET18 = (
    *(("conv1", "stem", 3),),
    *((f"layer1.{block}.conv{conv}", "layer1", 64) for block in (0, 1) for conv in (1, 2)),
    *(
        (f"layer{stage}.{name}", f"layer{stage}", width // 2 if name in ("0.conv1", "0.downsample.0") else width)
        for stage, width in ((2, 128), (3, 256), (4, 512))
        for name in ("0.conv1", "0.conv2", "0.downsample.0", "1.conv1", "1.conv2")
    ),
)
"""Per shared convolution its name, its stage and its number of input channels: 20 and 3843 in all."""

_MAIN = {"segmentsemantic": 0.09, "depth_euclidean": 0.14, "surface_normal": 0.70, "class_male": 0.93, "class_smile": 0.88}
"""Main metric that a dense network of one task reaches."""
_OTHERS = {
    "segmentsemantic": (("pixel_accuracy", 0.42, "", "up"),),
    "depth_euclidean": (("rmse", 0.19, "", "down"),),
    "surface_normal": (("mean_angle", 41.0, "degrees", "down"),),
}


@dataclass(frozen=True)
class Setting:
    """Setting of a training; dense without a penalty."""

    tasks: tuple[str, ...]
    trials: int
    penalty: str = ""
    strength: float = np.nan
    """Lambda."""
    target: float = np.nan
    variant: str = ""

    @property
    def name(self) -> str:
        if not self.penalty:
            kind = "dense"
        else:
            end = f"lambda{self.strength:g}" if np.isnan(self.target) else f"target{self.target:g}"
            kind = f"{self.penalty}_{end}"
        return "_".join([*(SHORT[task] for task in self.tasks), kind, *filter(None, [self.variant])])

    @property
    def columns(self) -> dict[str, Any]:
        return {
            "setting": self.name,
            "variant": self.variant,
            "setup": "singletask" if len(self.tasks) == 1 else "multitask",
            "tasks": self.tasks,
            "sparse": bool(self.penalty),
            "penalty": self.penalty,
            "lambda": self.strength,
            "target_sparsity": self.target,
        }

    @property
    def sparsity(self) -> float:
        """Share of zero groups, about."""
        if not self.penalty:
            return 0.0
        if not np.isnan(self.target):
            return self.target
        shift = {"l1_l2": 4.3, "group_mcp": 3.9}.get(self.penalty, 4.1)
        return float(0.97 / (1 + 10 ** (-1.6 * (np.log10(self.strength) + shift))))


@cache
def small_study() -> StudyTables:
    """Sparsity is a target: five trials of the two settings that are compared, one of the others."""
    singles = [Setting((task,), 1) for task in NYU]
    sparse = [Setting(NYU, 5 if target == 0.7 else 1, "l1_l2", target=target) for target in (0.3, 0.5, 0.7, 0.85, 0.95)]
    return make_study("small", [*singles, Setting(NYU, 5), *sparse])


@cache
def lambda_study() -> StudyTables:
    """Two penalties, six lambdas, three trials; every set of the three NYU-v2 tasks."""
    sets = [(NYU[0],), (NYU[1],), (NYU[2],), NYU[:2], NYU[::2], NYU[1:], NYU]
    settings = [Setting(tasks, 3) for tasks in sets]
    settings += [
        Setting(tasks, 3, penalty, strength)
        for tasks in sets
        for penalty in ("l1_l2", "group_mcp")
        for strength in LAMBDAS
        if len(tasks) > 1 or penalty == "l1_l2"
    ]
    return make_study("lambdas", settings)


@cache
def pairs_study() -> StudyTables:
    """The same in little: two sets of tasks, two penalties, two lambdas, two trials."""
    dense = [Setting(tasks, 2) for tasks in ((NYU[0],), (NYU[1],), (NYU[2],), NYU[:2], NYU)]
    sparse = [
        Setting(tasks, 2, penalty, strength)
        for tasks in (NYU[:2], NYU)
        for penalty in ("l1_l2", "group_mcp")
        for strength in (1e-5, 1e-4)
    ]
    return make_study("pairs", dense + sparse)


@cache
def celeba_study() -> StudyTables:
    """CelebAMask-HQ: one segmentation and two attributes, two trials."""
    settings = [Setting((task,), 2) for task in CELEBA] + [Setting(CELEBA, 2)]
    return make_study("celeba", settings + [Setting(CELEBA, 2, "l1_l2", strength) for strength in LAMBDAS])


@cache
def bare_study() -> StudyTables:
    """A dense setting, trained once, without single-task baselines."""
    return make_study("bare", [Setting(NYU, 1)])


def make_study(name: str, settings: Sequence[Setting]) -> StudyTables:
    """Tables of ``settings``; equal arguments give equal tables."""
    baselines = {setting.tasks[0] for setting in settings if len(setting.tasks) == 1 and not setting.penalty}
    runs, curves, layers = [], [], []
    for index, setting in enumerate(settings):
        for trial in range(setting.trials):
            random = np.random.default_rng([7, index, trial])
            live = _live_groups(setting, random)
            columns = {"study": name, **setting.columns, "trial": trial, "seed": trial}
            runs += [{**columns, **row} for row in _metrics(setting, trial, live, baselines, random)]
            curves.append(_curves(setting, trial, random))
            layers.append(_layers(setting, trial, live))
    table = pd.DataFrame(runs)[HEADS["runs"]]
    summary = _summary(table)
    return StudyTables(name, table, summary, pd.concat(curves, ignore_index=True), pd.concat(layers, ignore_index=True))


def _live_groups(setting: Setting, random: np.random.Generator) -> np.ndarray:
    """Per layer (20,) the number of input channels that are not zero; late layers lose more."""
    groups = np.array([groups for _, _, groups in RESNET18])
    if not setting.penalty:
        return groups
    depth = np.linspace(0, 1, len(groups))
    share = (1 - setting.sparsity) ** (0.2 + depth) * np.exp(random.normal(0, 0.06, len(groups)))
    share = np.clip(share * (1 - setting.sparsity) * groups.sum() / (groups @ share), 0, 1)
    share[0] = 1.0
    # At a high sparsity a whole block dies: what is left of it is its shortcut.
    share[-2:] = 0.0 if setting.sparsity > 0.9 else share[-2:]
    return np.asarray(np.round(groups * share), dtype=int)


def _goes_up(task: str) -> bool:
    return metric_info(get_task(task), get_task(task).main_metric).better == "up"


def _metrics(
    setting: Setting, trial: int, live: np.ndarray, baselines: set[str], random: np.random.Generator
) -> Iterable[dict[str, Any]]:
    sparsity = 1 - live.sum() / sum(groups for _, _, groups in RESNET18)
    # A little sparsity helps, a lot of it hurts.
    gain = 0.012 * (len(setting.tasks) > 1) + 0.10 * sparsity * (0.78 - sparsity) * (1.2 if "mcp" in setting.penalty else 1.0)
    gain += 0.01 * (setting.variant != "")
    deltas = []
    for task in setting.tasks:
        sign = 1 if _goes_up(task) else -1
        relative = sign * (gain + random.normal(0, 0.006))
        deltas.append(100 * sign * relative)
        main = get_task(task).main_metric
        direction = "up" if sign > 0 else "down"
        yield _row(f"{task}_{main}", _MAIN[task] * (1 + relative), better=direction, main=True)
        for metric, value, unit, better in _OTHERS.get(task, ()):
            yield _row(f"{task}_{metric}", value * (1 + relative * (better == direction)), unit, better)
    left, parameters_left = (1 - sparsity) ** 1.3, (1 - sparsity) ** 1.8
    heads = 0.34 * len(setting.tasks) / 3
    yield _row("group_sparsity", 100 * sparsity, "%")
    yield _row("parameter_sparsity", 100 * (1 - parameters_left), "%")
    if baselines.issuperset(setting.tasks) and (len(setting.tasks) > 1 or setting.penalty):
        yield _row("delta_MTL", float(np.mean(deltas)), "%", "up")
        yield _row("delta_MTL_all_metrics", float(np.mean(deltas)) * 0.9, "%", "up")
    yield _row("best_epoch", float(random.integers(40, EPOCHS)))
    yield _row("epochs", float(EPOCHS))
    yield _row("training_minutes", 14 + 4 * len(setting.tasks) + random.normal(0, 0.4), "min")
    yield _row("groups", float(sum(groups for _, _, groups in RESNET18)))
    yield _row("zero_groups", float(sum(groups for _, _, groups in RESNET18) - live.sum()))
    for prefix, rest in (("", heads), ("backbone_", 0.0)):
        yield _row(f"{prefix}dense_GMACs", 0.60 + rest, "G")
        yield _row(f"{prefix}compact_GMACs", 0.60 * left + rest * (1 - 0.5 * sparsity), "G", "down")
    for prefix, rest in (("", 15.4 * heads), ("backbone_", 0.0)):
        yield _row(f"{prefix}dense_Mparameters", 11.17 + rest, "M")
        yield _row(f"{prefix}compact_Mparameters", 11.17 * parameters_left + rest * (1 - 0.5 * sparsity), "M", "down")
    if trial == 0:
        yield _row("folded_latency_ms", 31.0 + random.normal(0, 0.2), "ms")
        yield _row("compact_latency_ms", 31.0 * (0.25 + 0.75 * left) + random.normal(0, 0.2), "ms", "down")


def _row(metric: str, value: float, unit: str = "", better: str = "", main: bool = False) -> dict[str, Any]:
    return {"metric": metric, "value": float(value), "unit": unit, "better": better, "main": main}


def _summary(runs: pd.DataFrame) -> pd.DataFrame:
    names = list(runs["metric"].unique())
    wide = runs.pivot(index=["setting", "trial"], columns="metric", values="value")
    rows = []
    for setting, first in runs.drop_duplicates("setting").set_index("setting", drop=False).iterrows():
        row = {name: first[name] for name in HEADS["summary"] if name in first}
        values = wide.loc[setting]
        row["num_trials"] = len(values)
        for metric in names:
            row[f"{metric}_mean"], row[f"{metric}_std"] = values[metric].mean(), values[metric].std()
        if "delta_MTL" in names:
            delta = estimate(list(values["delta_MTL"].dropna()))
            row["delta_MTL_low"], row["delta_MTL_high"] = delta.low, delta.high
        row |= _comparison(runs, wide, first)
        rows.append(row)
    return pd.DataFrame(rows)


def _comparison(runs: pd.DataFrame, wide: pd.DataFrame, first: pd.Series) -> dict[str, Any]:
    """A setting against its baseline and its dense twin; what has no run is not planned."""
    dense = runs[~runs["sparse"]].drop_duplicates("setting").to_dict("records")
    tasks = first["tasks"]
    singles = tuple(row["setting"] for task in tasks for row in dense if row["tasks"] == (task,))
    whole, alone = len(singles) == len(tasks), len(tasks) == 1 and not first["sparse"]
    row: dict[str, Any] = {
        "baseline": "" if alone else "the mean of the seeds" if whole else "not planned",
        "baseline_settings": singles if whole and not alone else (),
        **{"twin": "", "twin_differs_in": (), "claim": "", "no_claim": ""},
    }
    twins = [row["setting"] for row in dense if (row["tasks"], row["variant"]) == (tasks, first["variant"])]
    if not first["sparse"]:
        return row
    if not twins:
        return row | {"no_claim": "no dense twin is planned"}
    row["twin"] = twins[0]
    if "delta_MTL" not in wide or not whole:
        return row | {"no_claim": "no single-task baseline is planned"}
    if len(tasks) == 1:  # its twin is the baseline
        return row | _difference(wide.loc[first["setting"], "delta_MTL"])
    return row | _difference(wide.loc[first["setting"], "delta_MTL"] - wide.loc[row["twin"], "delta_MTL"])


def _difference(difference: pd.Series) -> dict[str, Any]:
    values = difference.dropna()
    estimated = estimate(list(values))
    claim = judge(estimated, MARGIN) or ""
    return {
        "difference_n": estimated.n,
        "difference_mean": estimated.mean,
        "difference_std": estimated.std,
        "difference_low": estimated.low,
        "difference_high": estimated.high,
        "difference_planned": estimated.n,
        "claim": claim,
        "no_claim": "" if claim else "one trial: no interval",
        "margin": MARGIN,
    }


def _curves(setting: Setting, trial: int, random: np.random.Generator) -> pd.DataFrame:
    epochs = np.arange(1, EPOCHS + 1)
    learned = 1 - np.exp(-epochs / 14)
    noise = random.normal(0, 1, (len(setting.tasks) + 2, EPOCHS))
    hurt = 0.1 * setting.sparsity**3
    sparsity = 100 * setting.sparsity / (1 + np.exp(-(epochs - 18) / 4))
    strength = 2e-4 * setting.target if np.isnan(setting.strength) else setting.strength
    start = 1.6 * len(setting.tasks)
    quantities = {
        "train_loss": start * (1 - (0.72 - hurt) * learned + 0.004 * noise[0]),
        "val_loss": start * (1.02 - (0.55 - hurt) * learned + 0.012 * noise[1]),
    }
    for task, jitter in zip(setting.tasks, noise[2:], strict=True):
        level, start_at = _MAIN[task], _MAIN[task] * (0.35 if _goes_up(task) else 2.2)
        end = level * (1 - hurt if _goes_up(task) else 1 + hurt)
        values = start_at + (end - start_at) * learned + 0.012 * level * jitter
        quantities[f"{task}_{get_task(task).main_metric}"] = values
    quantities["group_sparsity"] = sparsity if setting.penalty else np.zeros(EPOCHS)
    quantities["lambda"] = np.full(EPOCHS, strength) if setting.penalty else np.zeros(EPOCHS)
    return pd.DataFrame(
        {
            "setting": setting.name,
            "trial": trial,
            "epoch": np.tile(epochs, len(quantities)),
            "metric": np.repeat(list(quantities), EPOCHS),
            "value": np.concatenate(list(quantities.values())),
        }
    )


def _layers(setting: Setting, trial: int, live: np.ndarray) -> pd.DataFrame:
    names, stages, groups = zip(*RESNET18, strict=True)
    return pd.DataFrame(
        {"setting": setting.name, "trial": trial, "layer": names, "stage": stages, "groups": groups, "live_groups": live}
    )
