"""Classes that a configuration names but whose modules lie above the settings: one line each, as ``module:class``.

The class is imported when one is built (:func:`utils.places.load`), so that a configuration is read and refused without it.
"""

from __future__ import annotations

from typing import NamedTuple


class Backbone(NamedTuple):
    """Place of a backbone's class, a ``torch.nn.Module`` that is made by ``Class(name, in_channels, output_stride)``.

    It turns images (B, in_channels, H, W) into features (B, ``out_channels``, ~H / output_stride, ~W / output_stride).
    ``stage_names`` may say what the stage of a top-level module is called, where that is not the module's own name.
    ``anatomy()``, an ``Anatomy`` of ``models/compaction/anatomy.py``, is for compaction, budgets and ``preserve_norm`` alone.
    """

    place: str
    takes_weights: bool = False
    """True: the class takes ``init_weights`` as well."""


BACKBONES: dict[str, Backbone] = {
    **dict.fromkeys(("resnetd18", "resnetd50", "resnetd101"), Backbone("models.resnetd:ResNetD")),
    **dict.fromkeys(("resnet18", "resnet50", "resnet101"), Backbone("models.torchvision_resnet:TorchvisionResNet", True)),
}
"""Values of ``backbone``."""

WEIGHTINGS: dict[str, str] = {
    "sum": "engine.weighting:LossWeighting",
    "wt_sum": "engine.weighting:FixedWeighting",
    **dict.fromkeys(("uncertainity", "uncertainty"), "engine.weighting:UncertaintyWeighting"),
}
"""Values of ``comb_loss``, and subclasses of ``engine.weighting.LossWeighting``, which are made by ``from_config(config)``."""
