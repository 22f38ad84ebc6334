"""Meaning of a prediction's numbers, in words that a program can follow."""

import pytest

from deploy.meaning import classes, meaning_of_inputs, meaning_of_outputs
from tests.configs import make_config


@pytest.mark.parametrize(
    ("values", "first", "name"),
    [
        ({}, 1, "wall"),
        ({"dataset_name": "NYU_MTAN"}, 0, "bed"),
        ({"dataset_name": "celebA"}, 0, "background"),
        ({"dataset_name": "celebA", "celebA_classes": 19}, 0, "background"),
    ],
)
def test_classes_have_the_numbers_of_the_data_sets_files(values: dict[str, object], first: int, name: str) -> None:
    config = make_config(**values)
    task = config.tasks["segmentsemantic"]
    about = meaning_of_outputs([task], config)["segmentsemantic"]
    assert min(about["classes"]) == first
    assert about["classes"] == classes(task)
    assert about["classes"][first] == name
    assert len(about["classes"]) == about["shape"][1] == task.outputs


@pytest.mark.parametrize(
    ("task", "values", "unit", "prediction"),
    [
        ("depth_euclidean", {}, "parts of the photo's largest depth", "sigmoid of the logits"),
        ("depth_euclidean", {"depth_target": "metric"}, "metres", "10 times the sigmoid of the logits"),
        (
            "surface_normal",
            {},
            "unit vector (x right, y down, z forward)",
            "tanh of the logits, divided by its length over axis 1",
        ),
        (
            "surface_normal",
            {"dataset_name": "NYU_MTAN"},
            "unit vector (axes as in the training data)",
            "tanh of the logits, divided by its length over axis 1",
        ),
        ("edge_texture", {}, "probability of an edge", "sigmoid of the logits"),
        ("class_smile", {"dataset_name": "celebA"}, "probability of Smiling", "sigmoid of the logits; yes above 0.5"),
    ],
)
def test_a_tasks_unit_and_how_logits_become_it(task: str, values: dict[str, object], unit: str, prediction: str) -> None:
    config = make_config(**{**values, "task_list": [task]})
    about = meaning_of_outputs(config.tasks.values(), config)[task]
    assert (about["values"], about["unit"], about["prediction"]) == ("logits", unit, prediction)


@pytest.mark.parametrize(("channels", "colours"), [(3, "RGB"), (1, "grey")])
def test_an_image_is_in_0_to_1(channels: int, colours: str) -> None:
    about = meaning_of_inputs(make_config(input_img_channels=channels))
    assert (about["colours"], about["range"], about["shape"]) == (colours, [0, 1], ["batch", channels, 32, 32])
    assert about["normalisation"] == "inside the network"
