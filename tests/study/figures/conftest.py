"""Setup of all tests of figures."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def _rare_collection() -> Iterator[None]:
    """A figure is thousands of small objects: to look for garbage among them after every 700 takes a quarter of the time."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, *before[1:])
    yield
    gc.set_threshold(*before)
