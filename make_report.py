"""The tables, figures and the page of a study, from the runs that are finished.

    python make_report.py --study results/studies/study_nyu_small --latex

Writes <study>.csv (a row per run and metric), <study>_summary.csv (a row per setting), <study>_curves.csv, <study>_layers.csv
into out_csv/, and from these files alone report.html, tables.md, figures/ and with --latex tables.tex into the study's folder
report/. Those of an earlier report are replaced. Exit codes: 0 done, 1 the system refused, 2 wrong use, 130 interrupted.
"""

import argparse
import shlex
import sys
from pathlib import Path

from utils.cli import path_argument
from utils.console import run_script, setup_logging


def main() -> int:
    """Parse the command line and write the report; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", required=True, type=path_argument, help="folder of the study: results/studies/<name>")
    parser.add_argument("--latex", action="store_true", help="write the tables as LaTeX (booktabs) too")
    parser.add_argument(
        "--latency",
        choices=("auto", "yes", "no"),
        default="auto",
        help="time a compact model of each setting on the CPU: auto (default) if the machine is idle",
    )
    parser.add_argument(
        "--out_dir", type=path_argument, default=Path("out_csv"), help="folder of the CSV tables (default: out_csv)"
    )
    args = parser.parse_args()
    setup_logging()

    from study.study_report import make_report

    command = shlex.join(["python", *sys.argv])
    written = make_report(args.study, args.out_dir, command, latex=args.latex, latency=args.latency)
    for path in written:
        if path.suffix in (".csv", ".html", ".md", ".tex"):
            sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    run_script(main)
