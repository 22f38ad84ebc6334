"""Objects that are named by their place, ``module:name``, by code that lies below them or must not wait for their imports."""

from __future__ import annotations

import importlib
from typing import Any


def load(place: str) -> Any:
    """Import the object of a ``module:name``."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
