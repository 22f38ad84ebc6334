"""A configuration as a text for people: keys in the order in which they are read, and above them what they were taken from."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from datasets.preparation.description.entries import Entry
from datasets.preparation.verification.table import printable

WIDTH = 118
LONGEST_SIDE, STEP = 256, 16
"""Pixels of the longer side of the input, at most, and of which both sides are a multiple."""


def document(
    raw: Mapping[str, Any], entries: Sequence[Entry], frames: int, facts: Mapping[str, Sequence[str]], commands: Sequence[str]
) -> str:
    """Write a configuration as YAML.

    Args:
        raw: its values; ``tasks`` are those of the entries.
        entries: tasks, and what is known of them.
        frames: number of images.
        facts: sentences to write above a key; those of the key "" are at the top.
        commands: what to do with the file.
    """
    head = f"{raw['Experiment_name']}: a first configuration, which prepare_data.py describe wrote from what lies in data_dir"
    lines = [_comment(head), "#", *(f"#   {printable(command)}" for command in commands), "#"]
    lines += [*(_comment(fact) for fact in facts.get("", ())), ""]
    for key, value in raw.items():
        above = facts.get(key, ())
        lines += ["", *(_comment(fact) for fact in above)] if above else []
        if key != "tasks":
            lines.append(_flow({key: value}))
            continue
        lines += ["", "tasks:"]
        for entry in entries:
            first = f"{entry.name}: {entry.frames} of {frames} frames; {entry.facts[0]}"
            lines += [_comment(fact, "  ") for fact in (first, *entry.facts[1:])]
            lines.append(textwrap.indent(_flow({entry.name: entry.keys}), "  "))
    return "\n".join(lines) + "\n"


def _comment(text: str, indent: str = "") -> str:
    return textwrap.fill(
        printable(text), WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   ", break_on_hyphens=False
    )


def _flow(pair: Mapping[str, Any]) -> str:
    """Write ``key: value`` in one line, or with a line per part where it is longer."""
    ((key, value),) = pair.items()
    plain = {key: dict(value) if isinstance(value, Mapping) else value}
    line = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf).strip()[1:-1]
    if len(line) <= WIDTH:
        return line
    return yaml.safe_dump(plain, default_flow_style=None, sort_keys=False, allow_unicode=True, width=WIDTH).strip()


def input_shape(sizes: Counter[tuple[int, int]]) -> int | list[int]:
    """Return the size of the input that suits most of the images: in their proportions, of moderate length."""
    ((size, _),) = sizes.most_common(1)
    shrink = min(1.0, LONGEST_SIDE / max(size))
    height, width = (max(STEP, STEP * round(side * shrink / STEP)) for side in size)
    return height if height == width else [height, width]


def batch_size(frames: int) -> int:
    """Return a batch size of which an epoch has two steps at least, where there are enough frames."""
    return next((size for size in (16, 8, 4) if 2 * size <= frames), 2)


def experiment_name(root: Path) -> str:
    """Return a name for the experiment, after the folder."""
    name = "".join(char if char.isascii() and char.isalnum() else "_" for char in root.absolute().name).strip("_")
    return name or "own_data"
