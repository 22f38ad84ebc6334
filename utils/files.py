"""Files: written whole or not at all, read as text, compared by a fingerprint, removed without a trace."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import TypeVar

from utils.errors import TextError

T = TypeVar("T")

_MARKS = (
    *((codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32")),
    *((codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16")),
)
"""Byte order marks. That of UTF-32 begins with that of UTF-16."""

BLOCKS, BLOCK_BYTES = 16, 4096
"""Number of the parts of a file that :func:`fingerprint` reads, and bytes of each."""

_UNFINISHED = re.compile(r"\.(.+)\.\d+\.unfinished")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, flushed to the disk and moved to ``path`` at the end.

    Whatever happens before that (an error, a full disk, SIGKILL), the old file stays whole. The temporary file exists, is
    empty, and has a random name, so that nobody can place a link there before.

    Raises:
        OSError: the system refused; the message is a sentence that names ``path``.
    """
    temporary = unfinished(path)
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except Exception as error:
        # Where a write fails or is interrupted, torch and matplotlib go on to raise an error of their own about the file that
        # they cannot close.
        cause = _cause(error)
        if isinstance(cause, OSError):
            raise refused(path, cause) from error
        if cause is not None:
            raise cause from None
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    _flush_folder(path.parent)


def _cause(error: BaseException | None) -> BaseException | None:
    """Return the error of the system, or the Ctrl-C, that led to ``error``; None if neither did."""
    while error is not None and isinstance(error, Exception) and not isinstance(error, OSError):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error


def refused(path: Path, error: OSError) -> OSError:
    """Return an error with the same number, whose sentence names the file that the system refused to write."""
    sentence = OSError(f"{path} cannot be written ({error.strerror or error}); what was there before is unchanged")
    sentence.errno = error.errno
    return sentence


def read_text(path: Path) -> str:
    """Read the text of a UTF-8 file, with or without a byte order mark, with any kind of line ends.

    Raises:
        FileNotFoundError: there is no such file.
        TextError: the system does not let us read it, or it is no UTF-8 text; the sentence says what it looks like.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # the latter: a name with a zero byte
        if isinstance(error, FileNotFoundError) and not path.is_symlink():
            raise
        raise TextError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from None
    kind = next((kind for mark, kind in _MARKS if content.startswith(mark)), None)
    if kind is None and b"\0" in content:
        # Every other byte of Latin letters in UTF-16 is zero.
        zeros = content[::2].count(0), content[1::2].count(0)
        kind = "UTF-16" if min(zeros) == 0 and 4 * max(zeros) > len(content) else "a binary file"
    if kind is None:
        try:
            return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            kind = f"Latin-1 or Windows-1252 (the byte {content[error.start]:02X} in line {line})"
    raise TextError(f"{path} is no UTF-8 text, it looks like {kind}; expected UTF-8: save it anew with that encoding")


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """Read the lines of a text file that are not empty, without the space around them, each with its number (from 1).

    Raises:
        FileNotFoundError, TextError: as :func:`read_text`.
    """
    lines = ((number, line.strip()) for number, line in enumerate(read_text(path).split("\n"), 1))
    return [(number, line) for number, line in lines if line]


def fingerprint(path: Path, blocks: int = BLOCKS) -> str:
    """Return a hash of a file's size and of evenly spread blocks of ``BLOCK_BYTES``, its first and its last bytes among them.

    A file that is not larger than its blocks together is read whole. A change between the blocks is not seen.

    Args:
        path: path of the file.
        blocks: number of blocks, at least 2.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(f"{size} ".encode())
        if size <= blocks * BLOCK_BYTES:
            digest.update(file.read())
        else:
            for block in range(blocks):
                file.seek((size - BLOCK_BYTES) * block // (blocks - 1))
                digest.update(file.read(BLOCK_BYTES))
    return digest.hexdigest()


def evenly_spread(items: Sequence[T], count: int) -> list[T]:
    """Return at most ``count`` (at least 2) of the items, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[(len(items) - 1) * place // (count - 1)] for place in range(count)]


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) in one piece."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_folder(folder: Path) -> None:
    """Remove a folder and its content; a process that is killed meanwhile leaves no half of it under its name."""
    away = unfinished(folder)
    folder.rename(away)
    shutil.rmtree(away)


def append_bytes(path: Path, content: bytes) -> None:
    """Append to a file, and flush it to the disk: all of ``content``, or nothing. A link in its place is not followed.

    Raises:
        OSError: the system refused; the message is a sentence that names ``path``.
    """
    try:
        # Without a buffer: what was refused is not tried again when the file is closed.
        file = FileIO(path, "ab", opener=open_no_link)
    except OSError as error:
        raise refused(path, error) from error
    with file:
        before = os.fstat(file.fileno()).st_size
        try:
            _write_all(file, content)
            os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                file.truncate(before)
            raise refused(path, error) from error


def open_no_link(path: str, flags: int) -> int:
    """Open a file where no link is in its place; an ``opener`` of :func:`open`."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _write_all(file: FileIO, content: bytes) -> None:
    """Write all of ``content``: a write to a full disk may stop early without an error, and the next one raises it."""
    while content:
        content = content[file.write(content) :]


def unfinished(path: Path) -> Path:
    """Return a new name for a file until it is whole, or for a folder that is being removed."""
    return path.with_name(f".{path.name}.{secrets.randbelow(10**12)}.unfinished")


def remove_unfinished(folder: Path, names: str = ".*") -> None:
    """Remove the unfinished files that killed processes left in ``folder``.

    Args:
        folder: a folder; it may be missing.
        names: a regular expression for the names of the finished files; no process may be writing these files.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _UNFINISHED.fullmatch(path.name)
        if match is not None and re.fullmatch(names, match[1]):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def unwritable(folder: Path) -> Path | None:
    """Return the folder, or the nearest existing one above it, if this user cannot write into it; else None. Makes nothing."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return None if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK) else nearest


def text_of(name: str) -> str:
    """Return a file's name, or a path, as text that UTF-8 can hold: other bytes become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def is_unfinished(path: Path) -> bool:
    """Return whether a path is one that :func:`replacing` or :func:`remove_folder` left unfinished."""
    return _UNFINISHED.fullmatch(path.name) is not None


def _flush_folder(folder: Path) -> None:
    """Flush a folder to the disk, so that a renaming in it survives a power cut, where the system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
