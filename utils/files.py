"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UNFINISHED = re.compile(r"\..+\.\d+\.unfinished")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``, flushed to the disk and moved to ``path`` at the end.

    Whatever happens before that (an error, a full disk, SIGKILL), the old file stays whole.

    Raises:
        OSError: the system refused; the message is a sentence that names ``path``.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise refused(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    _flush_folder(path.parent)


def refused(path: Path, error: OSError) -> OSError:
    """The sentence about a file that the system did not let us write, as an error of the same number."""
    return OSError(f"{path} cannot be written ({error.strerror or error}); what was there before is unchanged")


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) in one piece."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed while they wrote into ``folder`` left; nobody else may be writing there."""
    for path in folder.iterdir():
        if is_unfinished(path):
            path.unlink(missing_ok=True)


def is_unfinished(path: Path) -> bool:
    """True for a file of :func:`replacing` that never got its name."""
    return _UNFINISHED.fullmatch(path.name) is not None


def _flush_folder(folder: Path) -> None:
    """Make a renaming last through a power cut, where the system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
