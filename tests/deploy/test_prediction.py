"""Predictions for photos: an evaluation's own logits, at the photo's size, in files that are whole or not there."""

import copy
import errno
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from datasets import Loaders, build_dataset
from datasets.images import read_photo
from datasets.synthetic.rooms import write_rooms
from datasets.targets import read_target
from deploy import prediction
from deploy.prediction import Predictor, coloured, largest_class, load_predictor, predict_at, predict_photos
from engine import load_trial
from engine.saved_trial import evaluate_trial
from figures.colours import colourise, value_limits
from models import compact, save_compact
from tasks.kinds import KINDS
from tasks.objectives import predict
from tasks.table import get_task
from tests.configs import CELEBA_TASKS, NYU_TASKS
from tests.figures.frames import DENSE, random_frames
from tests.small import listing
from tests.trained import Trained
from utils.errors import ConfigError, DataError, TrialError

SIZES = {"wide": (50, 80), "tall": (70, 40)}
"""Height and width of the photos."""


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    """A predictor of three dense tasks."""
    return load_predictor(trained.runs / "sparse__trial_0")


@pytest.fixture(scope="module")
def face_predictor(trained_faces: Trained) -> Predictor:
    """A predictor of a segmentation and two attributes."""
    return load_predictor(trained_faces.runs / "faces_trial_0")


@pytest.fixture
def photos(work: Path) -> Path:
    """A folder with a wide and a tall photo."""
    folder = work / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, size in SIZES.items():
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / f"{name}.png")
    return folder


def written(folder: Path) -> set[str]:
    """All files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def files(names: tuple[str, ...] = ("tall", "wide"), tasks: tuple[str, ...] = NYU_TASKS) -> set[str]:
    """Names of the files that are written for photos without attributes."""
    dense = {f"{task}/{name}.{kind}" for task in tasks for name in names for kind in ("npy", "png")}
    return {"predictions.json", *dense, *(f"overview/{name}.png" for name in names)}


@pytest.mark.parametrize(("size", "precision"), [((32, 32), "bf16"), ((48, 40), "fp32")])
def test_logits_are_the_evaluations_own(trained: Trained, work: Path, size: tuple[int, int], precision: str) -> None:
    """To the bit, at the batch size of a photo; the frames have the input's size, or another."""
    write_rooms(work, {"train": 2, "val": 2, "test": 1}, size)
    trial = load_trial(trained.runs / "sparse__trial_0")
    values = {"data_dir_NYU": str(work), "val_batch_size": 1, "precision": precision}
    evaluated: list[dict[str, torch.Tensor]] = []
    trial.model.register_forward_hook(lambda module, inputs, logits: evaluated.append(logits))
    config = trial.config.with_values(**values)
    evaluate_trial(replace(trial, config=config), Loaders(config), "val", torch.device("cpu"))
    predictor = load_predictor(trial.folder, precision=precision)
    names = build_dataset(config, "val").names
    assert len(evaluated) == len(names) == 2
    for name, logits in zip(names, evaluated, strict=True):
        own = predictor.logits(read_photo(work / "images" / f"{name}.jpg"))
        assert list(own) == list(NYU_TASKS)
        assert all(torch.equal(own[task], logits[task].float()) for task in NYU_TASKS)


def test_at_the_input_size_the_files_hold_the_predictions_that_metrics_use(
    predictor: Predictor, rooms: Path, work: Path
) -> None:
    """Read by the data set's own readers, as if they were targets."""
    frame = build_dataset(predictor.config, "test").names[0]
    predict_photos(predictor, rooms / "images" / f"{frame}.jpg", work / "out")
    logits = predictor.logits(read_photo(rooms / "images" / f"{frame}.jpg"))
    for name in NYU_TASKS:
        task = get_task(name)
        values, mask = map(torch.from_numpy, read_target(task, work / "out" / name / f"{frame}.npy"))
        expected = predict(task, logits[name], predictor.config.depth_target)
        assert bool(mask.all())
        if task.kind == "segmentation":
            assert torch.equal(values.long(), expected)
        else:
            torch.testing.assert_close(values, expected[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(31, 50), (5, 4)])
def test_the_largest_class_is_that_of_the_enlarged_logits(size: tuple[int, int]) -> None:
    logits = torch.randn(1, 40, 9, 12, generator=torch.Generator().manual_seed(0))
    logits = logits.contiguous(memory_format=torch.channels_last)
    enlarged = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    labels = largest_class(logits[0], size)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels.long(), enlarged.argmax(1)[0])


def test_logits_are_enlarged_before_the_activation() -> None:
    logits = 20 * torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    size = (11, 9)
    enlarged = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    depth = predict_at(get_task("depth_euclidean"), logits[:, :1], size, "metric")
    np.testing.assert_allclose(depth, 10 * enlarged[0, :1].sigmoid().numpy(), rtol=1e-6)
    normals = predict_at(get_task("surface_normal"), logits, size, "relative")
    np.testing.assert_allclose(normals, F.normalize(enlarged.tanh(), dim=1)[0].numpy(), atol=1e-6)


def test_files_have_the_type_the_size_and_the_units_that_the_readme_says(
    predictor: Predictor, photos: Path, work: Path
) -> None:
    assert predict_photos(predictor, photos, work / "out") == []
    assert written(work / "out") == files()
    for name, (height, width) in SIZES.items():
        labels, depth, normals = (np.load(work / "out" / task / f"{name}.npy", allow_pickle=False) for task in NYU_TASKS)
        assert (labels.dtype, labels.shape) == (np.uint8, (height, width))
        assert labels.min() >= 1 and labels.max() <= 40
        assert (depth.dtype, depth.shape) == (np.float32, (height, width))
        assert depth.min() >= 0 and depth.max() <= 1
        assert (normals.dtype, normals.shape) == (np.float32, (height, width, 3))
        np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-5)
        for task in NYU_TASKS:
            with Image.open(work / "out" / task / f"{name}.png") as picture:
                assert (picture.size, picture.mode) == ((width, height), "RGB")
        with Image.open(work / "out" / "overview" / f"{name}.png") as picture:
            assert picture.width > 1000
    manifest = json.loads((work / "out" / "predictions.json").read_text())
    assert manifest["photos"] == {name: str(photos / f"{name}.png") for name in ("tall", "wide")}
    assert manifest["tasks"]["segmentsemantic"]["classes"]["1"] == "wall"
    assert manifest["tasks"]["depth_euclidean"] == {"values": "parts of the photo's largest depth"}


@pytest.mark.parametrize("name", DENSE)
def test_a_picture_has_the_projects_colours_however_it_is_cut(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "BAND", 50)
    task, frame = get_task(name), random_frames(np.random.default_rng(0), 1)[name][0]
    limits = value_limits(task, frame, None) if KINDS[task.kind].is_scalar else None
    whole = colourise(task, frame, None, limits)
    np.testing.assert_allclose(np.asarray(coloured(task, frame)) / 255, whole, atol=0.5 / 255 + 1e-9)


def test_attributes_are_one_table(face_predictor: Predictor, photos: Path, work: Path) -> None:
    predict_photos(face_predictor, photos, work / "out")
    assert written(work / "out") == files(tasks=CELEBA_TASKS[:1]) | {"attributes.csv"}
    table = pd.read_csv(work / "out" / "attributes.csv")
    assert list(table.columns) == ["photo", "class_male_probability", "class_male", "class_smile_probability", "class_smile"]
    assert list(table["photo"]) == ["tall.png", "wide.png"]
    logits = face_predictor.logits(read_photo(photos / "tall.png"))
    for task in CELEBA_TASKS[1:]:
        probability = float(logits[task].sigmoid())
        assert table[f"{task}_probability"][0] == pytest.approx(probability, abs=1e-6)
        assert table[task][0] == ("yes" if probability > 0.5 else "no")
    labels = np.load(work / "out" / "segmentsemantic" / "tall.npy")
    assert labels.max() <= 2, "CelebA's own numbering"
    expected = predict_at(get_task("segmentsemantic"), logits["segmentsemantic"], SIZES["tall"], "relative")
    np.testing.assert_array_equal(labels, expected)


def test_only_the_tasks_that_are_asked_for(trained: Trained, photos: Path, work: Path) -> None:
    folder = trained.runs / "sparse__trial_0"
    predictor = load_predictor(folder, ["surface_normal", "depth_euclidean", "surface_normal"])
    assert predictor.tasks == NYU_TASKS[1:], "in the network's order, each once"
    predict_photos(predictor, photos, work / "out")
    assert written(work / "out") == files(tasks=NYU_TASKS[1:])
    with pytest.raises(ConfigError, match=r"'surface_normals' is no task of .*; did you mean 'surface_normal'\?"):
        load_predictor(folder, ["surface_normals"])


def test_photos_of_one_stem_do_not_overwrite_each_other(predictor: Predictor, photos: Path, work: Path) -> None:
    with Image.open(photos / "tall.png") as photo:
        photo.save(photos / "wide.jpg")
    predict_photos(predictor, photos, work / "out")
    assert written(work / "out") == files(("tall", "wide.jpg", "wide.png"))
    assert np.load(work / "out" / "depth_euclidean" / "wide.jpg.npy").shape == SIZES["tall"]
    assert np.load(work / "out" / "depth_euclidean" / "wide.png.npy").shape == SIZES["wide"]


def test_an_unreadable_photo_is_reported_and_the_others_are_done(
    predictor: Predictor, photos: Path, work: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (photos / "broken.jpg").write_bytes(b"no photo")
    assert predict_photos(predictor, photos, work / "out") == [photos / "broken.jpg"]
    assert written(work / "out") == files()
    assert "broken.jpg cannot be read as an image" in caplog.text
    assert "1 photos were left out: broken.jpg" in caplog.text
    manifest = json.loads((work / "out" / "predictions.json").read_text())
    assert "broken.jpg cannot be read as an image" in manifest["failed"]["broken"]


def test_predictions_are_replaced_only_when_asked_to(predictor: Predictor, photos: Path, work: Path) -> None:
    """Those of a photo that is gone go too; what is somebody else's stays."""
    out = work / "out"
    predict_photos(predictor, photos, out)
    (out / "depth_euclidean" / "mine.npy").touch()
    (photos / "tall.png").rename(photos / "other.png")
    before = listing(out)
    with pytest.raises(TrialError, match=r"holds predictions already .*--overwrite"):
        predict_photos(predictor, photos, out)
    with pytest.raises(DataError, match="there is no photo in it"):
        predict_photos(predictor, work, out, overwrite=True)
    assert listing(out) == before
    predict_photos(predictor, photos, out, overwrite=True)
    assert written(out) == files(("other", "wide")) | {"depth_euclidean/mine.npy"}


def test_a_file_of_somebody_else_in_the_way_is_not_replaced_unasked(predictor: Predictor, photos: Path, work: Path) -> None:
    (work / "out" / "overview").mkdir(parents=True)
    (work / "out" / "overview" / "wide.png").write_text("mine")
    with pytest.raises(TrialError, match=r"such as .*wide.png"):
        predict_photos(predictor, photos, work / "out")
    assert written(work / "out") == {"overview/wide.png"}


@pytest.mark.parametrize(
    "manifest",
    [
        {"folders": [], "photos": {"../../precious": "a.jpg"}},
        {"folders": [".."], "photos": {"precious": "a.jpg"}},
        {"folders": ["mine/.."], "photos": {"precious": "a.jpg"}},
        {"folders": ["depth_euclidean"], "photos": {"": "a.jpg", "a\0": "b.jpg"}},
        {"folders": {"depth_euclidean": 1}, "photos": {}},
        {"photos": {"precious": "a.jpg"}},
        {},
    ],
)
def test_a_list_of_predictions_that_this_project_did_not_write_is_refused(
    predictor: Predictor, photos: Path, work: Path, manifest: dict[str, Any]
) -> None:
    """Nothing is removed, beside the folder or in it."""
    (work / "out" / "mine").mkdir(parents=True)
    for folder in (work.parent, work, work / "out", work / "out" / "mine"):
        assert not (folder / "precious.png").exists()
    for folder in (work, work / "out", work / "out" / "mine"):
        (folder / "precious.png").write_text("mine")
    (work / "out" / "predictions.json").write_text(json.dumps(manifest))
    before = listing(work)
    with pytest.raises(TrialError, match="was not written by this project"):
        predict_photos(predictor, photos, work / "out", overwrite=True)
    assert listing(work) == before


@pytest.mark.parametrize("place", ["overview", "depth_euclidean/wide.npy"])
@pytest.mark.parametrize("planted", ["link", "folder or file"])
def test_what_is_no_prediction_is_neither_followed_nor_replaced(
    predictor: Predictor, photos: Path, work: Path, place: str, planted: str
) -> None:
    out, elsewhere = work / "out", work / "elsewhere"
    moved = out / place
    moved.parent.mkdir(parents=True)
    elsewhere.mkdir()
    for name in ("wide.npy", "wide.png", "tall.png"):
        (elsewhere / name).write_text("mine")
    manifest = {"folders": ["depth_euclidean"], "photos": {"wide": "wide.png", "tall": "tall.png"}}
    (out / "predictions.json").write_text(json.dumps(manifest))
    if planted == "link":
        moved.symlink_to(elsewhere / moved.name if moved.suffix else elsewhere)
    elif moved.suffix:
        moved.mkdir()
    else:
        moved.write_text("mine")
    before = listing(work)
    with pytest.raises(TrialError, match=f"{place} is no (file|folder) of predictions; move it away"):
        predict_photos(predictor, photos, out, overwrite=True)
    assert listing(work) == before


STRANGE = [b"caf\xe9.png", b"a" * 251 + b".png", "é".encode() * 125 + b".png", b"new\nline.png", b"$a_{$.png", b"=1+1.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_photos_with_strange_names_are_predicted_like_others(face_predictor: Predictor, photos: Path, work: Path) -> None:
    for name in STRANGE:
        Path(os.fsdecode(os.path.join(os.fsencode(photos), name))).write_bytes((photos / "tall.png").read_bytes())
    out = work / "out"
    assert predict_photos(face_predictor, photos, out) == []
    manifest = json.loads((out / "predictions.json").read_bytes().decode("utf-8"))
    assert len(manifest["photos"]) == len(STRANGE) + 2
    json.dumps(manifest, ensure_ascii=False).encode("utf-8")
    assert written(out) == files(tuple(manifest["photos"]), CELEBA_TASKS[:1]) | {"attributes.csv"}
    shown = list(pd.read_csv(out / "attributes.csv")["photo"])
    assert len(shown) == len(STRANGE) + 2
    assert {"tall.png", "caf\\udce9.png", "'=1+1.png", "$a_{$.png"} <= set(shown)


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("np.save", OSError(errno.ENAMETOOLONG, "too long")),
        ("Figure.savefig", MemoryError()),
        ("np.save", DataError("a photo")),
    ],
)
def test_a_photo_that_fails_does_not_end_the_others(
    predictor: Predictor, photos: Path, work: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    """Whatever it is about, and however far the photo had come; half of its files are not left."""
    owner = prediction.np if step == "np.save" else prediction.Figure
    original, calls = getattr(owner, step.split(".")[1]), []

    def fail_once(*args: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise error
        original(*args, **options)

    monkeypatch.setattr(owner, step.split(".")[1], fail_once)
    assert predict_photos(predictor, photos, work / "out") == [photos / "tall.png"]
    assert written(work / "out") == files(("wide",))
    assert list(json.loads((work / "out" / "predictions.json").read_text())["failed"]) == ["tall"]


def test_a_prediction_that_is_not_finite_is_none(predictor: Predictor, photos: Path, work: Path) -> None:
    """Class 0 and depth 0 would look like values."""
    model = copy.deepcopy(predictor.model)
    with torch.no_grad():
        model.heads["depth_euclidean"][-1].bias.fill_(torch.nan)
    broken = replace(predictor, model=model)
    assert predict_photos(broken, photos, work / "out") == [photos / "tall.png", photos / "wide.png"]
    assert written(work / "out") == {"predictions.json"}
    reasons = json.loads((work / "out" / "predictions.json").read_text())["failed"]
    assert "what the network says of depth_euclidean is not finite" in reasons["tall"]


def test_an_interruption_leaves_whole_files_and_their_table(
    face_predictor: Predictor, photos: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path) -> Image.Image:
        if path.name == "wide.png":
            raise KeyboardInterrupt
        return read_photo(path)

    monkeypatch.setattr(prediction, "read_photo", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict_photos(face_predictor, photos, work / "out")
    assert written(work / "out") == files(("tall",), CELEBA_TASKS[:1]) | {"attributes.csv"}
    assert list(pd.read_csv(work / "out" / "attributes.csv")["photo"]) == ["tall.png"]


def test_a_file_is_never_half_written(predictor: Predictor, photos: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(file: object, array: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(prediction.np, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        predict_photos(predictor, photos, work / "out")
    assert written(work / "out") == {"predictions.json"}


def test_a_network_that_is_not_there_is_refused(trained: Trained, work: Path) -> None:
    with pytest.raises(TrialError, match=r"--model .*nowhere.*no trial of that name"):
        load_predictor(work / "nowhere")
    with pytest.raises(TrialError, match=r"--model .*nowhere\.safetensors: there is no such compact model"):
        load_predictor(work / "nowhere.safetensors")
    with pytest.raises(TrialError, match=r"--model .*test\.json: is no trial; expected its folder, its checkpoint\.pt"):
        load_predictor(trained.runs / "sparse__trial_0" / "test.json")
    with pytest.raises(TrialError, match=r"holds no config_file.yaml"):
        load_predictor(work)


def test_a_compact_model_predicts_the_same(trained: Trained, photos: Path, work: Path) -> None:
    trial = load_trial(trained.runs / "sparse__trial_0")
    compacted, _ = compact(trial.model)
    save_compact(compacted, work / "compact.safetensors", trial.config)
    predict_photos(load_predictor(trial.folder), photos, work / "dense")
    predict_photos(load_predictor(work / "compact.safetensors"), photos, work / "small")
    assert written(work / "dense") == written(work / "small")
    for task in NYU_TASKS[1:]:
        dense, small = (np.load(work / folder / task / "wide.npy") for folder in ("dense", "small"))
        np.testing.assert_allclose(dense, small, atol=1e-4)
    dense, small = (np.load(work / folder / "segmentsemantic" / "wide.npy") for folder in ("dense", "small"))
    assert (dense == small).mean() > 0.99
