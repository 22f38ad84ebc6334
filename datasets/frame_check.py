"""Every frame of a split read once: into codes for the cache, or only to find those that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Dataset

from datasets.base import MultiTaskDataset
from datasets.cache.codec import encode
from datasets.sample import labelled_tasks
from datasets.workers import ProcessLoader, worker_deaths, worker_settings
from settings.config import ExperimentConfig
from utils.console import track
from utils.errors import DataError


class EncodedFrame(NamedTuple):
    """A frame's image (None) and targets, each with its scale; what could not be read is in ``problems``, with the reason."""

    name: str
    codes: dict[str | None, tuple[np.ndarray, float]]
    problems: dict[str | None, str]


class EncodedFrames(Dataset[EncodedFrame]):
    """Each frame of a data set as codes.

    Args:
        dataset: is read from its files.
        wanted: tasks, and None for the image.
    """

    def __init__(self, dataset: MultiTaskDataset, wanted: Sequence[str | None]) -> None:
        self.dataset, self.wanted = dataset, list(wanted)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> EncodedFrame:
        """A frame; one that cannot be read is no error here."""
        name = self.dataset.names[index]
        try:
            return EncodedFrame(name, self._read(index, self.wanted), {})
        except DataError:
            # Which file is it? Each is read again alone (a target with the image, whose size it must have).
            codes: dict[str | None, tuple[np.ndarray, float]] = {}
            problems: dict[str | None, str] = {}
            for what in self.wanted:
                try:
                    codes |= self._read(index, [what])
                except DataError as error:
                    problems[what] = str(error)
            return EncodedFrame(name, codes, problems)

    def _read(self, index: int, wanted: Sequence[str | None]) -> dict[str | None, tuple[np.ndarray, float]]:
        tasks = [what for what in wanted if what is not None]
        sample = self.dataset.only(tasks).load(index)
        codes: dict[str | None, tuple[np.ndarray, float]] = {}
        if None in wanted:
            codes[None] = sample["image"].numpy(), 1.0
        for task in tasks:
            codes[task] = encode(self.dataset.tasks[task].kind, sample["targets"][task], sample["masks"][task])
        return codes


def read_frames(
    dataset: MultiTaskDataset, wanted: Sequence[str | None], config: ExperimentConfig, description: str
) -> Iterator[EncodedFrame]:
    """Every frame once, in order, read by ``num_workers`` processes, with a progress bar."""
    frames = EncodedFrames(dataset, wanted)
    settings = {**worker_settings(config, dataset), "persistent_workers": False}
    loader = ProcessLoader(frames, batch_size=None, **settings)
    with worker_deaths(dataset):
        yield from track(loader, description, total=len(frames))


def parts_of(dataset: MultiTaskDataset) -> list[str | None]:
    """Return the parts that a frame is read from: its image (None), and the tasks whose targets have files."""
    return [None, *(task for task in dataset.tasks if dataset.has_files(task))]


def find_bad_frames(dataset: MultiTaskDataset, config: ExperimentConfig, split: str) -> dict[str, str]:
    """The frames that cannot be read: name -> why."""
    bad = {}
    for frame in read_frames(dataset, parts_of(dataset), config, f"checking the frames of {split}"):
        if frame.problems:
            bad[frame.name] = next(iter(frame.problems.values()))
    return bad


def refuse_or_drop(dataset: MultiTaskDataset, bad: dict[str, str], config: ExperimentConfig, split: str) -> None:
    """Do what ``on_bad_sample`` says about frames that cannot be read (name -> why).

    Raises:
        DataError: it says ``error``, or no frame is left.
    """
    if not bad:
        return
    first = next(iter(bad.values()))
    if config.on_bad_sample == "error":
        raise DataError(f"{first} ({len(bad)} frames of {split} cannot be read)" if len(bad) > 1 else first)
    dataset.drop(bad)
    if not dataset.names:
        raise DataError(f"no frame of the {split} split can be read; the first problem: {first}")


def refuse_unlabelled(dataset: MultiTaskDataset, split: str) -> None:
    """Read frames of a split until one has a valid target, as a rule the first.

    Raises:
        DataError: none has, or a frame before it cannot be read.
    """
    if not any(labelled_tasks(dataset.load(index), dataset.tasks) for index in range(len(dataset))):
        raise DataError(
            f"no frame of the {split} split has a valid target of {', '.join(dataset.tasks)}, so nothing can be learned or "
            f"chosen by it; look into its {len(dataset)} frames (docs/data.md says what is invalid), or choose another split"
        )
