"""NYU-v2, CelebAMask-HQ, their joint transforms and loaders, and synthetic sets with the same files.

The names below are imported when they are first used: what needs no loader (``prepare_data.py``) does not wait for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets.celeba import CelebAMaskHQ
    from datasets.frame_check import refuse_unlabelled
    from datasets.loaders import Loader, Loaders, build_dataset, eval_loader, train_loader
    from datasets.mtan import MTANDataset
    from datasets.nyu import NYUDataset
    from datasets.workers import worker_deaths

__all__ = [
    "CelebAMaskHQ",
    "Loader",
    "Loaders",
    "MTANDataset",
    "NYUDataset",
    "build_dataset",
    "eval_loader",
    "refuse_unlabelled",
    "train_loader",
    "worker_deaths",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from datasets import celeba, frame_check, loaders, mtan, nyu, workers

    return next(getattr(module, name) for module in (celeba, frame_check, loaders, mtan, nyu, workers) if hasattr(module, name))
