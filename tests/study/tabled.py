"""Tables of studies that were never trained, and what is read off them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from study.collect import study_tables
from study.costs import Costs
from study.plan import Study
from study.tables import StudyTables
from tests.studies import fake_run

SEG, DEPTH = "segmentsemantic_mIoU", "depth_euclidean_abs_err"
SPARSE = "seg_depth_l1_l2_target0.5"
PAIRED: list[dict[str, Any]] = [
    {"tasks": "singles", "group_sparsity": False, "trials": 3},
    {"tasks": "all", "group_sparsity": [False, True], "target_sparsity": 0.5, "trials": 3},
]

NO_COSTS = Costs({}, [])


def tables_of(study: Study, metrics: Mapping[str, Mapping[str, float]]) -> StudyTables:
    """The tables of a study whose runs have these test metrics; a run without any is not finished."""
    finished = []
    for run in study.runs:
        if run.name in metrics:
            fake_run(run, metrics[run.name])
            finished.append(run)
    return study_tables(study, dict.fromkeys(finished, NO_COSTS))


def random_metrics(study: Study, seed: int = 0) -> dict[str, dict[str, float]]:
    """Random metrics of every run."""
    random = np.random.default_rng(seed)
    names = {"segmentsemantic": SEG, "depth_euclidean": DEPTH}
    return {run.name: {names[task]: random.uniform(0.2, 0.8) for task in run.config.task_list} for run in study.runs}


def values(tables: StudyTables, metric: str) -> dict[str, float]:
    """Values of one metric, by run."""
    rows = tables.runs[tables.runs["metric"] == metric]
    return {f"{row['setting']}_trial_{row['trial']}": row["value"] for _, row in rows.iterrows()}


def change(ours: Mapping[str, float], seg: float, depth: float) -> float:
    """Delta_MTL in percent: higher is better for the first, lower for the second."""
    return 100 * ((ours[SEG] - seg) / seg - (ours[DEPTH] - depth) / depth) / 2


def row_of(tables: StudyTables, setting: str) -> dict[str, Any]:
    """A setting's row of the summary."""
    (row,) = tables.summary[tables.summary["setting"] == setting].to_dict("records")
    return {str(name): value for name, value in row.items()}
