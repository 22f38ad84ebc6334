"""The folder that a preparation fills: begun, continued after an interruption, finished with a manifest."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from utils.errors import DataError
from utils.files import is_unfinished, remove_unfinished, write_text

MANIFEST, BEGUN = "manifest.json", ".preparing.json"


def describe_source(path: Path) -> dict[str, Any]:
    """A source file as the manifest lists it: name, size in bytes, SHA-256 (a second per gigabyte or so)."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": digest}


@contextmanager
def preparing(out: Path, recipe: dict[str, Any], overwrite: bool = False) -> Iterator[bool]:
    """Hold ``out`` while a set is made in it; True if there is something to do, False if that very set is there already.

    An interrupted preparation of the same recipe is continued: files under their final names are whole
    (``utils.files.replacing``), so whoever fills the folder skips what is there. Call :func:`finish` at the end.

    Args:
        out: the folder; made if missing.
        recipe: plain values that determine the set: the command, its sources (:func:`describe_source`), its options.
        overwrite: remove an earlier set, finished or not, first.

    Raises:
        DataError: ``out`` holds something else, or another process is preparing it.
    """
    recipe = json.loads(json.dumps(recipe))
    if out.exists() and not out.is_dir():
        raise DataError(f"--out {out}: is a file, not a folder")
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out.parent / f".{out.resolve().name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DataError(f"--out {out}: another process is preparing this folder") from None
    try:
        yield _begin(out, recipe, overwrite)
    finally:
        lock.release()


def _begin(out: Path, recipe: dict[str, Any], overwrite: bool) -> bool:
    done, begun = _recipe_in(out / MANIFEST), _recipe_in(out / BEGUN)
    entries = [path for path in out.iterdir() if not is_unfinished(path)]
    if entries and done is None and begun is None:
        raise DataError(f"--out {out}: holds something that this command did not make; choose another folder")
    if done == recipe and not overwrite:
        return False
    there = done or begun
    if there is not None and (there != recipe or overwrite):
        if not overwrite:
            keys = ", ".join(key for key in {**recipe, **there} if recipe.get(key) != there.get(key))
            state = "a set" if done is not None else "an unfinished set"
            raise DataError(f"--out {out}: holds {state} with another {keys}; choose another folder, or pass --overwrite")
        for path in entries:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    remove_unfinished(out)
    write_text(out / BEGUN, json.dumps({"recipe": recipe}, indent=2) + "\n")
    return True


def _recipe_in(path: Path) -> dict[str, Any] | None:
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))["recipe"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return recipe if isinstance(recipe, dict) else None


def finish(out: Path, recipe: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write the manifest: the recipe and what came out of it (counts, how targets came about, licence note, ...)."""
    write_text(out / MANIFEST, json.dumps({"recipe": recipe, **facts}, indent=2, ensure_ascii=False) + "\n")
    (out / BEGUN).unlink(missing_ok=True)
