"""A study's file: a base experiment, and the axes along which its runs differ."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from settings.config import ExperimentConfig
from settings.messages import describe_problems, nearest
from settings.nature import natures
from settings.sections import Bool, FileName, Int, Number, PenaltyName, Schema, Share, Text
from settings.targets import TARGETS, Target
from settings.yaml_file import apply_override, drop_other_names, read_yaml
from utils.errors import ConfigError
from utils.paths import expanded

TASK_SETS = ("singles", "pairs", "all")
"""Words for sets of the base experiment's tasks."""

LAMBDA = "bb_optimizer_params.lambda"

DECIDED = {
    key: nature.in_a_study
    for key, nature in natures(ExperimentConfig).items()
    if nature.in_a_study and not key.startswith("optimizer_params.")  # the axes are about the backbone's penalty
}
"""Keys of an experiment that a study gives values to, and what is to be used in their place."""

ON_THE_COMMAND_LINE = ("study", "folder", "trials", "margin")
"""Keys of a study that an override can change."""


def _several(value: Any) -> Any:
    """Make a list of one value; leave a list as it is."""
    return [value] if value is not None and not isinstance(value, list | tuple) else value


def _task_sets(value: Any) -> Any:
    """Read ``all``, ``[singles, pairs]``, ``[segmentsemantic, depth_euclidean]`` (one set) or a list of such lists."""
    entries = _several(value)
    if isinstance(value, str) and f"{value}s" in TASK_SETS:
        raise ValueError(f"unknown task {value!r}; did you mean '{value}s'?")
    if not entries:
        raise ValueError("expected singles, pairs, all, a list of tasks, or a list of these")
    words = [isinstance(entry, str) for entry in entries]
    if all(words) and not any(entry in TASK_SETS for entry in entries):
        entries = [list(entries)]
    for entry in entries:
        if isinstance(entry, str) and entry not in TASK_SETS:
            raise ValueError(
                f"expected {', '.join(TASK_SETS)}, or tasks in a list of their own ([{entry}]){nearest(entry, TASK_SETS)}"
            )
    sets = [[entry] if isinstance(entry, str) else entry for entry in entries]
    for tasks in sets:
        _check_tasks(tasks)
    return sets


def _check_tasks(tasks: Any) -> None:
    """Refuse a set of tasks that is none; one that is no list of words at all is left to the schema."""
    if not isinstance(tasks, list | tuple) or not all(isinstance(task, str) and task for task in tasks):
        return
    if len(tasks) == 1 and tasks[0] in TASK_SETS:
        return
    for task in tasks:
        if task in TASK_SETS:
            raise ValueError(f"{task} is a set of its own; write it beside the list of the others, not into it")
    if len(set(tasks)) < len(tasks):
        raise ValueError("a set names a task twice")


def _above_zero(value: float) -> float:
    if value <= 0:
        raise ValueError("expected a number above 0; dense runs are group_sparsity: false")
    return value


def _usable_path(value: str) -> str:
    expanded(value)  # which refuses what is none
    return value


Key = Annotated[str, BeforeValidator(str)]
PathText = Annotated[Text, AfterValidator(_usable_path)]
Item = TypeVar("Item")
Several = Annotated[tuple[Item, ...], BeforeValidator(_several), Field(min_length=1)]
"""One or more values; one of them may stand without a list."""


class Axes(Schema):
    """Some runs: every combination of what is listed here. Dense runs have no penalty, so that `penalty`, `lambda` and
    targets do not multiply them."""

    setup: Several[Literal["singletask", "multitask"]] | None = None
    """`singletask` (each task alone), `multitask` (several share the backbone), or both; with `tasks`: which of those."""
    tasks: Annotated[tuple[Annotated[tuple[Text, ...], Field(min_length=1)], ...], BeforeValidator(_task_sets)] | None = None
    """`singles`, `pairs`, `all` (of the base's `task_list`), a list of tasks, or several of these in a list. Default: what
    `setup` says, else `all`."""
    group_sparsity: Several[Bool] | None = None
    """Dense (`false`), sparse (`true`), or both. Default: sparse where a strength is listed, else as the base has it."""
    lambda_: Several[Annotated[Number, AfterValidator(_above_zero)]] | None = Field(default=None, alias="lambda")
    """Strengths of the penalty, each above 0."""
    target_sparsity: Several[Share] | None = None
    """Shares of zero groups that are aimed at."""
    target_macs: Several[Share] | None = None
    """Budgets: shares of the dense network's multiply-adds."""
    target_parameters: Several[Share] | None = None
    """Budgets: shares of the dense network's parameters."""
    penalty: Several[PenaltyName] | None = None
    """Penalties. Default: the base's."""
    trials: Annotated[Int, Field(ge=1)] | None = None
    """Seeds per setting. Default: the study's."""
    variant: Annotated[str, Field(strict=True, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]*$")] | None = None
    """A name for what `set` changes, where the same tasks and strengths occur with and without it; at most 60 characters."""
    set: dict[Key, Any] = {}
    """Values of the base for these runs alone: keys, or key.path as on the command line."""

    @model_validator(mode="after")
    def _agree(self) -> Axes:
        strengths = {"lambda": self.lambda_, **{key: getattr(self, key) for key in TARGETS}}
        listed = [key for key, values in strengths.items() if values is not None]
        if len(listed) > 1:
            raise ValueError(f"{listed[0]} contradicts {listed[1]}; give two grids, one with each")
        if self.group_sparsity is not None and True not in self.group_sparsity:
            given = {**strengths, "penalty": self.penalty}
            for name in (name for name, values in given.items() if values is not None):
                raise ValueError(
                    f"{name} is for sparse runs, and group_sparsity is false; remove {name}, or add true to group_sparsity"
                )
        return self

    @property
    def targets(self) -> list[Target]:
        """The targets that are listed."""
        return [Target(key, share) for key in TARGETS for share in getattr(self, key) or ()]


class StudyFile(Schema):
    """Content of a study's file."""

    study: FileName
    """Name of the study: of its folder and its tables; at most 200 characters."""
    base: PathText
    """The experiment's YAML file, as seen from the study's."""
    folder: PathText = "results/studies/"
    """Folder that the study's own folder is made in."""
    trials: Annotated[Int, Field(ge=1)] | None = None
    """Seeds per setting; trial i is seeded with the base's `seed + i`, so that settings are paired. Default: the base's
    `num_trials`."""
    margin: Annotated[Number, Field(ge=0)] = 1.0
    """Percentage points of delta_MTL that a sparse model may be worse than its dense twin for the claim to hold."""
    set: dict[Key, Any] = {}
    """Values of the base for all runs: keys, or key.path as on the command line."""
    axes: Several[Axes]
    """One grid of runs, or a list of grids."""


def is_study(path: Path) -> bool:
    """Return whether a YAML file is a study's.

    Raises:
        ConfigError: it cannot be read.
    """
    return _is_study(read_yaml(path))


def _is_study(values: Mapping[str, Any]) -> bool:
    return not values.keys().isdisjoint(("study", "axes"))


def load_study_file(path: Path, overrides: Iterable[str] = ()) -> tuple[StudyFile, list[dict[str, Any]]]:
    """Load a study's file, and the base experiment's plain values for each entry of ``axes``.

    The values hold the study's ``set``, the entry's own, and the overrides, of which the later ones win.

    An override names a key of the study (``study``, ``folder``, ``trials``, ``margin``), or one of the experiment, which then
    holds for all runs.

    Raises:
        ConfigError: something is wrong with a file or an override; one message says it all.
    """
    raw = read_yaml(path)
    overrides = list(overrides)
    problems = [problem for override in overrides for problem in _apply_to_study(raw, override)]
    problems += _remove_misplaced(raw, StudyFile)
    for i, axes in enumerate(_several(raw.get("axes")) or ()):
        problems += _remove_misplaced(axes, Axes, f"axes.{i}.")
    try:
        study = StudyFile.model_validate(raw)
    except ValidationError as error:
        raise _error(path, [*problems, *describe_problems(error.errors(), StudyFile)]) from None
    sets = {f"axes.{i}.set": axes.set for i, axes in enumerate(study.axes)}
    for where, changes in {"set": study.set, **sets}.items():
        problems += _decided_problems(where, changes)
    for where, changes in sets.items():
        if "seed" in changes:
            problems.append(f"{where}.seed: has to be the same in all runs, which are paired by it; give it in the study's set")
    base: dict[str, Any] = {}
    try:
        base = read_yaml(path.parent / expanded(study.base))
        if _is_study(base):
            problems.append(f"base: {study.base} is a study itself; expected an experiment's file")
    except ConfigError as error:
        problems.append(f"base: {error}")
    grids = []
    for where, changes in sets.items():
        values = copy.deepcopy(base)
        problems += merge(values, study.set, "set")
        problems += merge(values, changes, where)
        for override in overrides:
            if _key(override) not in ON_THE_COMMAND_LINE:
                problems += apply_override(values, override)
        grids.append(values)
    if problems:
        raise _error(path, problems)
    return study, grids


def _remove_misplaced(values: Any, schema: type[Schema], where: str = "") -> list[str]:
    """Remove keys of the experiment from among those of a study, or of a grid; says where they belong."""
    if not isinstance(values, dict):
        return []
    own = {info.alias or name for name, info in schema.model_fields.items()}
    problems = []
    for key in [key for key in values if key in ExperimentConfig.model_fields and key not in own]:
        decided = _decided_problems(where.rstrip(".") or "file", {key: values.pop(key)})
        problems += decided or [f"{where}{key}: is a key of the experiment; here it belongs into {where}set"]
    return problems


def _key(override: str) -> str:
    return override.partition("=")[0]


def _apply_to_study(raw: dict[str, Any], override: str) -> list[str]:
    """Put an override into the values of the study's file, if it is for these; returns the problems."""
    key = _key(override)
    if key in ON_THE_COMMAND_LINE:
        return apply_override(raw, override)
    axes = {info.alias or name for name, info in Axes.model_fields.items()}
    if key.split(".")[0] in axes | StudyFile.model_fields.keys():
        changeable = ", ".join(ON_THE_COMMAND_LINE)
        return [
            f"override {override!r}: {key} is changed in the study's file; on the command line: {changeable}, and keys of the "
            "experiment"
        ]
    first = key.split(".")[0]
    if first not in ExperimentConfig.model_fields and (hint := nearest(first, ON_THE_COMMAND_LINE)):
        return [f"override {override!r}: unknown key{hint}"]
    given: dict[str, Any] = {}
    return apply_override(given, override) or _decided_problems(f"override {override!r}", given)


def merge(values: dict[str, Any], changes: Mapping[str, Any], where: str = "set") -> list[str]:
    """Put ``changes`` into ``values``: a mapping replaces the keys that it has, an empty one all of them, and a key may be a
    ``key.path``. Returns the problems, which name ``where`` the changes come from."""
    problems = []
    for key, change in changes.items():
        *parents, last = str(key).split(".")
        target: Any = values
        for parent in parents:
            if target.get(parent) is None:
                target[parent] = {}
            target = target[parent]
            if not isinstance(target, dict):
                problems.append(f"{where}.{key}: there are no keys below {parent}, it holds one value")
                break
        else:
            if isinstance(change, Mapping) and change:
                if not isinstance(target.get(last), dict):
                    target[last] = {}
                problems += merge(target[last], change, f"{where}.{key}")
            else:
                drop_other_names(target, last)
                target[last] = copy.deepcopy(change)
    return problems


def _paths(values: Mapping[str, Any], before: str = "") -> Iterable[str]:
    """Yield the ``key.path`` of everything that ``set`` gives a value to, and of the sections on the way."""
    for key, value in values.items():
        yield f"{before}{key}"
        if isinstance(value, Mapping):
            yield from _paths({str(k): v for k, v in value.items()}, f"{before}{key}.")


def _decided_problems(where: str, changes: Mapping[str, Any]) -> list[str]:
    """Return a problem per key that is the study's business."""
    given = [key for key in dict.fromkeys(_paths(changes)) if key in DECIDED]
    problems = [f"{where}: {key} cannot be given in a study: {DECIDED[key]}" for key in given]
    strength = _strength(changes)
    if isinstance(strength, int | float | str):
        problems.append(
            f"{where}: {LAMBDA} cannot be given in a study: it has the axis lambda (the shape of a warm-up, {{value: 1e-4, "
            "warmup: 10}, can be given beside it)"
        )
    return problems


def _strength(changes: Mapping[str, Any]) -> Any:
    """Return the backbone's lambda in ``changes``, however it is written."""
    params = changes.get("bb_optimizer_params")
    return params.get("lambda") if isinstance(params, Mapping) and "lambda" in params else changes.get(LAMBDA)


def _error(path: Path, problems: list[str]) -> ConfigError:
    problems = list(dict.fromkeys(problems))
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return ConfigError(f"{path}: {count}\n" + "\n".join(f"  - {problem}" for problem in problems))
