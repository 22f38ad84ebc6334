"""The channels that leave a multi-task model and those that stay, by number: backbone and heads together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.compaction.anatomy import Anatomy, dissect
from models.compaction.dense import require_dense
from models.compaction.heads import read_columns
from models.compaction.liveness import Kept, Plan, plan_channels
from models.compaction.report import ParameterMap
from models.heads import feature_convs
from models.multi_task import MultiTaskModel


@dataclass(frozen=True)
class Removal:
    """Remains of a multi-task model.

    Attributes:
        anatomy: of its dense backbone.
        plan: remains of the backbone.
        heads: per task, and per convolution of its head that reads features, which of the dense features it reads.
    """

    anatomy: Anatomy
    plan: Plan
    heads: Mapping[str, Mapping[str, Tensor]]

    @property
    def features(self) -> int:
        """Channels of the dense backbone's features."""
        return self.anatomy.blocks[-1].branch[-1].conv.out_channels

    def equals(self, other: Removal) -> bool:
        """Return whether the same channels are left, in the same order."""

        def numbers(removal: Removal) -> list[Tensor]:
            kept = removal.plan.convs.values()
            heads = [columns for part in removal.heads.values() for columns in part.values()]
            return [*(part.rows for part in kept), *(part.columns for part in kept), *removal.plan.points, *heads]

        return all(torch.equal(left, two) for left, two in zip(numbers(self), numbers(other), strict=True))

    def maps(self, model: MultiTaskModel) -> dict[str, ParameterMap]:
        """Per parameter of the dense ``model`` what is left of it."""
        maps = {name: ParameterMap() for name, _ in model.named_parameters()}
        for unit in self.anatomy.units():
            kept = self.plan.convs[unit.name]
            maps[f"backbone.{unit.name}.weight"] = ParameterMap(kept.rows, kept.columns)
            for name in (f"{unit.name}.bias", f"{unit.norm_name}.weight", f"{unit.norm_name}.bias"):
                if f"backbone.{name}" in maps:
                    maps[f"backbone.{name}"] = ParameterMap(kept.rows)
        for task, columns in self.heads.items():
            maps |= {f"heads.{task}.{name}.weight": ParameterMap(columns=numbers) for name, numbers in columns.items()}
        return maps

    def state_dict(self) -> dict[str, Any]:
        """Return the numbers of all channels that are left, as plain containers of tensors."""
        return {
            "convs": {name: {"rows": kept.rows, "columns": kept.columns} for name, kept in self.plan.convs.items()},
            "points": list(self.plan.points),
            "heads": {task: dict(columns) for task, columns in self.heads.items()},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], model: MultiTaskModel) -> Removal:
        """Return what :meth:`state_dict` described, of the dense ``model``."""
        device = next(model.parameters()).device
        kept = {name: Kept(*(part[key].to(device) for key in ("rows", "columns"))) for name, part in state["convs"].items()}
        points = tuple(point.to(device) for point in state["points"])
        heads = {task: {name: numbers.to(device) for name, numbers in part.items()} for task, part in state["heads"].items()}
        return cls(dissect(model.backbone), Plan(kept, points), heads)


@torch.no_grad()
def plan_removal(model: MultiTaskModel, *, whole_features: bool = False) -> Removal:
    """Find everything that only zero groups read.

    Args:
        model: a dense one.
        whole_features: let every head read all features that are left, as where a feature is one group for all heads: a
            column that happens to be zero in one of them only has to stay.

    Raises:
        TypeError: ``model`` is no dense MultiTaskModel, or its backbone, or a head, is none of the project's.
    """
    require_dense(model, "compact()")
    anatomy = dissect(model.backbone)
    last = anatomy.blocks[-1].branch[-1].conv.weight
    everything = torch.ones(len(last), dtype=torch.bool, device=last.device)
    plan = plan_channels(anatomy, model.read_features() if model.heads else everything)
    features = plan.points[-1]
    heads = {
        task: {name: features for name, _ in feature_convs(head)} if whole_features else read_columns(head, features)
        for task, head in model.heads.items()
    }
    return Removal(anatomy, plan, heads)
