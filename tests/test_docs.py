"""The Python code in the documentation runs as it stands, page by page, and does what the page says."""

import ast
import csv
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from PIL import Image

import tasks.data_sets
from datasets import loaders
from deploy.onnx_export import export_onnx
from deploy.prediction import Predictor, predict_photos
from deploy.sparsity_plot import figure_title
from engine.experiment import run_experiment
from engine.optimizer import build_optimizer
from engine.saved_trial import load_trial
from engine.weighting import build_weighting
from models import MultiTaskModel, build_model, compact
from models.heads import ClassificationHead, DeepLabHead
from models.multi_task import Normalize
from models.resnetd import ResNetD
from settings.config import ExperimentConfig
from tests.configs import make_config
from tests.small import narrow_resnetd
from tests.test_scripts import succeeded
from tests.undrawn import undrawn_runs
from utils.errors import ConfigError

__all__ = ["undrawn_runs"]

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SIDE = 32
TASKS: dict[str, dict[str, Any]] = {
    "walls": {"kind": "segmentation", "folder": "a", "classes": {number: f"class {number}" for number in (3, 7, 9, 20)}},
    "relief": {"kind": "depth", "folder": "b"},
    "normals": {"kind": "normals", "folder": "c"},
    "outline": {"kind": "edges", "folder": "d"},
    "height": {"kind": "regression", "folder": "e", "mean": 30.0, "std": 5.0},
    "smiles": {"kind": "attribute", "file": "f", "column": "g"},
    "health": {"kind": "classification", "file": "f", "column": "h", "classes": ["good", "poor", "dead"]},
}
"""One of each kind."""
DENSE = list(TASKS)[:5]


def blocks(page: Path, language: str = "python") -> list[str]:
    """The code of a page, in its order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def small_network() -> tuple[MultiTaskModel, ExperimentConfig]:
    """A narrow network with a head of each kind of task, and zero groups."""
    own = {"dataset_name": "folders", "data_dir": "nowhere", "data_dir_NYU": None, "split_fractions": {}}
    size = {"backbone": "resnetd18", "depth_target": "metric", "normalize": "imagenet", "input_shape": SIDE}
    config = make_config(**own, **size, tasks=TASKS, task_list=list(TASKS))
    torch.manual_seed(0)
    with narrow_resnetd():
        backbone = ResNetD("resnetd18", 3, 16)
    width, heads = backbone.out_channels, {}
    for name, task in config.tasks.items():
        heads[name] = DeepLabHead(width, task.outputs, 4, [1]) if task.is_dense else ClassificationHead(width, task.outputs)
    model = MultiTaskModel(backbone, heads, Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))).eval()
    with torch.no_grad():
        model.backbone.get_submodule("layer3.0.conv1").weight[:, ::2] = 0
    return model, config


def of_compaction(work: Path) -> dict[str, Any]:
    """A model with its configuration and optimizer; a photo and the exported file in the folder."""
    model, config = small_network()
    export_onnx(compact(model, free_selects=False, image_size=config.size)[0], work / "compact.onnx", config)
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    Image.fromarray(pixels).save(work / "photo.jpg", quality=95)
    usual = build_model(config)  # what load_compact rebuilds from the configuration
    weighting = build_weighting(config)
    old = build_optimizer(usual, weighting, config)
    return {"model": usual, "config": config, "weighting": weighting, "old": old, "narrow": model}


STAND_INS: dict[str, Callable[[Path], dict[str, Any]]] = {
    # What the code is put into: the module that the page says.
    "add_a_dataset.md": lambda work: dict(vars(tasks.data_sets)),
    "compact.md": of_compaction,
}


ELSEWHERE = {
    "add_a_column.md": "tests/study/test_columns.py",
    "compact.md": "below",
    "python.md": "tests/optim/test_installed.py",
    **dict.fromkeys(
        ("add_a_backbone.md", "add_a_loss_weighting.md", "add_a_penalty.md", "add_a_task.md"), "tests/engine/test_extensions.py"
    ),
}
"""Place where the code of each of these pages runs."""


def run_page(name: str, work: Path) -> dict[str, Any]:
    """Execute the blocks of a page, in one namespace; returns it."""
    page = next(page for page in PAGES if page.name == name)
    namespace: dict[str, Any] = {"__name__": page.stem, **STAND_INS.get(name, lambda work: {})(work)}
    for number, code in enumerate(blocks(page), 1):
        exec(compile(code, f"{name}, block {number}", "exec"), namespace)  # our own documentation
    return namespace


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page) and page.name not in ELSEWHERE], ids=lambda page: page.name
)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(page.name, tmp_path)


def test_pages_have_no_code_that_no_test_runs() -> None:
    """A block of another language is none of Python under another name."""
    fences = {match for page in PAGES for match in re.findall(r"^```(\w*)$", page.read_text(encoding="utf-8"), re.MULTILINE)}
    assert fences <= {"", "python", "yaml", "text"}
    assert {page.name for page in PAGES if blocks(page)} == set(STAND_INS) | set(ELSEWHERE)


def test_the_script_for_the_onnx_file_says_what_predict_py_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both predict a photo at the network's input size, for one task of each kind."""
    monkeypatch.chdir(tmp_path)
    page = run_page("compact.md", tmp_path)
    predictions = page["predictions"]
    predictor = Predictor(Path("trial"), page["narrow"], page["config"], torch.device("cpu"), tuple(TASKS))
    assert predict_photos(predictor, Path("photo.jpg"), Path("out")) == []
    stored = {name: np.load(f"out/{name}/photo.npy") for name in DENSE}
    labels = predictions["walls"][0]
    assert set(np.unique(labels)) <= {3, 7, 9, 20}
    assert (labels == stored["walls"]).mean() > 0.999
    np.testing.assert_allclose(predictions["normals"][0].transpose(1, 2, 0), stored["normals"], atol=1e-4)
    for name in ("relief", "outline", "height"):
        np.testing.assert_allclose(predictions[name][0, 0], stored[name], rtol=1e-4)
    row = next(csv.DictReader(Path("out/attributes.csv").read_text(encoding="utf-8").splitlines()))
    assert predictions["smiles"][0] == pytest.approx(float(row["smiles_probability"]), abs=1e-5)
    assert ["good", "poor", "dead"][predictions["health"][0]] == row["health"]
    session = onnxruntime.InferenceSession("compact.onnx")
    wrong = session.run(["normals"], {"images": 255 * page["images"]})[0]
    right = session.run(["normals"], {"images": page["images"]})[0]
    assert abs(wrong - right).max() > 0.1 * abs(right).max(), "0..255 is another image"


def write_flats(root: Path) -> None:
    """Write four frames per split in the layout NYUD_MT, whose labels count from 1."""
    for folder in ("images", "gt_sets", "segmentation", "depth"):
        (root / folder).mkdir(parents=True)
    for split in ("train", "val", "test"):
        (root / "gt_sets" / f"{split}.txt").write_text("".join(f"{split}{number}\n" for number in range(4)))
        for number in range(4):
            image, labels, depth = drawn_frame(number)
            Image.fromarray(image).save(root / "images" / f"{split}{number}.png")
            Image.fromarray(labels + np.uint8(1)).save(root / "segmentation" / f"{split}{number}.png")
            np.save(root / "depth" / f"{split}{number}.npy", depth)


def write_toys(root: Path) -> None:
    """Write four frames per split, in a folder per split."""
    for split in ("train", "val", "test"):
        (root / split).mkdir(parents=True)
        for number in range(4):
            image, labels, depth = drawn_frame(number)
            Image.fromarray(image).save(root / split / f"{number}.png")
            np.save(root / split / f"{number}_labels.npy", labels)
            np.save(root / split / f"{number}_depth.npy", depth)


def drawn_frame(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an image, labels from 0 to 2, and depth of 1 to 2 m."""
    rng = np.random.default_rng(seed)
    shape = (SIDE, SIDE)
    return rng.integers(0, 256, (*shape, 3), np.uint8), rng.integers(0, 3, shape, np.uint8), rng.uniform(1, 2, shape)


@pytest.mark.parametrize(("name", "write"), [("flats", write_flats), ("toys", write_toys)])
def test_a_data_set_of_the_page_trains(
    name: str, write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in no file but its entry and, in a new layout, its reader."""
    entries, module = {}, {}
    flats, reader, toys = blocks(ROOT / "docs" / "add_a_dataset.md")
    for code in (flats, toys):
        data_set = eval(code, dict(vars(tasks.data_sets)))  # our own documentation
        entries[data_set.name] = data_set
    exec(reader, module)  # our own documentation
    write(tmp_path / "data")
    values = {"dataset_name": name, "data_dir": tmp_path / "data", "task_list": ["segmentsemantic", "depth_euclidean"]}
    with pytest.raises(ConfigError, match=f"dataset_name: '{name}' is not valid"):
        make_config(**values)
    monkeypatch.setitem(tasks.data_sets.DATA_SETS, name, entries[name])
    monkeypatch.setitem(loaders.READERS, "split_folders", module["FolderDataset"])
    config = make_config(**values, backbone="resnetd18", epochs=1, checkpoint_folder=tmp_path / "runs", cache=True)
    with narrow_resnetd():
        (row,) = run_experiment(config, out_dir=tmp_path / "out").to_dict("records")
        saved = load_trial(config.trial_folder(0))
    assert saved.model.heads["segmentsemantic"](torch.zeros(1, saved.model.backbone.out_channels, 4, 4)).shape[1] == 3
    assert 0 < row["segmentsemantic_mIoU"] < 1 and row["depth_euclidean_abs_err"] > 0
    assert figure_title(saved).startswith(f"{entries[name].title}: Semantic segmentation, Depth")


OWN_DATA = ROOT / "docs" / "your_data.md"


def test_the_page_of_own_data_shows_the_shipped_file() -> None:
    (page,), shipped = blocks(OWN_DATA, "yaml"), (ROOT / "config" / "fields.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(page).items() <= yaml.safe_load(shipped).items()


@pytest.mark.slow
def test_the_ten_minutes_of_own_data_end_with_predictions(tmp_path: Path) -> None:
    """The page's commands, with fewer epochs."""
    section = OWN_DATA.read_text(encoding="utf-8").split("## Ten minutes")[1].split("##")[0]
    commands = re.findall(r"^    python (\S+) (.*)$", section, re.MULTILINE)
    assert [script for script, _ in commands] == [*["prepare_data.py"] * 3, "main_multi_trials.py", "predict.py"]
    for script, rest in commands:
        shorter = ["epochs=2"] if script == "main_multi_trials.py" else []
        succeeded(tmp_path, script, *shlex.split(rest), *shorter)
    assert (tmp_path / "fields_predictions" / "attributes.csv").is_file()
    assert len(list((tmp_path / "fields_predictions" / "overview").iterdir())) == 10


def test_every_place_that_knows_the_kinds_is_on_the_page() -> None:
    text = (ROOT / "docs" / "add_a_task.md").read_text(encoding="utf-8")
    layers = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"]
    modules = [path for layer in layers for path in layer.rglob("*.py")]

    def names_a_kind(path: Path) -> bool:
        source = path.read_text(encoding="utf-8")
        nodes = ast.walk(ast.parse(source)) if "edges" in source else ()
        # the only kind whose name is no folder's
        return any(isinstance(node, ast.Constant) and node.value == "edges" for node in nodes)

    names = [str(path.relative_to(ROOT)) for path in modules if names_a_kind(path)]
    assert len(names) >= 3
    assert not [name for name in names if name not in text]
