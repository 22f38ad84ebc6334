"""The command ``verify``: everything that the loaders would read is read, and all that is wrong is one table."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.cores import cores
from datasets.preparation.workers import in_processes
from tasks.data_sets import DATA_SETS, OWN_DATA
from utils.cli import path_argument, whole_number
from utils.console import duration, track
from utils.errors import DataError

if TYPE_CHECKING:
    from datasets.plausibility import Facts
    from datasets.preparation.verification.survey import Survey
    from datasets.problems import Problem

HELP = "read everything in a data set's folder and list every file that the loaders could not use"

MOST_SIZES = 3
"""Sizes of images that the summary names."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--data_dir", type=path_argument, help="the data set: NYUD_MT, CelebAMask-HQ or MTAN's layout")
    which.add_argument(
        "--config_exp", type=path_argument, metavar="FILE", help="the YAML file of an experiment on your own data"
    )
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="replaces a value of this file")
    names = ", ".join(DATA_SETS)
    parser.add_argument(
        "--dataset", choices=DATA_SETS, metavar="NAME", help=f"which it is: {names} (default: the first one of its layout)"
    )
    help_text = "processes that read (default: as many as there are cores)"
    parser.add_argument("--workers", type=whole_number(1, 1024), metavar="N", help=help_text)


def run(args: argparse.Namespace) -> int:
    """Check the set and print the table or, if nothing is wrong, a summary; 0 if nothing is wrong, else 1.

    Raises:
        UserError: the folder is not there, or holds no data set; or the configuration is wrong, or not of your own data.
    """
    from datasets.preparation.verification.table import print_table

    start = time.monotonic()
    root, survey = _own_data(args) if args.config_exp is not None else _known_layout(args)
    sizes = examine_files(survey, args.workers or cores())
    rows = sorted(set(survey.problems))
    took = f"{len(survey.files)} files read in {duration(time.monotonic() - start)}"
    if rows:
        print_table(rows)
        sys.stdout.write(f"{root}: {conclusion(rows)}; {took}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in summary(root, survey, sizes)) + f"  {took}\n")
    return 0


def _known_layout(args: argparse.Namespace) -> tuple[Path, Survey]:
    """Return the folder and its survey, by its layout."""
    from datasets.preparation.verification.survey import data_sets_of, survey_folder

    if args.overrides:
        raise DataError(f"{args.overrides[0]}: needs --config_exp; a folder alone has no keys")
    survey = survey_folder(args.data_dir, DATA_SETS.get(args.dataset))
    possible = [data_set.name for data_set in data_sets_of(survey.data_set.layout)]
    if args.dataset is None and len(possible) > 1:
        sys.stdout.write(f"{args.data_dir}: taken for {survey.data_set.name}; --dataset says which of {', '.join(possible)}\n")
    return args.data_dir, survey


def _own_data(args: argparse.Namespace) -> tuple[Path, Survey]:
    """Return the folder that a configuration names and its survey, by the configuration."""
    from datasets.preparation.verification.own_data import survey_own_data
    from settings.config import load_config

    config = load_config(args.config_exp, args.overrides)
    if args.dataset is not None:
        raise DataError(f"--dataset {args.dataset}: is for --data_dir; {args.config_exp} says what its data are")
    if config.dataset_name != OWN_DATA:
        raise DataError(
            f"--config_exp {args.config_exp}: is not of your own data (dataset_name: {config.dataset_name}); "
            f"give --data_dir {shlex.quote(str(config.data_dir))}"
        )
    return config.data_dir, survey_own_data(config, args.config_exp)


def examine_files(survey: Survey, workers: int) -> Counter[tuple[int, int]]:
    """Read every file of the survey and note what is wrong with it; the sizes of the images, and how many have each."""
    from datasets.plausibility import judge
    from datasets.preparation.verification.files import crashed, examine, size_problems

    sizes: dict[Path, tuple[int, int]] = {}
    facts: dict[str, dict[Path, Facts]] = {}
    contents = in_processes(partial(examine, survey.tasks), survey.files, workers, crashed)
    for file, content in track(zip(survey.files, contents, strict=True), "reading", total=len(survey.files)):
        survey.problems.extend(content.problems)
        if content.size is not None:
            sizes[file.path] = content.size
        if file.task is not None and content.facts is not None:
            facts.setdefault(file.task, {})[file.path] = content.facts
    for task, files in facts.items():
        finding = judge(survey.tasks[task], files)
        if finding is not None:
            survey.add(finding.path, finding.problem, finding.expected)
    survey.problems.extend(size_problems(survey.files, sizes, survey.loader.same_size))
    return Counter(sizes[file.path] for file in survey.files if file.task is None and file.path in sizes)


def conclusion(rows: list[Problem]) -> str:
    """``12 problems in 10 files``."""
    files = len({row.path for row in rows})
    return f"{len(rows)} problem{'s' * (len(rows) > 1)} in {files} file{'s' * (files > 1)}"


def sizes_in_words(sizes: Counter[tuple[int, int]]) -> str:
    """Return the sizes of images, the most frequent ones first."""
    shown = [f"{height} x {width}" for (height, width), _ in sizes.most_common(MOST_SIZES)]
    more = f" and {len(sizes) - MOST_SIZES} other sizes" if len(sizes) > MOST_SIZES else ""
    return f"{', '.join(shown)}{more} (height x width)"


def summary(root: Path, survey: Survey, sizes: Counter[tuple[int, int]]) -> list[str]:
    """Describe the set in a few lines."""
    roles = ("train", "val", "test")
    order = sorted(survey.counts, key=lambda split: (roles.index(split) if split in roles else len(roles), split))
    frames = ", ".join(f"{survey.counts[split]} {split}" for split in order)
    every = sum(survey.counts.values())
    labelled = [f"  {name}: {count} of {every} frames" for name, count in survey.labelled.items()]
    return [
        f"{root}: {survey.layout}, nothing is wrong",
        f"  frames: {frames}; {survey.unused} images are in no split",
        f"  images: {sizes_in_words(sizes)}",
        *(labelled or [f"  targets: {', '.join(survey.targets)}"]),
    ]
