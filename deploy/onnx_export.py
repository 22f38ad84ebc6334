"""A network as an ONNX file, checked and timed with onnxruntime."""

from __future__ import annotations

import functools
import json
import logging
import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deploy.latency import alternate
from deploy.meaning import meaning_of_inputs, meaning_of_outputs
from models import MultiTaskModel
from settings.config import ExperimentConfig
from utils.errors import UserError

log = logging.getLogger(__name__)

INPUT, BATCH = "images", "batch"
TOLERANCE = 1e-4
"""Largest |difference| of an exported network's outputs, relative to the largest |output| of its task."""
CHECKED_BATCHES = (1, 3)


class _Outputs(nn.Module):
    """A model whose outputs are a tuple, in the order of its tasks: an ONNX file knows no dictionaries."""

    def __init__(self, model: MultiTaskModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute one output per task for images (B, C, H, W)."""
        return tuple(self.model(images).values())


def require_onnx() -> None:
    """Ask for the optional packages before any work.

    Raises:
        UserError: one is missing.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript
    except ImportError as error:
        raise UserError(
            f"--onnx needs the packages onnx, onnxscript and onnxruntime ({error.name or error} is missing): "
            "pip install -r requirements-export.txt"
        ) from None
    del onnx, onnxruntime, onnxscript


@torch.no_grad()
def export_onnx(model: MultiTaskModel, path: Path, config: ExperimentConfig) -> torch.export.ExportedProgram:
    """Write ``model`` (in eval mode, on the CPU) as one ONNX file for batches of any size; the outputs are called as the tasks.

    The file's metadata say what goes in and what comes out (docs/compact.md).

    Args:
        model: dense or compact.
        path: of the file.
        config: of the experiment: size of the images, data set, units.

    Returns:
        The model as torch.export has it, from which the file was made.
    """
    import onnx

    wrapped = _Outputs(model).eval()
    images = torch.zeros(2, config.input_img_channels, *config.size)
    batch = torch.export.Dim(BATCH, min=1)
    program = torch.export.export(wrapped, (images,), dynamic_shapes=({0: batch},))
    quiet = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in quiet]
    for logger in quiet:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.onnx.export(
                program, input_names=[INPUT], output_names=list(model.heads), dynamo=True, external_data=False, verbose=False
            )
            assert exported is not None
            proto = exported.model_proto
    finally:
        for logger, level in zip(quiet, levels, strict=True):
            logger.setLevel(level)
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:  # the exporter's own name; nothing but the batch is of any size
                dimension.dim_param = BATCH
    onnx.helper.set_model_props(proto, _metadata(model, config))
    onnx.save(proto, path)
    return program


def _metadata(model: MultiTaskModel, config: ExperimentConfig) -> dict[str, str]:
    """Make the metadata of the file: all that is needed to use it without this project."""
    outputs = meaning_of_outputs([config.tasks[name] for name in model.heads], config)
    return {
        "experiment": config.Experiment_name,
        "dataset": config.dataset_name,
        "input": json.dumps({"name": INPUT, **meaning_of_inputs(config)}),
        "tasks": json.dumps(outputs),
    }


def open_session(path: Path) -> Any:
    """Open the file in onnxruntime, on the CPU with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_session(session: Any, images: Tensor) -> dict[str, Tensor]:
    """Compute the outputs per task for images (B, C, H, W)."""
    names = [output.name for output in session.get_outputs()]
    arrays = session.run(names, {INPUT: np.ascontiguousarray(images.numpy())})
    return {name: torch.from_numpy(array) for name, array in zip(names, arrays, strict=True)}


@torch.inference_mode()
def check_export(
    model: MultiTaskModel, program: torch.export.ExportedProgram, path: Path, images: Tensor
) -> dict[str, dict[str, float]]:
    """Measure how far the exported networks are from ``model`` (exported or not) for batches of 1 and of 3 images.

    Returns:
        Per runtime (``torch.export``, ``onnxruntime``) and task: the largest |difference| relative to the largest |output|.
    """
    session, exported = open_session(path), program.module()
    runs: dict[str, Callable[[Tensor], Mapping[str, Tensor]]] = {
        "torch.export": lambda batch: dict(zip(model.heads, exported(batch), strict=True)),
        "onnxruntime": functools.partial(run_session, session),
    }
    differences: dict[str, dict[str, float]] = {name: {} for name in runs}
    for size in CHECKED_BATCHES:
        batch = images[torch.arange(size) % len(images)]
        wanted = model(batch)
        for name, run in runs.items():
            outputs = run(batch)
            for task, expected in wanted.items():
                largest = max(float(expected.abs().max()), torch.finfo(torch.float32).tiny)
                relative = float((outputs[task] - expected).abs().max()) / largest
                relative = math.inf if math.isnan(relative) else relative
                differences[name][task] = max(relative, differences[name].get(task, 0.0))
    return differences


def time_sessions(paths: Mapping[str, Path], images: Tensor, description: str) -> tuple[dict[str, float], int]:
    """Measure the median milliseconds per file for images (B, C, H, W), in turns, and the number of rounds."""
    runs = {name: functools.partial(run_session, open_session(path), images) for name, path in paths.items()}
    return alternate(runs, description)
