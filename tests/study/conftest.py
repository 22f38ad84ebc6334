"""A study that many tests look at (and none changes)."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from settings.config import ExperimentConfig
from study import estimate
from study.estimate import Speed
from study.launch import Outcome
from study.plan import Study
from study.record import Command
from study.run import run_study
from tests.studies import make_study


@dataclass(frozen=True)
class TrainedStudy:
    """A finished study."""

    study: Study
    source: Path
    outcomes: list[Outcome]


def minutes(config: ExperimentConfig) -> Speed:
    """An epoch takes a minute, and a test half of one, without a look at the clock."""
    return Speed(60.0, 30.0)


@pytest.fixture(scope="session")
def trained_study(rooms: Path, scratch: Path) -> TrainedStudy:
    """Six runs of two epochs."""
    folder = scratch / "trained_study"
    folder.mkdir()
    study = make_study(folder, rooms)
    with pytest.MonkeyPatch.context() as patch:
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
