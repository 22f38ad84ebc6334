"""Command-line arguments that scripts share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from utils.errors import UserError
from utils.paths import expanded


def path_argument(text: str) -> Path:
    """A path, for argparse; ``~`` and environment variables are replaced."""
    try:
        return expanded(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text: str) -> int:
    """A whole number from 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is too small; expected at least 1")
    return value


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """A type for argparse: a whole number from ``least`` to ``most``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {least} to {most}")
        return value

    return parse


def evaluation_parser(description: str, data_help: str) -> argparse.ArgumentParser:
    """The arguments of the scripts that evaluate saved trials."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--exp_name", required=True, type=path_argument, help="the experiment's name, or the folder of one trial"
    )
    parser.add_argument("--num_trials", type=positive, help="how many trials, from 0 (default: all that are there)")
    parser.add_argument(
        "--results_dir", type=path_argument, default=Path("results/runs"), help="folder of the trials (default: results/runs)"
    )
    parser.add_argument("--data_dir", type=path_argument, help=f"{data_help} (default: what the trial's configuration says)")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="default: test")
    parser.add_argument("--device", help="auto, cpu, cuda, ... (default: what the trial's configuration says)")
    parser.add_argument(
        "--compact",
        action="store_true",
        help="evaluate the trials' compact models beside the trained ones, in fp32, into <exp_name>_compact.csv",
    )
    parser.add_argument(
        "--last",
        action="store_true",
        help="evaluate the networks after the last epoch, not the best ones on validation, into <exp_name>_last.csv",
    )
    parser.add_argument(
        "--out_dir", type=path_argument, default=Path("out_csv"), help="folder of the tables (default: out_csv)"
    )
    return parser
