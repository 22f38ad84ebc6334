"""The live table says what the folders say."""

import io
import json
import logging
import os
import socket
from pathlib import Path

import pytest
from rich.console import Console

from engine import checkpoint as files
from study.launching import live_table
from study.launching.live_table import LiveTable
from study.progress import note_failure
from tests.studies import fake_run, make_study
from utils.locks import experiment_lock

LINE = {"epoch": 0, "val/segmentsemantic_mIoU": 0.25, "train_seconds": 50.0, "validation_seconds": 10.0}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call looks at the folders."""
    monkeypatch.setattr(live_table, "SECONDS", 0.0)


def test_a_row_is_what_the_folder_says(work: Path) -> None:
    study = make_study(work, epochs=3)
    new, ours, failed, done, *_ = study.runs
    fake_run(done, {})
    note_failure(study, failed, "it had to")
    ours.folder.mkdir(parents=True)
    (ours.folder / files.METRICS).write_text(json.dumps(LINE) + "\n")
    table = LiveTable(study)
    for row in table.rows:
        row.look(study)
    cells = {row.run.name: row.cells() for row in table.rows}
    assert cells[new.name][1:] == ("waiting", "", "", "", "")
    assert cells[failed.name][1] == "failed"
    assert cells[ours.name][1:3] == ("stopped", "1/3")
    row = next(row for row in table.rows if row.run == ours)
    with experiment_lock(study.folder, ours.name):
        row.look(study)
    assert row.cells()[1:3] == ("training", "1/3")
    assert row.cells()[4:] == ("2 min 00 s", f"{socket.gethostname()} {os.getpid()}")
    assert row.cells()[3].startswith("depth abs_err -")
    row.look(study)
    assert row.word == "stopped", "the lock is free again"


def test_plain_lines_say_what_changed(work: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    study = make_study(work, epochs=3)
    run = study.runs[0]
    with LiveTable(study) as table, experiment_lock(study.folder, run.name):
        table.update()
        table.update()
        run.folder.mkdir()
        (run.folder / files.METRICS).write_text(json.dumps(LINE) + "\n")
        table.update()
        table.update()
    where = f"{socket.gethostname()} {os.getpid()}"
    assert caplog.messages == [
        f"{run.name}: training by {where}",
        f"{run.name}: training by {where}, epoch 1/3, seg mIoU 0.2500, at most 2 min 00 s left",
    ]


def test_on_a_terminal_what_is_trained_comes_first(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(work)
    screen = Console(file=io.StringIO(), force_terminal=True, width=120, height=40)
    monkeypatch.setattr(live_table, "console", screen)
    last = study.runs[-1]
    with LiveTable(study) as table, experiment_lock(study.folder, last.name):
        table.update()
        text = io.StringIO()
        Console(file=text, width=120).print(table.table())
    lines = [line for line in text.getvalue().splitlines() if line.strip()]
    assert lines[0].startswith("study tiny: 1 training, 5 waiting")
    assert lines[3].split()[:2] == [last.name, "training"]
    assert last.name in screen.file.getvalue()  # type: ignore[attr-defined]
