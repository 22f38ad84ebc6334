"""One trial's training: stopping, freezing, checkpoints, and what happens when a loss is no number."""

import itertools
import logging
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from datasets import Loaders, train_loader
from datasets.sample import Sample
from engine import TrainingDivergedError, trainer
from engine import checkpoint as files
from engine import trial as trial_state
from engine.evaluation import Evaluation
from engine.tracking import Tracker
from engine.trainer import (
    EpochSums,
    announce_debias,
    fit,
    forward_losses,
    train_one_epoch,
    training_step,
    update_monitor,
    warn_of_unlabelled_batches,
)
from engine.trial import Trial
from engine.weighting import UncertaintyWeighting
from optim import live_mask
from optim.groups import grouped_weights, live_groups
from tasks.table import get_task
from tests.configs import NYU_TASKS
from tests.equality import equal
from tests.small import make_trial, small_config, snapshot, unlabelled

SEG, DEPTH, NORMALS = NYU_TASKS
STEPS = 2
"""Steps in an epoch of five frames, two at a time."""
SPARSE = {"learning_rate": 1e-3, "lambda": 1.0}

Script = Callable[..., None]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Give the validation losses per epoch in place of an evaluation; ``watch`` is called at each."""

    def install(*losses: tuple[float, float, float], watch: Callable[[], Any] = lambda: None) -> None:
        remaining = iter(losses)

        def evaluate(*args: Any) -> Evaluation:
            watch()
            metrics = {task: {get_task(task).main_metric: 0.5} for task in NYU_TASKS}
            return Evaluation(dict(zip(NYU_TASKS, next(remaining), strict=True)), metrics)

        monkeypatch.setattr(trainer, "evaluate", evaluate)

    return install


def train(trial: Trial) -> list[dict[str, Any]]:
    """Train to the end; returns the lines of ``metrics.jsonl``."""
    fit(trial, Tracker(), Loaders(trial.config))
    return files.read_lines(trial.folder / files.METRICS)


def best_epoch(trial: Trial) -> int:
    """Epochs trained when the best network was saved."""
    return int(files.load_tensors(trial.folder / files.BEST)["epochs"])


def test_stops_when_the_summed_loss_stands_still(rooms: Path, work: Path, script: Script) -> None:
    script((3, 1, 1), (1, 1, 1), (0.5, 2, 1), (0.5, 1.5, 1), (9, 9, 9))
    trial = make_trial(small_config(rooms, work, epochs=5, earlystop_patience=2))
    lines = train(trial)
    assert (trial.epoch, trial.done, len(lines)) == (4, True, 4)
    assert [line["val/loss/total"] for line in lines] == [5, 3, 3.5, 3]
    assert [(line["epoch"], line["step"]) for line in lines] == [(epoch, (epoch + 1) * STEPS) for epoch in range(4)]
    assert [(line["lambda"], line["penalty"], line["group_sparsity"]) for line in lines] == [(0, 0, 0)] * 4, "a dense run"
    assert files.load_tensors(trial.folder / files.LAST)["epochs"] == 4
    assert best_epoch(trial) == 2, "a loss that is only as low is not better"
    assert not trial.model.frozen


def test_a_stopped_task_keeps_its_head_and_leaves_the_training_sum(rooms: Path, work: Path, script: Script) -> None:
    trial = make_trial(
        small_config(rooms, work, epochs=4, task_earlystop_patience=1, comb_loss="uncertainity", loss_weight_lr=0.1)
    )
    heads: list[dict[str, dict[str, Tensor]]] = []
    script(
        *((5, 1.0, 1.0), (5, 0.9, 0.9), (5, 0.8, 0.8), (7, 0.7, 0.7)),
        watch=lambda: heads.append({task: snapshot(head) for task, head in trial.model.heads.items()}),
    )
    lines = train(trial)
    assert trial.active_tasks == [DEPTH, NORMALS]
    assert not equal(heads[0][SEG], heads[1][SEG])
    assert equal(heads[1][SEG], heads[2][SEG]), "weights and batch-norm statistics"
    assert equal(heads[1][SEG], heads[3][SEG])
    assert any("running_mean" in name for name in heads[1][SEG])
    assert not equal(heads[1][DEPTH], heads[2][DEPTH])
    assert not trial.model.heads[SEG].training
    assert not any(parameter.requires_grad for parameter in trial.model.heads[SEG].parameters())
    assert [line[f"val/loss/{SEG}"] for line in lines] == [5, 5, 5, 7]
    assert [line["val/loss/total"] for line in lines] == pytest.approx([7, 6.8, 6.6, 8.4])
    assert [line["active_tasks"] for line in lines] == [3, 3, 2, 2], "those that learnt in the epoch"
    weights = [line[f"loss_weight/{SEG}"] for line in lines]
    assert weights[0] == pytest.approx(math.exp(-1))
    assert weights[0] != weights[1] != weights[2] == weights[3]
    assert [line["lr/loss_weights"] for line in lines] == [0.1] * 4
    for line, tasks in zip(lines, (NYU_TASKS, NYU_TASKS, (DEPTH, NORMALS), (DEPTH, NORMALS)), strict=True):
        assert [name for name in NYU_TASKS if f"train/loss/{name}" in line] == list(tasks)
    assert lines[2][f"loss_weight/{DEPTH}"] != lines[3][f"loss_weight/{DEPTH}"]
    assert best_epoch(trial) == 3


def test_ends_when_no_task_learns_any_more(rooms: Path, work: Path, script: Script) -> None:
    script((1, 1, 1), (1, 1, 0.5), (1, 1, 0.5), (0, 0, 0))
    trial = make_trial(small_config(rooms, work, epochs=4, task_earlystop_patience=1))
    assert len(train(trial)) == 3
    assert trial.done
    assert trial.model.frozen == set(NYU_TASKS)


def test_a_sparse_run_looks_for_its_best_network_under_the_penalty(rooms: Path, work: Path, script: Script) -> None:
    values = {"group_sparsity": True, "bb_optimizer_params": SPARSE, "sparsity_threshold": 2}
    trial = make_trial(small_config(rooms, work, epochs=4, earlystop_patience=2, task_earlystop_patience=2, **values))
    saved: list[bool] = []
    script(*((1, 1, 1), (2, 2, 2), (4, 4, 4), (3, 3, 3)), watch=lambda: saved.append((trial.folder / files.BEST).exists()))
    lines = train(trial)
    assert saved == [False, False, False, True], "nothing is saved before the penalty acts"
    assert best_epoch(trial) == 4
    assert [line["lambda"] for line in lines] == [0, 0, 1, 1]
    assert [line["penalty"] > 0 for line in lines] == [False, False, True, True]
    assert [line["group_sparsity"] > 0 for line in lines] == [False, False, True, True]
    assert not trial.done, "epochs before the penalty acts use up no patience"


STEERED = {
    "group_sparsity": True,
    "target_sparsity": 0.5,
    "sparsity_threshold": 1,
    "sparsity_until": 5,
    "sparsity_ramp": "smooth",
    "bb_optimizer_params": {"learning_rate": 1e-2, "penalty": "l1_l2"},
}
"""No penalty in epoch 0, rising sparsity in epochs 1 to 4, fixed zeros from epoch 5 on."""


def full_strength(trial: Trial) -> float:
    """The group lasso of the backbone with lambda 1, written out."""
    groups = [weight[:, c].detach() for _, weight in grouped_weights(trial.model.backbone) for c in range(weight.shape[1])]
    return sum(math.sqrt(group.numel()) * float(group.norm()) for group in groups)


def test_a_steered_run_reaches_its_target_and_then_trains_without_penalty(
    rooms: Path, work: Path, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    trial = make_trial(small_config(rooms, work, epochs=6, **STEERED))
    masks, strengths, saved = [live_mask(trial.model)], [], []

    def watch() -> None:
        masks.append(live_mask(trial.model))
        strengths.append(full_strength(trial))
        saved.append((trial.folder / files.BEST).exists())

    script(*[(1, 1, 1)] * 5, (3, 3, 3), watch=watch)
    caplog.set_level(logging.INFO)
    lines, groups = train(trial), len(masks[0])
    zeros = [int((~mask).sum()) for mask in masks]
    half = round(0.5 * groups)
    assert zeros[:2] == [0, 0]
    assert 0 < zeros[2] < zeros[3] < zeros[4] < zeros[5] == half
    assert torch.equal(masks[6], masks[5])
    assert [line["group_sparsity"] for line in lines] == pytest.approx([100 * count / groups for count in zeros[1:]])
    assert [line["groups_died"] for line in lines] == [int((a & ~b).sum()) for a, b in itertools.pairwise(masks)]
    assert [line["groups_revived"] for line in lines] == [int((~a & b).sum()) for a, b in itertools.pairwise(masks)]
    lambdas = [line["lambda"] for line in lines]
    assert [value > 0 for value in lambdas] == [False] + 4 * [True] + [False]
    penalties = [lambda_ * strength for lambda_, strength in zip(lambdas, strengths, strict=True)]
    assert [line["penalty"] for line in lines] == pytest.approx(penalties, rel=1e-5)
    assert not any(saved), "no network is the best one before the last phase"
    assert best_epoch(trial) == 6
    share = f"{100 * half / groups:.1f} %"
    report = f"from epoch 6 on, {half} of {groups} groups ({share}) stay zero, and the rest trains without the penalty"
    assert caplog.text.count(report) == caplog.text.count("stay zero") == 1
    shown = {
        words[0]: words[-4:-2] for message in caplog.messages if re.match(r" *\d/6 ", message) and (words := message.split())
    }
    assert shown["5/6"] == [f"{100 * half / groups:.1f}", f"{lambdas[4]:.1e}"]
    assert shown["6/6"] == [f"{100 * half / groups:.1f}", "-"]
    check_points(trial, lines, groups)


def check_points(trial: Trial, lines: list[dict[str, Any]], groups: int) -> None:
    """``steps.jsonl`` of a steered run: one line a step, and the sparsity is the wanted one to the group."""
    points = files.read_lines(trial.folder / files.STEPS)
    always = {"step", "time", "epoch", "lambda", "group_sparsity", "wanted_sparsity", "debiasing"}
    stages = {"live_rms", *(f"live_rms/{stage}" for stage in ("stem", "layer1", "layer2", "layer3", "layer4"))}
    ramp = {*always, *stages, "groups_at_floor"}
    assert [set(point) for point in points] == [always] * STEPS + [ramp] * 5 * STEPS
    assert all(set(line) >= ramp - always for line in lines[1:])
    assert [point["step"] for point in points] == list(range(1, 6 * STEPS + 1))
    assert [point["time"] for point in points] == pytest.approx([step / STEPS for step in range(1, 6 * STEPS + 1)])
    assert [point["epoch"] for point in points] == [step // STEPS for step in range(6 * STEPS)]
    assert [point["debiasing"] for point in points] == [False] * 5 * STEPS + [True] * STEPS
    wanted = [point["wanted_sparsity"] for point in points]
    assert wanted[:STEPS] == [0] * STEPS
    assert wanted[STEPS] > 0
    assert wanted == sorted(wanted)
    assert wanted[5 * STEPS - 1 :] == pytest.approx([50] * (STEPS + 1))
    exact = [100 * round(share / 100 * groups) / groups for share in wanted]
    assert [point["group_sparsity"] for point in points] == pytest.approx(exact)
    assert [point["lambda"] > 0 for point in points] == [STEPS <= step < 5 * STEPS for step in range(6 * STEPS)]
    last = points[STEPS - 1 :: STEPS]
    assert [point["lambda"] for point in last] == [line["lambda"] for line in lines]
    assert [point["group_sparsity"] for point in last] == pytest.approx([line["group_sparsity"] for line in lines])


def test_groups_that_come_back_are_counted(rooms: Path, work: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda falls to 0, and nothing keeps the zeros."""
    monkeypatch.setattr(trainer, "POINTS_PER_EPOCH", 1)
    params = {"learning_rate": 1e-3, "lambda": [[0, 1.0], [1, 1.0], [1, 0.0]]}
    trial = make_trial(small_config(rooms, work, epochs=2, group_sparsity=True, bb_optimizer_params=params))
    masks = [live_mask(trial.model)]
    script((1, 1, 1), (1, 1, 1), watch=lambda: masks.append(live_mask(trial.model)))
    lines = train(trial)
    died, revived = int((~masks[1]).sum()), int((~masks[1] & masks[2]).sum())
    assert died >= revived > 0
    assert [(line["groups_died"], line["groups_revived"]) for line in lines] == [(died, 0), (0, revived)]
    assert [line["lambda"] for line in lines] == [1, 0]
    points = files.read_lines(trial.folder / files.STEPS)
    assert [(point["step"], point["lambda"], point["wanted_sparsity"]) for point in points] == [(1, 1, None), (3, 0, None)]


def test_layers_that_died_altogether_are_named_when_they_die(
    rooms: Path, work: Path, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    params = {"learning_rate": 1e-3, "lambda": 1e6}
    config = small_config(rooms, work, epochs=3, group_sparsity=True, bb_optimizer_params=params, debias_from=1)
    script(*[(1, 1, 1)] * 3)
    lines = train(make_trial(config))
    assert [line["group_sparsity"] for line in lines] == [100, 100, 100]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.startswith(
        "small_trial_0, epoch 1: layers without any live group, so that what they give does not depend on the"
    )
    assert "all shared convolutions: backbone.conv1, backbone.layer1.0.conv1, " in warning
    assert warning.endswith("; a lower lambda keeps them")


HEADS_TOO: dict[str, Any] = {
    "sparsify": "backbone_and_heads",
    "group_sparsity": True,
    "bb_optimizer_params": {**SPARSE, "lambda": 0.03},
    "optimizer_params": {"learning_rate": 1e-3, "lambda": 0.3},
}


def test_sparsified_heads_lose_whole_channels_of_the_features(
    rooms: Path, work: Path, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    script(*[(1, 1, 1)] * 4)
    caplog.set_level(logging.INFO)
    trial = make_trial(small_config(rooms, work, epochs=4, sparsity_threshold=1, **HEADS_TOO))
    # Nothing opposes the penalty where a feature is zero for all images: it is negative before the last ReLU.
    trial.model.backbone.layer4[-1].bn2.bias.data[:4] = -100  # type: ignore[index, union-attr]
    lines = train(trial)
    assert [line["head_lambda"] for line in lines] == [0, 0.3, 0.3, 0.3]
    assert [line["lambda"] for line in lines] == [0, 0.03, 0.03, 0.03]
    assert lines[0]["head_group_sparsity"] == lines[0]["unread_features"] == 0
    convs = [m for head in trial.model.heads.values() for m in head.modules() if isinstance(m, torch.nn.Conv2d)]
    features = trial.model.backbone.out_channels
    zeros = torch.stack([~live_groups(conv.weight.detach()) for conv in convs if conv.in_channels == features])
    assert 0 < zeros.float().mean() < 1
    assert zeros.all(0)[:4].all()
    assert all(live_groups(conv.weight.detach()).all() for conv in convs if conv.in_channels != features), (
        "only what reads the features"
    )
    assert lines[-1]["head_group_sparsity"] == pytest.approx(100 * float(zeros.double().mean()))
    assert lines[-1]["unread_features"] == pytest.approx(100 * float(zeros.all(0).double().mean()))
    backbone = 100 * float((~live_mask(trial.model)).double().mean())
    assert lines[-1]["group_sparsity"] == pytest.approx(backbone), "of the backbone alone"
    assert lines[-1]["penalty"] == pytest.approx(0.03 * full_strength(trial), rel=1e-5)
    assert f" {lines[-1]['group_sparsity']:.1f} 3.0e-02 " in caplog.messages[-1]


def test_features_that_a_target_selects_are_counted_with_the_backbones_groups(
    rooms: Path, work: Path, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    """In every line, to the group, as what is wanted."""
    script(*[(1, 1, 1)] * 4)
    caplog.set_level(logging.INFO)
    selecting = {"learning_rate": 1e-3, "penalty": "group_l0", "saliency": "fisher"}
    values = {"sparsify": "backbone_and_heads", "group_sparsity": True, "bb_optimizer_params": selecting}
    trial = make_trial(small_config(rooms, work, epochs=4, target_sparsity=0.7, sparsity_until=2, **values))
    lines, points = train(trial), files.read_lines(trial.folder / files.STEPS)
    read = trial.model.read_features()
    groups = len(live_mask(trial.model)) + len(read)
    for point in points:
        wanted = points[-1]["wanted_sparsity"] if point["debiasing"] else point["wanted_sparsity"]
        assert point["joint_group_sparsity"] == pytest.approx(100 * round(wanted / 100 * groups) / groups)
    assert "head_lambda" not in lines[-1]
    zeros = int((~live_mask(trial.model)).sum()) + int((~read).sum())
    assert zeros == round(0.7 * groups)
    assert lines[-1]["joint_group_sparsity"] == pytest.approx(100 * zeros / groups)
    assert lines[-1]["head_group_sparsity"] == lines[-1]["unread_features"] > 0
    assert f"of the {len(read)} features, the heads read {int(read.sum())}" in caplog.text


@pytest.mark.parametrize(("share", "warnings"), [(0.5, 0), (0.9, 1)])
def test_a_share_that_the_floors_prevent_is_said(
    rooms: Path, work: Path, caplog: pytest.LogCaptureFixture, share: float, warnings: int
) -> None:
    trial = make_trial(small_config(rooms, work, group_sparsity=True, target_sparsity=share))
    with torch.no_grad():
        for _, weight in grouped_weights(trial.model.backbone):
            weight[:, : weight.shape[1] // 2 + 1] = 0
    announce_debias(trial)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == warnings
    assert all(f"(target_sparsity: {share:g}): the groups that keep_layers protects" in message for message in said)


def test_a_stopped_head_is_left_alone_by_its_penalty(rooms: Path, work: Path, script: Script) -> None:
    """While the penalty acts, and when its zeros stay."""
    trial = make_trial(small_config(rooms, work, epochs=5, debias_from=4, **HEADS_TOO))
    heads: list[dict[str, dict[str, Tensor]]] = []

    def watch() -> None:
        heads.append({task: snapshot(head) for task, head in trial.model.heads.items()})
        if len(heads) == 2:
            trial.model.freeze_head(SEG)

    script(*[(1, 1, 1)] * 5, watch=watch)
    train(trial)
    assert trial.active_tasks == [DEPTH, NORMALS]
    assert not equal(heads[0][SEG], heads[1][SEG])
    assert all(equal(heads[1][SEG], head[SEG]) for head in heads[2:])
    assert not equal(heads[3][DEPTH], heads[4][DEPTH])


def test_one_optimizer_lives_through_all_epochs(
    rooms: Path, work: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[object] = []
    build = trial_state.build_optimizer
    monkeypatch.setattr(trial_state, "build_optimizer", lambda *args: built.append(build(*args)) or built[-1])
    trial = make_trial(small_config(rooms, work, epochs=3, comb_loss="uncertainity"))
    used: list[object] = []
    script(*[(1, 1, 1)] * 3, watch=lambda: used.append(trial.optimizer))
    train(trial)
    assert len(built) == 1
    assert all(optimizer is built[0] for optimizer in used)
    steps = {float(state["step"]) for state in trial.optimizer.state.values()}
    assert steps == {3 * STEPS}, "the moments of every parameter are those of all steps"


def first_step(rooms: Path, folder: Path, lambda_: float) -> tuple[dict[str, Any], Trial]:
    """The line of one epoch of one step, and the trial after it."""
    params = {"learning_rate": 1e-6, "lambda": lambda_, "weight_decay": 0}
    trial = make_trial(
        small_config(rooms, folder, epochs=1, train_batch_size=5, group_sparsity=True, bb_optimizer_params=params)
    )
    return train(trial)[0], trial


def test_the_penalty_is_logged_and_is_no_part_of_the_loss(rooms: Path, work: Path, script: Script) -> None:
    script((1, 1, 1), (1, 1, 1))
    (dense, dense_trial), (sparse, sparse_trial) = (first_step(rooms, work / str(value), value) for value in (0.0, 0.5))
    assert sparse["train/loss/total"] == dense["train/loss/total"]
    for first, second in zip(dense_trial.model.parameters(), sparse_trial.model.parameters(), strict=True):
        # Adam's running mean after one step is the gradient, up to a factor.
        moments = [trial.optimizer.state[p]["exp_avg"] for trial, p in ((dense_trial, first), (sparse_trial, second))]
        assert torch.equal(*moments)
    assert sparse["penalty"] == pytest.approx(0.5 * full_strength(sparse_trial), rel=1e-5)
    assert dense["penalty"] == 0


def test_the_backbone_runs_once_a_batch(rooms: Path, work: Path) -> None:
    trial = make_trial(small_config(rooms, work, epochs=1))
    batches: list[int] = []
    trial.model.backbone.register_forward_hook(lambda module, inputs, output: batches.append(len(output)))
    train(trial)
    assert batches == [2, 2, 2, 1], "two full training batches, and every validation frame"


class BrokenLoss:
    """A loss that becomes ``value`` at its ``at``-th batch."""

    def __init__(self, inner: Any, at: int, value: float, watch: Callable[[], Any]) -> None:
        self.inner, self.left, self.broken, self.watch = inner, at, value, watch

    def statistics(self, *batch: Tensor) -> Tensor:
        """As the loss that it stands for."""
        self.left -= 1
        self.watch()
        return self.inner.statistics(*batch)

    def value(self, statistics: Tensor) -> Tensor:
        """Broken from its batch on."""
        value = self.inner.value(statistics)
        return value * self.broken if self.left <= 0 else value


def test_a_loss_that_is_no_number_stops_before_its_step(rooms: Path, work: Path, script: Script) -> None:
    broken = math.inf
    script((1, 1, 1), (1, 1, 1))
    trial = make_trial(small_config(rooms, work, epochs=2))
    seen: list[list[Tensor]] = []
    trial.losses[DEPTH] = BrokenLoss(
        trial.losses[DEPTH], 4, broken, lambda: seen.append([p.detach().clone() for p in trial.model.parameters()])
    )
    with pytest.raises(TrainingDivergedError) as error:
        train(trial)
    message = str(error.value)
    assert f"task {DEPTH} is {broken} at step 4 (epoch 2)" in message
    assert str(trial.folder / files.BEST) in message
    assert "lower learning rate" in message
    now = list(trial.model.parameters())
    assert all(torch.equal(before, after) for before, after in zip(seen[-1], now, strict=True))
    assert not all(torch.equal(before, after) for before, after in zip(seen[0], now, strict=True))
    assert trial.step == 3
    assert {float(state["step"]) for state in trial.optimizer.state.values()} == {3}
    assert best_epoch(trial) == 1
    assert files.load_tensors(trial.folder / files.LAST)["epochs"] == 1
    assert len(files.read_lines(trial.folder / files.METRICS)) == 1


def test_a_loss_that_is_no_number_in_the_first_epoch_has_no_good_checkpoint(rooms: Path, work: Path) -> None:
    trial = make_trial(small_config(rooms, work))
    trial.losses[SEG] = BrokenLoss(trial.losses[SEG], 1, math.nan, lambda: None)
    with pytest.raises(TrainingDivergedError, match=r"at step 1 \(epoch 1\); there is no good checkpoint yet"):
        train(trial)


def test_a_validation_loss_that_is_no_number_stops_too(rooms: Path, work: Path, script: Script) -> None:
    script((1, 1, 1), (1, math.nan, 1))
    trial = make_trial(small_config(rooms, work, epochs=2))
    with pytest.raises(TrainingDivergedError, match=rf"validation loss of task {DEPTH} is nan after step 4 \(epoch 2\)"):
        train(trial)
    assert best_epoch(trial) == 1
    assert files.load_tensors(trial.folder / files.LAST)["epochs"] == 1


def test_all_of_a_trials_state_survives_saving(rooms: Path, work: Path, script: Script) -> None:
    script((5.0, 3.0, 1.0), (5.0, 2.0, 0.9), (5.0, 2.0, 0.9))
    config = small_config(
        *(rooms, work),
        epochs=3,
        task_earlystop_patience=1,
        comb_loss="uncertainity",
        lr_schedule={"name": "plateau", "patience": 0},
        **HEADS_TOO,
    )
    trial = make_trial(config)
    train(trial)
    assert trial.model.frozen
    saved = files.load_tensors(trial.folder / files.LAST)
    again = make_trial(config)
    torch.rand(7)  # other random numbers than those that were saved
    again.load_state_dict(saved)
    assert equal(again.state_dict(None), trial.state_dict(None))
    assert again.model.frozen == trial.model.frozen
    assert [group["lr"] for group in again.optimizer.param_groups] == [group["lr"] for group in trial.optimizer.param_groups]
    assert [group["penalty"] for group in again.optimizer.param_groups] == [g["penalty"] for g in trial.optimizer.param_groups]
    assert again.optimizer.param_groups[0]["lr"] < SPARSE["learning_rate"], "the plateau has acted"
    assert again.optimizer.state[again.model.backbone.conv1.weight]["exp_avg"].any()


# Nothing is not zero


def blank(batch: Sample, *tasks: str) -> Sample:
    """The batch without any valid target of some tasks."""
    return {**batch, "masks": {task: mask & (task not in tasks) for task, mask in batch["masks"].items()}}  # type: ignore[typeddict-item]


def gradients(trial: Trial, batch: Sample) -> dict[str, Tensor | None]:
    """Return the gradients of a batch, with fixed random numbers for dropout, by parameter; the weighting's too."""
    trial.model.train()
    torch.manual_seed(5)
    total = forward_losses(trial, batch).total
    assert total is not None
    total.backward()
    named = [*trial.model.named_parameters(), *trial.weighting.named_parameters()]
    return {name: parameter.grad for name, parameter in named}


@pytest.mark.parametrize("combination", ["sum", "uncertainity"])
def test_a_batch_without_depth_is_a_step_of_a_run_without_depth(rooms: Path, work: Path, combination: str) -> None:
    values = {"comb_loss": combination, "optimizer_params": {"weight_decay": 0.5}}
    trial = make_trial(small_config(rooms, work, **values))
    batch = next(iter(train_loader(trial.config, 0)))
    gradients(trial, batch)
    trial.optimizer.step()  # moments, which could move the head on
    trial.optimizer.zero_grad()
    other = make_trial(small_config(rooms, work / "other", task_list=[SEG, NORMALS], **values))
    for ours, theirs in ((other.model, trial.model), (other.weighting, trial.weighting)):
        ours.load_state_dict({name: value for name, value in theirs.state_dict().items() if DEPTH not in name})
    actual, expected = gradients(trial, blank(batch, DEPTH)), gradients(other, batch)
    for name, gradient in actual.items():
        if DEPTH in name:
            assert gradient is None
        else:
            assert gradient is not None
            assert torch.equal(gradient, expected[name])
    head, weighting = snapshot(trial.model.heads[DEPTH]), trial.weighting.weights()[DEPTH]
    moments = {id(p): trial.optimizer.state[p]["exp_avg"].clone() for p in trial.model.heads[DEPTH].parameters()}
    trial.optimizer.step()
    assert equal(snapshot(trial.model.heads[DEPTH]), head), "no decay, no momentum, no batch-norm statistics"
    assert trial.weighting.weights()[DEPTH] == weighting
    for parameter in trial.model.heads[DEPTH].parameters():
        assert torch.equal(trial.optimizer.state[parameter]["exp_avg"], moments[id(parameter)])


def gradients_of_step(trial: Trial, batches: list[Sample], monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor | None]:
    """Return the gradients with which the optimizer takes one step of some batches; batch norm and dropout are off."""
    trial.model.eval()
    seen: dict[str, Tensor | None] = {}

    def step(*args: Any) -> None:
        named = [*trial.model.named_parameters(), *trial.weighting.named_parameters()]
        seen.update({name: parameter.grad for name, parameter in named})

    monkeypatch.setattr(trial.optimizer, "step", step)
    training_step(trial, batches, 0.0, 1.0)
    return seen


def merged(batches: list[Sample]) -> Sample:
    """One batch of some batches."""
    joined: dict[str, Any] = {
        key: {task: torch.cat([batch[key][task] for batch in batches]) for task in NYU_TASKS}  # type: ignore[literal-required]
        for key in ("targets", "masks")
    }
    return Sample(image=torch.cat([batch["image"] for batch in batches]), name=["frame"] * 4, **joined)  # type: ignore[typeddict-item]


@pytest.mark.parametrize(("combination", "without"), [("sum", ()), ("uncertainity", (DEPTH,))])
def test_a_step_of_two_batches_is_that_of_one_twice_as_large(
    rooms: Path, work: Path, monkeypatch: pytest.MonkeyPatch, combination: str, without: tuple[str, ...]
) -> None:
    """Where both have equally many valid pixels; a batch without any valid target of a task counts for nothing in it."""
    trial = make_trial(small_config(rooms, work, comb_loss=combination))
    first = next(iter(train_loader(trial.config, 0)))
    second = blank({**first, "image": first["image"].flip(0, 3)}, *without)  # type: ignore[typeddict-item]
    found = gradients_of_step(trial, [first, second], monkeypatch)
    expected = gradients_of_step(trial, [merged([first, second])], monkeypatch)
    assert all(gradient is not None for gradient in found.values())
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-5, msg=name)


def test_an_epoch_counts_the_steps_of_the_optimizer(rooms: Path, work: Path) -> None:
    config = small_config(rooms, work, accumulate=2, group_sparsity=True, bb_optimizer_params=SPARSE, epochs=1)
    trial = make_trial(config)
    (line,) = train(trial)
    assert (trial.step, line["step"]) == (1, 1)
    assert {float(state["step"]) for state in trial.optimizer.state.values()} == {1}
    assert line["images_per_second"] * line["train_seconds"] == pytest.approx(4)
    assert [(point["step"], point["time"]) for point in files.read_lines(trial.folder / files.STEPS)] == [(1, 1.0)]


def test_fp16_trains_with_scaled_losses_and_its_state_is_saved(rooms: Path, work: Path, script: Script) -> None:
    script((1, 1, 1))
    config = small_config(rooms, work, precision="fp16", group_sparsity=True, bb_optimizer_params=SPARSE, epochs=1)
    trial = make_trial(config)
    before = snapshot(trial.model)
    trial.scaler.load_state_dict({**trial.scaler.state_dict(), "scale": 1024.0})
    (line,) = train(trial)
    assert line["skipped_steps"] == 0
    assert not equal(snapshot(trial.model), before)
    again = make_trial(config)
    assert again.scaler.get_scale() == 65536
    again.load_state_dict(files.load_tensors(trial.folder / files.LAST))
    assert again.scaler.state_dict() == trial.scaler.state_dict()
    assert again.scaler.get_scale() == 1024


def test_a_step_whose_gradients_are_not_finite_changes_nothing_and_is_counted(
    rooms: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {**SPARSE, "penalty": "group_l0", "saliency": "taylor"}
    config = small_config(
        *(rooms, work), precision="fp16", group_sparsity=True, target_sparsity=0.5, bb_optimizer_params=params, epochs=3
    )
    trial, loader = make_trial(config), train_loader(config, 0)
    before = {name: value.detach().clone() for name, value in trial.model.named_parameters()}
    trial.scaler.load_state_dict({**trial.scaler.state_dict(), "scale": 2.0**100})
    sums = train_one_epoch(trial, loader)
    assert sums.skipped_steps == STEPS
    assert trial.scaler.get_scale() == 2.0 ** (100 - STEPS)
    assert equal(before, {name: value.detach() for name, value in trial.model.named_parameters()})
    for state in trial.optimizer.state.values():
        assert not any(value.any() for value in state.values())
    monkeypatch.setattr(trainer, "LEAST_SCALE", math.inf)
    with pytest.raises(TrainingDivergedError, match="the gradients in fp16 are not finite at step 3, whatever the losses are"):
        train_one_epoch(trial, loader)


def test_reported_losses_are_means_over_the_steps_that_had_one(
    rooms: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_trial(small_config(rooms, work, task_list=[DEPTH]))
    batch = next(iter(train_loader(trial.config, 0)))
    batches = [blank(batch, DEPTH), batch, blank(batch, DEPTH), blank(batch, DEPTH), batch, *[blank(batch, DEPTH)] * 3]
    seen: list[float] = []
    states: list[dict[str, Tensor]] = []

    def watched(*args: Any) -> Any:
        states.append(snapshot(trial.model))
        passed = forward_losses(*args)
        if passed.total is not None:
            seen.append(float(passed.losses[DEPTH].detach()))
        return passed

    monkeypatch.setattr(trainer, "forward_losses", watched)
    sums = train_one_epoch(trial, batches)  # type: ignore[arg-type]
    states.append(snapshot(trial.model))
    assert len(seen) == 2
    assert sums.means() == pytest.approx(dict.fromkeys((DEPTH, "total"), sum(seen) / 2))
    changed = [not equal(before, after) for before, after in itertools.pairwise(states)]
    assert changed == [False, True, False, False, True, False, False, False], "a batch without targets changes nothing"
    assert trial.step == len(batches)
    assert {float(state["step"]) for state in trial.optimizer.state.values()} == {2}


def test_the_total_is_of_the_steps_in_which_no_task_is_missing() -> None:
    sums = EpochSums()
    for depth in (None, 4.0, None, 2.0, None):
        labelled = {} if depth is None else {DEPTH: depth}
        sums.add({SEG: 1.0, **labelled, "total": 1.0 + (depth or 0.0)}, images=2)
    sums.add({}, images=2)
    assert sums.means() == {SEG: 1.0, DEPTH: 3.0, "total": 4.0}
    apart = EpochSums()
    apart.add({SEG: 1.0, "total": 1.0}, images=2)
    apart.add({DEPTH: 3.0, "total": 3.0}, images=2)
    assert apart.means() == {SEG: 1.0, DEPTH: 3.0}, "no step tells the total"


def test_a_task_without_targets_counts_for_nothing(rooms: Path, work: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = unlabelled(rooms, work / "data", [DEPTH], train=0, val=0)
    trial = make_trial(small_config(data, work, comb_loss="uncertainity", loss_weight_lr=0.1, epochs=2))
    head = snapshot(trial.model.heads[DEPTH])
    lines = train(trial)
    assert equal(snapshot(trial.model.heads[DEPTH]), head)
    assert isinstance(trial.weighting, UncertaintyWeighting)
    assert {task: float(s.detach()) == 1 for task, s in trial.weighting.log_variances.items()} == {
        **{SEG: False, DEPTH: True, NORMALS: False}
    }
    for line in lines:
        assert line[f"train/loss/{DEPTH}"] is line[f"val/loss/{DEPTH}"] is line[f"val/{DEPTH}_abs_err"] is None
        assert line["val/loss/total"] == pytest.approx(line[f"val/loss/{SEG}"] + line[f"val/loss/{NORMALS}"])
        assert line["train/loss/total"] > 0
    assert "NaN" not in (trial.folder / files.METRICS).read_text()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [
        f"task {DEPTH}: no valid target in the val split; there it has no loss, no metric and no part in the sum",
        f"task {DEPTH}: no valid target in 2 of the 2 training batches of epoch 1; its head learns nothing",
    ]


def test_a_task_that_is_rarely_labelled_is_named_once(rooms: Path, work: Path, caplog: pytest.LogCaptureFixture) -> None:
    trial = make_trial(small_config(rooms, work))
    for labelled in (20, 10):
        sums = EpochSums(counts={SEG: 80, DEPTH: labelled, NORMALS: 40, "total": 80}, batches=80)
        warn_of_unlabelled_batches(trial, sums)
    (warning,) = [record.getMessage() for record in caplog.records]
    what = "no valid target in 60 of the 80 training batches of epoch 1; it learns from the others alone"
    assert warning == f"task {DEPTH}: {what}"


def judge(trial: Trial, *losses: tuple[float | None, ...]) -> tuple[list[bool], list[float]]:
    """Give a trial validation losses; return for each epoch if it was the best, and the heads' learning rate after it."""
    improved, rates = [], []
    for epoch, values in enumerate(losses):
        assert not trial.done
        improved.append(update_monitor(trial, Evaluation(dict(zip(NYU_TASKS, values, strict=True)), {}), epoch))
        rates += [group["lr"] for group in trial.optimizer.param_groups if group["name"] == "heads"]
    return improved, rates


@pytest.mark.parametrize("depth", [None, 1.0])
def test_a_task_without_validation_targets_changes_neither_best_epoch_nor_learning_rate(
    rooms: Path, work: Path, depth: float | None
) -> None:
    schedule = {"name": "plateau", "factor": 0.1, "patience": 0}
    trial = make_trial(small_config(rooms, work, lr_schedule=schedule, earlystop_patience=2))
    improved, rates = judge(trial, (3, depth, 1), (2, depth, 1), (2.5, depth, 1), (2.5, depth, 1))
    assert improved == [True, True, False, False]
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-6])
    assert trial.done
    assert trial.total_patience.best == 3 + (depth or 0)


def test_a_task_without_validation_targets_is_never_frozen_and_keeps_no_training_going(rooms: Path, work: Path) -> None:
    trial = make_trial(small_config(rooms, work, task_earlystop_patience=1))
    judge(trial, (3, None, 1), (3, None, 0.5), (3, None, 0.5))
    assert trial.model.frozen == {SEG, NORMALS}
    assert trial.done, "no task learns any more that could get better"


def test_no_validation_loss_at_all_judges_nothing(rooms: Path, work: Path) -> None:
    trial = make_trial(small_config(rooms, work, earlystop_patience=1, task_earlystop_patience=1))
    assert judge(trial, *[(None, None, None)] * 3)[0] == [False, False, False]
    assert not trial.done
    assert not trial.model.frozen
