"""Compact models on disk: one safetensors file with weights, widths and the configuration. Nothing is unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from models.compaction.anatomy import Anatomy, dissect
from models.compaction.compact import CompactModel
from models.compaction.heads import fold_norms
from models.compaction.inference import InferenceBackbone
from models.compaction.layers import CompactConv2d, CompactUnit
from models.heads import feature_convs
from models.multi_task import build_model
from settings.config import ExperimentConfig, validate_config
from utils.errors import TrialError, UserError
from utils.files import replacing

FORMAT = "less-is-more compact model, version 1"


def save_compact(model: CompactModel, path: str | Path, config: ExperimentConfig, *, half: bool = False) -> None:
    """Write a compact model for inference to one file, which appears whole or not at all.

    Args:
        model: what ``compact(model)`` gave.
        path: ``*.safetensors``.
        config: of the experiment that it comes from.
        half: round the weights to float16, in half the space; they are float32 again when they are loaded.

    Raises:
        TypeError: the model is no compact one.
        ValueError: it still has batch norm (``for_training=True``).
        UserError: half precision cannot hold a weight.
    """
    if not isinstance(model, CompactModel):
        raise TypeError(f"save_compact() expects what compact(model) gives, got {type(model).__name__}")
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        raise ValueError("save_compact writes models for inference; this one was made with for_training=True")
    described = {
        "format": FORMAT,
        "config": json.dumps(config.as_dict()),
        "stream": json.dumps(model.backbone.widths),
        "inputs": json.dumps({name: conv.width for name, conv in model.named_modules() if isinstance(conv, CompactConv2d)}),
    }
    with replacing(Path(path)) as temporary:
        tensors = plain_tensors(model)
        if half:
            tensors = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
            if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
                raise UserError("half precision holds numbers up to 65504, and a weight of this model is larger")
        temporary.write_bytes(save(tensors, described))  # save_file would make it readable for its owner only


def plain_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers, on the CPU: the state without the structure, which the description says."""
    named = (*model.named_parameters(), *model.named_buffers())
    return {name: tensor.detach().cpu().contiguous() for name, tensor in named}


def load_compact(path: str | Path) -> CompactModel:
    """The compact model that :func:`save_compact` wrote, in eval mode on the CPU, with its ``config``.

    Raises:
        TrialError: there is no such file, or it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise TrialError(f"{path}: there is no such file; compact_model.py writes one")
    try:
        with safe_open(path, framework="pt") as file:
            described: dict[str, str] = file.metadata() or {}
            if described.get("format") != FORMAT:
                raise TrialError(f"{path}: is no compact model of this project; expected a file that compact_model.py wrote")
            tensors = {name: _loaded(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - the file is no dict
        config = validate_config(json.loads(described["config"]), str(path))
        return _rebuild(config, json.loads(described["stream"]), json.loads(described["inputs"]), tensors)
    except (SafetensorError, AttributeError, LookupError, TypeError, ValueError, RuntimeError, OSError) as error:
        if isinstance(error, TrialError):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise TrialError(f"{path}: is damaged, or was written by another version ({reason:.200})") from None


def _loaded(tensor: Tensor) -> Tensor:
    """Copy a tensor of a file (a single view of the file, a bias for example, keeps all of it in memory), half as float."""
    return tensor.float() if tensor.dtype == torch.float16 else tensor.clone()


def _rebuild(config: ExperimentConfig, stream: list[int], inputs: dict[str, int], tensors: dict[str, Tensor]) -> CompactModel:
    with torch.device("meta"):
        dense = build_model(config.model_copy(update={"init_weights": None}))
    anatomy = dissect(dense.backbone)
    heads: dict[str, nn.Module] = {}
    for task, head in dense.heads.items():
        readers = feature_convs(head)
        fold_norms(head)
        for name, conv in readers:
            assert isinstance(conv, nn.Conv2d)
            parent, _, last = name.rpartition(".")
            head.get_submodule(parent).add_module(last, _conv(f"heads.{task}.{name}", conv, inputs, tensors))
        heads[task] = head
    features = {name: width for name, width in inputs.items() if name.startswith("heads.")}
    if any(width != stream[-1] for width in features.values()):
        raise ValueError(f"the heads read {features} channels, there are {stream[-1]}")
    normalize = dense.normalize
    model = CompactModel(_backbone(anatomy, tuple(stream), inputs, tensors), heads, normalize)
    structure = {name: value for name, value in model.state_dict().items() if name.endswith("_extra_state")}
    model.load_state_dict({**structure, **tensors}, strict=True, assign=True)
    model.config = config
    if config.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.requires_grad_(False).eval()


def _backbone(
    anatomy: Anatomy, stream: tuple[int, ...], inputs: dict[str, int], tensors: dict[str, Tensor]
) -> InferenceBackbone:
    units = {
        unit.name: CompactUnit(_conv(f"backbone.{unit.name}", unit.conv, inputs, tensors), None, unit.relu)
        for unit in anatomy.units()
        if f"backbone.{unit.name}" in inputs
    }
    return InferenceBackbone(anatomy, units, stream)


def _conv(name: str, dense: nn.Conv2d, inputs: dict[str, int], tensors: dict[str, Tensor]) -> CompactConv2d:
    weight, width = tensors[f"{name}.weight"], inputs[name]
    columns: Any = tensors.get(f"{name}.index")
    if columns is None:
        columns = torch.arange(width)
    elif columns.ndim != 1 or columns.dtype != torch.int64:
        raise ValueError(f"{name}.index is {columns.dtype} of shape {tuple(columns.shape)}, expected numbers of channels")
    elif len(columns) and not 0 <= int(columns.min()) <= int(columns.max()) < width:
        raise ValueError(f"{name}.index reads beyond its {width} channels")
    if weight.ndim != 4 or weight.shape[1] != len(columns) or tuple(weight.shape[2:]) != dense.kernel_size:
        raise ValueError(f"{name}.weight is {tuple(weight.shape)}, which does not fit {len(columns)} channels")
    return CompactConv2d(weight, tensors.get(f"{name}.bias"), width, columns, dense, dense.weight)
