"""Plan of a study: its settings, each with its configuration, and their trials, which are its runs."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from settings.config import ExperimentConfig, validate_config
from settings.messages import nearest
from settings.sections import Distill, Strength, default_penalty
from settings.targets import TARGETS, Target, given_targets
from study.study_file import Axes, StudyFile, load_study_file
from tasks.table import Task
from utils.errors import ConfigError
from utils.paths import expanded

CHECKPOINT = "checkpoint.pt"
"""Name of a trial's best network, as of ``engine.checkpoint.BEST``; a plan is made without torch."""

LONGEST_TASKS = 120
"""Characters of a setting's name that say which tasks it has; a file system takes 255 in all."""


@dataclass(frozen=True)
class Setting:
    """A configuration that is trained with one or more seeds."""

    config: ExperimentConfig
    variant: str = ""

    @property
    def name(self) -> str:
        """Name in all tables and of the runs' folders, such as ``seg_depth_sn_l1_l2_target0.7``."""
        return self.config.Experiment_name

    @property
    def trials(self) -> int:
        """Number of seeds."""
        return self.config.num_trials

    @property
    def sparse(self) -> bool:
        """True if it is trained with the penalty."""
        return self.config.group_sparsity

    def identity(self) -> dict[str, Any]:
        """Return the columns that say in every table what this setting is."""
        config = self.config
        target = config.target
        return {
            "setting": self.name,
            "variant": self.variant,
            "setup": config.setup,
            "tasks": tuple(config.task_list),
            "sparse": self.sparse,
            "penalty": config.penalty.name if self.sparse else "",
            "lambda": config.penalty_lambda if self.sparse and target is None else None,
            "target_sparsity": None,
            **({} if target is None else {target.key: target.share}),
        }


@dataclass(frozen=True)
class Run:
    """A setting with a seed: one folder, which anybody can bring to its end."""

    setting: Setting
    trial: int
    needs: Mapping[str, Run] = field(default_factory=dict)
    """Runs of the study whose networks this one starts from, or learns from, by the key that names them."""

    def __hash__(self) -> int:
        """Hash the folder: a configuration holds mappings, and has no hash."""
        return hash(self.folder)

    @property
    def config(self) -> ExperimentConfig:
        """Configuration of the setting."""
        return self.setting.config

    @property
    def own_config(self) -> ExperimentConfig:
        """Configuration without the networks of other runs of the study, which need not be there yet."""
        values: dict[str, dict[str, Any]] = {"start_from": {"start_from": None}, "distill.from": {"distill": Distill()}}
        return self.config.model_copy(update={key: value for need in self.needs for key, value in values[need].items()})

    @property
    def folder(self) -> Path:
        """Folder of the trial."""
        return self.config.trial_folder(self.trial)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def title(self) -> str:
        """Name with the seed, for lines of the log."""
        return f"{self.name} (seed {self.config.seed + self.trial})"


@dataclass(frozen=True)
class Study:
    """Everything that is to be run."""

    name: str
    folder: Path
    settings: tuple[Setting, ...]
    margin: float

    @property
    def tasks(self) -> dict[str, Task]:
        """The tasks of all settings, by name."""
        return {name: task for setting in self.settings for name, task in setting.config.tasks.items()}

    @property
    def runs(self) -> list[Run]:
        """Trial 0 of every setting, then trial 1, and so on: what is there early is complete, and paired. A run comes after
        those that it needs."""
        most = max(setting.trials for setting in self.settings)
        runs: dict[Path, Run] = {}
        for trial in range(most):
            for setting in self.settings:
                if trial < setting.trials:
                    self._add(runs, setting, trial, ())
        return list(runs.values())

    def _add(self, runs: dict[Path, Run], setting: Setting, trial: int, waiting: tuple[Path, ...]) -> Run:
        """Add a run, and before it those that it needs, unless they are there; return it."""
        folder = setting.config.trial_folder(trial)
        if folder in waiting:
            loop = " needs ".join(path.name for path in (*waiting[waiting.index(folder) :], folder))
            raise ConfigError(f"study {self.name}: {loop}; change start_from or distill.from of one of them")
        if folder not in runs:
            sources = self.sources(setting.config, trial)
            needs = {key: self._add(runs, *source, (*waiting, folder)) for key, source in sources.items()}
            runs[folder] = Run(setting, trial, needs)
        return runs[folder]

    def sources(self, config: ExperimentConfig, trial: int) -> dict[str, tuple[Setting, int]]:
        """Find the runs of the study whose networks a trial starts from, or learns from, by key: the setting and the number."""
        if not config.networks:
            return {}
        places = {
            os.path.abspath(setting.config.trial_folder(number)): (setting, number)
            for setting in self.settings
            for number in range(setting.trials)
        }
        sources = {}
        for key in config.networks:
            path = os.path.abspath(config.network_path(key, trial))
            folder = os.path.dirname(path) if os.path.basename(path) == CHECKPOINT else path
            if folder in places:
                sources[key] = places[folder]
        return sources


def load_study(path: Path, overrides: Iterable[str] = ()) -> Study:
    """Load the study of a YAML file.

    Args:
        path: of the study's file; its ``base`` lies relative to it.
        overrides: ``key.path=value``; keys of the experiment hold for all runs.

    Raises:
        ConfigError: a file, an override or the configuration of a run is wrong.
    """
    file, grids = load_study_file(path, overrides)
    folder = expanded(file.folder) / file.study
    settings: dict[str, Setting] = {}
    for number, (axes, values) in enumerate(zip(file.axes, grids, strict=True)):
        common = {
            "checkpoint_folder": str(folder),
            "num_trials": axes.trials or file.trials or values.get("num_trials", 1),
            "checkpoint": False,
        }
        base = _base(f"{path}: axes.{number} with the base {file.base}", file, axes, {**values, **common})
        for setting in _settings(f"{path}: axes.{number}", axes, base, values.get("loss_weights")):
            same = settings.setdefault(setting.name, setting)
            first, second = same.config.as_dict(), setting.config.as_dict()
            different = [key for key in first if key != "num_trials" and first[key] != second[key]]
            if different:
                raise ConfigError(
                    f"{path}: axes.{number}: two settings are called {setting.name}, and differ in {', '.join(different)}; "
                    "give one of them a variant: <name>"
                )
            if setting.trials > same.trials:
                settings[setting.name] = setting
    _refuse_twins(path, tuple(settings.values()))
    study = Study(file.study, folder, tuple(settings.values()), file.margin)
    _refuse_strangers(path, study)
    return study


def _refuse_strangers(path: Path, study: Study) -> None:
    """Refuse a network that lies in the study's folder, and is not of a run of the study."""
    runs = study.runs
    root, names = os.path.abspath(study.folder), [run.name for run in runs]
    for run in runs:
        for key in run.config.networks.keys() - run.needs.keys():
            given = os.path.relpath(run.config.network_path(key, run.trial), root)
            first = given.split(os.sep)[0]
            if first != os.pardir:
                near = nearest(first, names)
                raise ConfigError(f"{path}: {run.name}: {key}: {given!r} is no run of study {study.name!r}{near}")


def _refuse_twins(path: Path, settings: Sequence[Setting]) -> None:
    """Refuse two settings of which one is a variant of the other and changes nothing."""
    seen: dict[str, str] = {}
    for setting in settings:
        values = {key: value for key, value in setting.config.as_dict().items() if key not in ("Experiment_name", "num_trials")}
        other = seen.setdefault(json.dumps(values, sort_keys=True), setting.name)
        if other != setting.name:
            raise ConfigError(
                f"{path}: axes: {other} and {setting.name} would be trained alike: what the variant sets is so already; change "
                "or remove it"
            )


def _base(source: str, file: StudyFile, axes: Axes, values: dict[str, Any]) -> ExperimentConfig:
    """Check the base experiment, dense unless it decides that itself, so that no rule about sparse runs refuses dense ones."""
    values |= {"Experiment_name": file.study, "setup": "multitask"}
    if axes.group_sparsity is not None or _lists_strengths(axes):
        values["group_sparsity"] = False
    weights, tasks = values.get("loss_weights"), values.get("task_list")
    if isinstance(weights, dict) and isinstance(tasks, list):
        # It may have weights for tasks that only some sets have.
        others = {task for entry in axes.tasks or () for task in entry}
        values["loss_weights"] = {task: weight for task, weight in weights.items() if task in tasks or task not in others}
    config = validate_config(values, source=source)
    if config.num_trials == 0:
        raise ConfigError(f"{source}: trials: is missing, and num_trials of the base is 0; give the number of trials")
    return config


def _lists_strengths(axes: Axes) -> bool:
    return axes.lambda_ is not None or bool(axes.targets)


def _settings(source: str, axes: Axes, base: ExperimentConfig, weights: Any) -> list[Setting]:
    """Return all combinations of one grid.

    Args:
        source: of the grid, for messages.
        axes: the grid.
        base: the base experiment with what the grid sets.
        weights: its ``loss_weights``, also of tasks that it does not have itself.
    """
    plain = base.as_dict()
    made = []
    for tasks in _task_lists(source, axes, base):
        for sparsity in _strengths(source, axes, base):
            setup = "singletask" if len(tasks) == 1 else "multitask"
            own = {"task_list": list(tasks), "setup": setup, "loss_weights": _weights(tasks, base, weights)}
            values = {**plain, **own, **sparsity}
            values["Experiment_name"] = _name([_short(task, base) for task in tasks], values, axes.variant)
            config = validate_config(values, source=f"{source}: {values['Experiment_name']}")
            made.append(Setting(config, axes.variant or ""))
    return made


def _task_lists(source: str, axes: Axes, base: ExperimentConfig) -> list[tuple[str, ...]]:
    """Return the sets of tasks of a grid, each once.

    A set's tasks are in the base's order, so that it is the same one however it is written.
    """
    everything = base.task_list
    place = {task: index for index, task in enumerate(everything)}
    words: dict[str, list[tuple[str, ...]]] = {
        "singles": [(task,) for task in everything],
        "pairs": list(itertools.combinations(everything, 2)),
        "all": [everything],
    }
    entries: Sequence[Sequence[str]]
    if axes.tasks is not None:
        entries = axes.tasks
    elif axes.setup is not None:
        entries = [["singles"] if setup == "singletask" else ["all"] for setup in axes.setup]
    else:
        entries = [["all"]]
    task_lists: list[tuple[str, ...]] = []
    for entry in entries:
        in_order = tuple(sorted(entry, key=lambda task: place.get(task, len(place))))
        task_lists += words.get(entry[0], [in_order])
    if axes.setup is not None:
        task_lists = [tasks for tasks in task_lists if ("singletask" if len(tasks) == 1 else "multitask") in axes.setup]
    if not task_lists:
        sets = "; ".join(", ".join(entry) for entry in entries)
        kept = f" that setup: {', '.join(axes.setup)} keeps" if axes.setup else ""
        raise ConfigError(
            f"{source}: there is no set of tasks{kept} among tasks: {sets} (the base's task_list is {', '.join(everything)}); "
            "change tasks or setup"
        )
    return list(dict.fromkeys(task_lists))


def _weights(tasks: tuple[str, ...], base: ExperimentConfig, given: Any) -> dict[str, Any] | None:
    """Return the weights of some tasks, as far as there are any."""
    if base.loss_weights is None or not isinstance(given, Mapping):
        return None
    weights = {task: base.loss_weights.get(task, given[task]) for task in tasks if task in given}
    alone = len(tasks) == 1 and not any(weights.values())
    unused = base.comb_loss != "wt_sum" and len(weights) < len(tasks)
    return None if alone or unused else weights


def _strengths(source: str, axes: Axes, base: ExperimentConfig) -> list[dict[str, Any]]:
    """Return the values that a grid's dense and sparse runs change, one entry per run."""
    kinds = axes.group_sparsity or ((True,) if _lists_strengths(axes) else (base.group_sparsity,))
    strengths: list[dict[str, Any]] = []
    for sparse in dict.fromkeys(kinds):
        strengths += _sparse(source, axes, base) if sparse else [_dense(base)]
    return strengths


def _dense(base: ExperimentConfig) -> dict[str, Any]:
    params = base.bb_optimizer_params.model_dump(mode="json", by_alias=True)
    return {
        "group_sparsity": False,
        **dict.fromkeys(TARGETS),
        "lambda_list": None,
        "sparsify": "backbone",
        "bb_optimizer_params": {**params, "lambda": None},
    }


def _sparse(source: str, axes: Axes, base: ExperimentConfig) -> list[dict[str, Any]]:
    """Return one entry per penalty and strength."""
    params = base.bb_optimizer_params.model_dump(mode="json", by_alias=True)
    return [
        {
            "group_sparsity": True,
            "lambda_list": None,
            **dict.fromkeys(TARGETS),
            **({} if target is None else {target.key: target.share}),
            "debias_from": base.debias_from if target is None else None,
            "bb_optimizer_params": {**params, "penalty": penalty or default_penalty(target), "lambda": strength},
        }
        for penalty in dict.fromkeys(axes.penalty or (base.bb_optimizer_params.penalty,))
        for strength, target in _lambdas_or_targets(source, axes, base)
    ]


def _lambdas_or_targets(source: str, axes: Axes, base: ExperimentConfig) -> list[tuple[Strength | None, Target | None]]:
    """Return lambda, or the target, of each sparse run of a penalty: those of the grid, or else the base's.

    Args:
        source: name of the grid, for messages.
        axes: the grid.
        base: the base experiment.
    """
    strength = base.bb_optimizer_params.lambda_
    targets = axes.targets or ([] if axes.lambda_ else given_targets(dict(base)))
    if targets:
        return [(None, target) for target in targets]
    lambdas = axes.lambda_ or base.lambda_list
    if lambdas is not None and strength is not None and strength.is_listed:
        raise ConfigError(
            f"{source}: lambda contradicts the points in bb_optimizer_params.lambda of the base; give one of them (a warm-up "
            "can be given beside it, and is used with each lambda)"
        )
    if lambdas is None and strength is None:
        raise ConfigError(f"{source}: sparse runs need lambda: [...] or target_sparsity: [...], and the base has neither")
    if strength is None or lambdas is not None:
        strengths = [strength.with_final(value) if strength else Strength(value) for value in lambdas or ()]
    else:
        strengths = [strength]
    if not all(strength.final for strength in strengths):
        raise ConfigError(
            f"{source}: a lambda of the base is 0 in the end; give lambda: [...] above 0 (a study's sparse runs are told by it)"
        )
    return [(strength, None) for strength in strengths]


def _short(task: str, base: ExperimentConfig) -> str:
    """Return the short name of a task; the name of one that there is not, which the schema refuses."""
    try:
        return base.find_task(task).short
    except KeyError:
        return task


def _name(parts: list[str], values: Mapping[str, Any], variant: str | None) -> str:
    """Name a setting: ``seg_depth_sn_dense``, ``seg_depth_sn_l1_l2_target0.7``, ``seg_l1_l2_lambda0.0001_augmented``."""
    if len("_".join(parts)) > LONGEST_TASKS:
        parts = [parts[0], f"and-{len(parts) - 1}-more"]
    if not values["group_sparsity"]:
        parts.append("dense")
    else:
        params, targets = values["bb_optimizer_params"], given_targets(values)
        strengths = [f"{target.kind.short}{_number(target.share)}" for target in targets]
        parts += [params["penalty"], *(strengths or [f"lambda{_number(params['lambda'].final)}"])]
    return "_".join([*parts, *([variant] if variant else [])])


def _number(value: float) -> str:
    """Write a number as short as can be, and as no other number."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def study_values(study: Study) -> dict[str, Any]:
    """Turn a study into plain values: those that :func:`study_from_values` takes."""
    return {
        "study": study.name,
        "margin": study.margin,
        "settings": [{"variant": setting.variant, "config": setting.config.as_dict()} for setting in study.settings],
    }


def study_from_values(values: Mapping[str, Any], folder: Path) -> Study:
    """Make a study whose folder may have moved: its runs are those in ``folder``.

    Raises:
        ConfigError: these are not a study's values.
    """
    try:
        settings = tuple(
            Setting(
                validate_config({**entry["config"], "checkpoint_folder": str(folder)}, source=str(folder)),
                str(entry["variant"]),
            )
            for entry in values["settings"]
        )
        if not settings:
            raise ValueError("it has no settings")
        return Study(str(values["study"]), folder, settings, float(values["margin"]))
    except ConfigError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{folder}: its record of the study is damaged ({type(error).__name__}: {error}); main_multi_trials.py on "
            "the study's file writes it anew, and keeps the runs"
        ) from None


def config_text(config: ExperimentConfig) -> str:
    """Write a configuration as YAML."""
    return yaml.safe_dump(config.as_dict(), sort_keys=False, allow_unicode=True)
