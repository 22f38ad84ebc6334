"""The result of an experiment as a small table."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from engine import checkpoint as files
from engine.result_table import DenseTwin, dense_twin, differing_keys, show_result
from settings.config import ExperimentConfig
from tasks.table import get_task
from tests.configs import NYU_TASKS, make_config
from tests.trained import Trained

SPARSE: dict[str, Any] = {
    "group_sparsity": True,
    "bb_optimizer_params": {"learning_rate": 1e-3, "penalty": "l1_l2", "lambda": 0.5},
}
DENSE: dict[str, Any] = {"bb_optimizer_params": {"learning_rate": 1e-3}}
MAINS = [f"{task}_{get_task(task).main_metric}" for task in NYU_TASKS]


def table(*values: float, sparsity: float = 0.0) -> pd.DataFrame:
    """Rows of trials whose main metrics are all the same."""
    return pd.DataFrame(
        [{"trial": n, **dict.fromkeys(MAINS, value), "group_sparsity": sparsity} for n, value in enumerate(values)]
    )


def sizes(count: int, left: float = 0.5) -> list[dict[str, float]]:
    """Sizes of some networks."""
    return [{"dense_GMACs": 2.0, "compact_GMACs": left, "dense_Mparameters": 11.0, "compact_Mparameters": 1.25}] * count


def shown(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """Cells of each printed line."""
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    return [[cell for cell in line.split("  ") if cell.strip()] for line in lines if line and "─" not in line]


def stripped(rows: list[list[str]]) -> list[list[str]]:
    """Cells without the space around them."""
    return [[cell.strip() for cell in row] for row in rows]


def test_a_sparse_experiment_beside_its_dense_twin(capsys: pytest.CaptureFixture[str]) -> None:
    config = make_config(num_trials=2, **SPARSE)
    twin = DenseTwin("dense", table(0.25))
    show_result(config, table(0.25, 0.75, sparsity=70.0), sizes(2), Path("out_csv/small.csv"), twin)
    assert stripped(shown(capsys)) == [
        ["Result on the test split"],
        ["small (2 trials)", "dense: dense (1 trial)"],
        ["seg mIoU ↑", "0.5000 ± 0.3536", "0.2500"],
        ["depth abs_err ↓", "0.5000 ± 0.3536", "0.2500"],
        ["sn mean_cosine ↑", "0.5000 ± 0.3536", "0.2500"],
        ["zero groups in %", "70.00", "0.00"],
        ["GMACs per image", "0.500", "2.000"],
        ["parameters in millions", "1.250", "11.000"],
        ["mean ± standard deviation over the trials"],
        ["costs without the zeros, which compact_model.py removes"],
        ["every metric: out_csv/small.csv"],
    ]


def test_one_without_a_twin_says_what_is_left_of_the_dense_network(capsys: pytest.CaptureFixture[str]) -> None:
    latencies = {"dense_latency_ms": 8.0, "compact_latency_ms": 2.0}
    show_result(make_config(**SPARSE), table(0.5), [{**sizes(1)[0], **latencies}], Path("x.csv"))
    rows = stripped(shown(capsys))
    assert ["GMACs per image", "0.500 of 2.000"] in rows
    assert ["milliseconds per image", "2.000 of 8.000"] in rows
    assert not any("mean ±" in row[0] for row in rows)


def test_a_dense_one_has_the_costs_of_the_whole_network_and_no_value_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    show_result(make_config(**DENSE), table(float("nan")), sizes(1), Path("x.csv"))
    rows = stripped(shown(capsys))
    assert ["seg mIoU ↑", "-"] in rows and ["GMACs per image", "2.000"] in rows
    show_result(make_config(**DENSE), table(0.5), [{}], Path("x.csv"))
    assert not any("GMACs" in row[0] for row in shown(capsys)), "a foreign backbone is not counted"


def save(config: ExperimentConfig, trials: int, row: dict[str, Any] | None = None, first: int = 0) -> None:
    """Folders of finished trials."""
    for number in range(first, first + trials):
        folder = config.trial_folder(number)
        folder.mkdir(parents=True)
        config.save(folder / files.CONFIG)
        content = table(0.5).iloc[0].to_dict() if row is None else row
        files.save_json(
            folder / files.TEST, {"row": {**content, "trial": number, **({} if row == {} else {"seed": config.seed + number})}}
        )
        (folder / files.BEST).write_bytes(b"")


def test_the_twin_is_trained_alike_but_for_the_penalty(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    place = {"checkpoint_folder": tmp_path}
    sparse = make_config(Experiment_name="sparse", **place, **SPARSE)
    assert dense_twin(sparse, tmp_path, range(9)) is None, "nothing is there"
    save(make_config(Experiment_name="other_task", **place, **{**DENSE, "task_list": ["edge_texture"]}), 1)
    assert dense_twin(sparse, tmp_path, range(9)) is None
    assert caplog.messages == [], "of other tasks: nobody misses it"
    save(make_config(Experiment_name="other_seed", seed=3, epochs=9, **place, **DENSE), 1)
    save(make_config(Experiment_name="longer", epochs=9, **place, **DENSE), 1)
    save(make_config(Experiment_name="another_sparse", **place, **SPARSE), 1)
    save(make_config(Experiment_name="rowless", **place, **DENSE), 3, row={})
    (tmp_path / "broken_trial_0").mkdir()
    (tmp_path / "broken_trial_0" / files.CONFIG).write_text("{")
    assert dense_twin(sparse, tmp_path, range(9)) is None
    assert caplog.messages == [
        "there is no dense network to compare with: longer_trial_0 was trained with another value of epochs"
    ]
    caplog.clear()
    save(make_config(Experiment_name="one", **place, **DENSE), 1)
    save(make_config(Experiment_name="two", num_trials=2, **place, **DENSE), 2)
    twin = dense_twin(sparse, tmp_path, range(9))
    assert twin is not None and (twin.name, list(twin.trials["trial"])) == ("two", [0, 1])
    assert caplog.messages == [], "there is one"
    assert dense_twin(make_config(Experiment_name="dense", **place, **DENSE), tmp_path, range(9)) is None, (
        "a dense one has none"
    )
    assert differing_keys(sparse, make_config(seed=3, **SPARSE)) == ["seed"]
    twin = dense_twin(sparse, tmp_path, [1])
    assert twin is not None and (twin.name, list(twin.trials["trial"])) == ("two", [1]), "of the seeds that are compared"
    save(make_config(Experiment_name="longer", num_trials=4, **place, **DENSE), 1, first=1)
    twin = dense_twin(sparse, tmp_path, range(9))
    assert twin is not None and twin.name == "two", "one trial of another was trained alike"


def test_a_training_ends_with_its_result(trained: Trained) -> None:
    """Its log and its environment are in the folder."""
    folder = trained.runs / "sparse__trial_1"
    (entry,) = files.load_json(folder / files.ENVIRONMENT)["starts"]
    assert entry["end"] is not None and entry["epochs_before"] == 0
    assert (folder / files.LOG).read_text().startswith(f"--- {entry['start'][:10]}")
