"""A row of a finished trial says what the trial says; what is no finished trial of the study has no row, and is not copied."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.compare_methods import like
from benchmarks.study_rows import row_of, rows_of
from engine import checkpoint as files
from engine.saved_trial import load_trial
from models import compact, plan_removal
from study.plan import Run
from tests.narrow import resnet18_narrow
from tests.study.conftest import TrainedStudy, copied_runs
from utils.errors import TrialError


@pytest.fixture(autouse=True)
def as_trained() -> Iterator[None]:
    """Make ``resnet18`` as narrow as the study was trained with."""
    with resnet18_narrow():
        yield


@pytest.fixture
def runs(trained_study: TrainedStudy, tmp_path: Path) -> list[Run]:
    """Copies of a dense and of a sparse run of the same tasks."""
    return copied_runs(trained_study, tmp_path, ["seg_depth_dense_trial_1", "seg_depth_l1_l2_target0.5_trial_1"])


def test_a_row_says_what_the_trial_says(trained_study: TrainedStudy, runs: list[Run]) -> None:
    folder = runs[1].folder
    record = files.load_json(folder / files.ENVIRONMENT)
    record["starts"].append(record["starts"][-1] | {"commit": "0123456789", "dirty": True, "end": "2026-11-28T23:30:00-02:00"})
    files.save_json(folder / files.ENVIRONMENT, record)
    (row,) = rows_of(trained_study.study, [folder], None)
    assert (row["setting"], row["seed"]) == (runs[1].setting.name, 1)
    assert (row["commit"], row["date"]) == ("0123456+", "2026-11-29"), "of the last start, in UTC"
    tested = files.load_json(folder / files.TEST)["row"]
    assert all(row[name] == tested[name] for name in ("segmentsemantic_mIoU", "depth_euclidean_abs_err", "group_sparsity"))
    lines = files.read_lines(folder / files.METRICS)
    assert row["val_depth_euclidean_abs_err"] == pytest.approx(sum(line["val/depth_euclidean_abs_err"] for line in lines) / 2)


def test_a_network_that_teaches_is_in_the_cost(trained_study: TrainedStudy, runs: list[Run]) -> None:
    dense, sparse = runs
    alone = row_of(sparse.folder, sparse.setting, trained_study.study)
    taught = load_trial(sparse.folder).config.with_values(distill={"from": str(dense.folder)})
    taught.save(sparse.folder / files.CONFIG)
    row = row_of(sparse.folder, sparse.setting, trained_study.study)
    images = sum(line["images_per_second"] * line["train_seconds"] for line in files.read_lines(sparse.folder / files.METRICS))
    assert row["training_TMACs"] - alone["training_TMACs"] == pytest.approx(images * row["dense_GMACs"] / 1e3)
    assert row["digest"] != alone["digest"]


def test_what_is_copied_is_a_finished_sparse_trial_of_the_same_network(runs: list[Run]) -> None:
    dense, sparse = runs
    removal, macs = like(sparse.folder, dense.config)
    trial = load_trial(sparse.folder)
    assert macs == compact(trial.model, image_size=trial.config.size)[1].totals["model"]["macs_left"]
    assert removal.equals(plan_removal(trial.model))
    with pytest.raises(TrialError, match=r"is dense; expected a trial with group_sparsity: true"):
        like(dense.folder, dense.config)
    for other in ({"input_shape": 96}, {"head_width": 24}):
        with pytest.raises(TrialError, match="has another network or input size than seg_depth_dense"):
            like(sparse.folder, dense.config.with_values(**other))
    (sparse.folder / files.TEST).unlink()
    with pytest.raises(TrialError, match=r"has no test.json, so this trial is not finished; resume it first"):
        like(sparse.folder, dense.config)


def test_a_trial_that_is_not_of_the_study_has_no_row(trained_study: TrainedStudy, runs: list[Run]) -> None:
    folder = runs[0].folder
    load_trial(folder).config.with_values(epochs=7).save(folder / files.CONFIG)
    with pytest.raises(TrialError, match="no setting of tiny has the configuration of this trial"):
        rows_of(trained_study.study, [folder], None)
