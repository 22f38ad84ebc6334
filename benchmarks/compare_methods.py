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
import importlib
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor, nn

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
from engine.monitor import Patience
from engine.optimizer import build_optimizer
from engine.saved_trial import load_trial
from engine.tracking import make_tracker
from engine.trainer import fit_one_epoch
from engine.trial import Trial
from engine.trial_record import code_state
from models import MultiTaskModel, build_compact, build_model, compact, mask_dense, plan_removal
from models.compaction.removal import Removal
from models.compaction.report import count_macs, count_parameters
from optim.groups import as_columns, grouped_weights
from settings.config import ExperimentConfig, load_config
from study.plan import Study, load_study
from utils.cli import path_argument
from utils.console import run_script, setup_logging
from utils.errors import ConfigError, TrialError

TOLERANCE = 0.02
"""Part of the multiply-adds by which a peer may miss those that are asked for."""
STEPS = 5
"""Epochs at whose ends a peer prunes."""
MOST_PRUNED = 0.98
"""Share of a layer's channels that Torch-Pruning may take: what ``keep_layers`` leaves by default."""
PRUNER_STEPS = 500
"""Parts of all channels, one of which Torch-Pruning takes at a time until the multiply-adds are right."""


@dataclass
class Peer:
    """A trial under a method."""

    trial: Trial
    goal: float
    """Multiply-adds of the whole model, for one image."""
    removal: Removal | None
    """What is gone from the trial that the method copies."""
    steps: int
    """Of an epoch."""
    has_zeros: bool = False
    """True if channels are zero, and not gone, from the trial's own model."""

    @property
    def macs(self) -> float:
        """Multiply-adds of the network now."""
        trial = self.trial
        return float(trial.train_macs) if trial.shrunk is not None else macs_of(trial.model, trial.config)

    def take(self, network: MultiTaskModel) -> None:
        """Let ``network`` train on, with new moments at the learning rates of now."""
        trial = self.trial
        trial.model = network.to(trial.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        rates = [{key: group[key] for key in group if key in ("lr", "initial_lr")} for group in trial.optimizer.param_groups]
        trial.optimizer = trial.scheduler.optimizer = build_optimizer(trial.model, trial.weighting, trial.config)
        for group, rate in zip(trial.optimizer.param_groups, rates, strict=True):
            group.update(rate)
        # The best network is one that is pruned.
        trial.total_patience = Patience(trial.config.earlystop_patience)


Between = Callable[[Peer], None]
"""Called before each epoch."""


def macs_of(model: nn.Module, config: ExperimentConfig) -> float:
    """Return the multiply-adds of a model for one image of a configuration's size."""
    return float(count_macs(model, config.input_img_channels, config.size)[""])


def package(module: str, name: str) -> Any:
    """Import a module of an optional package.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ConfigError(f"--method: needs the package {name}: pip install -r requirements-benchmarks.txt") from None


def from_scratch(peer: Peer, removal: Removal) -> None:
    """Let what a removal leaves train, from new random weights."""
    network = build_compact(peer.trial.model, removal, for_training=True)
    for _, weight in grouped_weights(network.backbone):
        if weight.numel():
            nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
    for head in network.heads.values():
        for module in head.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()
    peer.take(network)


def own_architecture(peer: Peer) -> Between:
    """Train the channels that are left of another trial."""
    if peer.removal is None:
        raise ConfigError("--method own_architecture: needs the folder of a sparse trial; give --like FOLDER")
    from_scratch(peer, Removal.from_state(peer.removal.state_dict(), peer.trial.model))
    return lambda _: None


def thin(peer: Peer) -> Between:
    """Train a network whose layers are all narrower by the factor that makes the multiply-adds right."""
    config = peer.trial.config

    def narrow(share: float) -> Removal:
        model = build_model(config)
        convs = [*(conv for _, conv in grouped_weights(model.backbone)), *(conv.weight for _, conv in model.feature_readers())]
        with torch.no_grad():
            for weight in convs:
                if weight.shape[1] > config.input_img_channels:
                    weight[:, round(share * weight.shape[1]) :] = 0
        return plan_removal(model)

    low, high = 0.0, 1.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        model = build_compact(peer.trial.model, narrow(middle), for_training=True)
        low, high = (low, middle) if macs_of(model, config) > peer.goal else (middle, high)
    smallest = build_compact(peer.trial.model, narrow(low), for_training=True)
    check_macs(macs_of(smallest, config), peer.goal, "thin")
    from_scratch(peer, narrow(low))
    return lambda _: None


@dataclass
class Schedule:
    """Epochs at whose ends a peer prunes, and the multiply-adds that it leaves then."""

    dense: float
    goal: float
    epochs: list[int]
    """Numbers of epochs that are done."""
    power: int
    """1: equal steps; 3: as the ramp of group_l0."""

    @classmethod
    def late(cls, peer: Peer) -> Schedule:
        """The last steps of the first third of the epochs."""
        last = round(peer.trial.config.epochs / 3)
        return cls(peer.macs, peer.goal, list(range(last - STEPS + 1, last + 1)), power=1)

    @classmethod
    def early(cls, peer: Peer) -> Schedule:
        """The epochs in which group_l0 selects by default."""
        epochs = peer.trial.config.epochs
        return cls(peer.macs, peer.goal, list(range(round(epochs / 14) + 1, round(0.3 * epochs) + 1)), power=3)

    def wanted(self, epoch: int) -> float:
        """Return the multiply-adds that are to be left after an epoch."""
        done = (self.epochs.index(epoch) + 1) / len(self.epochs)
        return self.dense + (self.goal - self.dense) * (1 - (1 - done) ** self.power)


def layer_safe_magnitude(peer: Peer) -> Between:
    """Zero the input channels of smallest norm, relative to the mean of their layer's, for good; one of each layer stays."""
    trial, schedule = peer.trial, Schedule.early(peer)
    peer.has_zeros = True

    def remove(order: Tensor, sizes: list[int], count: int) -> Removal:
        dead = torch.zeros(sum(sizes), dtype=torch.bool).index_fill_(0, order[:count], True)
        for (_, weight), part in zip(grouped_weights(trial.model.backbone), dead.split(sizes), strict=True):
            weight.masked_fill_(part[None, :, None, None], 0.0)
        return plan_removal(trial.model)

    @torch.no_grad()
    def between(peer: Peer) -> None:
        if trial.epoch not in schedule.epochs:
            return
        trial.gather()
        weights = [weight for _, weight in grouped_weights(trial.model.backbone)]
        norms = [as_columns(weight).norm(dim=0) for weight in weights]
        scores = [norm / norm[norm > 0].mean() for norm in norms]
        for score in scores:
            score[score.argmax()] = torch.inf
        order, sizes = torch.cat(scores).argsort(), [len(score) for score in scores]
        kept = [weight.clone() for weight in weights]
        low, high = 0, len(order) - len(sizes)
        while low < high:
            middle = (low + high) // 2
            enough = trial.costs.of(remove(order, sizes, middle)) <= schedule.wanted(trial.epoch)
            for weight, before in zip(weights, kept, strict=True):
                weight.copy_(before)
            low, high = (low, middle) if enough else (middle + 1, high)
        removal = remove(order, sizes, low)
        trial.widen()
        mask_dense(trial.model, removal.maps(trial.model), trial.optimizer)
        trial.shrink(removal)
        trial.total_patience = Patience(trial.config.earlystop_patience)

    return between


def torch_pruning(peer: Peer, schedule: Schedule, regularised: bool = False) -> Between:
    """Prune by the magnitude of groups over all layers, and train on.

    Args:
        peer: its network is pruned in place.
        schedule: of the pruning.
        regularised: push the norms of groups down before.
    """
    pruning = package("torch_pruning", "torch-pruning")
    trial, config = peer.trial, peer.trial.config
    kind = pruning.pruner.GroupNormPruner if regularised else pruning.pruner.MagnitudePruner
    pruner = kind(
        trial.model,
        torch.zeros(1, config.input_img_channels, *config.size, device=trial.device),
        importance=pruning.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=1.0,
        max_pruning_ratio=MOST_PRUNED,
        iterative_steps=PRUNER_STEPS,
        ignored_layers=list(trial.model.heads.values()),
    )
    if regularised:

        def push(*_: object) -> None:
            if trial.epoch < schedule.epochs[0]:
                pruner.regularize(trial.model)

        trial.optimizer.register_step_pre_hook(push)

    def between(peer: Peer) -> None:
        if trial.epoch not in schedule.epochs:
            return
        trial.model.eval()
        while peer.macs > schedule.wanted(trial.epoch):
            if pruner.current_step == PRUNER_STEPS:
                raise ConfigError(f"--macs: Torch-Pruning leaves {peer.macs / 1e9:.4f} GMACs at least")
            pruner.step()
        if trial.epoch == schedule.epochs[-1]:
            check_macs(peer.macs, peer.goal, "Torch-Pruning")
        peer.take(trial.model)

    return between


def torchao_pat(peer: Peer) -> Between:
    """Train with torchao's pruning-aware training: an equal share of each layer's input channels, but for the colours."""
    groupers, optimizers = (package(f"torchao.prototype.pat.{part}", "torchao") for part in ("group", "optim"))

    class InputChannels(groupers.Dim0Grouper):  # type: ignore[misc,name-defined]  # no class without the package
        """Groups of input channels: its own for dimension 1 are single columns of a kernel."""

        def __enter__(self) -> InputChannels:
            self.p = self._param.movedim(1, 0).flatten(1)
            return self

        def __exit__(self, *_: object) -> None:
            channels, outputs, *kernel = self._param.movedim(1, 0).shape
            self._param.copy_(self.p.view(channels, outputs, *kernel).movedim(0, 1))
            self.p = self._param

    groupers.InputChannels = InputChannels  # where the optimizer looks its groupers up

    trial, ramp = peer.trial, Schedule.early(peer)
    first, last = ramp.epochs[0] - 1, ramp.epochs[-1]
    convs, others = (
        next(g for g in trial.optimizer.param_groups if g["name"] == name) for name in ("backbone_convs", "backbone_other")
    )
    others["params"].append(convs["params"].pop(0))
    convs |= {"prox_type": "MinSparsityConstraint", "group_type": "InputChannels", "min_sparsity_schedule": True}
    convs["min_sparsity"] = equal_share(peer)
    trial.optimizer = trial.scheduler.optimizer = optimizers.PruneOptimizer(
        trial.optimizer, first * peer.steps, last * peer.steps
    )
    peer.has_zeros = True

    def between(peer: Peer) -> None:
        if trial.epoch == last:
            trial.total_patience = Patience(trial.config.earlystop_patience)

    return between


def equal_share(peer: Peer) -> float:
    """Return the share of the input channels of each layer but the first whose removal leaves the multiply-adds of the goal."""
    config = peer.trial.config

    @torch.no_grad()
    def left(share: float) -> float:
        model, random = build_model(config), torch.Generator().manual_seed(0)
        for _, weight in list(grouped_weights(model.backbone))[1:]:
            weight[:, torch.randperm(weight.shape[1], generator=random)[: math.ceil(share * weight.shape[1])]] = 0
        return float(peer.trial.costs.of(plan_removal(model)))

    low, high = 0.0, 0.99
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if left(middle) <= peer.goal else (middle, high)
    return high


METHODS: dict[str, Callable[[Peer], Between]] = {
    "thin": thin,
    "own_architecture": own_architecture,
    "layer_safe_magnitude": layer_safe_magnitude,
    "torch_pruning": lambda peer: torch_pruning(peer, Schedule.late(peer)),
    "torch_pruning_early": lambda peer: torch_pruning(peer, Schedule.early(peer)),
    "torchao_pat": torchao_pat,
    "torch_pruning_group_norm": lambda peer: torch_pruning(peer, Schedule.late(peer), regularised=True),
}


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


def check_macs(macs: float, goal: float, method: str) -> None:
    """Refuse a network that has not the multiply-adds that are asked for."""
    if abs(macs - goal) > TOLERANCE * goal:
        asked = f"{goal / 1e9:.4g} are asked for, to {TOLERANCE:.0%}"
        raise ConfigError(f"--macs: {method} makes a network of {macs / 1e9:.4g} GMACs; {asked}")


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
        copied = [digest(load_config(folder / files.CONFIG), study.settings)]
    else:
        goal, dense_macs = 1e9 * args.macs, macs_of(build_model(dense), dense)
        if not 0 < goal < dense_macs:
            raise ConfigError(f"--macs: expected more than 0 and less than the dense network's {dense_macs / 1e9:.4g}")
    config = dense.with_values(seed=args.seed, num_trials=1, tracking="disabled")
    with tempfile.TemporaryDirectory() as scratch:
        row = train(config, args.method, goal, removal, Path(scratch))
    name = "_".join([args.method, f"{goal / 1e9:.3g}", *copied, digest(dense, study.settings)])
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
    rows = [row for row in rows if row["digest"].endswith(f"_{digest(dense, study.settings)}")]
    if not rows:
        raise ConfigError("--table: there is no row of a method that was trained as the dense setting of this study")
    gmacs = [float(row["compact_GMACs"]) for row in rows]
    goal = statistics.mean(gmacs) if macs is None else macs
    if macs is None and not all(is_near(each, goal) for each in gmacs):
        raise ConfigError(f"--macs: is missing; the rows of methods have from {min(gmacs):.3g} to {max(gmacs):.3g} GMACs")
    rows, others_near = ([row for row in some if is_near(float(row["compact_GMACs"]), goal)] for some in (rows, others))
    sparse = {setting.name: digest(setting.config, study.settings) for setting in study.settings if setting.sparse}
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
    baseline = by_seed(others, digest(dense, study.settings))
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
