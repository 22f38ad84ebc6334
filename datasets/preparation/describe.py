"""The command ``describe``: a first configuration of your own data, written from what lies in a folder."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.cores import cores
from datasets.preparation.workers import in_processes
from utils.cli import path_argument, whole_number
from utils.console import listed, show_table, track
from utils.errors import ConfigError, DataError
from utils.files import evenly_spread, replacing

if TYPE_CHECKING:
    from datasets.preparation.description.entries import Entry
    from datasets.preparation.description.measures import Measure
    from datasets.preparation.description.sources import Source
    from settings.config import ExperimentConfig

HELP = "write a first configuration of your own data from the images, targets and tables in a folder"

MOST_FILES = 500
"""Files of a task that are read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--data_dir", type=path_argument, required=True, help="the folder of the data")
    parser.add_argument("--out", type=path_argument, metavar="FILE", help="the YAML file (default: called like the folder)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    parser.add_argument(
        "--images", metavar="FOLDER", help="the folder of the images, in --data_dir (default: it is looked for)"
    )
    tasks = "tasks to describe, by folder or column, and their kinds (default: all that is found, and a guess)"
    parser.add_argument("--task", nargs="+", action="extend", metavar="NAME[=KIND]", help=tasks)
    help_text = "processes that read (default: as many as there are cores)"
    parser.add_argument("--workers", type=whole_number(1, 1024), metavar="N", help=help_text)


def run(args: argparse.Namespace) -> int:
    """Write the file and print what was found; 0 if it can be trained with, 1 if something in the folder is in the way.

    Raises:
        UserError: the arguments are wrong, or there are no images or no targets.
        OSError: the system refused.
    """
    from datasets.preparation.description.document import document, experiment_name, sizes_in_words
    from datasets.preparation.description.measures import picture_size
    from datasets.preparation.description.sources import find_images, find_sources, shortened

    root: Path = args.data_dir
    name = experiment_name(root)
    out: Path = args.out or Path(f"{name}.yaml")
    if out.exists() and not args.overwrite:
        raise DataError(f"--out {out}: is there already; --overwrite replaces it")
    if not root.is_dir():
        raise DataError(f"--data_dir {root}: there is no such folder")
    images, pictures = find_images(root, args.images)
    sources, unused = find_sources(root, images.folder, pictures)
    if not sources and (short := shortened(root, pictures, images.folder)) is not None:
        images, pictures = short
        sources, unused = find_sources(root, images.folder, pictures)
    kinds = _picked(args.task, sources)
    measures = _measured([source for source in sources if kinds is None or source.name in kinds], args.workers or cores())
    sizes = Counter(size for path in evenly_spread(list(pictures.values()), MOST_FILES) if (size := picture_size(path)))
    if not sizes:
        raise DataError(f"{root / images.folder}: no image can be read")
    entries, faults = [], []
    for source, files in measures:
        try:
            entries.append(_entry(source, root, files, pictures, (kinds or {}).get(source.name)))
        except DataError as error:
            if kinds is not None:
                raise DataError(f"--task {source.name}: {error}") from None
            unused.append(f"{source.where}: {error}")
            continue
        faults += [measure.problem for measure in files.values() if measure.problem]
    if not entries:
        raise DataError(
            f"--data_dir {root}: there is nothing to predict beside the {len(pictures)} images in {images.folder}; expected "
            f"folders of files, or a CSV file, that have their names, such as {next(iter(pictures))!r}"
            + "".join(f"; {reason}" for reason in unused[:1])
        )
    raw: dict[str, Any] = {"Experiment_name": name, "dataset_name": "folders", "data_dir": str(root)}
    raw |= {"images": given} if (given := images.model_dump(exclude_defaults=True)) else {}
    raw, said, fault = _with_training(raw, entries, list(pictures), sizes)
    faults += [fault] if fault else []
    facts = {
        "": [
            f"images: {len(pictures)} frames in {images.folder}, {sizes_in_words(sizes)}",
            f"Read: all names, and at most {MOST_FILES} files of each task.",
        ],
        **said,
        "backbone": [*(f"Not used: {reason}" for reason in unused)],
        "epochs": ["For a small network add group_sparsity: true and target_sparsity: 0.5 (docs/configuration.md)."],
    }
    frames_said = next(iter(said.values()))[0]
    described = [_with_counts(entry, len(pictures)) for entry in entries]
    commands = [
        f"python {script} --config_exp {shlex.quote(str(out))}" for script in ("prepare_data.py verify", "main_multi_trials.py")
    ]
    _write(out, document(raw, described, facts, commands))
    rows = [(entry.name, entry.keys["kind"], f"{entry.frames} of {len(pictures)}", entry.facts[0]) for entry in entries]
    show_table(str(root), ("task", "kind", "frames", "found"), rows)
    sys.stdout.write(f"images: {len(pictures)} in {images.folder}, {sizes_in_words(sizes)}; {frames_said}\n")
    sys.stdout.write("".join(f"not used: {reason}\n" for reason in unused))
    sys.stdout.write("".join(f"not yet right: {reason}\n" for reason in faults))
    sys.stdout.write(f"{out} is written; next: {commands[0 if faults else 1]}\n")
    return 1 if faults else 0


def _picked(given: Sequence[str] | None, sources: Sequence[Source]) -> dict[str, str | None] | None:
    """Return the tasks of ``--task`` and their kinds (None: a guess); None: all tasks.

    Raises:
        DataError: there is no such task or kind.
    """
    from tasks.kinds import KINDS

    if given is None:
        return None
    kinds: dict[str, str | None] = {}
    for text in given:
        name, sign, kind = text.partition("=")
        if sign and kind not in KINDS:
            raise DataError(f"--task {text}: {kind!r} is no kind; expected {', '.join(KINDS)}")
        meant = [source.name for source in sources if name in (source.name, source.folder, source.column)]
        if not meant:
            there = listed([source.name for source in sources]) or "nothing"
            raise DataError(f"--task {text}: there are no targets called {name!r}; found {there}")
        kinds[meant[0]] = kind or None
    return kinds


def _measured(sources: Sequence[Source], workers: int) -> list[tuple[Source, dict[str, Measure]]]:
    """Return the sources with what is in their files, by frame, at most ``MOST_FILES`` of each, evenly spread."""
    from datasets.preparation.description.measures import crashed, measure

    frames = [evenly_spread(list(source.files), MOST_FILES) for source in sources]
    paths = [source.files[frame][0] for source, names in zip(sources, frames, strict=True) for frame in names]
    contents = iter(track(in_processes(measure, paths, workers, crashed), "reading", total=len(paths)))
    return [(source, {frame: next(contents) for frame in names}) for source, names in zip(sources, frames, strict=True)]


def _entry(source: Source, root: Path, files: Mapping[str, Measure], pictures: Mapping[str, Path], kind: str | None) -> Entry:
    """Return the entry of a source.

    Raises:
        DataError: it holds no targets, or such as do not lie on the images pixel by pixel.
    """
    from datasets.preparation.description.entries import column_entry, folder_entry
    from datasets.preparation.description.measures import merged, picture_size

    if source.column:
        return column_entry(source, root, kind)
    for frame, measure in files.items():
        size = picture_size(pictures[frame])
        if size is not None and measure.sizes and size not in measure.sizes:
            (height, width), (path, *_) = next(iter(measure.sizes)), source.files[frame]
            raise DataError(f"{path.name} is {height} x {width}; expected the size of its image, {size[0]} x {size[1]}")
    together = merged(list(files.values()))
    if together.problem:
        raise DataError(together.problem)
    return folder_entry(source, together, kind)


def _with_counts(entry: Entry, frames: int) -> Entry:
    """Return an entry whose facts begin with its frames."""
    from dataclasses import replace

    first = f"{entry.name}: {entry.frames} of {frames} frames; {entry.facts[0]}"
    return replace(entry, facts=[first, *entry.facts[1:]])


def _with_training(
    raw: Mapping[str, Any], entries: Sequence[Entry], frames: Sequence[str], sizes: Counter[tuple[int, int]]
) -> tuple[dict[str, Any], dict[str, list[str]], str]:
    """Return the configuration with splits and what a training needs, facts by key, and what is in a training's way."""
    from datasets.preparation.description.document import batch_size, input_shape
    from datasets.preparation.description.splits import find_splits
    from settings.config import validate_config

    tasks = {entry.name: dict(entry.keys) for entry in entries}
    draft = {**raw, "tasks": tasks, "split_fractions": {}}
    splits, said = find_splits(validate_config(draft, "the description"), frames)
    training = {"backbone": "resnet18", "output_stride": 16, "input_shape": input_shape(sizes), "cache": True}
    config = validate_config({**raw, **splits, "tasks": tasks, **training}, "the description")
    counts, fault = _frames_per_split(config)
    training |= {"train_batch_size": batch_size(counts.get("train", 0)), "epochs": 50}
    rates = {"learning_rate": 1e-3}
    training |= {"lr_schedule": {"name": "cosine"}, "optimizer_params": rates, "bb_optimizer_params": rates}
    numbers = ", ".join(f"{count} {role}" for role, count in counts.items())
    facts = {next(iter(splits)): [f"frames: {numbers}" if counts else fault, *said]}
    return {**raw, **splits, "tasks": tasks, **training}, facts, fault


def _frames_per_split(config: ExperimentConfig) -> tuple[dict[str, int], str]:
    """Return the frames of each split as a training has them, and what is in its way: empty if nothing is."""
    from datasets.folders import FoldersDataset, own_splits
    from datasets.plausibility import check_encodings

    try:
        counts = {role: len(names) for role, names in own_splits(config).items()}
    except DataError as error:
        return {}, str(error)
    try:
        for role in counts:
            check_encodings(FoldersDataset(config, role))
    except DataError as error:
        return counts, str(error)
    return counts, ""


def _write(out: Path, text: str) -> None:
    """Write the configuration, if it can be read back.

    Raises:
        ConfigError: it cannot.
        OSError: the system refused.
    """
    from settings.config import load_config

    with replacing(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
        try:
            load_config(temporary)
        except ConfigError as error:
            raise ConfigError(f"{out}: is not written, as it could not be read back: {error}") from None
