"""Batch norm over the frames of all processes that train together."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.distributed import Shared, joined


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the frames of all ranks: what one process with the whole batch computes."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if not self.training:
            return super().forward(x)
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        variance, mean = torch.var_mean(values, (0, 2, 3), correction=0)
        count = values.numel() // values.shape[1]
        # A table of zeros with this rank's count, means and variances in its row: the sum of these tables has those of all.
        rank, size = joined().part
        own = torch.cat([mean.new_full((1,), count), mean, variance])
        table = Shared.apply(F.pad(own[None], (0, 0, rank, size - rank - 1)))
        counts, means, variances = table.split([1, len(mean), len(mean)], dim=1)
        n = counts.sum()
        mean = (counts * means).sum(0) / n
        # Chan, Golub and LeVeque 1983
        variance = (counts * (variances + (means - mean) ** 2)).sum(0) / n
        if self.track_running_stats:
            self._track(mean.detach(), (variance * n / (n - 1)).detach())
        scale = torch.rsqrt(variance + self.eps)
        result = (values - mean[:, None, None]) * scale[:, None, None]
        if self.affine:
            result = result * self.weight[:, None, None] + self.bias[:, None, None]
        return result.to(x.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics on, as torch does."""
        assert self.num_batches_tracked is not None and self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked += 1
        factor = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), factor)
        self.running_var.lerp_(variance.to(self.running_var.dtype), factor)


def synchronise(model: nn.Module) -> None:
    """Let batch norm see the frames of all ranks; parameters, buffers and their names stay as they are."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncedBatchNorm2d
