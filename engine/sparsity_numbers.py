"""How sparse a trained network is, in the numbers that the epochs' lines and the result tables share."""

from __future__ import annotations

from models import MultiTaskModel
from optim import count_groups, sparsity_report
from utils.config import ExperimentConfig


def sparsity_numbers(model: MultiTaskModel, config: ExperimentConfig) -> dict[str, float]:
    """Name and percentage: of the shared convolutions and, where the heads have a penalty as well, of the heads'.

    ``head_group_sparsity`` is the share of zero groups among all input channels of the convolutions that read the shared
    features; ``unread_features`` the share of the features' channels whose groups are zero in all of them: what no head uses.
    """
    report = sparsity_report(model)
    numbers = {"group_sparsity": report.group_sparsity, "parameter_sparsity": report.parameter_sparsity}
    if config.sparsifies_heads:
        weights = [(name, conv.weight.detach()) for name, conv in model.feature_readers()]
        read = model.read_features()
        numbers["head_group_sparsity"] = count_groups(weights).group_sparsity
        numbers["unread_features"] = 100.0 * int((~read).sum()) / read.numel()
    return numbers
