"""Loading processes: how many there are, and what is said when one of them dies."""

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from datasets import workers
from datasets.loaders import build_dataset, eval_loader
from datasets.nyu import NYUDataset
from datasets.sample import Sample
from datasets.workers import worker_count, worker_deaths, worker_settings
from tests.configs import make_config
from tests.datasets.cached import frames_of, nyu_config, part_folders, write_frames
from utils.console import say_once
from utils.errors import DataError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven training, three validation and two test frames, which no test changes."""
    root = tmp_path_factory.mktemp("nyu")
    write_frames(root)
    return root


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores for two loading processes; torch and they look after each other every 0.2 s, not every 5 s."""
    monkeypatch.setattr(workers, "cores", lambda: 4)
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.2,))
    monkeypatch.setattr(torch.utils.data._utils.worker, "MP_STATUS_CHECK_INTERVAL", 0.2)


def _on(name: str, deed: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something in the middle of reading a frame."""
    read = NYUDataset.read

    def reading(self: NYUDataset, frame: str) -> Sample:
        if frame == name:
            deed()
        return read(self, frame)

    monkeypatch.setattr(NYUDataset, "read", reading)


DEATHS: dict[str, Callable[[], object]] = {
    "os._exit": lambda: os._exit(3),
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
}


def _told(act: Callable[[], object], *datasets: Any) -> str:
    """Return what is said when ``act`` meets a death. (``pytest.raises`` would keep the dead loader until some later test.)"""
    try:
        with worker_deaths(*datasets):
            act()
    except DataError as error:
        assert "\n" not in str(error)
        return str(error)
    pytest.fail("nobody died")


def _sentence(root: Path, name: str) -> str:
    """Up to the reason: that is torch's own or, where a batch was just being fetched, a broken connection."""
    files = [root / f"images/{name}.jpg", root / f"segmentation/{name}.png"]
    files += [root / f"{folder}/{name}.npy" for folder in ("depth", "normals", "edge")]
    listed = ", ".join(map(str, files))
    return f"num_workers: a process that loads frames died while it read frame {name} ({listed}) ("


@pytest.mark.parametrize("death", DEATHS)
def test_a_process_that_dies_in_a_frame_is_told_with_the_frame_and_its_files(
    death: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _on("a4", DEATHS[death], monkeypatch)
    loader: Any = eval_loader(nyu_config(root, num_workers=2), "train")
    said = _told(lambda: list(loader), loader.dataset)
    assert said.startswith(_sentence(root, "a4"))
    assert "a damaged file or too little memory does that" in said
    assert "lower num_workers (0 loads in the main process)" in said


def _processes(dataset: Any) -> list[Any]:
    """The processes that have read a frame of a data set."""
    return [child for child in multiprocessing.active_children() if child.pid in dataset.reading[:, 0].tolist()]


@pytest.mark.parametrize("trouble", [False, True])
def test_a_process_that_dies_between_two_frames_is_told_without_one(
    trouble: bool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a frame that could not be read: that one is not to blame."""

    def fail() -> None:
        raise DataError("cannot be read")

    if trouble:
        _on("a0", fail, monkeypatch)
    loader: Any = eval_loader(nyu_config(root, num_workers=1, val_batch_size=7), "train")

    def act() -> None:
        batches = iter(loader)
        if trouble:
            with pytest.raises(DataError, match="cannot be read"):
                next(batches)
        else:
            next(batches)
        (process,) = _processes(loader.dataset)
        assert loader.dataset.reading.tolist() == [[process.pid, -1]]
        process.kill()
        list(loader)

    assert _told(act, loader.dataset).startswith("num_workers: a process that loads frames died (DataLoader worker (pid")


def test_what_the_other_process_reads_is_not_to_blame(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deeds = {"a0": lambda: time.sleep(0.7), "a2": lambda: os._exit(1)}
    for name, deed in deeds.items():
        _on(name, deed, monkeypatch)
    loader: Any = eval_loader(nyu_config(root, num_workers=2), "train")
    said = _told(lambda: list(loader), loader.dataset)
    assert said.startswith(_sentence(root, "a2"))
    assert "a0" not in said


def test_of_several_data_sets_the_one_whose_process_died_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _on("b1", DEATHS["os._exit"], monkeypatch)
    training, validation = (eval_loader(nyu_config(root, num_workers=1), split) for split in ("train", "val"))
    said = _told(lambda: [frames_of(training), frames_of(validation)], training.dataset, validation.dataset)  # type: ignore[attr-defined]
    assert said.startswith(_sentence(root, "b1"))


@pytest.mark.parametrize("use", ["cache", "skip"])
def test_a_process_that_dies_while_all_frames_are_read_is_told(
    use: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _on("a4", DEATHS["os._exit"], monkeypatch)
    values = {"cache": tmp_path / "kept"} if use == "cache" else {"on_bad_sample": "skip"}
    assert _told(lambda: build_dataset(nyu_config(root, num_workers=2, **values), "train")).startswith(_sentence(root, "a4"))
    assert not part_folders(tmp_path / "kept")


def test_deaths_are_told_in_the_loop_and_nowhere_else(root: Path) -> None:
    """torch would interrupt the main process wherever it is, once for each loader: the second time while it tells the first."""
    handler = signal.getsignal(signal.SIGCHLD)
    config = nyu_config(root, num_workers=2, val_batch_size=1)
    training, validation = (eval_loader(config, split) for split in ("train", "val"))
    datasets: Any = (training.dataset, validation.dataset)

    def act() -> None:
        frames_of(validation)
        batches = iter(training)
        next(batches)
        assert signal.getsignal(signal.SIGCHLD) is handler
        for dataset in datasets:
            for process in _processes(dataset):
                process.kill()
        time.sleep(0.1)  # here a handler would act
        frames_of(training)

    assert _told(act, *datasets).startswith("num_workers: a process that loads frames died")


BROKEN = (EOFError(), RuntimeError("received 0 items of ancdata"))


@pytest.mark.parametrize("error", BROKEN, ids=repr)
def test_a_broken_connection_means_a_death_if_somebody_died(error: Exception, root: Path) -> None:
    """One that dies while its last batch is fetched breaks a connection before torch takes it for dead."""
    loader: Any = eval_loader(nyu_config(root, num_workers=1, val_batch_size=7), "train")

    def act() -> None:
        next(iter(loader))
        _processes(loader.dataset)[0].kill()
        raise error

    said = _told(act, loader.dataset)
    assert said.startswith(f"num_workers: a process that loads frames died ({str(error) or 'EOFError'}); a damaged file")


def test_a_broken_connection_alone_is_what_it_is(root: Path) -> None:
    loader: Any = eval_loader(nyu_config(root, num_workers=1), "train")
    next(iter(loader))
    with pytest.raises(EOFError), worker_deaths(loader.dataset):
        raise EOFError


def test_other_errors_are_left_alone() -> None:
    error = RuntimeError("worker (pid 12) is killed")
    with pytest.raises(RuntimeError) as caught, worker_deaths():
        raise error
    assert caught.value is error


def test_ctrl_c_is_the_main_processes_business(root: Path) -> None:
    loader: Any = eval_loader(nyu_config(root, num_workers=1, val_batch_size=1), "train")
    batches = iter(loader)
    next(batches)
    (process,) = _processes(loader.dataset)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    with worker_deaths(loader.dataset):
        assert len(list(batches)) == 6


@pytest.mark.parametrize(("asked", "cores", "used"), [(0, 4, 0), (4, 4, 4), (9, 4, 4)])
def test_no_more_processes_than_cores_and_that_is_said_once(
    asked: int, cores: int, used: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "cores", lambda: cores)
    say_once.cache_clear()
    caplog.set_level(logging.INFO)
    assert {worker_count(make_config(num_workers=asked)) for _ in range(3)} == {used}
    said = [f"num_workers: {asked} asked for, {used} used, as many as there are cores"]
    assert caplog.messages == (said if asked > used else [])


def test_loading_draws_no_number_from_torchs_generator(root: Path) -> None:
    """Else the dropout of a network would depend on the number of workers."""
    torch.manual_seed(0)
    state = torch.get_rng_state()
    for count in (0, 2):
        frames_of(eval_loader(nyu_config(root, num_workers=count), "val"))
        assert torch.equal(torch.get_rng_state(), state)


def test_processes_tell_what_they_read_and_the_main_process_does_not(root: Path) -> None:
    config = nyu_config(root, num_workers=2)
    dataset = build_dataset(config, "val")
    settings = worker_settings(config, dataset)
    assert settings["num_workers"] == 2
    assert dataset.reading is not None
    assert dataset.reading.is_shared()
    dataset.load(1)
    assert dataset.reading.tolist() == [[-1, -1]] * 2
    assert worker_settings(config.with_values(num_workers=0), dataset)["worker_init_fn"] is None
    assert dataset.reading is None
