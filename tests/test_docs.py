"""The Python code in the documentation runs as it stands, page by page, and does what the page says."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

import tasks.table
from deploy.onnx_export import export_onnx
from deploy.prediction import Predictor, predict_photos
from engine.optimizer import build_optimizer
from engine.weighting import build_weighting
from models import MultiTaskModel, build_model, compact
from models.heads import ClassificationHead, DeepLabHead
from models.multi_task import Normalize
from models.resnetd import ResNetD
from settings.config import ExperimentConfig
from tests.configs import make_config
from tests.small import narrow_resnetd

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SIDE = 32
TASKS = ("segmentsemantic", "depth_euclidean", "surface_normal", "edge_texture", "class_smile")
"""One of each kind."""


def blocks(page: Path, language: str = "python") -> list[str]:
    """The code of a page, in its order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def small_network() -> tuple[MultiTaskModel, ExperimentConfig]:
    """A narrow network with a head of each kind of task, and zero groups."""
    config = make_config(backbone="resnetd18", depth_target="metric", normalize="imagenet", input_shape=SIDE)
    torch.manual_seed(0)
    with narrow_resnetd():
        backbone = ResNetD("resnetd18", 3, 16)
    width, heads = backbone.out_channels, {}
    for task in map(tasks.table.get_task, TASKS):
        dense = task.head == "dense"
        heads[task.name] = DeepLabHead(width, task.outputs("NYU"), 4, [1]) if dense else ClassificationHead(width)
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
    "compact.md": of_compaction,
}


ELSEWHERE = {
    "compact.md": "below",
    "python.md": "tests/optim/test_installed.py",
    **dict.fromkeys(
        ("add_a_backbone.md", "add_a_loss_weighting.md", "add_a_penalty.md", "add_a_task.md"), "tests/engine/test_extensions.py"
    ),
}
"""Where the code of these pages runs."""


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
    """Of a photo at the network's input size, for one task of each kind."""
    monkeypatch.chdir(tmp_path)
    page = run_page("compact.md", tmp_path)
    predictions = page["predictions"]
    predictor = Predictor(Path("trial"), page["narrow"], page["config"], torch.device("cpu"), TASKS)
    assert predict_photos(predictor, Path("photo.jpg"), Path("out")) == []
    stored = {name: np.load(f"out/{name}/photo.npy") for name in TASKS[:4]}
    labels = predictions["segmentsemantic"][0]
    assert labels.min() >= 1
    assert (labels == stored["segmentsemantic"]).mean() > 0.999
    np.testing.assert_allclose(predictions["depth_euclidean"][0, 0], stored["depth_euclidean"], rtol=1e-4)
    np.testing.assert_allclose(predictions["surface_normal"][0].transpose(1, 2, 0), stored["surface_normal"], atol=1e-4)
    np.testing.assert_allclose(predictions["edge_texture"][0, 0], stored["edge_texture"], rtol=1e-4)
    table = Path("out/attributes.csv").read_text(encoding="utf-8").split()
    probability = float(table[1].split(",")[1])
    assert predictions["class_smile"][0] == pytest.approx(probability, abs=1e-5)
    session = onnxruntime.InferenceSession("compact.onnx")
    wrong = session.run(["depth_euclidean"], {"images": 255 * page["images"]})[0]
    right = session.run(["depth_euclidean"], {"images": page["images"]})[0]
    assert abs(wrong - right).max() > 0.1 * abs(right).max(), "0..255 is another image"


def test_every_place_that_knows_the_kinds_is_on_the_page() -> None:
    text = (ROOT / "docs" / "add_a_task.md").read_text(encoding="utf-8")
    layers = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"]
    modules = [path for layer in layers for path in layer.rglob("*.py")]

    def names_a_kind(path: Path) -> bool:
        constants = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant))
        return any(node.value == "edges" for node in constants)  # the only kind whose name is no folder's

    found = [str(path.relative_to(ROOT)) for path in modules if names_a_kind(path)]
    assert len(found) >= 8
    assert not [name for name in found if name not in text]
