"""What the numbers of a prediction are: in the files of ``predict.py``, and at the outputs of an exported network."""

from __future__ import annotations

from typing import Any

from utils.config import ExperimentConfig
from utils.tasks import FIRST_LABEL, NORMAL_AXES, Task


def meaning_of_files(task: Task, config: ExperimentConfig, attributes: str) -> dict[str, Any]:
    """What the numbers in a task's files are; those of an attribute are in the table ``attributes``."""
    if task.kind == "segmentation":
        return {"values": "class", "classes": classes(task, config)}
    where = f", in {attributes}" if task.kind == "attribute" else ""
    return {"values": f"{unit(task, config)}{where}"}


def classes(task: Task, config: ExperimentConfig) -> dict[int, str]:
    """Names of a segmentation's classes, by their numbers in the data set's own files."""
    first = FIRST_LABEL[config.label_set]
    return {first + at: name for at, name in enumerate(task.classes[config.label_set])}


def unit(task: Task, config: ExperimentConfig) -> str:
    """What a predicted number of a task that has no classes is."""
    units = {
        "depth": "metres" if config.depth_target == "metric" else "parts of the photo's largest depth",
        "normals": f"unit vector ({NORMAL_AXES.get(config.dataset_name, 'axes as in the training data')})",
        "edges": "probability of an edge",
        "attribute": f"probability of {task.title}",
    }
    return units[task.kind]
