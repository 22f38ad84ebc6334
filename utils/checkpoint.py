"""Files of a trial's folder, written whole or not at all, and read without unpickling anything."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from utils.errors import TrialError
from utils.files import replacing

CONFIG, BEST, LAST, TEST = "config_file.yaml", "checkpoint.pt", "last.pt", "test.json"
METRICS, STEPS = "metrics.jsonl", "steps.jsonl"


def save_tensors(path: Path, state: dict[str, Any]) -> None:
    """Save tensors and plain values."""
    with replacing(path) as temporary:
        torch.save(state, temporary)


def load_tensors(path: Path) -> dict[str, Any]:
    """What :func:`save_tensors` saved, on the CPU.

    Raises:
        TrialError: the file is missing, or is not such a file.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrialError(f"{path}: there is no such file; the trial has not got that far, or its folder is not whole") from None
    except Exception as error:  # torch raises half a dozen types for a file that is not its own
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise TrialError(f"{path}: is not a checkpoint of this project ({reason})") from error
    if not isinstance(state, dict) or "model" not in state:
        raise TrialError(f"{path}: is not a checkpoint of this project (it holds no 'model')")
    return state


def save_json(path: Path, content: dict[str, Any]) -> None:
    """Save plain values; a number that is not finite becomes null."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(finite(content), indent=2) + "\n", encoding="utf-8")


def load_json(path: Path) -> dict[str, Any]:
    """What :func:`save_json` saved."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrialError(f"{path}: cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise TrialError(f"{path}: holds {type(content).__name__}, expected a JSON object")
    return content


def append_line(path: Path, content: dict[str, Any]) -> None:
    """Append one JSON line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(finite(content)) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a file; a last line that a crash cut short is left out, no file is no lines."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


def keep_lines(path: Path, before_epoch: int) -> None:
    """Drop the lines of epochs from ``before_epoch`` on, which a resumed trial writes again."""
    lines = [line for line in read_lines(path) if line["epoch"] < before_epoch]
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def finite(content: Any) -> Any:
    """JSON has no NaN: numbers that are not finite become None."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


@contextmanager
def experiment_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of experiment ``name`` in ``folder``; the operating system frees it when the process dies.

    Raises:
        TrialError: another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f".{name}.lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise TrialError(f"experiment {name!r} is being trained by another process (lock {folder / f'.{name}.lock'})") from None
    except OSError as error:
        raise TrialError(f"checkpoint_folder: {folder} cannot be written ({error.strerror or error})") from None
    try:
        yield
    finally:
        lock.release()


def numbered(folder: Path, stem: str) -> dict[int, Path]:
    """The entries ``<stem><i>`` of ``folder``, by number; none where there is no such folder."""
    found = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        number = path.name.removeprefix(stem)
        if path.name.startswith(stem) and re.fullmatch(r"0|[1-9][0-9]*", number):
            found[int(number)] = path
    return dict(sorted(found.items()))


def find_trials(folder: Path, name: str) -> dict[int, Path]:
    """The saved trials of an experiment, by number: ``name`` as an exact folder (one trial), else as the name of the
    experiment, with and without a last underscore.

    Raises:
        TrialError: there is none; the message names the experiments that are there.
    """
    exact = folder / name
    if name.strip("./\\") and (exact / CONFIG).is_file():
        return {0: exact}
    bare = name.rstrip("_")
    stems = dict.fromkeys(f"{experiment}_trial_" for experiment in (name, bare, f"{bare}_"))
    for stem in stems:
        if "/" in stem or "\\" in stem:
            break
        found = {number: path for number, path in numbered(folder, stem).items() if (path / CONFIG).is_file()}
        if found:
            return found
    there = sorted(
        {re.sub(r"_trial_\d+$", "", path.parent.name) for path in folder.glob(f"*_trial_*/{CONFIG}")} if folder.is_dir() else ()
    )
    known = f"experiments there: {', '.join(there)}" if there else "no experiment is there"
    looked = ", ".join(f"{stem}<i>" for stem in stems)
    raise TrialError(f"--exp_name {name!r}: no trial of that name in {folder} (looked for {looked}); {known}")
