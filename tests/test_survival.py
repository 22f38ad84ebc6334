"""Runs that are killed, interrupted, started twice, or find the disk full: resumed, they end as if nothing had happened."""

import functools
import random
import re
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from datasets.synthetic.rooms import write_rooms
from engine import checkpoint as files
from engine.frames_record import FRAMES
from tests.equality import equal
from tests.killed_runs import (
    KILLED,
    Moment,
    Run,
    half_a_removal,
    half_a_save,
    half_a_text,
    half_a_write,
    interrupt,
    interrupt_a_save,
    kill_after,
    kill_before,
    no_room,
    terminate,
    wait_for_go,
)
from tests.small import ROOMS, SIZE, listing, small_config

NAME = "it lives. on"
"""An experiment's name may have spaces and dots."""

STEERED: dict[str, Any] = {
    "num_trials": 2,
    "epochs": 3,
    "comb_loss": "uncertainty",
    "augmentation": {"hflip": True, "scale_crop": [1.0, 1.5]},
    "group_sparsity": True,
    "target_sparsity": 0.5,
    "sparsity_until": 2,
    "bb_optimizer_params": {"learning_rate": 1e-3, "weight_decay": 0.1},
}
"""Four steps in which the sparsity rises, and two in which zeros stay zero; the best network is that of the last epoch."""

SHORT: dict[str, Any] = {"epochs": 1, "group_sparsity": True, "bb_optimizer_params": {"learning_rate": 1e-3, "lambda": 0.03}}
"""One trial of one epoch with a figure of its sparsity."""


def make_work(folder: Path, **values: Any) -> Path:
    """A folder with rooms and a configuration, all paths relative to it, that goes on where something is there."""
    write_rooms(folder / "rooms", ROOMS, SIZE)
    small_config(Path("rooms"), Path(), Experiment_name=NAME, backbone="resnetd18", checkpoint=True, **values).save(
        folder / "mine.yaml"
    )
    return folder


@pytest.fixture(scope="module")
def whole(scratch: Path) -> Path:
    """Return the folder in which the steered experiment ran without any interruption."""
    folder = make_work(scratch / "whole", **STEERED)
    finish(folder)
    return folder


@pytest.fixture(scope="module")
def short(scratch: Path) -> Path:
    """Return the folder in which the short experiment ran without any interruption."""
    folder = make_work(scratch / "short", **SHORT)
    finish(folder)
    return folder


def start(folder: Path, *arguments: str, moment: Moment | None = None) -> Run:
    """Start the experiment of a folder, or go on with it."""
    return Run(folder, "--config_exp", "mine.yaml", *arguments, moment=moment)


def finish(folder: Path, *arguments: str) -> Run:
    """Start or go on, and end with exit code 0."""
    run = start(folder, *arguments)
    assert run.end() == 0, run.stderr
    return run


def trials(folder: Path) -> list[Path]:
    """The trials' folders."""
    return list(files.numbered(folder / "runs", f"{NAME}_trial_").values())


def lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file, without the times."""
    timing = ("images_per_second", "train_seconds", "data_seconds", "validation_seconds")
    return [{key: value for key, value in line.items() if key not in timing} for line in files.read_lines(path)]


def check_same(folder: Path, other: Path, note: str) -> None:
    """Two experiments ended alike: in every tensor and random state, every record and every byte of the tables."""
    assert len(trials(folder)) == len(trials(other)) > 0, note
    for ours, theirs in zip(trials(folder), trials(other), strict=True):
        assert {path.name for path in ours.iterdir()} == {path.name for path in theirs.iterdir()}, note
        for name in (files.BEST, files.LAST):
            assert equal(files.load_tensors(ours / name), files.load_tensors(theirs / name)), f"{name}: {note}"
        assert lines(ours / files.METRICS) == lines(theirs / files.METRICS), note
        for name in (files.CONFIG, files.STEPS, files.TEST, "sparsity_control.png"):
            assert (ours / name).read_bytes() == (theirs / name).read_bytes(), f"{name}: {note}"
    for name in (f"{NAME}.csv", f"{NAME}_trials.csv"):
        assert (folder / "out_csv" / name).read_bytes() == (other / "out_csv" / name).read_bytes(), note
    left = [path for place in ("runs", "out_csv") for path in (folder / place).rglob("*unfinished*")]
    assert not left, f"{left}: {note}"


def check_whole_files(folder: Path, note: str) -> None:
    """Whatever has its name is whole."""
    for trial in trials(folder):
        for name in (files.BEST, files.LAST):
            if (trial / name).exists():
                assert files.load_tensors(trial / name)["config"]["epochs"] == STEERED["epochs"], note
        if (trial / files.TEST).exists():
            assert files.load_json(trial / files.TEST)["row"], note


MOMENTS = {
    "before the first state is saved": Moment("engine.checkpoint:save_tensors", kill_before),
    "in the middle of the configuration": Moment("settings.config:write_text", half_a_text),
    "in the middle of last.pt": Moment("torch:save", half_a_save, 2),
    "in the middle of a line of metrics.jsonl": Moment("utils.files:_write_all", half_a_write),
    "between metrics.jsonl and last.pt": Moment("engine.checkpoint:append_lines", kill_after),
    "at the begin of the second epoch": Moment("engine.trainer:train_one_epoch", kill_before, 2),
    "in the third epoch, with processes that load frames": Moment("engine.trainer:forward_losses", kill_before, 4),
    "in the middle of a shrink": Moment("engine.shrunk_network:narrowed_optimizer", kill_before),
    "between checkpoint.pt and last.pt": Moment("engine.checkpoint:save_tensors", kill_after),
    "in the middle of checkpoint.pt": Moment("torch:save", half_a_save),
    "before the figure": Moment("engine.experiment:save_figure", kill_before),
    "in the middle of the test": Moment("engine.saved_trial:evaluate", kill_after),
    "between the test and the tables": Moment("engine.experiment:write_results", kill_before),
    "before the second trial": Moment("engine.experiment:Trial", kill_before),
    "between the two tables": Moment("utils.csv_tables:replacing", kill_before, 2),
}
"""Each of a run that goes on where the one before it was killed. What is saved when: the state of epoch 0; then per epoch the
lines, the best network (in the last epoch) and the state."""


def test_a_run_that_is_killed_at_every_bad_moment_ends_as_if_it_had_not_been(whole: Path, work: Path) -> None:
    make_work(work, **STEERED)
    for where, moment in MOMENTS.items():
        workers = ("num_workers=2",) if "processes" in where else ()
        run = start(work, *workers, moment=moment)
        assert run.end() == KILLED, f"{where}: {run.stderr}"
        check_whole_files(work, where)
    last = finish(work, "--resume")
    assert "epoch" not in last.stderr, "both trials were finished"
    check_same(work, whole, "killed at every moment")
    starts = files.load_json(trials(work)[0] / files.ENVIRONMENT)["starts"]
    assert len(starts) > 5 and starts[0]["end"] is None and starts[-1]["end"] is not None
    assert [entry["epochs_before"] for entry in starts] == sorted(entry["epochs_before"] for entry in starts)
    log = (trials(work)[0] / files.LOG).read_text()
    assert log.count("--- 2") == len(starts) and " 3/3 " in log
    macs = [line["train_GMACs"] for line in lines(trials(work)[0] / files.METRICS)]
    assert macs[2] < macs[1] == macs[0]


CACHE_MOMENTS = {
    "in the middle of the cache": Moment("datasets.cache.parts:PartWriter.add", kill_before, 7),
    "between two parts of the cache": Moment("datasets.cache.parts:PartWriter.finish", kill_before, 2),
}


def test_a_run_that_is_killed_while_it_fills_the_cache_ends_as_if_it_had_not_been(work: Path) -> None:
    for name in ("whole", "killed"):
        make_work(work / name, **SHORT, cache="frames")
    for where, moment in CACHE_MOMENTS.items():
        assert start(work / "killed", moment=moment).end() == KILLED, where
        assert not trials(work / "killed")
    for name in ("whole", "killed"):
        finish(work / name)
    check_same(work / "killed", work / "whole", "killed while it filled the cache")
    assert not list((work / "killed" / "frames").glob(".*.unfinished"))


def survive(folder: Path, whole_takes: float, seed: int) -> None:
    """Kill an experiment at moments that ``seed`` and the machine's speed give, at most 8 times, and let it end.

    Args:
        folder: where the experiment is.
        whole_takes: seconds of a run from begin to end.
        seed: of the moments.
    """
    rng = random.Random(seed)
    for kill in range(8):
        run = start(folder)
        code = run.kill(after=rng.uniform(0.1, 0.6 if kill > 1 else 0.3) * whole_takes)
        assert code in (KILLED, 0), f"seed {seed}, kill {kill}: {run.stderr}"
        if code == 0:
            assert kill > 1, f"seed {seed}: killed {kill} times only, a whole run took {whole_takes:.1f} s"
            return
        check_whole_files(folder, f"seed {seed}, kill {kill}")
    finish(folder)


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(work: Path) -> None:
    for name in ("whole", "killed"):
        make_work(work / name, **STEERED, cache="frames")
    assert Run(work, "--help").end() == 0  # the server that forks has imported torch before the time is taken
    begin = time.monotonic()
    assert start(work / "whole").end() == 0
    survive(work / "killed", time.monotonic() - begin, seed=1)
    check_same(work / "killed", work / "whole", "seed 1")


def test_an_experiment_that_was_half_removed_is_in_nobodys_way(short: Path, work: Path) -> None:
    shutil.copytree(short, work / "killed")
    assert start(work / "killed", "--overwrite", moment=Moment("shutil:rmtree", half_a_removal)).end() == KILLED
    finish(work / "killed")
    check_same(work / "killed", short, "killed while it removed the trials")


def test_ctrl_c_and_sigterm_say_where_it_was_and_how_the_run_goes_on_from_there(whole: Path, work: Path) -> None:
    make_work(work, **STEERED)
    moments = {
        "in epoch 1; its state after epoch 0 is in runs/it lives. on_trial_0/last.pt": Moment(
            "torch:save", interrupt_a_save, 2
        ),
        "in epoch 2; its state after epoch 1 is in runs/it lives. on_trial_0/last.pt": Moment(
            "engine.trainer:forward_losses", terminate, 3
        ),
        "in its test; its state after epoch 3 is in runs/it lives. on_trial_0/last.pt": Moment(
            "engine.saved_trial:evaluate", interrupt
        ),
    }
    for message, moment in moments.items():
        run = start(work, "epochs=3", "--overwrite" if "epoch 1" in message else "--resume", moment=moment)
        assert run.end() == 130, run.stderr
        said = run.stderr.splitlines()[-3:]
        assert said[0].endswith(f"WARNING {NAME}_trial_0 was interrupted {message}")
        assert said[1].endswith("main_multi_trials.py --config_exp mine.yaml epochs=3 --resume")
        assert " WARNING go on with: python " in said[1]
        assert said[2] == "interrupted"
        assert "Traceback" not in run.stderr
    finish(work, "--resume")
    check_same(work, whole, "after Ctrl-C")


def test_of_runs_that_are_started_together_one_trains_and_the_others_are_told_who_it_is(whole: Path, work: Path) -> None:
    make_work(work, **STEERED)
    hold = Moment("engine.trainer:train_one_epoch", wait_for_go)
    runs = [start(work, *option, moment=hold) for option in ((), ("--overwrite",), ())]
    end = time.monotonic() + 200
    while sum(run.process.exitcode is None for run in runs) > 1 and time.monotonic() < end:
        time.sleep(0.02)
    (work / "go").touch()
    codes = [run.end() for run in runs]
    assert sorted(codes) == [0, 2, 2], [run.stderr for run in runs]
    winner = runs[codes.index(0)].process.pid
    holder = (
        rf"process {winner} on {re.escape(socket.gethostname())} since \d{{4}}-\d\d-\d\dT\S+ \(\S*main_multi_trials\.py --c"
    )
    for run in runs:
        if run.process.pid != winner:
            assert re.fullmatch(rf"error: experiment '{NAME}' in runs is being trained by {holder}.*\n", run.stderr), run.stderr
    check_same(work, whole, "three at once")


FULL = {
    f"runs/.{NAME}.holder.json": Moment("utils.locks:write_text", functools.partial(no_room, 10)),
    files.CONFIG: Moment("settings.config:write_text", functools.partial(no_room, 100)),
    f"{files.LAST} (the first)": Moment("engine.checkpoint:save_tensors", functools.partial(no_room, 10_000)),
    files.METRICS: Moment("engine.checkpoint:append_lines", functools.partial(no_room, 1000)),
    files.STEPS: Moment("engine.checkpoint:append_lines", functools.partial(no_room, 10), 2),
    files.BEST: Moment("engine.checkpoint:save_tensors", functools.partial(no_room, 10_000), 2),
    files.LAST: Moment("engine.checkpoint:save_tensors", functools.partial(no_room, 10_000), 3),
    "sparsity_control.png": Moment("engine.experiment:save_figure", functools.partial(no_room, 1000)),
    FRAMES: Moment("engine.checkpoint:save_json", functools.partial(no_room, 100)),
    files.ENVIRONMENT: Moment("engine.checkpoint:save_json", functools.partial(no_room, 100), 2),
    files.TEST: Moment("engine.checkpoint:save_json", functools.partial(no_room, 100), 3),
    f"out_csv/{NAME}.csv": Moment("engine.experiment:write_results", functools.partial(no_room, 100)),
}
"""Files that find no room, each in a run that goes on where the one before it stopped."""


def test_a_full_disk_is_one_sentence_and_what_was_there_stays(short: Path, work: Path) -> None:
    make_work(work, **SHORT)
    for name, moment in FULL.items():
        path = name.removesuffix(" (the first)")
        path = path if "/" in path else f"runs/{NAME}_trial_0/{path}"
        before = (work / path).read_bytes() if (work / path).exists() else None
        run = start(work, moment=moment)
        assert run.end() == 1, f"{name}: {run.stderr}"
        sentence = f"error: {path} cannot be written (File too large); what was there before is unchanged"
        said = [line for line in run.stderr.splitlines() if not re.match(r"\d\d:\d\d:\d\d ", line)]
        assert said == [sentence], name
        assert ((work / path).read_bytes() if before is not None else None) == before, name
        assert before is not None or not (work / path).exists() or (work / path).stat().st_size == 0
        assert not list(work.rglob("*.unfinished"))
    finish(work, "--resume")
    check_same(work, short, "after a full disk")


def test_folders_that_may_not_be_written_are_one_sentence(work: Path) -> None:
    make_work(work, **SHORT)
    (work / "runs").mkdir()
    (work / "out_csv").mkdir()
    killed = start(work, moment=Moment("engine.checkpoint:save_tensors", kill_after))
    assert killed.end() == KILLED
    (trial,) = trials(work)
    cases = {
        "runs": (2, "checkpoint_folder: runs cannot be written (runs is no folder that this user may write into)"),
        "out_csv": (2, "out_csv: the results cannot be written (out_csv is no folder that this user may write into)"),
        str(trial.relative_to(work)): (
            1,
            f"runs/{NAME}_trial_0/config_file.yaml cannot be written (Permission denied); what was there before is unchanged",
        ),
    }
    before = listing(trial)
    for folder, (code, message) in cases.items():
        (work / folder).chmod(0o555)
        try:
            run = start(work, "--resume")
            assert (run.end(), run.stderr.splitlines()[-1]) == (code, f"error: {message}")
            assert "Traceback" not in run.stderr
        finally:
            (work / folder).chmod(0o755)
        assert listing(trial) == before
