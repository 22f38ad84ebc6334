"""The command ``pascal``: targets of PASCAL-Context as files that the loaders read."""

from __future__ import annotations

import argparse
import sys

from utils.cli import path_argument

HELP = "write the targets of PASCAL-Context (PASCAL_MT of ASTMT) as files that the loaders read"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--data_dir", type=path_argument, required=True, help="folder of PASCAL_MT")


def run(args: argparse.Namespace) -> int:
    """Write the targets of the folder that the command line names; returns 0.

    Raises:
        DataError: see :func:`datasets.preparation.pascal_context.write_targets`.
    """
    from datasets.preparation.pascal_context import write_targets

    write_targets(args.data_dir)
    sys.stdout.write(f"{args.data_dir / 'targets'}: written, for config/pascal_context.yaml\n")
    return 0
