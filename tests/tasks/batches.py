"""Random logits, targets and masks as the model and the loaders give them."""

import torch
from torch import Tensor

from tasks.table import IGNORE_INDEX, get_task

CLASSES = 40
SIZE = 6


def random_batch(task: str, frames: int, seed: int = 0, valid: float = 0.7) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, targets and masks of an NYU task, or of an attribute; about ``valid`` of the elements are valid."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    kind = get_task(task).kind
    mask = uniform(frames, 1, SIZE, SIZE) < valid
    if kind == "segmentation":
        labels = torch.randint(CLASSES // 2, (frames, SIZE, SIZE), generator=generator)
        logits = normal(frames, CLASSES, SIZE, SIZE) + 3 * torch.nn.functional.one_hot(labels, CLASSES).movedim(-1, 1)
        return logits, torch.where(mask[:, 0], labels, IGNORE_INDEX), mask[:, 0]
    if kind == "normals":
        target = torch.nn.functional.normalize(normal(frames, 3, SIZE, SIZE), dim=1)
        return target + normal(frames, 3, SIZE, SIZE), torch.where(mask, target, 0.0), mask
    if kind == "attribute":
        return 2 * normal(frames), (uniform(frames) < 0.4).float(), uniform(frames) < valid
    target = 0.05 + 0.95 * uniform(frames, 1, SIZE, SIZE)
    return 2 * normal(frames, 1, SIZE, SIZE), torch.where(mask, target, 0.0), mask


def invalid_batch(task: str, frames: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """A batch in which nothing is valid, its targets filled as the loaders fill them."""
    logits, target, mask = random_batch(task, frames)
    fill = IGNORE_INDEX if get_task(task).kind == "segmentation" else 0
    return logits, torch.full_like(target, fill), torch.zeros_like(mask)
