"""Losses: what the classes of ``tasks/objectives.py`` are made of.

A loss is computed in two steps: ``statistics`` are sums over a batch, ``value`` divides them once. Training takes the value
of one batch; validation adds the statistics of all batches first, so that its loss is that of the whole split and does not
depend on the batch size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.table import IGNORE_INDEX

LABEL_SMOOTHING = 0.1
FOCAL_GAMMA = 2.5
TVERSKY_ALPHA, TVERSKY_BETA, TVERSKY_GAMMA = 0.3, 0.7, 2.5
HUBER_DELTA = 0.2
"""Error of an edge strength (0 to 1) beyond which Huber's loss (1964) is linear; the value is the paper's choice."""


class Loss(Protocol):
    """Sums over a batch, and the loss that they make."""

    def statistics(self, logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Sums over the batch's valid elements, the last row their number; the statistics of two batches may be added."""

    def value(self, statistics: Tensor) -> Tensor:
        """The loss, a scalar; NaN where nothing was valid (:func:`has_value`), and so is its gradient."""


def has_value(statistics: Tensor) -> bool:
    """True if the statistics of a loss are about at least one valid element."""
    return bool(statistics[-1].sum() > 0)


@dataclass(frozen=True)
class MeanLoss:
    """The mean of ``pointwise(logits, target)`` over the valid elements (pixels, or whole images)."""

    pointwise: Callable[[Tensor, Tensor], Tensor]
    weights: tuple[float, ...] = ()
    """Weight of an element by its class; none: all count alike."""

    def statistics(self, logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """(2,): the sum of the valid losses, and their number; both weighted, if there are weights."""
        losses = self.pointwise(logits.float(), target)
        mask = mask.view_as(losses)
        # where, not a product: the loss of an invalid element may be anything
        if not self.weights:
            return torch.stack([torch.where(mask, losses, 0.0).sum(), mask.sum().to(losses.dtype)])
        weights = losses.new_tensor(self.weights)[torch.where(mask, target.view_as(losses), 0).long()]
        return torch.stack([torch.where(mask, weights * losses, 0.0).sum(), torch.where(mask, weights, 0.0).sum()])

    def value(self, statistics: Tensor) -> Tensor:
        """Sum / number."""
        return statistics[0] / statistics[1]


@dataclass(frozen=True)
class OverlapLoss:
    """Dice (alpha = beta = 1/2, gamma = 1) and focal Tversky losses: (1 - mean index over the classes present) ** gamma.

    The Tversky index of a class is TP / (TP + alpha FP + beta FN) on soft counts (Salehi et al. 2017; Abraham and Khan 2019).
    """

    alpha: float
    beta: float
    gamma: float

    def statistics(self, logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """(3, classes): soft true positives, predicted mass, and target pixels of every class."""
        classes = logits.shape[1]
        probabilities = logits.float().softmax(dim=1) * mask.unsqueeze(1)
        index = torch.where(mask, target, 0)
        one_hot = F.one_hot(index, classes).movedim(-1, 1).to(probabilities.dtype) * mask.unsqueeze(1)
        over = (0, 2, 3)
        return torch.stack([(probabilities * one_hot).sum(over), probabilities.sum(over), one_hot.sum(over)])

    def value(self, statistics: Tensor) -> Tensor:
        """The loss of classes that occur in the target."""
        true, predicted, target = statistics
        present = target > 0
        bottom = true + self.alpha * (predicted - true) + self.beta * (target - true)
        distance = torch.where(present, 1 - true / torch.where(present, bottom, 1.0), 0.0)
        mean = distance.sum() / present.sum()
        # The power has an infinite second derivative at 0 for gamma < 2, never an infinite slope: gamma >= 1.
        return mean.clamp_min(0.0) ** self.gamma


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX, reduction="none", label_smoothing=LABEL_SMOOTHING)


def _focal(logits: Tensor, target: Tensor) -> Tensor:
    """(1 - p)^gamma * cross-entropy (Lin et al. 2017), p the probability of the true class."""
    loss = F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX, reduction="none")
    return (1 - torch.exp(-loss)) ** FOCAL_GAMMA * loss


SOFT_CROSS_ENTROPY: Loss = MeanLoss(_cross_entropy)
DICE: Loss = OverlapLoss(0.5, 0.5, 1.0)
FOCAL_TVERSKY: Loss = OverlapLoss(TVERSKY_ALPHA, TVERSKY_BETA, TVERSKY_GAMMA)
FOCAL: Loss = MeanLoss(_focal)


def squared(prediction: Tensor, target: Tensor) -> Tensor:
    """Return squared errors."""
    return (prediction - target) ** 2


def one_minus_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Return 1 - the cosine of the angle between vectors along dimension 1."""
    return 1 - F.cosine_similarity(prediction, target, dim=1)


def huber(prediction: Tensor, target: Tensor) -> Tensor:
    """Return Huber's loss: e^2 / 2 up to ``HUBER_DELTA``, then linear ("Robust estimation of a location parameter", 1964)."""
    return F.huber_loss(prediction, target, reduction="none", delta=HUBER_DELTA)


def class_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy of classes (B,) from logits (B, K)."""
    return F.cross_entropy(logits, target, reduction="none")


def _per_pixel(losses: Tensor) -> Tensor:
    """Return the mean over the channels of (B, K, H, W), as (B, 1, H, W); (B,) as it is."""
    return losses.mean(dim=1, keepdim=True) if losses.ndim == 4 else losses


REGRESSION_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": lambda prediction, target: _per_pixel((prediction - target).abs()),
    "l2": lambda prediction, target: _per_pixel(squared(prediction, target)),
    "huber": lambda prediction, target: _per_pixel(F.huber_loss(prediction, target, reduction="none")),
}
"""Losses of a regression, of numbers in units of their spread; Huber's is linear from one spread on."""


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy of probabilities sigmoid(logits)."""
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")
