"""Time the loader: frames per second from the files and from the cache, and what share of a training step waits for data.

    python benchmarks/bench_loader.py [--data_dir NYUD_MT] [--json]

The frames are those of --data_dir, or of the folder that the environment variable NYUD_MT_ROOT names (NYUD_MT layout), else
synthetic ones of 425 x 560 pixels. The cache is filled in a temporary folder, and its files are in the system's memory when
they are timed, as they are from the second epoch on. Files and cache take turns; medians over --repeats passes.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import measuring
from utils.cli import path_argument

ROOT = Path(__file__).resolve().parents[1]
TASKS = ["segmentsemantic", "depth_euclidean", "surface_normal"]
AUGMENTATION = {"hflip": True, "scale_crop": [1.0, 1.2, 1.5]}


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--data_dir", type=path_argument, default=os.environ.get("NYUD_MT_ROOT"), help="default: $NYUD_MT_ROOT")
    parser.add_argument("--size", type=int, default=256, help="side of the input in pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2, help="processes that read files, threads that read the cache")
    parser.add_argument("--frames", type=int, default=320, help="frames in a pass")
    parser.add_argument("--repeats", type=int, default=5, help="passes of each kind")
    parser.add_argument("--steps", type=int, default=40, help="training steps of config/nyu_small.yaml (0: none)")
    return parser.parse_args()


def main() -> None:
    """Fill a cache, time passes over the frames and some training steps, print the medians."""
    args = parse()
    from datasets import train_loader
    from datasets.cores import cores
    from datasets.synthetic.rooms import write_rooms
    from engine.device import resolve
    from settings.config import ExperimentConfig, load_config

    with tempfile.TemporaryDirectory() as folder:
        root = args.data_dir
        if not root:
            root = Path(folder) / "rooms"
            root.mkdir()
            write_rooms(root, {"train": 160, "val": 8, "test": 8}, (425, 560))
        cache = str(Path(folder) / "cache")
        small = load_config(ROOT / "config" / "nyu_small.yaml", [f"data_dir_NYU={root}", f"cache={cache}"])

        def configured(cached: bool, workers: int, augmented: bool) -> ExperimentConfig:
            return small.with_values(
                input_shape=args.size,
                train_batch_size=args.batch,
                num_workers=workers,
                cache=cache if cached else False,
                augmentation=AUGMENTATION if augmented else {},
            )

        kinds = {
            "files": configured(False, args.workers, False),
            "cache": configured(True, args.workers, False),
            "cache_no_workers": configured(True, 0, False),
            "files_augmented": configured(False, args.workers, True),
            "cache_augmented": configured(True, args.workers, True),
        }
        resolve(small)  # keeps freed memory in the process, as a training does
        loaders: dict[str, Any] = {kind: train_loader(config, 0) for kind, config in kinds.items()}
        batches = min(args.frames // args.batch, len(loaders["cache"]))
        times: dict[str, list[float]] = {kind: [] for kind in loaders}
        for _ in range(args.repeats + 1):
            for kind, loader in loaders.items():
                times[kind].append(one_pass(loader, batches))
        # The first pass of each kind starts its processes, and brings the files into memory.
        rates = {kind: batches * args.batch / statistics.median(values[1:]) for kind, values in times.items()}
        del loaders
        figures = {f"{kind}_frames_per_second": rate for kind, rate in rates.items()}
        figures["cache_against_files"] = rates["cache"] / rates["files"]
        if args.steps:
            figures |= waiting(small, args.steps, Path(folder))
    title = (
        f"{args.size} x {args.size}, 3 tasks, batch {args.batch}, {args.workers} workers of {cores()} cores, "
        f"{measuring.machine()}, {'NYU-v2' if args.data_dir else 'synthetic'} frames, {batches * args.batch} frames a pass, "
        f"median of {args.repeats}"
    )
    measuring.report(title, figures, args.json)


def one_pass(loader: Iterable[dict[str, Any]], batches: int) -> float:
    """Time some batches of an epoch; wait for what a loader makes ahead of time, so that it disturbs no other."""
    start = time.perf_counter()
    for number, batch in enumerate(loader, 1):
        assert len(batch["name"]) == batch["image"].shape[0]
        if number == batches:
            seconds = time.perf_counter() - start
    return seconds


def waiting(config: Any, steps: int, folder: Path) -> dict[str, float]:
    """Measure training steps in the trainer's own loop: seconds per step, and the share spent waiting."""
    from datasets import train_loader
    from engine.device import resolve
    from engine.trainer import train_one_epoch
    from engine.trial import Trial

    config, device = resolve(config)
    trial = Trial(config, 0, device, folder)
    loader: Any = train_loader(config, 0)
    loader.batch_sampler = list(loader.batch_sampler)[:steps]
    train_one_epoch(trial, loader)
    sums = train_one_epoch(trial, loader)
    return {"step_seconds": sums.seconds / steps, "waiting_percent": 100 * sums.data_seconds / sums.seconds}


if __name__ == "__main__":
    main()
