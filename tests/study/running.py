"""Studies that are run by a test, and what is read off them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from study.launch import Outcome
from study.plan import Study
from study.record import Command
from study.run import run_study
from tests.small import listing

NAMES = ("seg_dense", "depth_dense", "seg_depth_dense", "seg_depth_l1_l2_target0.5")
"""Settings of ``tests.studies.make_study``."""


def go(study: Study, folder: Path, **options: Any) -> list[Outcome]:
    """Do a study whose file is in ``folder``."""
    return run_study(study, Command("typed", folder / "study.yaml"), **options)


def whole(folder: Path) -> tuple[dict[str, tuple[int, int]], set[Path]]:
    """Files with sizes and times, and folders."""
    locks = {path.name: (0, 0) for path in folder.rglob("*.lock")}
    return listing(folder) | locks, {path for path in folder.rglob("*") if path.is_dir()}


def rows(text: str) -> dict[str, list[str]]:
    """Words beside each setting's name in a printed plan, but for the two of its room on the disk."""
    return {words[0]: words[1:-2] for line in text.splitlines() if (words := line.split()) and "_" in words[0]}
