"""NYU-v2 frames in MTAN's layout."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.datasets.frames import random_normals, write_array

Frame = dict[str, np.ndarray]


def mtan_frame(seed: int, size: tuple[int, int]) -> Frame:
    """One frame by folder, of MTAN's types: floats; labels -1..12, depth 0 and a zero normal in the first corner."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 13, size).astype(np.float64)
    depth = rng.uniform(0.7, 9, (*size, 1))
    labels[0, 0], labels[0, 1], labels[0, 2], depth[0, :2] = -1, 12, 0, 0
    image = rng.integers(0, 256, (*size, 3)) / 255
    return {"image": image, "label": labels, "depth": depth, "normal": random_normals(rng, *size).astype(np.float64)}


def write_mtan(root: Path, folders: Mapping[str, int], size: tuple[int, int], start: int = 0) -> dict[str, Frame]:
    """Frames of some folders, returned by name."""
    frames = {}
    for folder, count in folders.items():
        for number in range(start, start + count):
            frames[f"{folder}/{number}"] = mtan_frame(len(frames), size)
            for kind, array in frames[f"{folder}/{number}"].items():
                write_array(root / folder / kind / f"{number}.npy", array)
    return frames
