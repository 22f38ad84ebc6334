"""Share of a network that ``compact()`` leaves, counted on masks of groups: no network is built, and no weight is copied."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from models.compaction.anatomy import Unit, dissect
from models.compaction.constants import computed_units
from models.compaction.dense import require_dense
from models.compaction.heads import fold_norms
from models.compaction.layers import positions, selects_pay
from models.compaction.liveness import Channels, feature_order, needed_channels
from models.compaction.report import count_macs, count_parameters
from models.heads import feature_convs
from models.multi_task import MultiTaskModel
from optim.groups import group_count, live_groups

CostKind = Literal["macs", "parameters"]

Live = Mapping[str, Tensor]
"""Per convolution with groups, by its name in the model: (groups,) bool on the CPU, False for each zero group."""


class LeftShare:
    """Share of a dense model's multiply-adds, or of its parameters, that ``compact()`` leaves for inference.

    It is what the report of ``compact(model)`` says of the whole model, for every pattern of zero groups. A live group counts
    as one that has a weight in each of its filters, and a constant as one that is not zero (a bias in any case).

    Args:
        model: the dense one, of whose weights nothing is kept.
        kind: ``macs`` or ``parameters``.
        channels: of the images.
        image_size: height and width, in pixels.

    Raises:
        TypeError: ``model`` is no dense MultiTaskModel, or its backbone, or a head, is none of the project's.
    """

    def __init__(self, model: MultiTaskModel, kind: CostKind, channels: int, image_size: tuple[int, int]) -> None:
        require_dense(model, "a budget")
        self.kind = kind
        self.anatomy = dissect(model.backbone)
        macs = count_macs(model, channels, image_size) if kind == "macs" else {}
        self._pairs: dict[str, int] = {}
        """Cost of a filter and a channel that it reads, per convolution with groups."""
        self._shapes: dict[str, torch.Size] = {}
        """Of their weights."""
        self._readers: dict[str, str] = {}
        """Convolutions of heads that read features, and the heads' tasks."""
        convs = [(f"backbone.{unit.name}", unit.conv.weight) for unit in self.anatomy.units()]
        for task, head in model.heads.items():
            readers = [(f"heads.{task}.{name}", conv.weight) for name, conv in feature_convs(head)]
            self._readers |= dict.fromkeys((name for name, _ in readers), task)
            convs += readers
        for name, weight in convs:
            self._shapes[name] = weight.shape
            pairs = weight.shape[0] * weight.shape[1]
            self._pairs[name] = (macs.get(name, 0) if kind == "macs" else weight.numel()) // pairs
        self.dense = macs[""] if kind == "macs" else count_parameters(model)
        """Cost of the whole dense model: multiply-adds of one image, or parameters."""
        self._fixed = self._cost_of_heads(model, macs) - sum(self._whole(name) for name in self._readers)

    def _cost_of_heads(self, model: MultiTaskModel, macs: Mapping[str, int]) -> int:
        """Return the cost of all that is no backbone, with batch norm folded."""
        if self.kind == "macs":
            return macs[""] - macs.get("backbone", 0)
        heads = copy.deepcopy(model.heads).to("cpu")
        for head in heads.values():
            fold_norms(head)
        return count_parameters(heads) + count_parameters(model.normalize)

    def _whole(self, name: str) -> int:
        filters, channels = self._shapes[name][:2]
        return filters * channels * self._pairs[name]

    @property
    def groups(self) -> dict[str, int]:
        """Number of groups of each convolution that has them, by its name in the model."""
        return {name: shape[1] for name, shape in self._shapes.items()}

    def of(self, live: Live) -> float:
        """Return the share that is left where ``live`` says which groups are not zero."""
        return self.cost(live) / self.dense

    def column_costs(self, live: Live) -> dict[str, int]:
        """Return the cost of a channel of each convolution with groups: in the filters that are left, or in one if none is."""
        rows = {f"backbone.{name}": int(mask.sum()) for name, mask in self._needed(live)[1].rows.items()}
        return {name: max(1, rows.get(name, shape[0])) * self._pairs[name] for name, shape in self._shapes.items()}

    def _needed(self, live: Live) -> tuple[Tensor, Channels]:
        """Return which features some head reads, and what of the backbone is needed for them."""
        last = self.anatomy.blocks[-1].branch[-1].conv.out_channels
        masks = [live[name] for name in self._readers]
        features = torch.stack(masks).any(0) if masks else torch.ones(last, dtype=torch.bool)

        def read(unit: Unit, rows: Tensor) -> Tensor:
            return live[f"backbone.{unit.name}"] & rows.any()

        return features, needed_channels(self.anatomy, features, read)

    def cost(self, live: Live) -> int:
        """Return the multiply-adds, or parameters, that are left."""
        features, needed = self._needed(live)
        rows, columns = ({name: int(mask.sum()) for name, mask in part.items()} for part in (needed.rows, needed.columns))
        computed = computed_units(self.anatomy, columns)
        total = self._fixed
        for name in computed.multiply:
            total += rows[name] * columns[name] * self._pairs[f"backbone.{name}"]
        if self.kind == "parameters":
            total += sum(rows[name] for name in computed.units)  # biases, into which batch norm was folded
        order = None
        for name in self._readers:
            width = int(features.sum())
            filters, _, *kernel = self._shapes[name]
            if not torch.equal(live[name], features):
                order = feature_order(self.anatomy, needed.points) if order is None else order
                width = _width(filters, kernel[0] * kernel[1], positions(order[live[name][order]], order), width)
            total += filters * width * self._pairs[name]
        return total

    def least(self, floors: Mapping[str, int]) -> float:
        """Return the share that is left where of each convolution's groups only the first ones live.

        No other choice of as many groups leaves less.

        Args:
            floors: how many that are, by the convolution's name in the model; all where it is missing.
        """
        return self.of({name: torch.arange(groups) < floors.get(name, groups) for name, groups in self.groups.items()})


def _width(filters: int, taps: int, columns: Tensor, width: int) -> int:
    """Return how many features a head's convolution reads, as ``keep_width`` decides: ``columns``, or the first up to its last.

    Args:
        filters: rows of its weight.
        taps: of its kernel.
        columns: (columns,) places of the features that it does not ignore, rising.
        width: features that there are.
    """
    count = len(columns)
    end = int(columns[-1]) + 1 if count else 0
    return count if end == count or selects_pay(filters, taps, count, width) else end


@torch.no_grad()
def live_now(model: MultiTaskModel) -> dict[str, Tensor]:
    """Return which groups of a dense model are not zero: what :class:`LeftShare` counts."""
    convs = [(f"backbone.{unit.name}", unit.conv) for unit in dissect(model.backbone).units()]
    convs += [(f"heads.{name}", conv) for name, conv in model.feature_readers()]  # type: ignore[misc]
    return {name: live_mask_of(conv.weight) for name, conv in convs}


def live_mask_of(weight: Tensor) -> Tensor:
    """Return which groups of a weight are not zero, on the CPU: ``live_groups``, at once where the first filter says all."""
    first = (weight[:1] != 0).flatten(2).any(2)[0] if len(weight) else weight.new_zeros(group_count(weight), dtype=torch.bool)
    return (first if bool(first.all()) else live_groups(weight.detach())).cpu()
