"""Remember a KeyboardInterrupt that Python would swallow.

Python raises KeyboardInterrupt wherever the program happens to be. In a destructor or the callback of a weak reference it is
printed and forgotten, and the program goes on. Here it is noted too, and long loops check for it.
"""

from __future__ import annotations

import signal
from types import FrameType

_came = False


def watch_interrupts() -> None:
    """Note every Ctrl-C from now on, and raise it as before; do nothing where Ctrl-C is ignored or handled otherwise."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _note)


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
