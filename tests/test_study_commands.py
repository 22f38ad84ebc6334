"""A study from its command lines: planned, trained, killed, shared, failed, and reported."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from datasets.synthetic.rooms import write_rooms
from engine import checkpoint as files
from tests.killed_runs import KILLED, Act, Moment, Run, interrupt, kill_before
from tests.small import ROOMS, SIZE, copy_without, listing
from tests.studies import write_study
from tests.test_scripts import MAIN, ROOT, call, environment, narrow, refused, succeeded

__all__ = ["narrow"]

REPORT = "make_report.py"
AXES = {"setup": "singletask", "group_sparsity": [False, True], "lambda": 0.1}
SHORT: dict[str, Any] = {"task_list": ("segmentsemantic",), "setup": "singletask", "epochs": 2, "backbone": "resnetd18"}
NAMES = ("seg_dense_trial_0", "seg_l1_l2_lambda0.1_trial_0")
STUDY = "studies/tiny"


def make_folder(folder: Path, axes: Any = AXES, **values: Any) -> Path:
    """A folder with rooms and the file of a study, all paths relative to it; nothing is trained."""
    write_rooms(folder / "rooms", ROOMS, SIZE)
    path = write_study(folder, Path("rooms"), axes, **{**SHORT, **values})
    path.write_text(path.read_text().replace(str(folder / "studies"), "studies"))
    return folder


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the module."""
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module")
def trained(scratch: Path) -> Path:
    """A folder with the study of two runs, trained without any interruption."""
    folder = make_folder(scratch / "trained")
    succeeded(folder, MAIN, "--config_exp", "study.yaml")
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """A folder with rooms and the file of a study, where nothing has been trained."""
    yield make_folder(tmp_path / "work")
    for path in tmp_path.rglob("*.pt"):
        path.unlink()


def test_a_study_from_its_plan_to_its_report(trained: Path) -> None:
    before = listing(trained)
    plan = succeeded(trained, MAIN, "--config_exp", "study.yaml", "--plan")
    assert plan.stdout.splitlines()[0].startswith("study tiny: 2 settings, 2 runs")
    assert "All runs are finished; the runs are in studies/tiny" in plan.stdout
    assert listing(trained) == before
    again = succeeded(trained, MAIN, "--config_exp", "study.yaml")
    assert (
        "2 of 2 runs are finished; tables, figures and report.html: python make_report.py --study studies/tiny" in again.stderr
    )
    after = listing(trained)
    assert [name for name in before if before[name] != after[name]] == [f"{STUDY}/study.json", f"{STUDY}/study.yaml"]
    made = succeeded(trained, REPORT, "--study", STUDY, "--latency", "no", "--latex")
    names = [f"out_csv/tiny{part}.csv" for part in ("", "_summary", "_curves", "_layers")]
    written = [*names, *(f"{STUDY}/report/{name}" for name in ("report.html", "tables.md", "tables.tex"))]
    assert made.stdout.split()[-len(written) :] == written
    assert all((trained / name).is_file() for name in written)
    assert made.stdout.startswith("Study tiny")
    assert " group lasso, λ = 0.1" in made.stdout
    page = (trained / STUDY / "report" / "report.html").read_text()
    for script, end in ((MAIN, "--config_exp study.yaml"), (REPORT, f"--study {STUDY} --latency no --latex")):
        assert f"{script} {end}" in page, "the exact commands"
    assert list(pd.read_csv(trained / "out_csv" / "tiny_summary.csv")["setting"]) == ["seg_dense", "seg_l1_l2_lambda0.1"]


def check_same(folder: Path, other: Path) -> None:
    """Two studies ended alike."""
    for name in NAMES:
        assert (folder / STUDY / name / files.TEST).read_bytes() == (other / STUDY / name / files.TEST).read_bytes(), name
    assert not list((folder / STUDY).rglob("*unfinished*"))


@pytest.mark.parametrize(
    ("act", "code", "call_", "state"),
    [
        (interrupt, 130, 4, ("finished", "stopped after epoch 1")),
        pytest.param(kill_before, KILLED, 2, ("stopped after epoch 1", "new"), marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_study_goes_on_where_it_was(
    act: Act, code: int, call_: int, state: tuple[str, str], trained: Path, work: Path
) -> None:
    moment = Moment("engine.trainer:train_one_epoch", act, call_)
    stopped = Run(work, "--config_exp", "study.yaml", moment=moment)
    assert stopped.end() == code, stopped.stderr
    assert "Traceback" not in stopped.stderr
    if act is interrupt:
        assert stopped.stderr.splitlines()[-1] == "interrupted"
        assert "study tiny: interrupted with 1 of 2 runs left; go on with: python " in stopped.stderr
        assert "main_multi_trials.py --config_exp study.yaml\n" in stopped.stderr
    plan = call(work, MAIN, "--config_exp", "study.yaml", "--plan").stdout
    assert all(any(word in line for line in plan.splitlines()) for word in state), plan
    before = listing(work / STUDY)
    succeeded(work, MAIN, "--config_exp", "study.yaml")
    after = listing(work / STUDY)
    if state[0] == "finished":
        assert {name: after[name] for name in before if NAMES[0] in name} == {n: before[n] for n in before if NAMES[0] in n}
    check_same(work, trained)


def wait_until_told(inner: Act, *args: Any, **kwargs: Any) -> Any:
    """Begin the epoch only when there is a file called go."""
    Path("waiting").touch()
    end = time.monotonic() + 100
    while not Path("go").exists() and time.monotonic() < end:
        time.sleep(0.05)
    return inner(*args, **kwargs)


@pytest.mark.slow
def test_two_processes_share_a_study(trained: Path, work: Path) -> None:
    """The second one leaves the run that the first is at, and does the other; the first finds that one done."""
    first = Run(work, "--config_exp", "study.yaml", moment=Moment("engine.trainer:train_one_epoch", wait_until_told))
    end = time.monotonic() + 100
    while not (work / "waiting").exists():
        assert time.monotonic() < end, first.stderr
        time.sleep(0.05)
    second = Run(work, "--config_exp", "study.yaml")
    assert second.end() == 0, second.stderr
    assert f"1 of 2 runs left to the process that is at them:\n  {NAMES[0]}: " in second.stderr
    assert "study tiny: 1 of 2 runs are finished" in second.stderr
    (work / "go").touch()
    assert first.end() == 0, first.stderr
    assert "study tiny: 2 of 2 runs are finished" in first.stderr
    assert [text.count(" 1/2 ") for text in (first.stderr, second.stderr)] == [1, 1], "nothing is trained twice"
    check_same(work, trained)


def test_a_run_that_fails_is_the_only_one_and_overwrite_begins_anew(trained: Path, work: Path) -> None:
    changes = {"variant": "bad", "set": {"bb_optimizer_params.learning_rate": 1e30}}
    make_folder(work, [{"setup": "singletask", "group_sparsity": False, **changes}, AXES])
    for name in NAMES:  # as if they were the ones that are left
        copy_without(trained / STUDY / name, work / STUDY / name, files.LAST)
    (work / STUDY / NAMES[0] / files.TEST).write_text("{")
    done = call(work, MAIN, "--config_exp", "study.yaml")
    assert done.returncode == 1
    assert done.stderr.count("seg_dense_bad_trial_0 diverged: trial 0: ") == 1
    assert done.stderr.count("the loss of task") == 2, "where it happened, and in the list at the end"
    assert "2 of 3 runs failed:\n  seg_dense_bad_trial_0: trial 0: " in done.stderr
    assert f"\n  {NAMES[0]}: {STUDY}/{NAMES[0]}/{files.TEST}: cannot be read" in done.stderr
    assert "study tiny: 1 of 3 runs are finished" in done.stderr
    assert "Traceback" not in done.stderr
    (work / STUDY / NAMES[0] / "old").touch()
    assert "seed: 0 there, 4 now" in refused(work, MAIN, "--config_exp", "study.yaml", "seed=4")
    make_folder(work)
    succeeded(work, MAIN, "--config_exp", "study.yaml", "--overwrite", "seed=4", "epochs=1")
    assert not (work / STUDY / NAMES[0] / "old").exists()
    assert [files.load_json(work / STUDY / name / files.TEST)["row"]["seed"] for name in NAMES] == [4, 4]


def test_what_is_refused_before_anything_starts(trained: Path, work: Path) -> None:
    study = ("--config_exp", "study.yaml")
    assert "nowhere" in refused(work, MAIN, *study, "data_dir_NYU=nowhere")
    assert "cuda:99" in refused(work, MAIN, *study, "device=cuda:99")
    assert "500" in refused(work, MAIN, *study, "train_batch_size=500")
    assert "--out_dir" in refused(work, MAIN, *study, "--out_dir", "x")
    message = refused(trained, MAIN, *study, "optimizer_params.learning_rate=0.5")
    said = "was trained with another configuration (optimizer_params.learning_rate: 0.0001 there, 0.5 now): give"
    assert message.startswith(f"error: {STUDY}/{NAMES[0]} {said}")
    assert len(message.splitlines()) == 1
    assert "study=<name>" in message


def test_a_run_alone(trained: Path, work: Path) -> None:
    done = succeeded(work, MAIN, "--config_exp", "study.yaml", "--run", NAMES[1])
    assert f"study tiny: {NAMES[1]}: finished" in done.stderr
    assert done.stdout == "", "no plan"
    assert [path.name for path in (work / STUDY).glob("*_trial_*")] == [NAMES[1]]
    assert (work / STUDY / NAMES[1] / files.TEST).read_bytes() == (trained / STUDY / NAMES[1] / files.TEST).read_bytes()
    succeeded(work, REPORT, "--study", STUDY, "--latency", "no")
    message = refused(work, MAIN, "--config_exp", "study.yaml", "--run", "seg_dense")
    assert message == f"error: --run: 'seg_dense' is no run of study 'tiny'; did you mean '{NAMES[0]}'?\n"
    nameless = refused(work, MAIN, "--config_exp", "study.yaml", "--run", "")
    assert nameless.startswith("error: --run: '' is no run of study 'tiny'"), "a variable that is not set"
    (work / STUDY / NAMES[1] / files.TEST).write_text("{")
    failed = call(work, MAIN, "--config_exp", "study.yaml", "--run", NAMES[1])
    assert failed.returncode == 1
    assert f"{files.TEST}: cannot be read" in (work / STUDY / "failures" / f"{NAMES[1]}.json").read_text()


@pytest.mark.slow
def test_ctrl_c_ends_a_study_in_processes_and_another_form_goes_on(work: Path) -> None:
    make_folder(work, epochs=3, backbone="resnet18")  # which is not patched
    command = [sys.executable, ROOT / MAIN, "--config_exp", "study.yaml", "--launch", "local", "--jobs", "2"]
    started = subprocess.Popen(command, cwd=work, stderr=subprocess.PIPE, text=True, env=environment())
    end = time.monotonic() + 100
    while not any((work / STUDY / name / files.METRICS).exists() for name in NAMES):
        assert time.monotonic() < end
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    said = started.communicate(timeout=60)[1]
    assert started.returncode == 130
    assert said.splitlines()[-1] == "interrupted"
    assert "runs left; go on with: python " in said
    assert "Traceback" not in said + "".join((work / STUDY / name / files.LAUNCH_LOG).read_text() for name in NAMES)
    done = succeeded(work, MAIN, "--config_exp", "study.yaml", "--launch", "here")
    assert "study tiny: 2 of 2 runs are finished" in done.stderr
    assert [len(files.read_lines(work / STUDY / name / files.METRICS)) for name in NAMES] == [3, 3]


def test_options_of_launchers_that_do_not_go_together(work: Path) -> None:
    study = ("--config_exp", "study.yaml")
    for options, said in (
        (("--jobs", "2"), "--jobs: needs --launch local or slurm"),
        (("--launch", "local", "--submit"), "--submit: needs --launch slurm"),
        (("--slurm", "time=1:00"), "--slurm: needs --launch slurm"),
        (("--launch", "slurm", "--ray_resources", "num_cpus=1"), "--ray_resources: needs --launch ray"),
        (("--launch", "local", "--run", NAMES[0]), "--run: does one run in this process"),
        (("--launch", "slurm", "--slurm", "epochs=3"), "--slurm: epochs is a key of the configuration"),
    ):
        assert said in refused(work, MAIN, *study, *options)
    for options in (("--launch", "local"), ("--jobs", "2"), ("--run", NAMES[0])):
        message = refused(work, MAIN, "--config_exp", "base.yaml", *options)
        assert message == f"error: {options[0]}: base.yaml is an experiment; only a study is launched\n"
    assert not (work / "studies").exists()


def test_what_make_report_refuses(trained: Path, work: Path) -> None:
    assert refused(work, REPORT, "--study", STUDY) == (
        f"error: --study: there is no folder {STUDY}; a study's is results/studies/<name>\n"
    )
    copy_without(trained / STUDY, work / STUDY, files.TEST, "*.pt", "report")
    for wrong in ("studies/tin", "studies"):
        assert refused(work, REPORT, "--study", wrong).endswith(f"; studies there: {STUDY}\n")
    assert f"no run of {STUDY} is finished yet" in refused(work, REPORT, "--study", STUDY)
    copy_without(trained / STUDY, work / "studies" / "other", files.LAST, "report")
    (work / "out_csv").mkdir()
    (work / "out_csv" / "tiny.csv").write_text("Experiment_name,num_trials\ntiny,1\n")
    message = refused(work, REPORT, "--study", "studies/other")
    assert message.startswith("error: out_csv/tiny.csv: is there already, and is no table of a study; move it away")
    (work / "file").touch()
    assert "file" in refused(work, REPORT, "--study", "studies/other", "--out_dir", "file")
