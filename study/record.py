"""Record of a study in its folder: its settings, its file, and the commands that were given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.checkpoint import load_json, save_json
from study.plan import Study, study_from_values, study_values
from utils.errors import TrialError, UserError
from utils.files import write_text

RECORD, SOURCE = "study.json", "study.yaml"


@dataclass(frozen=True)
class Command:
    """Command that runs a study."""

    text: str
    """Line as it was typed."""
    source: Path
    """The study's file."""


@dataclass(frozen=True)
class Record:
    """Record of a study."""

    study: Study
    commands: tuple[str, ...]
    """Commands that were given, each once."""
    configs: Mapping[str, str]
    """Name -> text of the study's file."""


def write_record(study: Study, command: Command) -> None:
    """Write ``study.json`` and a copy of the study's file; a command is added to those of before."""
    commands = list(dict.fromkeys([*_commands(study.folder), command.text]))
    save_json(study.folder / RECORD, {**study_values(study), "commands": commands})
    write_text(study.folder / SOURCE, command.source.read_text(encoding="utf-8"))


def _commands(folder: Path) -> list[str]:
    """Read the commands of an earlier record; none where it cannot be read, as the new one replaces it."""
    if not (folder / RECORD).is_file():
        return []
    try:
        return [str(command) for command in load_json(folder / RECORD).get("commands", [])]
    except (TrialError, TypeError):
        return []


def read_record(folder: Path) -> Record:
    """Read what :func:`write_record` wrote.

    Raises:
        UserError: ``folder`` is no study's.
    """
    if not (folder / RECORD).is_file():
        studies = sorted(str(path.parent) for place in (folder, folder.parent) for path in place.glob(f"*/{RECORD}"))
        known = f"; studies there: {', '.join(studies)}" if studies else ""
        if not folder.is_dir():
            what = f"{folder} is no folder" if folder.exists() else f"there is no folder {folder}"
            raise UserError(f"--study: {what}; a study's is results/studies/<name>{known}")
        raise UserError(f"--study: {folder} holds no {RECORD}, so it is not the folder of a study{known}")
    values = load_json(folder / RECORD)
    study = study_from_values(values, folder)
    source = folder / SOURCE
    configs = {SOURCE: source.read_text(encoding="utf-8")} if source.is_file() else {}
    return Record(study, tuple(_commands(folder)), configs)
