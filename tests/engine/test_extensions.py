"""A penalty, a backbone, a loss weighting, a task and a kind of target are each one module, and one line in a registry.

The classes are the code of docs/add_*.md.
"""

import contextlib
import dataclasses
import importlib
import json
import multiprocessing
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
import yaml

from datasets import build_dataset, train_loader
from datasets.targets import read_target
from deploy.meaning import meaning_of_files
from deploy.prediction import load_predictor, predict_photos
from engine import checkpoint as files
from engine import run_experiment
from engine.trainer import forward_losses
from optim import GroupLasso
from optim.penalties import PENALTIES
from settings.registries import BACKBONES, WEIGHTINGS, Backbone
from tasks.kinds import KINDS
from tasks.table import TASKS, Task
from tests.equality import equal
from tests.small import make_trial, narrow_resnetd, small_config
from tests.test_docs import blocks
from utils.errors import ConfigError, DataError

ROOT = Path(__file__).resolve().parents[2]


def code(page: str, language: str = "python") -> str:
    """Return all code of a page of docs/."""
    return "\n".join(blocks(ROOT / "docs" / page, language))


def names(source: str, *modules: ModuleType) -> dict[str, Any]:
    """Return what our own documentation's code defines, where the names of some modules are known."""
    namespace = {name: value for module in modules for name, value in vars(module).items()}
    exec(source, namespace)
    return namespace


@pytest.fixture(autouse=True)
def registries() -> Iterator[None]:
    """Registries are as before after a test, in which ``resnetd18`` is narrow."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(narrow_resnetd())
        for registry in (PENALTIES, BACKBONES, WEIGHTINGS, KINDS, TASKS):
            stack.enter_context(mock.patch.dict(registry))  # type: ignore[arg-type]
        yield


def lines(folder: Path) -> list[dict[str, Any]]:
    """Return the record of the trial below a folder."""
    return files.read_lines(folder / "runs" / "small_trial_0" / files.METRICS)


def be_new(program: str, folder: Path, *arguments: str) -> None:
    """Be a process that has loaded the packages of others, which takes seconds, and none of ours: run a program that may import
    what is in ``folder``."""
    for name in [name for name in sys.modules if (ROOT / name.partition(".")[0]).is_dir()]:
        del sys.modules[name]
    sys.path[:0] = [str(folder), str(ROOT)]
    sys.argv = ["", *arguments]
    exec(program, {"__name__": "__main__"})


PROGRAM = """
import json, sys
from pathlib import Path
import ridged_lasso  # before the schema is made, as a class in optim/penalties.py is
from engine import run_experiment
from settings.key_table import key_table
from study.labels import kind_label
from tests.small import narrow_resnetd, small_config
from utils.errors import ConfigError

rooms, folder, values = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
with narrow_resnetd():
    config = small_config(rooms, folder, group_sparsity=True, backbone="resnetd18", epochs=1, **values)
    table = run_experiment(config, out_dir=folder / "out")
problems = []
for wrong in ({"ridge": -1}, {"penalty": "ridge"}):
    try:
        small_config(rooms, folder, bb_optimizer_params=wrong)
    except ConfigError as error:
        problems.append(str(error))
row = {"penalty": "ridged_lasso", "variant": "", "sparse": True, "lambda": 0.1, "target_sparsity": None}
said = {"rows": len(table), "problems": problems, "keys": key_table(), "label": kind_label(row)}
(folder / "said.json").write_text(json.dumps(said))
"""


def test_a_penalty_is_a_class_in_the_registry(rooms: Path, work: Path) -> None:
    (work / "ridged_lasso.py").write_text(code("add_a_penalty.md"), encoding="utf-8")
    values = yaml.safe_load(code("add_a_penalty.md", "yaml"))
    given = (str(rooms), str(work), json.dumps(values))
    process = multiprocessing.get_context("fork").Process(target=be_new, args=(PROGRAM, work, *given))
    process.start()
    process.join(300)
    assert process.exitcode == 0
    said = json.loads((work / "said.json").read_text())
    assert said["rows"]
    assert "bb_optimizer_params.ridge: -1 is not valid; expected a number >= 0" in said["problems"][0]
    assert "did you mean 'ridged_lasso'?" in said["problems"][1]
    assert "| `optimizer_params.ridge` | `1` | Part of `ridged_lasso` that is a square; 0 is `l1_l2`. |" in said["keys"]
    assert said["label"].startswith("group lasso with a ridge, ")
    assert lines(work)[-1]["penalty"] > 0
    state = torch.load(work / "runs" / "small_trial_0" / files.LAST, weights_only=True)
    assert state["optimizer"]["param_groups"][0]["penalty"] == {"name": "ridged_lasso", "lambda_": 1e-5, "ridge": 0.5}


def test_the_prox_of_the_page_s_penalty_is_the_minimiser() -> None:
    penalty = names(code("add_a_penalty.md"), dataclasses)["RidgedLasso"]
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 6, 3, 3, generator=generator, dtype=torch.float64) * torch.linspace(0, 1, 6).view(-1, 1, 1)
    metric = torch.rand(weight.shape, generator=generator, dtype=torch.float64) + 0.1
    ridged = penalty(0.05, ridge=2.0)
    z = ridged.prox(weight, metric, 0.3)
    dead = (z == 0).all(3).all(2).all(0)
    assert 0 < int(dead.sum()) < 6
    assert dead.equal(ridged.critical(weight, metric, 0.3) <= 0.05)
    torch.testing.assert_close(penalty(0.05, ridge=0.0).prox(weight, metric, 0.3), GroupLasso(0.05).prox(weight, metric, 0.3))

    def objective(point: torch.Tensor) -> float:
        return float(0.5 * (metric * (point - weight) ** 2).sum() + 0.3 * ridged.value(point))

    for scale in (1e-3, 1e-1):
        moves = torch.randn(50, *z.shape, generator=generator, dtype=torch.float64) * scale
        assert all(objective(z + move) > objective(z) for move in moves)


def test_what_penalties_share_they_declare_alike() -> None:
    declared: dict[str, Any] = {}
    for penalty in PENALTIES.values():
        for name, parameter in penalty.parameters().items():
            assert declared.setdefault(name, (parameter.default, parameter.metadata)) == (parameter.default, parameter.metadata)
            assert parameter.metadata["meaning"].endswith(".")


def test_a_backbone_is_a_module_in_the_registry(rooms: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "two_convolutions.py").write_text(code("add_a_backbone.md"), encoding="utf-8")
    monkeypatch.syspath_prepend(str(work))
    with pytest.raises(ConfigError, match="backbone: 'two' is not valid; expected 'resnetd18', "):
        small_config(rooms, work, backbone="two")
    BACKBONES["two"] = Backbone("two_convolutions:TwoConvolutions")
    with pytest.raises(ConfigError, match=r"init_weights: .* is for torchvision's backbones, and backbone is 'two'"):
        small_config(rooms, work, backbone="two", init_weights="file.pt")
    target: dict[str, Any] = {"backbone": "two", "group_sparsity": True, "target_sparsity": 0.5}
    with pytest.raises(ConfigError, match=r"preserve_norm: true .*target_sparsity.* needs .* anatomy\(\), and 'two' has none"):
        run_experiment(small_config(rooms, work, **target, bb_optimizer_params={"penalty": "l1_l2"}), out_dir=work / "out")
    sparse = {"group_sparsity": True, "bb_optimizer_params": {"lambda": 0.1}}
    with pytest.raises(ConfigError, match=r"shrink: true needs .* anatomy\(\), and 'two' has none"):
        run_experiment(small_config(rooms, work, backbone="two", **sparse, debias_from=1, shrink=True), out_dir=work / "out")
    run_experiment(small_config(rooms, work, backbone="two", **sparse, epochs=1), out_dir=work / "out")
    assert {"group_sparsity/stem", "group_sparsity/3"} <= lines(work)[-1].keys()
    make_trial(small_config(rooms, work, **target))  # what is selected keeps its norm anyway


def test_a_loss_weighting_is_a_class_in_the_registry(rooms: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "equal_pull.py").write_text(code("add_a_loss_weighting.md"), encoding="utf-8")
    monkeypatch.syspath_prepend(str(work))
    WEIGHTINGS["equal_pull"] = "equal_pull:EqualPull"
    config = small_config(rooms, work, comb_loss="equal_pull", backbone="resnetd18")
    gradients = []
    for combination in ("equal_pull", "sum"):
        trial = make_trial(config.model_copy(update={"comb_loss": combination, "checkpoint_folder": str(work / combination)}))
        batch = next(iter(train_loader(trial.config, trial.seed, False)))
        torch.manual_seed(0)
        passed = forward_losses(trial, batch)
        assert passed.total is not None and passed.features is not None
        trial.weighting.backward(*passed)
        gradients.append({name: weight.grad for name, weight in trial.model.named_parameters()})
    balanced, plain = gradients
    assert all(balanced[name].equal(plain[name]) for name in plain if name.startswith("heads."))
    assert not any(balanced[name].equal(plain[name]) for name in plain if name.endswith("conv1.weight"))
    # An interrupted training goes on with the same numbers.
    run_experiment(config, out_dir=work / "out")
    whole = torch.load(work / "runs" / "small_trial_0" / files.LAST, weights_only=True)
    halves = config.model_copy(update={"checkpoint_folder": str(work / "halves")})
    run_experiment(halves.model_copy(update={"epochs": 1}), out_dir=work / "halves_out")
    run_experiment(halves, out_dir=work / "halves_out", resume=True)
    resumed = torch.load(work / "halves" / "small_trial_0" / files.LAST, weights_only=True)
    assert equal(whole["model"], resumed["model"])


@pytest.fixture
def more_tasks(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tasks of docs/add_a_task.md are in the table."""
    (work / "more_tasks.py").write_text(code("add_a_task.md"), encoding="utf-8")
    monkeypatch.syspath_prepend(str(work))
    monkeypatch.setitem(sys.modules, "more_tasks", mock.sentinel.none)
    del sys.modules["more_tasks"]
    importlib.import_module("more_tasks")


def test_a_task_is_an_entry_and_its_objective_a_class(rooms: Path, work: Path, more_tasks: None) -> None:
    TASKS.update({name: replace(TASKS[name], source={"NYU": "edge"}) for name in ("occlusion_edges", "boundaries")})
    config = small_config(rooms, work, task_list=["occlusion_edges", "boundaries"], epochs=1, backbone="resnetd18")
    row = run_experiment(config, out_dir=work / "out").iloc[0]
    assert 0 <= row["boundaries_good_pixels"] <= 1
    assert row["occlusion_edges_abs_err"] > 0
    assert lines(work)[-1]["val/loss/boundaries"] > 0
    assert meaning_of_files(TASKS["boundaries"], config, "") == {"values": "strength of a boundary"}


def test_a_kind_of_target_is_an_entry_in_the_registry(rooms: Path, work: Path, more_tasks: None) -> None:
    data = shutil.copytree(rooms, work / "data")
    (data / "heat").mkdir()
    for path in (data / "depth").iterdir():
        degrees = 5 * np.load(path) - 20
        degrees[:4] = np.nan
        np.save(data / "heat" / path.name, degrees)
    small = {"task_list": ["heat"], "epochs": 1, "backbone": "resnetd18", "cache": True, "wandb_img_log": True}
    config = small_config(data, work, **small)
    kept, read = (build_dataset(config.with_values(cache=cache), "val")[0] for cache in (True, False))
    assert kept["targets"]["heat"].equal(read["targets"]["heat"]) and float(read["targets"]["heat"].min()) < -5
    assert kept["masks"]["heat"].equal(read["masks"]["heat"]) and not read["masks"]["heat"].all()
    assert run_experiment(config, out_dir=work / "out").iloc[0]["heat_abs_err"] > 0
    assert (config.trial_folder(0) / "predictions" / "best.png").is_file()
    assert predict_photos(load_predictor(config.trial_folder(0)), data / "images", work / "predicted") == []
    assert json.loads((work / "predicted" / "predictions.json").read_text())["tasks"] == {"heat": {"values": "degrees Celsius"}}
    np.save(data / "heat" / path.name, np.ones((2, 2), np.uint8))
    with pytest.raises(DataError, match="expected floats"):
        read_target(TASKS["heat"], data / "heat" / path.name)


def test_a_task_of_no_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"heat: kind must be one of segmentation, depth, .*, got 'temperature'"):
        Task("heat", "temperature", "Temperature", "heat", "none", "abs_err")
