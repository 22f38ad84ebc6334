"""Resuming: what may change when an experiment goes on, which trials are finished, and how one continues."""

import logging
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from datasets import Loaders
from engine import checkpoint as files
from engine import trainer
from engine.evaluation import Evaluation
from engine.resuming import (
    check_begun,
    check_folders,
    continue_trial,
    drop_state,
    is_finished,
    remove_leftovers,
    saved_row,
)
from engine.tracking import Tracker
from engine.trainer import fit
from engine.trial import Trial
from optim import live_mask
from settings.config import ExperimentConfig
from settings.nature import natures
from settings.own_tasks import Images, OwnTask, SplitFiles, SplitFolders, SplitFractions
from settings.sections import Augmentation, BackboneOptimizerParams, Distill, LRSchedule, OptimizerParams, Splits
from tasks.table import get_task
from tests.configs import NYU_TASKS, make_config
from tests.equality import equal
from tests.small import listing, make_trial, small_config, snapshot, unlabelled
from utils.errors import TrialError

ROW = {"trial": 0, "seed": 0, "epochs": 2, "depth_euclidean_rmse": 0.5, "class_male_auroc": None}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The folder of the trials of an experiment called ``small``."""
    return tmp_path / "runs"


def config_in(runs: Path, **values: Any) -> ExperimentConfig:
    """A configuration whose trials are there."""
    return make_config(checkpoint_folder=str(runs), data_dir_NYU=runs.parent / "rooms", **values)


def make_folder(
    config: ExperimentConfig, number: int = 0, *, done: bool = False, tested: bool = True, kept: bool = True
) -> Path:
    """A folder that says that a trial was trained, and perhaps tested; ``kept``: its ``last.pt`` is there."""
    folder = config.trial_folder(number)
    folder.mkdir(parents=True)
    config.save(folder / files.CONFIG)
    files.append_lines(folder / files.METRICS, [{"epoch": 0}])
    files.save_tensors(folder / files.BEST, {"model": {}})
    if kept:
        files.save_tensors(folder / files.LAST, {"model": {}, "done": done})
    if tested:
        files.save_json(folder / files.TEST, {"early_stopped": done, "row": {**ROW, "trial": number}})
    return folder


def check(config: ExperimentConfig, *, resume: bool = True, overwrite: bool = False) -> None:
    """Ask whether an experiment may go on; nothing changes, whatever the answer."""
    root = Path(config.checkpoint_folder).parent
    before = listing(root)
    try:
        check_folders(config, resume, overwrite, root / "out")
    finally:
        assert listing(root) == before


OTHER: dict[str, Any] = {
    **{"Experiment_name": "other", "dataset_name": "celebA", "task_list": NYU_TASKS[:2], "setup": "singletask", "seed": 1},
    **{"data_dir_NYU": "elsewhere", "data_dir_NYU_MTAN": "elsewhere", "data_dir_celebA": "elsewhere", "celebA_classes": 19},
    **{"data_dir": "elsewhere", "tasks": {"height": OwnTask(kind="depth", folder="height")}, "images": Images(folder="photos")},
    **{"split_files": SplitFiles(train="a", test="b"), "split_folders": SplitFolders(train=("a",), test=("b",))},
    **{"split_fractions": SplitFractions(seed=1), "class_weights": "balanced"},
    **{"splits": Splits(train="trainval"), "val_fraction": 0.2, "data_split_file": "split.json", "mask_void": "background"},
    **{"input_shape": (32, 64), "input_img_channels": 1, "depth_target": "metric"},
    **{"augmentation": Augmentation(hflip=True), "train_batch_size": 3, "accumulate": 2, "val_batch_size": 3},
    **{"test_batch_size": 3, "batch_norm": "sync"},
    **{"cache": True, "on_bad_sample": "skip", "backbone": "resnetd18", "output_stride": 16, "init_weights": "weights.pt"},
    **{"normalize": "imagenet", "head_width": 9, "aspp_rates": (3,), "seg_loss_fn": "dice", "comb_loss": "uncertainty"},
    **{"loss_weights": {"depth_euclidean": 2.0}, "loss_weight_lr": 0.5, "optimizer": "adam", "bb_optimizer": "adam"},
    **{"optimizer_params": OptimizerParams(eps=1e-3), "bb_optimizer_params": BackboneOptimizerParams(weight_decay=0.5)},
    **{"group_sparsity": True, "sparsify": "backbone_and_heads", "sparsity_threshold": 1, "target_sparsity": 0.5},
    **{"target_macs": 0.5, "target_parameters": 0.5},
    **{"sparsity_until": 0.5, "debias_from": 0.5, "lr_schedule": LRSchedule(name="cosine"), "earlystop_patience": 3},
    **{
        "sparsity_ramp": "smooth",
        "keep_layers": 0.1,
        "preserve_norm": True,
        "start_from": "runs/dense_trial_0",
        "distill": Distill(weight=0.5),
        "shrink": True,
    },
    **{"task_earlystop_patience": 3, "device": "cuda", "precision": "bf16", "channels_last": False, "deterministic": True},
}
"""Per key that may not change another value; ``Experiment_name`` names another experiment."""


def test_every_key_is_either_one_that_may_change_or_one_that_may_not() -> None:
    may_change = {key for key, nature in natures(ExperimentConfig).items() if nature.may_become == "anything"}
    assert set(OTHER) | may_change | {"epochs"} == {info.alias or key for key, info in ExperimentConfig.model_fields.items()}
    assert not set(OTHER) & may_change
    assert may_change == {
        *("num_trials", "num_workers", "checkpoint", "checkpoint_folder", "lambda_list", "keep_state", "main_metrics"),
        *("data_terms", "tracking", "wandb_project", "wandb_entity", "wandb_img_log", "img_log_every"),
    }, "each of them changes no number"


@pytest.mark.parametrize("key", sorted(set(OTHER) - {"Experiment_name"}))
def test_another_value_of_a_key_is_refused_with_both(runs: Path, key: str) -> None:
    config = config_in(runs)
    make_folder(config)
    now = config.model_copy(update={f"{key}_" if key in ("data_dir", "tasks") else key: OTHER[key]})
    saved, wanted = config.as_dict()[key], now.as_dict()[key]
    if isinstance(saved, dict):  # a section: of its keys the one that differs
        (inner,) = [name for name in saved if saved[name] != wanted[name]]
        key, saved, wanted = f"{key}.{inner}", saved[inner], wanted[inner]
    with pytest.raises(TrialError) as error:
        check(now)
    assert f"small_trial_0 was trained with another configuration ({key}: {saved!r} there, {wanted!r} now): " in str(
        error.value
    )


@pytest.mark.parametrize(
    ("saved", "now", "said"),
    [
        ({"value": 0.1, "warmup": 1}, {"value": 0.2, "warmup": 1}, r"bb_optimizer_params.lambda.value: 0\.1 there, 0\.2 now"),
        ({"value": 0.1, "warmup": 1}, 0.1, r"bb_optimizer_params.lambda: \{'value': 0\.1, 'warmup': 1\.0\} there, 0\.1 now"),
        (None, 0.1, r"bb_optimizer_params.lambda: None there, 0\.1 now"),
    ],
)
def test_a_value_deep_inside_is_named_by_its_path(runs: Path, saved: Any, now: Any, said: str) -> None:
    make_folder(config_in(runs, bb_optimizer_params={"lambda": saved}))
    with pytest.raises(TrialError, match=rf"\({said}\): give"):
        check(config_in(runs, bb_optimizer_params={"lambda": now}))


def test_all_keys_that_differ_are_named_at_once(runs: Path) -> None:
    config = config_in(runs)
    make_folder(config)
    with pytest.raises(TrialError, match=r"\(seed: 0 there, 9 now; head_width: 8 there, 4 now; epochs: 2 there, 1 now\): give"):
        check(config.with_values(seed=9, head_width=4, epochs=1, num_workers=1))


@pytest.mark.parametrize(
    "changes",
    [
        {"num_trials": 9},
        {"num_workers": 2},
        {"checkpoint": True},
        {"tracking": "offline", "wandb_project": "p", "wandb_entity": "e", "wandb_img_log": True, "img_log_every": 3},
        {"epochs": 3},
    ],
    ids=str,
)
def test_what_changes_no_number_may_change(runs: Path, changes: dict[str, Any]) -> None:
    config = config_in(runs)
    make_folder(config)
    check(config.with_values(**changes))


@pytest.mark.parametrize(("saved", "now"), [("a", "b"), ("a", True)])
def test_the_cache_may_lie_elsewhere(runs: Path, saved: Any, now: Any) -> None:
    make_folder(config_in(runs, cache=saved))
    check(config_in(runs, cache=now))


def test_frames_of_the_cache_are_not_those_of_the_files(runs: Path) -> None:
    make_folder(config_in(runs, cache="a"))
    with pytest.raises(TrialError, match=r"\(cache: 'a' there, False now\)"):
        check(config_in(runs))


def test_a_folder_of_data_may_be_spelled_otherwise(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder(config_in(runs))
    check(config_in(runs).with_values(data_dir_NYU="rooms"))
    check(config_in(runs).with_values(data_dir_NYU=str(tmp_path / "x" / ".." / "rooms")))
    monkeypatch.setenv("PLACE", str(tmp_path))
    check(config_in(runs).with_values(data_dir_NYU="$PLACE/rooms"))
    check(config_in(runs).with_data_dir(tmp_path / "rooms"))
    monkeypatch.delenv("PLACE")
    for other in ("rooms2", "$PLACE/rooms"):
        with pytest.raises(TrialError, match="data_dir_NYU"):
            check(config_in(runs).with_values(data_dir_NYU=other))


@pytest.mark.parametrize("key", ["data_split_file", "init_weights"])
def test_a_file_may_be_spelled_otherwise(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    make_folder(config_in(runs, backbone="resnet18", **{key: str(tmp_path / "file")}))
    check(config_in(runs, backbone="resnet18", **{key: "~/file"}))
    with pytest.raises(TrialError, match=f"{key}: "):
        check(config_in(runs, backbone="resnet18", **{key: "~/other"}))


def test_what_was_never_begun_is_not_resumed(runs: Path) -> None:
    begun, small = config_in(runs, Experiment_name="small_lambda0.1"), config_in(runs)
    with pytest.raises(TrialError, match=r"no trial of 'small' is in \S+runs \(without --resume it begins anew\)$"):
        check_begun([small])
    make_folder(begun, 1)
    check_begun([config_in(runs, Experiment_name="small_lambda0.01"), begun])  # one of several is enough
    with pytest.raises(TrialError, match=r"no trial of 'smal_lambda0\.1' is in \S+runs .*; did you mean 'small_lambda0\.1'\?$"):
        check_begun([config_in(runs, Experiment_name="smal_lambda0.1")])


def test_each_lambda_that_was_never_begun_is_named_though_the_experiment_was_without_any(runs: Path) -> None:
    make_folder(config_in(runs))
    names = ("small_lambda0.1", "small_lambda0.2")
    with pytest.raises(TrialError, match=r"no trial of 'small_lambda0\.1', 'small_lambda0\.2' is in \S+runs "):
        check_begun([config_in(runs, Experiment_name=name) for name in names])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({files.BEST: None}, rf"small_trial_0 has no {files.BEST}, which its {files.TEST} is about: restore it"),
        (
            {files.TEST: b'{"row": {"trial": 0, "se'},
            rf"{files.TEST}: cannot be read .*; remove the file to test the trial again$",
        ),
        ({files.TEST: b"[1]"}, rf"{files.TEST}: holds list, expected a JSON object; remove the file"),
        ({files.TEST: b"{}"}, rf"{files.TEST}: holds no row of results; remove the file"),
        ({files.TEST: b"{}", files.LAST: None}, rf"{files.TEST}: holds no row of results; restore it, or use --overwrite$"),
        ({files.TEST: None, files.LAST: None}, rf"small_trial_0 has no {files.LAST}, so it cannot be continued: restore it"),
        ({files.CONFIG: None}, rf"small_trial_0 holds no {files.CONFIG}, so it is no trial: move it away"),
        ({files.CONFIG: b"epochs: x"}, rf"{files.CONFIG}: "),
        ({files.CONFIG: b""}, rf"{files.CONFIG}: is empty; expected 'key: value' lines"),
    ],
    ids=str,
)
def test_a_damaged_folder_is_one_sentence_before_anything_is_trained(
    runs: Path, damage: dict[str, bytes | None], message: str
) -> None:
    config = config_in(runs)
    folder = make_folder(config)
    for name, content in damage.items():
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
    with pytest.raises(TrialError if files.CONFIG not in damage else ValueError, match=message):
        check(config)


@pytest.mark.parametrize("left", [[], [".config_file.yaml.77.unfinished"]])
def test_a_folder_in_which_nothing_was_done_yet_is_in_nobodys_way(runs: Path, left: list[str]) -> None:
    """A run that was killed before it had written its configuration."""
    config = config_in(runs)
    folder = config.trial_folder(0)
    folder.mkdir(parents=True)
    for name in left:
        (folder / name).touch()
    for options in ({"resume": True}, {"overwrite": True, "resume": False}):
        check(config, **options)
    with pytest.raises(TrialError, match="is there already"):
        check(config, resume=False)


@pytest.mark.parametrize("name", ["small.csv", "small_trials.csv"])
def test_tables_alone_are_in_the_way_too(runs: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).touch()
    with pytest.raises(TrialError, match=f"{name} is there already: replace it with --overwrite, or choose another"):
        check(config_in(runs), resume=False)
    check(config_in(runs))
    with pytest.raises(TrialError, match="nothing to resume"):
        check_begun([config_in(runs)])


def test_a_saved_row_has_nan_where_json_has_null(runs: Path) -> None:
    row = saved_row(make_folder(config_in(runs)))
    assert math.isnan(row.pop("class_male_auroc"))
    assert row == {name: value for name, value in ROW.items() if name != "class_male_auroc"}


@pytest.mark.parametrize(
    ("done", "tested", "kept", "epochs", "finished"),
    [
        (False, True, True, 2, True),
        (False, True, False, 2, True),
        (False, True, True, 3, False),
        (True, True, True, 3, True),
        (True, True, False, 3, True),
        (False, False, True, 2, False),
        (True, False, True, 2, False),
    ],
)
def test_a_tested_trial_is_finished_unless_it_stopped_for_want_of_epochs(
    runs: Path, done: bool, tested: bool, kept: bool, epochs: int, finished: bool
) -> None:
    folder = make_folder(config_in(runs), done=done, tested=tested, kept=kept)
    assert is_finished(folder, config_in(runs, epochs=epochs)) is finished


def test_more_epochs_without_the_state_say_what_they_need(runs: Path) -> None:
    make_folder(config_in(runs), kept=False)
    check(config_in(runs))
    with pytest.raises(TrialError) as error:
        check(config_in(runs, epochs=3))
    assert str(error.value).endswith(
        "small_trial_0 is finished and has no last.pt, so it cannot go on from epochs: 2 to 3 (that takes keep_state: true "
        "from the start): give epochs=2 to keep it as it is, or use --overwrite to train it again"
    )


@pytest.mark.parametrize("keep", [False, True])
def test_the_state_goes_unless_it_is_to_be_kept(runs: Path, keep: bool) -> None:
    config = config_in(runs, keep_state=keep)
    folder = make_folder(config)
    drop_state(folder, config)
    drop_state(folder, config)
    assert (folder / files.LAST).is_file() is keep


def test_leftovers_of_this_experiment_go_and_others_stay(runs: Path, tmp_path: Path) -> None:
    names = {
        runs: [".small_trial_0.7.unfinished", ".small_trial_12.7.unfinished"],
        tmp_path / "out": [".small.csv.7.unfinished", ".small_trials.csv.7.unfinished"],
    }
    others = {
        runs: [".small_er_trial_0.7.unfinished", ".smallxtrial_0.7.unfinished", ".small_trial_0.lock", "small_trial_1"],
        tmp_path / "out": [".small_val.csv.7.unfinished", "small.csv", ".smallxcsv.7.unfinished"],
    }
    for folder in names:
        folder.mkdir()
        for name in (*names[folder], *others[folder]):
            (folder / name).touch()
    remove_leftovers(config_in(runs), tmp_path / "out")
    for folder in names:
        assert sorted(path.name for path in folder.iterdir()) == sorted(others[folder])
    remove_leftovers(config_in(tmp_path / "nowhere"), tmp_path / "no_out")


# Going on


def scripted(losses: list[float]) -> Callable[..., Evaluation]:
    """In place of an evaluation: the summed validation loss is the next one of ``losses``."""

    def evaluate(*args: Any) -> Evaluation:
        metrics = {task: {get_task(task).main_metric: 0.5} for task in NYU_TASKS}
        return Evaluation(dict.fromkeys(NYU_TASKS, losses.pop(0) / len(NYU_TASKS)), metrics)

    return evaluate


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The summed validation losses of the epochs."""
    losses: list[float] = []
    monkeypatch.setattr(trainer, "evaluate", scripted(losses))
    yield losses
    assert not losses, "as many epochs as losses"


def train(config: ExperimentConfig) -> Trial:
    """Train a trial to its end, going on where its folder says."""
    trial = make_trial(config)
    continue_trial(trial)
    config.save(trial.folder / files.CONFIG)
    fit(trial, Tracker(), Loaders(trial.config))
    return trial


def rates(trial: Trial) -> list[float]:
    """The backbone's learning rate per epoch."""
    return [line["lr/backbone_convs"] for line in files.read_lines(trial.folder / files.METRICS)]


PARAMS = {"learning_rate": 1e-3}


def test_more_epochs_on_a_plateau_are_those_of_a_run_that_had_them_from_the_start(
    rooms: Path, work: Path, script: list[float]
) -> None:
    """Also where most frames have no depth."""
    rooms = unlabelled(rooms, work / "rooms", ["depth_euclidean"], train=1)
    losses = [3.0, 4.0, 4.0, 2.0]
    values = {"lr_schedule": {"name": "plateau", "patience": 1}, "comb_loss": "uncertainty", "bb_optimizer_params": PARAMS}
    script[:] = losses
    through = train(small_config(rooms, work / "through", epochs=4, **values))
    script[:] = losses
    for epochs in (2, 4):
        again = train(small_config(rooms, work / "again", epochs=epochs, **values))
    assert again.epoch == 4
    for ours, theirs in zip(again.model.state_dict().values(), through.model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    assert equal(snapshot(again.weighting), snapshot(through.weighting))
    assert rates(again) == rates(through) == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4])
    best, expected = (files.load_tensors(trial.folder / files.BEST) for trial in (again, through))
    assert best["epochs"] == expected["epochs"] == 4
    assert equal(best["model"], expected["model"])


def test_more_epochs_on_a_cosine_follow_the_longer_curve_from_there(
    rooms: Path, work: Path, script: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    script[:] = [1.0] * 4
    values = {"lr_schedule": {"name": "cosine", "min_lr": 1e-5}, "bb_optimizer_params": PARAMS}
    train(small_config(rooms, work, epochs=2, **values))
    trial = train(small_config(rooms, work, epochs=4, **values))

    def cosine(epoch: int, epochs: int) -> float:
        return 1e-5 + (1e-3 - 1e-5) * (1 + math.cos(math.pi * epoch / epochs)) / 2

    assert rates(trial) == pytest.approx([cosine(0, 2), cosine(1, 2), cosine(2, 4), cosine(3, 4)])
    assert trial.optimizer.param_groups[0]["lr"] == pytest.approx(1e-5)
    assert "epochs: 2 there, 4 now" in caplog.text


@pytest.mark.parametrize(
    "values",
    [
        {"debias_from": 0.5, "bb_optimizer_params": {**PARAMS, "lambda": 1.0}},
        {
            **{"target_sparsity": 0.5, "sparsity_until": 0.5, "sparsify": "backbone_and_heads"},
            "optimizer_params": {**PARAMS, "lambda": 1.0},
            "bb_optimizer_params": {**PARAMS, "penalty": "l1_l2"},
        },
    ],
    ids=["debias", "target and heads"],
)
def test_zeros_that_are_fixed_stay_so_when_there_are_more_epochs(
    rooms: Path, work: Path, script: list[float], values: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """They were fixed after half of two epochs; half of five is still to come."""
    caplog.set_level(logging.INFO)
    script[:] = [1.0] * 5
    values = {"group_sparsity": True, "bb_optimizer_params": PARAMS, **values}
    first = train(small_config(rooms, work, epochs=2, **values))
    before = live_mask(first.model)
    assert 0 < int((~before).sum()) < len(before)
    again = train(small_config(rooms, work, epochs=5, **values))
    assert torch.equal(live_mask(again.model), before)
    lines = files.read_lines(again.folder / files.METRICS)
    assert caplog.text.count("and the rest trains without the penalty") == 1, "the last phase begins once"
    assert [line["lambda"] > 0 for line in lines] == [True] + [False] * 4
    assert [line.get("head_lambda", 0) for line in lines[1:]] == [0] * 4
    assert [point["debiasing"] for point in files.read_lines(again.folder / files.STEPS)] == [False] * 2 + [True] * 8


def test_an_early_stopped_trial_trains_no_more(rooms: Path, work: Path, script: list[float]) -> None:
    script[:] = [1.0, 2.0, 2.0]
    first = train(small_config(rooms, work, epochs=3, earlystop_patience=2))
    assert first.done
    again = train(small_config(rooms, work, epochs=9, earlystop_patience=2))
    assert again.epoch == 3


def test_what_is_left_of_patience_and_frozen_heads_goes_on(rooms: Path, work: Path, script: list[float]) -> None:
    values = {"task_earlystop_patience": 2, "earlystop_patience": 9}
    script[:] = [1.0, 2.0]
    first = train(small_config(rooms, work, epochs=2, **values))
    assert not first.model.frozen
    script[:] = [2.0]
    again = train(small_config(rooms, work, epochs=9, **values))
    assert again.model.frozen == set(NYU_TASKS), "the second epoch in a row without improvement"
    assert again.done
    third = make_trial(small_config(rooms, work, epochs=9, **values))
    continue_trial(third)
    assert (third.model.frozen, third.done, third.epoch, third.saved) == (set(NYU_TASKS), True, 3, 3)
    assert third.total_patience.state_dict() == {"best": 1.0, "waited": 2}


@pytest.fixture(scope="module")
def trained_folder(rooms: Path, scratch: Path) -> Path:
    """Folder of a trial of two epochs that is not tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "evaluate", scripted([2.0, 1.0]))
        return train(small_config(rooms, scratch / "stopped")).folder


@pytest.fixture
def stopped(trained_folder: Path, rooms: Path, work: Path) -> ExperimentConfig:
    """The same trial for a test of its own: links, so a file is replaced and not changed."""
    config = small_config(rooms, work)
    shutil.copytree(trained_folder, config.trial_folder(0), copy_function=os.link)
    return config


def replace(path: Path, content: bytes) -> None:
    """Give a file another content."""
    path.unlink()
    path.write_bytes(content)


def test_a_trial_without_a_state_begins_anew(rooms: Path, work: Path) -> None:
    trial = make_trial(small_config(rooms, work))
    assert continue_trial(trial) is None
    assert (trial.epoch, trial.saved) == (0, None)


def test_lines_that_are_missing_are_said(stopped: ExperimentConfig, caplog: pytest.LogCaptureFixture) -> None:
    path = stopped.trial_folder(0) / files.METRICS
    replace(path, path.read_bytes()[:-50])
    continue_trial(make_trial(stopped))
    assert "metrics.jsonl is damaged: it has the lines of 1 of 2 epochs" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("cut", rf"{files.LAST}: is not a checkpoint of this project"),
        (files.BEST, rf"{files.LAST}: is not the state of this training \(KeyError: 'frozen'\)"),
        ({"optimizer": {}}, rf"{files.LAST}: is not the state of this training \("),
        ({"control": None}, rf"{files.LAST}: is not the state of this training \(TypeError"),
        ({"rng": {"cpu": torch.zeros(3)}}, rf"{files.LAST}: is not the state of this training \("),
        ({"model": {"backbone.conv1.weight": torch.zeros(1)}}, rf"{files.LAST}: is not the state of this training \(Runtime"),
        ({"trial": 3, "seed": 3}, rf"{files.LAST}: is the state of trial 3 with seed 3, not of this one"),
    ],
    ids=str,
)
def test_a_state_that_is_not_this_trials_is_one_sentence(stopped: ExperimentConfig, change: Any, message: str) -> None:
    folder = stopped.trial_folder(0)
    path = folder / files.LAST
    if isinstance(change, dict):
        files.save_tensors(path, {**files.load_tensors(path), **change})
    elif change == "cut":
        replace(path, path.read_bytes()[:-1000])
    else:
        replace(path, (folder / files.BEST).read_bytes() if change == files.BEST else change)
    before = listing(folder)
    with pytest.raises(TrialError, match=message) as error:
        continue_trial(make_trial(stopped))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    assert listing(folder) == before


def test_a_best_network_that_is_gone_is_missed_before_training(stopped: ExperimentConfig) -> None:
    (stopped.trial_folder(0) / files.BEST).unlink()
    with pytest.raises(TrialError, match=rf"small_trial_0 has no {files.BEST}, its best network so far: restore it"):
        continue_trial(make_trial(stopped))


def test_before_there_is_a_best_network_none_is_missed(rooms: Path, work: Path, script: list[float]) -> None:
    """In a sparse run it is looked for only once the penalty is full."""
    script[:] = [1.0, 1.0]
    values = {"group_sparsity": True, "target_sparsity": 0.5, "sparsity_until": 3, "bb_optimizer_params": PARAMS, "epochs": 4}
    trial = make_trial(small_config(rooms, work, **values))
    trial.config = trial.config.model_copy(update={"epochs": 2})
    fit(trial, Tracker(), Loaders(trial.config))
    assert not (trial.folder / files.BEST).exists()
    again = make_trial(small_config(rooms, work, **values))
    continue_trial(again)
    assert again.epoch == 2
