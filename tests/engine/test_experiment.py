"""Whole experiments: repeatable, resumable, refused where something could be lost, and tabulated as their files say."""

import dataclasses
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from datasets import build_dataset, loaders
from deploy.reevaluation import EvaluationOptions, evaluate_experiment
from engine import TrainingDivergedError, experiment, load_trial, run_experiment, trainer
from engine import checkpoint as files
from engine.trial import Trial
from settings.config import ExperimentConfig, load_config
from settings.sections import Strength, Warmup
from tests.configs import CELEBA_TASKS, NYU_TASKS
from tests.small import copy_without, listing, small_config, unlabelled
from tests.trained import SPARSE, Trained
from utils.errors import ConfigError, DataError, TrialError, UserError

DENSE_METRICS = (
    *("segmentsemantic_mIoU", "segmentsemantic_pixel_accuracy", "segmentsemantic_IoU_micro_imagewise"),
    *("depth_euclidean_abs_err", "depth_euclidean_rel_err", "depth_euclidean_rmse", "depth_euclidean_delta_1.25"),
    *("surface_normal_mean_cosine", "surface_normal_mean_angle", "surface_normal_median_angle"),
    *("surface_normal_within_11.25", "surface_normal_within_22.5", "surface_normal_within_30"),
)
SPARSITIES = ("group_sparsity", "parameter_sparsity")
STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")


def tables(trained: Trained) -> list[bytes]:
    """Both CSV files of an experiment."""
    return [trained.csv().read_bytes(), trained.csv("_trials").read_bytes()]


def run(config: ExperimentConfig, folder: Path, **options: bool) -> Trained:
    """Run an experiment with its tables in ``folder/out``."""
    return Trained(config, folder / "out", run_experiment(config, out_dir=folder / "out", **options))


def test_another_seed_gives_other_numbers_and_trial_i_has_seed_plus_i(trained: Trained, rooms: Path, work: Path) -> None:
    """Another run with the same seed gives the same numbers."""
    first, second = (trained.table.iloc[number] for number in (0, 1))
    assert (first["seed"], second["seed"]) == (0, 1)
    assert (first[list(DENSE_METRICS[3:7])] != second[list(DENSE_METRICS[3:7])]).all()
    alone = run(small_config(rooms, work, **{**SPARSE, "num_trials": 1, "seed": 1}), work).table.iloc[0]
    pd.testing.assert_series_equal(alone.drop("trial"), second.drop("trial"), check_exact=True, check_names=False)


@pytest.mark.slow
def test_workers_make_no_difference(trained: Trained, rooms: Path, work: Path) -> None:
    assert tables(run(small_config(rooms, work, **SPARSE, num_workers=2), work)) == tables(trained)


def test_a_data_set_is_built_once_per_split(rooms: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever trials train on it, pictures show of it, and tests are made with it."""
    built: list[str] = []

    def build(config: ExperimentConfig, split: str, training: bool = False) -> Any:
        built.append(split)
        return build_dataset(config, split, training)

    monkeypatch.setattr(loaders, "build_dataset", build)
    values = {"num_trials": 2, "epochs": 1, "wandb_img_log": True, "task_list": ["depth_euclidean"]}
    run(small_config(rooms, work, **values), work)
    assert built == ["train", "val", "test"]
    evaluate_experiment("small", None, work / "runs", "NYU", out_dir=work)
    assert built == ["train", "val", "test", "test"]


def test_evaluating_fewer_trials_or_another_split_replaces_no_table(trained: Trained, work: Path) -> None:
    evaluate_experiment("sparse_", 1, trained.runs, "NYU", out_dir=work)
    evaluate_experiment("sparse_", None, trained.runs, "NYU", work, EvaluationOptions(split="val"))
    evaluate_experiment("sparse__trial_1", None, trained.runs, "NYU", out_dir=work)
    names = ("sparse__first_1", "sparse__val", "sparse__trial_1")
    assert sorted(path.name for path in work.iterdir()) == sorted(f"{n}{end}.csv" for n in names for end in ("", "_trials"))
    first, val, second = (pd.read_csv(work / f"{name}_trials.csv") for name in names)
    both = pd.read_csv(trained.csv("_trials"))
    pd.testing.assert_frame_equal(first, both.iloc[:1], check_dtype=False)
    pd.testing.assert_series_equal(second.iloc[0], both.iloc[1], check_names=False, check_dtype=False)
    folder = trained.runs / "sparse__trial_0"
    line = files.read_lines(folder / files.METRICS)[load_trial(folder).best_epoch - 1]
    assert val.loc[0, "depth_euclidean_abs_err"] == pytest.approx(line["val/depth_euclidean_abs_err"], rel=1e-6)


def test_the_last_networks_are_those_after_the_last_epoch(trained: Trained, work: Path) -> None:
    """Their metrics on the validation frames are those that the last epoch wrote down, whichever epoch was the best."""
    table = evaluate_experiment("sparse_", None, trained.runs, "NYU", work, EvaluationOptions(split="val", last=True))
    assert sorted(path.name for path in work.iterdir()) == ["sparse__val_last.csv", "sparse__val_last_trials.csv"]
    for number in (0, 1):
        line = files.read_lines(trained.runs / f"sparse__trial_{number}" / files.METRICS)[-1]
        for name in (*DENSE_METRICS, *SPARSITIES):
            recorded = line[name if name in SPARSITIES else f"val/{name}"]
            assert table.loc[number, name] == pytest.approx(recorded, rel=1e-6), name


def test_evaluating_from_another_data_folder_and_results_folder(trained: Trained, rooms: Path, work: Path) -> None:
    copied = copy_without(rooms, work / "elsewhere")
    runs = copy_without(trained.runs, work / "moved", files.LAST)
    config = (runs / "sparse__trial_0" / files.CONFIG).read_text()
    for trial in (0, 1):
        (runs / f"sparse__trial_{trial}" / files.CONFIG).write_text(config.replace(str(rooms), "/not/there"))
    with pytest.raises(DataError, match="/not/there"):
        evaluate_experiment("sparse", 2, runs, "NYU", out_dir=work / "out")
    assert not (work / "out").exists()
    table = evaluate_experiment("sparse", 2, runs, "NYU", work / "out", EvaluationOptions(data_dir=str(copied), device="cpu"))
    pd.testing.assert_frame_equal(table, trained.table, check_exact=True)


def test_a_test_split_without_targets_of_a_task_has_empty_cells_and_one_warning(
    trained: Trained, rooms: Path, work: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = unlabelled(rooms, work / "data", ["depth_euclidean"], test=0)
    table = evaluate_experiment("sparse", 2, trained.runs, "NYU", work / "out", EvaluationOptions(data_dir=str(data)))
    depth = [name for name in DENSE_METRICS if name.startswith("depth_euclidean")]
    assert table[depth].isna().all(axis=None)
    pd.testing.assert_frame_equal(table.drop(columns=depth), trained.table.drop(columns=depth), check_exact=True)
    assert pd.read_csv(work / "out" / "sparse__trials.csv")[depth].isna().all(axis=None)
    assert caplog.text.count("task depth_euclidean: no valid target in the test split; there it has no loss, no metric") == 1


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_without_any_target_is_refused_before_anything_is_written(rooms: Path, work: Path, split: str) -> None:
    tasks = ["segmentsemantic", "depth_euclidean"]
    data = unlabelled(rooms, work / "data", tasks, **{split: 0})
    config = small_config(data, work, task_list=tasks)
    frames = {"train": 5, "val": 3}[split]
    message = rf"^no frame of the {split} split has a valid target of segmentsemantic, depth_euclidean, .* its {frames} frames"
    with pytest.raises(DataError, match=message):
        run_experiment(config, out_dir=work / "out")
    assert [path.name for path in work.iterdir()] == ["data"]


def test_files_of_a_trial(trained: Trained) -> None:
    for number in (0, 1):
        folder = trained.runs / f"sparse__trial_{number}"
        expected = {files.CONFIG, files.BEST, files.LAST, files.METRICS, files.STEPS, files.TEST, "sparsity_control.png"}
        expected |= {files.LOG, files.ENVIRONMENT, "curves.png", "frames.json"}
        assert {path.name for path in folder.iterdir()} == expected
        assert load_config(folder / files.CONFIG) == trained.config
        assert yaml.safe_load((folder / files.CONFIG).read_text())["bb_optimizer_params"]["lambda"] == 0.5
        for name in (files.BEST, files.LAST):
            state = torch.load(folder / name, weights_only=True)
            assert (state["trial"], state["seed"], state["config"]) == (number, number, trained.config.as_dict())


def test_lines_of_a_trial(trained: Trained) -> None:
    lines = files.read_lines(trained.runs / "sparse__trial_0" / files.METRICS)
    assert [line["epoch"] for line in lines] == [0, 1]
    groups = ("backbone_convs", "backbone_other", "heads", "loss_weights")
    expected = {
        *("epoch", "step", "lambda", "penalty", *SPARSITIES, "active_tasks"),
        *("images_per_second", "train_seconds", "data_seconds", "validation_seconds"),
        *(f"{sparsity}/{stage}" for sparsity in SPARSITIES for stage in STAGES),
        *("groups_died", "groups_revived", "live_rms"),
        *(f"live_rms/{stage}" for stage in STAGES),
        *(f"train/loss/{name}" for name in (*NYU_TASKS, "total")),
        *(f"val/loss/{name}" for name in (*NYU_TASKS, "total")),
        *(f"val/{name}" for name in DENSE_METRICS),
        *(f"loss_weight/{name}" for name in NYU_TASKS),
        *(f"lr/{name}" for name in groups),
    }
    for line in lines:
        assert set(line) == expected
        assert all(isinstance(value, int | float) for value in line.values())
        assert line["val/loss/total"] == pytest.approx(sum(line[f"val/loss/{task}"] for task in NYU_TASKS))
        assert line["images_per_second"] * line["train_seconds"] == pytest.approx(4)
        assert 0 < line["data_seconds"] < line["train_seconds"]


def test_test_results_of_a_trial(trained: Trained) -> None:
    content = json.loads((trained.runs / "sparse__trial_1" / files.TEST).read_text())
    assert set(content) == {"split", "best_epoch", "early_stopped", "precision", "device", "losses", "metrics", "row"}
    assert (content["split"], content["precision"], content["device"]) == ("test", "fp32", "cpu")
    flat = {f"{task}_{name}": value for task, values in content["metrics"].items() for name, value in values.items()}
    assert tuple(flat) == DENSE_METRICS
    assert content["row"] == trained.table.iloc[1].to_dict()
    assert {name: content["row"][name] for name in flat} == flat


def test_tables_hold_the_trials_their_mean_and_their_sample_deviation(trained: Trained) -> None:
    trials, summary = pd.read_csv(trained.csv("_trials")), pd.read_csv(trained.csv())
    assert tuple(trials.columns) == ("trial", "seed", "epochs", *DENSE_METRICS, *SPARSITIES)
    np.testing.assert_allclose(trials.to_numpy(), trained.table.to_numpy(), rtol=1e-9)
    assert len(summary) == 1
    row = summary.iloc[0]
    assert (row["Experiment_name"], row["num_trials"]) == ("sparse_", 2)
    for name in (*DENSE_METRICS, *SPARSITIES):
        a, b = trials[name]
        mean, std = (a + b) / 2, abs(a - b) / math.sqrt(2)
        assert row[f"{name}_mean"] == pytest.approx(mean, rel=1e-8)
        assert row[f"{name}_std"] == pytest.approx(std, rel=1e-6, abs=1e-12)
        assert row[name] == f"{mean:.4f} ± {std:.4f}"


class Interruption:
    """Raises KeyboardInterrupt at the ``at``-th call of a function."""

    def __init__(self, inner: Callable[..., Any], at: int) -> None:
        self.inner, self.left = inner, at

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call, or interrupt."""
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return self.inner(*args, **kwargs)


def interrupt(config: ExperimentConfig, folder: Path, step: int, resume: bool) -> None:
    """Run, or go on, until a step of training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "forward_losses", Interruption(trainer.forward_losses, step))
        with pytest.raises(KeyboardInterrupt):
            run(config, folder, resume=resume)


HEADS_TOO: dict[str, Any] = {
    "Experiment_name": "heads_too",
    "epochs": 4,
    "group_sparsity": True,
    "sparsify": "backbone_and_heads",
    "bb_optimizer_params": {"learning_rate": 1e-3, "lambda": 0.03},
    "optimizer_params": {"learning_rate": 1e-3, "lambda": 0.3},
    "sparsity_threshold": 1,
    "debias_from": 3,
}
"""The zeros are fixed for the fourth epoch."""


def test_sparsified_heads_are_in_the_table_of_an_interrupted_run_and_of_its_evaluation(rooms: Path, work: Path) -> None:
    through = run(small_config(rooms, work / "through", **HEADS_TOO), work / "through")
    assert tuple(through.table.columns[-4:]) == (*SPARSITIES, "head_group_sparsity", "unread_features")
    row = through.table.iloc[0]
    assert 0 <= row["unread_features"] <= row["head_group_sparsity"] < 100 and row["head_group_sparsity"] > 0
    folder = through.runs / "heads_too_trial_0"
    assert json.loads((folder / files.TEST).read_text())["row"]["head_group_sparsity"] == row["head_group_sparsity"]
    assert files.read_lines(folder / files.METRICS)[-1]["head_group_sparsity"] == row["head_group_sparsity"]
    evaluate_experiment("heads_too", None, through.runs, "NYU", out_dir=work / "again")
    assert tables(dataclasses.replace(through, out=work / "again")) == tables(through)
    config = small_config(rooms, work / "stopped", **HEADS_TOO)
    interrupt(config, work / "stopped", step=6, resume=False)  # in the third epoch
    interrupt(config, work / "stopped", step=4, resume=True)  # in the fourth
    assert tables(run(config, work / "stopped", resume=True)) == tables(through)


def test_resuming_a_finished_experiment_trains_nothing(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    before, csv = listing(trained.runs), tables(trained)
    monkeypatch.setattr(experiment, "fit", lambda *args: pytest.fail("trained again"))
    run_experiment(trained.config, resume=True, out_dir=trained.out)
    assert listing(trained.runs) == before
    assert tables(trained) == csv


def test_the_state_is_removed_when_a_trial_is_tested(rooms: Path, work: Path) -> None:
    config = small_config(
        rooms, work, keep_state=False, task_list=["depth_euclidean"], accumulate=2, precision="fp16", epochs=1
    )
    run(config, work)
    folder = config.trial_folder(0)
    assert json.loads((folder / files.TEST).read_text())["early_stopped"] is False
    before = listing(work)
    assert not (folder / files.LAST).exists()
    with pytest.raises(TrialError, match=r"last\.pt: is removed once a trial is tested; keep_state: true keeps it$"):
        load_trial(folder, network=files.LAST)
    with pytest.raises(TrialError, match=r"cannot go on from epochs: 1 to 2 \(that takes keep_state: true from the start\)"):
        run(config.with_values(epochs=2), work, resume=True)
    assert listing(work) == before
    (folder / files.LAST).write_bytes(b"left by a run that was killed between its test and the removal")
    run(config, work, resume=True)
    assert not (folder / files.LAST).exists()


def test_more_trials_can_be_added_and_the_key_checkpoint_resumes(trained: Trained, work: Path) -> None:
    """A finished trial is as its test says: no ``last.pt`` is needed."""
    copy_without(trained.runs, work / "runs", files.LAST)
    config = trained.config.with_values(checkpoint_folder=str(work / "runs"), num_trials=3, checkpoint=True)
    table = run(config, work).table
    pd.testing.assert_frame_equal(table.iloc[:2], trained.table, check_exact=True)
    assert table["seed"].tolist() == [0, 1, 2]


@pytest.fixture
def copied(trained: Trained, work: Path) -> Trained:
    """A copy of the trained experiment that a test may change."""
    copy_without(trained.runs, work / "runs")
    copy_without(trained.out, work / "out")
    config = trained.config.with_values(checkpoint_folder=str(work / "runs"))
    for number in (0, 1):
        config.save(work / "runs" / f"sparse__trial_{number}" / files.CONFIG)
    return Trained(config, work / "out", trained.table)


def refuses(trained: Trained, message: str, error: type[UserError] = TrialError, **options: Any) -> None:
    """Running the experiment is refused with a message, and changes nothing."""
    config = options.pop("config", trained.config)
    before = listing(trained.runs.parent)
    with pytest.raises(error, match=message):
        run_experiment(config, out_dir=options.pop("out_dir", trained.out), **options)
    assert listing(trained.runs.parent) == before


def test_what_is_there_is_not_replaced_silently(copied: Trained, work: Path) -> None:
    refuses(copied, r"sparse__trial_0 is there already.*--resume.*--overwrite")
    config = copied.config.with_values(checkpoint_folder=str(work / "other"))
    refuses(copied, r"sparse_\.csv is there already", config=config)


def test_missing_data_are_refused_before_anything_is_removed_or_made(copied: Trained, work: Path) -> None:
    nowhere = copied.config.with_values(data_dir_NYU="/not/there")
    refuses(copied, "/not/there", DataError, config=nowhere, overwrite=True)
    refuses(copied, "train_batch_size: 50", DataError, config=copied.config.with_values(train_batch_size=50), overwrite=True)
    fresh = nowhere.with_values(checkpoint_folder=str(work / "fresh" / "runs"))
    refuses(copied, "/not/there", DataError, config=fresh, out_dir=work / "fresh" / "out")
    assert not (work / "fresh").exists()
    weights = fresh.with_values(data_dir_NYU=copied.config.data_dir_NYU, init_weights="/no/weights.pt")
    refuses(copied, "init_weights: '/no/weights.pt'", UserError, config=weights, out_dir=work / "fresh" / "out")
    assert not (work / "fresh").exists()


def test_overwriting_replaces_all_trials_and_tables(copied: Trained) -> None:
    (copied.runs / "sparse__trial_1").rename(copied.runs / "sparse__trial_4")
    config = copied.config.with_values(num_trials=1, epochs=1)
    table = run_experiment(config, overwrite=True, out_dir=copied.out)
    assert [path.name for path in copied.runs.glob("*trial*")] == ["sparse__trial_0"]
    assert table["epochs"].tolist() == pd.read_csv(copied.csv("_trials"))["epochs"].tolist() == [1]
    assert load_config(copied.runs / "sparse__trial_0" / files.CONFIG) == config


def test_an_interrupted_overwrite_leaves_no_table_of_removed_trials(copied: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "forward_losses", Interruption(trainer.forward_losses, 1))
    with pytest.raises(KeyboardInterrupt):
        run_experiment(copied.config, overwrite=True, out_dir=copied.out)
    assert not list(copied.out.iterdir())


def test_a_diverged_trial_does_not_take_the_others_with_it(rooms: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(trial: Trial, *args: Any) -> None:
        if trial.number == 0:
            raise TrainingDivergedError("trial 0: the loss of task x is nan")
        trainer.fit(trial, *args)

    monkeypatch.setattr(experiment, "fit", fit)
    with pytest.raises(TrainingDivergedError, match="trial 0"):
        run(small_config(rooms, work, num_trials=2, epochs=1), work)
    assert pd.read_csv(work / "out" / "small_trials.csv")["trial"].tolist() == [1]
    row = pd.read_csv(work / "out" / "small.csv").iloc[0]
    assert row["num_trials"] == 1
    assert np.isnan(row["depth_euclidean_rmse_std"])
    assert row["depth_euclidean_rmse"].endswith(" ± n/a")


def test_a_lambda_list_makes_one_experiment_per_strength(rooms: Path, work: Path) -> None:
    values = {**SPARSE, "Experiment_name": "grid", "num_trials": 1, "epochs": 1, "lambda_list": [0, 1, 3]}
    table = run(small_config(rooms, work, **values), work).table
    assert len(table) == 3
    sparsity = []
    for name in ("grid_lambda0", "grid_lambda1", "grid_lambda3"):
        config = load_config(work / "runs" / f"{name}_trial_0" / files.CONFIG)
        assert config.bb_optimizer_params.lambda_ == Strength(float(name.split("lambda")[1]))
        assert config.lambda_list is None
        sparsity.append(pd.read_csv(work / "out" / f"{name}_trials.csv")["group_sparsity"].item())
        assert pd.read_csv(work / "out" / f"{name}.csv")["Experiment_name"].item() == name
    assert 0 == sparsity[0] < sparsity[1] < sparsity[2]
    assert table["group_sparsity"].tolist() == pytest.approx(sparsity)
    # The last experiment alone is in the way: nothing of the others is trained first.
    for name in ("grid_lambda0", "grid_lambda1"):
        copy_without(work / "runs" / f"{name}_trial_0", work / "kept" / name)
        for path in (work / "runs" / f"{name}_trial_0").iterdir():
            path.unlink()
        (work / "runs" / f"{name}_trial_0").rmdir()
    before = listing(work)
    with pytest.raises(TrialError, match=r"grid_lambda3_trial_0 is there already"):
        run_experiment(small_config(rooms, work, **values), out_dir=work / "out2")
    assert listing(work) == before


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_trials": 0}, "num_trials: is 0"),
        ({"group_sparsity": True, "bb_optimizer_params": {"lambda": None}}, r"bb_optimizer_params\.lambda: is None"),
        ({"group_sparsity": False, "lambda_list": [1e-5]}, "lambda_list: needs group_sparsity"),
        ({"group_sparsity": True, "lambda_list": [1e-5, 1e-5]}, "lambda_list: .*all different"),
        ({"group_sparsity": True, "lambda_list": []}, "lambda_list: .*at least one"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(values: dict[str, Any], message: str, rooms: Path, work: Path) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        run_experiment(small_config(rooms, work, **values), out_dir=work / "out")
    assert "\n" not in str(error.value)
    assert not list(work.iterdir())


def test_a_lambda_list_changes_the_value_of_a_warmup_and_leaves_its_epochs(work: Path) -> None:
    params = {**SPARSE["bb_optimizer_params"], "lambda": {"value": 1.0, "warmup": 1}}
    values = {**SPARSE, "Experiment_name": "warm", "num_trials": 1, "bb_optimizer_params": params, "lambda_list": [0.2]}
    (config,) = experiment.expand_lambdas(small_config(work, work, **values))
    assert config.bb_optimizer_params.lambda_ == Strength(Warmup(value=0.2, warmup=1))
    config.save(work / files.CONFIG)
    assert load_config(work / files.CONFIG).bb_optimizer_params.lambda_ == Strength(Warmup(value=0.2, warmup=1))


# Frames that cannot be read


@pytest.fixture
def damaged(rooms: Path, work: Path) -> Path:
    """Rooms in which a frame of the training and two of the test cannot be read."""
    folder = copy_without(rooms, work / "damaged")
    for split, count in (("train", 1), ("test", 2)):
        for name in (folder / "gt_sets" / f"{split}.txt").read_text().split()[-count:]:
            (folder / "depth" / f"{name}.npy").write_bytes(b"no depth")
    return folder


def bad_names(folder: Path, split: str, count: int) -> set[str]:
    """The last names of a split."""
    return set((folder / "gt_sets" / f"{split}.txt").read_text().split()[-count:])


def test_skipped_frames_are_counted_and_listed(damaged: Path, work: Path) -> None:
    result = run(small_config(damaged, work, epochs=1, on_bad_sample="skip", cache=True), work)
    assert result.table["skipped_frames"].tolist() == pd.read_csv(result.csv("_trials"))["skipped_frames"].tolist() == [3]
    folder = result.runs / "small_trial_0"
    content = json.loads((folder / files.TEST).read_text())
    assert content["row"]["skipped_frames"] == 3
    assert {split: set(frames) for split, frames in content["skipped"].items()} == {
        **{"train": bad_names(damaged, "train", 1), "val": set()},
        "test": bad_names(damaged, "test", 2),
    }
    assert all(
        name in reason and "depth" in reason for frames in content["skipped"].values() for name, reason in frames.items()
    )
    training = json.loads((folder / files.SKIPPED).read_text())
    assert training == {split: content["skipped"][split] for split in ("train", "val")}
    again = evaluate_experiment("small", None, result.runs, "NYU", out_dir=work / "again")
    pd.testing.assert_frame_equal(again, result.table, check_exact=True)
    assert tables(dataclasses.replace(result, out=work / "again")) == tables(result)
    before = listing(result.runs)
    resumed = run(result.config, work, resume=True)
    pd.testing.assert_frame_equal(resumed.table, result.table, check_exact=True)
    assert listing(result.runs) == before


def test_a_frame_that_cannot_be_read_ends_the_run_unless_it_is_to_be_skipped(damaged: Path, work: Path) -> None:
    """The cache reads every frame beforehand; without one the first batch that has it ends the run."""
    (name,) = bad_names(damaged, "train", 1)
    with pytest.raises(DataError, match=rf"depth.{name}\.npy"):
        run(small_config(damaged, work, epochs=1, cache=str(work / "frames")), work)
    assert not (work / "runs").exists()
    with pytest.raises(DataError, match=r"depth.\d+\.npy"):
        run(small_config(damaged, work, epochs=1, train_batch_size=5), work)


# A sparsity that is asked for

STEERED: dict[str, Any] = {
    **SPARSE,
    "Experiment_name": "steered",
    "num_trials": 1,
    "epochs": 6,
    "target_sparsity": 0.5,
    "sparsity_until": 4,
    "bb_optimizer_params": {"learning_rate": 1e-3, "weight_decay": 0.1},
}
"""Eight steps in which the sparsity rises, and four in which zeros stay zero."""


@pytest.fixture(scope="module")
def steered(rooms: Path, scratch: Path) -> Trained:
    """One trial with a target sparsity."""
    return run(small_config(rooms, scratch / "steered", **STEERED), scratch / "steered")


def zero_groups(state: dict[str, torch.Tensor]) -> list[list[bool]]:
    """Return which input channels of every convolution of a saved backbone are zero."""
    weights = [value for name, value in state.items() if name.startswith("backbone.") and value.ndim == 4]
    return [(weight == 0).all(dim=3).all(dim=2).all(dim=0).tolist() for weight in weights]


def test_the_table_has_the_sparsity_that_was_asked_for(steered: Trained) -> None:
    folder = steered.runs / "steered_trial_0"
    best, last = (files.load_tensors(folder / name) for name in (files.BEST, files.LAST))
    zeros = zero_groups(best["model"])
    groups = sum(map(len, zeros))
    assert sum(map(sum, zeros)) == round(0.5 * groups)
    assert zeros == zero_groups(last["model"])
    assert best["epochs"] in (5, 6), "from the phase in which zeros stay zero"
    assert last["epochs"] == steered.table["epochs"].item() == 6
    assert last["control"] == {"debiasing": True, "start": 1, "until": 4}
    exact = 100 * round(0.5 * groups) / groups
    assert steered.table["group_sparsity"].item() == pytest.approx(exact, abs=1e-9)
    assert pd.read_csv(steered.csv("_trials"))["group_sparsity"].item() == pytest.approx(50, abs=0.1)
    with Image.open(folder / "sparsity_control.png") as picture:
        assert np.asarray(picture.convert("RGB")).std() > 10


def test_faces_are_trained_and_evaluated_again_alike(trained_faces: Trained, work: Path) -> None:
    names = {path.name for path in (trained_faces.runs / "faces_trial_0").iterdir()}
    assert names.isdisjoint({files.STEPS, "sparsity_control.png"}), "of a dense run"
    again = evaluate_experiment("faces", 1, trained_faces.runs, "celebA", out_dir=work)
    pd.testing.assert_frame_equal(again, trained_faces.table, check_exact=True)
    assert tables(dataclasses.replace(trained_faces, out=work)) == tables(trained_faces)
    metrics = [f"{task}_{name}" for task in CELEBA_TASKS[1:] for name in ("accuracy", "f1", "f1_weighted", "auroc")]
    assert set(metrics) < set(again.columns)


def test_pictures_of_predictions_are_in_the_trials_folder(trained_faces: Trained) -> None:
    folder = trained_faces.runs / "faces_trial_0" / "predictions"
    assert sorted(path.name for path in folder.iterdir()) == ["best.png", "epoch_0001.png"]
    with Image.open(folder / "best.png") as picture:
        assert np.asarray(picture.convert("RGB")).std() > 10


def test_a_missing_tracker_is_refused_before_anything_is_made(rooms: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="tracking: 'offline' needs the package wandb"):
        run(small_config(rooms, work, tracking="offline"), work)
    assert not list(work.iterdir())


def test_a_main_metric_that_a_task_has_not_is_refused_before_anything_is_made(rooms: Path, work: Path) -> None:
    with pytest.raises(ConfigError, match=r"main_metrics\.depth_euclidean: 'rmsee' .*expected abs_err.*did you mean 'rmse'"):
        run(small_config(rooms, work, main_metrics={"depth_euclidean": "rmsee"}), work)
    assert not list(work.iterdir())
