"""Files of a trial's folder, written whole or not at all, and read without unpickling anything."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from utils.errors import TrialError
from utils.files import append_bytes, replacing, write_text
from utils.tensor_files import ForeignFileError, read_tensors

CONFIG, BEST, LAST, TEST = "config_file.yaml", "checkpoint.pt", "last.pt", "test.json"
METRICS, STEPS, SKIPPED = "metrics.jsonl", "steps.jsonl", "skipped.json"
LOG, ENVIRONMENT = "log.txt", "environment.json"


def save_tensors(path: Path, state: dict[str, Any]) -> None:
    """Save tensors and plain values."""
    # To an open file and not to a path: then a full disk is an OSError as everywhere else, and not torch's RuntimeError.
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save(state, file)


def load_tensors(path: Path) -> dict[str, Any]:
    """Load what :func:`save_tensors` saved, to the CPU.

    Raises:
        TrialError: the file is missing, or is not such a file.
    """
    try:
        state = read_tensors(path)
    except FileNotFoundError:
        if path.name == LAST and (path.parent / TEST).is_file():
            raise TrialError(f"{path}: is removed once a trial is tested; keep_state: true keeps it") from None
        raise TrialError(f"{path}: there is no such file; the trial has not got that far, or its folder is not whole") from None
    except ForeignFileError as error:
        raise TrialError(f"{path}: is not a checkpoint of this project; it {error}") from None
    if not isinstance(state, dict) or "model" not in state:
        raise TrialError(f"{path}: is not a checkpoint of this project (it holds no 'model')")
    return state


def save_json(path: Path, content: dict[str, Any]) -> None:
    """Save plain values; a number that is not finite becomes null."""
    write_text(path, json.dumps(finite(content), indent=2) + "\n")


def load_json(path: Path) -> dict[str, Any]:
    """Load what :func:`save_json` saved."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # the last: a foreign file of many thousand brackets
        raise TrialError(f"{path}: cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise TrialError(f"{path}: holds {type(content).__name__}, expected a JSON object")
    return content


def append_lines(path: Path, contents: Iterable[dict[str, Any]]) -> None:
    """Append JSON lines, and flush them to the disk; without any, nothing happens."""
    text = "".join(json.dumps(finite(content)) + "\n" for content in contents)
    if text:
        append_bytes(path, text.encode())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a file up to the first that is none, such as a last one that a crash cut short; no file is no lines."""
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(content, dict):
            break
        lines.append(content)
    return lines


def keep_lines(path: Path, before_epoch: int) -> None:
    """Drop the lines of epochs from ``before_epoch`` on, which a resumed trial writes again."""
    lines = [line for line in read_lines(path) if line["epoch"] < before_epoch]
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))


def finite(content: Any) -> Any:
    """JSON has no NaN: numbers that are not finite become None."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def numbered(folder: Path, stem: str) -> dict[int, Path]:
    """The entries ``<stem><i>`` of ``folder``, by number; none where there is no such folder."""
    paths = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        number = path.name.removeprefix(stem)
        if path.name.startswith(stem) and re.fullmatch(r"0|[1-9][0-9]*", number):
            paths[int(number)] = path
    return dict(sorted(paths.items()))


def experiments(folder: Path) -> list[str]:
    """Names of the experiments whose trials are in ``folder``."""
    configs = folder.glob(f"*_trial_*/{CONFIG}") if folder.is_dir() else ()
    return sorted({re.sub(r"_trial_\d+$", "", path.parent.name) for path in configs})


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
        trials = {number: path for number, path in numbered(folder, stem).items() if (path / CONFIG).is_file()}
        if trials:
            return trials
    names = experiments(folder)
    known = f"experiments there: {', '.join(names)}" if names else "no experiment is there"
    looked = ", ".join(f"{stem}<i>" for stem in stems)
    raise TrialError(f"--exp_name {name!r}: no trial of that name in {folder} (looked for {looked}); {known}")
