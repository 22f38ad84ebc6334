"""A study that many tests look at (and none changes)."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine import checkpoint as files
from settings.config import ExperimentConfig
from study import estimate
from study.costs import COSTS
from study.estimate import Speed
from study.launch import Outcome
from study.plan import Run, Study
from study.record import Command
from study.run import run_study
from tests.narrow import narrow_networks, resnet18_narrow
from tests.studies import make_study
from tests.undrawn import undrawn_runs

__all__ = ["narrow_networks", "undrawn_runs"]


@dataclass(frozen=True)
class TrainedStudy:
    """A finished study."""

    study: Study
    source: Path
    outcomes: list[Outcome]


def copied_runs(trained: TrainedStudy, work: Path, names: Sequence[str]) -> list[Run]:
    """Copies of finished runs, which a test may change."""
    study = make_study(work, Path("data/that/are/gone"))
    for name in names:
        shutil.copytree(trained.study.folder / name, study.folder / name, ignore=shutil.ignore_patterns(files.LAST, COSTS))
    return [next(run for run in study.runs if run.name == name) for name in names]


def minutes(config: ExperimentConfig) -> Speed:
    """An epoch takes a minute, and a test half of one, without a look at the clock."""
    return Speed(60.0, 30.0)


@pytest.fixture(scope="session")
def trained_study(rooms: Path, scratch: Path) -> TrainedStudy:
    """Six runs of two epochs."""
    folder = scratch / "trained_study"
    folder.mkdir()
    study = make_study(folder, rooms)
    with pytest.MonkeyPatch.context() as patch, resnet18_narrow():
        patch.setattr(estimate, "time_steps", minutes)
        outcomes = run_study(study, Command("python main_multi_trials.py --config_exp study.yaml", folder / "study.yaml"))
    return TrainedStudy(study, folder / "study.yaml", outcomes)


@pytest.fixture
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed."""
    monkeypatch.setattr(estimate, "time_steps", minutes)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
