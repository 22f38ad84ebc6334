"""One frame of NYU-v2 as the files of the NYUD_MT layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from datasets.preparation.nyu_labels import class_of_label
from datasets.preparation.official_nyu import Frame
from datasets.synthetic.rooms import label_edges
from utils.errors import DataError
from utils.files import replacing

FILES = {"images": ".jpg", "segmentation": ".png", "depth": ".npy", "normals": ".npy", "edge": ".npy"}
FORMATS = {
    "images": "JPEG, quality 95, colour not subsampled (4:4:4)",
    "segmentation": "PNG, 8 bits: 0 unlabelled, 1..40 the classes",
    "depth": "float32 (H, W): metres, 0 = invalid",
    "normals": "float16 (H, W, 3): unit vectors in camera axes (x right, y down, z forward), zero vector = invalid",
    "edge": "float32 (H, W): 1 where the class differs from the right or the lower neighbour's, else 0",
    "gt_sets": "names of the frames of each split, one per line",
}
"""Contents of each folder, for the manifest. Normals in 16 bits are exact to 0.03 degrees, far below what any of them are
known to, and halve the largest part of the set."""


def frame_name(number: int) -> str:
    """``0001`` for the first frame."""
    return f"{number:04d}"


def frame_files(out: Path, number: int) -> dict[str, Path]:
    """The path of each of a frame's files, by folder."""
    return {folder: out / folder / (frame_name(number) + suffix) for folder, suffix in FILES.items()}


def is_complete(out: Path, number: int) -> bool:
    """True if all files of a frame are there; under their final names they are whole."""
    return all(path.is_file() for path in frame_files(out, number).values())


def classes_of(frame: Frame) -> np.ndarray:
    """(H, W) uint8: the class 1..40 of every pixel, 0 where it is unlabelled.

    Raises:
        DataError: a label is not in the table.
    """
    table = class_of_label()
    largest = int(frame.labels.max())
    if largest >= len(table):
        raise DataError(
            f"--mat: frame {frame.number} has the label {largest}; expected 0 (unlabelled) or 1 to {len(table) - 1}, "
            "the labels of the official nyu_depth_v2_labeled.mat"
        )
    return table[frame.labels]


def write_frame(out: Path, frame: Frame, normals: np.ndarray) -> None:
    """Write the five files of a frame, each whole or not at all.

    Args:
        out: the set's folder; the five folders in it are there.
        frame: image, labels and depth, (H, W).
        normals: (H, W, 3) unit vectors, zero where invalid.

    Raises:
        DataError: a label is not in the table.
        OSError: the system refused.
    """
    files, classes = frame_files(out, frame.number), classes_of(frame)
    with replacing(files["images"]) as temporary:
        Image.fromarray(frame.image).save(temporary, "JPEG", quality=95, subsampling=0)
    with replacing(files["segmentation"]) as temporary:
        Image.fromarray(classes).save(temporary, "PNG")
    arrays = {"depth": frame.depth, "normals": normals.astype(np.float16), "edge": label_edges(classes)}
    for folder, array in arrays.items():
        with replacing(files[folder]) as temporary, temporary.open("wb") as file:
            np.save(file, array)
