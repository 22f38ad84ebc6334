"""Configuration files as plain values: YAML read safely, and ``key.path=value`` overrides."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from settings.messages import shown
from tasks.data_sets import DATA_SETS
from utils.errors import ConfigError, TextError
from utils.files import read_text

MOST_LEVELS, MOST_VALUES = 20, 10_000
"""Largest depth of a configuration, and largest number of its values: far more than there are keys."""


_OTHER_NAMES = {
    "num_input_ch": {"input_img_channels"},
    "input_img_channels": {"num_input_ch"},
    "data_dir": {key for data_set in DATA_SETS.values() for key in data_set.folder_keys},
}
"""Other names of each key that has several; ``data_dir`` is another name of the folder keys of the data set in use."""


class _UniqueKeyLoader(yaml.SafeLoader):
    """``yaml.safe_load`` that refuses a key given twice (PyYAML alone keeps the last one silently), and merge keys, with
    which a few lines can stand for millions of keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"keys cannot be merged in with << (line {line}); write them out"
                )
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # super() refuses it
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice (line {line})")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read the keys and values of a YAML file.

    Raises:
        ConfigError: it cannot be read, or holds no keys.
    """
    path = Path(path)
    try:
        text = read_text(path)
    except FileNotFoundError:
        near = ", ".join(str(other) for other in sorted(path.parent.glob("*.yaml"))[:8])
        raise ConfigError(f"{path}: there is no such file" + (f"; beside it: {near}" if near else "")) from None
    except TextError as error:
        raise ConfigError(str(error)) from None
    try:
        raw = _parse(text)
    except _NotYAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from None
    except _NotMeantError as error:
        raise ConfigError(f"{path}: {error}") from None
    if raw is None:
        raise ConfigError(f"{path}: is empty; expected 'key: value' lines")
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected 'key: value' lines, found {type(raw).__name__}")
    return raw


_BOTTOMLESS = "is nested too deeply, refers to itself, or is too large for a configuration"


class _NotYAMLError(ValueError):
    """A text is not YAML; the message says why."""


class _NotMeantError(Exception):
    """A text is YAML but no configuration; the message is a sentence that begins with its verb, or with a key."""


def _parse(text: str) -> Any:
    loader = None
    try:
        loader = _UniqueKeyLoader(text)  # a SafeLoader
        node = loader.get_single_node()
        if node is None:
            return None
        ambiguous = list(_ambiguous_numbers(node, "", set()))
        if ambiguous:
            raise _NotMeantError("; ".join(ambiguous))
        return _copied(loader.construct_document(node), [MOST_VALUES])
    except RecursionError:
        raise _NotMeantError(_BOTTOMLESS) from None
    except yaml.YAMLError as error:
        raise _NotYAMLError(" ".join(str(error).split())) from None
    except (ValueError, OverflowError) as error:  # of a date such as 2024-13-45, or a number such as 0x_
        raise _NotYAMLError(f"a value is not what it looks like ({error})") from None
    except (AttributeError, KeyError, TypeError):  # how PyYAML fails on a tag such as !!bool maybe
        raise _NotYAMLError("a value is not what its tag (!!) says") from None
    finally:
        if loader is not None:
            loader.dispose()


def _ambiguous_numbers(node: yaml.Node, path: str, seen: set[int]) -> Iterator[str]:
    """Yield a sentence about each number that YAML 1.1 reads otherwise than people do: 010 (octal), 1:30 (in sixties), 0x10,
    0b11, 1_000.

    Args:
        node: part of a document; its keys are judged too.
        path: place of the node, as ``key.path``.
        seen: ids of the nodes that were judged before, to which aliases lead again.
    """
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        if node.tag in (_INT, "tag:yaml.org,2002:float"):
            meant = _what_was_meant(node)
            yield from [f"{path}: {meant}" if path else meant] if meant else []
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _ambiguous_numbers(item, path, seen)
    else:
        for key, item in node.value:
            yield from _ambiguous_numbers(key, path, seen)
            yield from _ambiguous_numbers(item, f"{path}.{key.value}" if path else str(key.value), seen)


_INT = "tag:yaml.org,2002:int"


def _what_was_meant(node: yaml.ScalarNode) -> str:
    """Return how to write an ambiguous number; empty for other values (a wrong one is refused later)."""
    text = node.value.strip()
    digits = text.lstrip("+-")
    if not ("_" in digits or ":" in digits or (node.tag == _INT and re.match("0.", digits))):
        return ""
    try:
        number = yaml.SafeLoader("").construct_object(node)
        meant = int(text.replace("_", "")) if re.fullmatch("0[0-7_]+", digits) else number
    except ValueError:
        return ""
    return f"{text} is {number} to YAML; write {meant}, or '{text}' if it is a text"


def _copied(value: Any, left: list[int], depth: int = 0) -> Any:
    """Return a copy in which no two places share an object, so that each can be changed alone. The text None, which published
    files have for null, becomes None.

    Args:
        value: plain values. With aliases a few lines can refer to themselves, or stand for millions of values.
        left: number of values that may still follow; counted down.
        depth: depth of the value in the document.
    """
    left[0] -= 1
    if left[0] < 0 or depth > MOST_LEVELS:
        raise _NotMeantError(_BOTTOMLESS)
    if isinstance(value, dict):
        return {key: _copied(item, left, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item, left, depth + 1) for item in value]
    return None if value == "None" else value


def apply_override(raw: dict[str, Any], override: str) -> list[str]:
    """Set one ``key.path=value`` in ``raw``; return the problem, if there is one."""
    match = re.fullmatch(r"([A-Za-z_][\w.-]*?)=(.*)", override, flags=re.DOTALL)
    if not match:
        return [f"override {override!r}: expected key=value or key.path=value"]
    *parents, last = match[1].split(".")
    drop_other_names(raw, match[1])
    try:
        value = _parse(match[2])
    except _NotMeantError as error:
        return [f"override {shown(override)}: {error}"]
    except _NotYAMLError:
        return [f"override {shown(override)}: the value is not valid YAML (put it in quotes?)"]
    target = raw
    for parent in parents:
        if target.get(parent) is None:
            target[parent] = {}
        if not isinstance(target[parent], dict):
            return [f"override {override!r}: '{parent}' holds one value, not keys"]
        target = target[parent]
    target[last] = value
    return []


def drop_other_names(raw: dict[str, Any], key: str) -> None:
    """Remove the other names of ``key`` from ``raw``: a new value replaces them all."""
    data_set = DATA_SETS.get(str(raw.get("dataset_name")))
    folder = {"data_dir"} if data_set is not None and key in data_set.folder_keys else set()
    for name in _OTHER_NAMES.get(key, folder):
        raw.pop(name, None)
