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
LAUNCH_LOG = "launch.log"
"""Output of a process that a launcher of a study started; it may be there before the trial is."""
RUNS = Path("results/runs")
"""Folder of the trials' folders, unless a user says otherwise."""


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


def trial_at(given: Path, runs: Path = RUNS) -> Path | None:
    """Return the folder of the trial that a path leads to, from here or from ``runs``: its folder, or the checkpoint in it."""
    for path in (given, *([runs / given] if str(given).strip("./\\") else [])):
        folder = path.parent if path.name == BEST else path
        if (folder / CONFIG).is_file():
            return folder if folder.name.strip(".") else folder.resolve()
    return None


def find_trials(runs: Path, name: str, option: str = "--exp_name") -> dict[int, Path]:
    """Return the saved trials that a user means, by number.

    Args:
        runs: folder of the trials' folders.
        name: path of one trial or of its checkpoint, from here or from ``runs``; else name of an experiment there, with or
            without a last underscore, or its path without ``_trial_<i>``.
        option: the option of the command line, for the message.

    Raises:
        TrialError: there is none; the message names the experiments that are there.
    """
    given = Path(name)
    exact = trial_at(given, runs)
    if exact is not None:
        return {0: exact}
    folder = given.parent if len(given.parts) > 1 and given.parent.is_dir() else runs
    bare = given.name.rstrip("_")
    stems = dict.fromkeys(f"{experiment}_trial_" for experiment in (given.name, bare, f"{bare}_"))
    for stem in stems:
        trials = {number: path for number, path in numbered(folder, stem).items() if (path / CONFIG).is_file()}
        if trials:
            return trials
    if given.is_file():
        raise TrialError(f"{option} {given}: is no trial; expected its folder, its {BEST}, or the name of an experiment")
    if given.is_dir() and given.name.strip("."):
        raise TrialError(f"{option} {given}: holds no {CONFIG}, so it is not the folder of a trial")
    names = experiments(folder)
    known = f"experiments there: {', '.join(names)}" if names else "no experiment is there"
    looked = ", ".join(f"{stem}<i>" for stem in stems)
    raise TrialError(f"{option} {name!r}: no trial of that name in {folder} (looked for {looked}); {known}")


def find_trial(option: str, given: Path) -> Path:
    """Return the folder of the one trial that a user means by what :func:`find_trials` takes.

    Raises:
        TrialError: there is none, or the experiment has several.
    """
    trials = find_trials(RUNS, str(given), option)
    if len(trials) > 1:
        raise TrialError(f"{option} {given}: has {len(trials)} trials; name one: {', '.join(map(str, trials.values()))}")
    return next(iter(trials.values()))
