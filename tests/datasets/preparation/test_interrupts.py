"""Ctrl-C comes when it can be dealt with."""

import signal
import subprocess
import sys
import threading

import pytest

from datasets.preparation.workers import interrupts_held_back


def test_an_interrupt_waits_for_the_end_of_the_block() -> None:
    before, done = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt):
        with interrupts_held_back():
            signal.raise_signal(signal.SIGINT)
            done.append("the rest")
        done.append("too late")
    assert done == ["the rest"]
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_so_does_one_that_another_thread_receives() -> None:
    begun, done = threading.Event(), []
    thread = threading.Thread(target=lambda: begun.wait() and signal.raise_signal(signal.SIGINT))
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        with interrupts_held_back():
            begun.set()
            thread.join()
            done.append("the rest")
        done.append("too late")
    assert done == ["the rest"]


def test_a_process_that_is_started_meanwhile_is_left_alone() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('still here')"
    with interrupts_held_back():
        started = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert started.stdout == "still here\n"
