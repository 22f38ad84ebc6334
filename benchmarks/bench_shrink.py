"""Measure what training on what is left of a network saves: whole trainings, or one step part by part.

    python benchmarks/bench_shrink.py [--epochs 24] [--targets 0.7 0.9] [--json] [key=value ...]
    python benchmarks/bench_shrink.py --step

Trainings of config/nyu_small.yaml with group_l0, whose ramp ends at a third of the epochs (key=value changes that, and anything
else): dense, and per target with shrink: false, with shrink: true, and with features that die for all heads together
(sparsify: backbone_and_heads), each in a process of its own. The frames are real where the environment variable NYUD_MT_ROOT
names a folder in NYUD_MT layout, else synthetic. MACs spent are three times those of the forward passes; memory is the largest
resident size of the process (on a GPU: what tensors took).

With --step, the dense network and compact ones of which 0 % and the --targets of the groups of each layer (at random) are zero
take turns with training steps, in one process; medians over --steps.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from datasets import train_loader
from datasets.synthetic.rooms import write_rooms
from engine import checkpoint as files
from engine import run_experiment
from engine.device import resolve
from engine.experiment import check_inputs
from engine.trainer import training_step
from engine.trial import Trial
from models import build_model, mask_dense, plan_removal
from models.compaction.costs import Costs
from optim.groups import grouped_weights
from settings.config import ExperimentConfig, load_config
from utils.console import run_script, setup_logging

CONFIG = Path(__file__).resolve().parents[1] / "config" / "nyu_small.yaml"
USUAL = ("bb_optimizer_params.penalty=group_l0", "sparsity_threshold=0.08", "sparsity_until=0.33")
"""Values beside those of the file."""
FRAMES = {"train": 64, "val": 16, "test": 16}
"""Synthetic ones."""
PARTS = ("data", "backbone", "heads", "up-sampling and losses", "backward", "optimizer")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--size", type=int, default=96, help="side of the input in pixels")
    parser.add_argument("--targets", type=float, nargs="+", default=(0.7, 0.9), help="shares of the groups that are zero")
    parser.add_argument("--threads", type=int, help="of torch (default: its own)")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--step", action="store_true", help="time one step, part by part")
    parser.add_argument("--steps", type=int, default=10, help="with --step: steps that are timed, after two others")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # a training, in its own process
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="of the configuration")
    return parser.parse_args()


def values_of(args: argparse.Namespace, folder: Path) -> list[str]:
    """Return the overrides of all runs; writes synthetic frames where there are no real ones."""
    root = os.environ.get("NYUD_MT_ROOT")
    if not root:
        root = str(folder / "rooms")
        write_rooms(Path(root), FRAMES, (args.size, args.size))
    given = (f"data_dir_NYU={root}", f"checkpoint_folder={folder}", f"epochs={args.epochs}", f"input_shape={args.size}")
    return [*USUAL, *given, f"precision={args.precision}", *args.overrides]


def runs_of(args: argparse.Namespace) -> dict[str, list[str]]:
    """Return per name of a run what is special about it."""
    runs = {"dense": ["group_sparsity=false"]}
    kinds = {"shrink: false": "shrink=false", "shrink: true": "shrink=true", "with heads": "sparsify=backbone_and_heads"}
    for target, (kind, value) in itertools.product(args.targets, kinds.items()):
        runs[f"{target:g}, {kind}"] = [f"target_sparsity={target}", value]
    return runs


def configuration(overrides: list[str]) -> ExperimentConfig:
    """Load nyu_small with other values."""
    return load_config(CONFIG, overrides)


def train(config: ExperimentConfig) -> dict[str, Any]:
    """Train and test one trial; return its figures."""
    folder = config.trial_folder(0)
    row = run_experiment(config, out_dir=folder.parent / f"{folder.name}_out").iloc[0].to_dict()
    dense = Costs(build_model(config), config.input_img_channels, config.size).dense / 1e9
    lines = files.read_lines(folder / files.METRICS)
    images = [line["images_per_second"] * line["train_seconds"] for line in lines]
    spent = [3 * count * line.get("train_GMACs", dense) for count, line in zip(images, lines, strict=True)]
    cuda = torch.cuda.is_available() and config.device != "cpu"
    peak = torch.cuda.max_memory_allocated() if cuda else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    until = config.debias_epoch or 0
    return {
        "images_per_s": statistics.median(line["images_per_second"] for line in lines if line["epoch"] >= until),
        "train_s": sum(line["train_seconds"] for line in lines),
        "validation_s": sum(line["validation_seconds"] for line in lines),
        "TMACs": sum(spent) / 1e3,
        "last_GMACs": lines[-1].get("train_GMACs", dense),
        "peak_MB": peak / 1e6,
        "best_val_loss": lines[files.load_tensors(folder / files.BEST)["epochs"] - 1]["val/loss/total"],
        "group_sparsity": row["group_sparsity"],
        **{name: row[name] for name in (f"{task.name}_{task.main_metric}" for task in config.tasks.values())},
    }


def compare_trainings(args: argparse.Namespace, folder: Path) -> dict[str, dict[str, Any]]:
    """Do all runs, each in a process of its own; return their figures by name."""
    common = values_of(args, folder)
    check_inputs(*resolve(configuration(common)))  # fills the cache
    figures = {}
    for number, (name, special) in enumerate(runs_of(args).items()):
        overrides = [*common, *special, f"Experiment_name=run{number}"]
        threads = ["--threads", str(args.threads)] if args.threads else []
        command = [sys.executable, __file__, "--one", *threads, *overrides]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        figures[name] = json.loads(output.splitlines()[-1])
    return figures


def compact_trial(config: ExperimentConfig, share: float, folder: Path) -> Trial:
    """Make a trial whose network trains on without a share of the groups of each layer."""
    config, device = resolve(config)
    trial = Trial(config, 0, device, folder)
    assert config.debias_epoch is not None
    trial.epoch = config.debias_epoch
    with torch.no_grad():
        for _, weight in grouped_weights(trial.model.backbone):
            dead = torch.randperm(weight.shape[1])[: round(share * weight.shape[1])]
            weight[:, dead.to(weight.device)] = 0
    trial.control.apply(trial.optimizer, trial.epoch, 0.0)
    removal = plan_removal(trial.model)
    mask_dense(trial.model, removal.maps(trial.model), trial.optimizer)
    trial.shrink(removal)
    return trial


class StepClock:
    """Times the parts of training steps of a trial."""

    def __init__(self, trial: Trial, config: ExperimentConfig) -> None:
        self.trial = trial
        self.seconds: dict[str, list[float]] = {part: [] for part in PARTS}
        self._batches = itertools.chain.from_iterable(itertools.repeat(train_loader(config, 0)))
        self._inside = dict.fromkeys(("backbone", "heads"), 0.0)
        self._start = 0.0
        for part, modules in (("backbone", [trial.network.backbone]), ("heads", trial.network.heads.values())):
            for module in modules:
                module.register_forward_pre_hook(lambda *_: self._enter())
                module.register_forward_hook(lambda *_, part=part: self._leave(part))
        trial.network.train()

    def step(self) -> None:
        """Take one step."""
        moments = [self._now()]
        batch = next(self._batches)
        moments.append(self._now())
        self._inside = dict.fromkeys(self._inside, 0.0)
        training_step(self.trial, [batch], self.trial.epoch, 0.0, after=lambda *_: moments.append(self._now()))
        data, forward, backward, optimizer = (end - start for start, end in itertools.pairwise(moments))
        rest = forward - sum(self._inside.values())
        for part, seconds in zip(PARTS, (data, *self._inside.values(), rest, backward, optimizer), strict=True):
            self.seconds[part].append(seconds)

    def medians(self, steps: int) -> dict[str, float]:
        """Return the medians of the last steps, in seconds, and that of the whole step."""
        totals = [sum(parts) for parts in zip(*self.seconds.values(), strict=True)]
        return {part: statistics.median(times[-steps:]) for part, times in (*self.seconds.items(), ("total", totals))}

    def _now(self) -> float:
        if self.trial.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def _enter(self) -> None:
        self._start = self._now()

    def _leave(self, part: str) -> None:
        self._inside[part] += self._now() - self._start


def compare_steps(args: argparse.Namespace, folder: Path) -> dict[str, dict[str, float]]:
    """Let the networks take turns with training steps; return the seconds of their parts, by name."""
    config = configuration(values_of(args, folder))
    dense_config, device = resolve(config.with_values(group_sparsity=False))
    trials = {"dense": Trial(dense_config, 0, device, folder)}
    trials |= {f"{100 * share:g} %": compact_trial(config, share, folder) for share in (0.0, *args.targets)}
    clocks = {name: StepClock(trial, config) for name, trial in trials.items()}
    for _ in range(2 + args.steps):
        for clock in clocks.values():
            clock.step()
    return {name: {**clock.medians(args.steps), "GMACs": trials[name].train_macs / 1e9} for name, clock in clocks.items()}


def main() -> int:
    """Measure, and print one column per run or network."""
    args = parse()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.one:
        setup_logging()
        print(json.dumps(train(configuration(args.overrides))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        figures = (compare_steps if args.step else compare_trainings)(args, Path(folder))
    print(
        f"{'one step' if args.step else f'{args.epochs} epochs'} of nyu_small, {args.size} x {args.size}, "
        f"{'NYU-v2' if os.environ.get('NYUD_MT_ROOT') else 'synthetic'} frames, torch {torch.__version__}, "
        f"{args.threads or torch.get_num_threads()} threads"
    )
    print(f"{'':34}" + "".join(f"{name:>20}" for name in figures))
    for quantity in figures["dense"]:
        print(f"{quantity:34}" + "".join(f"{values[quantity]:20.4g}" for values in figures.values()))
    key = "total" if args.step else "train_s"
    print(f"{'time, of the dense one':34}" + "".join(f"{each[key] / figures['dense'][key]:20.3f}" for each in figures.values()))
    if args.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    run_script(main)
