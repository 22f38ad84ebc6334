"""NYU-v2, CelebAMask-HQ, their joint transforms and loaders, and synthetic sets with the same files."""

from datasets.celeba import CelebAMaskHQ
from datasets.loaders import build_dataset, eval_loader, train_loader
from datasets.nyu import NYUDataset

__all__ = ["CelebAMaskHQ", "NYUDataset", "build_dataset", "eval_loader", "train_loader"]
