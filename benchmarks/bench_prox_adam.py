"""Time one ProxAdam step over the ResNet-50-D backbone (55 convolutions) against torch's fused AdamW, side by side.

    python benchmarks/bench_prox_adam.py [--device cpu|cuda] [--penalty l1_l2 group_l0] [--json]

Two states: ``live`` (gradients of scale 1e-3, lambda 1e-5: nearly all groups live) and ``dead`` (70 % of the groups are zero
and stay zero). In turn, --steps times after --warmup: torch.optim.AdamW(fused=True); and for each penalty ProxAdam as a user
gets it (``default``); the same while lambda is found for a wanted sparsity (``target``); ProxAdam with torch operations only
(``torch``), which is what a machine without a C compiler gets. Medians and their ratios to AdamW.
"""

import argparse
import ctypes
import itertools
import logging
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks import measuring
from engine.memory import keep_freed_memory
from models.resnetd import ResNetD
from optim import PENALTIES, GroupL0, ProxAdam, count_groups
from optim.groups import along_groups, grouped_weights
from optim.penalties import Saliency

GRADIENT, LAMBDA, DEAD_SHARE = 1e-3, 1e-5, 0.7
MODES = ("default", "target", "torch")


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--backbone", default="resnetd50", choices=("resnetd18", "resnetd50", "resnetd101"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--penalty", nargs="+", default=["l1_l2", "group_l0"], choices=sorted(PENALTIES))
    parser.add_argument("--saliency", default="adam", choices=get_args(Saliency), help="of group_l0")
    parser.add_argument("--layout", default="channels_last", choices=("channels_last", "contiguous"))
    parser.add_argument("--steps", type=int, default=21, help="steps that are timed")
    parser.add_argument("--warmup", type=int, default=3, help="steps before them")
    return parser.parse_args()


def build(args: argparse.Namespace, state: str) -> list[torch.nn.Parameter]:
    """Return the backbone's convolutions with gradients, in the state that is asked for."""
    torch.manual_seed(0)
    layout = torch.channels_last if args.layout == "channels_last" else torch.contiguous_format
    backbone = ResNetD(args.backbone).to(args.device).to(memory_format=layout)
    weights = [weight for _, weight in grouped_weights(backbone)]
    for weight in weights:
        weight.grad = torch.empty_like(weight).normal_(0, GRADIENT)
        if state == "dead":
            dead = (torch.rand(weight.shape[1], device=args.device) < DEAD_SHARE).to(weight.dtype)
            live = along_groups(1 - dead, weight)
            weight.data.mul_(live)
            # Small enough that the groups stay dead: its norm is below lambda sqrt(group size).
            weight.grad.mul_(live + 1e-3 * (1 - live))
    return weights


def measure(args: argparse.Namespace, state: str) -> dict[str, float]:
    """Measure the median seconds of a step per optimizer, and the share of zero groups at the end."""
    common: dict[str, Any] = {"lr": 1e-4, "weight_decay": 0.1, "fused": True}
    models = {"adamw": build(args, state)}
    optimizers: dict[str, torch.optim.Optimizer] = {"adamw": torch.optim.AdamW(models["adamw"], **common)}
    for name, mode in itertools.product(args.penalty, MODES):
        penalty = GroupL0(LAMBDA, args.saliency) if name == GroupL0.name else PENALTIES[name](LAMBDA)
        models[f"{name}_{mode}"] = weights = build(args, state)
        ours = ProxAdam(weights, penalty=penalty, kernel="torch" if mode == "torch" else "auto", **common)
        if mode == "target":
            # As much sparsity as there is: in the live state a few groups.
            ours.zero_share = 0.001 if state == "live" else DEAD_SHARE
        optimizers[f"{name}_{mode}"] = ours
    steps = {name: optimizer.step for name, optimizer in optimizers.items()}
    times = measuring.times_in_turn(steps, args.device, args.warmup + args.steps)
    figures = {f"{state}_{name}_s": statistics.median(seconds[args.warmup :]) for name, seconds in times.items()}
    for name in [name for name in optimizers if name != "adamw"]:
        figures[f"{state}_{name}_ratio"] = figures[f"{state}_{name}_s"] / figures[f"{state}_adamw_s"]
        figures[f"{state}_{name}_group_sparsity"] = count_groups(("", weight) for weight in models[name]).group_sparsity
        extra = extra_memory(args.device, optimizers[name])
        if extra is not None:
            largest = max(weight.numel() * weight.element_size() for weight in models[name])
            figures[f"{state}_{name}_extra_memory_layers"] = extra / largest
    return figures


def extra_memory(device: str, optimizer: torch.optim.Optimizer) -> float | None:
    """Bytes that a step holds at its peak beyond what was held before it (on a CPU: resident memory, Linux only)."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        optimizer.step()
        torch.cuda.synchronize()
        return float(torch.cuda.max_memory_allocated() - before)
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return None
    resident = _resident("VmRSS")  # after what earlier steps freed has gone back to the system
    optimizer.step()
    return _resident("VmHWM") - resident


def _resident(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def first_use() -> float:
    """Seconds that the first step of a machine waits for the C compiler (0 where there is none)."""
    from optim.kernels import native
    from optim.kernels.compiler import forget

    kept = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        forget()
        start = time.perf_counter()
        kernel = native.kernel.__wrapped__()
        seconds = time.perf_counter() - start
    forget()
    del os.environ["XDG_CACHE_HOME"]
    if kept is not None:
        os.environ["XDG_CACHE_HOME"] = kept
    return seconds if kernel else 0.0


def main() -> None:
    """Measure and print."""
    args = parse()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    keep_freed_memory()
    figures: dict[str, float] = {}
    if args.device == "cpu":
        figures["compile_s"] = first_use()
    for state in ("live", "dead"):
        figures |= measure(args, state)
    title = (
        f"{args.backbone}, {args.layout} weights, {args.device}, {measuring.machine()}, median of {args.steps} steps in turn"
    )
    measuring.report(title, figures, args.json)


if __name__ == "__main__":
    main()
