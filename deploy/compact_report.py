"""The report of a compaction as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2

from deploy.markdown import markdown_table
from tasks.table import Task
from utils.numbers import percent

TEMPLATE = Path(__file__).with_name("compact_report.md.jinja")
FORMS = {"dense": "dense, as trained", "folded": "dense, batch norm folded", "compact": "compact"}

Cells = tuple[object, ...]


def report_text(report: Mapping[str, Any], tasks: Mapping[str, Task], figure: str) -> str:
    """Make the whole report.

    Args:
        report: as in ``compact_report.json``.
        tasks: of the network, by name.
        figure: name of the figure's file, beside the text.
    """
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        **report,
        table=markdown_table,
        figure=figure,
        forms=list(FORMS.values()),
        totals=list(_totals(report)),
        differences=list(_differences(report, tasks)),
        latencies=list(_latencies(report)),
        peaks=[
            (f"batch {row['batch']}", *(f"{row['megabytes'][form]:.0f}" for form in FORMS)) for row in report["memory"]["model"]
        ],
        per_layer=list(_per_layer(report)),
    )


def printed_rows(report: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the rows of the table that the terminal shows: what the whole model costs in its forms, and how much less."""
    for title, dense, compact, _ in _totals(report):
        name = str(title).removeprefix("whole model: ")
        if name != title:
            yield [name, str(dense), "", str(compact)]
    for row in [*report["latency"], *(report["onnx"]["latency"] if report["onnx"] else ())]:
        if row["part"] == "model":
            times = row["milliseconds"]
            yield [
                f"ms for a batch of {row['batch']}, {row['runtime']}",
                *(f"{times[form]:.1f}" if form in times else "" for form in FORMS),
            ]
    for row in report["memory"]["model"]:
        yield [f"MB of memory, batch of {row['batch']}", *(f"{row['megabytes'][form]:.0f}" for form in FORMS)]


def compared_rows(report: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the rows of the table of dense twin, sparse network, and compact one, whose outputs are the sparse one's."""
    for metric in report["twin"]["metrics"]:
        sparse = f"{metric['sparse']:.{metric['decimals']}f}"
        yield [metric["name"], f"{metric['dense']:.{metric['decimals']}f}", sparse, sparse]
    share = percent(report["backbone"]["zero_groups"], report["backbone"]["groups"])
    yield ["zero groups of the backbone", "0.0 %", share, "removed"]
    for title, dense, compact, _ in _totals(report):
        name = str(title).removeprefix("whole model: ")
        if name != title and "groups" not in name:
            yield [name, str(dense), str(dense), str(compact)]
    for row in report["latency"]:
        if row["part"] == "model":
            dense, compact = (f"{row['milliseconds'][form]:.1f} ms" for form in ("dense", "compact"))
            yield [f"time of a batch of {row['batch']}", dense, dense, compact]


def _totals(report: Mapping[str, Any]) -> Iterator[Cells]:
    for part, title in (("backbone", "backbone"), ("model", "whole model")):
        total, sizes = report[part], report["file_MB"][part]
        yield f"{title}: groups that are not zero", *_counted(total["groups"], total["zero_groups"])
        yield f"{title}: parameters", *_saved(total["parameters"], total["parameters_left"], 1e6, "M")
        yield f"{title}: MACs per image", *_saved(total["macs"], total["macs_left"], 1e9, "G")
        yield f"{title}: weights as a file", *_saved(sizes["dense"], sizes["compact"], 1, "MB")
    yield "filters of the convolutions below", *_counted(report["filters"], report["filters_removed"])


def _counted(before: int, gone: int) -> Cells:
    return f"{before:,}", f"{before - gone:,}", percent(gone, before) if before else "-"


def _saved(before: float, after: float, unit: float, name: str) -> Cells:
    gone = percent(before - after, before) if before else "-"
    return f"{before / unit:.3g} {name}", f"{after / unit:.3g} {name}", gone


def _differences(report: Mapping[str, Any], tasks: Mapping[str, Task]) -> Iterator[Cells]:
    for task, difference in report["check"]["tasks"].items():
        labelled = difference.get("share_of_pixels_labelled_differently") is not None
        relative = (difference["relative_difference"], difference["relative_dense_error"], difference["relative_compact_error"])
        yield (
            *(tasks[task].title, f"{difference['difference']:.1e}", f"{difference['largest_output']:.3g}"),
            *(f"{number:.1e}" for number in relative),
            f"{difference['different']:,} of {difference['pixels']:,}" if labelled else "-",
        )


def _latencies(report: Mapping[str, Any]) -> Iterator[Cells]:
    for row in [*report["latency"], *(report["onnx"]["latency"] if report["onnx"] else ())]:
        times, layout = row["milliseconds"], row.get("layout", {})
        part = "whole model" if row["part"] == "model" else row["part"]
        yield (
            f"{part}, batch {row['batch']}, {row['runtime']}",
            *(f"{times[form]:.1f}{' (c)' * (layout.get(form) == 'contiguous')}" if form in times else "-" for form in FORMS),
            *(f"{times[form] / times['compact']:.2f} x" if form in times else "-" for form in ("dense", "folded")),
            row["rounds"],
        )


def _per_layer(report: Mapping[str, Any]) -> Iterator[Cells]:
    for layer in report["layers"]:
        yield (
            f"`{layer['layer']}`",
            *(layer["groups"], layer["zero_groups"], layer["channels_there"], layer["channels_read"], layer["reads"]),
            f"{layer['filters'] - layer['filters_removed']} of {layer['filters']}",
            f"{layer['parameters_left']:,} of {layer['parameters']:,}",
            f"{layer['macs_left'] / 1e6:.1f} of {layer['macs'] / 1e6:.1f}",
            layer["note"],
        )
