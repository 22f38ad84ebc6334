"""The script for whoever has a GPU first, run on a CPU with tiny sizes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu_checks.sh"
# What torch.compile makes for a CPU says nothing about a GPU, and takes minutes.
TINY = {"DEVICE": "cpu", "BACKBONE": "resnetd18", "SIZE": "32", "BATCH": "2", "STEPS": "2", "EPOCHS": "3"}
TINY |= {"TORCHDYNAMO_DISABLE": "1"}


def checks(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments],
        env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.slow
def test_every_part_runs_and_is_written_down(tmp_path: Path) -> None:
    tests = "tests/optim/test_gpu_kernel.py::test_numbers_on_the_device_stay_there"
    run = checks(str(tmp_path), **TINY, TESTS=tests)
    rows = [line.split("\t") for line in (tmp_path / "results.tsv").read_text().splitlines()]
    logs = "\n".join((tmp_path / f"{name}.log").read_text()[-2000:] for name, code, *_ in rows if code != "0")
    assert run.returncode == 0, logs + run.stderr
    parts = ["tests", "prox_adam", *["train_step"] * 3, "compact", *["trainings"] * 5]
    assert [(name, code) for name, code, *_ in rows] == [(name, "0") for name in parts]
    figures = {name: json.loads(last) for name, _, _, last in rows if last.startswith("{")}
    assert {"dead_group_l0_target_ratio", "dead_l1_l2_target_ratio"} <= figures["prox_adam"].keys()
    assert figures["train_step"]["images_per_second"] > 0
    assert {"batch_1", "batch_2"} <= figures["compact"].keys()
    assert {path.name for path in tmp_path.glob("runs/checks_*.csv")} >= {"checks_dense.csv", "checks_sparse.csv"}


def test_a_part_that_has_no_time_is_said_to_have_failed(tmp_path: Path) -> None:
    """With a Python that does whatever it is asked to: what was started would count as done."""
    run = checks(str(tmp_path), **TINY, LIMIT="0", PYTHON="true")
    assert run.returncode == 1
    assert {line.split("\t")[1] for line in (tmp_path / "results.tsv").read_text().splitlines()} == {"no_time"}


def test_a_device_that_is_not_there_is_said_before_anything_runs(tmp_path: Path) -> None:
    run = checks(str(tmp_path), CUDA_VISIBLE_DEVICES="")
    assert run.returncode == 2
    assert "torch sees no CUDA device; DEVICE=cpu is a dry run" in run.stderr
    assert not (tmp_path / "results.tsv").exists()
