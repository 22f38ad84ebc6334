"""Faults of your own data are rows; whatever the loaders refuse is among the rows, and missing targets are none."""

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from datasets.folders import FoldersDataset
from datasets.preparation import verify
from datasets.preparation.verification.own_data import survey_own_data
from datasets.problems import Problem
from datasets.synthetic.fields import write_fields
from settings.config import ExperimentConfig
from tests.configs import make_config
from tests.datasets.preparation.verification import damage as by
from tests.datasets.preparation.verification.damage import Damage, in_this_process
from utils.errors import DataError

TASKS = {
    "crop": {"kind": "segmentation", "folder": "crop", "classes": ["soil", "maize", "weed"]},
    "height": {"kind": "regression", "folder": "height", "invalid": [0]},
    "normals": {"kind": "normals", "folder": "normals"},
    "health": {"kind": "classification", "file": "labels.csv", "column": "health", "classes": ["good", "poor", "dead"]},
    "wilted": {"kind": "attribute", "file": "labels.csv", "column": "wilted"},
}
LISTS = {"train": "train.txt", "val": "val.txt", "test": "test.txt"}


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    """Twelve photos of two fields, with holes."""
    write_fields(tmp_path, {"train": 8, "val": 2, "test": 2}, (16, 16))
    return own(tmp_path, split_files=LISTS)


def own(root: Path, **values: object) -> ExperimentConfig:
    """The configuration of all tasks."""
    values |= {"dataset_name": "folders", "data_dir": str(root), "data_dir_NYU": None}
    return make_config(task_list=list(TASKS), tasks=TASKS, **values)


def rows(config: ExperimentConfig) -> list[Problem]:
    """The rows of the table; paths are relative to the folder."""
    survey = survey_own_data(config, Path("own.yaml"))
    with mock.patch.object(verify, "in_processes", in_this_process):
        verify.examine_files(survey, 1)
    return sorted({row._replace(path=str(Path(row.path).relative_to(config.data_dir))) for row in survey.problems})


def load_all(config: ExperimentConfig) -> None:
    """Read every frame as a training would."""
    for split in ("train", "val", "test"):
        frames = FoldersDataset(config, split)
        for name in frames.names:
            frames.read(name)


@pytest.mark.parametrize("values", [{"split_files": LISTS}, {"split_fractions": {}}])
def test_missing_targets_are_counted_and_no_fault(config: ExperimentConfig, values: dict[str, object]) -> None:
    config = own(config.data_dir, **values)
    assert rows(config) == []
    load_all(config)
    survey = survey_own_data(config, Path("own.yaml"))
    assert survey.labelled == {"crop": 12, "height": 9, "normals": 12, "health": 10, "wilted": 9}
    assert sum(survey.counts.values()) == 12 and survey.unused == 0


def other_size(path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)


def cells(column: int, text: str) -> Damage:
    """Replace a column of line 3 of a table (photo, health, wilted)."""

    def damage(path: Path) -> None:
        lines = path.read_text().splitlines()
        row = lines[2].split(",")
        row[column] = text
        path.write_text("\n".join([*lines[:2], ",".join(row), "", *lines[3:]]) + "\n")

    return damage


def as_png_too(path: Path) -> None:
    Image.open(path).save(path.with_suffix(".png"))


FAULTS: dict[str, tuple[str, Damage, str, str]] = {
    "a label that is none": ("crop/field0/0001.png", by.put(7, 0, 0), "crop/field0/0001.png", "has the label 7"),
    "a size": ("crop/field0/0001.png", other_size, "crop/field0/0001.png", "is 8 x 8"),
    "half a file": ("height/field0/0001.png", by.cut(0.5), "height/field0/0001.png", "cannot be read"),
    "no number": ("normals/field0/0003.npy", by.put(np.nan, 0, 0, 0), "normals/field0/0003.npy", "1 values that are not fin"),
    "two images": ("images/field0/0002.jpg", as_png_too, "images/field0/0002.png", "is there as well as 0002.jpg"),
    "no image": ("images/field0/0002.jpg", Path.unlink, "images/field0/0002 (.jpg or ", "is missing"),
    "a cell": ("labels.csv", cells(1, "bad"), "labels.csv:3", "has 'bad' in the column health"),
    "another cell": ("labels.csv", cells(2, "maybe"), "labels.csv:3", "has 'maybe' in the column wilted"),
    "a frame twice": ("labels.csv", cells(0, "field0/0000"), "labels.csv:3", "is of field0/0000, as line 2 is"),
    "a frame after a gap": ("labels.csv", by.append("\nfield0/0001,good,yes\n"), "labels.csv:15", "as line 3 is"),
    "no column": ("labels.csv", by.replace_text("health", "wealth"), "labels.csv", "has no column 'health'"),
    "no table": ("labels.csv", Path.unlink, "labels.csv", "there is no file"),
    "a name": ("val.txt", by.append("field9/0001\n"), "val.txt", "names the frame field9/0001, which is not there"),
    "a frame in two lists": ("val.txt", by.append("field0/0001\n"), "val.txt", "for val, which train has too"),
    "no list": ("test.txt", Path.unlink, "test.txt", "is missing"),
    "an empty list": ("test.txt", lambda path: path.write_text(""), "test.txt", "names 0 frames for test"),
    "no line of text": ("val.txt", by.append("/abs/0001\n"), "val.txt:3", "is '/abs/0001'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_row(fault: str, config: ExperimentConfig) -> None:
    file, damage, place, said = FAULTS[fault]
    damage(config.data_dir / file)
    found = rows(config)
    assert any(row.path.startswith(place) and said in row.problem for row in found), found
    if fault != "no number":  # the loaders count such pixels as unknown
        with pytest.raises(DataError):
            load_all(config)


def test_a_task_without_a_training_target_is_a_row(config: ExperimentConfig) -> None:
    for path in (config.data_dir / "height").glob("*/000[0-7].png"):
        path.unlink()
    ((path, problem, _),) = rows(config)
    assert path == "height" and "none of the 8 training frames (such as field0/0000) has a file in " in problem
    with pytest.raises(DataError, match="so that nothing can be learned about it"):
        load_all(config)


def test_shares_that_leave_a_split_empty_are_a_row(config: ExperimentConfig) -> None:
    assert [row.path for row in rows(own(config.data_dir, split_fractions={"by_folder": True}))] == ["images"]
