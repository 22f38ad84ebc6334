"""Measure one trial in several processes, and what launching the runs of a study costs: processes here against tasks of Ray.

    python benchmarks/bench_scale.py [--jobs 2] [--runs 6] [--epochs 4] [--empty 300] [--json] [key.path=value ...]

Whole commands on synthetic rooms (config/demo.yaml, dense, one seed per run; key.path=value changes that), in turns: one
after another, local --jobs, and, where it is installed, Ray on the same cores. Start-up counts, so give a study of some minutes
to compare throughput. The overhead of a run is what its share of the command takes beyond training and validation: starting,
files, and the test. Before that, one dense trial is trained by 1 and by --ranks processes (torchrun) of one thread each: images
per second, as the median of its epochs but the first. Then --empty runs that do nothing are planned, launched and collected by
each launcher.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml

from benchmarks.measuring import parser, report, times_in_turn
from datasets.synthetic.rooms import write_rooms
from engine import checkpoint as files
from study import estimate
from study.estimate import Speed, epoch_seconds
from study.launch import Outcome
from study.launching import processes, ray_tasks
from study.plan import Run, load_study
from study.record import Command
from study.run import run_study

ROOT = Path(__file__).resolve().parents[1]
FRAMES, SIDE = {"train": 48, "val": 16, "test": 16}, 64


def write_study(folder: Path, name: str, trials: int) -> Path:
    """Write the file of a study of one dense setting."""
    axes = {"tasks": "all", "group_sparsity": False, "trials": trials}
    content = {"study": name, "base": str(ROOT / "config" / "demo.yaml"), "folder": str(folder / "studies"), "axes": axes}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def whole_command(folder: Path, name: str, options: Sequence[str], trials: int, overrides: Sequence[str]) -> None:
    """Run a study from its command to its end; the runs of an earlier round are deleted."""
    command = [sys.executable, ROOT / "main_multi_trials.py", "--config_exp", write_study(folder, name, trials), *overrides]
    subprocess.run([*map(str, command), "--overwrite", *options], check=True, capture_output=True, env=environment(name))


def environment(name: str) -> dict[str, str]:
    """Return the environment of a command: one process uses as many threads as several do together."""
    without = {variable: value for variable, value in os.environ.items() if variable != "RAY_ADDRESS"}
    return {**without, "OMP_NUM_THREADS": str(processes.cores())} if name == "here" else without


def trial_throughput(folder: Path, processes: int, overrides: Sequence[str]) -> float:
    """Train one trial in some processes of one thread each; return images per second."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    given = ["group_sparsity=false", f"checkpoint_folder={folder / 'runs'}", "Experiment_name=ranks", *overrides]
    script = [ROOT / "main_multi_trials.py", ROOT / "config" / "demo.yaml"]
    command = [sys.executable, *(torchrun if processes > 1 else []), *script]
    subprocess.run(
        [*map(str, command), *given, "--overwrite", "--out_dir", str(folder / "tables")],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    lines = files.read_lines(folder / "runs" / "ranks_trial_0" / files.METRICS)
    return statistics.median(line["images_per_second"] for line in lines[1:] or lines)


def nothing(run: Run) -> Outcome:
    """Write the files that make a run look finished."""
    run.folder.mkdir(parents=True, exist_ok=True)
    run.config.save(run.folder / files.CONFIG)
    files.save_json(run.folder / files.TEST, {"row": {}})
    return Outcome(run, "finished")


def empty_runs(folder: Path, name: str, launcher: Callable[..., Iterator[Outcome]], count: int, rooms: str) -> dict[str, float]:
    """Let a launcher do runs that do nothing; return seconds, and the growth of this process in MB."""
    study = load_study(write_study(folder, f"empty_{name}", count), [rooms])
    moments, sizes = [time.perf_counter()], []

    def watched(runs: Sequence[Run]) -> Iterator[Outcome]:
        for outcome in launcher(runs, study=study):
            moments.append(time.perf_counter())
            sizes.append(resident_bytes())
            yield outcome

    with contextlib.redirect_stdout(io.StringIO()):
        run_study(study, Command("bench_scale", folder / f"empty_{name}.yaml"), launcher=watched)
    return {
        "all": time.perf_counter() - moments[0],
        "start-up": moments[1] - moments[0],
        "per run": (moments[-1] - moments[1]) / max(1, count - 1),
        "growth (MB)": (sizes[-1] - sizes[0]) / 1e6,
    }


def resident_bytes() -> int:
    """Return the memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def figures_of(folder: Path, name: str, seconds: float, jobs: int) -> Mapping[str, float]:
    """Return the throughput of a study that has been run, and the overhead per run."""
    runs = [files.read_lines(path) for path in (folder / "studies" / name).glob(f"*/{files.METRICS}")]
    images = sum(line["images_per_second"] * line["train_seconds"] for lines in runs for line in lines)
    working = sum(sum(epoch_seconds(lines)) for lines in runs)
    return {"s": seconds, "images/s": images / seconds, "overhead per run (s)": (seconds * jobs - working) / len(runs)}


def main() -> None:
    """Measure, and print one line per figure."""
    options = parser(__doc__)
    options.add_argument("--jobs", type=int, default=2, help="processes at a time")
    options.add_argument("--runs", type=int, default=6)
    options.add_argument("--epochs", type=int, default=4)
    options.add_argument("--ranks", type=int, default=2, help="processes of one trial; 1: that is not measured")
    options.add_argument("--empty", type=int, default=300, help="runs that do nothing")
    options.add_argument("--rounds", type=int, default=3, help="times that each form does the study")
    options.add_argument("overrides", nargs="*", metavar="key.path=value", help="of the configuration")
    args = options.parse_intermixed_args()
    forms: dict[str, list[str]] = {"here": [], "local": ["--launch", "local", "--jobs", str(args.jobs)]}
    if importlib.util.find_spec("ray"):
        share = max(1, processes.cores() // args.jobs)
        forms["ray"] = ["--launch", "ray", "--ray_resources", f"num_cpus={share}"]
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_rooms(folder / "rooms", FRAMES, (SIDE, SIDE))
        rooms = f"data_dir_NYU={folder / 'rooms'}"
        overrides = [rooms, f"input_shape={SIDE}", f"epochs={args.epochs}", "wandb_img_log=false", *args.overrides]
        for processes_of_trial in dict.fromkeys((1, args.ranks)) if args.ranks > 1 else ():
            throughput = trial_throughput(folder, processes_of_trial, overrides)
            figures[f"one trial, {processes_of_trial} processes: images/s"] = throughput
        commands: dict[str, Any] = {
            name: partial(whole_command, folder, name, launch, args.runs, overrides) for name, launch in forms.items()
        }
        for name, times in times_in_turn(commands, "cpu", args.rounds).items():
            study = figures_of(folder, name, statistics.median(times), 1 if name == "here" else args.jobs)
            figures |= {f"{name}: {figure}": value for figure, value in study.items()}
        if "ray" in forms:
            figures["ray / local"] = figures["ray: s"] / figures["local: s"]
        estimate.time_steps = lambda *_: Speed(0.0, 0.0)  # what is measured is launching
        processes.attempt = ray_tasks.attempt = nothing
        launchers: dict[str, Callable[..., Iterator[Outcome]]] = {
            "local": partial(processes.in_processes, jobs=args.jobs),
            "ray": ray_tasks.in_ray,
        }
        for name in [name for name in forms if name in launchers]:
            empty = empty_runs(folder, name, launchers[name], args.empty, rooms)
            figures |= {f"{name}, {args.empty} empty runs: {figure}": value for figure, value in empty.items()}
    report(f"{args.runs} runs of {args.epochs} epochs, {args.jobs} at a time, {processes.cores()} cores", figures, args.json)


if __name__ == "__main__":
    main()
