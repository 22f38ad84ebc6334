"""What a training with a penalty steers towards: a share of zero groups, or of the network's cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple


class TargetKind(NamedTuple):
    """One of the keys that name a target."""

    cost: Literal["", "macs", "parameters"]
    """Cost of which the target is a share; empty: its share counts zero groups."""
    label: str
    """Words for a setting of a study, before the share in percent."""
    short: str
    """Part of a run's name, before the share."""
    phrase: str
    """Words behind the share in percent, such as in a title."""


TARGETS: dict[str, TargetKind] = {
    "target_sparsity": TargetKind("", "target", "target", "sparsity"),
    "target_macs": TargetKind("macs", "MACs", "macs", "of the MACs"),
    "target_parameters": TargetKind("parameters", "parameters", "parameters", "of the parameters"),
}
"""By the key of the configuration."""


class Target(NamedTuple):
    """The target of a training.

    Attributes:
        key: of the configuration, one of ``TARGETS``.
        share: of the groups that is zero, or of the dense network's cost that is left.
    """

    key: str
    share: float

    @property
    def kind(self) -> TargetKind:
        """What is counted."""
        return TARGETS[self.key]

    @property
    def is_budget(self) -> bool:
        """True if the share is one of the network's cost."""
        return bool(self.kind.cost)


def given_targets(values: Mapping[str, Any]) -> list[Target]:
    """Return the targets among the values of keys; there should be one, or none."""
    return [Target(key, values[key]) for key in TARGETS if values.get(key) is not None]
