"""Runs of a study, their names, and the configuration of each."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings.config import load_config
from settings.sections import Strength, Warmup
from study.plan import Run, Setting, Study, config_text, load_study, study_from_values, study_values
from study.tables import HEADS
from tasks.data_sets import CELEBA_ATTRIBUTES
from tests.study.files import BASE, TASKS, WEIGHTS, planned
from utils.errors import ConfigError

SEG, DEPTH, NORMALS = TASKS


def names(study: Study) -> list[str]:
    return [setting.name for setting in study.settings]


def only(study: Study) -> Setting:
    (setting,) = study.settings
    return setting


def refusal(folder: Path, axes: Any, *overrides: str, **values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        planned(folder, axes, *overrides, **values)
    return str(caught.value)


# Which runs there are

PAIRS = ["seg_depth", "seg_sn", "depth_sn"]


@pytest.mark.parametrize(
    ("axes", "sets"),
    [
        ({}, ["seg_depth_sn"]),
        ({"tasks": "all"}, ["seg_depth_sn"]),
        ({"tasks": "singles"}, ["seg", "depth", "sn"]),
        ({"tasks": "pairs"}, PAIRS),
        ({"tasks": ["singles", "pairs", "all"]}, ["seg", "depth", "sn", *PAIRS, "seg_depth_sn"]),
        ({"tasks": DEPTH}, ["depth"]),
        ({"tasks": [SEG, NORMALS]}, ["seg_sn"]),
        ({"tasks": [[SEG, NORMALS], [DEPTH], "all"]}, ["seg_sn", "depth", "seg_depth_sn"]),
        ({"tasks": [[NORMALS, SEG], [SEG, NORMALS]]}, ["seg_sn"]),
        ({"setup": "multitask"}, ["seg_depth_sn"]),
        ({"setup": ["singletask", "multitask"]}, ["seg", "depth", "sn", "seg_depth_sn"]),
        ({"setup": "multitask", "tasks": ["singles", "pairs"]}, PAIRS),
        ({"setup": "singletask", "tasks": ["pairs", [DEPTH], "all"]}, ["depth"]),
    ],
    ids=str,
)
def test_the_sets_of_tasks(axes: dict[str, Any], sets: list[str], tmp_path: Path) -> None:
    study = planned(tmp_path, axes)
    assert names(study) == [f"{tasks}_dense" for tasks in sets]
    for setting in study.settings:
        assert setting.config.setup == ("singletask" if len(setting.config.task_list) == 1 else "multitask")
    assert [len(setting.config.task_list) for setting in study.settings] == [tasks.count("_") + 1 for tasks in sets]


@pytest.mark.parametrize(
    ("axes", "kinds"),
    [
        ({"group_sparsity": False}, ["dense"]),
        ({"lambda": [1e-4, "1e-3"]}, ["l1_l2_lambda0.0001", "l1_l2_lambda0.001"]),
        ({"target_sparsity": [0.5, 0.7]}, ["group_l0_target0.5", "group_l0_target0.7"]),
        ({"group_sparsity": [False, True], "target_sparsity": 0.5}, ["dense", "group_l0_target0.5"]),
        (
            {"group_sparsity": [False, True], "lambda": [1e-4, 1e-3], "penalty": ["group_mcp", "l1_l2"]},
            ["dense", *("group_mcp_lambda0.0001", "group_mcp_lambda0.001", "l1_l2_lambda0.0001", "l1_l2_lambda0.001")],
        ),
        ({"lambda": [1e-4, 1e-4, "0.0001"], "penalty": ["l1_l2", "l1_l2"]}, ["l1_l2_lambda0.0001"]),
    ],
    ids=str,
)
def test_dense_runs_are_multiplied_neither_by_strengths_nor_by_penalties(
    axes: dict[str, Any], kinds: list[str], tmp_path: Path
) -> None:
    assert names(planned(tmp_path, {"tasks": [DEPTH], **axes})) == [f"depth_{kind}" for kind in kinds]
    both = names(planned(tmp_path, {"tasks": [[DEPTH], "all"], **axes}))
    assert both == [f"{tasks}_{kind}" for tasks in ("depth", "seg_depth_sn") for kind in kinds]


@pytest.mark.parametrize(
    ("base", "axes", "kinds"),
    [
        ({}, {}, ["dense"]),
        ({"group_sparsity": True, "target_sparsity": 0.6}, {}, ["group_l0_target0.6"]),
        ({"group_sparsity": True, "target_sparsity": 0.6}, {"group_sparsity": False}, ["dense"]),
        ({"target_sparsity": 0.6}, {"lambda": 1e-3}, ["l1_l2_lambda0.001"]),
        ({"group_sparsity": True, "lambda_list": [1e-5, 1e-4]}, {}, ["l1_l2_lambda1e-05", "l1_l2_lambda0.0001"]),
        ({"group_sparsity": True, "lambda_list": [1e-5, 1e-4]}, {"lambda": 1e-3}, ["l1_l2_lambda0.001"]),
        (
            {"bb_optimizer_params": {"lambda": 2e-4, "penalty": "group_mcp"}},
            {"group_sparsity": True},
            ["group_mcp_lambda0.0002"],
        ),
        ({"bb_optimizer_params": {"lambda": 2e-4}}, {"target_sparsity": 0.5}, ["group_l0_target0.5"]),
        ({"bb_optimizer_params": {"penalty": "None"}}, {"lambda": 1e-3}, ["l1_l2_lambda0.001"]),
        (
            {"group_sparsity": True, "target_sparsity": 0.6, "bb_optimizer_params": {"penalty": "group_l0"}},
            {"target_macs": [0.5, 0.25]},
            ["group_l0_macs0.5", "group_l0_macs0.25"],
        ),
        (
            {"target_parameters": 0.2, "bb_optimizer_params": {"penalty": "group_l0"}},
            {"group_sparsity": [False, True]},
            ["dense", "group_l0_parameters0.2"],
        ),
        ({"bb_optimizer_params": {"lambda": [[0, 0], [5, 1e-3]]}}, {"group_sparsity": True}, ["l1_l2_lambda0.001"]),
    ],
    ids=str,
)
def test_what_the_axes_leave_open_is_as_the_base_has_it(
    base: dict[str, Any], axes: dict[str, Any], kinds: list[str], tmp_path: Path
) -> None:
    assert names(planned(tmp_path, axes, base=base)) == [f"seg_depth_sn_{kind}" for kind in kinds]


def identity(*values: Any) -> dict[str, Any]:
    """Columns that say in every table what a setting is."""
    return dict(zip(HEADS["summary"][1:-1], values, strict=True))


def test_what_a_dense_run_is(tmp_path: Path) -> None:
    base = {
        "group_sparsity": True,
        "target_sparsity": 0.5,
        "sparsify": "backbone_and_heads",
        "optimizer_params": {"lambda": 1e-3},
        "bb_optimizer_params": {"penalty": "group_mcp", "weight_decay": 0.3, "lambda": 1e-3},
    }
    setting = only(planned(tmp_path, {"group_sparsity": False}, base=base))
    config = setting.config
    assert (config.group_sparsity, config.sparsify) == (False, "backbone")
    assert config.target_sparsity is config.lambda_list is None
    assert (config.bb_optimizer_params.lambda_, config.bb_optimizer_params.weight_decay) == (None, 0.3)
    assert not setting.sparse
    assert setting.identity() == identity("seg_depth_sn_dense", "", "multitask", TASKS, False, "", None, None)


def test_what_a_sparse_run_is(tmp_path: Path) -> None:
    axes = {"tasks": "singles", "penalty": "group_mcp", "variant": "long", "set": {"epochs": 30}}
    of_lambda = planned(tmp_path, {**axes, "lambda": 1e-3}, base={"debias_from": 0.5}).settings[1]
    config = of_lambda.config
    assert (config.penalty_lambda, config.target_sparsity, config.debias_from) == (1e-3, None, 0.5)
    name = "depth_group_mcp_lambda0.001_long"
    assert of_lambda.identity() == identity(name, "long", "singletask", (DEPTH,), True, "group_mcp", 1e-3, None)
    of_target = planned(tmp_path, {**axes, "target_sparsity": 0.7}, base={"debias_from": 0.5}).settings[1]
    assert (of_target.config.target_sparsity, of_target.config.debias_from) == (0.7, None)
    assert (of_target.identity()["lambda"], of_target.identity()["target_sparsity"]) == (None, 0.7)


def test_a_warm_up_keeps_its_shape(tmp_path: Path) -> None:
    base = {"bb_optimizer_params": {"lambda": {"value": 1, "warmup": 6}}}
    study = planned(tmp_path, {"lambda": [1e-4, 1e-3]}, base=base)
    assert [setting.config.bb_optimizer_params.lambda_ for setting in study.settings] == [
        Strength(Warmup(value=value, warmup=6)) for value in (1e-4, 1e-3)
    ]
    assert names(study) == ["seg_depth_sn_l1_l2_lambda0.0001", "seg_depth_sn_l1_l2_lambda0.001"]
    assert [setting.identity()["lambda"] for setting in study.settings] == [1e-4, 1e-3]


def test_points_of_lambda_are_not_lost_silently(tmp_path: Path) -> None:
    base = {"bb_optimizer_params": {"lambda": [[0, 0], [6, 1e-3]]}}
    assert "lambda contradicts the points in bb_optimizer_params.lambda" in refusal(tmp_path, {"lambda": 1e-4}, base=base)
    config = only(planned(tmp_path, {"group_sparsity": True}, base=base)).config
    assert config.bb_optimizer_params.lambda_ == Strength(((0, 0), (6, 1e-3)))


@pytest.mark.parametrize(
    "base",
    [
        {"bb_optimizer_params": {"lambda": 0}},
        {"bb_optimizer_params": {"lambda": {"value": 0, "warmup": 3}}},
        {"bb_optimizer_params": {"lambda": [[0, 1e-3], [5, 0]]}},
        {"lambda_list": [0, 1e-4]},
    ],
    ids=str,
)
def test_a_base_whose_lambda_is_0_makes_no_sparse_run(base: dict[str, Any], tmp_path: Path) -> None:
    assert "axes.0: a lambda of the base is 0" in refusal(tmp_path, {"group_sparsity": True}, base=base)


def test_a_sparse_run_needs_a_strength(tmp_path: Path) -> None:
    said = refusal(tmp_path, [{}, {"group_sparsity": [False, True]}])
    assert said.endswith("axes.1: sparse runs need lambda: [...] or target_sparsity: [...], and the base has neither")


def test_rules_about_sparse_runs_do_not_refuse_dense_ones(tmp_path: Path) -> None:
    base = {"group_sparsity": True, "target_sparsity": 0.5, "sparsity_threshold": 30}
    assert names(planned(tmp_path, {"group_sparsity": False}, base=base)) == ["seg_depth_sn_dense"]
    said = refusal(tmp_path, {"group_sparsity": [False, True]}, base=base)
    assert "axes.0: seg_depth_sn_group_l0_target0.5: " in said
    assert "sparsity_threshold: 30 is not below epochs: 20" in said
    said = refusal(tmp_path, {}, base=base)
    assert "study.yaml: axes.0 with the base base.yaml: " in said


def test_the_setup_of_the_base_does_not_matter(tmp_path: Path) -> None:
    base = {"setup": "singletask", "task_list": [DEPTH], "loss_weights": None}
    assert names(planned(tmp_path, {}, base=base)) == ["depth_dense"]
    assert names(planned(tmp_path, {}, base=base, set={"task_list": list(TASKS)})) == ["seg_depth_sn_dense"]


@pytest.mark.parametrize(
    ("axes", "base"),
    [
        ({"setup": "singletask", "tasks": "pairs"}, {}),
        ({"setup": "multitask"}, {"task_list": [DEPTH], "loss_weights": None}),
        ({"tasks": "pairs"}, {"task_list": [DEPTH], "loss_weights": None}),
    ],
)
def test_a_grid_without_any_tasks_is_refused(axes: dict[str, Any], base: dict[str, Any], tmp_path: Path) -> None:
    said = refusal(tmp_path, [{}, axes], base=base)
    assert "axes.1: there is no set of tasks" in said
    assert ", ".join(base.get("task_list", TASKS)) in said


def test_a_task_without_targets_names_the_run(tmp_path: Path) -> None:
    said = refusal(tmp_path, {"tasks": [[SEG, "class_male"]]}, base={"comb_loss": "sum"})
    assert "axes.0: seg_class_male_dense: 1 problem" in said
    assert "'class_male' has no targets in dataset_name: 'NYU'" in said


# The weights of the losses


def test_loss_weights_are_those_of_the_tasks_of_a_run(tmp_path: Path) -> None:
    study = planned(tmp_path, {"tasks": ["singles", "pairs", "all"]})
    for setting in study.settings:
        assert setting.config.loss_weights == {task: WEIGHTS[task] for task in setting.config.task_list}
    dense = planned(tmp_path, {"tasks": ["singles", "pairs"]}, base={"comb_loss": "sum", "loss_weights": None})
    assert all(setting.config.loss_weights is None for setting in dense.settings)


def test_a_task_with_weight_0_can_be_trained_alone(tmp_path: Path) -> None:
    base = {"loss_weights": {**WEIGHTS, DEPTH: 0}}
    study = planned(tmp_path, {"tasks": "singles"}, base=base)
    assert [setting.config.loss_weights for setting in study.settings] == [{SEG: 1}, None, {NORMALS: 3}]
    said = refusal(tmp_path, {"tasks": "pairs"}, base={"loss_weights": {**WEIGHTS, DEPTH: 0, SEG: 0}})
    assert "axes.0: seg_depth_dense: 1 problem\n  - loss_weights: are all 0" in said


def test_a_task_that_the_base_does_not_have_needs_a_weight_too(tmp_path: Path) -> None:
    axes = {"tasks": [[SEG, "edge_texture"], ["edge_texture"], "all"]}
    assert "loss_weights: has ['segmentsemantic']; expected exactly" in refusal(tmp_path, axes)
    study = planned(tmp_path, axes, set={"loss_weights.edge_texture": "4e0"})
    assert [setting.config.loss_weights for setting in study.settings] == [
        {SEG: 1, "edge_texture": 4},
        {"edge_texture": 4},
        WEIGHTS,
    ]
    summed = planned(tmp_path, axes, base={"comb_loss": "sum"})
    assert summed.settings[0].config.loss_weights is None
    assert "loss_weights: has" in refusal(tmp_path, axes, set={"loss_weights.edge_textur": 4})


# Names


def test_names_are_unique_and_are_good_for_folders(tmp_path: Path) -> None:
    axes = [
        {"tasks": ["singles", "pairs", "all"], "group_sparsity": [False, True], "lambda": [1e-7, 1, 1e6, 0.1 + 0.2, 0.3]},
        {"tasks": ["all"], "penalty": ["group_mcp", "sparse_group_lasso"], "target_sparsity": [0.1234567, 0.1234568]},
        {"variant": "A+1.5-b", "set": {"epochs": 30}},
    ]
    study = planned(tmp_path, axes)
    assert len(study.settings) == 7 * 6 + 4 + 1 == len(set(names(study)))
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name) for name in names(study))
    assert "seg_l1_l2_lambda0.30000000000000004" in names(study)
    assert {run.folder for run in study.runs} == {Path("results/studies/name") / f"{name}_trial_0" for name in names(study)}


def test_another_value_of_an_axis_renames_nothing(tmp_path: Path) -> None:
    axes = {"tasks": "all", "group_sparsity": True, "lambda": [1e-4]}
    before = planned(tmp_path, axes).settings[0]
    more = {"tasks": ["singles", "all"], "group_sparsity": [False, True], "lambda": [1e-5, 1e-4, 1e-3]}
    more |= {"penalty": ["group_mcp", "l1_l2"], "trials": 3}
    after = {setting.name: setting for setting in planned(tmp_path, [{"target_sparsity": 0.5}, more]).settings}[before.name]
    assert after.config == before.config.with_values(num_trials=3)


def test_many_tasks_do_not_make_a_name_that_no_file_system_takes(tmp_path: Path) -> None:
    base = {
        "dataset_name": "celebA",
        "data_dir_celebA": "nowhere",
        "task_list": [f"class_{attribute}" for attribute in CELEBA_ATTRIBUTES],
        "comb_loss": "sum",
        "loss_weights": None,
    }
    study = planned(tmp_path, {"target_sparsity": 0.7}, base=base)
    assert names(study) == ["5-o-clock-shadow_and-39-more_group_l0_target0.7"]
    some = planned(tmp_path, {"tasks": [["class_male", "class_Wearing_Hat"]]}, base=base)
    assert names(some) == ["wearing-hat_male_dense"]


def test_equal_settings_are_one_with_the_larger_number_of_trials(tmp_path: Path) -> None:
    grids = [{"tasks": "all", "trials": 1}, {"tasks": ["all", "singles"], "trials": 3}, {"tasks": "all", "trials": 2}]
    study = planned(tmp_path, grids)
    assert [(setting.name, setting.trials) for setting in study.settings] == [
        ("seg_depth_sn_dense", 3),
        *(("seg_dense", 3), ("depth_dense", 3), ("sn_dense", 3)),
    ]


def test_different_settings_of_one_name_need_a_variant(tmp_path: Path) -> None:
    changed = {"set": {"epochs": 30, "augmentation": {"hflip": True}}}
    said = refusal(tmp_path, [{}, changed])
    assert "axes.1: two settings are called seg_depth_sn_dense, and differ in augmentation, epochs" in said
    assert "give one of them a variant: <name>" in said
    study = planned(tmp_path, [{}, {**changed, "variant": "long"}])
    assert [(setting.name, setting.variant, setting.config.epochs) for setting in study.settings] == [
        ("seg_depth_sn_dense", "", 20),
        ("seg_depth_sn_dense_long", "long", 30),
    ]


# Trials, seeds and folders


def test_a_variant_that_changes_nothing_is_told(tmp_path: Path) -> None:
    axes = [{"tasks": "all"}, {"tasks": "all", "variant": "long", "set": {"epochs": 20}}]
    message = refusal(tmp_path, axes)
    assert "seg_depth_sn_dense and seg_depth_sn_dense_long would be trained alike" in message
    axes[1]["set"] = {"epochs": 30}
    assert len(planned(tmp_path, axes).settings) == 2


@pytest.mark.parametrize("how", ["set", "axes", "axes.path", "override"])
def test_a_lambda_beside_the_axis_is_refused(how: str, tmp_path: Path) -> None:
    """It would change nothing, and look as if it did."""
    key = "bb_optimizer_params.lambda"
    axes: dict[str, Any] = {"tasks": "all", "lambda": 1e-3}
    if how == "axes":
        axes["set"] = {"bb_optimizer_params": {"lambda": 5}}
    elif how == "axes.path":
        axes["set"] = {key: 5}
    values = {"set": {key: 3.0}} if how == "set" else {}
    message = refusal(tmp_path, axes, *([f"{key}=7"] if how == "override" else []), **values)
    assert f"{key} cannot be given in a study: it has the axis lambda" in message


def test_runs_are_in_the_order_of_trials_and_paired_by_their_seeds(tmp_path: Path) -> None:
    grids = [{"tasks": [DEPTH], "trials": 1}, {"tasks": "all", "group_sparsity": [False, True], "target_sparsity": 0.7}]
    study = planned(tmp_path, grids, trials=3)
    dense, sparse = "seg_depth_sn_dense", "seg_depth_sn_group_l0_target0.7"
    assert [run.name for run in study.runs] == [
        *("depth_dense_trial_0", f"{dense}_trial_0", f"{sparse}_trial_0"),
        *(f"{dense}_trial_1", f"{sparse}_trial_1"),
        *(f"{dense}_trial_2", f"{sparse}_trial_2"),
    ]
    assert {setting.config.seed for setting in study.settings} == {7}
    assert {setting.config.seed for setting in planned(tmp_path, grids, "seed=9", set={"seed": 3}).settings} == {9}


@pytest.mark.parametrize(
    ("values", "axes", "overrides", "trials"),
    [
        ({}, {}, (), 4),
        ({"trials": 3}, {}, (), 3),
        ({"trials": 3}, {"trials": 2}, (), 2),
        ({"trials": 3}, {}, ("trials=5",), 5),
        ({"trials": 3}, {"trials": 2}, ("trials=5",), 2),
    ],
)
def test_the_number_of_trials(
    values: dict[str, Any], axes: dict[str, Any], overrides: tuple[str, ...], trials: int, tmp_path: Path
) -> None:
    study = planned(tmp_path, axes, *overrides, base={"num_trials": 4}, **values)
    assert only(study).trials == trials == len(study.runs)


def test_a_base_with_0_trials_needs_a_number(tmp_path: Path) -> None:
    assert "trials: is missing, and num_trials of the base is 0" in refusal(tmp_path, {}, base={"num_trials": 0})
    assert only(planned(tmp_path, {}, base={"num_trials": 0}, trials=2)).trials == 2
    assert "num_trials: 'two' is not valid" in refusal(tmp_path, {}, base={"num_trials": "two"})


def test_the_runs_go_into_the_study_s_folder_and_are_continued_by_the_study(tmp_path: Path) -> None:
    base = {"checkpoint": True, "checkpoint_folder": "elsewhere"}
    study = planned(tmp_path, {}, base=base, folder="some/where")
    assert study.folder == Path("some/where/name")
    assert study.runs[0].folder == Path("some/where/name/seg_depth_sn_dense_trial_0")
    assert not only(study).config.checkpoint
    moved = planned(tmp_path, {}, "folder=~/there", "study=other", "margin=2.5")
    assert (moved.name, moved.folder, moved.margin) == ("other", Path.home() / "there/other", 2.5)
    assert only(moved).config.checkpoint_folder == str(moved.folder)


def test_a_run_can_be_a_key_whatever_its_configuration_holds(tmp_path: Path) -> None:
    """Also with weights of losses, which are a mapping."""
    study = planned(tmp_path, {"tasks": ["singles", "all"]}, trials=2)
    places = {run: number for number, run in enumerate(study.runs)}
    assert len(places) == 8
    assert [places[run] for run in study.runs] == list(range(8))
    again = planned(tmp_path, {"tasks": ["singles", "all"]}, trials=2)
    assert [places[run] for run in again.runs] == list(range(8))
    assert Run(planned(tmp_path, {"tasks": "all"}, trials=3).settings[0], 0) not in places


# What `set` and the command line change


def epochs_and_rates(study: Study) -> list[tuple[int, float, float]]:
    return [
        (setting.config.epochs, setting.config.optimizer_params.learning_rate, setting.config.optimizer_params.weight_decay)
        for setting in study.settings
    ]


@pytest.mark.parametrize("params", [None, {"learning_rate": 1e-2}])
def test_dense_and_sparse_twins_have_one_weight_decay_whatever_a_study_sets(tmp_path: Path, params: Any) -> None:
    grids = [
        {"tasks": "all", "group_sparsity": False},
        {"tasks": "all", "lambda": [1e-4], "set": {"bb_optimizer_params.eps": 1e-7}},
        {"tasks": "all", "lambda": [1e-4], "variant": "v", "set": {"bb_optimizer_params": {}}},
        {"tasks": "all", "target_sparsity": 0.5, "variant": "w", "set": {"bb_optimizer_params": None}},
    ]
    of_the_study = {} if params is None else {"set": {"bb_optimizer_params": params}}
    study = planned(tmp_path, grids, base={"bb_optimizer_params": params}, **of_the_study)
    assert [setting.config.bb_optimizer_params.weight_decay for setting in study.settings] == [0.1] * 4
    assert study_from_values(json.loads(json.dumps(study_values(study))), study.folder) == study


def test_a_grid_s_values_win_over_the_study_s_and_the_command_line_over_all(tmp_path: Path) -> None:
    grids = [
        {"tasks": [DEPTH]},
        {"tasks": [SEG], "set": {"epochs": 30, "optimizer_params": {"learning_rate": 3e-3}}},
        {"tasks": [NORMALS], "set": {"optimizer_params.weight_decay": 0.7}},
        {"tasks": "all", "set": {"optimizer_params": {}}},
        {"tasks": "pairs", "set": {"optimizer_params": {"learning_rate": 5e-3}, "optimizer_params.weight_decay": 0.1}},
    ]
    of_the_study = {"epochs": 25, "optimizer_params": {"learning_rate": 2e-3}}
    pairs = (25, 5e-3, 0.1)
    plain = epochs_and_rates(planned(tmp_path, grids, set=of_the_study))
    assert plain == [(25, 2e-3, 0.5), (30, 3e-3, 0.5), (25, 2e-3, 0.7), (25, 1e-4, 0.01), pairs, pairs, pairs]
    pairs = (25, 9e-3, 0.1)
    rate = epochs_and_rates(planned(tmp_path, grids, "optimizer_params.learning_rate=9e-3", set=of_the_study))
    assert rate == [(25, 9e-3, 0.5), (30, 9e-3, 0.5), (25, 9e-3, 0.7), (25, 9e-3, 0.01), pairs, pairs, pairs]
    pairs = (40, 9e-3, 0.01)
    section = planned(tmp_path, grids, "optimizer_params={learning_rate: 9e-3}", "epochs=40", set=of_the_study)
    assert epochs_and_rates(section) == [pairs] * 7


def test_the_command_line_wins_deep_inside_a_section(tmp_path: Path) -> None:
    changes = [
        {"bb_optimizer_params": {"lambda": {"value": 1e-4, "warmup": 3}}},
        {"bb_optimizer_params.lambda": {"value": 1e-4, "warmup": 3}},
        {"bb_optimizer_params.lambda.warmup": 3, "bb_optimizer_params.lambda.value": 1e-4},
    ]
    for change in changes:
        study = planned(tmp_path, {"lambda": 1e-3, "set": change}, "bb_optimizer_params.lambda.warmup=5")
        assert only(study).config.bb_optimizer_params.lambda_ == Strength(Warmup(value=1e-3, warmup=5))


def test_one_grid_s_values_do_not_reach_another(tmp_path: Path) -> None:
    """Nor through an anchor of YAML, which makes two sections one object."""
    text = yaml.safe_dump({**BASE, "optimizer_params": None}) + (
        "bb_optimizer_params: &same {learning_rate: 1.0e-3, weight_decay: 0.5}\n"
    )
    text = text.replace("optimizer_params: null", "") + "optimizer_params: *same\n"
    grids = [
        {"tasks": [DEPTH], "set": {"optimizer_params.weight_decay": 0.7}},
        {"tasks": [SEG], "set": {"optimizer_params": {"weight_decay": 0.8}, "lr_schedule.name": "cosine"}},
        {"tasks": [NORMALS]},
    ]
    study = planned(tmp_path, grids, base=text)
    assert [setting.config.optimizer_params.weight_decay for setting in study.settings] == [0.7, 0.8, 0.5]
    assert [setting.config.bb_optimizer_params.weight_decay for setting in study.settings] == [0.5] * 3
    assert [setting.config.lr_schedule.name for setting in study.settings] == ["plateau", "cosine", "plateau"]


# A study in plain values


def example(folder: Path) -> Study:
    grids = [
        {"tasks": ["singles", "all"], "group_sparsity": [False, True], "lambda": [1e-7, 0.1 + 0.2]},
        {"target_sparsity": 0.7, "penalty": "group_mcp", "variant": "long", "set": {"epochs": 30}},
    ]
    base = {"bb_optimizer_params": {"lambda": {"value": 1, "warmup": 3}}, "input_shape": [32, 48]}
    return planned(folder, grids, base=base, trials=2, margin=0.5)


def test_a_study_is_the_same_after_a_trip_through_json(tmp_path: Path) -> None:
    study = example(tmp_path)
    again = study_from_values(json.loads(json.dumps(study_values(study))), study.folder)
    assert again == study
    assert [run.folder for run in again.runs] == [run.folder for run in study.runs]


@pytest.mark.parametrize(
    "values",
    [
        None,
        {"study": "s", "margin": 1},
        {"study": "s", "margin": "x", "settings": []},
        {"study": "s", "margin": 1, "settings": []},
        {"study": "s", "margin": 1, "settings": [{"variant": ""}]},
    ],
    ids=str,
)
def test_values_that_are_no_study_s_are_refused(values: Any) -> None:
    with pytest.raises(ConfigError, match=r"^some/folder: its record of the study is damaged"):
        study_from_values(values, Path("some/folder"))


def test_a_damaged_configuration_is_told_by_its_key(tmp_path: Path) -> None:
    values = study_values(example(tmp_path))
    values["settings"][1]["config"]["epochs"] = 0
    with pytest.raises(ConfigError, match=r"^some/folder: 1 problem\n  - epochs: 0 is not valid"):
        study_from_values(values, Path("some/folder"))


def test_a_configuration_as_text_loads_to_itself(tmp_path: Path) -> None:
    for setting in example(tmp_path).settings:
        path = tmp_path / "config.yaml"
        path.write_text(config_text(setting.config), encoding="utf-8")
        assert load_config(path) == setting.config


def test_the_base_lies_beside_the_study_wherever_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned(tmp_path, {})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert names(load_study(Path("../study.yaml"))) == ["seg_depth_sn_dense"]
