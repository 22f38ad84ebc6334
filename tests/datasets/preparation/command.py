"""``prepare_data.py`` as a user meets it, in this process."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import prepare_data
from utils.console import run_script


def exit_code(*arguments: str | Path) -> int:
    """Run the command line and return its exit code."""
    with _logging_restored(), pytest.raises(SystemExit) as end:
        run_script(lambda: prepare_data.main([str(argument) for argument in arguments]))
    assert isinstance(end.value.code, int)
    return end.value.code


@contextmanager
def _logging_restored() -> Iterator[None]:
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    try:
        yield
    finally:
        logger.handlers[:] = handlers
        logger.setLevel(level)


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line on stderr; nothing was said on stdout."""
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "Traceback" not in said.err and "usage" not in said.err
    return said.err
