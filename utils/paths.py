"""Paths as people write them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from utils.errors import UserError

_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([^}]*)\})", re.ASCII)


def expanded(path: str | Path, key: str = "") -> Path:
    """Return the path with its environment variables (``$NAME``, ``${NAME}``) and its first ``~`` or ``~user`` replaced.

    A path that exists exactly as it is written stays as it is.

    Args:
        path: as the user wrote it.
        key: key of the configuration that holds the path, for the message.

    Raises:
        UserError: it is empty, or names a variable that is not set (or is empty), or a user without a home folder.
    """
    text = str(path)
    where = f"{key}: {text!r}" if key else repr(text)
    if not text.strip() or "\0" in text:
        raise UserError(f"{where} is not valid; expected a path")

    if "$" in text and os.path.lexists(os.path.expanduser(text)):
        return Path(os.path.expanduser(text))  # a name that really has a dollar

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if not os.environ.get(name):
            raise UserError(f"{where}: the environment variable {name} is not set; set it, or write the path out")
        return os.environ[name]

    result = os.path.expanduser(_VARIABLE.sub(value, text))
    if result.startswith("~"):
        raise UserError(f"{where}: {Path(result).parts[0]} has no home folder here; write the path out")
    return Path(result)
