"""A complete set goes where an older one is, in one step; whatever a user put there stays."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from datasets.preparation.interrupts import interrupts_held_back


def install(made: Path, out: Path, old_files: Sequence[str]) -> None:
    """Move the complete set ``made`` to ``out``; of what was there only ``old_files`` go, all else stays.

    Args:
        made: a folder on the same disk as ``out``.
        out: where it goes; need not exist.
        old_files: paths, relative to ``out``, of the set that it replaces.

    Raises:
        OSError: the system refused; ``out`` is what it was.
    """
    # Moving takes milliseconds; a Ctrl-C in the middle of it would leave two halves.
    with interrupts_held_back():
        if not out.exists():
            made.rename(out)
            return
        aside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.old-"))
        out.rename(aside)
        try:
            made.rename(out)
        except OSError:
            aside.rename(out)
            raise
        for name in old_files:
            (aside / name).unlink(missing_ok=True)
        for folder in {(aside / name).parent for name in old_files} - {aside}:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        _move_rest(aside, out)


def _move_rest(source: Path, target: Path) -> None:
    """Move all that ``source`` still holds into ``target``, folder into folder, and remove ``source``."""
    for entry in list(source.iterdir()):
        goal = target / entry.name
        if entry.is_dir() and not entry.is_symlink() and goal.is_dir():
            _move_rest(entry, goal)
        else:
            entry.rename(goal)
    source.rmdir()
