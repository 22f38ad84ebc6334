"""Batches of cached frames: made where they are used, or ahead of time by threads.

A process that loads has to send each batch to the main process, which for cached frames takes several times as long as making
it. Threads send nothing, and the work is done in operations that let other threads run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, Sampler

from datasets.base import Key, MultiTaskDataset
from datasets.preparation.threads import in_threads
from datasets.sample import Sample


class BatchLoader:
    """Iterates over batches in the sampler's order, as a ``DataLoader`` does.

    Args:
        dataset: makes whole batches.
        sampler: keys of the frames in the order of an epoch.
        batch_size: frames per batch.
        drop_last: leave an incomplete last batch out.
        threads: 0 makes each batch when it is asked for.
        pin_memory: give the tensors in page-locked memory, for a GPU.
    """

    def __init__(
        self,
        dataset: MultiTaskDataset,
        sampler: Sampler[Any] | range,
        batch_size: int,
        *,
        drop_last: bool = False,
        threads: int = 0,
        pin_memory: bool = False,
    ) -> None:
        self.dataset, self.sampler, self.threads, self.pin_memory = dataset, sampler, threads, pin_memory
        self.batch_sampler = BatchSampler(sampler, batch_size, drop_last)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Sample]:
        return in_threads(self._make, self.batch_sampler, self.threads, partial(torch.set_num_threads, 1))

    def _make(self, keys: Sequence[Key]) -> Sample:
        batch = self.dataset.__getitems__(keys)
        if not self.pin_memory:
            return batch
        return Sample(
            image=batch["image"].pin_memory(),
            targets=_pinned(batch["targets"]),
            masks=_pinned(batch["masks"]),
            name=batch["name"],
        )


def _pinned(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.pin_memory() for name, tensor in tensors.items()}
