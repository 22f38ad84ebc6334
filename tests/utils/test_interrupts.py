"""A Ctrl-C that arrives where Python throws it away still ends the program."""

import os
import signal
from collections.abc import Iterator

import pytest

from utils import interrupts
from utils.console import track


@pytest.fixture(autouse=True)
def watching() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts.watch_interrupts()
    yield
    signal.signal(signal.SIGINT, before)
    interrupts._came = False


class _Interrupted:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):  # the handler runs between two instructions
            pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_is_lost_in_a_destructor_ends_the_next_round_of_a_loop() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):
        for item in track(range(5), "rounds"):
            done.append(item)
            if item == 2:
                lost = _Interrupted()
                del lost
                done.append("went on")
    assert done == [0, 1, 2, "went on"]


def test_an_interrupt_is_raised_at_once_and_only_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass
    with pytest.raises(KeyboardInterrupt):
        interrupts.check_interrupt()  # nobody has asked yet
    interrupts.check_interrupt()


def test_a_handler_of_somebody_else_stays() -> None:
    def mine(number: int, frame: object) -> None: ...

    signal.signal(signal.SIGINT, mine)
    interrupts.watch_interrupts()
    assert signal.getsignal(signal.SIGINT) is mine
