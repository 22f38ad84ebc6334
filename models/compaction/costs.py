"""Multiply-adds of what a removal leaves, counted on numbers of channels: no network is built for it."""

from __future__ import annotations

from models.compaction.removal import Removal
from models.compaction.report import count_macs
from models.heads import feature_convs
from models.multi_task import MultiTaskModel


class Costs:
    """Multiply-adds of a dense network, per convolution for each pair of a filter and a channel that it reads.

    Args:
        model: the dense one.
        channels: of the images.
        image_size: height and width, in pixels.
    """

    def __init__(self, model: MultiTaskModel, channels: int, image_size: tuple[int, int]) -> None:
        macs = count_macs(model, channels, image_size)
        self.dense = macs[""]
        """Multiply-adds of the whole dense model, for one image."""
        self._pairs: dict[str, int] = {}
        self._filters: dict[str, int] = {}
        for name, module in model.named_modules():
            if name in macs and hasattr(module, "in_channels") and hasattr(module, "kernel_size"):
                self._pairs[name] = macs[name] // (module.in_channels * module.out_channels)  # type: ignore[operator]
        for task, head in model.heads.items():
            self._filters |= {f"heads.{task}.{name}": conv.weight.shape[0] for name, conv in feature_convs(head)}

    def of(self, removal: Removal) -> int:
        """Multiply-adds of the network for training that ``removal`` leaves, for one image: whole model."""
        total = self.dense
        for unit in removal.anatomy.units():
            name, kept = f"backbone.{unit.name}", removal.plan.convs[unit.name]
            gone = unit.conv.in_channels * unit.conv.out_channels - len(kept.rows) * len(kept.columns)
            total -= gone * self._pairs.get(name, 0)
        for task, columns in removal.heads.items():
            for name, numbers in columns.items():
                whole = f"heads.{task}.{name}"
                total -= (removal.features - len(numbers)) * self._filters[whole] * self._pairs.get(whole, 0)
        return total
