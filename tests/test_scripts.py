"""The command lines, as a user meets them: help, mistakes, refusals, and Ctrl-C."""

import argparse
import contextlib
import io
import json
import logging
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from datasets.synthetic.rooms import write_rooms
from engine import checkpoint as files
from tests.small import ROOMS, SIZE, copy_without, listing, narrow_resnetd, small_config

ROOT = Path(__file__).parent.parent
MAIN, OUTPUTS, CELEB, PLOT, PREPARE, PREDICT, COMPACT = (
    *("main_multi_trials.py", "get_outputs.py", "get_out_put_celeb.py", "plot_sparsity_wandb.py", "prepare_data.py"),
    *("predict.py", "compact_model.py"),
)
SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))
BENCHMARKS = sorted(f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("*_*.py"))


def environment() -> dict[str, str]:
    """Return the environment of a started script: without a tracker's key."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}


@dataclass(frozen=True)
class Done:
    """Exit code and output of a script."""

    returncode: int
    stdout: str
    stderr: str


def start(cwd: Path, script: str, *arguments: str | Path, options: tuple[str, ...] = ()) -> Done:
    """Run a script as a process of its own, in ``cwd``; it may not ask anything."""
    done = subprocess.run(
        [sys.executable, *options, str(ROOT / script), *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def call(cwd: Path, script: str, *arguments: str | Path) -> Done:
    """The same within this process, which has torch loaded already: that alone takes seconds."""
    out, err, logger = io.StringIO(), io.StringIO(), logging.getLogger()
    before, handlers, level = sys.argv, logger.handlers[:], logger.level
    sys.argv = [str(ROOT / script), *map(str, arguments)]
    try:
        with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            runpy.run_path(str(ROOT / script), run_name="__main__")
    except SystemExit as end:
        assert isinstance(end.code, int)
        return Done(end.code, out.getvalue(), err.getvalue())
    finally:
        sys.argv, logger.handlers[:] = before, handlers
        logger.setLevel(level)
    pytest.fail("a script ends with an exit code")


def succeeded(cwd: Path, script: str, *arguments: str | Path) -> Done:
    """Call a script that has to end with exit code 0."""
    done = call(cwd, script, *arguments)
    assert done.returncode == 0, done.stderr
    return done


def refused(cwd: Path, script: str, *arguments: str | Path) -> str:
    """The message of a script that refuses: exit code 2, and nothing was written or removed."""
    before = listing(cwd)
    folders = {path for path in cwd.rglob("*") if path.is_dir()}
    done = call(cwd, script, *arguments)
    assert done.returncode == 2, done.stderr
    assert listing(cwd) == before
    assert {path for path in cwd.rglob("*") if path.is_dir()} == folders
    return done.stderr


@pytest.fixture(scope="module", autouse=True)
def narrow() -> Iterator[None]:
    """Trainings have a small network."""
    with narrow_resnetd():
        yield


def make_folder(folder: Path, **values: Any) -> Path:
    """Rooms and a configuration."""
    write_rooms(folder / "rooms", ROOMS, SIZE)
    config = small_config(Path("rooms"), Path("results"), Experiment_name="mine_", backbone="resnetd18", **values)
    config.save(folder / "mine.yaml")
    return folder


@pytest.fixture(scope="module")
def trained() -> Iterator[Path]:
    """A folder with rooms, a configuration and its trained trial in ``results/runs``."""
    with tempfile.TemporaryDirectory() as name:
        folder = make_folder(Path(name), epochs=1)
        succeeded(folder, MAIN, "--config_exp", "mine.yaml")
        yield folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files that are to be copied."""
    return make_folder(tmp_path_factory.mktemp("prepared"), epochs=3)


@pytest.fixture
def empty(prepared: Path) -> Iterator[Path]:
    """A folder with rooms and a configuration, where nothing has been trained."""
    with tempfile.TemporaryDirectory() as name:
        yield copy_without(prepared, Path(name) / "here")


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_comes_at_once(script: str, tmp_path: Path) -> None:
    done = start(tmp_path, script, "--help", options=("-X", "importtime"))
    assert done.returncode == 0
    assert f"usage: {script}" in done.stdout
    assert f"python {script}" in done.stdout, "an example to copy"
    assert all(line.startswith("import time:") for line in done.stderr.splitlines())
    assert not re.search(r"\| +(torch|pandas|matplotlib|pydantic)\b", done.stderr), "what takes seconds to import"


@pytest.mark.parametrize("script", SCRIPTS)
def test_wrong_arguments_exit_with_2(script: str, tmp_path: Path) -> None:
    for arguments in ([], ["--no_such_thing"]):
        assert script in refused(tmp_path, script, *arguments).splitlines()[-1]


def test_a_refusal_shows_no_traceback(tmp_path: Path) -> None:
    """As a process of its own: what Python prints on its way out is seen here alone."""
    done = start(tmp_path, MAIN, "--config_exp", "none.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: none.yaml: there is no such file\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config_exp", "none.yaml"], "none.yaml: there is no such file; beside it: mine.yaml"),
        (["--config_exp", "mine.yaml", "data_dir_NYU=nowhere"], "data_dir_NYU: nowhere is no folder"),
        (["--config_exp", "mine.yaml", "splits.train=other"], "splits.train: 'other': there is no file"),
        (["--config_exp", "mine.yaml", "num_trials=0"], "num_trials: is 0"),
        (["--config_exp", "mine.yaml", "device=cuda:77"], "device: 'cuda:77' is not there"),
        (["--config_exp", "mine.yaml", "train_batch_size=6"], "train_batch_size: 6 is more than the 5 frames"),
        (["--config_exp", "mine.yaml", "--out_dir", "mine.yaml"], "mine.yaml: the results cannot be written"),
        (["--config_exp", "mine.yaml", "checkpoint_folder=mine.yaml/x"], "checkpoint_folder"),
        (["--config_exp", "mine.yaml", "--resume", "--overwrite"], "not allowed with"),
        (["--config_exp", "mine.yaml", "epochs=010"], "override 'epochs=010': 010 is 8 to YAML; write 10"),
        (["--config_exp", "mine.yaml", "--resume"], "there is nothing to resume: no trial of 'mine_' is in results/runs"),
        (["mine.yaml", "--resume"], "there is nothing to resume: no trial of 'mine_' is in results/runs"),
        (["none.yaml", "epochs=3"], "none.yaml: there is no such file; beside it: mine.yaml"),
        (["--resume", "mine.yaml", "epochs=010"], "override 'epochs=010': 010 is 8 to YAML; write 10"),
        (["--config_exp", "mine.yaml", "mine.yaml"], "override 'mine.yaml': expected key=value"),
        (["epochs=3"], "name the YAML file: --config_exp FILE, or FILE as first argument"),
        (["mine.yaml", "--epochs", "3"], "error: --epochs: is a key of the configuration; write epochs=3\n"),
        (["mine.yaml", "--train-batch-size=4"], "; write train_batch_size=4\n"),
        (["mine.yaml", "--bb_optimizer_params.lambda", "1e-5"], "; write bb_optimizer_params.lambda=1e-5\n"),
        (["mine.yaml", "--epohcs", "3"], "unrecognized arguments: --epohcs"),
    ],
)
def test_main_refuses_in_one_message_and_writes_nothing(empty: Path, arguments: list[str], message: str) -> None:
    assert message in refused(empty, MAIN, *arguments)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("argument --config_exp", ["--config_exp={}"]),
        ("argument --out_dir", ["--config_exp=mine.yaml", "--out_dir={}"]),
        ("data_dir_NYU", ["--config_exp=mine.yaml", "data_dir_NYU={}"]),
        ("checkpoint_folder", ["--config_exp=mine.yaml", "checkpoint_folder={}"]),
        ("cache", ["--config_exp=mine.yaml", "cache={}"]),
        ("init_weights", ["--config_exp=mine.yaml", "backbone=resnet18", "init_weights={}"]),
    ],
)
def test_a_path_that_names_nothing_is_refused_and_no_folder_is_called_so(
    empty: Path, name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    said = f"{name}: '$NOWHERE/a': the environment variable NOWHERE is not set"
    assert said in refused(empty, MAIN, *(argument.format("$NOWHERE/a") for argument in arguments))


FREE_TEXT = {"overrides", "device", "tasks", "task", "images", "backbone", "run", "ray_resources", "ours"}
"""Arguments that are neither paths nor checked by a type of their own."""


@pytest.mark.parametrize("script", [*SCRIPTS, *BENCHMARKS])
def test_all_paths_are_read_alike(script: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An option without a type would be a path that keeps its ``~``, if it is one."""
    actions: list[argparse.Action] = []
    add = argparse.ArgumentParser.add_argument

    def add_argument(self: argparse.ArgumentParser, *names: Any, **settings: Any) -> argparse.Action:
        actions.append(add(self, *names, **settings))
        return actions[-1]

    monkeypatch.setattr(argparse.ArgumentParser, "add_argument", add_argument)
    assert call(tmp_path, script, "--help").returncode == 0
    plain = [action for action in actions if action.nargs != 0 and action.type in (None, str, Path) and not action.choices]
    assert {action.dest for action in plain} <= FREE_TEXT
    assert len(actions) > 1


def test_an_option_that_is_a_path_leads_where_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    succeeded(tmp_path / "here", PREPARE, "synthetic", "--dataset=nyu", "--frames=3", "--size=32", "--out=$PLACE/set")
    assert (tmp_path / "home" / "set" / "gt_sets").is_dir()
    assert not list((tmp_path / "here").iterdir())


def test_a_second_run_on_top_is_refused(trained: Path) -> None:
    message = refused(trained, MAIN, "--config_exp", "mine.yaml")
    assert "results/runs/mine__trial_0 is there already" in message
    assert "--resume" in message
    assert "--overwrite" in message


def test_outputs_are_evaluated_again_to_the_same_tables(trained: Path, tmp_path: Path) -> None:
    succeeded(trained, OUTPUTS, "--exp_name", "mine", "--num_trials", "1", "--out_dir", tmp_path)
    for suffix in ("", "_trials"):
        assert (tmp_path / f"mine_{suffix}.csv").read_bytes() == (trained / "out_csv" / f"mine_{suffix}.csv").read_bytes()


def test_outputs_of_another_split_have_a_name_of_their_own(trained: Path, tmp_path: Path) -> None:
    options = ("--results_dir", "results/runs", "--data_dir", trained / "rooms", "--device", "cpu", "--out_dir", tmp_path)
    succeeded(trained, OUTPUTS, "--exp_name", "mine", "--split", "val", *options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine__val.csv", "mine__val_trials.csv"]
    line = files.read_lines(trained / "results" / "runs" / "mine__trial_0" / files.METRICS)[0]
    row = pd.read_csv(tmp_path / "mine__val_trials.csv").iloc[0]
    assert row["depth_euclidean_rmse"] == pytest.approx(line["val/depth_euclidean_rmse"], rel=1e-6)


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        (OUTPUTS, ["--exp_name", "other"], "no trial of that name in results/runs (looked for other_trial_<i>"),
        (OUTPUTS, ["--exp_name", "mine", "--num_trials", "5"], "has 1 trial (numbers 0)"),
        (OUTPUTS, ["--exp_name", "mine", "--num_trials", "0"], "argument --num_trials: 0 is too small"),
        (OUTPUTS, ["--exp_name", "mine", "--data_dir", "nowhere"], "data_dir: nowhere is no folder"),
        (OUTPUTS, ["--exp_name", "mine", "--device", "gpu"], "device: 'gpu' is not valid"),
        (OUTPUTS, ["--exp_name", "mine", "--out_dir", "mine.yaml"], "mine.yaml: the results cannot be written"),
        (CELEB, ["--exp_name", "mine"], "trained on dataset_name: 'NYU'"),
        (PLOT, ["--exp_folder_path", "rooms"], "rooms: holds no config_file.yaml, so it is not the folder of a trial"),
        (COMPACT, ["--exp_folder_path", "rooms"], "rooms: holds no config_file.yaml, so it is not the folder of a trial"),
        (COMPACT, ["--exp_folder_path", "results/runs/mine__trial_0", "--device", "gpu"], "device: 'gpu' is not valid"),
        (COMPACT, ["--exp_folder_path", "results/runs/mine__trial_0", "--data_dir", "nowhere"], "nowhere is no folder"),
    ],
)
def test_the_other_scripts_refuse_in_one_message(trained: Path, script: str, arguments: list[str], message: str) -> None:
    assert message in refused(trained, script, *arguments)


TRIAL = "results/runs/mine__trial_0"


@pytest.mark.parametrize("name", [TRIAL, f"{TRIAL}/checkpoint.pt", "mine__trial_0", "mine_", "mine", "results/runs/mine_"])
def test_a_trial_has_the_same_names_for_every_script(
    name: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[Path] = []
    monkeypatch.setattr("deploy.sparsity_plot.plot_trial", lambda folder, tracking: called.append(folder))
    monkeypatch.setattr("deploy.trial_compaction.compact_trial", lambda folder, *_, **__: called.append(folder) or True)
    monkeypatch.setattr("deploy.prediction.predict_photos", lambda predictor, *_: called.append(predictor.source))
    succeeded(trained, PLOT, "--exp_folder_path", name)
    succeeded(trained, COMPACT, "--exp_folder_path", name)
    succeeded(trained, PREDICT, *predict_arguments(model=name))
    assert called == [Path(TRIAL)] * 3
    succeeded(trained, OUTPUTS, "--exp_name", name, "--out_dir", tmp_path)
    table = "mine_" if name.endswith(("mine", "mine_")) else "mine__trial_0"
    assert (tmp_path / f"{table}.csv").is_file()


def test_sparsity_is_drawn_beside_the_checkpoint(trained: Path) -> None:
    folder = trained / "results" / "runs" / "mine__trial_0"
    succeeded(trained, PLOT, "--exp_folder_path", folder.relative_to(trained))
    assert (folder / "sparsity_plot.png").stat().st_size > 10_000
    assert (folder / "sparsity_plot.pdf").read_bytes().startswith(b"%PDF")
    table = pd.read_csv(folder / "sparsity.csv")
    assert list(table.columns)[:6] == ["layer", "stage", "groups", "live_groups", "parameters", "live_parameters"]
    assert len(table) == 15, "three of the stem, and three per block"
    assert (table["groups"] == table["live_groups"]).all()


def test_a_compact_model_is_written_beside_the_checkpoint(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In few rounds, on a system that tells no peak of the memory; the file is a network for predict.py."""
    monkeypatch.setattr("deploy.latency.MOST", 3)
    monkeypatch.setattr("deploy.trial_compaction.cpu_peaks", lambda *_: None)
    source = trained / "results" / "runs" / "mine__trial_0"
    folder = copy_without(source, tmp_path / "mine__trial_0", files.LAST)
    before = set(listing(folder))
    succeeded(trained, COMPACT, "--exp_folder_path", folder, "--check", "2", "--device", "cpu")
    reports = {"compact_report.json", "compact_report.md", "compact_report.png"}
    written = {"compact.safetensors", "model_card.md", *reports}
    assert set(listing(folder)) - before == written
    report = json.loads((folder / "compact_report.json").read_text())
    assert report["check"]["source"] == "2 of the 5 frames of the test split"
    assert all(row["rounds"] == 3 for row in report["latency"])
    assert "not measured" in report["memory"]["how"]
    model = str(folder / "compact.safetensors")
    succeeded(trained, PREDICT, *predict_arguments(model=model, out=str(tmp_path / "out"), tasks="depth_euclidean"))


def test_outputs_of_compact_models_have_a_name_of_their_own(trained: Path, tmp_path: Path) -> None:
    succeeded(trained, OUTPUTS, "--exp_name", "mine", "--compact", "--out_dir", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine__compact.csv", "mine__compact_trials.csv"]
    row = pd.read_csv(tmp_path / "mine__compact_trials.csv").iloc[0]
    trained_row = pd.read_csv(trained / "out_csv" / "mine__trials.csv").iloc[0]
    assert row["depth_euclidean_rmse"] == pytest.approx(trained_row["depth_euclidean_rmse"], abs=1e-4)
    assert row["largest_metric_difference"] <= 1e-4


def predict_arguments(**changes: str) -> list[str]:
    """Return the arguments of a prediction of the rooms' images by the trained trial, with ``changes``."""
    given = {"model": "results/runs/mine__trial_0", "images": "rooms/images", "out": "predictions", **changes}
    return [text for name, value in given.items() for text in (f"--{name}", value)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "nowhere"}, "--model 'nowhere': no trial of that name in results/runs (looked for nowhere_trial_<i>"),
        ({"model": "mine.yaml"}, "--model mine.yaml: is no trial; expected its folder, its checkpoint.pt, or the name"),
        ({"images": "mine.yaml"}, "--images mine.yaml: is no photo"),
        ({"tasks": "depth_euclidan"}, "did you mean 'depth_euclidean'?"),
        ({"out": "mine.yaml"}, "mine.yaml: the results cannot be written"),
    ],
)
def test_predict_refuses_in_one_message_and_writes_nothing(trained: Path, changes: dict[str, str], message: str) -> None:
    assert message in refused(trained, PREDICT, *predict_arguments(**changes))


def test_photos_are_predicted_and_a_second_time_only_when_asked_to(trained: Path, tmp_path: Path) -> None:
    photos = sorted(path.stem for path in (trained / "rooms" / "images").iterdir())[:2]
    for name in photos:
        (tmp_path / "photos").mkdir(exist_ok=True)
        shutil.copy(trained / "rooms" / "images" / f"{name}.jpg", tmp_path / "photos")
    out, tasks = tmp_path / "out", "segmentsemantic, depth_euclidean"
    arguments = predict_arguments(images=str(tmp_path / "photos"), out=str(out), tasks=tasks, device="cpu")
    succeeded(trained, PREDICT, *arguments)
    assert sorted(path.stem for path in (out / "overview").iterdir()) == photos
    assert np.load(out / "depth_euclidean" / f"{photos[0]}.npy").shape == SIZE
    before = listing(out)
    assert "holds predictions already" in refused(trained, PREDICT, *arguments)
    assert listing(out) == before
    assert call(trained, PREDICT, *arguments, "--overwrite").returncode == 0
    assert listing(out).keys() == before.keys()


def test_an_unreadable_photo_ends_with_1(trained: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "broken.jpg").touch()
    Image.new("L", (20, 10)).save(photos / "whole.png")
    done = call(trained, PREDICT, *predict_arguments(images=str(photos), out=str(tmp_path / "out")))
    assert done.returncode == 1
    assert "broken.jpg cannot be read as an image" in done.stderr
    assert "predictions of 1 of 2 photos" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "out" / "overview").iterdir()] == ["whole.png"]


def test_a_broken_checkpoint_is_one_message(trained: Path) -> None:
    """Cut, of another network, and missing."""
    broken = trained / "results" / "runs" / "broken_trial_0"
    source = trained / "results" / "runs" / "mine__trial_0"
    broken.mkdir()
    config = (source / files.CONFIG).read_text()
    (broken / files.CONFIG).write_text(config)
    path = "results/runs/broken_trial_0"
    try:
        assert "checkpoint.pt: there is no such file" in refused(trained, OUTPUTS, "--exp_name", "broken")
        (broken / files.BEST).write_bytes((source / files.BEST).read_bytes()[:10_000])
        assert "checkpoint.pt: is not a checkpoint" in refused(trained, PLOT, "--exp_folder_path", path)
        (broken / files.BEST).write_bytes((source / files.BEST).read_bytes())
        (broken / files.CONFIG).write_text(config.replace("backbone: resnetd18", "backbone: resnet18"))
        assert "does not fit the network of config_file.yaml" in refused(trained, OUTPUTS, "--exp_name", "broken")
        (broken / files.CONFIG).write_text("epochs: x\n")
        assert "config_file.yaml: " in refused(trained, PLOT, "--exp_folder_path", path)
    finally:
        for entry in broken.iterdir():
            entry.unlink()
        broken.rmdir()


@pytest.mark.slow
def test_a_training_needs_no_compiler_no_home_and_no_network(empty: Path) -> None:
    apart = ["unshare", "--net"] if shutil.which("unshare") and os.geteuid() == 0 else []
    given = ["mine.yaml", "epochs=2", "backbone=resnet18", "wandb_img_log=true", "group_sparsity=true", "target_sparsity=0.5"]
    nowhere = {"PATH": str(empty / "no programs"), "HOME": str(empty / "mine.yaml")}
    kept = {name: value for name, value in environment().items() if name not in ("CC", "MPLCONFIGDIR", "XDG_CACHE_HOME")}
    command = [*map(shutil.which, apart[:1]), *apart[1:], sys.executable, str(ROOT / MAIN), *given]
    done = subprocess.run(command, cwd=empty, env=kept | nowhere, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert "no C compiler" in done.stderr
    assert (empty / "results" / "runs" / "mine__trial_0" / files.TEST).is_file()


@pytest.mark.slow
def test_ctrl_c_saves_the_state_and_resuming_finishes(empty: Path) -> None:
    given = ("--config_exp", "mine.yaml", "epochs=4", "backbone=resnet18")  # which is not patched
    arguments = [sys.executable, str(ROOT / MAIN), *given, "num_workers=2"]
    folder = empty / "results" / "runs" / "mine__trial_0"
    with subprocess.Popen(
        arguments,
        cwd=empty,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        end = time.monotonic() + 120
        while len(files.read_lines(folder / files.METRICS)) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        _, message = process.communicate(timeout=60)
    assert process.returncode == 130, message
    assert "Traceback" not in message
    assert re.search(r"go on with: python \S*main_multi_trials.py --config_exp mine.yaml .* --resume\n", message)
    assert message.endswith("interrupted\n")
    assert files.load_tensors(folder / files.LAST)["epochs"] in range(1, 4)
    assert not (folder / files.TEST).exists()
    assert not [path for path in folder.iterdir() if path.name.startswith(".")], "no half-written file"
    done = succeeded(empty, MAIN, *given, "--resume")
    assert "continues after epoch" in done.stderr
    assert [line["epoch"] for line in files.read_lines(folder / files.METRICS)] == list(range(4))


def test_a_diverging_training_ends_with_1_and_says_what_to_do(empty: Path) -> None:
    params = "{learning_rate: 1.0e+30}"
    done = call(empty, MAIN, "--config_exp", "mine.yaml", f"optimizer_params={params}", f"bb_optimizer_params={params}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: trial 0: the " in done.stderr
    assert "a lower learning rate may help" in done.stderr
