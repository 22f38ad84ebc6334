"""End a program at Ctrl-C or SIGTERM with a KeyboardInterrupt, and remember one that Python would swallow.

Python raises KeyboardInterrupt wherever the program happens to be. In a destructor or the callback of a weak reference it is
printed and forgotten, and the program goes on. Here it is noted too, and long loops check for it.
"""

from __future__ import annotations

import signal
from types import FrameType

_came = False


def watch_interrupts() -> None:
    """Raise and note every Ctrl-C and SIGTERM from now on; leave alone the one that is ignored or handled otherwise."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is usual:
            signal.signal(number, _note)


def _note(number: int, frame: FrameType | None) -> None:
    global _came
    _came = True
    signal.default_int_handler(number, frame)


def check_interrupt() -> None:
    """Raise the KeyboardInterrupt that was lost, if there was one; only once."""
    global _came
    if _came:
        _came = False
        raise KeyboardInterrupt
