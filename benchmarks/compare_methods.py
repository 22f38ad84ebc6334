"""Train what people would use in place of group_l0, with the same trainer, data, epochs and multiply-adds.

    python benchmarks/compare_methods.py STUDY ROWS --method thin --macs 0.174 [--seed 0] [key=value ...]
    python benchmarks/compare_methods.py STUDY ROWS --method own_architecture --like FOLDER [--seed 0] [key=value ...]
    python benchmarks/compare_methods.py STUDY ROWS --table OURS

The first two train one network with the dense setting of all tasks of a study (its epochs, schedule and augmentation) to --macs
(GMACs of the whole model), or to those of the sparse trial in FOLDER, and add a row to a file of rows. The last one compares:
OURS is a file of rows of benchmarks/study_rows.py, of which those with the multiply-adds of the peers are taken. Methods:

- ``thin``: a network whose layers are all narrower by one factor, from random weights.
- ``own_architecture``: the channels that are left of the trial in FOLDER, from random weights.
- ``layer_safe_magnitude``: input channels, in the epochs of group_l0, but by their norm relative to their layer's mean.
- ``torch_pruning``: Torch-Pruning's group magnitude over all layers: dense for a third of the epochs, pruned at the ends of the
  last of them, trained on. No layer loses more than 98 % of its channels.
- ``torch_pruning_early``: the same, pruned in the epochs in which group_l0 selects by default.
- ``torch_pruning_group_norm``: as ``torch_pruning``, after its regularisation of group norms (DepGraph), with its defaults.

- ``torchao_pat``: torchao's pruning-aware training with latent weights, in the epochs of group_l0: the same share of the input
  channels of every layer, by their norm.

They prune the backbone; the heads follow where they read it. Torch-Pruning and torchao are in requirements-benchmarks.txt.
"""

from __future__ import annotations

import argparse
import importlib
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor, nn

from benchmarks.study_rows import (
    Row,
    add_row,
    current_commit,
    digest,
    judged_values,
    last_epochs,
    markdown,
    read_rows,
    told_difference,
)
from datasets import Loaders
from engine import checkpoint as files
from engine.device import resolve
from engine.evaluation import evaluate
from engine.monitor import Patience
from engine.optimizer import build_optimizer
from engine.saved_trial import load_trial
from engine.tracking import make_tracker
from engine.trainer import fit_one_epoch
from engine.trial import Trial
from models import MultiTaskModel, build_compact, build_model, compact, mask_dense, plan_removal
from models.compaction.removal import Removal
from models.compaction.report import count_macs, count_parameters
from optim.groups import as_columns, grouped_weights
from settings.config import ExperimentConfig
from study.plan import Study, load_study
from study.statistics import delta_mtl
from tasks.table import Task
from utils.cli import path_argument
from utils.console import run_script, setup_logging
from utils.errors import ConfigError

TOLERANCE = 0.02
"""Part of the multiply-adds by which a peer may miss those that are asked for."""
STEPS = 5
"""Epochs at whose ends a peer prunes."""
MOST_PRUNED = 0.98
"""Share of a layer's channels that Torch-Pruning may take: what ``keep_layers`` leaves by default."""
PRUNER_STEPS = 200
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
    if abs(macs - goal) > TOLERANCE * goal:
        raise ConfigError(
            f"--macs: {method} ended at {macs / 1e9:.4f} GMACs, and {goal / 1e9:.4f} are asked for, to {TOLERANCE:.0%}"
        )
    tested = evaluate(trial.model, loaders.evaluation("test"), trial.losses, config, device).flat()
    mains = [f"{task.name}_{task.main_metric}" for task in config.tasks.values()]
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
    removal = None
    if args.like is not None:
        other = load_trial(args.like)
        removal = plan_removal(other.model)
        goal = float(compact(other.model, image_size=other.config.size)[1].totals["model"]["macs_left"])
    elif args.macs is not None:
        goal = 1e9 * args.macs
    else:
        raise ConfigError("--macs: is missing; give the GMACs of the whole model, or --like FOLDER of a sparse trial")
    dense = dense_config(study)
    config = dense.with_values(seed=args.seed, num_trials=1, tracking="disabled")
    dense_macs = macs_of(build_model(dense), dense)
    if not 0 < goal < dense_macs:
        raise ConfigError(f"--macs: expected more than 0 and less than the dense network's {dense_macs / 1e9:.4g}")
    with tempfile.TemporaryDirectory() as folder:
        row = train(config, args.method, goal, removal, Path(folder))
    known = {"setting": args.method, "seed": args.seed, "digest": f"{args.method}_{goal / 1e9:.3g}_{digest(dense)}"}
    date = datetime.now(UTC).date().isoformat()
    add_row(args.rows, {**known, "commit": args.commit or current_commit(), "date": date, "precision": config.precision, **row})


def deltas_of(rows: Iterable[Row], baseline: Mapping[int, Row], tasks: Mapping[str, Task]) -> dict[int, float]:
    """Return delta_MTL against the dense run of the same seed, by seed."""
    by_seed = {int(row["seed"]): row for row in rows if int(row["seed"]) in baseline}
    return {
        seed: delta_mtl(judged_values(row, tasks, {}), judged_values(baseline[seed], tasks, {}), tasks)
        for seed, row in by_seed.items()
    }


def table(study: Study, rows: Sequence[Row], others: Sequence[Row]) -> str:
    """Write means per method, and the paired difference of ours from it, as a table in Markdown.

    Args:
        study: whose dense setting trained the peers.
        rows: of the peers.
        others: of the study's settings.
    """
    dense = dense_config(study)
    rows = [row for row in rows if row["digest"].endswith(f"_{digest(dense)}")]
    if not rows:
        raise ConfigError("--table: there is no row of a method that was trained as the dense setting of this study")
    goal = statistics.mean(float(row["compact_GMACs"]) for row in rows)
    near = [row for row in others if abs(float(row["compact_GMACs"]) - goal) <= 2 * TOLERANCE * goal]
    settings = [(setting.name, digest(setting.config)) for setting in study.settings if setting.sparse]
    own = {name: [row for row in near if row["digest"] == known] for name, known in settings}
    if not own:
        raise ConfigError(f"{study.name}: has no sparse setting")
    ours = max(own, key=lambda name: len(own[name]))
    methods = {ours: own[ours]} | {name: [row for row in rows if row["setting"] == name] for name in METHODS}
    baseline = {int(row["seed"]): row for row in others if row["digest"] == digest(dense)}
    deltas = {name: deltas_of(some, baseline, dense.tasks) for name, some in methods.items()}
    mains = [f"{task.name}_{task.main_metric}" for task in dense.tasks.values()]
    quantities = ("compact_GMACs", "training_TMACs", *mains)
    lines = []
    for name, some in methods.items():
        if some:
            means = [f"{statistics.mean(float(row[quantity]) for row in some):.4g}" for quantity in quantities]
            pairs = [deltas[ours][seed] - delta for seed, delta in deltas[name].items() if seed in deltas[ours]]
            told = "" if name == ours else told_difference(pairs)
            lines.append([name, str(len(some)), *means, told_difference(list(deltas[name].values())), told])
    return markdown(["method", "seeds", *quantities, "delta_MTL against dense", f"{ours} minus method"], lines)


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
    args = parser.parse_intermixed_args()
    setup_logging()
    study = load_study(args.study, args.overrides)
    if args.table is not None:
        print(table(study, read_rows(args.rows), read_rows(args.table)))
    elif args.method is None:
        raise ConfigError(f"--method: is missing; expected one of {', '.join(METHODS)}, or --table OURS")
    else:
        add(args, study)
    return 0


if __name__ == "__main__":
    run_script(main)
