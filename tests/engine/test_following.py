"""Experiments in several processes: killed, interrupted, with a full disk, continued, or refused."""

import functools
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from datasets.synthetic.rooms import write_rooms
from engine import checkpoint as files
from engine.distributed import Ranks
from engine.following import check_ranks
from engine.frames_record import FRAMES
from engine.weighting import UncertaintyWeighting
from tasks.metrics import SegmentationMetrics
from tests.configs import make_config
from tests.equality import equal
from tests.killed_runs import ROOT, Moment, Run, interrupt, kill_before, no_room, orphaned, wait_for_go
from tests.ranks import RankedRun
from tests.small import ROOMS, SIZE, small_config
from utils.errors import ConfigError

VALUES: dict[str, Any] = {
    "Experiment_name": "two",
    "backbone": "resnetd18",
    "train_batch_size": 6,
    "num_workers": 1,
    "epochs": 3,
    "group_sparsity": True,
    "target_sparsity": 0.5,
    "sparsity_until": 2,
    "checkpoint": True,
}
TRIAL = Path("runs/two_trial_0")


def start(folder: Path, size: int = 2, *arguments: str, moments: dict[int, Moment] | None = None) -> RankedRun:
    """Start the experiment of a folder, or go on with it."""
    return RankedRun(folder, size, "--config_exp", "two.yaml", *arguments, moments=moments)


@pytest.fixture(scope="module")
def begun(scratch: Path) -> Path:
    """Return a folder with the data and the configuration of an experiment, all paths relative to it."""
    folder = scratch / "begun"
    write_rooms(folder / "rooms", {**ROOMS, "train": 12}, SIZE)
    small_config(Path("rooms"), Path(), **VALUES).save(folder / "two.yaml")
    return folder


@pytest.fixture(scope="module")
def whole(begun: Path, scratch: Path) -> Path:
    """Return the folder in which two processes ran without any interruption."""
    folder = Path(shutil.copytree(begun, scratch / "whole_two"))
    run = start(folder)
    assert run.end() == [0, 0], run.said
    assert run.said[1] == "", "rank 0 speaks for all"
    return folder


@pytest.fixture
def place(begun: Path, work: Path) -> Path:
    """Return a folder of its own with the data and the configuration."""
    return Path(shutil.copytree(begun, work / "place"))


def check_same(folder: Path, whole: Path) -> None:
    """Going on ends as if nothing had happened."""
    run = start(folder)
    assert run.end() == [0, 0], run.said
    for name in (files.BEST, files.LAST):
        assert equal(files.load_tensors(folder / TRIAL / name), files.load_tensors(whole / TRIAL / name)), name
    for name in (TRIAL / files.TEST, TRIAL / files.STEPS, Path("out_csv/two.csv"), Path("out_csv/two_trials.csv")):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


def told(run: RankedRun, sentence: str) -> int:
    """How often the ranks say something; none of them has a traceback."""
    said = "".join(run.said)
    assert "Traceback" not in said, said
    return said.count(sentence)


def three() -> Ranks:
    """Return three ranks, of which there is one."""
    ranks = Ranks()
    ranks.size = 3
    return ranks


def test_a_part_has_to_have_the_frames_that_batch_norm_needs() -> None:
    check_ranks(make_config(train_batch_size=2), Ranks())
    check_ranks(make_config(train_batch_size=6), three())
    check_ranks(make_config(train_batch_size=3, batch_norm="sync"), three())
    said = "the two frames that batch norm needs: give at least 6, or batch_norm: sync, which needs one$"
    with pytest.raises(ConfigError, match=f"^train_batch_size: 5 is for all 3 processes, and each has to have {said}"):
        check_ranks(make_config(train_batch_size=5), three())
    with pytest.raises(ConfigError, match=r"each has to have one frame: give at least 3$"):
        check_ranks(make_config(train_batch_size=2, batch_norm="sync"), three())


def test_what_knows_one_process_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(SegmentationMetrics, "merge")
    with pytest.raises(ConfigError, match=r"^task_list: the metrics of segmentsemantic have no method merge"):
        check_ranks(make_config(train_batch_size=6), three())
    monkeypatch.setattr(UncertaintyWeighting, "backward", lambda *_: None)
    with pytest.raises(ConfigError, match=r"^comb_loss: 'uncertainty' has a backward of its own"):
        check_ranks(make_config(train_batch_size=6, comb_loss="uncertainty"), three())


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_is_one_sentence_with_its_number(place: Path, whole: Path, rank: int) -> None:
    run = start(place, moments={rank: Moment("engine.trainer:forward_losses", kill_before, 4)})
    codes = run.end()
    assert codes[rank] == -signal.SIGKILL and codes[1 - rank] == 1, run.said
    assert told(run, f"error: rank {rank} of 2 died without a word") == 1, run.said
    if rank:
        check_same(place, whole)


@pytest.mark.slow
def test_of_three_ranks_the_two_that_live_say_it_once(place: Path) -> None:
    run = start(place, 3, moments={2: Moment("engine.distributed:JoinedRanks.add_gradients", kill_before, 1)})
    assert run.end() == [1, 1, -signal.SIGKILL], run.said
    assert told(run, "error: rank 2 of 3 died without a word") == 1, run.said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_all_ranks_at_the_end_of_a_step(place: Path, whole: Path, number: int) -> None:
    run = start(place, moments={0: Moment("engine.trainer:forward_losses", wait_for_go, 4)})
    until = time.monotonic() + 60
    while not (place / TRIAL / files.METRICS).exists() and time.monotonic() < until:
        time.sleep(0.05)
    run.send(number)
    (place / "go").touch()
    assert run.end() == [130, 130], run.said
    assert told(run, "interrupted\n") == 1 and told(run, "two_trial_0 was interrupted in epoch 2; ") == 1, run.said
    if number == signal.SIGINT:
        check_same(place, whole)


@pytest.mark.slow
def test_a_request_to_one_rank_ends_all(place: Path) -> None:
    run = start(place, moments={1: Moment("engine.trainer:forward_losses", interrupt, 2)})
    assert run.end() == [130, 130], run.said
    assert told(run, "interrupted\n") == 1, run.said


@pytest.mark.slow
def test_where_torchrun_is_gone_all_ranks_stop_at_the_end_of_a_step(place: Path, whole: Path) -> None:
    moments = {0: Moment("engine.heartbeat:getppid", orphaned, 2), 1: Moment("engine.trainer:forward_losses", wait_for_go, 4)}
    run = start(place, moments=moments)
    until = time.monotonic() + 60
    while not told(run, "torchrun is gone: this training stops after the step") and time.monotonic() < until:
        time.sleep(0.05)
    (place / "go").touch()
    assert run.end() == [130, 130], run.said
    check_same(place, whole)


@pytest.mark.slow
def test_a_full_disk_of_rank_0_ends_all(place: Path, whole: Path) -> None:
    run = start(place, moments={0: Moment("engine.checkpoint:save_tensors", functools.partial(no_room, 100), 2)})
    assert run.end() == [1, 1], run.said
    assert told(run, "error: ") == 1 and told(run, "cannot be written") == 1, run.said
    check_same(place, whole)


@pytest.mark.slow
def test_a_frame_that_one_rank_cannot_read_ends_all(place: Path) -> None:
    for path in (place / "rooms" / "images").glob("*"):
        if path.stem in (place / "rooms" / "gt_sets" / "val.txt").read_text().split()[1:]:  # of these, rank 0 reads the first
            path.write_bytes(b"no picture")
    run = start(place)
    assert run.end() == [2, 2], run.said
    assert told(run, "error: ") == 1 and "images" in run.said[1], run.said


@pytest.mark.slow
def test_a_rank_that_dies_while_rank_0_prepares_the_data_is_named(place: Path) -> None:
    moments = {0: Moment("engine.experiment:check_inputs", wait_for_go), 1: Moment("engine.following:follow", kill_before)}
    run = start(place, moments=moments)
    assert run.end() == [1, -signal.SIGKILL], run.said
    assert told(run, "error: rank 1 of 2 died without a word") == 1, run.said
    assert not (place / "runs").exists()


@pytest.mark.slow
def test_another_number_of_processes_is_refused(whole: Path, work: Path) -> None:
    folder = Path(shutil.copytree(whole, work / "more"))
    said = "was trained by 2 processes (torchrun --nproc-per-node 2), and now there are"
    run = start(folder, 3, "epochs=4")
    assert run.end() == [2, 2, 2] and told(run, f"error: runs/two_trial_0/last.pt: {said} 3: continue it as it began") == 1
    few = start(folder, 3, "--overwrite", "train_batch_size=5")
    assert few.end() == [2, 2, 2]
    assert told(few, "error: train_batch_size: 5 is for all 3 processes, and each has to have the two frames") == 1
    alone = Run(folder, "--config_exp", "two.yaml", "epochs=4")
    assert alone.end() == 2 and f"{said} 1: continue it as it began" in alone.stderr


@pytest.mark.slow
def test_a_study_is_refused(place: Path) -> None:
    (place / "study.yaml").write_text("study: s\nbase: two.yaml\nfolder: studies\naxes: {tasks: all}\n")
    run = RankedRun(place, 2, "--config_exp", "study.yaml")
    assert run.end() == [2, 2]
    assert told(run, "error: study.yaml is a study, and torchrun is for one experiment") == 1, run.said


@pytest.mark.slow
def test_torchrun_trains_an_experiment(place: Path) -> None:
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(ROOT / "main_multi_trials.py")]
    given = ["--config_exp", "two.yaml", "epochs=1", "backbone=resnet18", "group_sparsity=false"]
    done = subprocess.run([sys.executable, *command, *given], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (place / TRIAL).iterdir()} == {
        *(files.BEST, files.LAST, files.CONFIG, files.TEST, files.METRICS, files.LOG, files.ENVIRONMENT, FRAMES, "curves.png")
    }
    assert len(files.load_tensors(place / TRIAL / files.LAST)["rng_of_others"]) == 1
