"""Colours of all figures: the palette of lines and bars; classes, depth, normals and edges as pictures.

Colours are chosen so that classes stay apart for colour-blind readers, and so that grey says one thing: no valid value.
"""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.colors import hsv_to_rgb, to_rgb

from tasks.kinds import KINDS
from tasks.table import IGNORE_INDEX, Task
from utils.places import load

Limits = tuple[float, float]

BLUE, ORANGE, VERMILION, SKY, GREEN, PINK = "#0072B2", "#E69F00", "#D55E00", "#56B4E9", "#009E73", "#CC79A7"
"""The palette of Okabe and Ito without black and yellow (too pale): these stay apart for any eye."""

_PALETTE = (
    "44546A E69F00 56B4E9 009E73 F0E442 0072B2 D55E00 CC79A7 AA00FF 000092 550000 AA0055 00DB00 3118FF 6D0092 FF18E7 "
    "006100 00FFC2 86490C FF006D FF9EFF 8679F3 003131 B600AA 490049 86AA18 FF9286 86619E 6D7900 55E7FF 3D3DB6 00CE92 "
    "9E6D61 493D0C 0C6DFF 86FF00 CEF3B6 CE79F3 C20C00 B6C279"
)
"""A slate, the seven colours of Okabe and Ito, then each time the colour farthest (OKLab, normal and deuteranope sight)
from all before it and from greys."""

INVALID_LIGHT, INVALID_DARK = 0.78, 0.58


def segmentation_palette(num_classes: int) -> np.ndarray:
    """Return the colours of classes 0 .. ``num_classes - 1``, (num_classes, 3) floats in [0, 1]; class c always has colour c,
    of which the first 40 are chosen to be told apart.

    Raises:
        ValueError: ``num_classes`` is not in 1 .. 255.
    """
    if not 1 <= num_classes <= IGNORE_INDEX:
        raise ValueError(f"num_classes must be 1 to {IGNORE_INDEX}, not {num_classes}")
    colours = [to_rgb(f"#{colour}") for colour in _PALETTE.split()[:num_classes]]
    for place in range(num_classes - len(colours)):
        # Hues far from each other (turned by the golden section), in three strengths; more classes than eyes tell apart.
        strength = (0.95, 0.7, 0.45)[place % 3]
        colours.append(tuple(hsv_to_rgb((place * 0.61803398875 % 1, 0.45 + strength / 2, strength))))
    return np.array(colours)


def colourise(task: Task, array: np.ndarray, mask: np.ndarray | None, limits: Limits | None = None) -> np.ndarray:
    """Colour one frame of a dense task.

    Args:
        task: dense.
        array: (H, W) class numbers for segmentation (255 = ignore), (H, W) or (1, H, W) values for depth and edges,
            (3, H, W) unit vectors for normals, shown as (n + 1) / 2.
        mask: (H, W) or (1, H, W), True where ``array`` is valid; None: everywhere. Invalid pixels, the ignored label
            and values that are not finite are striped grey.
        limits: values at the two ends of the colour map (depth, edges); None: ``value_limits`` of this very frame. Give
            the target's to its prediction, so that equal colours are equal values.

    Returns:
        (H, W, 3) floats in [0, 1].

    Raises:
        ValueError: the task is about whole images, a shape does not fit, or a label is not a class.
    """
    valid = valid_pixels(task, array, mask)
    kind = KINDS[task.kind]
    if kind.is_scalar:
        low, high = limits or value_limits(task, array, mask)
        values = np.clip((np.nan_to_num(_one_value(task, array)).astype(float) - low) / (high - low), 0, 1)
        colours = matplotlib.colormaps[kind.colour_map](values)[..., :3]
    else:
        colours = load(kind.colours)(array, valid, task)
    return np.where(valid[..., None], colours, _stripes(*valid.shape)[..., None])


def class_colours(array: np.ndarray, valid: np.ndarray, task: Task) -> np.ndarray:
    """Return the colours of class numbers where they are valid (H, W)."""
    palette = segmentation_palette(task.outputs)
    labels = array.reshape(valid.shape)
    wrong = np.unique(labels[valid & ((labels < 0) | (labels >= len(palette)))])
    if len(wrong):
        raise ValueError(f"{task.name}: {wrong.tolist()} are none of the {len(palette)} classes")
    return palette[np.where(valid, labels, 0).astype(int)]


def direction_colours(array: np.ndarray, valid: np.ndarray, task: Task) -> np.ndarray:
    """Return (n + 1) / 2 of unit vectors n (3, H, W)."""
    return np.clip((np.moveaxis(np.nan_to_num(array), 0, -1).astype(float) + 1) / 2, 0, 1)


def value_limits(task: Task, array: np.ndarray, mask: np.ndarray | None) -> Limits:
    """Return the values of a depth or edge frame, (H, W) or (1, H, W), at the ends of its colour map, never equal.

    Depth spans the valid values; edges start at zero, so that "no edge" is black in every frame.
    """
    valid = valid_pixels(task, array, mask)
    values = _one_value(task, array)[valid]
    if not values.size:
        return 0.0, 1.0
    lowest = KINDS[task.kind].lowest
    low = float(values.min()) if lowest is None else lowest
    high = float(values.max())
    return low, high if high > low else low + 1.0


def _one_value(task: Task, array: np.ndarray) -> np.ndarray:
    """Return (H, W): one value per pixel, of several channels the length of their vector."""
    return array.reshape(array.shape[-2:]) if task.channels == 1 else np.linalg.norm(array, axis=0)


def valid_pixels(task: Task, array: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return (H, W) bool, True where one dense frame can be shown."""
    channels = task.channels
    if not task.is_dense:
        raise ValueError(f"{task.name} is about the whole image: it has no picture")
    if array.ndim not in (2, 3) or (array.ndim == 2 and channels > 1) or (array.ndim == 3 and len(array) != channels):
        raise ValueError(f"{task.name}: one frame must be ({channels}, H, W), not {array.shape}")
    valid = np.isfinite(array).reshape(channels, *array.shape[-2:]).all(axis=0)
    if task.kind == "segmentation":
        valid &= array.reshape(valid.shape) != IGNORE_INDEX
    if mask is not None:
        valid &= np.asarray(mask, dtype=bool).reshape(valid.shape)
    return np.asarray(valid)


def _stripes(height: int, width: int) -> np.ndarray:
    """Make (H, W) slanted grey stripes: unlike any colour map, also in print. Their width follows the frame's size."""
    rows, columns = np.indices((height, width))
    dark = (rows + columns) // max(1, height // 32) % 2 == 0
    return np.where(dark, INVALID_DARK, INVALID_LIGHT)
