"""Frames at the input size on disk, so that an epoch reads them at the speed of memory.

The cache consists of parts (``datasets/cache/parts.py``): the image, or one task's target, of all frames of a split, in compact
types (``datasets/cache/codec.py``). A part is called after a hash of everything that it depends on: places, names, sizes and
times of the files, some of what is in some of them, the input size, the options of reading, the version of the format. So runs
with other tasks, other trials and other processes share parts, and a file that changes makes a new one. A part appears whole or
not at all, and is never changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

from datasets.base import MultiTaskDataset
from datasets.cache.codec import IMAGE_TYPE, codec_of, decode
from datasets.cache.parts import DAMAGED, Part, PartWriter
from datasets.frame_check import parts_of, read_frames, refuse_or_drop
from datasets.sample import Sample
from settings.config import ExperimentConfig
from utils.errors import DataError
from utils.files import evenly_spread, fingerprint
from utils.locks import give_back
from utils.paths import expanded

log = logging.getLogger(__name__)

VERSION = 2
SAMPLED = 64
"""Number of files of each kind whose content is sampled (:func:`utils.files.fingerprint`)."""
FOLDER = "loader_cache"
"""Beside the data; where that cannot be written, below the user's cache folder."""


class CachedFrames:
    """The frames of a data set in their parts; what :class:`datasets.base.Frames` asks for."""

    def __init__(self, dataset: MultiTaskDataset, parts: dict[str | None, Part]) -> None:
        self._names, self._tasks, self._in_memory = dataset.names, dataset.tasks, dataset.in_memory
        self._parts = parts

    def batch(self, indices: Sequence[int]) -> Sample:
        """The frames of these numbers, stacked, as raw samples."""
        names = [self._names[index] for index in indices]
        image = torch.from_numpy(self._parts[None].take(names)[0])
        targets, masks = {}, {}
        for task in self._tasks:
            if task in self._parts:
                targets[task], masks[task] = decode(self._tasks[task].kind, *self._parts[task].take(names))
            else:
                pairs = [self._in_memory(task, name) for name in names]
                targets[task] = torch.stack([target for target, _ in pairs])
                masks[task] = torch.stack([mask for _, mask in pairs])
        return Sample(image=image, targets=targets, masks=masks, name=names)  # type: ignore[typeddict-item]


def attach_cache(dataset: MultiTaskDataset, config: ExperimentConfig, split: str) -> None:
    """Let ``dataset`` take its frames from the cache, and put into the cache what it lacks.

    Frames that cannot be read are dropped with ``on_bad_sample: skip``.

    Raises:
        DataError: a frame cannot be read, and ``on_bad_sample`` is ``error``; or the cache cannot be written.
    """
    wanted_parts = parts_of(dataset)
    kinds = {what: _identity([path for name in dataset.names for path in dataset.files(name, what)]) for what in wanted_parts}
    names = {what: f"{split}-{what or 'image'}-{_key(dataset, config, what, kinds)}" for what in wanted_parts}
    try:
        for folder in cache_folders(config):
            wanted = {what: folder / name for what, name in names.items()}
            parts = _whole_parts(wanted, dataset, logging.DEBUG)
            if len(parts) == len(wanted):
                break
        else:
            parts = _fill(folder, wanted, dataset, config, split)
    except OSError as error:
        raise DataError(
            f"cache: {folder} cannot be written ({error.strerror or error}); give another folder (cache: <folder>), or "
            "cache: off"
        ) from None
    bad: dict[str, str] = {}
    for what in names:  # of several problems of a frame the first one counts, as without the cache
        bad = {**parts[what].bad, **bad}
    refuse_or_drop(dataset, bad, config, split)
    dataset.kept = CachedFrames(dataset, parts)


def cache_folders(config: ExperimentConfig) -> list[Path]:
    """Return the folders in which the parts of a configuration may lie; missing parts go into the last one."""
    if isinstance(config.cache, str):
        return [expanded(config.cache, "cache")]
    beside = config.data_dir / FOLDER
    if os.access(beside if beside.exists() else config.data_dir, os.W_OK):
        return [beside]
    return [beside, Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "less-is-more" / FOLDER]


def _key(dataset: MultiTaskDataset, config: ExperimentConfig, what: str | None, kinds: dict[str | None, str]) -> str:
    """A hash of everything that a part depends on.

    A target depends on its image too: both must have one size, and a frame without its image has no target.

    Args:
        dataset: names the frames.
        config: has the options of reading.
        what: a task, or None for the image.
        kinds: what identifies the files of each kind.
    """
    content: dict[str, Any] = {
        "version": VERSION,
        "dataset": config.dataset_name,
        "size": dataset.size,
        "what": what or ("grey" if dataset.grey else "colour"),
        "options": _options(dataset, config, what) if what else [],
        "names": dataset.names,
        "files": [kinds[None], kinds[what]],
    }
    return _hash(content)[:16]


def _options(dataset: MultiTaskDataset, config: ExperimentConfig, name: str) -> list[Any]:
    """Return what the values of a task's targets depend on, beside its files: of own data, how the task reads them."""
    if config.tasks_ is None:
        return [getattr(config, key) for key in config.data_set.target_keys]
    task = dataset.tasks[name]
    labels = [task.labels.numbers, task.labels.unlabelled, task.labels.others_unlabelled] if task.labels else []
    return [task.kind, task.channels, task.resize, labels, task.scale, task.offset, repr(task.invalid), task.depth_range]


def _identity(paths: list[Path]) -> str:
    """Return a hash that other files do not have: of the place (without links), size and time of change of each, and of some
    of the content of ``SAMPLED`` of them.

    Of a file that cannot be read its place is enough: reading it will say more.
    """
    folders = {folder: os.path.realpath(folder) for folder in {path.parent for path in paths}}
    facts: list[Any] = []
    for path in paths:
        place = os.path.join(folders[path.parent], path.name)
        try:
            status = os.lstat(place)
            if stat.S_ISLNK(status.st_mode):
                place, status = os.path.realpath(place), os.stat(place)
            facts.append((place, status.st_size, status.st_mtime_ns))
        except OSError:
            facts.append(place)
    for path in evenly_spread(paths, SAMPLED):
        with contextlib.suppress(OSError):
            facts.append(fingerprint(path))
    return _hash(facts)


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _whole_parts(wanted: dict[str | None, Path], dataset: MultiTaskDataset, level: int) -> dict[str | None, Part]:
    """The parts that are there; one that is damaged is as good as none, and is logged at ``level``."""
    parts = {}
    for what, path in wanted.items():
        if path.is_dir():
            try:
                part = Part(path)
                part.check(dataset.names, *_shape(dataset, what))
                parts[what] = part
            except DAMAGED as error:
                log.log(level, "cache: %s is damaged and is made again (%s)", path, error)
    return parts


def _fill(
    folder: Path, wanted: dict[str | None, Path], dataset: MultiTaskDataset, config: ExperimentConfig, split: str
) -> dict[str | None, Part]:
    """Make the parts that are missing; other processes that want to do that wait."""
    if folder != cache_folders(config)[0]:
        log.info("cache: %s cannot be written, so the frames are kept in %s", config.data_dir, folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("cache: another process is filling %s; waiting for it", folder)
        lock.acquire()
    try:
        whole = _whole_parts(wanted, dataset, logging.WARNING)
        missing = {what: path for what, path in wanted.items() if what not in whole}
        if missing:
            for stale in (*folder.glob(".*.unfinished"), *(path for path in missing.values() if path.exists())):
                shutil.rmtree(stale)
            _write(missing, dataset, config, split)
    finally:
        give_back(lock)
    return {what: Part(path) for what, path in wanted.items()}


def _write(missing: dict[str | None, Path], dataset: MultiTaskDataset, config: ExperimentConfig, split: str) -> None:
    """Read every frame once and write the parts that are missing."""
    shapes = {what: _shape(dataset, what) for what in missing}
    needed = len(dataset) * sum(int(np.prod(shape)) * kind.itemsize for shape, kind in shapes.values())
    folder = next(iter(missing.values())).parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(f"it needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free")
    log.info("cache: %d frames of %s, %.2f GB, go into %s", len(dataset), split, needed / 1e9, folder)
    writers: dict[str | None, PartWriter] = {}
    try:
        for what, path in missing.items():
            writers[what] = PartWriter(path, *shapes[what])
        for frame in read_frames(dataset, list(missing), config, f"filling the cache with {split}"):
            if frame.problems and config.on_bad_sample == "error":
                raise DataError(next(iter(frame.problems.values())))
            for what, writer in writers.items():
                if what in frame.problems:
                    writer.add_bad(frame.name, frame.problems[what])
                else:
                    writer.add(frame.name, *frame.codes[what])
        for writer in writers.values():
            writer.finish()
    finally:
        for writer in writers.values():
            writer.discard()


def _shape(dataset: MultiTaskDataset, what: str | None) -> tuple[tuple[int, ...], np.dtype]:
    """Shape (K, H, W) and type of one frame's codes."""
    if what is None:
        return (1 if dataset.grey else 3, *dataset.size), IMAGE_TYPE
    task = dataset.tasks[what]
    return (task.channels, *dataset.size), codec_of(task.kind).type
