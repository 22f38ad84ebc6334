"""Training goes on in the compact model where it stopped in the dense one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from models.compaction.report import ParameterMap
from optim import ProxAdam
from optim.groups import group_count
from optim.prox_adam import PER_WEIGHT, PRODUCTS

_OWN = ("params", "keep", "removed_groups", *PER_WEIGHT)
"""Keys of a parameter group that are not the same for the dense and the compact model."""


def carry_optimizer_state(
    optimizer: Optimizer,
    model: nn.Module,
    compact_optimizer: Optimizer,
    compact_model: nn.Module,
    maps: Mapping[str, ParameterMap],
) -> None:
    """Make ``compact_optimizer`` go on where ``optimizer`` stands: the part of its state that is left, and its options.

    Of a parameter that is left, whatever is shaped like it (moments) is taken through its map and the rest (the step) is
    copied; a parameter that both optimizers hold, such as a learned loss weight, keeps all of it. As in ``load_state_dict``,
    each parameter group takes over all options of its counterpart: learning rate, decay, penalty with its present strength.
    ``keep``, ``removed_groups`` and what :class:`optim.ProxAdam` knows of each weight follow what is left, and so does
    ``zero_share``. A learning rate schedule belongs to its optimizer: make another one and load its state.

    Args:
        optimizer: of ``model``; left alone.
        model: the dense model.
        compact_optimizer: of the compact model, built as ``optimizer`` was: each of its groups has a counterpart there.
        compact_model: ``compact(model, for_training=True)``.
        maps: ``CompactReport.maps`` of it.

    Raises:
        ValueError: a parameter group holds parameters of several groups, or of none, of ``optimizer``.
    """
    names = {id(parameter): name for name, parameter in compact_model.named_parameters()}
    home = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    for number, group in enumerate(compact_optimizer.param_groups):
        triples = [(p, *_dense(p, names, model, maps)) for p in group["params"]]
        sources = [home.get(id(dense)) for _, dense, _ in triples]
        source = sources[0] if sources else group
        if source is None or any(other is not source for other in sources):
            raise ValueError(f"parameter group {number} of the compact model's optimizer has no counterpart in the dense one's")
        for parameter, dense, part in triples:
            if dense in optimizer.state:
                compact_optimizer.state[parameter] = _state(optimizer.state[dense], parameter, dense, part, source.get("axis"))
        group.update({name: _copied(value) for name, value in source.items() if name not in _OWN})
        if isinstance(optimizer, ProxAdam):
            _carry_groups(group, source, [(dense, part) for _, dense, part in triples])
    if isinstance(optimizer, ProxAdam) and isinstance(compact_optimizer, ProxAdam):
        compact_optimizer.zero_share = optimizer.zero_share


def narrowed_optimizer(
    optimizer: ProxAdam, model: nn.Module, compact_model: nn.Module, maps: Mapping[str, ParameterMap]
) -> ProxAdam:
    """Make the optimizer of the compact model that goes on where ``optimizer`` stands; arguments as of
    :func:`carry_optimizer_state`. Parameters that are none of the model's, such as learned loss weights, are in both."""
    left = dict(compact_model.named_parameters())
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = []
    for group in optimizer.param_groups:
        counterparts = [left.get(names[id(p)]) if id(p) in names else p for p in group["params"]]
        options = {name: value for name, value in group.items() if name not in _OWN}
        groups.append({**options, "params": [parameter for parameter in counterparts if parameter is not None]})
    first = optimizer.param_groups[0]
    narrow = ProxAdam(groups, foreach=first["foreach"], fused=first["fused"], kernel=optimizer.kernel)
    carry_optimizer_state(optimizer, model, narrow, compact_model, maps)
    return narrow


def return_optimizer_state(
    compact_optimizer: ProxAdam,
    compact_model: nn.Module,
    optimizer: ProxAdam,
    model: nn.Module,
    maps: Mapping[str, ParameterMap],
) -> None:
    """Give the dense model's ``optimizer`` the state and the options of the compact one's: the inverse of
    :func:`narrowed_optimizer`. Moments of what is gone are zero, and groups that are gone are zero for good."""
    left = dict(compact_model.named_parameters())
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group, source in zip(optimizer.param_groups, compact_optimizer.param_groups, strict=True):
        group.update({name: _copied(value) for name, value in source.items() if name not in _OWN})
        masks = dict(zip(map(id, source["params"]), source["keep"] or (), strict=False))
        keep = []
        for dense in group["params"]:
            name = names.get(id(dense))
            part, kept = (dense, ParameterMap()) if name is None else (left.get(name), maps[name])
            optimizer.state.pop(dense, None)
            if part is not None and part in compact_optimizer.state:
                optimizer.state[dense] = _widened(compact_optimizer.state[part], dense, part, kept, source["axis"])
            if source["penalty"] is not None:
                mask = dense.new_empty(group_count(dense, source["axis"]))
                live = None if part is None else masks.get(id(part), part.new_ones(group_count(part, source["axis"])))
                _groups_of(kept, source["axis"]).put(live, mask)
                keep.append(mask)
        group["keep"] = keep or None
    optimizer.zero_share = compact_optimizer.zero_share


def put_back(compact_model: nn.Module, model: nn.Module, maps: Mapping[str, ParameterMap]) -> None:
    """Write the numbers of the compact model into the dense ``model``, which then computes the same; in place.

    Everything that is gone is zero, and so is the batch norm of filters that are gone (with a running variance of 1).
    """
    parameters, buffers = dict(compact_model.named_parameters()), dict(compact_model.named_buffers())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            maps[name].put(parameters.get(name), parameter)
        for name, buffer in model.named_buffers():
            module, _, kind = name.rpartition(".")
            kept = maps.get(f"{module}.weight", ParameterMap()) if buffer.ndim else ParameterMap()
            if name in buffers or kept.rows is not None:
                kept.put(buffers.get(name), buffer, gone=1.0 if kind == "running_var" else 0.0)


def mask_dense(model: nn.Module, maps: Mapping[str, ParameterMap], optimizer: Optimizer | None = None) -> None:
    """Set everything in the dense ``model`` that is gone from the compact one to zero, and so its moments; in place.

    The dense model then does what the compact one does. Its training does as well, if gradients are multiplied with
    ``maps[name].mask(parameter)`` before they are clipped, and this is called again after each step.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mask = maps[name].mask(parameter)
            parameter.mul_(mask)
            for value in optimizer.state.get(parameter, {}).values() if optimizer is not None else ():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    value.mul_(mask)


def _dense(
    parameter: Tensor, names: Mapping[int, str], model: nn.Module, maps: Mapping[str, ParameterMap]
) -> tuple[Tensor, ParameterMap]:
    """Return what ``parameter`` is a part of, and which part; itself if it is none of the compact model's."""
    name = names.get(id(parameter))
    return (parameter, ParameterMap()) if name is None else (model.get_parameter(name), maps[name])


def _state(state: Mapping[str, Any], parameter: Tensor, dense: Tensor, part: ParameterMap, axis: int | None) -> dict[str, Any]:
    """An optimizer's state of ``parameter``, in its layout, from that of ``dense``, whose groups lie along ``axis``."""
    left = {}
    for name, value in state.items():
        if isinstance(value, Tensor) and value.ndim and value.shape == dense.shape:
            left[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(part.take(value))
        elif name == PRODUCTS and axis is not None:
            left[name] = _groups_of(part, axis).take(value)
        else:
            left[name] = _copied(value)
    return left


def _widened(state: Mapping[str, Any], dense: Tensor, part: Tensor, kept: ParameterMap, axis: int) -> dict[str, Any]:
    """Return an optimizer's state of ``dense`` from that of ``part``: the inverse of :func:`_state`."""
    wide = {}
    for name, value in state.items():
        if isinstance(value, Tensor) and value.ndim and value.shape == part.shape:
            wide[name] = torch.empty_like(dense, dtype=value.dtype)
            kept.put(value, wide[name])
        elif name == PRODUCTS:
            wide[name] = value.new_empty(group_count(dense, axis))
            _groups_of(kept, axis).put(value, wide[name])
        else:
            wide[name] = _copied(value)
    return wide


def _carry_groups(group: dict[str, Any], source: Mapping[str, Any], pairs: list[tuple[Tensor, ParameterMap]]) -> None:
    """Return what a parameter group of ProxAdam knows about its groups of weights."""
    if source["penalty"] is None:
        return
    for name in PER_WEIGHT:
        if source[name] is not None:
            values = {id(weight): value for weight, value in zip(source["params"], source[name], strict=True)}
            group[name] = [values[id(weight)] for weight, _ in pairs]
    axis = source["axis"]
    counts = [[group_count(weight, axis) for weight in part["params"]] for part in (source, group)]
    groups, left = (max(count, default=0) if source["joint"] else sum(count) for count in counts)
    group["removed_groups"] = source["removed_groups"] + groups - left
    if source["keep"] is not None:
        keep = {id(weight): mask for weight, mask in zip(source["params"], source["keep"], strict=True)}
        group["keep"] = [_groups_of(part, axis).take(keep[id(weight)]) for weight, part in pairs]


def _groups_of(part: ParameterMap, axis: int) -> ParameterMap:
    """Return what is left of one number per group: where these are columns, they are its rows."""
    return ParameterMap(part.columns if axis else part.rows)


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
