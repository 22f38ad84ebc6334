"""Predict photos of any size: coloured pictures, arrays, and an overview of each photo.

    python predict.py --model results/runs/8_2_multi_seg_sn_depth__trial_0 --images photos --out predictions

Writes <out>/overview/<photo>.png (photo and predictions side by side), per task <out>/<task>/<photo>.npy and .png at the
photo's own size, <out>/attributes.csv, and <out>/predictions.json, which says what the numbers mean. Exit codes: 0 done,
1 some photos were left out (the others are done) or the system refused, 2 wrong use, 130 interrupted.
"""

import argparse

from utils.cli import TRIAL_FORMS, path_argument
from utils.console import run_script, setup_logging


def main() -> int:
    """Parse the command line and predict; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", required=True, type=path_argument, help=f"trained trial: {TRIAL_FORMS}; or a compact.safetensors"
    )
    parser.add_argument(
        "--images", required=True, type=path_argument, help="folder of photos (sub-folders are left out), or one photo"
    )
    parser.add_argument("--out", required=True, type=path_argument, help="folder of the predictions")
    parser.add_argument("--tasks", metavar="TASK,TASK", help="only these of the model's tasks (default: all)")
    parser.add_argument("--device", help="auto, cpu, cuda, ... (default: what the model's configuration says)")
    parser.add_argument(
        "--precision", choices=("auto", "fp32", "bf16", "fp16"), help="default: that of the training, as in its evaluation"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the predictions that are in --out")
    args = parser.parse_args()
    setup_logging()

    from deploy.prediction import load_predictor, predict_photos

    tasks = None if args.tasks is None else [name.strip() for name in args.tasks.split(",")]
    predictor = load_predictor(args.model, tasks, args.device, args.precision)
    left_out = predict_photos(predictor, args.images, args.out, args.overwrite)
    return 1 if left_out else 0


if __name__ == "__main__":
    run_script(main)
