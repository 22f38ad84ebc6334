"""Settings of all tests."""

import gc
import os
import signal

# A shell that runs the tests in the background lets them, and the programs that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tensors are small here: more threads only wait for each other, on a busy machine for seconds. Set before torch is
# imported, so that programs started by a test have it too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")

pytest_plugins = ["tests.trained"]

# What is imported stays, and a figure or a network is thousands of small objects: to look for garbage among all of them after
# every 700 takes a tenth of the time of the tests, and a quarter of that of figures.
gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage from here on, rarely, and only among what the tests make."""
    gc.freeze()
    gc.set_threshold(100_000, 10, 10)
    gc.enable()


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """A script that ends within a test changes what Ctrl-C and SIGTERM do; not for the tests after it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
