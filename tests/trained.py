"""Frames and trained experiments of a narrow network that many tests look at (and none changes)."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from torch import nn

from datasets.synthetic.faces import write_faces
from datasets.synthetic.fields import write_fields
from datasets.synthetic.rooms import write_rooms
from deploy import latency, trial_compaction
from engine import run_experiment
from settings.config import ExperimentConfig
from tests.narrow import resnet18_narrow
from tests.small import FACES, FIELDS, ROOMS, SIZE, small_config

SPARSE: dict[str, Any] = {
    "Experiment_name": "sparse_",
    "num_trials": 2,
    "comb_loss": "uncertainity",
    "augmentation": {"hflip": True, "scale_crop": [1.0, 1.5]},
    "group_sparsity": True,
    "bb_optimizer_params": {"learning_rate": 1e-3, "weight_decay": 0.1, "penalty": "l1_l2", "lambda": 0.5},
}
"""Values of the experiment of the fixture ``trained`` beside those of ``small_config``."""


@dataclass(frozen=True)
class Trained:
    """A finished experiment."""

    config: ExperimentConfig
    out: Path
    table: pd.DataFrame

    @property
    def runs(self) -> Path:
        """Folder of the trials."""
        return Path(self.config.checkpoint_folder)

    def csv(self, suffix: str = "") -> Path:
        """The experiment's table, or its table of trials."""
        return self.out / f"{self.config.Experiment_name}{suffix}.csv"


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder that goes away with the session: checkpoints are large."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def work() -> Iterator[Path]:
    """A folder that goes away with the test."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def rooms(scratch: Path) -> Path:
    """Synthetic NYU-v2."""
    write_rooms(scratch / "rooms", ROOMS, SIZE)
    return scratch / "rooms"


@pytest.fixture(scope="session")
def faces(scratch: Path) -> Path:
    """Synthetic CelebAMask-HQ."""
    write_faces(scratch / "faces", FACES, SIZE)
    return scratch / "faces"


@pytest.fixture(scope="session")
def fields(scratch: Path) -> Path:
    """Synthetic photos of fields: own data, of which some targets are missing."""
    write_fields(scratch / "fields", FIELDS, SIZE)
    return scratch / "fields"


@pytest.fixture(scope="session")
def trained(rooms: Path, scratch: Path) -> Trained:
    """Two sparse trials of three tasks on rooms."""
    config = small_config(rooms, scratch / "trained", **SPARSE)
    with resnet18_narrow():
        return Trained(config, scratch / "trained" / "out", run_experiment(config, out_dir=scratch / "trained" / "out"))


@pytest.fixture(scope="session")
def trained_faces(faces: Path, scratch: Path) -> Trained:
    """One dense trial on faces, with pictures."""
    config = small_config(
        faces,
        scratch / "trained_faces",
        dataset_name="celebA",
        data_dir_celebA=faces,
        Experiment_name="faces",
        train_batch_size=4,
        wandb_img_log=True,
    )
    out = scratch / "trained_faces" / "out"
    with resnet18_narrow():
        return Trained(config, out, run_experiment(config, out_dir=out))


@pytest.fixture
def no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory and latency of nothing: they take most of the time."""

    def fixed(networks: dict[str, nn.Module], *_: Any) -> latency.Timing:
        return latency.Timing(dict.fromkeys(networks, 1.0), 3, dict.fromkeys(networks, "contiguous"))

    monkeypatch.setattr(trial_compaction, "time_networks", fixed)
    monkeypatch.setattr(trial_compaction, "cpu_peaks", lambda layouts, *_: dict.fromkeys(layouts, 1.0))
