"""Own data from training to the compact network; labels that are missing, and labels that are rare."""

import json
import shutil
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from PIL import Image

from datasets import build_dataset
from deploy.meaning import meaning_of_outputs
from deploy.prediction import as_stored, load_predictor, predict_photos
from deploy.reevaluation import evaluate_experiment
from deploy.trial_compaction import compact_trial
from engine import checkpoint as files
from engine import run_experiment
from engine.class_weights import balanced_weights
from engine.starting import check_start
from settings.config import ExperimentConfig, load_config
from study import estimate
from study.estimate import Speed
from study.plan import load_study
from study.record import Command
from study.run import run_study
from study.study_report import make_report
from study.tables import StudyTables
from tasks.data_sets import LabelSet
from tasks.table import make_task
from tests.engine.test_tracking import wandb as wandb  # a fixture
from tests.equality import equal
from tests.narrow import resnet18_narrow
from tests.own_data import TASKS, own_config
from tests.study.files import write
from utils.errors import ConfigError, TrialError, UserError

SPARSE: dict[str, Any] = {"group_sparsity": True, "target_sparsity": 0.5, "epochs": 3, "sparsity_until": 2}


@dataclass(frozen=True)
class Own:
    """A finished experiment on own data."""

    config: ExperimentConfig
    table: pd.DataFrame

    @property
    def folder(self) -> Path:
        return self.config.trial_folder(0)


@pytest.fixture(scope="module")
def own(fields: Path, scratch: Path) -> Own:
    """One sparse trial of all five tasks, with weights of the classes and pictures."""
    config = own_config(fields, scratch / "own", **SPARSE, class_weights="balanced", wandb_img_log=True)
    with resnet18_narrow():
        return Own(config, run_experiment(config, out_dir=scratch / "own" / "out"))


def test_all_tasks_have_their_metrics_and_the_trial_its_record(own: Own) -> None:
    names = ("crop_mIoU", "height_abs_err", "height_rmse", "health_accuracy", "health_macro_f1", "wilted_auroc")
    assert {*names, "normals_mean_cosine"} <= set(own.table.columns)
    assert own.table["group_sparsity"].iloc[0] == pytest.approx(50, abs=1)
    assert (own.folder / "curves.png").is_file() and (own.folder / "predictions" / "best.png").is_file()
    saved = load_config(own.folder / files.CONFIG)
    assert saved.tasks == own.config.tasks
    assert set(saved.class_weights) == {"crop", "health", "wilted"}


def test_it_is_evaluated_again_alike_and_may_be_resumed_with_the_word_for_its_weights(own: Own, work: Path) -> None:
    again = evaluate_experiment(own.config.Experiment_name, 1, own.folder.parent, "folders", out_dir=work)
    pd.testing.assert_frame_equal(again, own.table, check_exact=True)
    resumed = run_experiment(own.config, resume=True, out_dir=work)
    assert resumed["crop_mIoU"].iloc[0] == own.table["crop_mIoU"].iloc[0]
    assert type(own.config.class_weights) is str


def test_an_interrupted_training_goes_on_bit_by_bit(fields: Path, work: Path) -> None:
    whole, halves = (own_config(fields, work / name, class_weights="balanced") for name in ("whole", "halves"))
    run_experiment(whole, out_dir=work / "whole_out")
    run_experiment(halves.model_copy(update={"epochs": 1}), out_dir=work / "halves_out")
    run_experiment(halves, resume=True, out_dir=work / "halves_out")
    states = [torch.load(config.trial_folder(0) / files.LAST, weights_only=True) for config in (whole, halves)]
    assert equal(states[0]["model"], states[1]["model"]) and equal(states[0]["optimizer"], states[1]["optimizer"])


def test_a_trial_does_not_go_on_with_other_frames(
    fields: Path, work: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Splits that are drawn, drawn anew because a file came: an experiment, a study and an evaluation notice."""
    data, drawn = Path(shutil.copytree(fields, work / "data")), {"train": 0.5, "val": 0.25, "test": 0.25}
    config = own_config(
        data, work, tasks={"crop": TASKS["crop"]}, epochs=1, split_files=None, split_fractions=drawn, Experiment_name="drawn"
    )
    run_experiment(config, out_dir=work / "out")
    monkeypatch.setattr(estimate, "time_steps", lambda config: Speed(60.0, 30.0))
    config.save(work / "base.yaml")
    content = {"study": "mine", "base": "base.yaml", "folder": str(work), "trials": 1, "axes": [{"tasks": "all"}]}
    study, command = load_study(write(work / "study.yaml", content)), Command("typed", work / "study.yaml")
    run_study(study, command)
    shutil.copy(data / "images/field0/0001.jpg", data / "images/field0/0001b.jpg")
    said = r"drawn_trial_0 was trained with other frames \(train: 10 there, 1[01]( others)? now\)"
    for number in (1, 2):  # also where the one that is there is finished, and another shall begin
        with pytest.raises(TrialError, match=said):
            run_experiment(config.with_values(num_trials=number), resume=True, out_dir=work / "out")
    assert not config.trial_folder(1).exists()
    more = load_study(write(work / "study.yaml", {**content, "trials": 2}))
    with pytest.raises(TrialError, match=r"crop_dense_trial_0 was trained with other frames \(train"):
        run_study(more, command)
    run_study(more, command, plan_only=True, overwrite=True)
    evaluate_experiment("drawn", 1, config.trial_folder(0).parent, "folders", out_dir=work / "again")
    assert "was trained when the data had other frames (test: 5 there, 5 others now)" in caplog.text


def test_a_start_from_classes_in_another_order_is_said(
    own: Own, fields: Path, work: Path, caplog: pytest.LogCaptureFixture
) -> None:
    turned = {**TASKS, "crop": {**TASKS["crop"], "classes": ["maize", "soil", "weed"]}}
    with resnet18_narrow():
        check_start(own_config(fields, work, tasks=turned, start_from=str(own.folder), **SPARSE))
    said = "the head of crop meant something else (classes: ('soil', 'maize', 'weed'), and here ('maize', 'soil', 'weed'))"
    assert said in caplog.text and caplog.text.count("meant something else") == 1


def test_predictions_say_numbers_and_words_of_the_tasks(own: Own, fields: Path, work: Path) -> None:
    photos = fields / "images" / "field0"
    assert predict_photos(load_predictor(own.folder), photos, work / "out") == []
    said = json.loads((work / "out" / "predictions.json").read_text())["tasks"]
    assert said["crop"] == {"values": "class", "classes": {"0": "soil", "1": "maize", "2": "weed"}}
    assert said["height"] == {"values": "m"}
    assert said["health"]["values"] == "class, in attributes.csv"
    rows = pd.read_csv(work / "out" / "attributes.csv")
    assert list(rows.columns) == ["photo", "health_probability", "health", "wilted_probability", "wilted"]
    assert set(rows["health"]) <= {"good", "poor", "dead"} and set(rows["wilted"]) <= {"yes", "no"}
    assert np.load(work / "out" / "height" / "0001.npy").shape == Image.open(photos / "0001.jpg").size[::-1]
    assert predict_photos(load_predictor(own.folder), photos, work / "out", overwrite=True) == []


@pytest.mark.usefixtures("no_measuring")
def test_its_card_and_its_exported_file_have_the_words_and_units_of_its_tasks(own: Own, work: Path) -> None:
    folder = Path(shutil.copytree(own.folder, work / own.folder.name))
    assert compact_trial(folder)
    card = (folder / "model_card.md").read_text(encoding="utf-8")
    assert "**Health**: one of 3 classes: good, poor, dead" in card and "**Height**: m" in card
    about = meaning_of_outputs(own.config.tasks.values(), own.config)
    assert about["height"]["prediction"] == "0.5 plus 0.4 times the logits" and about["height"]["unit"] == "m"
    assert about["health"]["shape"] == ["batch", 3]


@pytest.mark.slow
@pytest.mark.usefixtures("no_measuring")
def test_it_is_exported_with_equal_outputs(own: Own, fields: Path, work: Path) -> None:
    """The trained network; that one of each kind of task gives equal outputs, tests/test_docs.py says."""
    folder = Path(shutil.copytree(own.folder, work / own.folder.name))
    assert compact_trial(folder, onnx=True)
    session = onnxruntime.InferenceSession(folder / "compact.onnx")
    about = json.loads(session.get_modelmeta().custom_metadata_map["tasks"])
    assert about == json.loads(json.dumps(meaning_of_outputs(own.config.tasks.values(), own.config)))
    image = np.asarray(Image.open(fields / "images/field0/0001.jpg"), np.float32).transpose(2, 0, 1)[None] / 255
    outputs = dict(zip([out.name for out in session.get_outputs()], session.run(None, {"images": image}), strict=True))
    assert predict_photos(load_predictor(folder / "compact.safetensors"), fields / "images/field0/0001.jpg", work / "out") == []
    stored = np.load(work / "out" / "height" / "0001.npy")
    np.testing.assert_allclose(0.5 + 0.4 * outputs["height"][0, 0], stored, rtol=1e-3, atol=1e-4)


def test_a_study_compares_own_tasks_and_its_report_has_their_titles_and_units(
    fields: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "time_steps", lambda config: Speed(60.0, 30.0))
    tasks = {**{name: TASKS[name] for name in ("crop", "height")}, "state": {**TASKS["health"], "title": "State of health"}}
    base = own_config(fields, work, tasks=tasks, sparsity_until=1)
    base.save(work / "base.yaml")
    axes = [{"tasks": "singles"}, {"tasks": "all", "group_sparsity": [False, True], "target_sparsity": 0.5}]
    content = {"study": "mine", "base": "base.yaml", "folder": str(work), "trials": 1, "axes": axes}
    study = load_study(write(work / "study.yaml", content))
    assert [setting.name for setting in study.settings][-1] == "crop_height_state_group_l0_target0.5"
    run_study(study, Command("typed", work / "study.yaml"))
    make_report(study.folder, work / "out", "typed", latency="no")
    page = (study.folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "State of health" in page and "absolute error (m) ↓" in page
    tables = StudyTables.read(work / "out", "mine", study.tasks)
    (row,) = [row for row in tables.rows if row["sparse"]]
    assert np.isfinite(row["delta_MTL_mean"]), "against the networks of one task each"
    with pytest.raises(ConfigError, match="task_list: 'corn' is none of tasks: crop, height, state"):
        load_study(write(work / "study.yaml", {**content, "axes": [{"tasks": ["corn", "crop"]}]}))


def _masked(fields: Path, target: Path) -> Path:
    """A copy of the fields in which what is missing is there, and says that nothing is known."""
    shutil.copytree(fields, target)
    size = Image.open(fields / "height/field0/0001.png").size
    Image.new("I;16", size).save(target / "height/field0/0000.png")
    Image.new("I;16", size).save(target / "height/field0/0005.png")
    return target


@pytest.mark.parametrize("cache", [False, True])
def test_a_missing_file_is_the_same_as_one_that_says_nothing(fields: Path, work: Path, cache: bool) -> None:
    """To the bit: losses, metrics and weights, with batches in which no frame has a height."""
    states = []
    for name, data in {"missing": fields, "masked": _masked(fields, work / "data")}.items():
        cached = str(work / name / "cache") if cache else False
        config = own_config(
            data, work / name, **SPARSE, optimizer_params={"weight_decay": 0.1}, train_batch_size=2, cache=cached
        )
        table = run_experiment(config, out_dir=work / name / "out")
        states.append((torch.load(config.trial_folder(0) / files.LAST, weights_only=True), table))
    (missing, table), (masked, other) = states
    assert equal(missing["model"], masked["model"]) and equal(missing["optimizer"], masked["optimizer"])
    pd.testing.assert_frame_equal(table, other, check_exact=True)


def test_balanced_weights_are_the_inverse_of_the_frequencies(fields: Path, work: Path) -> None:
    frames = build_dataset(own_config(fields, work), "train")
    weights = balanced_weights(frames)
    labels = np.concatenate([np.asarray(Image.open(path)).ravel() for path in sorted((fields / "crop/field0").glob("*"))[:8]])
    counts = np.bincount(labels[labels != 255], minlength=3)
    np.testing.assert_allclose(weights["crop"], counts.sum() / (3 * counts), rtol=1e-6)
    cells = [line.split(",")[1] for line in (fields / "labels.csv").read_text().splitlines()[1:9]]
    known = [cells.count(name) for name in ("good", "poor", "dead")]
    expected = [sum(known) / (3 * number) if number else 1.0 for number in known]
    assert weights["health"] == pytest.approx(expected)
    assert set(weights) == {"crop", "health", "wilted"}


OTHERS: list[dict[str, Any]] = [
    {
        "relief": {"kind": "depth", "folder": "height", "scale": 0.001, "range": 70, "invalid": [0]},
        "plants": {"kind": "segmentation", "folder": "crop", "classes": {1: "maize", 2: "weed"}, "ignore": "others"},
    },
    {
        "vector": {"kind": "regression", "folder": "normals", "channels": 3, "loss": "l2"},
        "harvest": {"kind": "regression", "file": "more.csv", "column": "harvest", "unit": "t", "metric": "rmse"},
        "outline": {"kind": "edges", "folder": "crop"},
    },
]


@pytest.mark.slow
@pytest.mark.parametrize("tasks", OTHERS, ids=["depth and some classes", "vectors, a number per image, edges"])
@pytest.mark.usefixtures("no_measuring")
def test_other_tasks_of_the_same_folders_go_all_the_way(tasks: dict[str, Any], fields: Path, work: Path) -> None:
    data = Path(shutil.copytree(fields, work / "data"))
    rows = [f"field{number // 10}/{number:04d},{number / 2 if number % 3 else ''}" for number in range(20)]
    (data / "more.csv").write_text("\n".join(["id,harvest", *rows]) + "\n")
    for path in (data / "crop/field0").iterdir() if "outline" in tasks else ():
        Image.fromarray(np.where(np.asarray(Image.open(path)) == 255, 255, 0).astype(np.uint8)).save(path)
    config = own_config(data, work, tasks=tasks, depth_target="metric", epochs=1, wandb_img_log=True)
    row = run_experiment(config, out_dir=work / "out").iloc[0]
    assert all(np.isfinite(row[f"{task.name}_{task.main_metric}"]) for task in config.tasks.values())
    assert compact_trial(config.trial_folder(0), onnx=True)
    photo = data / "images/field0/0001.jpg"
    assert predict_photos(load_predictor(config.trial_folder(0) / "compact.safetensors"), photo, work / "out") == []
    if "plants" in tasks:
        assert set(np.unique(np.load(work / "out/plants/0001.npy"))) <= {1, 2}
        assert float(np.load(work / "out/relief/0001.npy").max()) <= 70
    else:
        assert np.load(work / "out/vector/0001.npy").shape == (32, 32, 3)
        assert np.isfinite(pd.read_csv(work / "out/attributes.csv")["harvest"][0])


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"std": 2.0}, "height means something else there (std: 0.4, and here 2.0)"),
        ({"mean": 0.0}, "mean: 0.5, and here 0.0"),
        ({"unit": "km"}, "unit: m, and here km"),
    ],
)
def test_a_teacher_whose_numbers_mean_something_else_is_refused(
    own: Own, fields: Path, work: Path, task: dict[str, Any], said: str
) -> None:
    config = own_config(fields, work, tasks={"height": {**TASKS["height"], **task}}, distill={"from": str(own.folder)})
    with pytest.raises(UserError) as error:
        run_experiment(config, out_dir=work / "out")
    assert said in str(error.value)


@pytest.mark.parametrize("numbers", [(-4, 0), (-1, 200), (3, 70_000), (0, 255)])
def test_a_predicted_class_is_stored_as_its_number(numbers: tuple[int, int]) -> None:
    task = make_task("it", "segmentation", "It", "it", labels=LabelSet(("a", "b"), min(numbers), numbers))
    assert as_stored(task, np.array([[0, 1]], np.uint8)).tolist() == [list(numbers)]


def test_a_tracker_has_the_metrics_of_own_tasks(wandb: types.SimpleNamespace, fields: Path, work: Path) -> None:
    table = run_experiment(own_config(fields, work, epochs=1, tracking="offline"), out_dir=work / "out")
    (run,) = wandb.runs
    assert {"val/crop_mIoU", "val/height_rmse", "val/health_macro_f1"} <= {name for line in run.logged for name in line}
    assert run.summary["test/height_abs_err"] == pytest.approx(table["height_abs_err"].iloc[0])
