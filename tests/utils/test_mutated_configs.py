"""500 broken configurations: each loads and can be trained, or is refused in words that name what was broken."""

import re
from pathlib import Path

import torch
from hypothesis import HealthCheck, assume, given, note, settings
from torch import Tensor

from datasets.sample import Sample
from engine.experiment import expand_lambdas
from engine.trainer import forward_losses
from engine.trial import Trial
from tests.utils.mutations import BASES, Mutant, mutants
from utils.config import ExperimentConfig, load_config
from utils.device import resolve
from utils.errors import ConfigError
from utils.tasks import IGNORE_INDEX, Task, get_task

REPEATABLE = {
    "derandomize": True,
    "database": None,
    "deadline": None,
    "suppress_health_check": [HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large],
}
LOADS, STEPS = 500, 50
UNFINISHED = ("published.yaml",)
"""A published file with num_trials 0: it loads, and says so when it is run."""
JARGON = re.compile(
    r"Input should|type=|Traceback|validation error|pydantic|NoneType|<class|Literal|tuple|dict\b|unhashable|object at|"
    r"constrained|[Uu]nion\b|__|Error\b|instance|\bstr\b|\bbool\b|\bfloat\b|\bint\b|string|boolean|recursion|valid dictionary"
)


def load(mutant: Mutant, folder: Path) -> ExperimentConfig:
    """Through a file and its overrides."""
    path = folder / mutant.base
    path.write_text(mutant.text(), encoding="utf-8")
    return load_config(path, mutant.overrides)


def named(mutant: Mutant, line: str) -> bool:
    """True if a line of a message names something that was changed."""
    return any(re.search(rf"(?<!\w){re.escape(key)}(?!\w)", line) for key in mutant.keys)


def without_values(line: str, mutant: Mutant) -> str:
    """A line of a message without what it quotes: that is the user's own text."""
    line = re.sub(r"override ['\"].*?['\"]: ", "", line)
    for key in sorted(mutant.keys, key=len, reverse=True):
        line = line.replace(key, "")
    return re.sub(r"'[^']*'|\"[^\"]*\"|\[.*?\]|\{.*?\}", "", line)


def test_the_bases_load(tmp_path: Path) -> None:
    assert len(BASES) >= 6
    for name, raw in BASES.items():
        load(Mutant(name, raw), tmp_path)


def check_message(mutant: Mutant, message: str) -> None:
    """Every line is about something that was changed, and in the user's words."""
    head, *lines = message.splitlines()
    assert lines, message
    assert re.search(rf"{re.escape(mutant.base)}: {len(lines)} problems?$", head), message
    for line in lines:
        assert line.startswith("  - "), message
        assert named(mutant, line), line
        assert not JARGON.search(without_values(line, mutant)), line
        assert len(line) < 900, line


def test_a_broken_configuration_loads_or_is_refused_by_the_name_of_what_is_broken(tmp_path: Path) -> None:
    outcomes = {"loaded": 0, "refused": 0}

    @settings(max_examples=LOADS, **REPEATABLE)
    @given(mutants())
    def every(mutant: Mutant) -> None:
        note(f"{mutant.base}: {mutant.done}")
        try:
            config = load(mutant, tmp_path)
        except ConfigError as error:
            outcomes["refused"] += 1
            check_message(mutant, str(error))
        else:
            outcomes["loaded"] += 1
            config.save(tmp_path / "saved.yaml")
            assert load_config(tmp_path / "saved.yaml") == config

    every()
    assert sum(outcomes.values()) >= LOADS
    assert min(outcomes.values()) >= 50, "both ways have to be seen"


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
    if task.kind == "attribute":
        return torch.randint(2, (2,)).float(), torch.tensor([True, False])
    mask = torch.rand(size) < 0.7
    if task.kind == "segmentation":
        labels = torch.randint(task.outputs(config.label_set), size)
        return labels.masked_fill(~mask, IGNORE_INDEX), mask
    mask = mask[:, None]
    channels = 3 if task.kind == "normals" else 1
    target = torch.rand(2, channels, *config.size)
    target = torch.nn.functional.normalize(target, dim=1) if task.kind == "normals" else target
    return torch.where(mask, target, 0.0), mask


def train_one_step(config: ExperimentConfig, folder: Path) -> None:
    """Model, losses, optimizer and control of an experiment, and one step with them: the weights move and stay finite."""
    config, device = resolve(shrunk(expand_lambdas(config)[0]))
    torch.manual_seed(0)
    trial = Trial(config, 0, device, folder)
    pairs = {name: random_target(get_task(name), config) for name in config.task_list}
    batch = Sample(
        image=torch.rand(2, config.input_img_channels, *config.size),
        targets={name: target for name, (target, _) in pairs.items()},
        masks={name: mask for name, (_, mask) in pairs.items()},
        name="",
    )
    before = {name: value.detach().clone() for name, value in trial.model.named_parameters()}
    trial.model.train()
    losses, total = forward_losses(trial, batch)
    assert set(losses) == set(config.task_list)
    assert total.isfinite()
    total.backward()
    trial.control.apply(trial.optimizer, 0.0, 1.0)
    trial.optimizer.step()
    assert all(value.isfinite().all() for value in trial.model.parameters())
    assert any(not torch.equal(value, before[name]) for name, value in trial.model.named_parameters())


def test_what_loads_can_be_trained(tmp_path: Path) -> None:
    trained: list[str] = []

    @settings(max_examples=STEPS, **REPEATABLE)
    @given(mutants(harmless=True))
    def every(mutant: Mutant) -> None:
        note(f"{mutant.base}: {mutant.done}")
        try:
            config = load(mutant, tmp_path)
        except ConfigError as error:
            check_message(mutant, str(error))
            assume(False)
        try:
            expand_lambdas(config)
        except ConfigError as error:  # it can be read, for its report, but not be run
            assert named(mutant, str(error)) or mutant.base in UNFINISHED
            assume(False)
        done = mutant.text() + str(mutant.overrides)
        assume(done not in trained)
        train_one_step(config, tmp_path)
        trained.append(done)

    every()
    assert len(trained) >= STEPS
