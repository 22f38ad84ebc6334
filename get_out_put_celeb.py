"""Evaluate the saved trials of a CelebAMask-HQ experiment again and write its result tables.

python get_out_put_celeb.py --exp_name 8_2_multi_seg_male_smile_ --num_trials 5
"""

from utils.cli import evaluation_parser
from utils.console import run_script, setup_logging


def main() -> int:
    """Parse the command line and evaluate; returns the exit code."""
    args = evaluation_parser(__doc__ or "", "folder of CelebAMask-HQ").parse_args()
    setup_logging()

    from engine import compact_is_equal, evaluate_experiment

    table = evaluate_experiment(
        str(args.exp_name),
        args.num_trials,
        args.results_dir,
        "celebA",
        data_dir=args.data_dir,
        split=args.split,
        device=args.device,
        out_dir=args.out_dir,
        compact=args.compact,
        last=args.last,
    )
    return 0 if all(map(compact_is_equal, table.to_dict("records"))) else 1


if __name__ == "__main__":
    run_script(main)
