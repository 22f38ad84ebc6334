"""NYU-v2, CelebAMask-HQ, their joint transforms and loaders, and synthetic sets with the same files.

The names below are imported when they are first used: what needs no loader (``prepare_data.py``) does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets.celeba import CelebAMaskHQ
    from datasets.loaders import Loader, build_dataset, eval_loader, train_loader
    from datasets.mtan import MTANDataset
    from datasets.nyu import NYUDataset
    from datasets.workers import worker_deaths

_MODULES = {
    "CelebAMaskHQ": "celeba",
    "Loader": "loaders",
    "MTANDataset": "mtan",
    "NYUDataset": "nyu",
    "build_dataset": "loaders",
    "eval_loader": "loaders",
    "train_loader": "loaders",
    "worker_deaths": "workers",
}

__all__ = [
    "CelebAMaskHQ",
    "Loader",
    "MTANDataset",
    "NYUDataset",
    "build_dataset",
    "eval_loader",
    "train_loader",
    "worker_deaths",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"datasets.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
