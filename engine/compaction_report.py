"""The report of a compaction as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from utils.layer_bars import percent
from utils.tasks import get_task

FORMS = {"dense": "dense, as trained", "folded": "dense, batch norm folded", "compact": "compact"}


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a Markdown table; all columns but the first are numbers, and stand to the right."""
    align = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(map(str, cells))} |" for cells in (head, align, *rows)] + [""]


def report_text(report: Mapping[str, Any], figure: str) -> str:
    """The whole report.

    Args:
        report: as in ``compact_report.json``.
        figure: name of the figure's file, beside the text.
    """
    sections = [_head(report, figure), _totals(report), _check(report), _latency(report), _memory(report), _layers(report)]
    return "\n".join(line for section in sections for line in section)


def _head(report: Mapping[str, Any], figure: str) -> list[str]:
    height, width = report["image_size"]
    machine = report["machine"]
    kernel = (
        "Every layer reads just the channels that it uses: in the project's kernel for CPUs that costs nothing extra."
        if report["free_selects"]
        else "A layer that had to copy the channels that it uses keeps its width where the copy would cost more than it saves."
    )
    return [
        f"# Compact model of {report['trial']}",
        "",
        f"{report['network']}, output stride {report['output_stride']}, tasks {', '.join(report['tasks'])}, "
        f"input {height} x {width}; the network of {report['best_epoch']} epochs. Measured on {machine['device']}, "
        f"threads: {machine['threads']}, torch {machine['torch']}, {machine['precision']}.",
        "",
        kernel,
        "",
        f"![What was saved where]({figure})",
        "",
    ]


def _totals(report: Mapping[str, Any]) -> list[str]:
    lines = ["## In total", ""]
    rows = []
    for part, title in (("backbone", "backbone"), ("model", "whole model")):
        total = report[part]
        sizes = report["file_MB"][part]
        rows += [
            (f"{title}: groups that are not zero", *_counted(total["groups"], total["zero_groups"])),
            (f"{title}: parameters", *_saved(total["parameters"], total["parameters_left"], 1e6, "M")),
            (f"{title}: MACs per image", *_saved(total["macs"], total["macs_left"], 1e9, "G")),
            (f"{title}: weights as a file", *_saved(sizes["dense"], sizes["compact"], 1, "MB")),
        ]
    rows.append(("filters of the convolutions below", *_counted(report["filters"], report["filters_removed"])))
    lines += table(("", "dense", "compact", "gone"), rows)
    return [
        *lines,
        f"{report['layers_that_select']} layers read some channels of a wider map. Files are compared like for like: the "
        "weights alone, as safetensors. The parameters of the compact model are those after folding batch norm.",
        "",
        *_dead(report["dead_layers"]),
    ]


def _dead(layers: Sequence[str]) -> list[str]:
    names = ", ".join(f"`{name}`" for name in layers)
    return (
        [f"Layers without any live group, so that what they give does not depend on the image: {names}.", ""] if layers else []
    )


def _counted(before: int, gone: int) -> tuple[str, str, str]:
    return f"{before:,}", f"{before - gone:,}", _percent(gone, before)


def _saved(before: float, after: float, unit: float, name: str) -> tuple[str, str, str]:
    return f"{before / unit:.3g} {name}", f"{after / unit:.3g} {name}", _percent(before - after, before)


def _percent(part: float, whole: float) -> str:
    return percent(part, whole) if whole else "-"


def _check(report: Mapping[str, Any]) -> list[str]:
    check = report["check"]
    rows = []
    for task, found in check["tasks"].items():
        share = found.get("share_of_pixels_labelled_differently")
        labels = "-" if share is None else f"{found['different']:,} of {found['pixels']:,}"
        relative = (found["relative_difference"], found["relative_dense_error"], found["relative_compact_error"])
        rows.append(
            (
                get_task(task).title,
                f"{found['difference']:.1e}",
                f"{found['largest_output']:.3g}",
                *(f"{x:.1e}" for x in relative),
                labels,
            )
        )
    head = (
        *("task", "largest difference", "largest output", "relative difference"),
        *("dense against float64", "compact against float64", "pixels labelled differently"),
    )
    return [
        "## Equal outputs",
        "",
        f"Logits of the compact file and of the dense network in fp32, on {check['source']}; relative numbers are parts of "
        "the largest output.",
        "",
        *table(head, rows),
    ]


def _latency(report: Mapping[str, Any]) -> list[str]:
    rows = [*report["latency"], *(report["onnx"]["latency"] if report["onnx"] else ())]
    body = []
    for row in rows:
        times, layout = row["milliseconds"], row.get("layout", {})
        cells = [f"{times[form]:.1f}{_mark(layout.get(form))}" if form in times else "-" for form in FORMS]
        gains = [f"{times[form] / times['compact']:.2f} x" if form in times else "-" for form in ("dense", "folded")]
        body.append((f"{_part(row['part'])}, batch {row['batch']}, {row['runtime']}", *cells, *gains, row["rounds"]))
    head = ("milliseconds per batch", *FORMS.values(), "faster than as trained", "faster than folded", "rounds")
    lines = [
        "## Latency",
        "",
        "Medians; the networks take turns, with the same threads. Each runs in its faster memory layout: channels last, or "
        "contiguous (c).",
        "",
        *table(head, body),
    ]
    if report["onnx"]:
        onnx = report["onnx"]
        worst = {name: max(tasks.values()) for name, tasks in onnx["relative_difference"].items()}
        lines += [
            f"`compact.onnx` ({onnx['file_MB']['compact']:.1f} MB, {onnx['macs'] / 1e9:.3g} GMACs) has outputs within "
            f"{worst['onnxruntime']:.1e} of the trained network's (torch.export: {worst['torch.export']:.1e}), in batches of "
            f"{' and '.join(map(str, onnx['batches_checked']))}.",
            "",
        ]
    return lines


def _mark(layout: str | None) -> str:
    return " (c)" if layout == "contiguous" else ""


def _part(part: str) -> str:
    return {"model": "whole model"}.get(part, part)


def _memory(report: Mapping[str, Any]) -> list[str]:
    memory = report["memory"]
    body = [(f"batch {row['batch']}", *(f"{row['megabytes'][form]:.0f}" for form in FORMS)) for row in memory["model"]]
    lines = table(("megabytes", *FORMS.values()), body) if body else []
    return ["## Peak memory", "", f"Of the whole model with its weights: {memory['how']}.", "", *lines]


def _layers(report: Mapping[str, Any]) -> list[str]:
    body = [
        (
            f"`{layer['layer']}`",
            *(layer["groups"], layer["zero_groups"], layer["channels_there"], layer["channels_read"], layer["reads"]),
            f"{layer['filters'] - layer['filters_removed']} of {layer['filters']}",
            f"{layer['parameters_left']:,} of {layer['parameters']:,}",
            f"{layer['macs_left'] / 1e6:.1f} of {layer['macs'] / 1e6:.1f}",
            layer["note"],
        )
        for layer in report["layers"]
    ]
    head = (
        *("layer", "groups", "zero groups", "channels there", "channels read", "reads"),
        *("filters left", "parameters left", "MMACs left", "what stayed and why, or what became of it"),
    )
    return [
        "## Per layer",
        "",
        "A group is an input channel. Of its input's channels a layer finds those *there* that it or another layer still "
        "needs, and reads its own: all of them, a slice (the first ones), a select (by number), or nothing (what it gives is "
        "constant).",
        "",
        *table(head, body),
    ]
