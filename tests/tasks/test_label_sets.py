"""Experiments with other classes than the paper's: MTAN's thirteen, CelebAMask-HQ's nineteen, from training to prediction."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from datasets.synthetic.faces import write_faces
from deploy.prediction import load_predictor, predict_photos
from deploy.reevaluation import EvaluationOptions, evaluate_experiment
from deploy.sparsity_plot import figure_title
from engine import load_trial, run_experiment
from models import compact, save_compact
from tasks.data_sets import CELEBA_19_CLASSES
from tests.configs import NYU_TASKS
from tests.datasets.mtan_frames import write_mtan
from tests.narrow import resnet18_narrow
from tests.small import FACES, SIZE, small_config
from tests.trained import Trained
from utils.errors import TrialError


@pytest.fixture(scope="module", autouse=True)
def narrow_networks() -> Iterator[None]:
    """Make ``resnet18`` narrow."""
    with resnet18_narrow():
        yield


@pytest.fixture(scope="module")
def mtan(scratch: Path) -> Iterator[Trained]:
    """One trial on MTAN's layout."""
    folder = scratch / "mtan"
    write_mtan(folder / "data", {"train": 4, "val": 3}, SIZE)
    names = {"dataset_name": "NYU_MTAN", "data_dir_NYU_MTAN": folder / "data", "Experiment_name": "thirteen"}
    config = small_config(Path("nowhere"), folder, **names, task_list=list(NYU_TASKS), wandb_img_log=True)
    yield Trained(config, folder / "out", run_experiment(config, out_dir=folder / "out"))


@pytest.fixture(scope="module")
def parts(scratch: Path) -> Iterator[Trained]:
    """One trial on faces with nineteen classes and an attribute that is not the paper's."""
    folder = scratch / "parts"
    write_faces(folder / "data", FACES, SIZE)
    rng = np.random.default_rng(0)
    for path in (folder / "data" / "CelebA-HQ-segmask").iterdir():
        np.save(path, rng.integers(0, 19, SIZE).astype(np.uint8))
    names = {"dataset_name": "celebA", "data_dir_celebA": folder / "data", "celebA_classes": 19, "Experiment_name": "nineteen"}
    tasks = ["segmentsemantic", "class_Bangs"]
    config = small_config(folder / "data", folder, **names, task_list=tasks, wandb_img_log=True)
    yield Trained(config, folder / "out", run_experiment(config, out_dir=folder / "out"))


def _predict(trial: Path, work: Path) -> Path:
    """Predictions of one photo."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)).save(work / "photo.png")
    assert not predict_photos(load_predictor(trial), work / "photo.png", work / "predictions")
    return work / "predictions"


def test_mtan_is_trained_and_evaluated_again_alike_by_the_script_for_nyu(mtan: Trained, work: Path) -> None:
    again = evaluate_experiment("thirteen", 1, mtan.runs, "NYU", out_dir=work)
    pd.testing.assert_frame_equal(again, mtan.table, check_exact=True)
    assert {"segmentsemantic_mIoU", "depth_euclidean_abs_err", "surface_normal_mean_cosine"} < set(again.columns)
    (Path(mtan.config.checkpoint_folder).parent / "data").rename(work / "moved")
    try:
        moved = evaluate_experiment("thirteen", 1, mtan.runs, "NYU", work, EvaluationOptions(data_dir=str(work / "moved")))
    finally:
        (work / "moved").rename(Path(mtan.config.checkpoint_folder).parent / "data")
    pd.testing.assert_frame_equal(moved, mtan.table, check_exact=True)


def test_the_script_for_celeba_is_not_the_one_for_mtan(mtan: Trained, work: Path) -> None:
    with pytest.raises(TrialError, match=r"trained on dataset_name: 'NYU_MTAN'.* for 'celebA'; use get_outputs\.py"):
        evaluate_experiment("thirteen", 1, mtan.runs, "celebA", out_dir=work)


def test_predictions_of_mtan_have_its_thirteen_classes_from_0(mtan: Trained, work: Path) -> None:
    trial = load_trial(mtan.runs / "thirteen_trial_0")
    assert trial.model.heads["segmentsemantic"][-1].out_channels == 13
    assert "NYU-v2 (MTAN)" in figure_title(trial)
    folder = _predict(trial.folder, work)
    tasks = json.loads((folder / "predictions.json").read_text())["tasks"]
    classes = tasks["segmentsemantic"]["classes"]
    assert (len(classes), classes["0"], classes["12"]) == (13, "bed", "window")
    assert tasks["surface_normal"]["values"] == "unit vector (axes as in the training data)"
    labels = np.load(folder / "segmentsemantic" / "photo.npy")
    assert labels.min() >= 0 and labels.max() <= 12
    assert (trial.folder / "predictions" / "best.png").is_file()


def test_nineteen_classes_are_trained_predicted_and_compacted(parts: Trained, work: Path) -> None:
    trial = load_trial(parts.runs / "nineteen_trial_0")
    assert trial.model.heads["segmentsemantic"][-1].out_channels == 19
    assert {"segmentsemantic_mIoU", "class_Bangs_accuracy"} < set(parts.table.columns)
    again = evaluate_experiment("nineteen", 1, parts.runs, "celebA", out_dir=work)
    pd.testing.assert_frame_equal(again, parts.table, check_exact=True)
    folder = _predict(trial.folder, work)
    classes = json.loads((folder / "predictions.json").read_text())["tasks"]["segmentsemantic"]["classes"]
    assert classes == {str(label): name for label, name in enumerate(CELEBA_19_CLASSES)}
    assert len(pd.read_csv(folder / "attributes.csv")["class_Bangs_probability"]) == 1
    save_compact(compact(trial.model)[0], work / "small.safetensors", trial.config)
    small = load_predictor(work / "small.safetensors")
    assert len(small.config.tasks["segmentsemantic"].classes) == 19
    assert not predict_photos(small, work / "photo.png", work / "compact")
    np.testing.assert_array_equal(
        np.load(work / "compact" / "segmentsemantic" / "photo.npy"), np.load(folder / "segmentsemantic" / "photo.npy")
    )


def test_a_trial_that_was_saved_without_the_key_has_three_classes(trained_faces: Trained, work: Path) -> None:
    folder = work / "faces_trial_0"
    folder.mkdir()
    for path in (trained_faces.runs / "faces_trial_0").iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    saved = yaml.safe_load((folder / "config_file.yaml").read_text())
    assert saved.pop("celebA_classes") == 3
    del saved["data_dir_NYU_MTAN"]
    (folder / "config_file.yaml").write_text(yaml.safe_dump(saved))
    trial = load_trial(folder)
    assert trial.config.celebA_classes == 3
    assert trial.model.heads["segmentsemantic"][-1].out_channels == 3
