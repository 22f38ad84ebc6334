"""State of one training: model, optimizer, schedules, and progress; saved to a checkpoint and loaded from it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from engine import checkpoint as files
from engine.budget import TrialBudget
from engine.distributed import ranks
from engine.evaluation import losses_of
from engine.monitor import Patience
from engine.optimizer import build_control, build_optimizer, build_scheduler, stretch_schedule
from engine.shrunk_network import ShrunkNetwork
from engine.starting import load_teacher
from engine.synced_norm import synchronise
from engine.weighting import build_weighting
from models import MultiTaskModel, build_model
from models.compaction.costs import Costs
from models.compaction.removal import Removal
from settings.config import ExperimentConfig
from utils.seeding import rng_state, seed_everything, set_rng_state

RANK_SEED = 1_000_003
"""Difference of the seeds of two ranks' dropout."""

OTHER_RNG = "rng_of_others"
"""Key of ``last.pt``, where several processes trained: the random states of ranks 1, 2, ..."""


class Trial:
    """Everything that one training changes.

    Args:
        config: with the precision resolved.
        number: of the trial, from 0; its seed is ``config.seed + number``.
        device: where the model lives.
        folder: the trial's folder, which exists.
    """

    def __init__(self, config: ExperimentConfig, number: int, device: torch.device, folder: Path) -> None:
        self.config, self.number, self.device, self.folder = config, number, device, folder
        self.seed = config.seed + number
        seed_everything(self.seed)
        self.model: MultiTaskModel = build_model(config).to(device)
        self.shrunk: ShrunkNetwork | None = None
        """The compact network that trains in place of ``model``; None: ``model`` trains itself."""
        self.removal_is_final = False
        """True once nothing more can go from the network."""
        self.teacher = load_teacher(config, number, device)
        """Network whose predictions are targets beside the data's; None: there is none."""
        self.weighting = build_weighting(config).to(device)
        self.tasks = config.tasks
        self.losses = losses_of(config)
        self.optimizer = build_optimizer(self.model, self.weighting, config)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        """Factor of the losses that keeps fp16 gradients in range; 1 in other precisions."""
        self.scheduler = build_scheduler(self.optimizer, config)
        kind = config.target.kind.cost if config.target is not None else ""
        self.budget = TrialBudget(self, kind) if kind else None
        """Counter of the cost that is left, where the target is a share of it."""
        self.control = build_control(config, self.budget.counter if self.budget is not None else None)
        self.total_patience = Patience(config.earlystop_patience)
        self.task_patience = {task: Patience(config.task_earlystop_patience) for task in config.task_list}
        self.epoch = 0
        """The next epoch to train, that is, how many are done."""
        self.step = 0
        self.done = False
        self.ramp_start: dict[str, torch.Tensor] | None = None
        """Result of ``optim.group_squares`` when the penalty began to act; None before."""
        self.saved: int | None = None
        """Number of epochs in ``last.pt``; None: there is no such file."""
        self._synchronise()
        if not ranks().leads:
            torch.manual_seed(self.seed + RANK_SEED * ranks().rank)  # the same weights, but dropout of its own

    @property
    def name(self) -> str:
        """Name of the folder: it tells this training from every other one of an experiment or a study."""
        return self.folder.name

    @property
    def active_tasks(self) -> list[str]:
        """Tasks that still learn."""
        return [task for task in self.config.task_list if task not in self.model.frozen]

    @property
    def network(self) -> MultiTaskModel:
        """The network that trains: ``model``, or what is left of it."""
        return self.model if self.shrunk is None else self.shrunk.network

    @property
    def can_shrink(self) -> bool:
        """True if the configuration and the backbone's anatomy let the network that trains become smaller."""
        return self.config.shrinks and hasattr(self.model.backbone, "anatomy")

    @cached_property
    def costs(self) -> Costs:
        """Multiply-adds of the model and of what is left of it."""
        return Costs(self.model, self.config.input_img_channels, self.config.size)

    @property
    def train_macs(self) -> int:
        """Multiply-adds of the network that trains, for one image."""
        return self.costs.dense if self.shrunk is None else self.costs.of(self.shrunk.removal)

    def _synchronise(self) -> None:
        if self.config.batch_norm == "sync" and ranks().size > 1:
            synchronise(self.network)

    def gather(self) -> None:
        """Bring ``model`` up to date with the network that trains."""
        if self.shrunk is not None:
            self.shrunk.gather()

    def shrink(self, removal: Removal) -> None:
        """Let what ``removal`` leaves of ``model`` train on in its place."""
        self.widen()
        self.shrunk = ShrunkNetwork(self.model, self.optimizer, removal, self.config.channels_last)
        self.optimizer = self.scheduler.optimizer = self.shrunk.optimizer
        self._synchronise()

    def widen(self) -> None:
        """Let ``model`` itself train on."""
        if self.shrunk is not None:
            self.shrunk.gather()
            self.optimizer = self.scheduler.optimizer = self.shrunk.widened_optimizer()
            self.shrunk = None

    def freeze_head(self, task: str) -> None:
        """Stop a task: its head learns no more."""
        self.model.freeze_head(task)
        self.network.freeze_head(task)

    def state_dict(self, run_id: str | None) -> dict[str, Any]:
        """All of it, as tensors and plain values."""
        return {
            **self.best_state(run_id),
            "weighting": self.weighting.state_dict(),
            "optimizer": self.optimizer.state_dict() if self.shrunk is None else self.shrunk.optimizer_state(),
            "removal": None if self.shrunk is None else self.shrunk.removal.state_dict(),
            "scaler": self.scaler.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "control": self.control.state_dict(),
            "total_patience": self.total_patience.state_dict(),
            "task_patience": {task: patience.state_dict() for task, patience in self.task_patience.items()},
            "frozen": sorted(self.model.frozen),
            "step": self.step,
            "done": self.done,
            "ramp_start": self.ramp_start,
            "rng": rng_state(),
        }

    def save(self, run_id: str | None) -> None:
        """Write ``last.pt``, from which the training can go on, with the random state of every rank."""
        states = ranks().gather(rng_state())
        if states is not None:
            others = {OTHER_RNG: states[1:]} if len(states) > 1 else {}
            files.save_tensors(self.folder / files.LAST, {**self.state_dict(run_id), **others})
        self.saved = self.epoch

    def best_state(self, run_id: str | None) -> dict[str, Any]:
        """Return what it takes to use the network: for ``checkpoint.pt``."""
        self.gather()
        return {
            "model": self.model.state_dict(),
            "config": self.config.as_dict(),
            "trial": self.number,
            "seed": self.seed,
            "epochs": self.epoch,
            "wandb_run_id": run_id,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self.model.load_state_dict(state["model"])
        for task in state["frozen"]:
            self.model.freeze_head(task)
        self.weighting.load_state_dict(state["weighting"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state.get("scaler", {}))
        self.scheduler.load_state_dict(state["scheduler"])
        self.control.load_state_dict(state["control"])
        self.total_patience.load_state_dict(state["total_patience"])
        for task, patience in self.task_patience.items():
            patience.load_state_dict(state["task_patience"][task])
        self.epoch, self.step, self.done = state["epochs"], state["step"], state["done"]
        self.ramp_start = state.get("ramp_start")
        if state.get("removal") is not None:
            self.shrink(Removal.from_state(state["removal"], self.model))
        if state["config"]["epochs"] != self.config.epochs:
            stretch_schedule(self.scheduler, self.optimizer, self.config.epochs)
        set_rng_state([state["rng"], *state.get(OTHER_RNG, [])][ranks().rank])
        self.saved = self.epoch
