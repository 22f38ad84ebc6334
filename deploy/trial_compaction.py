"""A trained trial without its zeros: the compact model's files, the proof that it is equal, and what it saves.

Everything is made in a temporary folder inside the trial's, and moved into place once all of it is there.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock, Timeout
from safetensors.torch import save
from torch import Tensor, nn

from datasets import build_dataset
from deploy.compact_report import FORMS, compared_rows, printed_rows, report_text
from deploy.equality import TaskDifference, compare_outputs
from deploy.latency import Timing, busy_text, others_share, time_networks
from deploy.model_card import model_card
from deploy.onnx_export import CHECKED_BATCHES, TOLERANCE, check_export, export_onnx, require_onnx, time_sessions
from deploy.peak_memory import HOW, cpu_peaks, gpu_peak
from deploy.sparsity_plot import figure_title
from engine import checkpoint as files
from engine.checkpoint import save_json
from engine.device import device_name, resolve
from engine.pictures import evenly_spaced
from engine.result_table import dense_twin
from engine.resuming import saved_row
from engine.saved_trial import SavedTrial, load_trial
from engine.sparsity_numbers import dead_layers, warn_of_dead_layers
from figures.compaction_bars import compaction_figure
from figures.dense_and_compact import comparison_figure
from figures.saving import save_figure
from models import CompactModel, CompactReport, compact, fold_batch_norm, load_compact, save_compact
from models.compaction.files import plain_tensors
from models.compaction.runner import library
from tasks.metric_info import ARROWS, metric_info
from tasks.table import Task
from utils.console import show_table
from utils.errors import TrialError, UserError
from utils.files import remove_unfinished, unfinished
from utils.locks import give_back

log = logging.getLogger(__name__)

MODEL, HALF, ONNX = "compact.safetensors", "compact_half.safetensors", "compact.onnx"
REPORT, CARD, COMPARISON = "compact_report", "model_card.md", "dense_sparse_compact"
BATCHES = (1, 8)
"""Sizes of the batches that are timed."""
CHECK_BATCH = 4
"""Images at a time where outputs are compared, in float64 too."""


@dataclass(frozen=True)
class Networks:
    """One trained network in three forms, on one device."""

    trial: SavedTrial
    folded: nn.Module
    compact: CompactModel
    report: CompactReport
    free_selects: bool

    def parts(self) -> dict[str, dict[str, nn.Module]]:
        """Return the three forms of the shared backbone alone, and of the whole model."""
        whole: dict[str, nn.Module] = {"dense": self.trial.model, "folded": self.folded, "compact": self.compact}
        return {"backbone": {name: model.get_submodule("backbone") for name, model in whole.items()}, "model": whole}


def make_compact(trial: SavedTrial, device: torch.device) -> Networks:
    """Compact a trial's model for the device that it is on; the folded model is there to compare with."""
    # In the project's kernel reading some channels of a map costs nothing. Elsewhere it is a copy, which has to pay.
    free_selects = device.type == "cpu" and library() is not None
    model, report = compact(trial.model, free_selects=free_selects, image_size=trial.config.size)
    model.config = trial.config.model_copy(update={"precision": "fp32"})
    return Networks(trial, fold_batch_norm(trial.model), model, report, free_selects)


def compact_trial(
    folder: Path,
    device: str = "cpu",
    *,
    images: int = 8,
    onnx: bool = False,
    half: bool = False,
    data_dir: Path | None = None,
) -> bool:
    """Write the compact model of a trial, and the report, into the trial's folder; those of an earlier run are replaced.

    Args:
        folder: of a trained trial.
        device: to compact for, and to measure on.
        images: on how many the outputs are compared.
        onnx: write ``compact.onnx`` too.
        half: write ``compact_half.safetensors`` too, with weights in half precision.
        data_dir: in place of what the configuration says.

    Returns:
        False if the compact model's outputs are not those of the trained one, or nothing proves it: then nothing is written.

    Raises:
        UserError: ``folder`` holds no trained trial, or a package or a device is missing.
    """
    if onnx:
        require_onnx()
    trial = load_trial(folder)
    _, where = resolve(trial.config.model_copy(update={"device": device, "precision": "fp32"}))
    if not (folder / files.TEST).is_file():
        log.warning("%s is not finished (no %s): its best network so far is compacted", folder, files.TEST)
    trial.model.to(where)
    warn_of_dead_layers(trial.model, trial.config, folder.name)
    log.info("removing the channels that nothing reads")
    made = make_compact(trial, where)
    photos, source = check_images(trial, images, data_dir)
    with _staging(folder) as staging:
        assert made.compact.config is not None
        save_compact(made.compact, staging / MODEL, made.compact.config)
        # What is compared and measured is what is in the file.
        made = Networks(trial, made.folded, load_compact(staging / MODEL).to(where), made.report, made.free_selects)
        log.info("comparing the outputs of the trained and of the compact network on %s", source)
        differences = compare_outputs(trial.model, made.compact, trial.config.tasks.values(), _batches(photos, where))
        if not _is_equal(differences, source):
            return False
        report = _describe(made, differences, source, len(photos))
        report["twin"] = _twin(trial)
        report |= {"half": _half(made, staging, photos, where) if half else None}
        others = others_share()
        report |= {"latency": _latency(made, where), "memory": None, "onnx": None}
        report["memory"] = _memory(made, where, staging / MODEL, report["latency"])
        if onnx:
            report["onnx"] = _onnx(made, staging, photos)
            if report["onnx"] is None:
                return False
        busy = busy_text(max(others, others_share()))
        report["doubt"] = f"times are doubtful, as {busy}" if busy else ""
        _write_report(staging, report, trial.config.tasks, figure_title(trial))
        (staging / CARD).write_text(model_card(trial, report, HALF if half else MODEL), encoding="utf-8")
        _move(staging, folder, onnx=onnx, half=half)
    _show(report, folder, max(difference.relative for difference in differences.values()))
    return True


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Yield a new folder inside a trial's, for files that are not whole yet; remove what a killed process left of its own.

    Raises:
        TrialError: another process is compacting the trial.
    """
    lock = FileLock(folder / ".compact.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise TrialError(f"{folder}: another process is compacting this trial; wait for it, or stop it") from None
    staging = unfinished(folder / "compact")
    try:
        remove_unfinished(folder, "compact")
        staging.mkdir()
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        give_back(lock)


def _show(report: dict[str, Any], folder: Path, difference: float) -> None:
    """Print what came out: costs of the network's forms, or where it has a dense twin, what it and they cost and achieve."""
    equal = f"outputs equal to {difference:.1e} of the largest, on {report['check']['source']}"
    caption = f"{equal}; layer by layer: {folder / REPORT}.md"
    if report["doubt"]:
        caption += f"\n{report['doubt']}; repeat this when the machine is idle"
    if report["twin"] is None:
        show_table(f"Result of {folder.name}", ["whole model", *FORMS], printed_rows(report), caption)
        return
    heads = ["whole model", f"dense: {report['twin']['name']}", f"sparse: {folder.name}", "compact"]
    caption += f"\nthe same as a figure: {folder / COMPARISON}.png"
    show_table("Dense, sparse, compact", heads, compared_rows(report), caption)


def _twin(trial: SavedTrial) -> dict[str, Any] | None:
    """Return the main metrics on the test split of a trial and of the dense one of the same seed beside it, if there is one."""
    twin = dense_twin(trial.config, trial.folder.parent, [trial.seed])
    if twin is None or not (trial.folder / files.TEST).is_file():
        return None
    metrics, own, dense = [], saved_row(trial.folder), twin.trials.iloc[0]
    for task in trial.config.tasks.values():
        column = f"{task.name}_{task.main_metric}"
        info = metric_info(task, task.main_metric, metres=trial.config.depth_target == "metric")
        if pd.isna(own.get(column)) or pd.isna(dense[column]):
            return None
        values = {"dense": float(dense[column]), "sparse": float(own[column])}
        name = f"{task.title}: {info.title or task.main_metric.replace('_', ' ')} {ARROWS[info.better]}"
        metrics.append({"name": name, "better": info.better, "decimals": 2 if info.unit == "degrees" else 4, **values})
    return {"name": f"{twin.name}_trial_{int(dense['trial'])}", "metrics": metrics}


def check_images(trial: SavedTrial, count: int, data_dir: Path | None = None) -> tuple[Tensor, str]:
    """Return images (N, C, H, W) at the network's input size, and a sentence on them.

    They are evenly spaced frames of the test split, at most all of them; random ones where the data set cannot be read.

    Raises:
        DataError: ``data_dir`` is given, and holds no data set.
    """
    config = trial.config.with_data_dir(data_dir) if data_dir else trial.config
    try:
        dataset = build_dataset(config, "test")
        if len(dataset):
            photos = evenly_spaced(dataset, count)["image"]
            return photos, f"{len(photos)} of the {len(dataset)} frames of the test split"
    except (UserError, OSError) as error:
        if data_dir:
            raise
        log.warning("outputs are compared on random images, as the data set cannot be read: %s", error)
    shape = (count, config.input_img_channels, *config.size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)), f"{count} random images (uniform, seed 0)"


def _batches(photos: Tensor, device: torch.device) -> Iterator[Tensor]:
    for batch in photos.split(CHECK_BATCH):
        yield batch.to(device)


def _is_equal(differences: Mapping[str, TaskDifference], source: str) -> bool:
    """Return whether the outputs are equal; log how far they are apart, as an error where that is too far."""
    for task, difference in differences.items():
        log.info("%s: largest difference of an output %.1e of the largest output", task, difference.relative)
    unproven = [f"{task}: {difference.obstacle}" for task, difference in differences.items() if difference.obstacle]
    wrong = [task for task, difference in differences.items() if not difference.equal and not difference.obstacle]
    if unproven:
        log.error("nothing proves that the compact model is equal (%s; %s). Nothing is written", source, "; ".join(unproven))
    if wrong:
        log.error(
            "the compact model is NOT equal to the trained one on %s: %s. Nothing is written; please report this",
            source,
            ", ".join(
                f"{task} differs by {difference.relative:.1e} of its largest output (the trained network's own rounding: "
                f"{difference.numbers()['relative_dense_error']:.1e})"
                for task, difference in differences.items()
                if task in wrong
            ),
        )
    return not wrong and not unproven


def _describe(made: Networks, differences: Mapping[str, TaskDifference], source: str, images: int) -> dict[str, Any]:
    """Describe a compaction, but for what takes time to measure."""
    config = made.trial.config
    return {
        "trial": made.trial.folder.name,
        "experiment": config.Experiment_name,
        "dataset": config.dataset_name,
        "network": config.backbone,
        "output_stride": config.output_stride,
        "tasks": list(config.task_list),
        "best_epoch": made.trial.best_epoch,
        "free_selects": made.free_selects,
        "machine": machine(made.trial),
        **made.report.summary(),
        "dead_layers": dead_layers(made.trial.model),
        "layers": made.report.rows(),
        "file_MB": file_sizes(made),
        "check": {
            "images": images,
            "source": source,
            "tasks": {task: difference.numbers() for task, difference in differences.items()},
        },
    }


def machine(trial: SavedTrial) -> dict[str, Any]:
    """Describe the machine that numbers are measured on."""
    device = next(trial.model.parameters()).device
    return {
        "device": device_name(device),
        "kind": device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "precision": "fp32" + (" (convolutions in TF32, torch's default)" if device.type == "cuda" else ""),
    }


def file_sizes(made: Networks) -> dict[str, dict[str, float]]:
    """Return the megabytes per part and form, like for like: the weights alone, as a safetensors file."""
    return {
        part: {name: len(save(plain_tensors(network))) / 1e6 for name, network in networks.items()}
        for part, networks in made.parts().items()
    }


def _latency(made: Networks, device: torch.device) -> list[dict[str, Any]]:
    """Measure one row per part and size of a batch: milliseconds per batch, eager."""
    channels, size = made.trial.config.input_img_channels, made.trial.config.size
    rows = []
    for part, networks in made.parts().items():
        for batch in BATCHES:
            images = torch.rand(batch, channels, *size, generator=torch.Generator().manual_seed(0)).to(device)
            log.info("timing the %s, batch %d: dense, folded and compact in turns", part, batch)
            timing: Timing = time_networks(networks, images, f"latency of the {part}, batch {batch}")
            rows.append(_row("eager", part, batch, timing.rounds, timing.milliseconds) | {"layout": dict(timing.layouts)})
    return rows


def _half(made: Networks, staging: Path, photos: Tensor, device: torch.device) -> dict[str, Any]:
    """Write the weights in half precision; return the file's size, and how far its outputs are from the trained network's."""
    assert made.compact.config is not None
    save_compact(made.compact, staging / HALF, made.compact.config, half=True)
    half, tasks = load_compact(staging / HALF).to(device), made.trial.config.tasks.values()
    differences = compare_outputs(made.trial.model, half, tasks, _batches(photos, device))
    if any(difference.obstacle or not math.isfinite(difference.relative) for difference in differences.values()):
        raise UserError("--half: in half precision, outputs of this model are no numbers; nothing is written without it")
    worst = max(difference.relative for difference in differences.values())
    log.info("half precision: largest difference of an output %.1e of the largest output", worst)
    return {"file": HALF, "file_MB": (staging / HALF).stat().st_size / 1e6, "difference": worst}


def _row(runtime: str, part: str, batch: int, rounds: int, milliseconds: Mapping[str, float]) -> dict[str, Any]:
    """Return a line of the table of latencies."""
    return {"runtime": runtime, "part": part, "batch": batch, "rounds": rounds, "milliseconds": dict(milliseconds)}


def _memory(made: Networks, device: torch.device, compact_file: Path, latency: list[dict[str, Any]]) -> dict[str, Any]:
    """Measure per size of a batch the megabytes that the whole model takes, in the layout that was faster."""
    rows = []
    for row in (row for row in latency if row["part"] == "model"):
        log.info("measuring the peak memory of the whole model, batch %d", row["batch"])
        shape = (row["batch"], made.trial.config.input_img_channels, *made.trial.config.size)
        megabytes: dict[str, float] | None
        if device.type == "cuda":
            megabytes = _gpu_peaks(made, torch.rand(shape, device=device), row["layout"])
        else:
            megabytes = cpu_peaks(row["layout"], made.trial.folder, compact_file, shape)
        if megabytes is not None:
            rows.append({"batch": row["batch"], "megabytes": megabytes})
    return {"how": HOW[device.type] if rows else "not measured: this system does not tell", "model": rows}


def _gpu_peaks(made: Networks, images: Tensor, layouts: Mapping[str, str]) -> dict[str, float]:
    """Measure each network alone on the GPU."""
    whole = made.parts()["model"]
    for network in whole.values():
        network.to("cpu")
    peaks = {name: gpu_peak(network, images, layouts[name]) for name, network in whole.items()}
    for network in whole.values():
        network.to(images.device)
    return peaks


def _onnx(made: Networks, staging: Path, photos: Tensor) -> dict[str, Any] | None:
    """Write compact.onnx; return how equal and how fast it is, or None where it is not equal."""
    trial = made.trial
    shape = (trial.config.input_img_channels, *trial.config.size)
    log.info("exporting to ONNX")
    trial.model.to("cpu")
    model, report = compact(trial.model, free_selects=False, image_size=trial.config.size)
    program = export_onnx(model, staging / ONNX, trial.config)
    differences = check_export(trial.model, program, staging / ONNX, photos)
    worst = {name: max(tasks.values()) for name, tasks in differences.items()}
    if not all(value <= TOLERANCE for tasks in differences.values() for value in tasks.values()):
        log.error("the exported model is NOT equal to the trained one (%s). Nothing is written; please report this", worst)
        return None
    log.info("largest difference of an exported output: %.1e of the largest output", max(worst.values()))
    # The comparison's files go with the folder that they are in.
    with tempfile.TemporaryDirectory(dir=staging) as other:
        dense = Path(other) / "folded.onnx"
        export_onnx(fold_batch_norm(trial.model).to("cpu"), dense, trial.config)
        rows = []
        for batch in BATCHES:
            images = torch.rand(batch, *shape, generator=torch.Generator().manual_seed(0))
            paths = {"folded": dense, "compact": staging / ONNX}
            log.info("timing the whole model in onnxruntime, batch %d", batch)
            times, rounds = time_sessions(paths, images, f"latency in onnxruntime, batch {batch}")
            rows.append(_row("onnxruntime", "model", batch, rounds, times))
        sizes = {"folded": dense.stat().st_size / 1e6, "compact": (staging / ONNX).stat().st_size / 1e6}
    return {
        "relative_difference": differences,
        "batches_checked": list(CHECKED_BATCHES),
        "macs": report.totals["model"]["macs_left"],
        "file_MB": sizes,
        "latency": rows,
    }


def _write_report(staging: Path, report: dict[str, Any], tasks: Mapping[str, Task], title: str) -> None:
    """Write the report as JSON, Markdown and a figure."""
    if report["doubt"]:
        title += f" ({report['doubt']})"
    save_json(staging / f"{REPORT}.json", report)
    (staging / f"{REPORT}.md").write_text(report_text(report, tasks, f"{REPORT}.png"), encoding="utf-8")
    figure = compaction_figure(pd.DataFrame(report["layers"]), report, f"What compaction saved: {title}")
    save_figure(figure, staging / REPORT, ("png",))
    if report["twin"] is not None:
        save_figure(comparison_figure(report, title), staging / COMPARISON, ("png",))


def _move(staging: Path, folder: Path, **asked: bool) -> None:
    """Put the files in the place of an earlier run's."""
    for name, path in {"onnx": folder / ONNX, "half": folder / HALF}.items():
        if not asked[name] and path.is_file():
            log.warning("%s is of an earlier run, and is left as it is; --%s writes it anew", path, name)
    (folder / f"{COMPARISON}.png").unlink(missing_ok=True)  # of a twin that may be gone
    for path in sorted(staging.iterdir()):
        os.replace(path, folder / path.name)
        log.info("wrote %s", folder / path.name)
