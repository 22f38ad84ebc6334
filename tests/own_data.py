"""Configurations of own data: the drawn fields with the tasks of ``config/fields.yaml``."""

from pathlib import Path
from typing import Any

import yaml

from settings.config import ExperimentConfig
from tests.configs import make_config

FILE = yaml.safe_load((Path(__file__).parents[1] / "config" / "fields.yaml").read_text(encoding="utf-8"))
TASKS: dict[str, dict[str, Any]] = FILE["tasks"]


def own_config(fields: Path, folder: Path, **values: Any) -> ExperimentConfig:
    """A configuration that trains one small trial on fields below ``folder``."""
    small = {
        **{"dataset_name": "folders", "data_dir_NYU": None, "data_dir": fields, "tasks": TASKS, "task_list": list(TASKS)},
        **{"split_files": FILE["split_files"], "output_stride": 16, "checkpoint_folder": folder / "runs", "keep_state": True},
    }
    tasks = values.get("tasks", TASKS)
    return make_config(**{**small, "task_list": list(tasks or ()), **values})
