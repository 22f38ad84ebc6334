"""How several tasks' losses become the one that is minimised."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from settings.config import ExperimentConfig


class LossWeighting(nn.Module):
    """``sum`` (weights 1), or ``wt_sum``: fixed weights that sum to 1.

    A task that is stopped, or has no valid target in the batch, is simply not in ``losses``; the others keep their weights.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.fixed = dict(weights)

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Scalar losses per task -> the scalar that is minimised."""
        return torch.stack([self.fixed[task] * loss for task, loss in losses.items()]).sum()

    def weights(self) -> dict[str, float]:
        """The factor of each task's loss now."""
        return dict(self.fixed)


class UncertaintyWeighting(LossWeighting):
    """Learned: sum over tasks of exp(-s) L + s, with s (a log-variance) from 1 (Kendall et al. 2018, as the paper has it).

    The s of a task that is not in ``losses`` gets no gradient, so it stays as it is.
    """

    def __init__(self, tasks: tuple[str, ...]) -> None:
        super().__init__({})
        self.log_variances = nn.ParameterDict({task: nn.Parameter(torch.ones(())) for task in tasks})

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Scalar losses per task -> the scalar that is minimised."""
        terms = []
        for task, loss in losses.items():
            s = self.log_variances[task]
            terms.append(torch.exp(-s) * loss + s)
        return torch.stack(terms).sum()

    def weights(self) -> dict[str, float]:
        """exp(-s) of each task now."""
        return {task: float(torch.exp(-s.detach())) for task, s in self.log_variances.items()}


def build_weighting(config: ExperimentConfig) -> LossWeighting:
    """The combination that ``comb_loss`` names."""
    if config.comb_loss in ("uncertainity", "uncertainty"):
        return UncertaintyWeighting(config.task_list)
    if config.comb_loss == "wt_sum":
        weights = config.loss_weights or dict.fromkeys(config.task_list, 1.0)
        total = sum(weights.values())
        return LossWeighting({task: weights[task] / total for task in config.task_list})
    return LossWeighting(dict.fromkeys(config.task_list, 1.0))
