"""Sparsity of a trained network, in the numbers that the epochs' lines and the result tables share."""

from __future__ import annotations

import logging
from collections.abc import Collection

from models import MultiTaskModel
from optim import SparsityReport, count_groups, sparsity_report
from settings.config import ExperimentConfig
from utils.console import listed

log = logging.getLogger(__name__)


def sparsity_numbers(model: MultiTaskModel, config: ExperimentConfig) -> dict[str, float]:
    """Name and percentage: of the shared convolutions and, where the heads have a penalty as well, of the heads'.

    ``head_group_sparsity`` is the share of zero groups among all input channels of the convolutions that read the shared
    features; ``unread_features`` the share of the features' channels whose groups are zero in all of them: what no head uses.
    Where a feature is a group for all heads together, :func:`joint_group_sparsity` is among them.
    """
    report = sparsity_report(model)
    numbers = {"group_sparsity": report.group_sparsity, "parameter_sparsity": report.parameter_sparsity}
    if config.sparsifies_heads:
        read = model.read_features()
        numbers["head_group_sparsity"] = _reader_report(model).group_sparsity
        numbers["unread_features"] = 100.0 * int((~read).sum()) / read.numel()
    if config.joins_heads:
        numbers["joint_group_sparsity"] = joint_group_sparsity(model, report)
    return numbers


def joint_group_sparsity(model: MultiTaskModel, report: SparsityReport) -> float:
    """Return the percentage of zeros among the groups of the backbone, whose ``report`` is given, and the features together.

    It is what a target is about where a feature is a group for all heads together.
    """
    read = model.read_features()
    return 100.0 * (report.zero_groups + int((~read).sum())) / (report.groups + read.numel())


def dead_layers(model: MultiTaskModel) -> list[str]:
    """Names of the model's convolutions without any live group: shared ones, and those of heads that read shared features."""
    reports = {"backbone": sparsity_report(model), "heads": _reader_report(model)}
    return [f"{part}.{name}" for part, report in reports.items() for name in report.dead_layers()]


def warn_of_dead_layers(model: MultiTaskModel, config: ExperimentConfig, network: str, known: Collection[str] = ()) -> None:
    """Name the layers without any live group in one warning, if there are any.

    Args:
        model: whose layers are looked at.
        config: says what makes the penalty weaker.
        network: which one it is, in words.
        known: layers that were named before.
    """
    dead = [name for name in dead_layers(model) if name not in known]
    if not dead:
        return
    report = sparsity_report(model)
    all_ = "all shared convolutions: " if len(report.dead_layers()) == len(report.layers) else ""
    key = "lambda" if config.target is None else config.target.key
    keeps = f"a {'higher' if config.target is not None and config.target.is_budget else 'lower'} {key}"
    log.warning(
        "%s: layers without any live group, so that what they give does not depend on the image: %s%s; %s keeps them",
        *(network, all_, listed(dead), keeps),
    )


def _reader_report(model: MultiTaskModel) -> SparsityReport:
    return count_groups((name, conv.weight.detach()) for name, conv in model.feature_readers())
