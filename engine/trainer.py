"""Training of one trial: ``fit`` is the loop, ``train_one_epoch`` what happens in an epoch."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from datasets import Loader, Loaders, worker_deaths
from datasets.sample import Sample, labelled_tasks
from engine import checkpoint as files
from engine.distributed import ranks
from engine.epoch_table import EpochClock, EpochTable
from engine.evaluation import Evaluation, autocast, evaluate, to_device, warn_of_unlabelled, warn_once
from engine.optimizer import build_penalty
from engine.pictures import draw_predictions
from engine.shrinking import remove_dead
from engine.sparsity_numbers import dead_layers, joint_group_sparsity, sparsity_numbers, warn_of_dead_layers
from engine.tracking import Tracker
from engine.trial import Trial
from engine.weighting import LossWeighting
from figures.saving import save_figure
from optim import SparsityReport, group_squares, live_mask, live_rms, sparsity_report, strength_of
from optim.groups import grouped_weights
from optim.selection import BUDGET_TOLERANCE
from tasks.objectives import imitation
from utils.console import listed, track
from utils.numbers import fitted

log = logging.getLogger(__name__)

POINTS_PER_EPOCH = 10
"""Times that the sparsity is counted within an epoch."""

SLOW_DATA = 0.1
"""Share of the training time spent waiting for frames from which on it is worth a word."""

SMOOTHED = 10
"""Batches over which the loss that is shown is smoothed: an exponential mean gives the newest one the weight 1 / 10."""

MOSTLY_UNLABELLED = 0.5
"""Share of the batches without a valid target of a task from which on it is worth a word."""


LEAST_SCALE = 2.0**-16
"""Scale of the losses below which fp16 gradients that are still not finite are no matter of scale."""


class TrainingDivergedError(RuntimeError):
    """A loss or its gradients became NaN or infinite; the message names the step and the last good checkpoint."""


@dataclass
class EpochSums:
    """Sums over an epoch of training."""

    losses: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    """Batches in which there was such a loss."""
    totals: dict[int, tuple[float, int]] = field(default_factory=dict)
    """What was minimised, and in how many batches, per number of tasks that had a loss in a batch."""
    batches: int = 0
    skipped_steps: int = 0
    """Steps that were not taken, as fp16 gradients were not finite."""
    images: int = 0
    seconds: float = 0.0
    data_seconds: float = 0.0
    """Spent waiting for frames."""
    groups_died: int = 0
    groups_revived: int = 0
    points: list[dict[str, Any]] = field(default_factory=list)
    """Lambda and sparsity at some steps: lines of ``steps.jsonl``."""
    curves: list[dict[str, Any]] = field(default_factory=list)
    """The losses of these steps, and with a penalty the same lambda and sparsity: what the tracker gets."""
    smoothed: float | None = None
    """What is minimised, as a mean over the last batches; None before there was any loss."""

    def add(self, losses: dict[str, float], images: int) -> None:
        """One batch's losses: of the tasks that had a valid target, and what was minimised, if anything was."""
        tasks = [name for name in losses if name != "total"]
        for name in tasks:
            self.losses[name] = self.losses.get(name, 0.0) + losses[name]
            self.counts[name] = self.counts.get(name, 0) + 1
        if tasks:
            total, count = self.totals.get(len(tasks), (0.0, 0))
            self.totals[len(tasks)] = total + losses["total"], count + 1
            before = losses["total"] if self.smoothed is None else self.smoothed
            self.smoothed = before + (losses["total"] - before) / SMOOTHED
        self.batches += 1
        self.images += images

    def means(self) -> dict[str, float]:
        """Mean loss per task over the batches that had one, and in total over those that had one of every such task, if any."""
        means = {name: total / self.counts[name] for name, total in self.losses.items()}
        if len(means) in self.totals:
            total, count = self.totals[len(means)]
            means["total"] = total / count
        return means


class ForwardPass(NamedTuple):
    """Losses of a batch per task, what is minimised, and the shared features that they come from; None without any loss."""

    losses: dict[str, torch.Tensor]
    total: torch.Tensor | None = None
    features: torch.Tensor | None = None


def forward_losses(trial: Trial, batch: Sample, tasks: Sequence[str] | None = None) -> ForwardPass:
    """Calculate the losses of the tasks that still learn and have a valid target in the batch.

    The others' heads do not run. So they and their loss weights have no gradient, and the optimizer leaves them and their
    moments as they are: nothing about a task is learned from a batch that says nothing about it.

    Args:
        trial: its model and losses are used.
        batch: as the loader gives it: what it says is looked up in main memory, where nobody waits for a device.
        tasks: those of which the batch has a valid target, in the part of any rank; None: they are looked up.
    """
    tasks = labelled_tasks(batch, trial.active_tasks) if tasks is None else tasks
    if not tasks:
        return ForwardPass({})
    batch = to_device(batch, trial.device, trial.config)
    with autocast(trial.device, trial.config):
        features = trial.network.features(batch["image"])
        logits = trial.network.logits(features, batch["image"].shape[-2:], tasks)
        with torch.no_grad():
            taught = {} if trial.teacher is None else trial.teacher(batch["image"], tasks)
    losses = {}
    for task, out in logits.items():
        loss = trial.losses[task]
        losses[task] = loss.value(ranks().total(loss.statistics(out, batch["targets"][task], batch["masks"][task])))
        if task in taught:
            distance = imitation(trial.tasks[task], out, taught[task], trial.config.depth_target)
            losses[task] = losses[task] + trial.config.distill.weight * ranks().mean(distance, len(batch["name"]))
    return ForwardPass(losses, trial.weighting(losses), features)


def part_of_step(passed: ForwardPass, counts: Mapping[str, int], weighting: LossWeighting) -> ForwardPass:
    """Return the losses of one batch as their part in those of a step of several batches.

    A task's loss in a step is the mean over the batches that have a valid target of it. What the weighting adds of its own (the
    log-variances of ``uncertainty``) is in the sum over the batches once.

    Args:
        passed: of the batch, with at least one loss.
        counts: per task the batches of the step that have a valid target of it.
        weighting: of the losses.
    """
    numbers = sorted({counts[task] for task in passed.losses})
    if numbers == [1]:
        return passed
    alike = [{task: loss for task, loss in passed.losses.items() if counts[task] == number} for number in numbers]
    total = torch.stack([weighting(losses) / number for losses, number in zip(alike, numbers, strict=True)]).sum()
    return ForwardPass({task: loss / counts[task] for task, loss in passed.losses.items()}, total, passed.features)


class Step(NamedTuple):
    """Outcome of a step of training."""

    losses: list[dict[str, float]]
    """Per batch: of the tasks that had a valid target, and ``total``, what was minimised, if anything was."""
    skipped: bool
    """True if fp16 gradients were not finite, so that nothing but batch norm's running statistics changed."""


def training_step(
    trial: Trial,
    batches: Sequence[Sample],
    now: float,
    length: float,
    after: Callable[[str, dict[str, float]], None] = lambda part, losses: None,
) -> Step:
    """Take one step of training. Batches without any valid target are a step that changes nothing.

    Args:
        trial: its model and what belongs to it move on by a step.
        batches: as the loader gives them, one after another through the network: ``accumulate`` of them.
        now: when the step begins, in epochs.
        length: how long it takes, in epochs.
        after: called with a batch's losses after its parts ``forward`` and ``backward``, and with the last one's after
            ``optimizer``. What it raises ends the step.
    """
    labelled = ranks().agreed([labelled_tasks(batch, trial.active_tasks) for batch in batches], trial.active_tasks)
    counts = Counter(task for tasks in labelled for task in tasks)
    recorded = []
    for batch, tasks in zip(batches, labelled, strict=True):
        passed = forward_losses(trial, batch, tasks)
        named: dict[str, float] = {}
        if passed.total is not None:
            # One transfer for all losses: on a GPU, each .item() waits for the device.
            values = torch.stack([*passed.losses.values(), passed.total]).tolist()
            named = dict(zip((*passed.losses, "total"), values, strict=True))
        recorded.append(named)
        after("forward", named)
        if passed.total is not None:
            losses, total, features = part_of_step(passed, counts, trial.weighting)
            assert total is not None and features is not None
            scaled = {task: trial.scaler.scale(loss) for task, loss in losses.items()}
            trial.weighting.backward(scaled, trial.scaler.scale(total), features)
        after("backward", named)
    if counts:
        trained = (parameter for group in trial.optimizer.param_groups for parameter in group["params"])
        ranks().add_gradients(trained, trial.weighting.parameters())
    trial.control.apply(trial.optimizer, now, length)
    scale = trial.scaler.get_scale()
    if counts:
        trial.scaler.step(trial.optimizer)  # parameters without a gradient stay as they are
        trial.scaler.update()
    trial.optimizer.zero_grad(set_to_none=True)
    after("optimizer", recorded[-1])
    return Step(recorded, trial.scaler.get_scale() < scale)


def timed(loader: Loader, sums: EpochSums) -> Iterator[Sample]:
    """The batches of ``loader``; how long they are waited for is added to ``sums``."""
    batches = iter(loader)
    while True:
        start = time.perf_counter()
        batch = next(batches, None)
        sums.data_seconds += time.perf_counter() - start
        if batch is None:
            return
        yield batch


def train_one_epoch(trial: Trial, loader: Loader, clock: EpochClock | None = None) -> EpochSums:
    """One pass over the training frames.

    Args:
        trial: which moves on by an epoch's steps.
        loader: of the training frames.
        clock: of the training; None: it begins with this epoch.

    Raises:
        TrainingDivergedError: a loss is not finite, or its gradients in fp16 at any scale; the step is not taken.
    """

    def check(part: str, losses: dict[str, float]) -> None:
        if part == "forward":
            _check_finite(losses, trial, "loss", f"at step {trial.step + 1}")

    steps = len(loader) // trial.config.accumulate
    trial.control.apply(trial.optimizer, trial.epoch, 1 / steps)
    remove_dead(trial, batches=len(loader))
    trial.network.train()
    live = live_mask(trial.model)
    if trial.ramp_start is None and trial.config.group_sparsity and trial.epoch >= trial.config.sparsity_epoch:
        trial.ramp_start = group_squares(trial.model)
    sums, start, length = EpochSums(), time.perf_counter(), 1 / steps
    clock = clock or EpochClock(trial.epoch, trial.config.epochs)

    def note() -> str:
        left = clock.left(trial.epoch + sums.batches / len(loader)) if sums.batches else ""
        return f"loss {fitted(sums.smoothed, 6)}" + f", run {left} left" * bool(left)

    epoch = f"epoch {trial.epoch + 1}/{trial.config.epochs}"
    batches = track(timed(loader, sums), epoch, total=len(loader), note=note)
    for index, together in enumerate(zip(*[batches] * trial.config.accumulate, strict=True)):
        step = training_step(trial, together, trial.epoch + index * length, length, after=check)
        trial.step += 1
        for batch, losses in zip(together, step.losses, strict=True):
            sums.add(losses, len(batch["name"]))
        if step.skipped:
            sums.skipped_steps += 1
            _check_scale(trial)
        if index % max(1, steps // POINTS_PER_EPOCH) == 0:
            points = [step_point(trial, trial.epoch + (index + 1) * length)] if trial.config.group_sparsity else []
            sums.points += points
            sums.curves.append(step_curves(trial, step, points))
    sums.seconds = time.perf_counter() - start
    sums.images = ranks().count(sums.images)
    ranks().check_equal(trial.network.parameters(), f"after epoch {trial.epoch + 1}")
    ranks().spread(trial.network.buffers())
    trial.gather()
    still_live = live_mask(trial.model)
    sums.groups_died, sums.groups_revived = int((live & ~still_live).sum()), int((~live & still_live).sum())
    return sums


def step_point(trial: Trial, now: float) -> dict[str, Any]:
    """Lambda and sparsity after a step, at time ``now`` (in epochs)."""
    trial.gather()
    share, report = trial.control.wanted(now), sparsity_report(trial.model)
    wanted = None if share is None else 100.0 * share
    zeros = {"wanted_sparsity": None if trial.budget is not None else wanted}
    costs = {} if trial.budget is None else {**cost_left(trial), "wanted_cost": wanted}
    return {
        "step": trial.step,
        "time": now,
        "epoch": trial.epoch,
        "lambda": trial.control.strength(trial.optimizer),
        "group_sparsity": report.group_sparsity,
        **zeros,
        **costs,
        "debiasing": trial.control.debiasing,
        **({"joint_group_sparsity": joint_group_sparsity(trial.model, report)} if trial.config.joins_heads else {}),
        **survivors(trial, report),
    }


def step_curves(trial: Trial, step: Step, points: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a step's mean losses over its batches, and what its points say, by the names of the tracker's curves."""
    sums = EpochSums()
    for losses in step.losses:
        sums.add(losses, images=0)
    curves = {f"loss/{name}": value for name, value in sums.means().items()}
    for point in points:
        curves |= {name: value for name, value in point.items() if name not in ("step", "time", "epoch")}
    return {"step": trial.step, **{f"step/{name}": value for name, value in curves.items()}}


def cost_left(trial: Trial) -> dict[str, float]:
    """Count what ``compact()`` would leave now of the cost that the budget is about: a percentage of the dense network's."""
    assert trial.budget is not None
    return {f"{trial.budget.kind}_left": 100.0 * trial.budget.left()}


def survivors(trial: Trial, report: SparsityReport) -> dict[str, float]:
    """Measure what the penalty does to the groups that live: ``live_rms``, in total and per stage, and groups at the floor."""
    if trial.ramp_start is None:
        return {}
    sizes = live_rms(trial.model, trial.ramp_start)
    floor = {}
    if trial.config.target is not None:
        floor = {"groups_at_floor": sum(layer.live_groups for layer in report.at_floor(trial.config.keep_layers))}
    return {**{f"live_rms/{stage}".removesuffix("/"): value for stage, value in sizes.items()}, **floor}


def _check_finite(losses: Mapping[str, float | None], trial: Trial, loss: str, when: str) -> None:
    for name, value in losses.items():
        if value is not None and not abs(value) < float("inf"):
            what = f"the combined {loss}" if name == "total" else f"the {loss} of task {name}"
            raise _diverged(trial, f"{what} is {value} {when}", "a lower learning rate may help")


def _check_scale(trial: Trial) -> None:
    if trial.scaler.get_scale() < LEAST_SCALE:
        what = f"the gradients in fp16 are not finite at step {trial.step}, whatever the losses are scaled by"
        raise _diverged(trial, what, "precision: fp32 or a lower learning rate may help")


def _diverged(trial: Trial, what: str, advice: str) -> TrainingDivergedError:
    good = trial.folder / files.BEST
    kept = f"the last good checkpoint is {good}" if good.is_file() else "there is no good checkpoint yet"
    return TrainingDivergedError(f"trial {trial.number}: {what} (epoch {trial.epoch + 1}); {kept}; {advice}")


def fit(trial: Trial, tracker: Tracker, loaders: Loaders) -> None:
    """Train until the epochs, or the patience, are used up; ``checkpoint.pt`` is the best network, ``last.pt`` the state."""
    training, validation = loaders.training(trial.seed), loaders.evaluation("val")
    if trial.config.on_bad_sample == "skip" and ranks().leads:
        files.save_json(trial.folder / files.SKIPPED, {"train": training.dataset.skipped, "val": validation.dataset.skipped})  # type: ignore[attr-defined]
    if trial.epoch == 0:
        trial.save(tracker.run_id)
    first, clock = trial.epoch, EpochClock(trial.epoch, trial.config.epochs)
    table = EpochTable(trial.config, trial.name, trial.seed)
    with worker_deaths(training.dataset, validation.dataset):  # type: ignore[arg-type]
        while trial.epoch < trial.config.epochs and not trial.done:
            line, improved = fit_one_epoch(trial, training, validation, tracker, clock)
            if trial.epoch == first + 1:
                advise(line)
            left = "done" if trial.done or trial.epoch == trial.config.epochs else clock.left(trial.epoch)
            for row in table.lines(line, improved, left):
                log.info("%s", row)


def fit_one_epoch(
    trial: Trial, training: Loader, validation: Loader, tracker: Tracker, clock: EpochClock | None = None
) -> tuple[dict[str, Any], bool]:
    """Train, validate and record one epoch; its line of ``metrics.jsonl``, and whether the network is the best so far.

    The state is saved last: whatever was written before it belongs to an epoch that a resumed trial trains again, with the same
    numbers.
    """
    epoch, clock = trial.epoch, clock or EpochClock(trial.epoch, trial.config.epochs)
    sampler: Any = training.sampler
    sampler.epoch = epoch
    learning_rates = {group["name"]: group["lr"] for group in trial.optimizer.param_groups}
    weights = trial.weighting.weights()
    debiasing = trial.control.debiasing
    dead = dead_layers(trial.model)
    sums = train_one_epoch(trial, training, clock)
    warn_of_dead_layers(trial.model, trial.config, f"{trial.name}, epoch {epoch + 1}", known=dead)
    if trial.control.debiasing and not debiasing:
        announce_debias(trial)
    start = time.perf_counter()
    batches = track(validation, "validation", note=lambda: f"run {clock.left(epoch + 1)} left")
    evaluation = evaluate(trial.network, batches, trial.losses, trial.config, trial.device)
    validation_seconds = time.perf_counter() - start
    _check_finite(evaluation.losses, trial, "validation loss", f"after step {trial.step}")
    warn_of_unlabelled(evaluation, trial.config, "val")
    warn_of_unlabelled_batches(trial, sums)
    line = {**epoch_line(trial, sums, evaluation, learning_rates, weights), "validation_seconds": validation_seconds}
    trial.epoch += 1
    improved = update_monitor(trial, evaluation, epoch)
    if ranks().leads:
        files.append_lines(trial.folder / files.METRICS, [line])
        files.append_lines(trial.folder / files.STEPS, sums.points)
    for curves in sums.curves:
        tracker.log(curves, "step")
    tracker.log({**line, "epoch": trial.epoch})
    if improved and ranks().leads:
        files.save_tensors(trial.folder / files.BEST, trial.best_state(tracker.run_id))
    trial.save(tracker.run_id)
    if ranks().leads and trial.config.wandb_img_log and epoch % trial.config.img_log_every == 0:
        save_pictures(trial, validation, tracker, f"epoch_{epoch + 1:04d}", f"epoch {epoch + 1}")
    return line, improved


def advise(line: dict[str, Any]) -> None:
    """Say after the first epoch what would make the others faster, where waiting for frames took much of the time."""
    share = line["data_seconds"] / line["train_seconds"]
    if share > SLOW_DATA:
        log.info("%.0f %% of the training time went on waiting for frames: cache: on (or more num_workers) helps", 100 * share)


def warn_of_unlabelled_batches(trial: Trial, sums: EpochSums) -> None:
    """Name the tasks that learn from few batches, or from none."""
    for task in trial.active_tasks:
        without = sums.batches - sums.counts.get(task, 0)
        if without > MOSTLY_UNLABELLED * sums.batches:
            learns = "its head learns nothing" if without == sums.batches else "it learns from the others alone"
            what = f"no valid target in {without} of the {sums.batches} training batches of epoch {trial.epoch + 1}; {learns}"
            warn_once(trial.config, "train", task, what)


def announce_debias(trial: Trial) -> None:
    """Say what stays zero from now on."""
    report = sparsity_report(trial.model)
    log.info(
        "%s: from epoch %d on, %d of %d groups (%.1f %%) stay zero, and the rest trains without the penalty",
        *(trial.name, trial.epoch + 1, report.zero_groups, report.groups, report.group_sparsity),
    )
    target = trial.config.target
    if trial.budget is not None and target is not None:
        left = trial.budget.left()
        missed = left > (1 + BUDGET_TOLERANCE) * target.share
        log.log(
            logging.WARNING if missed else logging.INFO,
            "%s: %.2f %% %s are left (%s: %g)%s",
            *(trial.name, 100 * left, target.kind.phrase, target.key, target.share),
            ": the groups that keep_layers protects stand in the way of less" if missed else "",
        )
    elif target is not None:
        reached = joint_group_sparsity(trial.model, report) if trial.config.joins_heads else report.group_sparsity
        if reached < 100 * (1 - BUDGET_TOLERANCE) * target.share:
            log.warning(
                "%s: %.1f %% of the groups are zero (%s: %g): the groups that keep_layers protects stand in the way",
                *(trial.name, reached, target.key, target.share),
            )
    floor = report.at_floor(trial.config.keep_layers) if target is not None else []
    if trial.config.joins_heads:
        read = trial.model.read_features()
        log.info("%s: of the %d features, the heads read %d", trial.name, read.numel(), int(read.sum()))
    if floor:
        names = [f"{layer.layer} ({layer.live_groups} of {layer.groups} live)" for layer in floor]
        log.info("%s: layers at the floor of keep_layers: %s", trial.name, listed(names))


def update_monitor(trial: Trial, evaluation: Evaluation, epoch: int) -> bool:
    """Move schedule and patience on after ``epoch``; True if this is the best network so far.

    In a sparse run nothing is judged before the penalty has its full strength: the best network is a sparse one. A task without
    a validation loss is not judged at all, so it neither ends the training nor keeps it going.
    """
    scheduler, monitored = trial.scheduler, evaluation.monitored
    improved = False
    if trial.control.is_full(epoch):
        improved = trial.total_patience.update(monitored)
        if isinstance(scheduler, ReduceLROnPlateau) and monitored is not None:
            scheduler.step(monitored)
        for task in trial.active_tasks:
            trial.task_patience[task].update(evaluation.losses[task])
            if trial.task_patience[task].exhausted:
                trial.freeze_head(task)
                log.info("task %s: no improvement for %d epochs, its head is frozen", task, trial.task_patience[task].waited)
    if not isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step()
    judged = set(evaluation.losses) - set(evaluation.unlabelled)
    if trial.total_patience.exhausted or (judged and judged <= trial.model.frozen):
        trial.done = True
        log.info("early stopping after epoch %d", epoch + 1)
    return improved


def epoch_line(
    trial: Trial, sums: EpochSums, evaluation: Evaluation, learning_rates: dict[str, float], weights: dict[str, float]
) -> dict[str, Any]:
    """One epoch as a flat record: a line of ``metrics.jsonl``, and what the tracker gets."""
    report = sparsity_report(trial.model)
    stages = report.stages().items()
    means = sums.means()
    has_head_lambda = trial.config.sparsifies_heads and not trial.config.joins_heads
    head_lambda = {"head_lambda": strength_of(trial.optimizer, steered=False)} if has_head_lambda else {}
    return {
        "epoch": trial.epoch,
        "step": trial.step,
        **{f"train/loss/{name}": means.get(name) for name in (*trial.active_tasks, "total")},
        **{f"val/loss/{task}": value for task, value in evaluation.losses.items()},
        "val/loss/total": evaluation.monitored,
        **{f"val/{name}": value for name, value in evaluation.flat().items()},
        **{f"loss_weight/{task}": value for task, value in weights.items()},
        **{f"lr/{name}": value for name, value in learning_rates.items()},
        "lambda": trial.control.strength(trial.optimizer),
        **head_lambda,
        "penalty": penalty_value(trial),
        **sparsity_numbers(trial.model, trial.config),
        **{f"group_sparsity/{stage}": of_stage.group_sparsity for stage, of_stage in stages},
        **{f"parameter_sparsity/{stage}": of_stage.parameter_sparsity for stage, of_stage in stages},
        **survivors(trial, report),
        "groups_died": sums.groups_died,
        "groups_revived": sums.groups_revived,
        "active_tasks": len(trial.active_tasks),
        **({"train_GMACs": trial.train_macs / 1e9} if trial.can_shrink else {}),
        **({"skipped_steps": sums.skipped_steps} if trial.scaler.is_enabled() else {}),
        **({} if trial.budget is None else cost_left(trial)),
        "images_per_second": sums.images / sums.seconds,
        "train_seconds": sums.seconds,
        "data_seconds": sums.data_seconds,
    }


def penalty_value(trial: Trial) -> float:
    """The penalty of the backbone now: logged, never part of the loss."""
    penalty = build_penalty(trial.config).with_strength(trial.control.strength(trial.optimizer))
    with torch.no_grad():
        return sum(float(penalty.value(weight)) for _, weight in grouped_weights(trial.model.backbone))


def save_pictures(trial: Trial, validation: Loader, tracker: Tracker, name: str, title: str) -> None:
    """Draw predictions of some validation frames into the trial's folder, and give them to the tracker."""
    figure = draw_predictions(trial.model, validation.dataset, trial.config, trial.device, title)  # type: ignore[arg-type]
    path = save_figure(figure, trial.folder / "predictions" / name, ("png",))[0]
    tracker.image("predictions", path, trial.epoch)
