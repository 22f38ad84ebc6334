"""``pip install .`` installs the optimizer as lessismore; the code of docs/python.md runs with it, far from the checkout."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed library: built from a copy without an index and without dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    source.mkdir()
    shutil.copy(ROOT / "pyproject.toml", source)
    for name in ("optim", "docs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "figures"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder / "site"), "."], cwd=source, check=True, timeout=300)
    shutil.rmtree(source)
    return folder / "site"


def run(program: str, site: Path, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_loop_of_the_documentation_trains_and_goes_on(site: Path, tmp_path: Path) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.S))
    assert code.count("64") == 2, "images and labels"
    code = code.replace("64", "32")
    lines = run(code, site, tmp_path).splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == [f"epoch {i}" for i in range(1, 5)]
    assert "70.0 % of" in lines[-2]
    assert lines[-1].startswith("{'conv1'")
    # With an epoch more, it goes on where it stopped.
    lines = run(code.replace("epochs=4", "epochs=5"), site, tmp_path).splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == ["epoch 5"]


def test_what_is_installed_needs_torch_and_numpy_only_and_brings_its_kernels(site: Path, tmp_path: Path) -> None:
    program = """
import sys, pathlib, lessismore
from lessismore.kernels import native
assert native.SOURCE.is_file(), native.SOURCE
ours = {"optim", "utils", "engine", "models", "datasets", "pydantic", "rich", "pandas", "torchvision", "scipy", "matplotlib"}
print(sorted(ours & set(sys.modules)), pathlib.Path(lessismore.__file__).parent)
"""
    assert run(program, site, tmp_path).split() == ["[]", str(site / "lessismore")]
