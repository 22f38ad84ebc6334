"""Evaluate the saved trials of an experiment again and write its result tables.

python get_outputs.py --exp_name 8_2_multi_seg_sn_depth_ --num_trials 5
"""

import argparse
from pathlib import Path

from utils.cli import TRIAL_FORMS, path_argument, positive
from utils.console import run_script, setup_logging

NYU_FOLDER = "folder of the data, in the layout that the experiment was trained on"


def main(description: str | None = __doc__, dataset: str = "NYU", data_help: str = NYU_FOLDER) -> int:
    """Parse the command line and evaluate trials of a data set; returns the exit code."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--exp_name", required=True, type=path_argument, help=f"name of an experiment, for all its trials; or {TRIAL_FORMS}"
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
        help="evaluate the networks after the last epoch (of keep_state: true), not the best ones, into <exp_name>_last.csv",
    )
    parser.add_argument(
        "--out_dir", type=path_argument, default=Path("out_csv"), help="folder of the tables (default: out_csv)"
    )
    args = parser.parse_args()
    setup_logging()

    from deploy.compact_evaluation import compact_is_equal
    from deploy.reevaluation import EvaluationOptions, evaluate_experiment

    options = EvaluationOptions(args.split, args.data_dir, args.device, args.compact, args.last)
    table = evaluate_experiment(str(args.exp_name), args.num_trials, args.results_dir, dataset, args.out_dir, options)
    return 0 if all(map(compact_is_equal, table.to_dict("records"))) else 1


if __name__ == "__main__":
    run_script(main)
