"""Tiny files in the form of the official nyu_depth_v2_labeled.mat and splits.mat, and what is in them in plain axes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import savemat

FX, FY, CX, CY = 518.858, 519.470, 325.582, 253.736
"""The colour camera of the whole 480 x 640 frame."""

ROWS, COLUMNS = slice(45, 470), slice(40, 600)
HOLE = (slice(200, 240), slice(300, 380))
"""Part of the whole frame in which the sensor measured nothing."""

LABELS = (0, 21, 11, 5, 894)
CLASSES = (0, 1, 2, 5, 40)
"""unlabelled, wall, floor, chair, torah."""

SCENES = ("kitchen_0001", "kitchen_0001", "bedroom_0003", "study_0004")
TRAIN, TEST = (1, 2, 3), (4,)


def normal_of(number: int) -> np.ndarray:
    """The normal of the one plane that is in frame ``number``; it points at the camera."""
    normal = np.array([0.1 * number - 0.3, -0.5, -1.0])
    return normal / np.linalg.norm(normal)


def frame(number: int) -> dict[str, np.ndarray]:
    """Whole frame ``number`` with rows first; nothing in it is the same when mirrored or transposed."""
    row, column = np.mgrid[:480, :640]
    image = np.stack([column * 255 // 639, row * 255 // 479, np.full_like(row, 25 * number)], axis=-1).astype(np.uint8)
    labels = np.full((480, 640), LABELS[1], np.uint16)
    labels[300 + number :] = LABELS[2]
    labels[100:200, 50:90] = LABELS[3]
    labels[120:140, 500:599] = LABELS[0]
    labels[400:420, 300:330] = LABELS[4]
    rays = np.stack([(column - CX) / FX, (row - CY) / FY, np.ones(row.shape)], axis=-1)
    depth = (-2.0 / (rays @ normal_of(number))).astype(np.float32)
    raw = depth + np.float32(0.125)
    raw[HOLE] = 0
    return {"images": image, "labels": labels, "depths": depth, "rawDepths": raw}


def classes(labels: np.ndarray) -> np.ndarray:
    """The class of each label in :data:`LABELS`, by hand."""
    out = np.full(labels.shape, 255, np.uint8)
    for label, number in zip(LABELS, CLASSES, strict=True):
        out[labels == label] = number
    return out


def write_official(
    path: Path,
    count: int = len(SCENES),
    scenes: Sequence[str] | None = SCENES,
    without: Sequence[str] = (),
    **replaced: np.ndarray,
) -> Path:
    """Write an official file of ``count`` frames: MATLAB's 512 bytes of header, axes reversed, compressed chunks of 3 frames.

    Args:
        path: the file.
        count: frames, from number 1.
        scenes: the scene of each frame; None for a file that does not say.
        without: datasets to leave out.
        replaced: whole datasets, as HDF5 has them, in place of the right ones.
    """
    frames = [frame(number) for number in range(1, count + 1)]
    with h5py.File(path, "w", userblock_size=512) as file:
        for name in frames[0]:
            if name in without:
                continue
            array = replaced.get(name, np.stack([arrays[name].T for arrays in frames]))
            chunks = (min(3, len(array)), *array.shape[1:-1], -(-array.shape[-1] // 2))
            file.create_dataset(name, data=array, chunks=chunks, compression="gzip", compression_opts=1)
        if scenes is not None:
            references = np.empty((1, len(scenes)), object)
            for index, scene in enumerate(scenes):
                letters = np.array([[ord(letter)] for letter in scene], np.uint16)
                references[0, index] = file.create_dataset(f"#refs#/{index}", data=letters).ref
            file.create_dataset("scenes", data=references, dtype=h5py.ref_dtype)
    return path


def write_splits(path: Path, train: Sequence[int] = TRAIN, test: Sequence[int] = TEST, **more: Any) -> Path:
    """Write a splits.mat: columns of 16-bit numbers."""
    columns = {"trainNdxs": train, "testNdxs": test}
    savemat(path, {name: np.array(numbers, np.uint16)[:, None] for name, numbers in columns.items()} | more)
    return path
