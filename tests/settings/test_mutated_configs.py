"""Random changes of whole configurations: each loads and can be trained, or is refused by the name of what was changed."""

import copy
import random
import re
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from datasets.sample import Sample
from engine.device import resolve
from engine.experiment import expand_lambdas
from engine.trainer import forward_losses
from engine.trial import Trial
from settings.config import ExperimentConfig, load_config
from study.study_file import is_study
from tasks.table import IGNORE_INDEX, Task
from tests.narrow import resnet18_narrow
from tests.settings.test_config import PUBLISHED_GRID, PUBLISHED_NYU
from tests.small import narrow_resnetd
from utils.errors import ConfigError

ROOT = Path(__file__).parents[2]
BASES: dict[str, dict[str, Any]] = {
    **{
        path.name: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "config").glob("*.yaml"))
        if not is_study(path)
    },
    "published.yaml": yaml.safe_load(PUBLISHED_NYU),
    "published_grid.yaml": yaml.safe_load(PUBLISHED_GRID),
}
"""The project's own files, and files as other people publish them; all of them load."""

CHANGED, TRAINED = 160, 12


HARMLESS: dict[tuple[str, ...], list[Any]] = {
    ("seed",): [1, 2**31 - 1],
    ("backbone",): ["resnetd18", "resnetd50", "resnetd101", "resnet18", "resnet50", "resnet101"],
    ("output_stride",): [8, 16],
    ("input_shape",): [32, 64, [32, 48], [96, 64]],
    ("input_img_channels",): [1, 3],
    ("normalize",): ["none", "imagenet"],
    ("depth_target",): ["relative", "metric"],
    ("head_width",): [1, 8, 64],
    ("aspp_rates",): [[], [1], [12, 24, 36], [1, 2, 3, 4]],
    ("seg_loss_fn",): ["softCEloss", "dice", "Tversky", "Focal"],
    ("comb_loss",): ["sum", "wt_sum", "uncertainity", "uncertainty"],
    ("loss_weight_lr",): [1e-5, "1e-2"],
    ("optimizer",): ["adam", "adamw"],
    ("bb_optimizer",): ["adam", "adamw"],
    ("bb_optimizer_params", "penalty"): ["l1_l2", "group_mcp", "sparse_group_lasso", "None"],
    ("bb_optimizer_params", "lambda"): [0, 1e-3, "1e-6", None, {"value": "1e-4", "warmup": 2}, [[0, 0], [1, "1e-3"]]],
    ("bb_optimizer_params", "gamma"): [1.5, 30],
    ("bb_optimizer_params", "l1_ratio"): [0, 0.5, 1],
    ("bb_optimizer_params", "betas"): [[0, 0], [0.5, 0.9]],
    ("bb_optimizer_params", "eps"): [1e-4, "1e-12"],
    ("optimizer_params", "lambda"): [1e-3, {"value": 1e-4, "warmup": 1}],
    ("optimizer_params", "penalty"): ["group_mcp", "None"],
    ("optimizer_params", "weight_decay"): [0, 0.5],
    ("optimizer_params", "learning_rate"): [1e-8, 1],
    ("group_sparsity",): [True, False],
    ("sparsify",): ["backbone", "backbone_and_heads"],
    ("target_sparsity",): [0.01, 0.7, 0.99, "0.5", None],
    ("sparsity_until",): [0.5, 0.9],
    ("debias_from",): [0.5, None],
    ("sparsity_threshold",): [0, 1],
    ("lr_schedule", "name"): ["plateau", "cosine", "step", "constant"],
    ("lr_schedule", "patience"): [0, 3],
    ("epochs",): [12, 40, 1000],
    ("setup",): ["multitask"],
    ("task_list",): [
        ["depth_euclidean"],
        ["edge_texture", "surface_normal"],
        ["segmentsemantic"],
        ["class_Bald", "class_male"],
    ],
    ("dataset_name",): ["NYU", "celebA", "NYU_MTAN"],
    ("celebA_classes",): [3, 19],
    ("precision",): ["fp32", "bf16", "auto"],
    ("channels_last",): [True, False],
    ("lambda_list",): [[1e-4], [1e-6, "1e-5"], None],
    ("augmentation", "scale_crop"): [[1, 1.5], []],
}
"""Values that are right by themselves; together they may not be."""


def mutant(rng: random.Random) -> tuple[dict[str, Any], list[str]]:
    """A base with two to four changes, and the names of the keys that they are of."""
    raw, names = copy.deepcopy(BASES[rng.choice(sorted(BASES))]), []
    for keys in rng.sample(sorted(HARMLESS), rng.randint(2, 4)):
        *parents, last = keys
        target = raw
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = copy.deepcopy(rng.choice(HARMLESS[keys]))
        names += keys
        if keys == ("input_img_channels",):
            raw.pop("num_input_ch", None)
    return raw, names


SMALL = {"resnetd50": "resnetd18", "resnetd101": "resnetd18", "resnet50": "resnet18", "resnet101": "resnet18"}


def shrunk(config: ExperimentConfig) -> ExperimentConfig:
    """The same experiment with a network and an input that a test can afford; what was asked for otherwise stays."""
    return config.model_copy(
        update={
            "backbone": SMALL.get(config.backbone, config.backbone),
            "input_shape": (32, 48) if isinstance(config.input_shape, tuple) else 32,
            "head_width": min(config.head_width, 8),
            "aspp_rates": tuple(min(rate, 2) for rate in config.aspp_rates[:3]),
            "init_weights": None,
            "train_batch_size": 2,
            "device": "cpu",
        }
    )


def random_target(task: Task, config: ExperimentConfig) -> tuple[Tensor, Tensor]:
    """Targets and masks of a batch of two, as the loaders give them."""
    size = (2, *config.size)
    if not task.is_dense:
        values = torch.randint(max(task.outputs, 2), (2,))
        return values if task.classes else values.float(), torch.tensor([True, False])
    mask = torch.rand(size) < 0.7
    if task.kind == "segmentation":
        labels = torch.randint(task.outputs, size)
        return labels.masked_fill(~mask, IGNORE_INDEX), mask
    mask = mask[:, None]
    target = torch.rand(2, task.channels, *config.size)
    target = torch.nn.functional.normalize(target, dim=1) if task.kind == "normals" else target
    return torch.where(mask, target, 0.0), mask


def train_one_step(config: ExperimentConfig, folder: Path) -> None:
    """Model, losses, optimizer and control of an experiment, and one step with them: the weights move and stay finite."""
    config, device = resolve(shrunk(config))
    torch.manual_seed(0)
    trial = Trial(config, 0, device, folder)
    pairs = {name: random_target(task, config) for name, task in config.tasks.items()}
    batch = Sample(
        image=torch.rand(2, config.input_img_channels, *config.size),
        targets={name: target for name, (target, _) in pairs.items()},
        masks={name: mask for name, (_, mask) in pairs.items()},
        name="",
    )
    before = {name: value.detach().clone() for name, value in trial.model.named_parameters()}
    trial.model.train()
    losses, total, _ = forward_losses(trial, batch)
    assert set(losses) == set(config.task_list)
    assert total.isfinite()
    total.backward()
    trial.control.apply(trial.optimizer, 0.0, 1.0)
    trial.optimizer.step()
    assert all(value.isfinite().all() for value in trial.model.parameters())
    assert any(not torch.equal(value, before[name]) for name, value in trial.model.named_parameters())


def test_what_loads_can_be_trained_and_what_does_not_is_told_by_name(tmp_path: Path) -> None:
    rng, trained, refused = random.Random(1), 0, 0
    for _ in range(CHANGED):
        raw, names = mutant(rng)
        try:
            (tmp_path / "mutant.yaml").write_text(yaml.safe_dump(raw))
            config = load_config(tmp_path / "mutant.yaml")
            config.save(tmp_path / "saved.yaml")
            assert load_config(tmp_path / "saved.yaml") == config
            (config, *_) = expand_lambdas(config.with_values(num_trials=1))
        except ConfigError as error:
            refused += 1
            for line in str(error).splitlines()[1:] or [str(error)]:
                assert any(re.search(rf"(?<!\w){name}(?!\w)", line) for name in names), f"{names}: {line}"
            continue
        if trained < TRAINED:
            trained += 1
            with narrow_resnetd(), resnet18_narrow():
                train_one_step(config, tmp_path)
    assert trained == TRAINED
    assert 20 <= refused <= CHANGED - 20, "both ways have to be seen"
