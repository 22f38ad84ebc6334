"""Train what people would use in place of group_l0, with the same trainer, data, epochs and multiply-adds.

    python benchmarks/compare_methods.py STUDY ROWS --method thin --macs 0.174 [--seed 0] [key=value ...]
    python benchmarks/compare_methods.py STUDY ROWS --method own_architecture --like FOLDER [--seed 0] [key=value ...]
    python benchmarks/compare_methods.py STUDY ROWS --table OURS [--ours SETTING] [--macs 0.174]

The first two train one network with the dense setting of all tasks of a study (its epochs, schedule and augmentation) to --macs
(GMACs of the whole model), or to those of the sparse trial in FOLDER, and add a row to a file of rows. The last one compares:
OURS is a file of rows of benchmarks/study_rows.py, and SETTING one of the study's with the multiply-adds of the peers; --macs
picks the peers where the rows are of several budgets. Methods:

- ``thin``: a network whose layers are all narrower by one factor, from random weights.
- ``own_architecture``: the channels that are left of the trial in FOLDER, from random weights.
- ``layer_safe_magnitude``: input channels, in the epochs of group_l0, but by their norm relative to their layer's mean.
- ``torch_pruning``: Torch-Pruning's group magnitude over all layers: dense for a third of the epochs, pruned at the ends of the
  last of them, trained on. No layer loses more than 98 % of its channels.
- ``torch_pruning_early``: the same, pruned in the epochs in which group_l0 selects by default.
- ``torch_pruning_group_norm``: as ``torch_pruning``, after its regularisation of group norms (DepGraph), with its defaults.
- ``torchao_pat``: torchao's pruning-aware training with latent weights, in the epochs of group_l0: the same share of the input
  channels of every layer, by their norm.

They prune the backbone, and the heads' first convolutions where features are gone: layer_safe_magnitude and torchao_pat leave
the heads nearly dense. Torch-Pruning and torchao are in requirements-benchmarks.txt.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.methods import METHODS, TOLERANCE, Peer, check_macs, macs_of
from benchmarks.rows import (
    Row,
    add_row,
    by_seed,
    changes,
    check_rows,
    main_metrics,
    markdown,
    mean,
    read_rows,
    short_commit,
    told,
)
from benchmarks.study_rows import digest, last_epochs, test_of
from datasets import Loaders
from engine import checkpoint as files
from engine.checkpoint import find_trial
from engine.device import resolve
from engine.evaluation import evaluate
from engine.saved_trial import load_trial
from engine.tracking import make_tracker
from engine.trainer import fit_one_epoch
from engine.trial import Trial
from engine.trial_record import code_state
from models import build_model, compact, plan_removal
from models.compaction.removal import Removal
from models.compaction.report import count_parameters
from settings.config import ExperimentConfig, load_config
from study.plan import Study, load_study
from utils.cli import path_argument
from utils.console import run_script, setup_logging
from utils.errors import ConfigError, TrialError


def train(config: ExperimentConfig, method: str, goal: float, removal: Removal | None, folder: Path) -> Row:
    """Train one peer, test its best network, and return its figures."""
    config, device = resolve(config)
    trial, loaders = Trial(config, 0, device, folder), Loaders(config, device.type == "cuda")
    training, validation = loaders.training(trial.seed), loaders.evaluation("val")
    peer = Peer(trial, goal, removal, len(training) // config.accumulate)
    between = METHODS[method](peer)
    tracker = make_tracker(config, method, folder, None)
    spent, start = 0.0, time.perf_counter()
    while trial.epoch < config.epochs:
        between(peer)
        line, improved = fit_one_epoch(trial, training, validation, tracker)
        images = line["images_per_second"] * line["train_seconds"]
        spent += 3 * images * peer.macs
        print(
            f"epoch {trial.epoch}: val {line['val/loss/total']:.4f}{' *' if improved else ''}, {peer.macs / 1e9:.4f} GMACs",
            flush=True,
        )
    lines, state = files.read_lines(folder / files.METRICS), files.load_tensors(folder / files.BEST)
    trial.model.load_state_dict(state["model"])
    left = compact(trial.model, image_size=config.size)[0] if peer.has_zeros else trial.model
    macs = macs_of(left, config)
    check_macs(macs, goal, method)
    tested = evaluate(trial.model, loaders.evaluation("test"), trial.losses, config, device).flat()
    mains = main_metrics(config.tasks)
    return {
        "best_epoch": state["epochs"],
        "dense_GMACs": macs_of(build_model(config), config) / 1e9,
        "compact_GMACs": macs / 1e9,
        "compact_Mparameters": count_parameters(left) / 1e6,
        "training_minutes": (time.perf_counter() - start) / 60,
        "training_TMACs": spent / 1e12,
        "val_loss": lines[state["epochs"] - 1]["val/loss/total"],
        **{name: tested[name] for name in mains},
        **last_epochs(lines, mains),
    }


def dense_config(study: Study) -> ExperimentConfig:
    """Return the configuration of the dense setting of most tasks."""
    dense = [setting.config for setting in study.settings if not setting.sparse]
    if not dense:
        raise ConfigError(f"{study.name}: has no dense setting")
    return max(dense, key=lambda config: len(config.task_list))


def add(args: argparse.Namespace, study: Study) -> None:
    """Train one peer and add its row."""
    commit = args.commit or short_commit(code_state())
    if not commit:
        raise ConfigError("--commit: is missing, and git does not tell the commit of this code; give it")
    check_rows(args.rows)
    if (args.like is None) == (args.macs is None):
        raise ConfigError("--macs: expected either the GMACs of the whole model, or --like FOLDER of a sparse trial")
    dense, removal, copied = dense_config(study), None, []
    if args.like is not None:
        folder = find_trial("--like", args.like)
        removal, goal = like(folder, dense)
        copied = [digest(load_config(folder / files.CONFIG), study)]
    else:
        goal, dense_macs = 1e9 * args.macs, macs_of(build_model(dense), dense)
        if not 0 < goal < dense_macs:
            raise ConfigError(f"--macs: expected more than 0 and less than the dense network's {dense_macs / 1e9:.4g}")
    config = dense.with_values(seed=args.seed, num_trials=1, tracking="disabled")
    with tempfile.TemporaryDirectory() as scratch:
        row = train(config, args.method, goal, removal, Path(scratch))
    name = "_".join([args.method, f"{goal / 1e9:.3g}", *copied, digest(dense, study)])
    known = {"setting": args.method, "seed": args.seed, "digest": name}
    date = datetime.now(UTC).date().isoformat()
    add_row(args.rows, {**known, "commit": commit, "date": date, "precision": config.precision, **row})


def like(folder: Path, dense: ExperimentConfig) -> tuple[Removal, float]:
    """Return what is gone from a finished sparse trial, and the multiply-adds of what is left.

    Raises:
        TrialError: it is none, or its network is another one than that of the dense setting.
    """
    trial = load_trial(folder)
    test_of(folder)
    if not trial.config.group_sparsity:
        raise TrialError(f"--like {folder}: is dense; expected a trial with group_sparsity: true")
    shapes = [
        {name: tuple(weight.shape) for name, weight in net.named_parameters()} for net in (build_model(dense), trial.model)
    ]
    if shapes[0] != shapes[1] or trial.config.size != dense.size:
        raise TrialError(
            f"--like {folder}: has another network or input size than {dense.Experiment_name}; expected one of the study"
        )
    left = compact(trial.model, image_size=dense.size)[1].totals["model"]["macs_left"]
    return plan_removal(trial.model), float(left)


def table(study: Study, rows: Sequence[Row], others: Sequence[Row], ours: str | None = None, macs: float | None = None) -> str:
    """Write means per method, and the paired difference of ours from it, as a table in Markdown.

    Args:
        study: whose dense setting trained the peers.
        rows: of the peers.
        others: of the study's settings.
        ours: the setting to compare with; None: the only one with the multiply-adds of the peers.
        macs: GMACs of the peers; None: those of all rows are about the same.

    Raises:
        ConfigError: there is nothing to compare, or it is not clear what.
    """
    dense = dense_config(study)
    rows = [row for row in rows if row["digest"].endswith(f"_{digest(dense, study)}")]
    if not rows:
        raise ConfigError("--table: there is no row of a method that was trained as the dense setting of this study")
    gmacs = [float(row["compact_GMACs"]) for row in rows]
    goal = statistics.mean(gmacs) if macs is None else macs
    if macs is None and not all(is_near(each, goal) for each in gmacs):
        raise ConfigError(f"--macs: is missing; the rows of methods have from {min(gmacs):.3g} to {max(gmacs):.3g} GMACs")
    rows, others_near = ([row for row in some if is_near(float(row["compact_GMACs"]), goal)] for some in (rows, others))
    sparse = {setting.name: digest(setting.config, study) for setting in study.settings if setting.sparse}
    own = {name: by_seed(others_near, known) for name, known in sparse.items()}
    known = [name for name, some in own.items() if some]
    if ours is None and len(known) == 1:
        ours = known[0]
    if ours not in known:
        fact = f"{ours} has no row with {goal:.3g} GMACs" if ours else "is missing"
        raise ConfigError(f"--ours: {fact}; settings that have one: {', '.join(known) or 'none'}")
    methods = {ours: own[ours]}
    for name in METHODS:
        kinds = sorted({row["digest"] for row in rows if row["setting"] == name})
        methods |= {kind if len(kinds) > 1 else name: by_seed(rows, kind) for kind in kinds}
    baseline = by_seed(others, digest(dense, study))
    deltas = {name: [changes(some, baseline, dense.tasks, split) for split in ("", "val_")] for name, some in methods.items()}
    quantities = ("compact_GMACs", "training_TMACs", *main_metrics(dense.tasks))
    lines = []
    for name, some in methods.items():
        pairs = [
            [mine[seed] - delta for seed, delta in theirs.items() if seed in mine]
            for mine, theirs in zip(deltas[ours], deltas[name], strict=True)
        ]
        means = [f"{mean(some.values(), quantity):.4g}" for quantity in quantities]
        differences = ["", ""] if name == ours else map(told, pairs)
        lines.append([name, str(len(some)), *means, told(list(deltas[name][0].values())), *differences])
    header = ["method", "seeds", *quantities, "delta_MTL against dense, test", f"{ours} minus method, test", "validation"]
    return markdown(header, lines)


def is_near(gmacs: float, goal: float) -> bool:
    """Return True if two costs are the same up to what methods may miss."""
    return abs(gmacs - goal) <= 2 * TOLERANCE * goal


def main() -> int:
    """Train one peer, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=path_argument)
    parser.add_argument("rows", type=path_argument)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--method", choices=METHODS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--macs", type=float, metavar="GMACS", help="of the whole model, for one image")
    parser.add_argument("--like", type=path_argument, metavar="FOLDER", help="of a sparse trial")
    parser.add_argument("--commit", type=str.strip, help="of this code (default: what git says)")
    parser.add_argument("--table", type=path_argument, metavar="OURS", help="rows of group_l0 to compare with")
    parser.add_argument("--ours", metavar="SETTING", help="of OURS (default: the only one with the multiply-adds of the peers)")
    args = parser.parse_intermixed_args()
    setup_logging()
    study = load_study(args.study, args.overrides)
    if args.table is not None:
        print(table(study, read_rows(args.rows, True), read_rows(args.table, True), args.ours, args.macs))
    elif args.method is None:
        raise ConfigError(f"--method: is missing; expected one of {', '.join(METHODS)}, or --table OURS")
    else:
        add(args, study)
    return 0


if __name__ == "__main__":
    run_script(main)
