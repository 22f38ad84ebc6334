"""Tables, figures and the page of a study, from what its runs left in their folders."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Literal

import pandas as pd

from deploy.latency import busy_text, others_share
from engine import checkpoint as files
from engine.results import check_writable
from figures.saving import save_figure
from study.collect import gaps, study_tables
from study.costs import Costs, costs_of
from study.figures import KINDS, draw_all
from study.figures.inline import inline_svg
from study.method import described_methods
from study.page import ReportFigure, ReportInfo, write_report
from study.plan import Run, Study, config_text
from study.printed_table import show_summary
from study.progress import finished_runs, holder
from study.record import Record, read_record
from study.tables import HEADS, StudyTables, paths
from utils.errors import UserError

log = logging.getLogger(__name__)

Latency = Literal["auto", "yes", "no"]

FOLDER = "report"
"""Folder of the report in the study's folder."""


def make_report(folder: Path, out_dir: Path, command: str, *, latex: bool = False, latency: Latency = "auto") -> list[Path]:
    """Write a study's CSV tables into ``out_dir``, and from these its figures, tables and page into ``<folder>/report``.

    Args:
        folder: of the study.
        out_dir: of the CSV files.
        command: as it was typed, for the page.
        latex: write ``tables.tex`` too, as is done where an earlier report has.
        latency: time the compact model of one run of each setting, where no earlier report has: ``yes``, ``no``, or
            ``auto``, which is yes where the machine does nothing else.

    Returns:
        The paths of what was written.

    Raises:
        UserError: ``folder`` is no study's, none of its runs is finished, or a table that is there is another one's.
        OSError: the system refused, such as for want of room.
    """
    record = read_record(folder)
    study = record.study
    check_writable(out_dir)
    _refuse_foreign(out_dir, study.name)
    done, others = finished_runs(study)
    if not done:
        raise UserError(f"--study: no run of {folder} is finished yet; main_multi_trials.py does them")
    obstacle = _obstacle(study) if latency == "auto" else ""
    timed = _first_of_each(done) if latency == "yes" or (latency == "auto" and not obstacle) else []
    costs, damaged = costs_of(done, timed)
    finished = list(costs)
    if not finished:
        raise UserError(f"--study: none of the networks in {folder} can be used; {next(iter(damaged.values()))}")
    others["failed"] += [f"{run.name}: {reason}" for run, reason in damaged.items()]
    written = study_tables(study, costs).write(out_dir)
    # What follows is made from the files alone, and what the tasks are.
    tables = StudyTables.read(out_dir, study.name, study.tasks)
    target = folder / FOLDER
    figures, missing = _save_figures(tables, target)
    info = ReportInfo(
        commands=[*record.commands, command],
        configs=_configs(record, finished),
        status={"finished": [run.name for run in finished], **{what: names for what, names in others.items() if names}},
        machine=_machines(finished, costs),
        date=date.today().isoformat(),
        notes=[*gaps(study, costs), *_latency_notes(costs, obstacle), *missing],
        methods=described_methods(setting for setting in study.settings if any(run.setting is setting for run in finished)),
    )
    written += [path for figure in figures for path in (figure.png, figure.pdf)]
    # An earlier report's LaTeX would pass for this one's.
    written += write_report(tables, target, figures, info, latex or (target / "tables.tex").exists())
    for note in info.notes:
        log.info("%s", note)
    for what, names in others.items():
        for name in names:
            log.warning("left out, %s: %s", what, name)
    log.info("%d of %d runs are in the report: %s", len(finished), len(study.runs), target / "report.html")
    show_summary(tables)
    return written


def _refuse_foreign(out_dir: Path, name: str) -> None:
    """Refuse to replace a file that is no study's table, such as an experiment's of the same name."""
    for part, path in paths(out_dir, name).items():
        try:
            columns = set(pd.read_csv(path, nrows=0).columns) if path.exists() else None
        except (OSError, ValueError):
            columns = set()
        if columns is not None and not columns.issuperset(HEADS[part]):
            raise UserError(f"{path}: is there already, and is no table of a study; move it away, or use another --out_dir")


def _obstacle(study: Study) -> str:
    """Return why no latency can be measured just now; empty if it can."""
    for run in study.runs:
        if holder(run):
            return f"{run.name} was being trained at that time"
    return busy_text(others_share())


def _latency_notes(costs: Mapping[Run, Costs], obstacle: str) -> Iterator[str]:
    """Yield sentences about latencies that are doubtful or missing."""
    doubtful = [run.setting.name for run, cost in costs.items() if cost.doubtful]
    if doubtful:
        yield f"The machine was busy when these latencies were measured: {', '.join(doubtful)}."
    if obstacle and not all(costs[run].machine for run in _first_of_each(costs)):
        yield f"Latencies were not measured, as {obstacle}; repeat the report when the machine is idle."


def _first_of_each(runs: Iterable[Run]) -> list[Run]:
    """Return the first run of every setting."""
    first: dict[str, Run] = {}
    for run in runs:
        first.setdefault(run.setting.name, run)
    return list(first.values())


def _save_figures(tables: StudyTables, target: Path) -> tuple[list[ReportFigure], list[str]]:
    """Draw all figures into ``target/figures``; and what could not be drawn."""
    drawn, missing = draw_all(tables)
    figures = []
    for figure in drawn:
        png, pdf = save_figure(figure.figure, target / "figures" / figure.name)
        svg = inline_svg(figure.figure, figure.name)
        figures.append(ReportFigure(figure.title, figure.caption, svg, png, pdf))
    _remove_old(target / "figures", {figure.png.stem for figure in figures})
    return figures, missing


def _remove_old(folder: Path, names: set[str]) -> None:
    """Delete figures of an earlier report that this one has not: they would pass for this one's."""
    for path in folder.glob("*.p[nd][gf]"):
        if path.stem not in names and path.stem.split("_")[0] in KINDS:
            path.unlink()


def _configs(record: Record, finished: Sequence[Run]) -> dict[str, str]:
    """Return the study's file, and the whole configuration of each setting."""
    settings = {run.setting.name: run for run in reversed(finished)}
    whole = {setting.name: config_text(setting.config) for setting in record.study.settings if setting.name in settings}
    return {**record.configs, **whole}


def _machines(finished: Sequence[Run], costs: Mapping[Run, Costs]) -> str:
    """Describe the devices that trained the runs and measured the latencies."""
    trained: Counter[str] = Counter()
    for run in finished:
        test = files.load_json(run.folder / files.TEST)
        trained[f"{test.get('device', 'an unknown device')} in {test.get('precision', 'unknown precision')}"] += 1
    counts = [f"{where} ({count} {'run' if count == 1 else 'runs'})" for where, count in trained.items()]
    text = f"Trained on {', '.join(counts)}."
    measured = dict.fromkeys(f"{cost.machine} ({cost.measured[:10]})" for cost in costs.values() if cost.machine)
    return text + (f" Latency measured on {'; '.join(measured)}." if measured else "")
