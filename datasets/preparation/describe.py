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
from datasets.preparation.verify import sizes_in_words
from datasets.preparation.workers import in_processes
from tasks.data_sets import OWN_DATA
from utils.cli import path_argument, whole_number
from utils.console import listed, show_table, track
from utils.errors import ConfigError, DataError
from utils.files import evenly_spread, replacing

if TYPE_CHECKING:
    from datasets.preparation.description.entries import Entry
    from datasets.preparation.description.measures import Measure
    from datasets.preparation.description.sources import Source
    from settings.config import ExperimentConfig
    from settings.own_tasks import Images

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
    from datasets.preparation.description.document import document, experiment_name

    root: Path = args.data_dir
    name = experiment_name(root)
    out: Path = args.out or Path(f"{name}.yaml")
    if out.exists() and not args.overwrite:
        raise DataError(f"--out {out}: is there already; --overwrite replaces it")
    if not root.is_dir():
        raise DataError(f"--data_dir {root}: there is no such folder")
    images, pictures, sources, unused = _places(root, args.images)
    entries, faults = _entries(root, pictures, sources, _picked(args.task, sources), unused, args.workers or cores())
    sizes, words = _image_sizes(images, pictures)
    first: dict[str, Any] = {"Experiment_name": name, "dataset_name": OWN_DATA, "data_dir": str(root)}
    first |= {"images": given} if (given := images.model_dump(exclude_defaults=True)) else {}
    raw, split, said, fault = _with_training(first, entries, list(pictures), sizes)
    faults += [fault] if fault else []
    unused = [f"not used: {reason}" for reason in unused]
    facts = {
        "": [words, f"read: all names, and at most {MOST_FILES} files of each task"],
        split: said,
        "backbone": [*unused, "a smaller network: group_sparsity: true, target_sparsity: 0.5 (docs/configuration.md)"],
    }
    scripts = ("prepare_data.py verify", "main_multi_trials.py")
    commands = [f"python {script} --config_exp {shlex.quote(str(out))}" for script in scripts]
    _write(out, document(raw, entries, len(pictures), facts, commands))
    rows = [(entry.name, entry.keys["kind"], f"{entry.frames} of {len(pictures)}", entry.facts[0]) for entry in entries]
    show_table(str(root), ("task", "kind", "frames", "found"), rows)
    lines = [words, *said, *unused, *(f"not yet right: {reason}" for reason in faults)]
    sys.stdout.write("".join(f"{line}\n" for line in (*lines, f"{out} is written; next: {commands[0]}")))
    return 1 if faults else 0


def _places(root: Path, folder: str | None) -> tuple[Images, dict[str, Path], list[Source], list[str]]:
    """Return the images, one per frame, places with targets, and sentences about what is none."""
    from datasets.preparation.description.sources import find_images, find_sources, shortened

    images, pictures = find_images(root, folder)
    sources, unused = find_sources(root, images.folder, pictures)
    if not sources and (short := shortened(root, pictures, images.folder)) is not None:
        images, pictures = short
        sources, unused = find_sources(root, images.folder, pictures)
    if not sources:
        raise DataError(
            f"--data_dir {root}: there is nothing to predict beside the {len(pictures)} images in {images.folder}; expected "
            f"folders of files, or a CSV file, that have their names, such as {next(iter(pictures))!r}"
            + "".join(f" ({reason})" for reason in unused[:1])
        )
    return images, pictures, sources, unused


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
        meant = [source.name for source in sources if source.name == name]
        meant = meant or [source.name for source in sources if name in (source.folder, source.column)]
        if not meant:
            known = listed([source.name for source in sources]) or "nothing"
            raise DataError(f"--task {text}: there are no targets called {name!r}; found {known}")
        kinds |= dict.fromkeys(meant, kind or None)
    return kinds


def _measured(sources: Sequence[Source], workers: int) -> list[tuple[Source, dict[str, Measure]]]:
    """Return the sources with what is in their files, by frame, at most ``MOST_FILES`` of each, evenly spread."""
    from datasets.preparation.description.measures import crashed, measure

    frames = [evenly_spread(list(source.files), MOST_FILES) for source in sources]
    paths = [source.files[frame][0] for source, names in zip(sources, frames, strict=True) for frame in names]
    contents = iter(track(in_processes(measure, paths, workers, crashed), "reading", total=len(paths)))
    return [(source, {frame: next(contents) for frame in names}) for source, names in zip(sources, frames, strict=True)]


def _entries(
    root: Path,
    pictures: Mapping[str, Path],
    sources: Sequence[Source],
    kinds: Mapping[str, str | None] | None,
    unused: list[str],
    workers: int,
) -> tuple[list[Entry], list[str]]:
    """Return the tasks, and what is wrong with files of theirs; adds to ``unused`` what holds no targets.

    Raises:
        DataError: a task of ``kinds`` holds none, or nothing does.
    """
    entries, faults = [], []
    for source, files in _measured([source for source in sources if kinds is None or source.name in kinds], workers):
        try:
            files = _fitting(source, files, pictures)
            entries.append(_entry(source, root, files, (kinds or {}).get(source.name)))
        except DataError as error:
            if kinds is not None:
                raise DataError(f"--task {source.name}: {error}") from None
            unused.append(f"{source.where}: {error}")
        else:
            faults += [measure.problem for measure in files.values() if measure.problem]
    if not entries:
        raise DataError(f"--data_dir {root}: nothing in it can be learned; {'; '.join(unused)}")
    return entries, faults


def _fitting(source: Source, files: Mapping[str, Measure], pictures: Mapping[str, Path]) -> dict[str, Measure]:
    """Return the files of a source by frame, those that do not lie on their image pixel by pixel as problems.

    Raises:
        DataError: they are half of the files or more: such files are no targets.
    """
    from datasets.preparation.description.measures import Measure, picture_size

    odd = {}
    for frame, measure in files.items():
        size = picture_size(pictures[frame])
        if size is not None and measure.sizes and size not in measure.sizes:
            (height, width), (path, *_) = next(iter(measure.sizes)), source.files[frame]
            odd[frame] = f"{path} is {height} x {width}; expected the size of its image, {size[0]} x {size[1]}"
    if odd and 2 * len(odd) >= len(files):
        raise DataError(next(iter(odd.values())))
    return {**files, **{frame: Measure(problem=problem) for frame, problem in odd.items()}}


def _entry(source: Source, root: Path, files: Mapping[str, Measure], kind: str | None) -> Entry:
    """Return the entry of a source.

    Raises:
        DataError: it holds no targets.
    """
    from datasets.preparation.description.entries import column_entry, folder_entry
    from datasets.preparation.description.measures import merged

    if source.column:
        return column_entry(source, root, kind)
    together = merged(list(files.values()))
    if together.problem:
        raise DataError(together.problem)
    return folder_entry(source, together, kind)


def _image_sizes(images: Images, pictures: Mapping[str, Path]) -> tuple[Counter[tuple[int, int]], str]:
    """Return the sizes of at most ``MOST_FILES`` images, evenly spread, and how many have each; and a sentence about them."""
    from datasets.preparation.description.measures import picture_size

    seen = evenly_spread(list(pictures.values()), MOST_FILES)
    sizes = Counter(size for path in seen if (size := picture_size(path)) is not None)
    if not sizes:
        raise DataError(f"{seen[0]}: cannot be read as an image, nor can any other in {images.folder}")
    return sizes, f"images: {len(pictures)} in {images.folder}, {sizes_in_words(sizes)}"


def _with_training(
    raw: Mapping[str, Any], entries: Sequence[Entry], frames: Sequence[str], sizes: Counter[tuple[int, int]]
) -> tuple[dict[str, Any], str, list[str], str]:
    """Return the configuration with splits and what a training needs; the key of the splits, and sentences about them; and
    what is in the way of a training (empty if nothing is)."""
    from datasets.preparation.description.document import batch_size, input_shape
    from datasets.preparation.description.splits import find_splits
    from settings.config import validate_config

    tasks = {entry.name: dict(entry.keys) for entry in entries}
    draft = {**raw, "tasks": tasks, "split_fractions": {}}
    splits, said = find_splits(validate_config(draft, "the description"), frames)
    training = {"backbone": "resnet18", "output_stride": 16, "input_shape": input_shape(sizes), "cache": True}
    counts, fault = _frames_per_split(validate_config({**raw, **splits, "tasks": tasks, **training}, "the description"))
    training |= {"train_batch_size": batch_size(counts.get("train", 0)), "epochs": 50, "lr_schedule": {"name": "cosine"}}
    training |= {f"{part}optimizer_params": {"learning_rate": 1e-3} for part in ("", "bb_")}
    numbers = f"frames: {', '.join(f'{count} {role}' for role, count in counts.items())}"
    return {**raw, **splits, "tasks": tasks, **training}, next(iter(splits)), [numbers, *said] if counts else said, fault


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
