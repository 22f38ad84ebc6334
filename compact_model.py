"""Remove the zeros of a trained model for good: a smaller, faster model with equal outputs, and a report of what was saved.

    python compact_model.py --exp_folder_path results/runs/8_2_multi_seg_sn_depth__trial_0 --onnx

Writes into the trial's folder compact.safetensors, model_card.md, compact_report.json, .md and .png, with --onnx compact.onnx,
and with --half compact_half.safetensors; those of an earlier run are replaced, as they follow from the checkpoint. Exit codes:
0 done, 1 the compact model's outputs are not those of the trained one, or these are no numbers (nothing is written), or the
system refused, 2 wrong use, 130 interrupted.
"""

import argparse

from utils.cli import TRIAL_FORMS, path_argument, positive
from utils.console import run_script, setup_logging


def main() -> int:
    """Parse the command line, compact, check and measure; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exp_folder_path", required=True, type=path_argument, help=f"trained trial: {TRIAL_FORMS}")
    parser.add_argument("--onnx", action="store_true", help="write compact.onnx too, check it and time it in onnxruntime")
    parser.add_argument("--half", action="store_true", help="write the weights in half precision too, half as large")
    parser.add_argument(
        "--check", type=positive, default=8, metavar="N", help="on how many images the outputs are compared (default: 8)"
    )
    parser.add_argument(
        "--data_dir", type=path_argument, help="folder of the data set (default: what the trial's configuration says)"
    )
    parser.add_argument("--device", default="cpu", help="the device to compact for: cpu (default), cuda, auto, ...")
    args = parser.parse_args()
    setup_logging()

    from deploy.trial_compaction import compact_trial
    from engine.checkpoint import find_trial

    folder = find_trial("--exp_folder_path", args.exp_folder_path)
    equal = compact_trial(folder, args.device, images=args.check, onnx=args.onnx, half=args.half, data_dir=args.data_dir)
    return 0 if equal else 1


if __name__ == "__main__":
    run_script(main)
