"""Small data sets with every kind of target and with holes in all of them, and what the cache's rounding allows."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datasets.sample import Sample
from settings.config import ExperimentConfig
from tasks.table import get_task
from tests.configs import make_config
from tests.datasets.frames import DENSE, write_celeba, write_nyu
from tests.datasets.mtan_frames import write_mtan

SPLITS = {"train": tuple(f"a{number}" for number in range(7)), "val": ("b0", "b1", "b2"), "test": ("c0", "c1")}


def write_frames(root: Path, size: tuple[int, int] = (24, 32)) -> None:
    """NYU-v2 in NYUD_MT layout: :data:`SPLITS`; depth, normals and edges are unknown in corners of their own."""
    for name, frame in write_nyu(root, SPLITS, size=size).items():
        frame["normals"][:7, -9:] = 0
        frame["edge"][-7:, :9] = np.nan
        frame["depth"][-6:, -9:] = 0
        for folder in ("depth", "normals", "edge"):
            np.save(root / folder / f"{name}.npy", frame[folder])


def nyu_config(root: Path, **values: Any) -> ExperimentConfig:
    """All dense tasks at another size than the files'."""
    small = {"data_dir_NYU": root, "task_list": list(DENSE), "input_shape": [16, 24], "train_batch_size": 3}
    return make_config(**{**small, **{key: str(value) if isinstance(value, Path) else value for key, value in values.items()}})


def write_all(root: Path) -> dict[str, Callable[..., ExperimentConfig]]:
    """Data sets of every kind below ``root``: name -> what makes a configuration for it."""
    write_frames(root / "nyu")
    write_mtan(root / "mtan", {"train": 4, "val": 2}, (18, 22))
    write_celeba(root / "celeba")
    tasks = ["segmentsemantic", "depth_euclidean", "surface_normal"]
    mtan = {"dataset_name": "NYU_MTAN", "data_dir_NYU_MTAN": root / "mtan", "task_list": tasks, "input_shape": [16, 20]}
    faces = {"dataset_name": "celebA", "data_dir_celebA": root / "celeba", "input_shape": [16, 20]}
    return {
        "NYU": lambda **more: nyu_config(root / "nyu", **more),
        "NYU, its own size": lambda **more: nyu_config(root / "nyu", input_shape=[24, 32], **more),
        "NYU, grey": lambda **more: nyu_config(root / "nyu", input_img_channels=1, **more),
        "NYU, one task": lambda **more: nyu_config(root / "nyu", **{"task_list": ["edge_texture"], **more}),
        "MTAN": lambda **more: make_config(**mtan, **more),
        "faces, void ignored": lambda **more: make_config(**faces, mask_void="ignore", **more),
        "faces, void is background": lambda **more: make_config(**faces, mask_void="background", **more),
        "faces, attributes alone": lambda **more: make_config(**faces, **{"task_list": ["class_male"], **more}),
    }


ROUNDING = {"segmentation": 0.0, "depth": 1 / 131070, "normals": 1 / 65534, "edges": 1 / 131068, "attribute": 0.0}
"""Rounding that ``datasets/cache/codec.py`` states; that of a depth in parts of the frame's largest."""
FLOAT = 2.0**-22
"""Beside it: float32 cannot hold every decoded number."""


def allowed(task: str, target: Tensor) -> float:
    """Return the largest distance of a target from the cache to ``target``."""
    kind = get_task(task).kind
    rounding = ROUNDING[kind]
    return (rounding and rounding + FLOAT) * (max(float(target.max()), 0.0) if kind == "depth" else 1.0)


def assert_within_rounding(cached: Sample, plain: Sample, slack: float = 1.0) -> None:
    """Image, labels, attributes and masks are the same, the rest is within ``slack`` times the stated rounding.

    ``slack`` above 1 is for what augmentation and relative depth make of the rounding.
    """
    assert list(cached["name"]) == list(plain["name"])
    assert torch.equal(cached["image"], plain["image"])
    assert list(cached["targets"]) == list(cached["masks"]) == list(plain["targets"])
    for task, target in plain["targets"].items():
        decoded, mask = cached["targets"][task], plain["masks"][task]
        assert torch.equal(cached["masks"][task], mask), task
        assert decoded.dtype == target.dtype
        assert decoded.shape == target.shape
        valid = mask.expand_as(target)
        assert float((decoded - target)[valid].abs().max()) <= slack * allowed(task, target[valid]), task


def frames_of(loader: Iterable[Sample]) -> list[str]:
    """Names of the frames in the order in which a loader gives them."""
    return [name for batch in loader for name in batch["name"]]


def part_folders(cache: Path) -> set[str]:
    """The finished parts of a cache; there is nothing else."""
    names = {path.name for path in cache.iterdir()} if cache.exists() else set()
    hidden = {name for name in names if name.startswith(".")}
    assert not hidden, "something unfinished was left"
    return names - hidden
