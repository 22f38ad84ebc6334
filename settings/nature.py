"""The nature of a configuration's keys: each field says what its key is about, and other modules ask for it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel

Altered = Literal["numbers", "speed", "record", "place"]
"""Things that a key can change: results; the seconds of an epoch; what is written down; the place of files."""


@dataclass(frozen=True)
class Nature:
    """Purpose of a key of the configuration: one of the annotations of its field."""

    alters: tuple[Altered, ...]
    """Things that another value of the key changes."""
    needs: Literal["", "data", "device", "weights", "tracker"] = ""
    """Kind of things outside the configuration that the key is about; they are checked before a training."""
    may_become: Literal["nothing else", "anything", "larger", "another spelling", "another place", "what it stands for"] = (
        "nothing else"
    )
    """Values that a resumed training may have instead; ``another spelling`` is another path to the same place, ``what it stands
    for`` a word in place of the values that it was resolved to."""
    machine: bool = False
    """True if the value depends on the machine, so that the finished runs of one study may differ in it."""
    penalty: bool = False
    """True if the key is about the penalty alone, so that a dense training does not read it."""
    of_norms: bool = False
    """True if the key has an effect only with a penalty on norms, and not with one that selects."""
    of_target: bool = False
    """True if the key has an effect only where the configuration gives a target."""
    used_with: tuple[str, Any] | None = None
    """Another key, and its only value with which this key has an effect; None: there is no such condition. At a section: the
    condition of the section's keys that are about the penalty."""
    replaces: str = ""
    """A key that has no effect where this one is given."""
    in_a_study: str = ""
    """Reason why a study gives the key its value, and what to write instead; empty if a study leaves the key alone."""


def about(*alters: Altered, **facts: Any) -> Nature:
    """Return the nature of a key that ``alters`` these things; ``facts`` are the other attributes of :class:`Nature`."""
    return Nature(alters, **facts)


NUMBERS = about("numbers")
"""Changes results alone."""
WORK = about("numbers", "speed")
"""Changes results, and how long an epoch takes."""
PENALTY = about("numbers", penalty=True)
"""Changes the results of sparse trainings."""
TARGETED = about("numbers", penalty=True, of_target=True)
"""Changes the results of trainings with a target."""
RECORD = about("record", may_become="anything")
"""Changes what is written down about a training."""


@functools.cache
def natures(schema: type[BaseModel]) -> Mapping[str, Nature]:
    """Return the nature of every key of a schema by its YAML name; that of a key in a section by ``section.key``.

    Raises:
        TypeError: a field says nothing about its key.
    """
    result: dict[str, Nature] = {}
    for name, info in schema.model_fields.items():
        key = info.alias or name
        nature = next((mark for mark in info.metadata if isinstance(mark, Nature)), None)
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            for part, own in natures(info.annotation).items():
                result[f"{key}.{part}"] = replace(own, used_with=nature.used_with) if nature and own.penalty else own
        elif nature is None:
            raise TypeError(f"{schema.__name__}.{name}: a Nature is missing among the annotations of the field")
        else:
            result[key] = nature
    return result
