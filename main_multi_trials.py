"""Train all trials of an experiment, test them, and write the result tables.

python main_multi_trials.py --config_exp config/exp_single_mtl_NYU.yaml [key.path=value ...]
"""

import argparse
import sys
from pathlib import Path

from utils.console import run_script, setup_logging


def main() -> int:
    """Parse the command line and run the experiment; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config_exp", required=True, type=Path, help="YAML file of the experiment (see config/)")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="replaces a value of the file")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="continue an interrupted experiment; finished trials stay")
    again.add_argument("--overwrite", action="store_true", help="delete the experiment's trials and start again")
    parser.add_argument("--out_dir", type=Path, default=Path("out_csv"), help="folder of the tables (default: out_csv)")
    args = parser.parse_intermixed_args()

    from utils.config import load_config

    config = load_config(args.config_exp, args.overrides)
    setup_logging()

    from torch import OutOfMemoryError

    from engine import TrainingDivergedError, run_experiment

    try:
        run_experiment(config, resume=args.resume, overwrite=args.overwrite, out_dir=args.out_dir)
    except TrainingDivergedError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except OutOfMemoryError as error:
        sys.stderr.write(f"error: the device has too little memory; lower train_batch_size or input_shape ({error})\n")
        return 1
    return 0


if __name__ == "__main__":
    run_script(main)
