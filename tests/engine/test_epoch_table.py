"""Epochs are rows of a table that fits 80 columns."""

import io
import logging
import re
from typing import Any

import pytest
from rich.console import Console

from engine import epoch_table
from engine.epoch_table import ROWS, EpochClock, EpochTable
from settings.config import ExperimentConfig
from tasks.table import get_task
from tests.configs import make_config
from utils import console
from utils.console import MESSAGE_WIDTH, LineFormatter, TerminalHandler

FACES = ("segmentsemantic", "class_male", "class_smile", "class_eyebrows", "class_glasses", "class_Wearing_Necklace")
NORM = {
    "group_sparsity": True,
    "target_sparsity": 0.5,
    "bb_optimizer_params": {"learning_rate": 1e-3, "penalty": "l1_l2"},
}
SELECTING = {**NORM, "bb_optimizer_params": {"learning_rate": 1e-3, "penalty": "group_l0"}}


def faces(tasks: int, **values: Any) -> ExperimentConfig:
    """A configuration with some tasks on faces."""
    setup = {"setup": "singletask"} if tasks == 1 else {}
    return make_config(dataset_name="celebA", task_list=FACES[:tasks], **setup, **values)


def epoch(config: ExperimentConfig, number: int = 0, **changes: Any) -> dict[str, Any]:
    """A line of ``metrics.jsonl``, as far as the table reads it."""
    metrics = {f"val/{task}_{get_task(task).main_metric}": 0.5 for task in config.task_list}
    losses = {"train/loss/total": -12.34567, "val/loss/total": 1234.5678}
    rest = {"epoch": number, "group_sparsity": 100.0, "lambda": 3e-05, "images_per_second": 12345.6}
    return {**losses, **metrics, **rest, **changes}


@pytest.mark.parametrize("sparse", [{}, NORM, SELECTING])
@pytest.mark.parametrize("tasks", range(1, 7))
def test_rows_and_header_are_aligned_and_fit_80_columns(tasks: int, sparse: dict[str, Any]) -> None:
    config = faces(tasks, epochs=1000, **sparse)
    title, header, row = EpochTable(config, "name", 3).lines(epoch(config, 999), best=True, left="27h46m")
    assert len(header) == len(row) <= MESSAGE_WIDTH
    ends = [match.end() for match in re.finditer(r"\S+", header)]
    assert [match.end() for match in re.finditer(r"[^\s*]+", row)] == ends, "numbers end where their headings do"
    shown = [get_task(task).short for task in config.task_list if get_task(task).short in header.split()]
    assert shown == [get_task(task).short for task in config.task_list[: len(shown)]]
    assert len(shown) >= min(tasks, 3)
    assert title.startswith("name, seed 3: seg mIoU")
    assert (f"{tasks - len(shown)} more in metrics.jsonl" in title) == (len(shown) < tasks)
    assert ("zero%" in header) == bool(sparse)
    if "lambda" in header:
        assert sparse is NORM


def test_three_tasks_of_a_sparse_run_have_every_column() -> None:
    config = make_config(epochs=120, **NORM)
    table = EpochTable(config, "demo_trial_0", 0)
    first = table.lines(epoch(config), best=False, left="3m20s")
    second = table.lines(epoch(config, 1, **{"train/loss/total": None, "val/loss/total": 0.5, "lambda": 0.0}), True, "done")
    assert [*first, *second] == [
        "demo_trial_0, seed 0: seg mIoU, depth abs_err, sn mean_cosine; * best",
        "  epoch  train    val     seg  depth     sn zero%  lambda img/s   left",
        "  1/120 -12.35 1234.6  0.5000 0.5000 0.5000 100.0 3.0e-05 12346  3m20s",
        "  2/120      - 0.5000* 0.5000 0.5000 0.5000 100.0       - 12346   done",
    ]


def test_lambda_is_shown_where_it_is_the_strength_of_a_penalty() -> None:
    given = {"learning_rate": 1e-3, "penalty": "group_l0", "lambda": 1e-4}
    cases = {"lambda": [NORM, {"group_sparsity": True, "bb_optimizer_params": given}], "": [SELECTING, {}]}
    for word, settings in cases.items():
        for values in settings:
            heads = [column.head for column in EpochTable(make_config(**values), "name", 0).columns]
            assert ("lambda" in heads) == bool(word)


def test_the_header_comes_again_after_a_screenful() -> None:
    config = make_config(epochs=50)
    table = EpochTable(config, "name", 0)
    sizes = [len(table.lines(epoch(config, number), best=False, left="1s")) for number in range(50)]
    assert [number for number, size in enumerate(sizes) if size == 3] == [0, ROWS, 2 * ROWS]
    assert set(sizes) == {1, 3}


def test_a_row_is_one_line_of_a_terminal_and_plain_text_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(epochs=100, **NORM)
    written = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=written, force_terminal=True, color_system=None, width=80))
    *_, row = EpochTable(config, "name", 0).lines(epoch(config), best=True, left="27h46m")
    record = logging.LogRecord("x", logging.INFO, "x", 1, "%s", (row,), None)
    TerminalHandler().emit(record)
    shown = [line.rstrip() for line in written.getvalue().splitlines()]
    plain = LineFormatter().format(record)
    assert shown == [plain]
    assert len(plain) <= 80 and plain.isprintable() and plain.isascii()


def test_the_clock_foresees_the_end_from_a_part_of_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(epoch_table.time, "perf_counter", lambda: now[0])
    clock = EpochClock(2, 12)
    now[0] += 6
    assert clock.left(2.1) == "9m54s", "6 s for a tenth of an epoch, 9.9 epochs are left"
    now[0] += 54
    assert clock.left(3) == "9m00s"
