"""What ``make`` would do: the size is said before anything is installed, and a user's options reach pip."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def commands(*arguments: str) -> list[str]:
    """Return the command lines of ``make``, none of which is run."""
    line = ["make", "--dry-run", "--always-make", *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_size_is_said_before_anything_is_installed(tmp_path: Path) -> None:
    lines = commands("setup", f"VENV={tmp_path}/venv")
    size = r"echo .*about \d+ GB .*, about [\d.]+ GB with a CPU"
    said = next(number for number, line in enumerate(lines) if re.search(size, line))
    assert [number for number, line in enumerate(lines) if "pip install" in line] == [said + 2]


def test_options_for_torch_reach_pip_and_torch_alone(tmp_path: Path) -> None:
    lines = commands("setup", f"VENV={tmp_path}/venv", "TORCH_PIP_ARGS=--index-url https://cpu.invalid")
    torch, others = (line for line in lines if "pip install" in line)
    assert re.search(r" --index-url https://cpu\.invalid 'torch>=\S+' 'torchvision>=\S+'$", torch)
    assert others.endswith(" -r requirements.txt")
