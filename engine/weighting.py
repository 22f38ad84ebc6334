"""Weightings: several losses become gradients. Each is one class, and one line in ``settings.registries.WEIGHTINGS``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

import torch
from torch import Tensor, nn

from settings.config import ExperimentConfig
from settings.registries import WEIGHTINGS
from utils.places import load


class LossWeighting(nn.Module):
    """The plain sum (``sum``), and the base of every other weighting.

    Parameters are trained with a learning rate of their own, ``loss_weight_lr``; checkpoints hold parameters and buffers.
    A task that is stopped, or has no valid target in the batch, is simply not in ``losses``; the others keep their weights.
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        super().__init__()
        self.fixed = dict.fromkeys(tasks, 1.0)

    @classmethod
    def from_config(cls, config: ExperimentConfig) -> Self:
        """Make the weighting of an experiment."""
        return cls(config.task_list)

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return the scalar that is minimised, recorded and checked, from scalar losses per task."""
        return torch.stack([self.fixed[task] * loss for task, loss in losses.items()]).sum()

    def backward(self, losses: Mapping[str, Tensor], total: Tensor, features: Tensor) -> None:
        """Add the gradients of a step to the parameters: those of ``total``. Gradient balancing is another method here.

        Args:
            losses: scalars per task.
            total: what :meth:`forward` made of them.
            features: (B, F, h, w), the shared ones from which all losses were calculated.
        """
        total.backward()

    def weights(self) -> dict[str, float]:
        """Return the factor of each task's loss now."""
        return dict(self.fixed)


class FixedWeighting(LossWeighting):
    """``wt_sum``: the weights of ``loss_weights``, scaled to sum to 1; equal ones where none are given."""

    @classmethod
    def from_config(cls, config: ExperimentConfig) -> Self:
        """Make the weighting of an experiment."""
        weighting = cls(config.task_list)
        weights = config.loss_weights or weighting.fixed
        total = sum(weights.values())
        weighting.fixed = {task: weights[task] / total for task in config.task_list}
        return weighting


class UncertaintyWeighting(LossWeighting):
    """``uncertainty``: sum over tasks of exp(-s) L + s, with s (a log-variance) learned from 1 on (Kendall et al. 2018, as the
    paper has it).

    The s of a task that is not in ``losses`` gets no gradient, so it stays as it is.
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        super().__init__(())
        self.log_variances = nn.ParameterDict({task: nn.Parameter(torch.ones(())) for task in tasks})

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return the scalar that is minimised, from scalar losses per task."""
        terms = []
        for task, loss in losses.items():
            s = self.log_variances[task]
            terms.append(torch.exp(-s) * loss + s)
        return torch.stack(terms).sum()

    def weights(self) -> dict[str, float]:
        """Return exp(-s) of each task now."""
        return {task: float(torch.exp(-s.detach())) for task, s in self.log_variances.items()}


def build_weighting(config: ExperimentConfig) -> LossWeighting:
    """Build the weighting that ``comb_loss`` names."""
    weighting: LossWeighting = load(WEIGHTINGS[config.comb_loss]).from_config(config)
    return weighting
