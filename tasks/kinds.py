"""Kinds of targets: how they are read, stored, drawn and learned. A kind is one entry of ``KINDS``.

What lies in other rooms is named by its place, ``module:name``, and imported when it is needed (``utils.places.load``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of target."""

    objective: str
    """Class of its loss, metrics and predictions: an ``Objective`` of ``tasks/objectives.py``."""
    reader: str = ""
    """Function of (array, path, task, label set) that returns the target (K, H, W) in the array of a file, and its validity
    (1, H, W), or raises a ``DataError``; empty: the targets are numbers in a table, one per frame."""
    file_types: tuple[str, ...] = (".npy",)
    """Types of its files in the NYUD_MT layout."""
    codec: str = "datasets.cache.codec:Codec"
    """Class that stores it in the cache: a ``Codec`` of ``datasets/cache/codec.py``, by default without rounding."""
    colours: str = ""
    """Function of (values (K, H, W), validity (H, W), task, label set) that returns colours (H, W, 3); empty: the map."""
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


KINDS: dict[str, Kind] = {
    "segmentation": Kind(
        objective="tasks.objectives:Segmentation",
        reader="datasets.targets:read_labels",
        file_types=(".png", ".mat", ".npy"),
        codec="datasets.cache.codec:Labels",
        colours="figures.colours:class_colours",
    ),
    "depth": Kind(
        objective="tasks.objectives:Depth",
        reader="datasets.targets:read_depth",
        file_types=(".npy", ".mat"),
        codec="datasets.cache.codec:Depths",
    ),
    "normals": Kind(
        objective="tasks.objectives:Normals",
        reader="datasets.targets:read_normals",
        file_types=(".npy", ".png", ".jpg"),
        codec="datasets.cache.codec:Normals",
        colours="figures.colours:direction_colours",
    ),
    "edges": Kind(
        objective="tasks.objectives:Edges",
        reader="datasets.targets:read_edges",
        file_types=(".npy", ".png", ".jpg"),
        codec="datasets.cache.codec:Strengths",
        colour_map="gray",
        lowest=0.0,
        ends=("no edge", "strongest"),
    ),
    "attribute": Kind(objective="tasks.objectives:Attribute"),
}
"""Every kind by the name that ``Task.kind`` uses."""
