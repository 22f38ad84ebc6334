"""Fill the folders that the loaders read, and check what is in them.

    python prepare_data.py nyu --help                           official NYU-v2 -> NYUD_MT
    python prepare_data.py celeba --help                        official CelebAMask-HQ -> the paper's masks
    python prepare_data.py pascal --help                        PASCAL_MT's .mat files -> targets that are read
    python prepare_data.py synthetic --dataset nyu              240 rooms, 15 s -> data/synthetic_nyu
    python prepare_data.py describe --data_dir data/fields      your own data -> a first configuration, fields.yaml
    python prepare_data.py verify --data_dir data/NYUD_MT       lists every file that the loaders could not use
    python prepare_data.py verify --config_exp fields.yaml      the same of your own data

Exit codes: 0 done or already there, 1 describe or verify found problems, or the system refused (disk full, no permission),
2 wrong use, 130 interrupted.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

from utils.console import run_script, setup_logging

AFTER_CTRL_C = {
    "nyu": "the same command continues where it stopped",
    "celeba": "the same command continues where it stopped",
    "pascal": "the same command begins again",
    "synthetic": "the same command draws the set again",
    "describe": "nothing is written",
    "verify": "nothing is known about the rest",
}


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def error(self, message: str) -> NoReturn:
        """Print the message without the usage and leave with exit code 2."""
        self.exit(2, f"{self.prog}: {message}\n")

    def refuse_unknown(self, arguments: Sequence[str]) -> None:
        """Complain of a misspelled or abbreviated option before argparse misses the option that was meant."""
        known = list(self._option_string_actions)
        for argument in arguments:
            name = argument.partition("=")[0]
            if name.startswith("--") and name != "--" and name not in known:
                self.error(f"{name}: there is no such option{nearest(name, known)}")


def nearest(name: str, known: Sequence[str]) -> str:
    """``; did you mean ...?``, or where to look where no name is near."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else "; --help lists what there is"


def commands() -> dict[str, ModuleType]:
    """The commands by name: each a module with ``HELP``, ``add_arguments`` and ``run``; all quick to import."""
    from datasets.preparation import celeba, describe, nyu, pascal, synthetic, verify

    return {"nyu": nyu, "celeba": celeba, "pascal": pascal, "synthetic": synthetic, "describe": describe, "verify": verify}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; ``command`` is the name of the command, ``run`` what does it."""
    parser = Parser(prog="prepare_data.py", description=__doc__)
    choices = parser.add_subparsers(dest="command", metavar="command", title="commands", parser_class=Parser)
    parsers: dict[str, Parser] = {}
    for name, module in commands().items():
        parsers[name] = choices.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(parsers[name])
        parsers[name].set_defaults(run=module.run)
    command = arguments[0] if arguments else ""
    if not command:
        parser.error(f"name a command: {', '.join(parsers)}")
    if command in parsers:
        parsers[command].refuse_unknown(arguments[1:])
    elif command not in ("-h", "--help"):
        parser.error(f"{command}: there is no such command; expected {', '.join(parsers)}{nearest(command, list(parsers))}")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (that of the process, unless arguments are given); returns the exit code."""
    args = parse(sys.argv[1:] if arguments is None else arguments)
    setup_logging()
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        sys.stderr.write(f"interrupted; {AFTER_CTRL_C[args.command]}\n")
        return 130


if __name__ == "__main__":
    run_script(main)
