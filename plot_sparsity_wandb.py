"""Draw how sparse a trained model is: sparsity_plot.png / .pdf and sparsity.csv in the trial's folder.

    python plot_sparsity_wandb.py --exp_folder_path results/runs/8_2_multi_seg_sn_depth__trial_0

The figure goes to the tracker too where the trial's configuration (or --tracking) says so.
"""

import argparse

from utils.cli import TRIAL_FORMS, path_argument
from utils.console import run_script, setup_logging


def main() -> int:
    """Parse the command line, draw and save; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exp_folder_path", required=True, type=path_argument, help=f"trained trial: {TRIAL_FORMS}")
    parser.add_argument(
        "--tracking",
        choices=("online", "offline", "tensorboard", "disabled"),
        help="wandb, or TensorBoard (default: as the trial's configuration says)",
    )
    args = parser.parse_args()
    setup_logging()

    from deploy.sparsity_plot import plot_trial
    from engine.checkpoint import find_trial

    plot_trial(find_trial("--exp_folder_path", args.exp_folder_path), args.tracking)
    return 0


if __name__ == "__main__":
    run_script(main)
