"""The folder that a preparation fills: begun, continued after an interruption, finished with a manifest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from utils.errors import DataError
from utils.files import is_unfinished, read_text, refused, remove_unfinished, write_text
from utils.locks import give_back

MANIFEST, BEGUN, LOCK = "manifest.json", ".preparing.json", ".preparing.lock"

CLEARING: dict[str, Any] = {}
"""The recipe in ``BEGUN`` while an earlier set is removed: whatever is left of it may go too."""


def describe_source(path: Path) -> dict[str, Any]:
    """A source file as the manifest lists it: name, size in bytes, SHA-256 (a second per gigabyte or so)."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": digest}


@contextmanager
def preparing(out: Path, recipe: dict[str, Any], overwrite: bool, contents: Iterable[str]) -> Iterator[bool]:
    """Hold ``out`` while a set is made in it; True if there is something to do, False if that very set is there already.

    (It was finished; whoever fills the folder may still look whether its files are there, and call :func:`finish` again.)
    An interrupted preparation of the same recipe is continued, also with ``overwrite``: files under their final names are
    whole (``utils.files.replacing``), so whoever fills the folder skips what is there. Call :func:`finish` at the end.

    Args:
        out: the folder; made if missing.
        recipe: plain values that determine the set: the command, its sources (:func:`describe_source`), its options.
        overwrite: remove a finished set, or an unfinished one of another recipe, first.
        contents: the files and folders in ``out`` that are this set's; made if missing, where the name has no suffix. Only
            those that an earlier set recorded, or else they, are removed by ``overwrite``.

    Raises:
        DataError: ``out`` holds something else, or another process is preparing it.
        OSError: the system refused.
    """
    recipe = json.loads(json.dumps(recipe))
    if out.exists() and not out.is_dir():
        raise DataError(f"--out {out}: is a file, not a folder")
    _make_folder(out)
    lock = FileLock(out / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DataError(f"--out {out}: another process is preparing this folder") from None
    except OSError as error:
        raise refused(out, error) from error
    try:
        yield _begin(out, recipe, overwrite, sorted(contents))
    finally:
        give_back(lock)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(folder, error) from error


def _begin(out: Path, recipe: dict[str, Any], overwrite: bool, contents: list[str]) -> bool:
    done, begun = _read(out / MANIFEST), _read(out / BEGUN)
    entries = [path for path in out.iterdir() if path.name != LOCK and not is_unfinished(path)]
    if entries and done is None and begun is None:
        raise DataError(f"--out {out}: holds something that this command did not make; choose another folder")
    record = done or begun
    complete = done is not None and done["recipe"] == recipe and not overwrite
    if record is not None and not complete and (done is not None or record["recipe"] != recipe):
        if not overwrite and record["recipe"] != CLEARING:
            keys = ", ".join(key for key in {**recipe, **record["recipe"]} if recipe.get(key) != record["recipe"].get(key))
            state = "a set" if done is not None else "an unfinished set"
            raise DataError(
                f"--out {out}: holds {state} made with another value of {keys}; choose another folder, or pass --overwrite"
            )
        recorded = record.get("contents")
        _clear(out, recorded if isinstance(recorded, list) else contents)
    for folder, _, _ in os.walk(out):
        remove_unfinished(Path(folder))
    for name in contents:
        if not Path(name).suffix:
            _make_folder(out / name)
    if complete:
        (out / BEGUN).unlink(missing_ok=True)
    else:
        write_text(out / BEGUN, json.dumps({"recipe": recipe, "contents": contents}, indent=2) + "\n")
    return not complete


def _clear(out: Path, contents: list[str]) -> None:
    """Remove an earlier set: what it recorded as its own. The manifest goes first: half a set is no set."""
    write_text(out / BEGUN, json.dumps({"recipe": CLEARING, "contents": contents}) + "\n")
    (out / MANIFEST).unlink(missing_ok=True)
    for path in list(out.iterdir()):
        if path.name in contents:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def read_recipe(path: Path) -> dict[str, Any]:
    """The recipe in a manifest; empty if the file is not there or is none of ours.

    Raises:
        TextError: the file is there, and is no text.
    """
    return (_read(path) or {}).get("recipe", {})


def _read(path: Path) -> dict[str, Any] | None:
    """Read a manifest, or the file of an unfinished set; None if it is not there or is none of ours."""
    facts = read_object(path)
    return facts if isinstance(facts.get("recipe"), dict) else None


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if there is none.

    Raises:
        TextError: the file is there, and is no text.
    """
    try:
        text = read_text(path)
    except FileNotFoundError:
        return {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def finish(out: Path, recipe: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write the manifest: the recipe and what came out of it (counts, how targets came about, licence note, ...)."""
    contents = (_read(out / BEGUN) or _read(out / MANIFEST) or {}).get("contents")
    recorded = {} if contents is None else {"contents": contents}
    write_text(out / MANIFEST, json.dumps({"recipe": recipe, **facts, **recorded}, indent=2, ensure_ascii=False) + "\n")
    (out / BEGUN).unlink(missing_ok=True)
