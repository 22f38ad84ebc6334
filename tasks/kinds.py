"""Kinds of targets: how they are read, stored, drawn and learned. A kind is one entry of ``KINDS``.

What lies in other rooms is named by its place, ``module:name``, and imported when it is needed (``utils.places.load``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Kind:
    """A kind of target."""

    objective: str
    """Class of its loss, metrics and predictions: an ``Objective`` of ``tasks/objectives.py``."""
    task: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``tasks.table.Task`` that tasks of this kind have, unless they say otherwise."""
    keys: tuple[str, ...] = ("folder", "ending")
    """Keys of a task of this kind in the configuration's ``tasks``, beside those that all have."""
    exact: bool = False
    """True if its files hold numbers, and no pictures of them: an image whose numbers would be read as others is refused."""
    losses: tuple[str, ...] = ()
    """Values of ``loss`` in the configuration's ``tasks``; the first is the usual one."""
    reader: str = ""
    """Function of (array, path, task) that returns the target (K, H, W) in the array of a file, and its validity
    (1, H, W), or raises a ``DataError``; empty: the targets are numbers in a table, one per frame."""
    file_types: tuple[str, ...] = (".npy",)
    """Types of its files in the NYUD_MT layout."""
    codec: str = "datasets.cache.codec:Codec"
    """Class that stores it in the cache: a ``Codec`` of ``datasets/cache/codec.py``, by default without rounding."""
    colours: str = ""
    """Function of (values (K, H, W), validity (H, W), task) that returns colours (H, W, 3); empty: the map."""
    colour_map: str = "viridis"
    """Colours of matplotlib for one value per pixel."""
    lowest: float | None = None
    """Value at the lower end of the colour map; None: the smallest of the frame."""
    ends: tuple[str, str] | None = None
    """Legend of the two ends of the colour map; None: a colour bar."""

    @property
    def is_scalar(self) -> bool:
        """True if a pixel has one value, which the colour map shows."""
        return bool(self.reader) and not self.colours


WHOLE_IMAGE = {"head": "classification", "resize": "none", "flip": "none"}
"""Fields of a task that says something about the whole image, and not about every pixel."""

STORED = ("scale", "offset", "invalid")
"""Keys that say how numbers are stored."""

KINDS: dict[str, Kind] = {
    "segmentation": Kind(
        objective="tasks.objectives:Segmentation",
        task={"activation": "none", "main_metric": "mIoU"},
        keys=("folder", "ending", "classes", "ignore", "loss"),
        exact=True,
        reader="datasets.targets:read_labels",
        file_types=(".png", ".mat", ".npy"),
        codec="datasets.cache.codec:Labels",
        colours="figures.colours:class_colours",
    ),
    "depth": Kind(
        objective="tasks.objectives:Depth",
        task={"activation": "sigmoid", "main_metric": "abs_err", "zoom_divides": True},
        keys=("folder", "ending", *STORED, "range"),
        exact=True,
        reader="datasets.targets:read_depth",
        file_types=(".npy", ".mat"),
        codec="datasets.cache.codec:Depths",
    ),
    "normals": Kind(
        objective="tasks.objectives:Normals",
        task={
            **{"activation": "tanh", "main_metric": "mean_cosine", "channels": 3},
            **{"resize": "bilinear", "flip": "mirror_and_negate_x"},
        },
        reader="datasets.targets:read_normals",
        file_types=(".npy", ".png", ".jpg"),
        codec="datasets.cache.codec:Normals",
        colours="figures.colours:direction_colours",
    ),
    "edges": Kind(
        objective="tasks.objectives:Edges",
        task={"activation": "sigmoid", "main_metric": "abs_err", "resize": "bilinear"},
        reader="datasets.targets:read_edges",
        file_types=(".npy", ".png", ".jpg"),
        codec="datasets.cache.codec:Strengths",
        colour_map="gray",
        lowest=0.0,
        ends=("no edge", "strongest"),
    ),
    "regression": Kind(
        objective="tasks.objectives:Regression",
        task={"activation": "none", "main_metric": "abs_err"},
        keys=("folder", "ending", "file", "column", *STORED, "unit", "channels", "mean", "std", "loss"),
        exact=True,
        losses=("l1", "l2", "huber"),
        reader="datasets.targets:read_numbers",
        file_types=(".npy", ".png", ".tif", ".tiff"),
    ),
    "attribute": Kind(
        objective="tasks.objectives:Attribute",
        task={**WHOLE_IMAGE, "activation": "sigmoid", "main_metric": "accuracy"},
        keys=("file", "column"),
    ),
    "classification": Kind(
        objective="tasks.objectives:Classification",
        task={**WHOLE_IMAGE, "activation": "none", "main_metric": "accuracy"},
        keys=("file", "column", "classes"),
    ),
}
"""Every kind by the name that ``Task.kind`` uses."""
