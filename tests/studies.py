"""Tiny studies: trained in seconds, or with runs that only look as if they had been trained."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from engine import checkpoint as files
from study.launch import Outcome
from study.plan import Run, Study, load_study
from tests.small import small_config

TWO = ("segmentsemantic", "depth_euclidean")
SINGLE: dict[str, Any] = {"tasks": [["segmentsemantic"]], "group_sparsity": False}
"""One dense single-task setting."""

DENSE_AND_SPARSE: list[dict[str, Any]] = [
    {"tasks": "singles", "group_sparsity": False, "trials": 1},
    {"tasks": "all", "group_sparsity": [False, True], "target_sparsity": 0.5, "trials": 2},
]
"""Six runs: two single tasks, and two trials of both tasks, dense and sparse."""


def write_study(folder: Path, rooms: Path, axes: Any, study: Mapping[str, Any] | None = None, **values: Any) -> Path:
    """The file of a study called tiny, and its base, in ``folder``; its runs go into ``folder/studies/tiny``.

    Args:
        folder: is there.
        rooms: the data.
        axes: of the study's file.
        study: other keys of the study's file.
        values: of the base.
    """
    optimizer = {"learning_rate": 1e-3, "weight_decay": 0.1, "penalty": "l1_l2"}
    small = {"task_list": TWO, "epochs": 2, "sparsity_until": 1, "bb_optimizer_params": optimizer, **values}
    small_config(rooms, folder, **{**small, "task_list": list(small["task_list"])}).save(folder / "base.yaml")
    content = {"study": "tiny", "base": "base.yaml", "folder": str(folder / "studies"), **(study or {}), "axes": axes}
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    return folder / "study.yaml"


def make_study(folder: Path, rooms: Path = Path("nowhere"), axes: Any = None, *overrides: str, **values: Any) -> Study:
    """The study of :func:`write_study`; without axes its runs are those of ``DENSE_AND_SPARSE``."""
    return load_study(write_study(folder, rooms, axes or DENSE_AND_SPARSE, **values), overrides)


def fake_run(
    run: Run,
    metrics: Mapping[str, float],
    *,
    sparsity: float | None = None,
    lines: Sequence[Mapping[str, Any]] = ({"epoch": 0},),
) -> None:
    """Files of a finished run with these test metrics (``<task>_<metric>``): there is no network in them.

    Args:
        run: whose folder is made.
        metrics: of the test split.
        sparsity: percentage of the groups; by default 50 of a sparse run's, and none of a dense one's.
        lines: of ``metrics.jsonl``; by default one that says nothing but its epoch.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    run.config.save(run.folder / files.CONFIG)
    if sparsity is None:
        sparsity = 50.0 if run.setting.sparse else 0.0
    row = {"trial": run.trial, "seed": run.config.seed + run.trial, "epochs": 1, **metrics, "group_sparsity": sparsity}
    test = {"best_epoch": 1, "device": "cpu", "precision": "fp32", "row": row}
    files.save_json(run.folder / files.TEST, test)
    (run.folder / files.BEST).write_bytes(b"")
    (run.folder / files.METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))


class Recorder:
    """A launcher that trains nothing: runs whose names contain one of ``fails`` fail, the others look finished."""

    def __init__(self, *fails: str) -> None:
        self.fails = fails
        self.launched: list[str] = []

    def __call__(self, runs: Sequence[Run]) -> Iterable[Outcome]:
        """As :func:`study.launch.one_after_another`."""
        for run in runs:
            self.launched.append(run.name)
            if any(text in run.name for text in self.fails):
                yield Outcome(run, "failed", "it had to")
            else:
                fake_run(run, {})
                yield Outcome(run, "finished")


def never(runs: Sequence[Run]) -> Iterable[Outcome]:
    """A launcher that nobody may call."""
    raise AssertionError(f"launched: {[run.name for run in runs]}")
