"""Train all trials of an experiment, test them, and write the result tables; or do all runs of a study.

python main_multi_trials.py --config_exp config/exp_single_mtl_NYU.yaml [key.path=value ...]
python main_multi_trials.py --config_exp config/study_nyu.yaml [--plan] [--launch local --jobs 2]
torchrun --nproc-per-node 2 main_multi_trials.py --config_exp config/exp_single_mtl_NYU.yaml    (one trial on several GPUs)

The file may also be the first argument, without --config_exp.
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from utils.cli import continuing, key_value, path_argument, positive, typed_command
from utils.console import run_script, setup_logging
from utils.paths import expanded

if TYPE_CHECKING:
    from study.launch import Launcher
    from study.plan import Study

log = logging.getLogger(__name__)


PROCESSES = int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1
"""Processes that torchrun started."""


def main() -> int:
    """Parse the command line and run the experiment, or the study; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config_exp", type=path_argument, help="YAML file of the experiment or the study (config/)")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="replaces a value of the file")
    again = parser.add_mutually_exclusive_group()
    resume = "continue an interrupted experiment, which has to be there; finished trials stay (a study always does so)"
    again.add_argument("--resume", action="store_true", help=resume)
    again.add_argument("--overwrite", action="store_true", help="delete the trials that are there and start again")
    parser.add_argument("--out_dir", type=path_argument, help="folder of an experiment's tables (default: out_csv)")
    parser.add_argument(
        "--plan", action="store_true", help="of a study: show what is to be run and how long it takes, and stop"
    )
    _add_launching(parser)
    with _said_once():
        args, unknown = parser.parse_known_intermixed_args()
        if unknown:
            _refuse_option(parser, unknown)
        if args.config_exp is None:
            if not args.overrides or ("=" in args.overrides[0] and not args.overrides[0].endswith((".yaml", ".yml"))):
                parser.error("name the YAML file: --config_exp FILE, or FILE as first argument")
            args.config_exp = expanded(args.overrides.pop(0))
    if PROCESSES == 1:
        return _do(args)

    from engine.following import run_in_ranks

    return run_in_ranks(lambda: _do(args), _guarded)


@contextmanager
def _said_once() -> Iterator[None]:
    """Let one of several processes say what is wrong with the command line that they share."""
    if PROCESSES == 1 or os.environ["RANK"] == "0":
        yield
        return
    from utils.errors import UserError

    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere), redirect_stdout(nowhere):
        try:
            yield
        except UserError:
            sys.exit(2)


def _do(args: argparse.Namespace) -> int:
    """Run the experiment, or the study; returns the exit code."""
    from study.study_file import is_study

    return _study(args) if is_study(args.config_exp) else _experiment(args)


def _add_launching(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the runs of a study are done."""
    group = parser.add_argument_group("where the runs of a study are done (docs/scale.md)")
    forms = "one after another in this process (default), in processes of this machine, as a SLURM array, or as tasks of Ray"
    group.add_argument("--launch", choices=("here", "local", "slurm", "ray"), default="here", help=forms)
    group.add_argument(
        "--jobs", type=positive, help="local, slurm: runs at a time (local: one per GPU, or one; slurm: no limit)"
    )
    group.add_argument(
        "--slurm", nargs="+", type=key_value, metavar="key[=value]", help="sbatch's options, such as time=12:00:00 exclusive"
    )
    group.add_argument("--submit", action="store_true", help="slurm: give the script to sbatch")
    resources = (
        "ray: what a run takes, such as num_cpus=2 num_gpus=1, or a JSON object (default: a core, and a GPU if there is one)"
    )
    group.add_argument("--ray_resources", nargs="+", metavar="key=value", help=resources)
    group.add_argument("--run", metavar="NAME", help="do one run alone, such as seg_dense_trial_0, and show no plan")


def _refuse_option(parser: argparse.ArgumentParser, unknown: Sequence[str]) -> NoReturn:
    """Refuse options that are none; one that is a key of the configuration is told how it is written."""
    from settings.config import ExperimentConfig
    from settings.nature import natures
    from utils.errors import UserError

    keys = {key for path in natures(ExperimentConfig) for key in (path, path.partition(".")[0])}
    for option in unknown:
        given, _, value = option.partition("=")
        name = given.removeprefix("--").replace("-", "_")
        if given.startswith("--") and name in keys:
            following = sys.argv[sys.argv.index(option) + 1 :][:1]
            value = value or next((text for text in following if not text.startswith("--")), "<value>")
            raise UserError(f"{given}: is a key of the configuration; write {name}={value}")
    parser.error(f"unrecognized arguments: {' '.join(unknown)}")


def _study(args: argparse.Namespace) -> int:
    """Do the runs of a study; 1 if one failed."""
    from study.plan import load_study
    from utils.errors import UserError

    if PROCESSES > 1:
        raise UserError(
            f"{args.config_exp} is a study, and torchrun is for one experiment: give the study to python, with --launch, or "
            "one of its settings to torchrun as a file of its own"
        )
    if args.out_dir is not None:
        raise UserError("--out_dir: a study writes no tables while it runs; make_report.py does, and has --out_dir")
    for option, forms in (("jobs", "local slurm"), ("slurm", "slurm"), ("submit", "slurm"), ("ray_resources", "ray")):
        if getattr(args, option) and args.launch not in forms.split():
            raise UserError(f"--{option}: needs --launch {forms.replace(' ', ' or ')}")
    if args.run is not None and (args.plan or args.resume or args.overwrite or args.launch != "here"):
        raise UserError("--run: does one run in this process, and begins or continues it; give no other option")
    study = load_study(args.config_exp, args.overrides)
    setup_logging()

    from study.record import Command
    from study.run import run_alone, run_study

    command = Command(typed_command(), args.config_exp)
    if args.run is not None:  # an empty name, such as that of a variable which is not set, is no name
        return 0 if run_alone(study, command, args.run).status == "finished" else 1
    launcher = _launcher(args, study)
    outcomes = run_study(study, command, plan_only=args.plan, resume=args.resume, overwrite=args.overwrite, launcher=launcher)
    return 1 if any(outcome.status == "failed" for outcome in outcomes) else 0


def _launcher(args: argparse.Namespace, study: Study) -> Launcher:
    """Return what does the runs."""
    if args.launch == "local":
        from study.launching.processes import in_processes

        return partial(in_processes, study=study, jobs=args.jobs)
    if args.launch == "slurm":
        from study.launching.slurm_array import as_array, check_options

        check_options(args.slurm or [])
        script = shlex.join(["--config_exp", str(args.config_exp), *args.overrides])
        return partial(as_array, study=study, arguments=script, options=args.slurm or [], jobs=args.jobs, submit=args.submit)
    if args.launch == "ray":
        from study.launching.ray_tasks import in_ray, load_ray, parse_resources

        load_ray()
        return partial(in_ray, study=study, resources=parse_resources(args.ray_resources or []))
    from study.launch import one_after_another

    return one_after_another


def _experiment(args: argparse.Namespace) -> int:
    """Run an experiment; 1 if a trial diverged, or the device has too little memory."""
    from settings.config import load_config
    from utils.errors import UserError

    if args.plan:
        raise UserError(f"--plan: {args.config_exp} is an experiment; only a study has a plan")
    for option in ("jobs", "slurm", "submit", "ray_resources", "run"):
        if getattr(args, option) not in (None, False):
            raise UserError(f"--{option}: {args.config_exp} is an experiment; only a study is launched")
    if args.launch != "here":
        raise UserError(f"--launch: {args.config_exp} is an experiment; only a study is launched")

    config = load_config(args.config_exp, args.overrides)
    setup_logging()

    from engine import run_experiment
    from engine.experiment import expand_lambdas
    from engine.resuming import existing_trials

    typed = [override.partition("=")[0] for override in args.overrides]
    out_dir = args.out_dir or Path("out_csv")
    options = {"resume": args.resume, "overwrite": args.overwrite, "out_dir": out_dir, "typed": typed}
    try:
        return _guarded(lambda: run_experiment(config, **options))
    except KeyboardInterrupt:
        if any(map(existing_trials, expand_lambdas(config))):
            log.warning("go on with: %s", continuing(typed_command(), "--resume"))
        raise


def _guarded(train: Callable[[], object]) -> int:
    """Train; return 0, or 1 after a sentence about what went wrong."""
    from torch import OutOfMemoryError

    from engine import TrainingDivergedError

    try:
        train()
    except TrainingDivergedError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except OutOfMemoryError as error:
        sys.stderr.write(
            f"error: the device has too little memory; lower train_batch_size (and raise accumulate) or input_shape ({error})\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    run_script(main)
