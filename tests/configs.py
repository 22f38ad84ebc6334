"""Small configurations."""

from pathlib import Path
from typing import Any

from settings.config import ExperimentConfig, validate_config

NYU_TASKS = ("segmentsemantic", "depth_euclidean", "surface_normal")
CELEBA_TASKS = ("segmentsemantic", "class_male", "class_smile")


def make_config(**values: Any) -> ExperimentConfig:
    """A validated configuration of a small three-task network, with ``values`` in place of its own.

    The data set is NYU unless ``dataset_name`` says celebA; its folder does not exist unless it is given. Lists may be
    tuples, and folders may be paths.
    """
    celeba = values.get("dataset_name") == "celebA"
    small = {
        "Experiment_name": "small",
        "dataset_name": "NYU",
        "task_list": list(CELEBA_TASKS if celeba else NYU_TASKS),
        "data_dir_celebA" if celeba else "data_dir_NYU": "nowhere",
        "backbone": "resnet18",
        "input_shape": 32,
        "head_width": 8,
        "aspp_rates": [2],
        "train_batch_size": 2,
        "val_batch_size": 2,
        "test_batch_size": 2,
        "epochs": 2,
        "device": "cpu",
        "precision": "fp32",
    }
    given = {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
    return validate_config({**small, **given}, source="test")
