"""A report is made of what is finished, from the tables alone, and says what is not there."""

import html
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from engine import checkpoint as files
from settings.config import load_config
from study import costs, study_report
from study.costs import Costs
from study.figures.drawn import DrawnFigure
from study.latencies import LatencyPair
from study.plan import Run, Study
from study.progress import note_failure
from study.record import Command, read_record, write_record
from study.study_report import make_report
from study.tables import StudyTables
from tests.disks import small_disk
from tests.small import listing
from tests.studies import fake_run, make_study
from tests.study.conftest import TrainedStudy
from utils.errors import UserError
from utils.locks import experiment_lock

NO_COSTS = Costs({}, [])


def copied(trained: TrainedStudy, folder: Path) -> Path:
    """A study's folder, without what only training needs; its networks are the same files."""

    def copy(source: str, target: str) -> None:
        (os.link if source.endswith(files.BEST) else shutil.copy2)(source, target)

    ignore = shutil.ignore_patterns(files.LAST, "report", "*.lock")
    return Path(shutil.copytree(trained.study.folder, folder, copy_function=copy, ignore=ignore))


@pytest.fixture(scope="module")
def made(trained_study: TrainedStudy, scratch: Path) -> Path:
    """A folder with a whole report of a study that was moved, as ``study``, and its tables as ``out``."""
    folder = scratch / "made"
    copied(trained_study, folder / "study")
    make_report(folder / "study", folder / "out", "python make_report.py", latex=True, latency="no")
    return folder


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures, which take most of a report's time."""

    def draw_all(tables: StudyTables) -> tuple[list[DrawnFigure], list[str]]:
        return [], []

    monkeypatch.setattr(study_report, "draw_all", draw_all)


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """No networks; per call the names of the runs whose latency is asked for."""
    timed: list[list[str]] = []

    def costs_of(runs: list[Run], timed_runs: list[Run]) -> Any:
        timed.append([run.name for run in timed_runs])
        return dict.fromkeys(runs, NO_COSTS), {}

    monkeypatch.setattr(study_report, "costs_of", costs_of)
    return timed


@pytest.fixture
def faked(work: Path, undrawn: None, unmeasured: list[list[str]]) -> Study:
    """A finished study of six runs without networks, figures or data."""
    study = make_study(work)
    study.folder.mkdir(parents=True)
    write_record(study, Command("python main_multi_trials.py --config_exp study.yaml", work / "study.yaml"))
    for run in study.runs:
        task_metrics = {"segmentsemantic": "segmentsemantic_mIoU", "depth_euclidean": "depth_euclidean_abs_err"}
        fake_run(run, {task_metrics[task]: 0.5 for task in run.config.task_list})
    return study


def page(study: Study) -> str:
    """The page as text, with plain spaces."""
    return html.unescape((study.folder / "report" / "report.html").read_text()).replace("\u00a0", " ")


def of_all(study: Study, work: Path, **options: Any) -> str:
    """The page of a study, anew."""
    make_report(study.folder, work / "out", "typed", **options)
    return page(study)


def without_tags(text: str) -> str:
    """Text that a reader sees."""
    return " ".join(re.sub(r"<[^>]+>", " ", html.unescape(text)).split())


def test_what_is_written(made: Path) -> None:
    assert sorted(path.name for path in (made / "out").iterdir()) == [
        *("tiny.csv", "tiny_curves.csv", "tiny_layers.csv", "tiny_summary.csv")
    ]
    folder = made / "study" / "report"
    assert {"report.html", "tables.md", "tables.tex", "figures"} == {path.name for path in folder.iterdir()}
    figures = list((folder / "figures").iterdir())
    assert {path.suffix for path in figures} == {".png", ".pdf"}
    text = (folder / "report.html").read_text()
    assert all(f"figures/{path.name}" in text for path in figures if path.suffix == ".pdf")
    for text in ("python make_report.py", "--config_exp study.yaml", "seg_depth_l1_l2_target0.5", "cpu in fp32 (6 runs)"):
        assert text in text


def test_a_report_made_anew_is_the_same_but_for_the_date(made: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of an earlier one, which this one has not, go; a user's own stay."""
    folder = Path(shutil.copytree(made, work / "again"))

    def everything(folder: Path) -> dict[Path, bytes]:
        places = [folder / "study" / "report", folder / "out"]
        return {path.relative_to(folder): path.read_bytes() for place in places for path in place.rglob("*") if path.is_file()}

    class Tomorrow:
        @staticmethod
        def today() -> Any:
            return pd.Timestamp("2031-02-03")

    for name in ("curves_seg_old.png", "curves_seg_old.pdf", "mine.png", "curves.txt"):
        (folder / "study" / "report" / "figures" / name).write_bytes(b"old")
    monkeypatch.setattr(study_report, "date", Tomorrow)
    make_report(folder / "study", folder / "out", "python make_report.py", latex=True, latency="no")
    before, after = everything(made), everything(folder)
    page = Path("study/report/report.html")
    assert b"2031-02-03" in after[page]
    assert {path.name for path in after.keys() - before.keys()} == {"mine.png", "curves.txt"}
    assert [path for path in before if before[path] != after[path]] == [page]


def test_figures_and_tables_come_from_the_csv_alone(faked: Study, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the runs say: a number that is changed in the file is changed in what is drawn and written."""
    drawn: list[StudyTables] = []

    def draw_all(tables: StudyTables) -> tuple[list[DrawnFigure], list[str]]:
        drawn.append(tables)
        return [], []

    inner = StudyTables.write

    def write(tables: StudyTables, folder: Path) -> list[Path]:
        written = inner(tables, folder)
        path = folder / "tiny_summary.csv"
        path.write_text(path.read_text().replace("0.5", "0.123456"))
        return written

    monkeypatch.setattr(study_report, "draw_all", draw_all)
    monkeypatch.setattr(StudyTables, "write", write)
    text = of_all(faked, work)
    assert set(drawn[0].summary["segmentsemantic_mIoU_mean"].dropna()) == {0.123456}
    assert "0.123" in text
    assert "0.123" in (faked.folder / "report" / "tables.md").read_text()


def test_neither_the_data_nor_a_gpu_nor_the_old_place_is_needed(trained_study: TrainedStudy, work: Path, undrawn: None) -> None:
    folder = copied(trained_study, work / "moved")
    changes = (
        ("device: cpu", "device: cuda"),
        (load_config(folder / "seg_dense_trial_0" / files.CONFIG).data_dir_NYU, "/gone"),
    )
    for path in folder.glob("*/" + files.CONFIG):
        for old, new in changes:
            path.write_text(path.read_text().replace(str(old), new))
    record = folder / "study.json"
    record.write_text(
        record.read_text().replace('"device": "cpu"', '"device": "cuda"').replace('"precision": "fp32"', '"precision": "bf16"')
    )
    assert read_record(folder).study.runs[0].config.device == "cuda"
    make_report(folder, work / "out", "typed", latency="no")
    assert pd.read_csv(work / "out" / "tiny_summary.csv")["num_trials"].sum() == 6
    assert not trained_study.study.folder.joinpath("report").exists()


def test_failed_and_missing_runs_are_named(faked: Study, work: Path) -> None:
    trained_otherwise, failed, stopped, new, damaged, finished = faked.runs
    path = trained_otherwise.folder / files.CONFIG
    trained_otherwise.config.model_copy(update={"seed": 3, "train_batch_size": 4}).save(path)
    for run in (failed, stopped):
        (run.folder / files.TEST).unlink()
        (run.folder / files.LAST).write_bytes(b"")
    note_failure(faked, failed, "the loss is nan")
    shutil.rmtree(new.folder)
    (damaged.folder / files.TEST).write_text("{")
    text = without_tags(of_all(faked, work))
    assert f"{trained_otherwise.name}: was trained with other values of seed, train_batch_size" in text
    assert f"{failed.name}: the loss is nan" in text
    assert f"{stopped.name}: 1 of 2 epochs are trained" in text
    assert new.name in text
    assert f"{damaged.name}: {damaged.folder / files.TEST}: cannot be read" in text
    runs = pd.read_csv(work / "out" / "tiny.csv")
    assert set(runs["setting"]) == {finished.setting.name}
    assert set(runs["trial"]) == {finished.trial}


def test_without_the_planned_twin_nothing_is_claimed_anywhere(faked: Study, work: Path) -> None:
    """Its runs were deleted, failed, or are of another configuration."""
    twin = [run for run in faked.runs if run.setting.name == "seg_depth_dense"]
    shutil.rmtree(twin[0].folder)
    note_failure(faked, twin[1], "the loss is nan")
    (twin[1].folder / files.TEST).unlink()
    text = without_tags(of_all(faked, work, latex=True))
    assert "Nothing is claimed about the sparse setting: the dense twin is missing" in text
    for name in ("report.html", "tables.md", "tables.tex"):
        written = html.unescape((faked.folder / "report" / name).read_text()).replace("\\_", "_")
        assert "twin missing" in written, name
        assert "no run of the same seed is finished of seg_depth_dense." in written, name
    summary = pd.read_csv(work / "out" / "tiny_summary.csv")
    row = summary[summary["setting"] == "seg_depth_l1_l2_target0.5"].iloc[0]
    assert (row["twin"], row["no_claim"]) == ("seg_depth_dense", "twin missing")
    assert row[["claim", "difference_n", "difference_mean", "difference_low", "margin"]].isna().all()


def test_a_network_that_cannot_be_used_is_a_failed_run(trained_study: TrainedStudy, work: Path, undrawn: None) -> None:
    folder = copied(trained_study, work / "moved")
    path = folder / "seg_depth_l1_l2_target0.5_trial_1" / files.BEST
    path.unlink()
    path.write_bytes(b"no network")
    make_report(folder, work / "out", "typed", latency="no")
    assert f"{path}: is not a checkpoint" in without_tags((folder / "report" / "report.html").read_text())
    summary = pd.read_csv(work / "out" / "tiny_summary.csv")
    assert list(summary["num_trials"]) == [1, 1, 2, 1]


def test_nothing_to_report(faked: Study, work: Path) -> None:
    for run in faked.runs:
        (run.folder / files.TEST).unlink()
    before = listing(work)
    with pytest.raises(UserError, match=rf"--study: no run of {faked.folder} is finished yet; main_multi_trials\.py"):
        make_report(faked.folder, work / "out", "typed")
    with pytest.raises(UserError, match=r"holds no study\.json"):
        make_report(work / "studies", work / "out", "typed")
    assert listing(work) == before
    assert not (work / "out").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tiny.csv", b"Experiment_name,num_trials\nmine,2\n"),
        ("tiny_summary.csv", b""),
        ("tiny_curves.csv", b"\xff\xfe\x00\x01"),
        ("tiny_layers.csv", b"setting\nmine\n"),
    ],
)
def test_a_foreign_table_is_not_replaced(name: str, content: bytes, faked: Study, work: Path) -> None:
    (work / "out").mkdir()
    (work / "out" / name).write_bytes(content)
    before = listing(work)
    with pytest.raises(UserError, match=rf"{name}: is there already, and is no table of a study; move it away, or"):
        make_report(faked.folder, work / "out", "typed")
    assert listing(work) == before


def test_latency_is_measured_for_the_first_run_of_each_setting(
    faked: Study, work: Path, unmeasured: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (faked.runs[2].folder / files.TEST).unlink()  # trial 0 of seg_depth_dense
    first = ["seg_dense_trial_0", "depth_dense_trial_0", "seg_depth_l1_l2_target0.5_trial_0", "seg_depth_dense_trial_1"]
    monkeypatch.setattr(study_report, "others_share", lambda: 0.9)
    of_all(faked, work, latency="yes")
    assert "Latencies were not measured, as other processes took 90 % of the machine's CPU time" in of_all(faked, work)
    assert "Latencies were not measured" not in of_all(faked, work, latency="no")
    monkeypatch.setattr(study_report, "others_share", lambda: 0.1)
    of_all(faked, work)
    assert unmeasured == [first, [], [], first]


def test_no_latency_while_a_run_of_the_study_is_trained(
    faked: Study, work: Path, unmeasured: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_report, "others_share", lambda: 0.0)
    with experiment_lock(faked.folder, faked.runs[3].name):
        assert f"as {faked.runs[3].name} was being trained at that time" in of_all(faked, work)
    assert unmeasured == [[]]


def test_a_latency_that_is_known_needs_no_excuse(
    trained_study: TrainedStudy, work: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(trained_study, work / "study")
    pair = LatencyPair(7.0, 4.0, "a CPU", "2026-11-23T10:00:00+00:00", 0.0)
    monkeypatch.setattr(costs, "measure_latencies", lambda runs: (dict.fromkeys(runs, pair), {}))
    make_report(folder, work / "out", "typed", latency="yes")
    before = (work / "out" / "tiny.csv").read_bytes()
    monkeypatch.setattr(costs, "measure_latencies", lambda runs: pytest.fail("measured again"))
    monkeypatch.setattr(study_report, "others_share", lambda: 0.9)
    make_report(folder, work / "out", "typed")
    text = (folder / "report" / "report.html").read_text()
    assert "Latencies were not measured" not in text
    assert "Latency measured on a CPU (2026-11-23)." in text
    assert (work / "out" / "tiny.csv").read_bytes() == before
    runs = pd.read_csv(work / "out" / "tiny.csv")
    assert set(runs[runs["metric"] == "compact_latency_ms"]["trial"]) == {0}


def test_a_busy_machine_is_mentioned(faked: Study, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def costs_of(runs: list[Run], timed: list[Run]) -> Any:
        return {run: Costs({}, [], "a CPU", "2026-11-23", 0.5 if run in timed else 0.0) for run in runs}, {}

    monkeypatch.setattr(study_report, "costs_of", costs_of)
    text = of_all(faked, work, latency="yes")
    assert text.count("The machine was busy when these latencies were measured: seg_dense, ") == 1


def test_a_full_disk_is_a_sentence_and_leaves_what_was_there(faked: Study, work: Path) -> None:
    of_all(faked, work)
    before = {path: path.read_bytes() for place in ("out", "studies") for path in (work / place).rglob("*") if path.is_file()}
    size = len((work / "out" / "tiny.csv").read_bytes()) + 100
    with small_disk(size), pytest.raises(OSError, match=r"report\.html cannot be written \(.*unchanged"):
        of_all(faked, work)
    assert {path: path.read_bytes() for path in before} == before


def test_latex_tables_of_an_earlier_report_are_renewed(faked: Study, work: Path) -> None:
    path = faked.folder / "report" / "tables.tex"
    of_all(faked, work)
    assert not path.exists()
    path.write_text("old")
    of_all(faked, work)
    assert "\\begin{table}" in path.read_text()


def test_a_config_of_each_setting_is_in_the_page(faked: Study, work: Path) -> None:
    text = of_all(faked, work)
    assert (work / "study.yaml").read_text().splitlines()[0] in text
    for setting in faked.settings:
        assert f"Experiment_name: {setting.name}" in text


def test_runs_of_several_machines(faked: Study, work: Path) -> None:
    for run, device, precision in zip(faked.runs, ("cuda", "cpu", "cpu"), ("bf16", "fp32", "fp32"), strict=False):
        test = files.load_json(run.folder / files.TEST)
        files.save_json(run.folder / files.TEST, {**test, "device": device, "precision": precision})
        run.config.model_copy(update={"device": device, "precision": precision}).save(run.folder / files.CONFIG)
    assert "Trained on cuda in bf16 (1 run), cpu in fp32 (5 runs)." in of_all(faked, work)
