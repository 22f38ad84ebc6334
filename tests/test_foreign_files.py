"""Files from elsewhere are data: whatever they hold, no code of theirs runs, and one sentence names the file."""

import contextlib
import io
import json
import pickle
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

import get_outputs
import main_multi_trials
import plot_sparsity_wandb
import predict
from datasets.cache.parts import CODES, FACTS, Part
from datasets.celeba import celeba_splits
from datasets.images import read_array
from datasets.mtan import MTANDataset
from datasets.preparation.official_splits import read_splits
from datasets.synthetic.rooms import write_rooms
from engine import checkpoint as files
from engine import run_experiment
from models import load_compact
from models.torchvision_resnet import TorchvisionResNet
from settings.config import ExperimentConfig, load_config
from tests.configs import make_config
from tests.small import ROOMS, SIZE, make_trial, small_config
from utils.console import run_script
from utils.errors import ConfigError, DataError, TrialError, UserError

DEEP = "[" * 100_000
"""Brackets enough for any parser that calls itself."""


class Bomb:
    """Makes the marker file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def zipped(bomb: Bomb) -> bytes:
    """As torch.save writes it now."""
    buffer = io.BytesIO()
    torch.save({"model": {"weight": torch.zeros(1)}, "optimizer": bomb}, buffer)
    return buffer.getvalue()


def legacy(bomb: Bomb) -> bytes:
    """As torch.save wrote it before torch 1.6."""
    buffer = io.BytesIO()
    torch.save({"model": bomb}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def numpy_object(bomb: Bomb) -> bytes:
    """A .npy file of a pickled object."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([[bomb]], dtype=object), allow_pickle=True)
    return buffer.getvalue()


PICKLES: dict[str, Callable[[Bomb], bytes]] = {
    "torch": zipped,
    "old torch": legacy,
    "pickle 2": lambda bomb: pickle.dumps(bomb, 2),
    "pickle 5": lambda bomb: pickle.dumps(bomb, 5),
}


@pytest.fixture(params=PICKLES)
def payload(request: pytest.FixtureRequest, marker: Path) -> bytes:
    """A pickle that would make the marker file."""
    return PICKLES[request.param](Bomb(marker))


@pytest.fixture
def marker(tmp_path: Path) -> Any:
    """A file that must not appear."""
    path = tmp_path / "code-was-run"
    yield path
    assert not path.exists(), "a foreign file's code was run"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    """An experiment with one trial that was begun: configuration, best network, state."""
    folder = tmp_path_factory.mktemp("foreign")
    write_rooms(folder / "rooms", ROOMS, SIZE)
    config = small_config(folder / "rooms", folder, task_list=["depth_euclidean"])
    trial = make_trial(config)
    config.save(trial.folder / files.CONFIG)
    files.save_tensors(trial.folder / files.BEST, trial.best_state(None))
    files.save_tensors(trial.folder / files.LAST, trial.state_dict(None))
    return config


@pytest.fixture
def experiment(saved: ExperimentConfig, tmp_path: Path) -> ExperimentConfig:
    """A copy of it, to be spoilt."""
    shutil.copytree(saved.checkpoint_folder, tmp_path / "runs")
    config = saved.with_values(checkpoint_folder=str(tmp_path / "runs"))
    config.save(config.trial_folder(0) / files.CONFIG)
    return config


def script(
    module: types.ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[object, str]:
    """Exit code of a script, and what it said."""
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    monkeypatch.setattr(module, "setup_logging", lambda: None)
    with pytest.raises(SystemExit) as ended:
        run_script(module.main)
    return ended.value.code, capsys.readouterr().err


def test_the_bombs_are_live(tmp_path: Path) -> None:
    """Else nothing below would prove anything."""
    for number, make in enumerate(PICKLES.values()):
        (tmp_path / "x.pt").write_bytes(make(Bomb(tmp_path / str(number))))
        with contextlib.suppress(RuntimeError):  # of a pickle that torch did not write, after it was unpickled
            torch.load(tmp_path / "x.pt", weights_only=False)
        assert (tmp_path / str(number)).exists()
    np.load(io.BytesIO(numpy_object(Bomb(tmp_path / "numpy"))), allow_pickle=True)
    assert (tmp_path / "numpy").exists()


def test_a_file_of_tensors_that_is_a_program(payload: bytes, tmp_path: Path, marker: Path) -> None:
    path = tmp_path / files.BEST
    path.write_bytes(payload)
    with pytest.raises(TrialError, match=rf"^{path}: is not a checkpoint of this project; it "):
        files.load_tensors(path)


def test_a_checkpoint_that_is_a_program(
    experiment: ExperimentConfig,
    marker: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By every script that loads one."""
    folder = experiment.trial_folder(0)
    for name in (files.BEST, files.LAST):
        (folder / name).write_bytes(zipped(Bomb(marker)))
    (tmp_path / "photos").mkdir()
    runs, out = experiment.checkpoint_folder, tmp_path / "out"
    for module, name, arguments in (
        (get_outputs, files.BEST, ("--exp_name", experiment.Experiment_name, "--results_dir", runs, "--out_dir", out)),
        (predict, files.BEST, ("--model", folder, "--images", tmp_path / "photos", "--out", out)),
        (plot_sparsity_wandb, files.BEST, ("--exp_folder_path", folder)),
        (main_multi_trials, files.LAST, ("--config_exp", folder / files.CONFIG, "--resume", "--out_dir", out)),
    ):
        code, said = script(module, monkeypatch, capsys, *arguments)
        assert code == 2
        assert f"error: {folder / name}: is not a checkpoint of this project; it " in said
        assert "Traceback" not in said


def test_weights_to_start_from_that_are_a_program(payload: bytes, tmp_path: Path, marker: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(payload)
    with pytest.raises(UserError, match=r"^init_weights: .*weights\.pt' is not a file of tensors"):
        TorchvisionResNet("resnet18", init_weights=str(path))


def test_such_weights_end_an_experiment_before_it_begins(saved: ExperimentConfig, tmp_path: Path, marker: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(zipped(Bomb(marker)))
    config = saved.with_values(init_weights=str(path), checkpoint_folder=str(tmp_path / "runs"))
    with pytest.raises(UserError, match=r"^init_weights: .*weights\.pt'"):
        run_experiment(config, out_dir=tmp_path / "out")
    assert not list((tmp_path / "runs").glob("*_trial_*"))


def test_a_compact_model_that_is_a_pickle(payload: bytes, tmp_path: Path, marker: Path) -> None:
    path = tmp_path / "compact.safetensors"
    path.write_bytes(payload)
    with pytest.raises(TrialError, match=r"^.*compact\.safetensors: is (damaged|no compact model)"):
        load_compact(path)


TAGS = [
    "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{marker}']]",
    "!!python/object/apply:os.system ['touch {marker}']",
    "!!python/object/new:os.system ['touch {marker}']",
    "!!python/name:os.system ''",
    "!!python/module:os ''",
]


@pytest.mark.parametrize("tag", TAGS)
def test_a_configuration_with_python_in_it(tag: str, saved: ExperimentConfig, tmp_path: Path, marker: Path) -> None:
    path = tmp_path / "experiment.yaml"
    text = tag.format(marker=marker)
    path.write_text(f"Experiment_name: {text}\n")
    with pytest.raises(ConfigError, match=r"^.*experiment\.yaml: is not valid YAML: could not determine a constructor"):
        load_config(path)
    with pytest.raises(ConfigError, match=r"override .Experiment_name=!!python.*: the value is not valid YAML"):
        load_config(saved.trial_folder(0) / files.CONFIG, [f"Experiment_name={text}"])


@pytest.mark.parametrize("text", [DEEP[:20_000], "{a: " * 20_000, "&x {a: *x}", "a: &x [*x]"], ids=len)
def test_a_configuration_without_a_bottom(text: str, tmp_path: Path, saved: ExperimentConfig) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"^.*experiment\.yaml: "):
        load_config(path)
    with pytest.raises(ConfigError, match="task_list"):
        load_config(saved.trial_folder(0) / files.CONFIG, [f"task_list={text[:10_000]}"])


@pytest.mark.parametrize("suffix", [".npy", ".mat", ".png"])
def test_a_target_that_is_a_program(suffix: str, payload: bytes, tmp_path: Path, marker: Path) -> None:
    path = tmp_path / f"1{suffix}"
    for content in (payload, numpy_object(Bomb(marker))):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"1\{suffix} (cannot be read|holds no array)"):
            read_array(path)


def test_a_target_of_cells_or_structures(tmp_path: Path) -> None:
    path = tmp_path / "depth.mat"
    for content in (np.array([[np.zeros(2), "text"]], dtype=object), {"a": np.zeros(2)}):
        savemat(path, {"depth": content})
        with pytest.raises(DataError, match=r"depth\.mat holds no array of numbers"):
            read_array(path)


def test_splits_of_cells(tmp_path: Path) -> None:
    path = tmp_path / "splits.mat"
    cells = np.array([[np.zeros(2)]], dtype=object)
    savemat(path, {"trainNdxs": cells, "testNdxs": cells})
    with pytest.raises(DataError, match=r"splits\.mat: trainNdxs must be whole numbers"):
        read_splits(path, 10)


@pytest.mark.parametrize("make", [numpy_object, PICKLES["pickle 5"]])
def test_an_mtan_frame_that_is_a_program(make: Callable[[Bomb], bytes], tmp_path: Path, marker: Path) -> None:
    for split in ("train", "val"):
        for kind in ("image", "label", "depth", "normal"):
            (tmp_path / split / kind).mkdir(parents=True)
            for number in range(3):
                (tmp_path / split / kind / f"{number}.npy").write_bytes(make(Bomb(marker)))
    config = make_config(dataset_name="NYU_MTAN", data_dir_NYU_MTAN=tmp_path, task_list=["segmentsemantic"])
    with pytest.raises(DataError, match=r"\d+\.npy"):
        MTANDataset(config, "test")[0]


def test_a_cache_of_objects_is_not_taken_for_addresses(tmp_path: Path) -> None:
    """A memory map of the type object takes the file's bytes for pointers."""
    facts = {"names": ["1"], "bad": {}, "scales": [1.0], "shape": [2], "type": "O"}
    (tmp_path / FACTS).write_text(json.dumps(facts))
    (tmp_path / CODES).write_bytes(b"\x01" * 16)
    with pytest.raises(ValueError, match="the type object; expected numbers"):
        Part(tmp_path)


def test_json_without_a_bottom(tmp_path: Path) -> None:
    path = tmp_path / "splits.json"
    path.write_text(DEEP)
    with pytest.raises(TrialError, match=r"splits\.json: cannot be read"):
        files.load_json(path)
    config = make_config(dataset_name="celebA", data_dir_celebA=tmp_path, data_split_file="splits.json")
    with pytest.raises(DataError, match=r"splits\.json is not a JSON object"):
        celeba_splits(config)
    assert files.read_lines(path) == []
