"""Study files, and the base experiment that they extend."""

from pathlib import Path
from typing import Any

import yaml

from study.plan import Study, load_study

TASKS = ("segmentsemantic", "depth_euclidean", "surface_normal")
WEIGHTS = {"segmentsemantic": 1.0, "depth_euclidean": 2.0, "surface_normal": 3.0}
BASE: dict[str, Any] = {
    "Experiment_name": "base",
    "dataset_name": "NYU",
    "task_list": list(TASKS),
    "data_dir_NYU": "nowhere",
    "epochs": 20,
    "seed": 7,
    "comb_loss": "wt_sum",
    "loss_weights": WEIGHTS,
    "optimizer_params": {"learning_rate": 1e-3, "weight_decay": 0.5},
}


def write(path: Path, values: Any) -> Path:
    """A YAML file; text is written as it is."""
    text = values if isinstance(values, str) else yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
    return path


def study_file(where: Path, axes: Any, base: Any = None, **values: Any) -> Path:
    """``study.yaml`` with the base beside it; ``base`` replaces values of the base."""
    write(where / "base.yaml", base if isinstance(base, str) else {**BASE, **(base or {})})
    return write(where / "study.yaml", {"study": "name", "base": "base.yaml", **values, "axes": axes})


def planned(where: Path, axes: Any, *overrides: str, base: Any = None, **values: Any) -> Study:
    """The study of such a file."""
    return load_study(study_file(where, axes, base, **values), overrides)
