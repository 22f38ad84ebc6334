"""Modules that are imported when something in them is first used."""

from __future__ import annotations

import importlib
from typing import Any


class Later:
    """A module, ``name``, that is imported when one of its attributes is read; ``.module`` is one of this package."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._name, __package__), attribute)
        setattr(self, attribute, value)
        return value
