"""The command ``describe``: from the command line to a configuration that trains."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets.preparation import describe
from datasets.synthetic.fields import write_fields
from engine import run_experiment
from settings.config import ExperimentConfig, load_config
from tests.datasets.preparation.command import exit_code, refused
from tests.datasets.preparation.verification.damage import in_this_process
from tests.narrow import resnet18_narrow
from tests.undrawn import undrawn_runs

__all__ = ["undrawn_runs"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No processes."""
    monkeypatch.setattr(describe, "in_processes", in_this_process)


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """Photos of fields, of which some lack a height or a label."""
    write_fields(tmp_path / "fields", {"train": 12, "val": 4, "test": 4}, (32, 48))
    return tmp_path / "fields"


def described(root: Path, *more: str) -> ExperimentConfig:
    """The configuration that the command writes, without complaints."""
    out = root.parent / "out.yaml"
    assert exit_code("describe", "--data_dir", root, "--out", out, *more) == 0
    return load_config(out)


def keys(config: ExperimentConfig) -> dict[str, Any]:
    """The tasks as they are written."""
    return dict(config.as_dict()["tasks"])


def test_what_lies_there_is_found(fields: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = described(fields)
    tasks = keys(config)
    height = tasks.pop("height")
    assert 200 < height.pop("mean") < 800 and 50 < height.pop("std") < 800
    assert height == {"kind": "regression", "folder": "height", "invalid": [0.0]}
    assert tasks == {
        "crop": {"kind": "segmentation", "folder": "crop", "classes": ["class_0", "class_1", "class_2"]},
        "normals": {"kind": "normals", "folder": "normals"},
        "health": {"kind": "classification", "file": "labels.csv", "column": "health", "classes": ["dead", "good", "poor"]},
        "wilted": {"kind": "attribute", "file": "labels.csv", "column": "wilted"},
    }
    assert dict(config.split_files or {}) == {"train": "train.txt", "val": "val.txt", "test": "test.txt"}
    assert (config.size, config.train_batch_size, config.data_dir) == ((32, 48), 4, fields)
    text = (fields.parent / "out.yaml").read_text()
    assert "  # height: 16 of 20 frames; numbers from " in text and "  # 0 is taken as unknown: " in text
    assert "  # 255 is taken as unlabelled: " in text and "# frames: 12 train, 4 val, 4 test" in text
    said = capsys.readouterr().out
    assert "16 of 20" in said and said.endswith(
        f"next: python prepare_data.py verify --config_exp {fields.parent / 'out.yaml'}\n"
    )


@pytest.mark.parametrize("lists", [True, False])
def test_what_is_written_trains(lists: bool, fields: Path) -> None:
    for path in fields.glob("*.txt") if not lists else ():
        path.unlink()
    config = described(fields)
    assert (config.split_fractions is None) == lists
    with resnet18_narrow():
        table = run_experiment(
            config.with_values(epochs=1, head_width=8, checkpoint_folder=str(fields.parent / "runs")), out_dir=fields.parent
        )
    assert len(table) == 1


def test_tasks_are_picked_and_corrected(fields: Path) -> None:
    tasks = keys(described(fields, "--task", "height=depth", "wilted", "--task", "crop=regression"))
    assert tasks.keys() == {"height", "wilted", "crop"}
    assert 0.5 < tasks["height"].pop("range") < 5
    assert tasks["height"] == {"kind": "depth", "folder": "height", "scale": 0.001, "invalid": [0.0]}
    assert tasks["wilted"]["kind"] == "attribute" and tasks["crop"]["kind"] == "regression"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--task", "corp"), "--task corp: there are no targets called 'corp'; found crop, height, normals, health, wilted"),
        (("--task", "crop=classes"), "--task crop=classes: 'classes' is no kind; expected segmentation, depth, "),
        (("--task", "crop=attribute"), "--task crop: crop has files; expected segmentation, depth, normals, edges, regression"),
        (
            ("--task", "wilted=edges"),
            "--task wilted: labels.csv has it as a column; expected regression, attribute, classification in place of edges",
        ),
        (("--task", "health=attribute"), r"--task health: .*labels.csv:\d+ has '.*' in the column health; expected 0 or 1"),
        (("--task", "normals=segmentation"), "--task normals: numbers that are not whole"),
        (("--images", "photos"), "photos: there is no image"),
        (("--images", "labels.csv"), "labels.csv: there is no image"),
    ],
)
def test_a_mistake_is_one_sentence(more: tuple[str, ...], said: str, fields: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = fields.parent / "out.yaml"
    assert exit_code("describe", "--data_dir", fields, "--out", out, *more) == 2
    message = refused(capsys)
    assert not out.exists() and re.search(said, message), message


def test_a_file_is_replaced_only_if_that_is_said(fields: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = fields.parent / "out.yaml"
    out.write_text("mine")
    assert exit_code("describe", "--data_dir", fields, "--out", out) == 2
    assert "is there already; --overwrite replaces it" in refused(capsys) and out.read_text() == "mine"
    described(fields, "--overwrite")


def test_folders_without_images_or_targets_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said() -> str:
        assert exit_code("describe", "--data_dir", tmp_path / "data", "--out", tmp_path / "out.yaml") == 2
        return refused(capsys)

    assert "there is no such folder" in said()
    (tmp_path / "data").mkdir()
    assert "there is no folder of images" in said()
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8))
    for folder in ("left", "right"):
        (tmp_path / "data" / folder).mkdir()
        photo.save(tmp_path / "data" / folder / "1.jpg")
    assert "left, right all may be the folder of the images; --images <folder> says which" in said()
    (tmp_path / "data/right/1.jpg").unlink()
    assert "nothing to predict beside the 1 images in left; expected folders of files, or a CSV file" in said()


@pytest.mark.parametrize("fault", ["image", "target", "size", "list"])
def test_what_is_in_the_way_of_a_training_is_said(fault: str, fields: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if fault == "image":
        (fields / "images/field0/0003.jpg").unlink()
    elif fault == "target":
        (fields / "crop/field0/0003.png").write_bytes(b"no image")
    elif fault == "size":
        Image.fromarray(np.full((16, 24), 1, np.uint8)).save(fields / "crop/field0/0003.png")
    else:
        (fields / "val.txt").write_text((fields / "train.txt").read_text())
    assert exit_code("describe", "--data_dir", fields, "--out", fields.parent / "out.yaml") == 1
    said = capsys.readouterr().out
    assert "\nnot yet right: " in said and "next: python prepare_data.py verify --config_exp" in said
    assert "crop" in load_config(fields.parent / "out.yaml").tasks


def test_targets_most_of_which_have_another_size_are_no_task(fields: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in sorted((fields / "crop").rglob("*.png"))[::4] + sorted((fields / "crop").rglob("*.png"))[1::2]:  # most, not all
        Image.open(path).resize((24, 16), Image.Resampling.NEAREST).save(path)
    assert "crop" not in described(fields).tasks
    assert "is 16 x 24; expected the size of its image, 32 x 48" in capsys.readouterr().out
