"""The configuration's keys as a Markdown table, made from the schema: docs/configuration.md cannot be out of date."""

from __future__ import annotations

from inspect import get_annotations
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo

from settings.config import ExperimentConfig
from settings.messages import parts_of
from settings.sections import OneOf, Schema


def key_table(schema: type[BaseModel] = ExperimentConfig) -> str:
    """Return one row per key: name, allowed values where they are few, default, meaning; nested keys as ``parent.key``."""
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *_rows(schema, "")])


def _rows(schema: type[BaseModel], prefix: str) -> list[str]:
    rows = []
    for name, info in schema.model_fields.items():
        if name not in get_annotations(schema):
            continue  # of a section whose keys, with these defaults, have their rows
        key = prefix + (info.alias or name)
        meaning = " ".join((info.description or "").split()).replace("|", "\\|")
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            rows += [f"| `{key}` | | {meaning} |", *_rows(info.annotation, f"{key}.")]
            continue
        below = next((part for part in parts_of(info.annotation) if issubclass(part, Schema)), None)
        choices = _choices(info)
        if choices and not all(f"`{choice}`" in meaning for choice in choices):
            meaning += f" One of {', '.join(f'`{choice}`' for choice in choices)}."
        rows.append(f"| `{key}` | {'required' if info.is_required() else _text(info.default)} | {meaning} |")
        if below is not None and info.default is None and not issubclass(below, RootModel):
            names = ".<name>" if any(part is str for part in parts_of(info.annotation)) else ""
            rows += _rows(below, f"{key}{names}.")
    return rows


def _choices(info: FieldInfo) -> list[Any]:
    if get_origin(info.annotation) is Literal:
        return list(get_args(info.annotation))
    return [name for mark in info.metadata if isinstance(mark, OneOf) for name in mark.registry]


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value)}`" if isinstance(value, tuple) else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
