"""A study's comparison for other networks than the report's: those after the last epoch, or on the validation split.

    python benchmarks/study_networks.py --study results/studies/study_nyu_small --network last
    python benchmarks/study_networks.py --study results/studies/study_nyu_small --split val

The report is of the networks that did best on validation. How that choice matters is seen from the networks of the last epoch;
a setting is to be chosen on the validation split. Every finished run's network is evaluated once (--json keeps what was found).
The networks of the last epoch are there if the study was run with keep_state=true.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.cli import path_argument


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=path_argument, required=True, help="its folder")
    parser.add_argument("--network", choices=("best", "last"), default="best")
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument(
        "--json", type=path_argument, help="write the metrics of each run into this file, and read there what it has"
    )
    return parser.parse_args()


def main() -> int:
    """Evaluate what is not known yet, and print a line per setting; returns the exit code."""
    args = parse()
    from datasets import Loaders
    from engine import checkpoint as files
    from engine.device import resolve
    from engine.saved_trial import evaluate_trial, load_trial, result_row
    from study.collect import summary_of
    from study.columns import main_column
    from study.labels import fixed, interval, is_missing
    from study.progress import finished_runs
    from study.record import read_record
    from study.text_tables import pairs_text, verdict

    study = read_record(args.study).study
    known = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    rows = {}
    for run in finished_runs(study)[0]:
        key = f"{run.name} {args.network} {args.split}"
        if key not in known:
            config, device = resolve(run.config)
            saved = load_trial(run.folder, device, files.LAST if args.network == "last" else files.BEST)
            known[key] = result_row(saved, evaluate_trial(replace(saved, config=config), Loaders(config), args.split, device))
            if args.json:
                args.json.write_text(json.dumps(known, indent=1))
        rows[run] = known[key]
    print(f"{study.name}: {args.network} networks, {args.split} split; means, standard deviations, and the paired difference")
    for row in summary_of(study, rows).to_dict("records"):
        names = [main_column(task).name for task in row["tasks"]]
        parts = [
            f"{name} {row[f'{name}_mean']:.4f}" + ("" if is_missing(row[f"{name}_std"]) else f" ± {row[f'{name}_std']:.4f}")
            for name in [*names, "delta_MTL"]
            if not is_missing(row.get(f"{name}_mean"))
        ]
        if not is_missing(row["difference_mean"]):
            interval_of = interval(row["difference_low"], row["difference_high"])
            difference = fixed(row["difference_mean"], 2, signed=True)
            parts.append(f"difference {difference} {interval_of} ({pairs_text(row)} pairs)")
        if row["sparse"]:
            parts.append(verdict(row))
        print(f"{row['setting']} (n = {row['num_trials']}): {', '.join(parts)}")
    return 0


if __name__ == "__main__":
    from utils.console import run_script

    run_script(main)
