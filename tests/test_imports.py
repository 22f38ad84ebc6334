"""Imports go one way, down the house; no module imports itself in a circle.

optim, which is installed alone, imports nothing of ours.
"""

import ast
import functools
import graphlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from settings.registries import BACKBONES, WEIGHTINGS
from tasks.kinds import KINDS
from tasks.table import SEGMENTATION_LOSSES
from utils.places import load

ROOT = Path(__file__).parent.parent
HOUSE = """
    utils
    tasks    utils
    optim
    settings optim tasks utils
    figures  tasks utils
    models   optim settings tasks utils
    datasets settings tasks utils
    engine   models datasets optim settings figures tasks utils
    deploy   engine models datasets optim settings figures tasks utils
    study    deploy engine models datasets optim settings figures tasks utils
"""
"""Each package and what it may import beside itself."""
MAY_IMPORT = {package: {package, *below} for package, *below in map(str.split, HOUSE.strip().splitlines())}
MODULES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))
SCRIPTS = sorted(ROOT.glob("*.py"))


@functools.cache
def imported(path: Path) -> set[str]:
    """First names of all modules that a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level or path.is_relative_to(ROOT / "optim"), f"{path} has a relative import"
            if not node.level:
                names.add(str(node.module).split(".")[0])
        elif (
            path not in {ROOT / "utils" / "places.py", ROOT / "optim" / "later.py"}
            and isinstance(node, ast.Call)
            and ast.unparse(node.func) in {"__import__", "importlib.import_module"}
        ):
            pytest.fail(f"{path} imports by name")
    return names


def test_what_is_imported_by_its_place_lies_in_its_room() -> None:
    kinds = KINDS.values()
    rooms = {
        "models.": [entry.place for entry in BACKBONES.values()],
        "engine.": WEIGHTINGS.values(),
        "tasks.": [*SEGMENTATION_LOSSES.values(), *(kind.objective for kind in kinds)],
        "datasets.": [place for kind in kinds if kind.reader for place in (kind.reader, kind.codec)],
        "figures.": [kind.colours for kind in kinds if kind.colours],
    }
    for room, places in rooms.items():
        assert all(place.startswith(room) and load(place) for place in places)


def test_a_configuration_is_refused_without_torch(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("epohcs: 3\n")
    command = ["-X", "importtime", str(ROOT / "main_multi_trials.py"), "--config_exp", str(tmp_path / "wrong.yaml")]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "did you mean 'epochs'?" in done.stderr
    assert not re.search(r"\| +(torch|numpy|pandas|matplotlib)\b", done.stderr), "what takes seconds to import"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_package_imports_only_what_lies_below_it(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    ours = imported(path) & (set(MAY_IMPORT) | {script.stem for script in SCRIPTS} | {"tests", "benchmarks"})
    assert ours <= MAY_IMPORT[package]


def test_modules_do_not_import_each_other_in_circles() -> None:
    """Also where a type checker alone imports, and inside functions."""
    paths = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES}
    graph: dict[str, set[str]] = {}
    for name, path in paths.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        graph[name] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                start = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                graph[name] |= {module if (module := f"{start}.{alias.name}") in paths else start for alias in node.names}
    graphlib.TopologicalSorter(graph).prepare()


OPTIONAL = {
    "wandb": "engine/tracking.py",
    "torch.utils.tensorboard": "engine/tracking.py",
    "onnx": "deploy/onnx_export.py",
    "onnxscript": "deploy/onnx_export.py",
    "onnxruntime": "deploy/onnx_export.py",
    "ray": "study/launching/ray_tasks.py",
}
"""Modules of optional packages, each with the one module that may import it (benchmarks aside)."""


def of_others(nodes: Sequence[ast.AST]) -> set[str]:
    """Names of the modules that are imported among these nodes."""
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}


@functools.cache
def of_others_anywhere(path: Path) -> set[str]:
    """Names of the modules that a file imports, also inside functions."""
    return of_others(list(ast.walk(ast.parse(path.read_text(encoding="utf-8")))))


@pytest.mark.parametrize(("package", "place"), OPTIONAL.items())
def test_an_optional_package_is_imported_in_one_module_and_only_when_asked_for(package: str, place: str) -> None:
    assert [path for path in [*MODULES, *SCRIPTS] if package in of_others_anywhere(path)] == [ROOT / place]
    assert package not in of_others(ast.parse((ROOT / place).read_text(encoding="utf-8")).body)


def test_the_required_packages_are_those_that_are_imported() -> None:
    """An optional one is in a list of its own."""
    names = {"pillow": "PIL", "pyyaml": "yaml"}
    required = re.findall(r"^[\w-]+", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    optional = {package.split(".")[0] for package in OPTIONAL} - {"torch"}
    of_the_required = {"markupsafe", "pydantic_core", "triton"}
    ours = set(MAY_IMPORT) | {script.stem for script in SCRIPTS}
    theirs = set().union(*map(imported, [*MODULES, *SCRIPTS])) - set(sys.stdlib_module_names) - ours
    assert theirs - optional - of_the_required == {names.get(name, name) for name in required}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_is_imported_by_another_but_by_its_twin(path: Path) -> None:
    twins = {"get_out_put_celeb.py": {"get_outputs"}}
    assert imported(path) & {script.stem for script in SCRIPTS} == twins.get(path.name, set())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_loads_torch_only_when_it_works(path: Path) -> None:
    """Help and error messages come at once: at a script's top, heavy packages are not imported."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    top = {
        name.split(".")[0]
        for node in module.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)])
    }
    assert not top & {
        "torch",
        "torchvision",
        "study",
        "deploy",
        "engine",
        "models",
        "datasets",
        "optim",
        "pandas",
        "matplotlib",
    }


def test_every_package_is_here() -> None:
    assert len(SCRIPTS) >= 5
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(MAY_IMPORT)
