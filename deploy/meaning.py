"""Meaning of the numbers of a prediction, in the files of ``predict.py`` and at the outputs of an exported network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from settings.config import ExperimentConfig
from tasks.activations import THRESHOLD, scale
from tasks.objectives import objective_of
from tasks.table import Task


def meaning_of_files(task: Task, config: ExperimentConfig, attributes: str) -> dict[str, Any]:
    """Describe the numbers in the files of a task; those of a whole photo are in the table ``attributes``."""
    where = "" if task.is_dense else f", in {attributes}"
    if task.labels is not None:
        return {"values": f"class{where}", "classes": classes(task)}
    return {"values": f"{unit(task, config)}{where}"}


def meaning_of_inputs(config: ExperimentConfig) -> dict[str, Any]:
    """Describe the image that an exported network expects."""
    return {
        "shape": ["batch", config.input_img_channels, *config.size],
        "type": "float32",
        "colours": "grey" if config.input_img_channels == 1 else "RGB",
        "range": [0, 1],
        "normalisation": "inside the network",
        "resize": "to this height and width, bilinear with antialiasing, whatever the photo's proportions are",
    }


def meaning_of_outputs(tasks: Iterable[Task], config: ExperimentConfig) -> dict[str, dict[str, Any]]:
    """Describe per task of an exported network its logits, and how they become a prediction in the data set's own terms."""
    return {task.name: _output(task, config) for task in tasks}


def _output(task: Task, config: ExperimentConfig) -> dict[str, Any]:
    size = [task.outputs, *config.size] if task.is_dense else [task.outputs] if task.classes else []
    about: dict[str, Any] = {"kind": task.kind, "shape": ["batch", *size], "values": "logits", "activation": task.activation}
    if task.labels is not None:
        return {
            **about,
            "classes": classes(task),
            "prediction": "the key of classes whose place is the logits' argmax over axis 1",
        }
    factor = scale(task, config.depth_target)
    activated = "logits" if task.activation == "none" else f"{task.activation} of the logits"
    rule = activated if factor == 1 else f"{factor:g} times the {activated}"
    if task.mean:
        about["offset"] = task.mean
        rule = f"{task.mean:g} plus {rule}"
    about |= {"scale": factor, "unit": unit(task, config)}
    if task.kind == "attribute":
        about["threshold"] = THRESHOLD
    return {**about, "prediction": rule + objective_of(task).last_step}


def classes(task: Task) -> dict[int, str]:
    """Return the names of a task's classes, by their numbers in the data set's own files."""
    assert task.labels is not None, "it has classes"
    return dict(zip(task.labels.numbers, task.classes, strict=True))


def unit(task: Task, config: ExperimentConfig) -> str:
    """Name the unit of a predicted number of a task without classes."""
    return objective_of(task).unit_of(task, config.depth_target)
