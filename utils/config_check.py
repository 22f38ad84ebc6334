"""What can be wrong in a configuration, in words: key, value, what was expected, the nearest valid one."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from types import UnionType
from typing import Any, get_args

from pydantic import BaseModel

from utils.tasks import get_task, task_names

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
_LIMITS = {
    "greater_than_equal": (">=", "ge"),
    "greater_than": (">", "gt"),
    "less_than_equal": ("<=", "le"),
    "less_than": ("<", "lt"),
}


def to_number(value: Any) -> Any:
    """A number that PyYAML reads as text (``1e-6`` has no point) as a float; anything else unchanged."""
    if isinstance(value, bool):
        raise ValueError("expected a number")
    if isinstance(value, str) and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", value.strip()):
        return float(value)
    return value


def nearest(word: str, candidates: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the closest candidate, or nothing."""
    names = list(candidates)
    lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.55)
    return f"; did you mean '{lower[close[0]]}'?" if close else ""


def describe_problems(errors: Iterable[Mapping[str, Any]], schema: type[BaseModel]) -> list[str]:
    """pydantic's findings as sentences, one per key."""
    sentences: dict[str, str] = {}
    for error in errors:
        names = [str(part) for part in error["loc"]]
        branch = next((at for at, part in enumerate(error["loc"]) if _is_branch(part)), None)
        if branch is not None:
            # No form that the key may have fits: one sentence about the key, not one per form.
            names = names[:branch]
            sentence = f"{error['input']!r} is not valid; expected: {_docstring(schema, names)}"
        else:
            if error["type"] == "missing" and names[-1].isdigit():
                # A list that is too short lacks its last entries: the sentence is about the list.
                names = names[:-1]
            sentence = _describe(error, names, schema)
        key = ".".join(names)
        sentences.setdefault(key, f"{key}: {sentence}")
    return list(sentences.values())


def _is_branch(part: Any) -> bool:
    """True for pydantic's name of one form of a key that has several, which the user never wrote."""
    return isinstance(part, str) and ("constrained" in part or "[" in part or part in {"int", "tuple", "float", "Warmup"})


def _describe(error: Mapping[str, Any], names: list[str], schema: type[BaseModel]) -> str:
    kind, value = error["type"], error.get("input")
    if kind in {"extra_forbidden", "invalid_key"}:
        known = _keys_at(schema, names[:-1])
        hint = nearest(names[-1], known) or f"; the keys here are {', '.join(known)}"
        return f"unknown key{hint}" if kind == "invalid_key" else f"unknown key (value {value!r}){hint}"
    if kind == "missing" and isinstance(value, list | tuple):
        return f"{value!r} is too short; expected: {_docstring(schema, names)}"
    if kind == "missing":
        return f"is missing; expected: {_docstring(schema, names)}"
    context = error.get("ctx", {})
    if kind == "literal_error":
        choices = str(context["expected"])
        hint = nearest(str(value), re.findall("'([^']+)'", choices))
        return f"{value!r} is not valid; expected {choices}{hint}"
    if kind == "value_error":
        reason = str(context["error"])
        return reason if repr(value) in reason else f"{value!r} is not valid; {reason}"
    if kind in _LIMITS:
        sign, name = _LIMITS[kind]
        return f"{value!r} is not valid; expected a number {sign} {context[name]}"
    if kind in {"too_short", "too_long"}:
        return f"{value!r} is {kind.replace('_', ' ')}; expected: {_docstring(schema, names)}"
    if kind == "string_pattern_mismatch":
        return f"{value!r} is not valid; expected: {_docstring(schema, names)} (allowed form: {context['pattern']})"
    return f"{value!r} is not valid; expected {_EXPECTED.get(kind, error['msg'])}"


def _submodel(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and not isinstance(candidate, UnionType) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _descend(schema: type[BaseModel], names: Iterable[str]) -> type[BaseModel]:
    for name in names:
        info = schema.model_fields.get(name)
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


def _rule_setup(setup: Any, task_list: Any) -> str | None:
    if setup == "singletask" and len(task_list) > 1:
        return (
            f"setup: 'singletask' contradicts task_list: {list(task_list)}; give one task in task_list, "
            "or set setup to 'multitask'"
        )
    return None


def _rule_tasks(dataset_name: Any, task_list: Any) -> str | None:
    if len(set(task_list)) < len(task_list):
        return f"task_list: {list(task_list)} names a task twice"
    known = task_names(dataset_name)
    more = ", or class_<Attribute> for any CelebA attribute" if dataset_name == "celebA" else ""
    for name in task_list:
        try:
            task = get_task(name)
        except KeyError:
            return f"task_list: unknown task {name!r}; expected some of {', '.join(known)}{more}{nearest(name, known)}"
        if dataset_name not in task.source:
            return (
                f"task_list: {name!r} has no targets in dataset_name: {dataset_name!r}; "
                f"expected some of {', '.join(known)}{more}"
            )
    return None


def _rule_data_dir(dataset_name: Any, data_dir_NYU: Any, data_dir_NYU_MTAN: Any, data_dir_celebA: Any) -> str | None:  # noqa: N803
    folders = {"NYU": data_dir_NYU, "NYU_MTAN": data_dir_NYU_MTAN or data_dir_NYU, "celebA": data_dir_celebA}
    key = f"data_dir_{dataset_name}"
    if folders[dataset_name]:
        return None
    return f"{key}: is missing; dataset_name: {dataset_name!r} needs the folder of the data set"


def _rule_weights(loss_weights: Any, task_list: Any) -> str | None:
    if loss_weights is None:
        return None
    if set(loss_weights) != set(task_list):
        return f"loss_weights: has {sorted(loss_weights)}; expected exactly the tasks of task_list: {sorted(task_list)}"
    total = sum(float(to_number(weight)) for weight in loss_weights.values())
    return None if total > 0 and math.isfinite(total) else "loss_weights: are all 0; expected at least one above 0"


def _rule_init_weights(backbone: Any, init_weights: Any, input_img_channels: Any) -> str | None:
    if init_weights is None:
        return None
    if str(backbone).startswith("resnetd"):
        return f"init_weights: {init_weights!r} is for torchvision's backbones, and backbone is {backbone!r}"
    if input_img_channels != 3:
        return f"init_weights: {init_weights!r} needs input_img_channels: 3, not {input_img_channels!r}"
    return None


def _rule_threshold(group_sparsity: Any, sparsity_threshold: Any, epochs: Any) -> str | None:
    if group_sparsity and sparsity_threshold >= epochs:
        return (
            f"sparsity_threshold: {sparsity_threshold} is not below epochs: {epochs}, so the penalty would never act; "
            "lower it, or set group_sparsity to false"
        )
    return None


def epoch_at(time: float, epochs: int) -> int:
    """The epoch that a time means: itself, or a share of ``epochs`` if below 1."""
    return max(1, round(time * epochs)) if time < 1 else round(time)


def _time_problem(key: str, time: Any, start: int, epochs: int) -> str | None:
    value = float(to_number(time))
    at = epoch_at(value, epochs)
    if value >= 1 and value != at:
        return f"{key}: {time} is neither an epoch (a whole number) nor a share of epochs (below 1)"
    if start < at < epochs:
        return None
    return (
        f"{key}: {time} means epoch {at}; expected one after sparsity_threshold: {start} and before epochs: {epochs}, so that "
        "there is time for the penalty before it and for training after it"
    )


def _rule_until(
    group_sparsity: Any, target_sparsity: Any, sparsity_until: Any, sparsity_threshold: Any, epochs: Any
) -> str | None:
    if not group_sparsity or target_sparsity is None:
        return None
    return _time_problem("sparsity_until", sparsity_until, sparsity_threshold, epochs)


def _rule_debias(
    group_sparsity: Any, target_sparsity: Any, debias_from: Any, sparsity_threshold: Any, epochs: Any
) -> str | None:
    if not group_sparsity or debias_from is None:
        return None
    if target_sparsity is not None:
        return "debias_from: contradicts target_sparsity, with which that phase begins at sparsity_until; give one of them"
    return _time_problem("debias_from", debias_from, sparsity_threshold, epochs)


def _full_from(key: str, strength: Any, start: int) -> tuple[float, str] | str | None:
    """When a strength that changes is full, and what happens then; text: what is wrong with it; None: it is constant."""
    if isinstance(strength, Mapping):
        return start + float(to_number(strength["warmup"])), "warmup ends"
    if not isinstance(strength, list | tuple):
        return None
    times = [float(to_number(epoch)) for epoch, _ in strength]
    if times != sorted(times):
        return f"{key}: the epochs of {strength} fall; expected [epoch, lambda] in order of time"
    return times[-1], "last point lies"


def _strength_problem(key: str, strength: Any, start: int, epochs: int, debias: tuple[str, Any] | None) -> str | None:
    """What is wrong with the strength of a penalty that acts from epoch ``start`` to ``epochs`` or to the debias phase.

    Args:
        key: of the strength.
        strength: as the file says it.
        start: epoch.
        epochs: of the training.
        debias: key and value of the time at which the debias phase begins; None: there is none.
    """
    full = _full_from(key, strength, start)
    if full is None or isinstance(full, str):
        return full
    last, what = full
    # The last epoch begins at epochs - 1.
    end_key, given, end = "epochs", epochs, epochs - 1
    if debias is not None:
        end_key, given = debias
        end = epoch_at(float(to_number(given)), epochs)
    if last > end:
        return (
            f"{key}: its {what} at epoch {last:g}, and {end_key} is {given}, so that the penalty would never have its full "
            "strength"
        )
    return None


def _rule_lambda(
    group_sparsity: Any,
    target_sparsity: Any,
    bb_optimizer_params: Any,
    lambda_list: Any,
    sparsity_threshold: Any,
    debias_from: Any,
    epochs: Any,
) -> str | None:
    if lambda_list is not None and target_sparsity is not None:
        return "lambda_list: contradicts target_sparsity, with which lambda is found while training; give one of them"
    if not isinstance(bb_optimizer_params, Mapping) or not group_sparsity or target_sparsity is not None:
        return None
    key, strength = "bb_optimizer_params.lambda", bb_optimizer_params.get("lambda")
    debias = None if debias_from is None else ("debias_from", debias_from)
    problem = _strength_problem(key, strength, sparsity_threshold, epochs, debias)
    if problem is None and isinstance(strength, list | tuple) and lambda_list is not None:
        return f"lambda_list: contradicts the points in {key}; give one of them"
    return problem


def _rule_head_lambda(
    group_sparsity: Any,
    sparsify: Any,
    optimizer_params: Any,
    target_sparsity: Any,
    sparsity_until: Any,
    sparsity_threshold: Any,
    debias_from: Any,
    epochs: Any,
) -> str | None:
    if not group_sparsity or sparsify != "backbone_and_heads":
        return None
    key = "optimizer_params.lambda"
    strength = optimizer_params.get("lambda") if isinstance(optimizer_params, Mapping) else None
    if _largest(strength) == 0:
        return (
            f"sparsify: 'backbone_and_heads' needs the strength of the heads' penalty, and {key} is {strength!r}; give a "
            f"number above 0 (such as {key}=1e-4), or set sparsify to 'backbone'"
        )
    debias = ("sparsity_until", sparsity_until) if target_sparsity is not None else ("debias_from", debias_from)
    return _strength_problem(key, strength, sparsity_threshold, epochs, None if debias[1] is None else debias)


def _largest(strength: Any) -> float:
    """The largest value that a penalty's strength takes; 0 if it is not given."""
    if isinstance(strength, Mapping):
        strength = strength["value"]
    values = [value for _, value in strength] if isinstance(strength, list | tuple) else [strength or 0.0]
    return max(float(to_number(value)) for value in values)


def _rule_normalize(normalize: Any, input_img_channels: Any) -> str | None:
    if normalize == "imagenet" and input_img_channels != 3:
        return f"normalize: 'imagenet' needs input_img_channels: 3, not {input_img_channels!r}"
    return None


_RULES: tuple[tuple[Callable[..., str | None], tuple[str, ...]], ...] = (
    (_rule_setup, ("setup", "task_list")),
    (_rule_tasks, ("dataset_name", "task_list")),
    (_rule_data_dir, ("dataset_name", "data_dir_NYU", "data_dir_NYU_MTAN", "data_dir_celebA")),
    (_rule_weights, ("loss_weights", "task_list")),
    (_rule_init_weights, ("backbone", "init_weights", "input_img_channels")),
    (_rule_threshold, ("group_sparsity", "sparsity_threshold", "epochs")),
    (_rule_until, ("group_sparsity", "target_sparsity", "sparsity_until", "sparsity_threshold", "epochs")),
    (_rule_debias, ("group_sparsity", "target_sparsity", "debias_from", "sparsity_threshold", "epochs")),
    (
        _rule_lambda,
        (
            "group_sparsity",
            "target_sparsity",
            "bb_optimizer_params",
            "lambda_list",
            "sparsity_threshold",
            "debias_from",
            "epochs",
        ),
    ),
    (
        _rule_head_lambda,
        (
            "group_sparsity",
            "sparsify",
            "optimizer_params",
            "target_sparsity",
            "sparsity_until",
            "sparsity_threshold",
            "debias_from",
            "epochs",
        ),
    ),
    (_rule_normalize, ("normalize", "input_img_channels")),
)


def rule_problems(values: Mapping[str, Any], defaults: Mapping[str, Any], bad_keys: set[str]) -> list[str]:
    """Impossible combinations; a rule is asked only if every key that it reads is valid by itself."""
    known = {**defaults, **values}
    problems = []
    for rule, keys in _RULES:
        if bad_keys.isdisjoint(keys) and all(key in known for key in keys):
            problem = rule(*(known[key] for key in keys))
            if problem:
                problems.append(problem)
    return problems
