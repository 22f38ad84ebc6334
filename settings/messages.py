"""Sentences about a wrong configuration: key, value, what was expected, the nearest valid one."""

from __future__ import annotations

import datetime as dt
import difflib
import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, RootModel

from optim.penalties import PENALTIES
from settings.own_tasks import OwnTask, SplitFolders, SplitFractions, own_task_problems, split_problem
from settings.registries import BACKBONES
from settings.sections import PENALTY_PARAMETERS, OptimizerParams, Strength, default_penalty
from settings.targets import TARGETS, Target, given_targets
from tasks.data_sets import DATA_SETS, OWN_DATA
from tasks.table import places_of, tasks_of

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "string_type": "text (put it in quotes)",
    "tuple_type": "a list in brackets",
    "list_type": "a list in brackets",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "finite_number": "a finite number",
    "string_too_short": "some text",
}
_ALSO_CALLED = {
    **{other: name for name, penalty in PENALTIES.items() for other in penalty.also_called},
    **dict.fromkeys(("cross_entropy", "crossentropy", "ce", "celoss"), "softCEloss"),
    **dict.fromkeys(("float16", "half"), "fp16"),
    **{other: name for name, data_set in DATA_SETS.items() for other in data_set.also_called},
}
"""Other names, in small letters, of values that are nearer in spelling to something else."""
_SHARES = (
    *TARGETS,
    "val_fraction",
    *(name for name, parameter in PENALTY_PARAMETERS.items() if parameter.metadata.get("le") == 1),
)
_FOLDER_NAME = "a name for folders: letters, digits, spaces and _ . + = , @ -, beginning with a letter, a digit or _"
_PATTERNS = {
    "Experiment_name": _FOLDER_NAME,
    "study": _FOLDER_NAME,
    "variant": "a part of folders' names: letters, digits and . + -, beginning with a letter or a digit",
}
_MANY_KEYS = 12
"""More keys than a sentence should list."""
_ALIKE = 0.75
"""Likeness (of ``difflib``) from which on a key elsewhere is suggested, unless one of the same section is as near."""
_UNKNOWN_KEY = ("extra_forbidden", "invalid_key")
_LIMITS = {
    "greater_than_equal": (">=", "ge"),
    "greater_than": (">", "gt"),
    "less_than_equal": ("<=", "le"),
    "less_than": ("<", "lt"),
}


def shown(value: Any) -> str:
    """Return a value much as the user's file has it, cut if it is long."""
    text = _as_yaml(value)
    return text if len(text) <= 120 else f"{text[:110]} ... ({len(text)} characters)"


def _as_yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.date):  # and times: YAML makes them of 2024-05-17
        return value.isoformat()
    if isinstance(value, RootModel):
        return _as_yaml(value.root)
    if isinstance(value, Mapping | BaseModel):
        return "{" + ", ".join(f"{key}: {_as_yaml(item)}" for key, item in dict(value).items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_as_yaml(item) for item in value) + "]"
    return repr(value)


def nearest(word: str, candidates: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the closest candidate, or nothing."""
    name = _closest(word, candidates)
    return f"; did you mean '{name}'?" if name else ""


def _closest(word: str, candidates: Iterable[str], cutoff: float = 0.55) -> str:
    """Return the candidate that is closest in spelling; empty if none is close."""
    lower = {name.lower(): name for name in candidates}
    close = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=cutoff)
    return lower[close[0]] if close else ""


def describe_problems(errors: Iterable[Mapping[str, Any]], schema: type[BaseModel]) -> list[str]:
    """Return pydantic's findings as sentences, one per key."""
    sentences: dict[str, str] = {}
    for error in errors:
        names = [str(part) for part in error["loc"]]
        if error["type"] == "missing" and names[-1].isdigit():
            names = names[:-1]  # a list that is too short lacks its last entries: the sentence is about the list
        key = ".".join(names)
        if error["type"] == "too_short" and any(other.startswith(f"{key}.") for other in sentences):
            continue  # only because its entries, which have their own sentences, are no good
        sentences.setdefault(key, f"{key}: {_describe(error, names, schema)}")
    return list(sentences.values())


def _describe(error: Mapping[str, Any], names: list[str], schema: type[BaseModel]) -> str:
    kind, value = error["type"], error.get("input")
    if kind in _UNKNOWN_KEY:
        hint = _key_hint(names, schema)
        return f"unknown key{hint}" if kind == "invalid_key" else f"unknown key (value {shown(value)}){hint}"
    # An entry of a list is explained by its list.
    names = [name for name in names if not name.isdigit()] or names
    if kind == "missing" and isinstance(value, list | tuple):
        return f"{shown(value)} is too short; expected: {_docstring(schema, names)}"
    if kind == "missing":
        return f"is missing; expected: {_docstring(schema, names)}"
    context = error.get("ctx", {})
    if kind == "literal_error":
        choices = str(context["expected"])
        hint = _choice_hint(value, re.findall("'([^']+)'", choices))
        return f"{shown(value)} is not valid; expected {choices}{hint}"
    if kind == "value_error":
        reason = str(context["error"])
        return reason if isinstance(value, str) and repr(value) in reason else f"{shown(value)} is not valid; {reason}"
    if kind in _LIMITS:
        sign, name = _LIMITS[kind]
        return f"{shown(value)} is not valid; expected a number {sign} {context[name]}{_number_hint(names[-1], value)}"
    if kind in {"too_short", "too_long"}:
        return f"{shown(value)} is {kind.replace('_', ' ')}; expected: {_docstring(schema, names)}"
    if kind == "string_too_long":
        return f"{shown(value)} is too long; expected at most {context['max_length']} characters"
    if kind == "string_pattern_mismatch":
        return f"{shown(value)} is not valid; expected {_PATTERNS.get(names[-1], _docstring(schema, names))}"
    if kind == "string_type" and not isinstance(value, bool | int | float | dt.date):
        return f"{shown(value)} is not valid; expected text"
    expected = _EXPECTED.get(kind)
    if expected is None:
        return f"{shown(value)} is not valid; expected: {_docstring(schema, names)}"
    return f"{shown(value)} is not valid; expected {expected}{_number_hint(names[-1], value) if 'number' in expected else ''}"


def _key_hint(names: list[str], schema: type[BaseModel]) -> str:
    """Return a hint at what an unknown key means: the section that has it, the nearest key here, or all keys."""
    *path, name = names
    known = _keys_at(schema, path)
    sections = [key for key in _keys_at(schema, []) if [key] != path and _descend(schema, [key]) is not schema]
    homes = [key for key in sections if name in _keys_at(schema, [key])]
    if homes:
        return f"; it belongs into {' or '.join(homes)} ({homes[-1]}.{name})"
    if path and name in _keys_at(schema, []):
        return f"; it is a key of its own, not of {'.'.join(path)}; the keys here are {', '.join(known)}"
    known += () if path else ("num_input_ch",)
    longer = [key for key in known if "_" in name and key.endswith(f"_{name.lower()}")]
    elsewhere = {key: f"{section}.{key}" for section in sections for key in _keys_at(schema, [section])}
    elsewhere |= {key: key for key in (_keys_at(schema, []) if path else ())}
    here = _closest(name, known, 0.9) or (longer[0] if longer else _closest(name, known, _ALIKE))
    other = elsewhere.get(_closest(name, elsewhere, _ALIKE), "")
    if other and not here:
        return f"; did you mean '{other}'{f', outside of {path[0]}' if path and '.' not in other else ''}?"
    hint = f"; did you mean '{here}'?" if here else nearest(name, known)
    if hint or len(known) <= _MANY_KEYS:
        return hint or f"; the keys here are {', '.join(known)}"
    return "; docs/configuration.md lists the keys that there are"


def _choice_hint(value: Any, choices: list[str]) -> str:
    """Return a hint at the valid choice that a text may mean."""
    if not isinstance(value, str):
        return ""
    other = _ALSO_CALLED.get(value.lower().strip())
    return f"; did you mean '{other}'?" if other in choices else nearest(value, choices)


def _number_hint(name: str, value: Any) -> str:
    """Return a hint at how to write a number that is given in percent, with a comma, or in quotes."""
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"\d+([.,]\d+)?\s*%", text):
            return f"; a share, not a percentage: {float(text.rstrip('% ').replace(',', '.')) / 100:g}"
        if re.fullmatch(r"[-+]?\d+,\d+", text):
            return f"; with a point, {text.replace(',', '.')}"
        if re.fullmatch(r"[-+]?0\d+", text):
            return f"; write {int(text)}"
        return "; without quotes" if re.fullmatch(r"[-+]?\d+(\.\d+)?", text) else ""
    if name in _SHARES and isinstance(value, int | float) and 2 <= value <= 100:
        return f"; a share, not a percentage: {value / 100:g}"
    return ""


def parts_of(annotation: Any) -> Iterator[type]:
    """Yield the types that a type consists of, itself among them."""
    if isinstance(annotation, type) and not isinstance(annotation, UnionType) and not get_args(annotation):
        yield annotation
    for part in get_args(annotation):
        yield from parts_of(part)


def _submodel(annotation: Any) -> type[BaseModel] | None:
    for candidate in parts_of(annotation):
        if issubclass(candidate, BaseModel):
            return _submodel(candidate.model_fields["root"].annotation) if issubclass(candidate, RootModel) else candidate
    return None


def _descend(schema: type[BaseModel], names: Iterable[str]) -> type[BaseModel]:
    for name in names:
        info = next((info for field, info in schema.model_fields.items() if name in (field, info.alias)), None)
        deeper = _submodel(info.annotation) if info else None
        if deeper is None:
            break
        schema = deeper
    return schema


def _keys_at(schema: type[BaseModel], path: list[str]) -> list[str]:
    return [info.alias or name for name, info in _descend(schema, path).model_fields.items()]


def _docstring(schema: type[BaseModel], names: list[str]) -> str:
    fields = _descend(schema, names[:-1]).model_fields
    for name, info in fields.items():
        if names and names[-1] in (name, info.alias):
            return " ".join((info.description or name).split()).rstrip(".")
    return "a value"


# Impossible combinations. A rule is a function of the typed values of the keys that it has for parameters (``targets``: of
# those of ``TARGETS``; ``phases``: of those of ``Phases``), and returns what is wrong with them.


def _setup_and_tasks(setup: str, task_list: tuple[str, ...]) -> str | None:
    if setup == "singletask" and len(task_list) > 1:
        return (
            f"setup: 'singletask' contradicts task_list: {shown(task_list)}; give one task in task_list, "
            "or set setup to 'multitask'"
        )
    return None


def _tasks(dataset_name: str, task_list: tuple[str, ...], tasks_: Mapping[str, OwnTask] | None) -> str | None:
    if len(set(task_list)) < len(task_list):
        return f"task_list: {shown(task_list)} names a task twice"
    if dataset_name == OWN_DATA:
        others = [name for name in task_list if tasks_ is not None and name not in tasks_]
        return f"task_list: {others[0]!r} is none of tasks: {', '.join(tasks_ or ())}" if others else None
    if tasks_ is not None:
        return None  # they are of another data set, as _own_tasks says
    known = tasks_of(DATA_SETS[dataset_name])
    more = ", or class_<Attribute> for any of its attributes" if DATA_SETS[dataset_name].attributes else ""
    for name in task_list:
        try:
            places = places_of(name)
        except KeyError:
            return f"task_list: unknown task {name!r}; expected some of {', '.join(known)}{more}{nearest(name, known)}"
        if dataset_name not in places:
            return (
                f"task_list: {name!r} has no targets in dataset_name: {dataset_name!r}; "
                f"expected some of {', '.join(known)}{more}"
            )
    return None


def _own_tasks(
    dataset_name: str,
    tasks_: Mapping[str, OwnTask] | None,
    split_files: Any,
    split_folders: SplitFolders | None,
    split_fractions: SplitFractions | None,
) -> str | list[str] | None:
    if dataset_name != OWN_DATA:
        return f"tasks: is for dataset_name: {OWN_DATA}, and dataset_name is {dataset_name!r}" if tasks_ else None
    if tasks_ is None:
        return f"tasks: is missing; dataset_name: {OWN_DATA!r} needs what is to be predicted (docs/your_data.md)"
    return [*own_task_problems(tasks_), *filter(None, [split_problem(split_files, split_folders, split_fractions)])]


def _data_dir(
    dataset_name: str,
    data_dir_: str | None,
    data_dir_NYU: str | None,  # noqa: N803
    data_dir_NYU_MTAN: str | None,  # noqa: N803
    data_dir_celebA: str | None,  # noqa: N803
) -> str | None:
    folders = {"data_dir_NYU": data_dir_NYU, "data_dir_NYU_MTAN": data_dir_NYU_MTAN, "data_dir_celebA": data_dir_celebA}
    keys = DATA_SETS[dataset_name].folder_keys
    given = [key for key in keys if folders[key] is not None]
    if data_dir_ is not None and given:
        return f"data_dir: contradicts {given[0]}, as both name the folder of dataset_name: {dataset_name!r}; give one of them"
    if data_dir_ is None and not given:
        first = next(iter(keys), "data_dir")
        return f"{first}: is missing; dataset_name: {dataset_name!r} needs the folder of the data set"
    return None


def _weights(loss_weights: dict[str, float] | None, task_list: tuple[str, ...]) -> str | None:
    if loss_weights is None:
        return None
    if set(loss_weights) != set(task_list):
        return f"loss_weights: has {sorted(loss_weights)}; expected exactly the tasks of task_list: {sorted(task_list)}"
    total = sum(loss_weights.values())
    return None if 0 < total < math.inf else "loss_weights: are all 0; expected at least one above 0"


def _init_weights(backbone: str, init_weights: str | None, start_from: str | None, input_img_channels: int) -> str | None:
    if init_weights is None:
        return None
    if start_from is not None:
        return "init_weights: contradicts start_from, which gives the whole network; give one of them"
    if not BACKBONES[backbone].takes_weights:
        return f"init_weights: {shown(init_weights)} is for torchvision's backbones, and backbone is {backbone!r}"
    if input_img_channels != 3:
        return f"init_weights: {shown(init_weights)} needs input_img_channels: 3, not {input_img_channels}"
    return None


def _normalize(normalize: str, input_img_channels: int) -> str | None:
    if normalize == "imagenet" and input_img_channels != 3:
        return f"normalize: 'imagenet' needs input_img_channels: 3, not {input_img_channels}"
    return None


def epoch_at(time: float, epochs: int) -> int:
    """Return the epoch that a time means: itself, or a share of ``epochs`` if below 1."""
    return max(1, round(time * epochs)) if 0 < time < 1 else round(time)


class Phases(NamedTuple):
    """The keys that say when a penalty acts: from ``sparsity_threshold`` to the debias phase, or to the end."""

    sparsity_threshold: float | None
    targets: list[Target]
    sparsity_until: float
    debias_from: float | None
    epochs: int

    @property
    def start(self) -> int:
        """Epoch from which the penalty acts. Without a threshold it is the first; with a target, a fourteenth of the epochs
        comes before it, as groups of an untrained network cannot be judged, but it comes before ``sparsity_until``."""
        if self.sparsity_threshold is not None:
            return epoch_at(self.sparsity_threshold, self.epochs)
        if not self.targets:
            return 0
        return min(max(1, self.epochs // 14), epoch_at(self.sparsity_until, self.epochs) - 1)

    @property
    def debias(self) -> tuple[str, float | None]:
        """Key and value of the time at which the debias phase begins; None in place of the value: there is none."""
        return ("sparsity_until", self.sparsity_until) if self.targets else ("debias_from", self.debias_from)


def _between_epochs(key: str, time: float) -> str | None:
    if time < 1 or time == round(time):
        return None
    return f"{key}: {time:g} is neither an epoch (a whole number) nor a share of epochs (below 1)"


def _threshold(group_sparsity: bool, sparsity_threshold: float | None, epochs: int) -> str | None:
    if sparsity_threshold is None:
        return None
    problem = _between_epochs("sparsity_threshold", sparsity_threshold)
    if problem is None and group_sparsity and epoch_at(sparsity_threshold, epochs) >= epochs:
        return (
            f"sparsity_threshold: {sparsity_threshold:g} is not below epochs: {epochs}, so the penalty would never act; "
            "lower it, or set group_sparsity to false"
        )
    return problem


def _time_problem(key: str, time: float, phases: Phases) -> str | None:
    start, at = phases.start, epoch_at(time, phases.epochs)
    problem = _between_epochs(key, time)
    if problem is None and phases.epochs < 2:
        return f"{key}: has no place in {phases.epochs} epoch; give epochs: 2 or more, or group_sparsity: false for a first try"
    if problem is None and not start < at < phases.epochs:
        return (
            f"{key}: {time:g} means epoch {at}; expected one after sparsity_threshold: {start} and before epochs: "
            f"{phases.epochs}, so that there is time for the penalty before it and for training after it"
        )
    return problem


def _until(group_sparsity: bool, phases: Phases) -> str | None:
    if not group_sparsity or not phases.targets:
        return None
    return _time_problem("sparsity_until", phases.sparsity_until, phases)


def _debias(group_sparsity: bool, phases: Phases) -> str | None:
    if not group_sparsity or phases.debias_from is None:
        return None
    if phases.targets:
        key = phases.targets[0].key
        return f"debias_from: contradicts {key}, with which that phase begins at sparsity_until; give one of them"
    return _time_problem("debias_from", phases.debias_from, phases)


def _shrink(group_sparsity: bool, shrink: bool | None, targets: list[Target], debias_from: float | None) -> str | None:
    if group_sparsity and shrink and not targets and debias_from is None:
        return "shrink: true needs groups that stay zero: give target_sparsity, or debias_from"
    return None


def _one_target(targets: list[Target]) -> str | None:
    if len(targets) > 1:
        return f"{targets[1].key}: contradicts {targets[0].key}; give one of them, and null as the other"
    return None


def _budget(group_sparsity: bool, targets: list[Target], bb_optimizer_params: OptimizerParams) -> str | None:
    for target in targets:
        if not group_sparsity or not target.is_budget:
            continue
        penalty = PENALTIES[bb_optimizer_params.penalty or default_penalty(target)]
        if not penalty.selects:
            final = [name for name, other in PENALTIES.items() if other.selects]
            return (
                f"{target.key}: needs a penalty whose zeros are final, and those of {penalty.name} may come back; set "
                f"bb_optimizer_params.penalty to {' or '.join(final)}"
            )
    return None


def _strength_problem(key: str, strength: Strength | None, phases: Phases) -> str | None:
    """Return what is wrong with the strength of a penalty, the value of ``key``."""
    if strength is None or strength.is_constant:
        return None
    epochs = phases.epochs
    times = [time for time, _ in strength.points(phases.start)]
    if times != sorted(times):
        return f"{key}: the epochs of {shown(strength)} fall; expected [epoch, lambda] in order of time"
    full, what = times[-1], "last point lies" if strength.is_listed else "warmup ends"
    end_key, time = phases.debias
    # The last epoch begins at epochs - 1.
    end_key, given, end = ("epochs", epochs, epochs - 1) if time is None else (end_key, time, epoch_at(time, epochs))
    if full > end:
        return (
            f"{key}: its {what} at epoch {full:g}, and {end_key} is {given:g}, so that the penalty would never have its full "
            "strength"
        )
    return None


def _lambda(
    group_sparsity: bool, bb_optimizer_params: OptimizerParams, lambda_list: tuple[float, ...] | None, phases: Phases
) -> str | None:
    if lambda_list is not None and phases.targets:
        key = phases.targets[0].key
        return f"lambda_list: contradicts {key}, with which lambda is found while training; give one of them"
    if not group_sparsity or phases.targets:
        return None
    key, strength = "bb_optimizer_params.lambda", bb_optimizer_params.lambda_
    problem = _strength_problem(key, strength, phases)
    if problem is None and strength is not None and strength.is_listed and lambda_list is not None:
        return f"lambda_list: contradicts the points in {key}; give one of them"
    return problem


def _head_lambda(
    group_sparsity: bool,
    sparsify: str,
    optimizer_params: OptimizerParams,
    bb_optimizer_params: OptimizerParams,
    phases: Phases,
) -> str | None:
    if not group_sparsity or sparsify != "backbone_and_heads":
        return None
    key, strength = "optimizer_params.lambda", optimizer_params.lambda_
    penalty = PENALTIES[bb_optimizer_params.penalty or default_penalty(phases.targets or None)]
    if phases.targets and penalty.selects:
        if strength is None:
            return None
        return (
            f"{key}: {shown(strength)} has no effect with target_sparsity and the penalty {penalty.name!r}, as features are "
            "then selected together with the backbone's groups; remove it, or set bb_optimizer_params.penalty to 'l1_l2'"
        )
    if strength is None or not any(value for _, value in strength.points(0)):
        return (
            f"sparsify: 'backbone_and_heads' needs the strength of the heads' penalty, and {key} is {shown(strength)}; give a "
            f"number above 0 (such as {key}=1e-4), or set sparsify to 'backbone'"
        )
    return _strength_problem(key, strength, phases)


_RULES: tuple[Callable[..., str | list[str] | None], ...] = (
    *(_setup_and_tasks, _tasks, _own_tasks, _data_dir, _weights, _init_weights),
    *(_one_target, _budget, _threshold, _until, _debias, _shrink, _lambda, _head_lambda, _normalize),
)


def rule_problems(values: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each rule that typed values break; a rule is asked if every key that it reads is among them."""
    known = dict(values)
    if known.keys() >= TARGETS.keys():
        known["targets"] = given_targets(known)
    if known.keys() >= {*Phases._fields}:
        known["phases"] = Phases(*(known[key] for key in Phases._fields))
    read = {rule: inspect.signature(rule).parameters.keys() for rule in _RULES}
    broken = [rule(**{key: known[key] for key in keys}) for rule, keys in read.items() if keys <= known.keys()]
    return [problem for some in broken for problem in ([some] if isinstance(some, str) else some or ())]
