"""The experiment's configuration: one frozen, typed schema, one docstring per key.

The names of the keys were chosen by the paper's users and stay. ``load_config`` reads a YAML file, applies
``key.path=value`` overrides and either returns an :class:`ExperimentConfig` or raises one :class:`ConfigError` that lists
every problem at once (``settings/messages.py`` words them).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from settings.messages import describe_problems, epoch_at, rule_problems, shown
from settings.registries import BACKBONES, WEIGHTINGS
from settings.sections import (
    PENALTY_PARAMETERS,
    Adam,
    Augmentation,
    BackboneOptimizerParams,
    Bool,
    Cache,
    FileName,
    Int,
    LRSchedule,
    Number,
    OneOf,
    OptimizerParams,
    Schema,
    SeveralForms,
    Side,
    Splits,
    Strength,
    Text,
    Time,
    Tracking,
    Warmup,
)
from settings.yaml_file import apply_override, read_yaml
from tasks.losses import SEGMENTATION_LOSSES
from utils.errors import ConfigError
from utils.files import write_text
from utils.paths import expanded

log = logging.getLogger(__name__)


class ExperimentConfig(Schema):
    """One experiment: `num_trials` trainings that differ in their seed only."""

    Experiment_name: FileName
    """Name of the experiment: of its folders, its CSV files and its group in the tracker; at most 200 characters."""
    dataset_name: Literal["NYU", "NYU_MTAN", "celebA"]
    """Data set: `NYU` (NYU-v2, NYUD_MT layout), `NYU_MTAN` (NYU-v2 as MTAN and LibMTL have it, 13 classes) or `celebA`
    (CelebAMask-HQ)."""
    task_list: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Tasks that share the backbone, one head each."""
    setup: Literal["singletask", "multitask"] = "multitask"
    """`singletask` takes exactly one task."""
    num_trials: Annotated[Int, Field(ge=0)] = 1
    """How many trials; trial i is seeded with `seed + i`."""
    seed: Annotated[Int, Field(ge=0, lt=2**31)] = 0
    """Seed of trial 0: initial weights, order of the frames, augmentation and dropout follow from it."""

    data_dir_NYU: Text | None = None
    """Folder of NYU-v2 in NYUD_MT layout."""
    data_dir_NYU_MTAN: Text | None = None
    """Folder of NYU-v2 in MTAN's layout; where it is not given, `data_dir_NYU`."""
    data_dir_celebA: Text | None = None
    """Folder of CelebAMask-HQ."""
    celebA_classes: Literal[3, 19] = 3
    """Classes of CelebA's masks: 3 (background, hair, skin), or 19 (background and the 18 parts of the official masks)."""
    splits: Splits = Splits()
    """Which file of `gt_sets` is the training, validation and test split (NYU)."""
    val_fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    """Share of the training frames that becomes the validation split where the data set has none."""
    data_split_file: Text | None = None
    """JSON file with the names per split (CelebA); without it the official split is used."""
    mask_void: Literal["ignore", "background"] = "ignore"
    """What 255 in a CelebA mask means: not counted, or background."""
    input_shape: Annotated[Side | tuple[Side, Side], SeveralForms] = 256
    """Side of the square input in pixels, or [height, width]."""
    input_img_channels: Literal[1, 3] = 3
    """Colour channels of the input: 3, or 1 for grey. `num_input_ch` is another name of this key."""
    depth_target: Literal["relative", "metric"] = "relative"
    """Depth divided by the frame's largest valid depth, or in metres."""
    augmentation: Augmentation = Augmentation()
    """Random changes of the training frames."""
    train_batch_size: Annotated[Int, Field(ge=2)] = 16
    """Frames per training step (batch norm needs two); the last incomplete batch is dropped."""
    val_batch_size: Annotated[Int, Field(ge=1)] = 8
    """Frames per validation batch; changes the speed only."""
    test_batch_size: Annotated[Int, Field(ge=1)] = 8
    """Frames per test batch; changes the speed only."""
    num_workers: Annotated[Int, Field(ge=0)] = 0
    """Processes that load frames (at most one per core is used); 0 loads in the main process."""
    cache: Cache = False
    """`on` keeps the decoded frames at `input_shape` on disk, in `loader_cache` beside the data, and reads them memory-mapped
    (rounding: docs/data.md); a text is another folder for them; `off` reads the files every time."""
    on_bad_sample: Literal["error", "skip"] = "error"
    """What a frame that cannot be read does: `error` ends the run (with a cache before the training begins, else when its turn
    comes); `skip` leaves it out, and the results count and list it."""

    backbone: Annotated[str, OneOf(BACKBONES)] = "resnetd50"
    """Shared network: the paper's ResNet-D, or torchvision's ResNet."""
    output_stride: Literal[8, 16] = 8
    """Input size divided by the size of the shared features."""
    init_weights: Text | None = None
    """Weights to start a torchvision backbone from: a torchvision name such as `IMAGENET1K_V2`, or a local file."""
    start_from: Text | None = None
    """Folder of a trial, or a checkpoint, whose whole network (backbone, heads and batch norm's statistics) the training starts
    from, with fresh moments; `{trial}` in it stands for the trial's number."""
    normalize: Literal["none", "imagenet"] = "none"
    """Normalisation of the input, inside the model."""
    head_width: Annotated[Int, Field(ge=1)] = 256
    """Channels inside a dense head."""
    aspp_rates: tuple[Annotated[Int, Field(ge=1)], ...] = (12, 24, 36)
    """Dilations of the dense heads' atrous spatial pyramid."""

    seg_loss_fn: Annotated[str, OneOf(SEGMENTATION_LOSSES)] = "softCEloss"
    """Loss of the segmentation: cross-entropy with label smoothing 0.1, or one of the others."""
    comb_loss: Annotated[str, OneOf(WEIGHTINGS)] = "sum"
    """How the tasks' losses become one: sum, fixed weights, or learned uncertainty weights."""
    loss_weights: dict[str, Annotated[Number, Field(ge=0)]] | None = None
    """Weight per task for `wt_sum`, normalised to sum to 1; without it they are equal."""
    loss_weight_lr: Annotated[Number, Field(gt=0)] = 1e-3
    """Learning rate of the learned weights of `uncertainty`."""

    optimizer: Adam = "adamw"
    """Optimizer of the heads; `adam` means AdamW too."""
    optimizer_params: OptimizerParams = OptimizerParams()
    """Its settings."""
    bb_optimizer: Adam = "adamw"
    """Optimizer of the backbone: AdamW, followed by the proximal step."""
    bb_optimizer_params: BackboneOptimizerParams = BackboneOptimizerParams()
    """Its settings, and the penalty."""
    group_sparsity: Bool = False
    """Train with the penalty; without it, `lambda` counts as 0."""
    sparsify: Literal["backbone", "backbone_and_heads"] = "backbone"
    """Which groups have a penalty: `backbone` means the shared convolutions'; `backbone_and_heads` also the input channels of
    the heads' convolutions that read the shared features, with the penalty and the lambda of `optimizer_params`
    (`target_sparsity` and `lambda_list` are about the backbone alone)."""
    sparsity_threshold: Annotated[Number, Field(ge=0)] = 0
    """Epoch (or share of `epochs` if below 1) from which the penalty acts, and the best network is looked for."""
    target_sparsity: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """Share of the shared groups that is to be zero, such as 0.7: lambda is then found while training, and the penalty's
    own is not used."""
    sparsity_until: Time = 0.6
    """When `target_sparsity` is reached; then zero groups stay zero, and the rest trains on without the penalty. An epoch, or a
    share of `epochs` if below 1."""
    sparsity_ramp: Literal["smooth", "cubic"] = "smooth"
    """How the share of zero groups rises to `target_sparsity`: `smooth` is slow at both ends, `cubic` begins at once
    (1 - (1 - t)^3)."""
    keep_layers: Annotated[Number, Field(ge=0, lt=1)] = 0.02
    """With `target_sparsity`: share of its groups, but at least one, that each layer keeps; 0 lets layers die."""
    preserve_norm: Bool | None = None
    """What a penalty on norms leaves of a shared layer before batch norm keeps the norm that it had, so that it is not shrunk;
    none: with `target_sparsity`. `group_l0` shrinks nothing."""
    debias_from: Time | None = None
    """The same without `target_sparsity`: from then on zero groups stay zero and the penalty is off (epoch, or share of
    `epochs`)."""
    lambda_list: tuple[Annotated[Number, Field(ge=0)], ...] | None = None
    """Several strengths: one experiment per entry, called `<Experiment_name>_lambda<value>`."""

    epochs: Annotated[Int, Field(ge=1)] = 1000
    """Largest number of epochs."""
    lr_schedule: LRSchedule = LRSchedule()
    """How the learning rates change."""
    earlystop_patience: Annotated[Int, Field(ge=1)] = 25
    """The trial ends after this many epochs in a row without improvement of the summed validation loss."""
    task_earlystop_patience: Annotated[Int, Field(ge=1)] = 25
    """A head is frozen after this many epochs in a row without improvement of its task's validation loss; once all are, the
    trial ends."""

    checkpoint: Bool = False
    """Continue what is there of the experiment, as `--resume` does, and begin it where nothing is there, which `--resume`
    refuses."""
    checkpoint_folder: Text = "results/runs/"
    """Where the trials' folders go."""
    device: Annotated[str, Field(strict=True, pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """`auto` (CUDA where there is one, else the CPU), `cpu`, `cuda`, `cuda:1`."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`bf16` is autocast; `auto` is bf16 where the device computes it natively, else fp32 (in which CUDA
    may take TF32 for convolutions)."""
    channels_last: Bool = True
    """Memory layout of the convolutions; changes the speed only."""
    deterministic: Bool = False
    """On CUDA: ask for bit-identical repetitions, at some cost. The CPU is deterministic anyway."""
    tracking: Tracking = "disabled"
    """wandb beside the local files: `online` (offline where there is no API key), `offline`, or `disabled`."""
    wandb_project: Text | None = None
    """wandb project; default: the environment's `WANDB_PROJECT`, else `less-is-more`."""
    wandb_entity: Text | None = None
    """wandb entity; default: the environment's `WANDB_ENTITY`."""
    wandb_img_log: Bool = False
    """Draw predictions of validation frames while training (PNG in the trial folder, and in the tracker)."""
    img_log_every: Annotated[Int, Field(ge=1)] = 10
    """Epochs between two such drawings; the best network is drawn at the end too."""

    @property
    def data_dir(self) -> Path:
        """Folder of the data set that `dataset_name` names."""
        folder = getattr(self, self.data_dir_key)
        assert folder is not None, "load_config refuses this"
        return expanded(folder, self.data_dir_key)

    @property
    def data_dir_key(self) -> str:
        """The key that names this folder."""
        given = f"data_dir_{self.dataset_name}"
        return "data_dir_NYU" if given == "data_dir_NYU_MTAN" and self.data_dir_NYU_MTAN is None else given

    @property
    def label_set(self) -> str:
        """Whose classes a segmentation has: an entry of ``tasks.table.LABEL_SETS``."""
        return "celebA19" if self.dataset_name == "celebA" and self.celebA_classes == 19 else self.dataset_name

    @property
    def size(self) -> tuple[int, int]:
        """Input size (height, width) in pixels."""
        shape = self.input_shape
        return shape if isinstance(shape, tuple) else (shape, shape)

    @property
    def penalty_lambda(self) -> float:
        """Strength of the backbone's penalty when it is full; 0 for a dense run, or where it is found while training."""
        found = self.target_sparsity is not None
        return _full_strength(self.bb_optimizer_params.lambda_) if self.group_sparsity and not found else 0.0

    @property
    def sparsifies_heads(self) -> bool:
        """True if the heads' convolutions that read the shared features are trained with a penalty."""
        return self.group_sparsity and self.sparsify == "backbone_and_heads"

    @property
    def head_penalty_lambda(self) -> float:
        """Strength of the heads' penalty when it is full; 0 where they have none."""
        return _full_strength(self.optimizer_params.lambda_) if self.sparsifies_heads else 0.0

    @property
    def debias_epoch(self) -> int | None:
        """Epoch from which zero groups stay zero and the penalty is off; None: never."""
        if not self.group_sparsity:
            return None
        time = self.debias_from if self.target_sparsity is None else self.sparsity_until
        return None if time is None else self.epoch_at(time)

    @property
    def preserves_norm(self) -> bool:
        """What `preserve_norm` means in this experiment."""
        return self.target_sparsity is not None if self.preserve_norm is None else self.preserve_norm

    @property
    def sparsity_epoch(self) -> int:
        """Epoch from which the penalty acts."""
        return self.epoch_at(self.sparsity_threshold)

    def epoch_at(self, time: float) -> int:
        """The epoch that a key such as `sparsity_until` means: itself, or a share of `epochs` if below 1."""
        return epoch_at(time, self.epochs)

    def trial_folder(self, trial: int) -> Path:
        """Folder of trial number ``trial`` (from 0)."""
        return expanded(self.checkpoint_folder, "checkpoint_folder") / f"{self.Experiment_name}_trial_{trial}"

    def with_values(self, **values: Any) -> ExperimentConfig:
        """A copy with other values of top-level keys, validated like a file's."""
        return validate_config({**self.as_dict(), **values}, source="configuration")

    def as_dict(self) -> dict[str, Any]:
        """The configuration under its YAML names, in plain YAML types."""
        return self.model_dump(mode="json", by_alias=True)

    def save(self, path: Path) -> None:
        """Write it as a YAML file that ``load_config`` reads back to an equal object."""
        write_text(path, yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True))


def _full_strength(strength: Strength) -> float:
    """Where a penalty's strength ends up."""
    if isinstance(strength, Warmup):
        return strength.value
    return strength[-1][1] if isinstance(strength, tuple) else strength or 0.0


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> ExperimentConfig:
    """Read a YAML file, apply ``key.path=value`` overrides, and validate.

    Raises:
        ConfigError: the file cannot be read, or anything in it (or in the overrides) is wrong; one message says it all.
    """
    raw = read_yaml(path)
    if "study" in raw:
        raise ConfigError(f"{path}: is a study (it has the key 'study'), not an experiment")
    problems: list[str] = []
    for override in overrides:
        problems += apply_override(raw, override)
    return validate_config(raw, source=str(path), problems=problems)


def validate_config(raw: dict[str, Any], source: str, problems: Iterable[str] = ()) -> ExperimentConfig:
    """The schema's object for plain values; every problem, and the caller's own, in one ConfigError."""
    values, found = _normalise(raw)
    found = [*problems, *found]
    bad_keys: set[str] = set()
    try:
        config = ExperimentConfig.model_validate(values)
    except ValidationError as error:
        found += describe_problems(error.errors(), ExperimentConfig)
        bad_keys = {str(item["loc"][0]) for item in error.errors()}
        good = {key: value for key, value in values.items() if key not in bad_keys}
        config = ExperimentConfig.model_validate({**_REQUIRED, **good})
    # Also where some keys are bad: the user wants to know it all at once.
    found += rule_problems({name: value for name, value in config if name not in bad_keys})
    if found:
        count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
        raise ConfigError(f"{source}: {count}\n" + "\n".join(f"  - {problem}" for problem in found))
    return config


_REQUIRED = {"Experiment_name": "_", "dataset_name": "NYU", "task_list": ["_"]}
"""In place of keys that are missing or bad; no rule sees them."""


def unused_keys(config: ExperimentConfig) -> list[str]:
    """Keys that were set and change nothing in this experiment (the caller says so in one line)."""
    unused = []
    if not config.sparsifies_heads:
        unused = [f"optimizer_params.{name}" for name in ("penalty", "lambda", *PENALTY_PARAMETERS) if _given(config, name)]
    if config.sparsify != "backbone" and not config.group_sparsity:
        unused.append("sparsify (group_sparsity is false: the run is dense)")
    if config.target_sparsity is not None and not config.group_sparsity:
        unused.append("target_sparsity (group_sparsity is false: the run is dense)")
    if config.group_sparsity and config.target_sparsity is not None and config.bb_optimizer_params.lambda_ is not None:
        unused.append("bb_optimizer_params.lambda (target_sparsity finds it)")
    if config.loss_weights is not None and config.comb_loss != "wt_sum":
        unused.append("loss_weights")
    if config.dataset_name != "celebA" and config.data_split_file is not None:
        unused.append("data_split_file")
    if config.dataset_name != "celebA" and config.celebA_classes != 3:
        unused.append(f"celebA_classes (dataset_name is {config.dataset_name})")
    if config.dataset_name != "NYU" and "splits" in config.model_fields_set and config.splits != Splits():
        unused.append("splits")
    return unused


def _given(config: ExperimentConfig, name: str) -> bool:
    field = "lambda_" if name == "lambda" else name
    default = OptimizerParams.model_fields[field].default
    return field in config.optimizer_params.model_fields_set and getattr(config.optimizer_params, field) != default


def _normalise(raw: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Accept two names for the input's channels, as published files have them."""
    values = {str(key): value for key, value in raw.items()}
    problems = []
    if "num_input_ch" in values:
        channels = values.pop("num_input_ch")
        if values.setdefault("input_img_channels", channels) != channels:
            problems.append(
                f"num_input_ch: {shown(channels)} contradicts input_img_channels: {shown(values['input_img_channels'])}; "
                "they are two names of one key: give one of them"
            )
    return values, problems
