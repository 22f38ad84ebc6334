"""Synthetic photos of fields from above, as an example of your own data: crops, heights, normals, and two columns of labels.

Maize is a tall, light green disc, weed a low, dark green one, on brown soil whose slope shows as shading. Yellow plants are
ill, grey ones dead; leaves that are pale at their edge are wilted. As in many a real set, some targets are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator as Rng
from PIL import Image

VERSION = 1
SPLITS = ("train", "val", "test")
CROPS = ("soil", "maize", "weed")
HEALTH = ("good", "poor", "dead")
_HEIGHTS = {1: (0.4, 1.2), 2: (0.05, 0.25)}
"""Metres: lowest and largest height of a plant, by its class."""
_COLOURS = {1: (0.35, 0.75, 0.25), 2: (0.10, 0.40, 0.15)}
_SICK = {"good": (1.0, 1.0, 1.0), "poor": (1.9, 1.05, 0.7), "dead": (1.5, 0.75, 1.3)}
"""Factors of a plant's colours."""
_PER_FIELD = 10
_NO_HEIGHT, _NO_HEALTH, _NO_WILTED = 5, 7, 4
"""Every so many-th frame lacks this target."""


def render_field(rng: Rng, size: tuple[int, int] = (96, 96)) -> dict[str, Any]:
    """Draw one random photo of ``size`` = (height, width).

    Returns:
        ``image`` (H, W, 3) uint8, ``crop`` (H, W) uint8 (255 at the border of a plant), ``height`` (H, W) uint16 in
        millimetres (0 where it was not measured), ``normals`` (H, W, 3) float32, ``health`` (one of ``HEALTH``) and ``wilted``.
    """
    rows, columns = np.mgrid[: size[0], : size[1]] / max(size)
    health, wilted = HEALTH[rng.integers(3)], bool(rng.random() < 0.5)
    slope = rng.uniform(-0.4, 0.4, 2)
    height = 0.3 + slope[0] * (rows - 0.5) + slope[1] * (columns - 0.5)
    colour = np.broadcast_to(np.array((0.45, 0.32, 0.2)), (*size, 3)) * rng.uniform(0.8, 1.2)
    crop = np.zeros(size, np.uint8)
    for _ in range(rng.integers(4, 9)):
        kind = int(rng.integers(1, 3))
        radius = rng.uniform(0.07, 0.16)
        row, column = rng.uniform(0, rows.max()), rng.uniform(0, columns.max())
        distance = np.hypot(rows - row, columns - column) / radius
        inside = distance < 1
        low, high = _HEIGHTS[kind]
        height = np.where(inside, height + rng.uniform(low, high) * np.sqrt(np.clip(1 - distance**2, 0, 1)), height)
        leaf = np.array(_COLOURS[kind]) * np.array(_SICK[health]) * rng.uniform(0.85, 1.1)
        pale = 1 + 0.9 * (wilted & (distance > 0.7))
        colour = np.where(inside[..., None], leaf * np.asarray(pale)[..., None], colour)
        crop[inside] = kind
        crop[inside & (distance > 1 - 0.5 / (radius * max(size)))] = 255
    normals = np.stack([-np.gradient(height, axis=1), -np.gradient(height, axis=0), np.full(size, 4.0 / max(size))], axis=-1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    light = np.clip(normals @ (np.array((0.5, 0.3, 0.8)) / np.linalg.norm((0.5, 0.3, 0.8))), 0.2, 1)
    image = colour * (0.4 + 0.6 * light[..., None]) + rng.normal(0, 0.02, (*size, 3))
    measured = np.round(np.clip(height, 0.001, 65) * 1000)
    measured[rng.random(size) < 0.02] = 0
    return {
        "image": np.round(np.clip(image, 0, 1) * 255).astype(np.uint8),
        "crop": crop,
        "height": measured.astype(np.uint16),
        "normals": normals.astype(np.float32),
        "health": health,
        "wilted": wilted,
    }


def _frame(number: int) -> str:
    return f"field{number // _PER_FIELD}/{number:04d}"


def field_files(counts: Mapping[str, int]) -> list[str]:
    """Paths, relative to the root, of all that ``write_fields`` writes for these counts."""
    frames = [(number, _frame(number)) for number in range(sum(counts[split] for split in SPLITS))]
    files = [file for _, frame in frames for file in (f"images/{frame}.jpg", f"crop/{frame}.png", f"normals/{frame}.npy")]
    files += [f"height/{frame}.png" for number, frame in frames if number % _NO_HEIGHT]
    return [*files, "labels.csv", *(f"{split}.txt" for split in SPLITS)]


def write_fields(
    root: Path,
    counts: Mapping[str, int],
    size: tuple[int, int] = (96, 96),
    seed: int = 0,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> None:
    """Write a set of photos of fields; photo k depends on (seed, k) and the size alone.

    Args:
        root: folder to write into; made if needed.
        counts: photos of ``train``, ``val`` and ``test``; numbered through in this order, from 0, ten in a field.
        size: height and width in pixels.
        progress: wraps the range of numbers, to show how far the writing is.
    """
    total = sum(counts[split] for split in SPLITS)
    rows = ["photo,health,wilted"]
    for number in progress(range(total)):
        drawn, frame = render_field(np.random.default_rng([seed, number]), size), _frame(number)
        for folder in ("images", "crop", "height", "normals"):
            (root / folder / frame).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn["image"]).save(root / f"images/{frame}.jpg", quality=92)
        Image.fromarray(drawn["crop"]).save(root / f"crop/{frame}.png")
        if number % _NO_HEIGHT:
            Image.fromarray(drawn["height"]).save(root / f"height/{frame}.png")
        np.save(root / f"normals/{frame}.npy", drawn["normals"])
        health = drawn["health"] if number % _NO_HEALTH else ""
        wilted = ("yes" if drawn["wilted"] else "no") if number % _NO_WILTED else ""
        rows.append(f"{frame},{health},{wilted}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    numbers = iter(range(total))
    for split in SPLITS:
        frames = [_frame(next(numbers)) for _ in range(counts[split])]
        (root / f"{split}.txt").write_text("".join(f"{frame}\n" for frame in frames), encoding="utf-8")
