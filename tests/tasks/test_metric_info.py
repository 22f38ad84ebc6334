"""Units and directions, for exactly the metrics that are computed."""

import pytest

from tasks.kinds import KINDS
from tasks.metric_info import MetricInfo, metric_info, metrics_of
from tasks.objectives import build_metrics
from tasks.table import TASKS, Task, get_task
from tests.tasks.known import EVERY, NYU
from utils.places import load

EACH_TASK = pytest.mark.parametrize("task", EVERY.values(), ids=lambda task: task.name)


@EACH_TASK
def test_there_is_one_for_each_metric_that_is_computed_and_for_no_other(task: Task) -> None:
    computed = build_metrics(task).compute()
    assert metrics_of(task).keys() == computed.keys()


def test_errors_and_angles_go_down_and_everything_else_up() -> None:
    down = {
        (kind, name)
        for kind, entry in KINDS.items()
        for name, info in load(entry.objective).metrics.INFO.items()
        if info.better == "down"
    }
    assert down == {
        *(("depth", name) for name in ("abs_err", "rel_err", "rmse")),
        *(("normals", name) for name in ("mean_angle", "median_angle")),
        ("edges", "abs_err"),
        *(("regression", name) for name in ("abs_err", "rmse")),
    }


def test_units_and_metres_are_those_of_a_metric_depth_alone() -> None:
    assert metric_info(get_task("class_Wearing_Hat"), "auroc") == MetricInfo("up", "", "AUROC")
    for metres, unit in ((False, ""), (True, "m")):
        assert metric_info(NYU["depth_euclidean"], "abs_err", metres=metres) == MetricInfo("down", unit, "absolute error")
        assert metric_info(NYU["depth_euclidean"], "rmse", metres=metres) == MetricInfo("down", unit, "RMSE")
        assert metric_info(NYU["depth_euclidean"], "rel_err", metres=metres).unit == ""
        assert metric_info(NYU["depth_euclidean"], "delta_1.25", metres=metres).unit == ""
        assert metric_info(NYU["edge_texture"], "abs_err", metres=metres).unit == ""
        assert metric_info(NYU["surface_normal"], "mean_angle", metres=metres).unit == "degrees"


def test_the_names_that_tasks_have_in_a_study_are_short_and_tell_them_apart() -> None:
    short = [task.short for task in TASKS.values()]
    assert len(set(short)) == len(short)
    assert not any("_" in name for name in short), "a setting's name separates its tasks by _"
