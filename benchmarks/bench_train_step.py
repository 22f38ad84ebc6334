"""Time one training step of the paper's three-task model: forward (with the losses), backward, optimizer.

    python benchmarks/bench_train_step.py [--json]

The default is the setting of docs/results.md: ResNet-50-D, 128 x 128, batch 4, fp32, CPU. The frames are real where the
environment variable NYUD_MT_ROOT names a folder in NYUD_MT layout, else synthetic. Medians over --steps steps after --warmup;
on a GPU also the largest memory that tensors took in them. With --torch-gradients, steps with torch's own weight gradients and
steps with ours (models/taps.py) take turns, and the ratio of the medians is printed.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks import measuring
from benchmarks.measuring import now
from datasets import train_loader
from datasets.synthetic.rooms import write_rooms
from engine import device as devices
from engine.evaluation import to_device
from engine.trainer import training_step
from engine.trial import Trial
from models import taps
from settings.config import validate_config


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--backbone", default="resnetd50")
    parser.add_argument("--size", type=int, default=128, help="side of the input in pixels")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--head-width", type=int, default=256)
    parser.add_argument("--rates", type=int, nargs="+", default=(12, 24, 36), help="dilations in the heads")
    parser.add_argument("--lambda", dest="strength", type=float, default=1e-5, help="penalty (0: dense)")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed")
    parser.add_argument("--warmup", type=int, default=3, help="steps before them")
    parser.add_argument("--layout", choices=("channels_last", "contiguous"), default="channels_last", help="of the network")
    parser.add_argument("--compile", action="store_true", help="the network through torch.compile")
    parser.add_argument("--default-allocator", action="store_true", help="do not keep freed memory (engine/memory.py)")
    parser.add_argument("--torch-gradients", action="store_true", help="time steps without models/taps.py as well")
    return parser.parse_args()


def make_trial(args: argparse.Namespace, data: str, folder: Path) -> Trial:
    """Build the trial that is timed."""
    values = {
        "Experiment_name": "bench",
        "dataset_name": "NYU",
        "task_list": ["segmentsemantic", "depth_euclidean", "surface_normal"],
        "data_dir_NYU": data,
        "backbone": args.backbone,
        "head_width": args.head_width,
        "aspp_rates": args.rates,
        "input_shape": args.size,
        "train_batch_size": args.batch,
        "comb_loss": "uncertainity",
        "group_sparsity": args.strength > 0,
        "bb_optimizer_params": {"lambda": args.strength, "weight_decay": 0.1},
        "precision": args.precision,
        "device": args.device,
        "channels_last": args.layout == "channels_last",
    }
    if args.default_allocator:
        devices.keep_freed_memory = lambda: False
    config, device = devices.resolve(validate_config(values, source="benchmark"))
    trial = Trial(config, 0, device, folder)
    trial.model.train()
    if args.compile:
        trial.model.compile()
    return trial


def time_steps(args: argparse.Namespace, trial: Trial) -> tuple[list[list[list[float]]], dict[str, float]]:
    """Time steps of training on one batch.

    Returns:
        Seconds of forward, backward and optimizer in each step, with our weight gradients and perhaps with torch's; and the
        largest memory that tensors took on a GPU.
    """
    device = trial.device
    batch = to_device(next(iter(train_loader(trial.config, 0))), device, trial.config)
    rules = [taps._taps_pay, *([lambda *_: False] if args.torch_gradients else [])]
    times: list[list[list[float]]] = [[] for _ in rules]
    for step, rule in itertools.product(range(args.warmup + args.steps), range(len(rules))):
        taps._taps_pay = rules[rule]
        moments = [now(device)]
        if step == args.warmup and device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        taken = training_step(trial, [batch], 0.0, 1.0, after=lambda *_, moments=moments: moments.append(now(device)))  # type: ignore[misc]
        assert taken.losses[0], "no frame of the batch has a target"
        times[rule].append([end - start for start, end in itertools.pairwise(moments)])
    memory = {"peak_memory_GB": torch.cuda.max_memory_allocated(device) / 1e9} if device.type == "cuda" else {}
    return [steps[args.warmup :] for steps in times], memory


def main() -> None:
    """Build the trial, time its steps, print the medians."""
    args = parse()
    with tempfile.TemporaryDirectory() as folder:
        data = os.environ.get("NYUD_MT_ROOT")
        if not data:
            write_rooms(Path(folder), {"train": 2 * args.batch, "val": 1, "test": 1}, (args.size, args.size))
        trial = make_trial(args, data or folder, Path(folder))
        (timed, *others), memory = time_steps(args, trial)
    parts = dict(zip(("forward_s", "backward_s", "optimizer_s"), map(statistics.median, zip(*timed, strict=True)), strict=True))
    total = statistics.median(map(sum, timed))
    figures = {**parts, "total_s": total, "images_per_second": args.batch / total, **memory}
    for other in others:
        figures["torch_gradients_s"] = statistics.median(map(sum, other))
        figures["speedup"] = figures["torch_gradients_s"] / total
    title = (
        f"{args.backbone}, 3 tasks, {args.size} x {args.size}, batch {args.batch}, {args.precision}, {trial.device}, "
        f"{args.layout}, {'compiled' if args.compile else 'eager'}, {measuring.machine()}, "
        f"{'NYU-v2' if data else 'synthetic'} frames, median of {args.steps} steps"
    )
    measuring.report(title, figures, args.json)


if __name__ == "__main__":
    main()
