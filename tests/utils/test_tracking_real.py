"""The real wandb, without a network: killed, stopped, refused. Each in a process of its own, which has to end as it should."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, logging, os, signal, sys, time
from pathlib import Path
from tests.configs import make_config
from utils import background_tracker, tracking

def service():
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    others = [path.read_text() for path in Path(f"/proc/{os.getpid()}/task").glob("*/children")]
    for child in " ".join([children.read_text(), *others]).split():
        if Path(f"/proc/{child}/comm").read_text().startswith("wandb"):
            return int(child)

folder, mode, then, trials = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
logging.basicConfig(level=logging.WARNING, format="%(message)s")
tracking.INIT_SECONDS, background_tracker.FINISH_SECONDS = 1.0, 4.0
hit, slowest = [], 0.0
for trial in range(trials):
    tracker = tracking.make_tracker(make_config(tracking=mode), f"small_trial_{trial}", folder)
    tracker.log({"epoch": 0, "loss": 1.0})
    if then != "go on" and trial == 0:
        while not list(folder.glob("wandb/*run-*/run-*.wandb")):
            time.sleep(0.05)
        hit.append(service())
        os.kill(hit[0], getattr(signal, then))
    for epoch in range(1, 20):
        begun = time.perf_counter()
        tracker.log({"epoch": epoch, "loss": 0.5})
        slowest = max(slowest, time.perf_counter() - begun)
    begun = time.perf_counter()
    tracker.finish({"mIoU": 0.25})
    print(json.dumps({"slowest": slowest, "finish": time.perf_counter() - begun, "service": hit}), flush=True)
sys.exit(3)
"""


def run(folder: Path, mode: str, then: str = "go on", trials: int = 1, **environment: str) -> tuple[list[dict], str]:
    """The program's lines and what it said on stderr; it ends by itself, with its own exit code and no traceback."""
    (folder / "home").mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    clean |= {"HOME": str(folder / "home"), "WANDB_CACHE_DIR": str(folder / "cache"), **environment}
    with (folder / "out").open("w+") as out, (folder / "err").open("w+") as err:  # files: a service may outlive the program
        command = [sys.executable, "-c", PROGRAM, str(folder), mode, then, str(trials)]
        done = subprocess.run(command, cwd=ROOT, env=clean, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=60)
        out.seek(0)
        err.seek(0)
        lines, said = [json.loads(line) for line in out], err.read()
    if then == "SIGSTOP":
        os.kill(lines[0]["service"][0], 9)
    assert done.returncode == 3, said
    assert "Traceback" not in said
    assert all(line["slowest"] < 0.05 for line in lines), "log waited for wandb"
    return lines, said


def files(folder: Path) -> list[bytes]:
    """What wandb wrote of the offline runs, in any order."""
    return [path.read_bytes() for path in folder.glob("wandb/offline-run-*/run-*.wandb")]


def is_whole(folder: Path, trial: int) -> bool:
    """True if one of them is a trial's, from its name to its final values."""
    return any(f"small_trial_{trial}".encode() in text and b"mIoU" in text for text in files(folder))


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the service in /proc")


@needs_proc
def test_a_service_that_dies_is_one_warning_and_the_next_trial_is_tracked_again(tmp_path: Path) -> None:
    lines, said = run(tmp_path, "offline", "SIGKILL", trials=2)
    assert said.count("\n") == said.count("tracking: wandb failed") == 1, said
    assert lines[0]["finish"] < 2
    assert is_whole(tmp_path, trial=1)


def test_without_a_network_the_run_is_written_offline(tmp_path: Path) -> None:
    lines, said = run(tmp_path, "online", WANDB_API_KEY="x" * 40, WANDB_BASE_URL="http://127.0.0.1:9")
    assert said.count("\n") == said.count("kept offline") == 1, said
    (written,) = files(tmp_path)
    assert b"mIoU" in written
    assert lines[0]["finish"] < 4


@pytest.mark.slow
@needs_proc
def test_a_service_that_hangs_holds_neither_the_training_nor_the_end_of_the_process(tmp_path: Path) -> None:
    lines, said = run(tmp_path, "offline", "SIGSTOP", trials=2)
    assert said.count("\n") == said.count("did not finish within 4 s") == 1, said
    assert 4 <= lines[0]["finish"] < 6
    assert lines[1]["finish"] < 4
    assert is_whole(tmp_path, trial=1)


@pytest.mark.slow
def test_a_bad_key_is_a_run_that_is_written_offline(tmp_path: Path) -> None:
    _, said = run(tmp_path, "online", WANDB_API_KEY="short", WANDB_BASE_URL="http://127.0.0.1:9")
    assert said.count("\n") == said.count("kept offline") == 1, said
    (written,) = files(tmp_path)
    assert b"mIoU" in written


@pytest.mark.slow
def test_without_a_key_runs_are_written_offline_and_nothing_is_asked(tmp_path: Path) -> None:
    _, said = run(tmp_path, "online", trials=2)
    assert said.count("\n") == said.count("no wandb API key") == 2, said
    assert len(files(tmp_path)) == 2
    assert is_whole(tmp_path, trial=0)
    assert is_whole(tmp_path, trial=1)
