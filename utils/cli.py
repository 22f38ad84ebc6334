"""Command-line arguments that scripts share."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from utils.errors import UserError
from utils.paths import expanded

TRIAL_FORMS = "its folder, the checkpoint.pt in it, or its name in results/runs"
"""Ways to name a trained trial (``engine.checkpoint.find_trials``), for help texts."""


def typed_command() -> str:
    """Return the command line that started this process, or torchrun's that started it and others."""
    processes = os.environ.get("WORLD_SIZE", "1") if "RANK" in os.environ else "1"
    program = ["python"] if processes == "1" else ["torchrun", "--nproc-per-node", processes]
    return shlex.join([*program, *sys.argv])


def continuing(command: str, *options: str) -> str:
    """Return the command that goes on with what ``command`` began: without ``--overwrite``, and with ``options``."""
    kept = [word for word in shlex.split(command) if not ("--overwrite".startswith(word) and len(word) > len("--o"))]
    return shlex.join([*kept, *(option for option in options if option not in kept)])


def path_argument(text: str) -> Path:
    """Return a path, for argparse; ``~`` and environment variables are replaced."""
    try:
        return expanded(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def key_value(text: str) -> tuple[str, str | None]:
    """Return key and value of ``key=value``, for argparse; a key alone has no value."""
    key, sign, value = text.partition("=")
    if not key:
        raise argparse.ArgumentTypeError(f"{text!r}; expected key=value, or a key alone")
    return key, value if sign else None


def positive(text: str) -> int:
    """Return a whole number from 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is too small; expected at least 1")
    return value


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return a type for argparse: a whole number from ``least`` to ``most``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {least} to {most}")
        return value

    return parse
