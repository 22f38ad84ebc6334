"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever the program happens to be. In a destructor or the callback of a weak reference it is
printed and forgotten, and the program goes on. Here it is noted too, and long loops ask.
"""

from __future__ import annotations

import signal
from types import FrameType

_came = False


def watch_interrupts() -> None:
    """From now on, note a Ctrl-C beside raising it; nothing where Ctrl-C is ignored or handled otherwise."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _note)


def _note(number: int, frame: FrameType | None) -> None:
    global _came
    _came = True
    signal.default_int_handler(number, frame)


def check_interrupt() -> None:
    """Raise the KeyboardInterrupt that came, and was lost; once.

    Raises:
        KeyboardInterrupt: it did.
    """
    global _came
    if _came:
        _came = False
        raise KeyboardInterrupt
