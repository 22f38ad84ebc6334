"""The section ``tasks``: what it means, and a sentence for everything that cannot be meant."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from settings.config import load_config, validate_config
from settings.own_tasks import TORCH_NAMES
from tasks.data_sets import LabelSet
from tests.own_data import FILE, TASKS, own_config
from utils.errors import ConfigError

MAPPED = {"kind": "segmentation", "folder": "gtFine", "classes": {7: "road", 11: "building", 26: "car"}, "ignore": "others"}


def test_the_shipped_file_is_what_its_tasks_say(tmp_path: Path) -> None:
    config = own_config(tmp_path, tmp_path)
    assert list(config.tasks) == list(TASKS)
    crop, height, health, wilted, normals = config.tasks.values()
    assert (crop.classes, crop.outputs, crop.is_dense, crop.main_metric) == (("soil", "maize", "weed"), 3, True, "mIoU")
    assert (height.place, height.unit, height.scale, height.invalid, height.loss) == ("height", "m", 0.001, (0.0,), "huber")
    assert (health.outputs, health.is_dense, health.main_metric, health.place) == (3, False, "accuracy", "health")
    assert (wilted.outputs, wilted.is_dense, wilted.activation) == (1, False, "sigmoid")
    assert (normals.outputs, normals.flip, normals.resize) == (3, "mirror_and_negate_x", "bilinear")
    assert (height.title, height.short) == ("Height", "height")


def test_a_saved_configuration_is_the_same_and_as_short(tmp_path: Path) -> None:
    tasks = {
        **TASKS,
        "streets": {**MAPPED, "title": "Streets"},
        "n": {"kind": "regression", "folder": "n", "invalid": ["nan", -1]},
    }
    config = own_config(tmp_path, tmp_path, tasks=tasks)
    config.save(tmp_path / "saved.yaml")
    assert load_config(tmp_path / "saved.yaml") == config
    assert config.as_dict()["tasks"]["normals"] == {"kind": "normals", "folder": "normals"}
    assert math.isnan(config.tasks["n"].invalid[0]) and config.tasks["n"].invalid[1] == -1


def test_classes_may_have_numbers_of_their_own(tmp_path: Path) -> None:
    labels = own_config(tmp_path, tmp_path, tasks={"streets": MAPPED}).tasks["streets"].labels
    assert labels == LabelSet(("road", "building", "car"), 7, (7, 11, 26), (), True)
    assert labels.numbers == (7, 11, 26)


def test_without_a_list_all_tasks_are_trained_and_a_list_picks_some() -> None:
    assert validate_config(copy.deepcopy(FILE), "x").task_list == tuple(TASKS)
    assert list(validate_config({**copy.deepcopy(FILE), "task_list": ["health", "crop"]}, "x").tasks) == ["health", "crop"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": "segmentation", "folder": "x"}, "classes: is missing; a task of kind: 'segmentation' needs the names"),
    ({"kind": "segmentation", "classes": ["a", "b"]}, "folder: is missing"),
    ({"kind": "segmentation", "folder": "x", "classes": ["a"]}, "classes: are 1; expected 2 to 254"),
    ({"kind": "segmentation", "folder": "x", "classes": ["a", "b", "a"]}, "classes: name 'a' twice"),
    ({"kind": "segmentation", "folder": "x", "classes": ["a", "b"], "ignore": [1]}, "ignore: 1 is the number of the class 'b'"),
    (
        {"kind": "segmentation", "folder": "x", "classes": ["a", "b"], "loss": "huber"},
        "loss: 'huber' is not valid",
    ),
    ({"kind": "segmentation", "folder": "x", "classes": ["a", "b"], "scale": 2}, "scale: is for kind: depth or regression"),
    ({"kind": "regression"}, "file: is missing, or folder"),
    ({"kind": "regression", "folder": "x", "loss": "mse"}, "loss: 'mse' is not valid; expected l1, l2, huber"),
    ({"kind": "regression", "folder": "x", "std": 0}, "std: 0 is not valid; expected a number > 0"),
    ({"kind": "regression", "folder": "x", "file": "y.csv", "column": "z"}, "file: contradicts folder"),
    ({"kind": "regression", "file": "y.csv", "column": "z", "channels": 2}, "channels: 2 needs folder"),
    ({"kind": "regression", "folder": "/etc"}, "folder: '/etc' is not valid; expected a place below data_dir"),
    ({"kind": "regression", "folder": "a/../../b"}, "expected a place below data_dir"),
    ({"kind": "regression", "folder": "x", "invalid": ["none"]}, "invalid.0: 'none' is not valid"),
    ({"kind": "classification", "file": "y.csv", "column": "z"}, "classes: is missing"),
    ({"kind": "classification", "file": "y.csv", "column": "z", "classes": {0: "a", 1: "b"}}, "classes: have numbers"),
    ({"kind": "classification", "file": "y.csv", "classes": ["a", "b"]}, "column: is missing"),
    ({"kind": "attribute", "folder": "x"}, "file: is missing"),
    ({"kind": "normals", "folder": "x", "range": 5}, "range: is for kind: depth"),
    ({"kind": "height", "folder": "x"}, "kind: 'height' is not valid; expected 'segmentation'"),
    ({"kind": "depth", "foldr": "x"}, "foldr: unknown key (value 'x'); did you mean 'folder'?"),
]


@pytest.mark.parametrize(("task", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_task_that_cannot_be_is_a_sentence_with_its_key(task: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        own_config(tmp_path, tmp_path, tasks={"mine": task})
    assert f"tasks.mine.{said}" in str(error.value) or said in str(error.value)
    assert "tasks.mine." in str(error.value)


@pytest.mark.parametrize("name", ["total", "overview", "all", "yield", "a-b", "3d", "_x", "a.b", "x" * 61])
def test_a_name_that_means_something_else_or_is_no_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tasks\..*: (has a name that means|is no name)"):
        own_config(tmp_path, tmp_path, tasks={name: TASKS["normals"]})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"split_files": None}, "split_files: is missing; give lists"),
        ({"split_fractions": {}}, "split_files: contradicts split_fractions"),
        ({"split_files": None, "split_fractions": {"train": 0.5}}, "split_fractions: train, val and test are 0.8 together"),
        ({"split_files": {"train": "a.txt"}}, "split_files.test: is missing"),
        ({"task_list": ["crop", "corn"]}, "task_list: 'corn' is none of tasks: crop, height"),
        ({"dataset_name": "NYU", "data_dir_NYU": "x", "data_dir": None}, "tasks: is for dataset_name: folders"),
        ({"tasks": None, "task_list": ["crop"]}, "tasks: is missing; dataset_name: 'folders' needs what is to be predicted"),
        ({"class_weights": {"crop": [1, 2]}}, "class_weights.crop: [1.0, 2.0] is not valid; expected 3 weights"),
        ({"class_weights": {"height": [1, 2]}}, "class_weights: 'height' is no task with classes"),
        ({"class_weights": "balanced", "seg_loss_fn": "dice"}, "class_weights: has no meaning for the loss 'dice' of crop"),
        ({"class_weights": "balanced", "task_list": ["height"]}, "is for tasks with classes, and task_list has none"),
        (
            {"tasks": {**TASKS, "h": {**TASKS["height"], "metric": "rmse"}}, "main_metrics": {"h": "r2"}},
            "contradicts tasks.h.metric",
        ),
        ({"class_weights": "equal"}, "class_weights: 'equal' is not valid"),
    ],
)
def test_own_data_that_cannot_be_is_a_sentence(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    tasks = {} if values.get("tasks", TASKS) is None else {"tasks": TASKS}
    with pytest.raises(ConfigError) as error:
        own_config(tmp_path, tmp_path, **{**tasks, **values})
    assert said in str(error.value)


def test_names_that_torch_has_are_no_tasks() -> None:
    assert {name for name in dir(nn.ModuleDict) if not name.startswith("_")} <= set(TORCH_NAMES)
