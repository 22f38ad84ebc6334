"""The real wandb, without a network: killed, refused. Each in a process of its own, which has to end as it should."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, logging, os, signal, statistics, sys, time
from pathlib import Path
from tests.configs import make_config
from engine import tracking

def kill_service():
    for children in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        for child in children.read_text().split():
            if Path(f"/proc/{child}/comm").read_text().startswith("wandb"):
                os.kill(int(child), signal.SIGKILL)
                return

folder, mode, kill, trials = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "kill", int(sys.argv[4])
logging.basicConfig(level=logging.WARNING, format="%(message)s")
tracking.INIT_SECONDS = 1.0
seconds = []
for trial in range(trials):
    tracker = tracking.make_tracker(make_config(tracking=mode), f"small_trial_{trial}", folder)
    if kill and trial == 0:
        kill_service()
    for epoch in range(20):
        begun = time.perf_counter()
        tracker.log({"epoch": epoch, "loss": 0.5})
        seconds.append(time.perf_counter() - begun)
    tracker.finish({"mIoU": 0.25})
print(json.dumps(statistics.median(seconds)))
sys.exit(3)
"""


def run(folder: Path, mode: str, kill: bool = False, trials: int = 1, **environment: str) -> str:
    """Return what the program said on stderr; it ends by itself, with its own exit code and no traceback."""
    (folder / "home").mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    clean |= {"HOME": str(folder / "home"), "WANDB_CACHE_DIR": str(folder / "cache"), **environment}
    with (folder / "out").open("w+") as out, (folder / "err").open("w+") as err:  # files: a service may outlive the program
        command = [sys.executable, "-c", PROGRAM, str(folder), mode, "kill" if kill else "", str(trials)]
        done = subprocess.run(command, cwd=ROOT, env=clean, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=180)
        out.seek(0)
        err.seek(0)
        usual, said = out.read(), err.read()
    assert done.returncode == 3, said
    assert "Traceback" not in said
    assert json.loads(usual) < 0.05, "log waited for wandb"
    return said


def files(folder: Path) -> list[bytes]:
    """Return what wandb wrote of the offline runs, in any order."""
    return [path.read_bytes() for path in folder.glob("wandb/offline-run-*/run-*.wandb")]


def is_whole(folder: Path, trial: int) -> bool:
    """True if one of them is a trial's, from its name to its final values."""
    return any(f"small_trial_{trial}".encode() in text and b"mIoU" in text for text in files(folder))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the service in /proc")
def test_a_service_that_dies_is_one_warning_and_the_next_trial_is_tracked_again(tmp_path: Path) -> None:
    said = run(tmp_path, "offline", kill=True, trials=2)
    assert said.count("\n") == said.count("tracking: wandb failed") == 1, said
    assert is_whole(tmp_path, trial=1)


@pytest.mark.parametrize("key", ["x" * 40, pytest.param("short", marks=pytest.mark.slow)])
def test_without_a_network_or_a_good_key_the_run_is_written_offline(key: str, tmp_path: Path) -> None:
    said = run(tmp_path, "online", WANDB_API_KEY=key, WANDB_BASE_URL="http://127.0.0.1:9")
    assert said.count("\n") == said.count("kept offline") == 1, said
    (written,) = files(tmp_path)
    assert b"mIoU" in written


@pytest.mark.slow
def test_without_a_key_runs_are_written_offline_and_nothing_is_asked(tmp_path: Path) -> None:
    said = run(tmp_path, "online", trials=2)
    assert said.count("\n") == said.count("no wandb API key") == 2, said
    assert is_whole(tmp_path, trial=0)
    assert is_whole(tmp_path, trial=1)
